"""`sy open`: what can be opened, what can not and why, and that no password is printed."""

import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cli import open as module
from cli.kubectl import Kubectl
from cli.stack import Stack
from settings import resolve
from settings.stack import Cluster
from tests.unit.test_contract import rendered
from tests.unit.test_grafana import objects
from tools.errors import UserError
from tools.paths import ROOT

BARE: dict[str, Any] = {"tier": "staging", "cluster": {"identifier": "company"}}
WATCHED = BARE | {"metrics": {"where": "cluster"}, "grafana": {"where": "cluster"}}
FORWARDER = """#!/bin/sh
case "$*" in
  *nobody*) echo 'Error from server (NotFound): services "nobody" not found' >&2; exit 1;;
  *gone*) echo 'Forwarding from 127.0.0.1:40001 -> 80'; echo 'error: lost connection to pod' >&2; exit 1;;
esac
echo 'Forwarding from 127.0.0.1:40000 -> 3000'
exec sleep 60
"""


def stack(said: dict[str, Any], name: str = "x") -> Stack:
    return Stack(name, Path(f"Pulumi.{name}.yaml"), resolve(name, said), (), on_sandbox=False)


@pytest.fixture
def kubectl(tmp_path: Path) -> Kubectl:
    """A program that says what kubectl says: what is tested is what is made of it."""
    program = tmp_path / "kubectl"
    program.write_text(FORWARDER)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return Kubectl(program, Cluster(identifier="company", context="c"), "lamp-x")


class TestWhatThereIs:
    def test_everything_of_a_whole_stack(self) -> None:
        pages, _ = module.pages_of(stack(WATCHED | {"web": {"admin": {"command": ["x"]}}}))
        assert set(pages) == {"grafana", "prometheus", "alertmanager", "rabbitmq", "web", "admin"}

    def test_every_page_is_a_service_and_port_that_the_stack_makes(self) -> None:
        made = rendered("everything")
        pages, _ = module.pages_of(Stack("everything", Path("Pulumi.everything.yaml"), made.settings, (), on_sandbox=False))
        services = {one.kube_name: {port["port"] for port in one.inputs["spec"]["ports"]} for one in made.of("Service")}
        assert {"grafana", "prometheus", "alertmanager", "rabbitmq", "web"} <= set(pages)
        for name, page in pages.items():
            assert page.port in services[page.service], name

    @pytest.mark.parametrize(
        ("said", "what", "why"),
        [
            (WATCHED | {"grafana": {"where": "none"}}, "grafana", "has no grafana: grafana.where is none; `./sy open` knows prometheus"),
            (BARE | {"metrics": {"where": "none"}, "canary": {"where": "none"}}, "prometheus", "has no prometheus: metrics.where is none"),
            (
                BARE | {"consumer": {"where": "none"}, "canary": {"where": "none"}, "mqtt": {"where": "none"}},
                "rabbitmq",
                "has no rabbitmq: mqtt.where is none",
            ),
            (WATCHED, "grafna", "there is nothing called 'grafna' to open; `./sy open` knows grafana, prometheus"),
        ],
    )
    def test_what_is_not_there_is_named_with_the_reason(self, said: dict[str, Any], what: str, why: str) -> None:
        with pytest.raises(UserError) as refused:
            module.page_of(what, stack(said))
        assert why in str(refused.value)

    def test_a_port_that_somebody_else_has_is_refused_before_anything_is_asked(self) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            with pytest.raises(UserError, match="can not be had"):
                module.refuse_taken(other.getsockname()[1])
        module.refuse_taken(None)


class TestPasswords:
    def test_the_secret_is_the_one_that_the_running_pods_have(self) -> None:
        [deployment] = objects(rendered("everything"), "Deployment")
        [secret] = objects(rendered("everything"), "Secret")
        assert module.mounted_secret(deployment.inputs, "keys") == secret.kube_name

    def test_a_command_is_printed_and_never_a_password(
        self, kubectl: Kubectl, capsys: pytest.CaptureFixture[str], monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(module, "_wait", lambda *_: None)
        page = module.page_of("rabbitmq", stack(WATCHED))
        module.open_page(page, page.password, kubectl, stack(WATCHED), 40000)
        said = capsys.readouterr()
        assert said.out == (
            "http://127.0.0.1:40000/\naccount and password are in the address that this prints: ./sy secret -s x MQTT_MANAGEMENT_URL\n"
        )
        assert "port-forward service/mqtt 40000:15672" in said.err


class TestHowItEnds:
    def test_a_service_that_is_not_there_is_named(self, kubectl: Kubectl) -> None:
        with pytest.raises(module.FailedError, match='services "nobody" not found'):
            module.open_page(module.Page(service="nobody", port=1, about="x"), (), kubectl, stack(BARE), None)

    def test_a_pod_that_goes_away_ends_it_with_what_to_do(self, kubectl: Kubectl, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(module.FailedError, match=r"lost connection to pod.*run the same command again"):
            module.open_page(module.Page(service="gone", port=1, about="x"), (), kubectl, stack(BARE), None)
        assert capsys.readouterr().out == "http://127.0.0.1:40001/\n"

    def test_ctrl_c_ends_it_and_leaves_nothing_running(self, kubectl: Kubectl, tmp_path: Path) -> None:
        text = (
            "from pathlib import Path; from cli import open as module; from cli.kubectl import Kubectl; from cli.stack import Stack\n"
            "from settings import resolve; from settings.stack import Cluster\n"
            f"k = Kubectl(Path({str(kubectl.program)!r}), Cluster(identifier='company', context='c'), 'n')\n"
            f"s = Stack('x', Path('x'), resolve('x', {BARE!r}), (), on_sandbox=False)\n"
            "module.open_page(module.Page(service='web', port=80, about='x'), (), k, s, None)\n"
        )
        running = subprocess.Popen(
            [sys.executable, "-c", text], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
        )
        assert running.stdout
        assert running.stdout.readline() == "http://127.0.0.1:40000/\n"
        [child] = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=10)
        deadline = time.monotonic() + 5
        while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not Path(f"/proc/{child}").exists()
