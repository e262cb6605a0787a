"""Faults that are real, for every critical alert, and how each is mended: what `bench.alerts` and the cluster tests do to a stack."""

import contextlib
import json
import subprocess
import threading
import time
import uuid
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.installation import Installation
from bench.load import Alerts, Lamp, wait_until
from bench.receiver import Receiver
from sandbox.host import run
from sandbox.layout import Node, nodes_up_to

BROKER_NAMES = ("mqtt", "mqtt-public")
SMALL_MIB = 16
CRASHER = "crasher"
RED = """
require "net/http"
uri = URI(ENV.fetch("ELASTICSEARCH_URL"))
Net::HTTP.start(uri.host, uri.port, use_ssl: true, ca_file: ENV.fetch("ELASTICSEARCH_CA_FILE"), read_timeout: 20) do |http|
  request = Net::HTTP.const_get(ARGV[0]).new("/nowhere?timeout=1s&wait_for_active_shards=0", "content-type" => "application/json")
  request.basic_auth(uri.user, uri.password)
  request.body = JSON.generate(settings: { "index.routing.allocation.require._name": "nowhere" }) if ARGV[0] == "Put"
  warn http.request(request).body
end
"""


def authority_key(state: str) -> str:
    """Return the private key of the stack's authority from what `pulumi stack export --show-secrets` prints."""
    resources = json.loads(state)["deployment"]["resources"]
    [found] = [one for one in resources if one["urn"].endswith("PrivateKey::authority-key")]
    said: str | dict[str, str] = found["outputs"]["privateKeyPem"]
    return json.loads(said["plaintext"]) if isinstance(said, dict) else said


@dataclass
class Broken:
    """A stack that is being broken, and what is needed to mend it."""

    installation: Installation
    receiver: Receiver
    authority_key: str = field(repr=False)
    """The private key of the stack's authority, as PEM: it signs the certificate that is about to expire."""
    folder: Path
    """Where key and certificate are made."""
    since: dict[str, float] = field(default_factory=dict[str, float])
    """When each alert's fault began, on the monotonic clock."""
    lamp: Lamp | None = None
    certificate: str = ""
    """The Secret of the broker's own certificate."""
    proxies: int = 0
    """How many the edge had."""

    def began(self, *alerts: str) -> None:
        """Note that the faults of these alerts begin now."""
        self.since.update(dict.fromkeys(alerts, time.monotonic()))

    def scale(self, workload: str, replicas: int) -> None:
        """Set the number of a workload's pods; a control plane that is busy is asked again."""

        def done() -> bool:
            with contextlib.suppress(AssertionError):
                self.installation.run("scale", workload, f"--replicas={replicas}")
                return True
            return False

        wait_until(done, 120, lambda: f"{workload} could not be scaled to {replicas}")

    def gone(self, component: str) -> None:
        """Wait until a component has no pod."""
        wait_until(
            lambda: not self.installation.objects("pods", "--selector", f"app.kubernetes.io/component={component}"), 90, lambda: component
        )

    def fall(self) -> str:
        """Publish a fall and wait for the broker's acknowledgement; return its id."""
        assert self.lamp
        event = str(uuid.uuid4())
        told = self.lamp.fall(event)
        wait_until(lambda: told.mid in (self.lamp.acknowledgements if self.lamp else {}), 60, lambda: "the broker acknowledged no fall")
        return event

    def redis(self, *words: str) -> str:
        """Return what Valkey answers."""
        password = urlsplit(self.installation.demo.passwords["REDIS_URL"]).password
        script = 'read -r REDISCLI_AUTH && export REDISCLI_AUTH && exec valkey-cli "$@"'
        pod = ("exec", "--stdin", "redis-jobs-0", "--container", "valkey", "--")
        return self.installation.run(*pod, "sh", "-c", script, "sh", *words, given=f"{password}\n")

    def search(self, verb: str) -> None:
        """Make or delete an index whose shard has nowhere to be."""
        self.installation.run("exec", "deployment/indexer", "--container", "app", "--", "ruby", "-rjson", "-e", RED, verb)


def small_volume(broken: Broken) -> None:
    """Give Alertmanager a volume of 16 MiB for its next start; the folder on the host that it stands for stays as it is."""
    node, folder = _volume(broken)
    # The pod's own mount is a peer of the folder's: what is mounted while it stands goes with it.
    broken.scale("statefulset/alertmanager", 0)
    broken.gone("alertmanager")
    run("nsenter", f"--mount={node.mounts}", "mount", "-t", "tmpfs", "-o", f"size={SMALL_MIB}m", "tmpfs", folder)
    broken.scale("statefulset/alertmanager", 1)


def large_volume(broken: Broken) -> None:
    """Take the small volume away again, whoever still uses it."""
    with contextlib.suppress(AssertionError, StopIteration):
        node, folder = _volume(broken)
        run("nsenter", f"--mount={node.mounts}", "umount", "--lazy", folder, check=False)


