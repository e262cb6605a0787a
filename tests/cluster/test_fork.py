"""A reseller's stack beside another one on one cluster: made, used, cut off from the other, and removed, as a person would with `sy`."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

import pytest

from bench.installation import Installation, is_ready, processes_of
from bench.memory import working_set
from cli import demo
from cli.environment import local_workspace, users
from cli.target import existing
from sandbox.layout import nodes_up_to
from settings.types import bytes_of
from tests.cluster.trial import Trial
from tools.paths import ROOT
from tools.progress import Progress

NAME, DOMAIN = "forked", "lamps.forked.example"
SMALL_BYTES = 2 << 30
WATCHING_BYTES = 1 << 30
"""For logs, metrics and alerts, beside the product."""
UP_SECONDS = 600
MEMBERS = {"mqtt": (4369, 25672, 15692), "postgres": (8008,)}
"""Ports that members of a component use among themselves, and that no Service names."""
CONNECT = """
import asyncio, json, sys
async def reached(host, port):
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 4)
    except OSError:
        return False
    writer.close()
    return True
async def main(places):
    print(json.dumps(await asyncio.gather(*(reached(*place) for place in places))))
asyncio.run(main(json.loads(sys.argv[1])))
"""

Place = tuple[str, int]


def sy(*words: str, code: int = 0, seconds: int = 120) -> subprocess.CompletedProcess[str]:
    """Run `./sy` as a person would, and expect an exit code."""
    done = subprocess.run([ROOT / "sy", *words], env=users(), cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == code, f"sy {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def forked(trial: Trial) -> Iterator[Installation]:
    """A small fork of production on the sandbox, beside the stack that the other tests use."""
    file = ROOT / f"Pulumi.{NAME}.yaml"
    sy("fork", "production", NAME, "--domain", DOMAIN, "--tier", "small", "--cluster", "sandbox")
    try:
        assert f"stack {NAME} is not ready" in sy("ready", NAME, code=1).stdout
        sy("up", "-s", NAME, seconds=UP_SECONDS)
        progress = Progress()
        target = existing(NAME, progress)
        progress.close()
        yield Installation.of(target.reached(), target.openable())
    finally:
        if file.exists():
            destroy()
            sy("fork", "--remove", NAME, "--yes")
        file.unlink(missing_ok=True)


def destroy() -> None:
    if existing_resources():
        sy("destroy", "-s", NAME, "--yes", "--allow-data-loss", NAME, seconds=UP_SECONDS)


def existing_resources() -> bool:
    exported = json.loads(sy("pulumi", "-s", NAME, "stack", "export").stdout)
    return bool(exported["deployment"].get("resources"))


def test_it_is_ready_when_a_lamp_of_its_own_has_fallen_and_so_is_the_other(forked: Installation, trial: Trial) -> None:
    said = sy("ready", NAME).stdout
    assert f"stack {NAME} is ready" in said
    assert f"shows one for mqtt.{DOMAIN}, signed by the stack's authority" in said
    assert demo.fall(trial.installation.demo, Progress()).alert > 0


def test_its_lamps_have_accounts_at_its_own_broker_alone(forked: Installation, trial: Trial) -> None:
    stranger = demo.Demo(**{**vars(trial.installation.demo), "passwords": forked.demo.passwords})
    with pytest.raises(demo.FailedError, match="did not let lamp lamp-1 in"):
        demo.fall(stranger, Progress(), patience=1)


def test_a_fork_that_has_resources_is_not_removed(forked: Installation) -> None:
    said = sy("fork", "--remove", NAME, "--yes", code=2).stderr
    assert f"./sy destroy -s {NAME}" in said
    assert (ROOT / f"Pulumi.{NAME}.yaml").is_file()


def test_its_web_is_opened_through_the_api_server_where_it_has_no_address_for_this_machine(forked: Installation) -> None:
    with forked.kubectl.forwarded("web") as url, urlopen(f"{url}/health/ready", timeout=20) as answer:
        assert answer.status == 200
    with pytest.raises(demo.FailedError, match="port-forward service/nobody"), forked.kubectl.forwarded("nobody"):
        pass


class TestTheSmallTier:
    def test_all_that_it_asks_for_fits_2_gib_and_one_to_watch_it_also_while_a_release_is_rolled_out(self, forked: Installation) -> None:
        deployed = sum(requested(one) * (one["spec"]["replicas"] + 1) for one in forked.objects("deployments"))
        kept = sum(requested(one) * one["spec"]["replicas"] for one in forked.objects("statefulsets"))
        assert 0 < deployed + kept <= SMALL_BYTES + WATCHING_BYTES

    def test_what_it_really_uses_fits_too(self, forked: Installation) -> None:
        assert 100 << 20 < working_set(forked.kubectl.namespace) <= SMALL_BYTES + WATCHING_BYTES

    def test_it_keeps_falls_in_a_quorum_queue_and_has_a_second_reader(self, forked: Installation) -> None:
        queues = {queue["name"]: queue["type"] for queue in forked.broker_lists("queues", "name", "type")}
        assert queues["falls"] in ("quorum", "rabbit_quorum_queue")
        assert len(forked.ready_pods("consumer")) == 2


@dataclass(frozen=True)
class Party:
    """One stack as the network sees it."""

    senders: Mapping[str, int]
    """Pod -> a process in its network namespace."""
    places: frozenset[Place]
    """Every address and port of its Services and pods."""

    @classmethod
    def of(cls, installation: Installation) -> "Party":
        running = [pod for pod in installation.objects("pods") if is_ready(pod)]
        places = {(pod["status"]["podIP"], port) for pod in running for port in ports_of(pod)}
        for service in installation.objects("services"):
            hosts = [service["spec"]["clusterIP"], *addresses(service)]
            places |= {(host, port["port"]) for host in hosts if host != "None" for port in service["spec"]["ports"]}
        # Both stacks have a pod called mqtt-0.
        named = {f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": process_of(pod) for pod in running}
        return cls(named, frozenset(places))


def test_no_pod_of_one_stack_reaches_any_port_of_the_other(forked: Installation, trial: Trial) -> None:
    parties = [Party.of(trial.installation), Party.of(forked)]
    every = sorted(parties[0].places | parties[1].places)
    assert len(every) == sum(len(party.places) for party in parties) >= 2 * 19
    reached = asyncio.run(sweep({name: pid for party in parties for name, pid in party.senders.items()}, every))
    for party, other in (parties, reversed(parties)):
        assert len(party.senders) >= 7
        ours = {place for sender in (*party.senders, "") for place in reached[sender]}
        assert sorted(party.places - ours) == [], "nobody listens there at all"
        for sender in party.senders:
            assert sorted(reached[sender] & other.places) == [], f"{sender} reaches the other stack"


async def sweep(senders: Mapping[str, int], places: list[Place]) -> dict[str, set[Place]]:
    """Return which places each sender reaches; the sender without a name is this machine."""

    async def one(pid: int | None) -> set[Place]:
        inside = ["nsenter", f"--net=/proc/{pid}/ns/net"] if pid else []
        argv = [*inside, sys.executable, "-c", CONNECT, json.dumps(places)]
        process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        assert process.returncode == 0
        return {place for place, reached in zip(places, json.loads(output), strict=True) if reached}

    found = await asyncio.gather(one(None), *(one(pid) for pid in senders.values()))
    return dict(zip(["", *senders], found, strict=True))


def test_no_secret_of_one_is_in_the_files_or_in_the_state_of_the_other(forked: Installation, trial: Trial) -> None:
    states = [
        trial.project.ok("stack", "export", "--show-secrets", "--stack", trial.name),
        sy("pulumi", "-s", NAME, "stack", "export", "--show-secrets").stdout,
    ]
    files = [trial.file.read_text(), (ROOT / f"Pulumi.{NAME}.yaml").read_text()]
    files[1] += (local_workspace().stacks / f"Pulumi.{NAME}.yaml").read_text()
    found = [made_up(json.loads(state)["deployment"]["resources"]) for state in states]
    for ours, other in ((0, 1), (1, 0)):
        assert len(found[ours]) >= 20
        # What is looked for is there to be found: in the own state in clear, since the export shows it.
        assert all(secret in unescaped(states[ours]) for secret in found[ours])
        place = unescaped(states[other]) + files[other]
        assert [secret[:4] for secret in found[ours] if secret in place] == []
        assert [secret[:4] for secret in found[ours] if secret in files[ours]] == []


def made_up(resources: list[dict[str, Any]]) -> set[str]:
    """Return every secret value that the engine generated for a stack: passwords, salts, keys."""
    values: set[str] = set()
    for resource in resources:
        if resource["type"].startswith(("random:", "tls:index/privateKey")):
            values |= {unescaped(text) for text in secret_texts(resource.get("outputs"))}
    return {value for value in values if len(value) >= 8}


def secret_texts(value: Any) -> Iterator[str]:
    """Yield the texts that the state marks as secret."""
    if isinstance(value, dict):
        if "plaintext" in value:
            text = json.loads(value["plaintext"])
            # What is no text is the bridge's own bookkeeping, the same everywhere.
            if isinstance(text, str):
                yield text
        else:
            for inner in value.values():
                yield from secret_texts(inner)


def unescaped(text: str) -> str:
    """Return a text in which a key's lines are told apart as everywhere else, however often it was put into JSON."""
    return text.replace("\\\\n", "\n").replace("\\n", "\n")


def test_removing_it_leaves_the_other_untouched(forked: Installation, trial: Trial) -> None:
    before = snapshot(trial.installation)
    told = demo.fall(trial.installation.demo, Progress())
    destroy()
    sy("fork", "--remove", NAME, "--yes")
    assert not (ROOT / f"Pulumi.{NAME}.yaml").exists()
    assert not (local_workspace().stacks / f"Pulumi.{NAME}.yaml").exists()
    namespaces = {one["metadata"]["name"] for one in trial.kubectl.get("namespaces")["items"]}
    assert f"lamp-{NAME}" not in namespaces
    assert snapshot(trial.installation) == before
    assert demo._read(trial.installation.demo, told.event) == told.alert
    assert demo.fall(trial.installation.demo, Progress()).alert > told.alert


def snapshot(installation: Installation) -> dict[str, int]:
    """Return every object of a stack with how often its containers were restarted."""
    kinds = "pods,services,deployments,statefulsets,secrets,configmaps,persistentvolumeclaims,networkpolicies"
    objects = json.loads(installation.run("get", kinds, "--output", "json"))["items"]
    return {
        f"{one['kind']}/{one['metadata']['name']}/{one['metadata']['uid']}": sum(
            status["restartCount"] for status in one.get("status", {}).get("containerStatuses") or []
        )
        for one in objects
    }


def requested(workload: dict[str, Any]) -> int:
    pod = workload["spec"]["template"]["spec"]
    first = pod.get("initContainers") or []
    lasting = [*pod["containers"], *(one for one in first if one.get("restartPolicy") == "Always")]
    own = sum(bytes_of(one["resources"]["requests"]["memory"]) for one in lasting)
    return max([own, *(bytes_of(one["resources"]["requests"]["memory"]) for one in first)])


def ports_of(pod: dict[str, Any]) -> set[int]:
    containers = [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])]
    named = {port["containerPort"] for one in containers for port in one.get("ports") or []}
    return named | set(MEMBERS.get(pod["metadata"]["labels"]["app.kubernetes.io/component"], ()))


def addresses(service: dict[str, Any]) -> list[str]:
    """Return the addresses of a load balancer; none for other Services."""
    return [one["ip"] for one in service.get("status", {}).get("loadBalancer", {}).get("ingress") or []]


def process_of(pod: dict[str, Any]) -> int:
    node = next(node for node in nodes_up_to(3) if node.name == pod["spec"]["nodeName"])
    return processes_of(node, pod["metadata"]["namespace"], pod["metadata"]["name"])[0][0]