def _volume(broken: Broken) -> tuple[Node, str]:
    claim = json.loads(broken.installation.run("get", "pvc", "data-alertmanager-0", "--output", "json"))
    volume = json.loads(broken.installation.run("get", "pv", claim["spec"]["volumeName"], "--output", "json"))
    terms = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    name = terms[0]["matchExpressions"][0]["values"][0]
    return next(node for node in nodes_up_to(3) if node.name == name), volume["spec"]["local"]["path"]


def expiring_certificate(broken: Broken) -> None:
    """Let the broker show a certificate of the stack's own authority that is valid for two days."""
    found = json.loads(broken.installation.run("get", "statefulset", "mqtt", "--output", "json"))
    volumes = found["spec"]["template"]["spec"]["volumes"]
    broken.certificate = next(
        one["secret"]["secretName"] for one in volumes if one.get("secret", {}).get("secretName", "").startswith("mqtt-tls-")
    )
    key, certificate = _signed(broken)
    made: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "mqtt-short"},
        "stringData": {"tls.key": key, "tls.crt": certificate, "ca.crt": broken.installation.demo.authority},
    }
    broken.installation.run("apply", "--filename", "-", given=json.dumps(made))
    _show(broken, "mqtt-short")


def lasting_certificate(broken: Broken) -> None:
    """Let the broker show its own certificate again."""
    if broken.certificate:
        _show(broken, broken.certificate)
        broken.installation.run("delete", "secret", "mqtt-short", "--ignore-not-found")


def _show(broken: Broken, secret: str) -> None:
    found = json.loads(broken.installation.run("get", "statefulset", "mqtt", "--output", "json"))
    volumes = found["spec"]["template"]["spec"]["volumes"]
    number = next(
        index for index, one in enumerate(volumes) if one.get("secret", {}).get("secretName") in (broken.certificate, "mqtt-short")
    )
    change = [{"op": "replace", "path": f"/spec/template/spec/volumes/{number}/secret/secretName", "value": secret}]
    broken.installation.run("patch", "statefulset", "mqtt", "--type=json", "--patch", json.dumps(change))


def _signed(broken: Broken) -> tuple[str, str]:
    folder = broken.folder
    (folder / "ca.key").write_text(broken.authority_key)
    (folder / "ca.key").chmod(0o600)
    (folder / "ca.crt").write_text(broken.installation.demo.authority)
    namespace = broken.installation.kubectl.namespace
    ends = ("", f".{namespace}", f".{namespace}.svc", f".{namespace}.svc.cluster.local")
    names = {broken.installation.demo.server_name, *(f"{name}{end}" for name in BROKER_NAMES for end in ends)}
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=mqtt"]
    words += [
        "-addext",
        f"subjectAltName={','.join(f'DNS:{name}' for name in sorted(names))}",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]
    words += ["-CA", "ca.crt", "-CAkey", "ca.key", "-keyout", "tls.key", "-out", "tls.crt"]
    subprocess.run(words, check=True, capture_output=True, cwd=folder)
    return (folder / "tls.key").read_text(), (folder / "tls.crt").read_text()


def no_proxies(broken: Broken) -> None:
    """Let the controller take all proxies of the edge away."""
    found = json.loads(broken.installation.run("get", "envoyproxy", "edge", "--output", "json"))
    broken.proxies = found["spec"]["provider"]["kubernetes"]["envoyDeployment"]["replicas"]
    _have_proxies(broken, 0)


def all_proxies(broken: Broken) -> None:
    """Let it make as many again as there were."""
    if broken.proxies:
        _have_proxies(broken, broken.proxies)


def _have_proxies(broken: Broken, replicas: int) -> None:
    change = {"spec": {"provider": {"kubernetes": {"envoyDeployment": {"replicas": replicas}}}}}
    broken.installation.run("patch", "envoyproxy", "edge", "--type=merge", "--patch", json.dumps(change))


def crashing_pod(broken: Broken) -> None:
    """Start a pod, as strict as all others, that ends with an error again and again."""
    [like, *_] = broken.installation.objects("pods", "--selector", "app.kubernetes.io/component=consumer")
    spec = like["spec"]
    container = {**spec["containers"][0], "name": "app", "command": ["sh", "-c", "exit 1"], "args": None, "volumeMounts": [], "env": []}
    kept = ("resources", "securityContext", "image", "name", "command", "imagePullPolicy")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{CRASHER}-0"},
        "spec": {
            "containers": [{key: container[key] for key in kept}],
            "securityContext": spec["securityContext"],
            "automountServiceAccountToken": False,
        },
    }
    broken.installation.run("apply", "--filename", "-", given=json.dumps(pod))


def fill_redis(broken: Broken) -> None:
    """Fill Valkey to 98 % of what it may keep."""
    said = dict(line.split(":", 1) for line in broken.redis("info", "memory").splitlines() if ":" in line)
    room = int(said["maxmemory"]) * 98 // 100 - int(said["used_memory"])
    broken.redis("setrange", "filler", str(room), "x")


@contextlib.contextmanager
def questions(broken: Broken) -> Generator[None]:
    """Read alerts five times a second while the block runs, whatever the answers are."""
    ended = threading.Event()

    def ask() -> None:
        alerts = Alerts(broken.installation.api)
        while not ended.wait(0.2):
            alerts.page(limit=1)
        alerts.close()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=10)
