"""A registry that asks who pulls: the kubelet answers with the stack's account, and goes on when its password is another one."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli import machine
from cli.sandbox import Started
from sandbox.layout import HOST
from settings.stack import RegistryLogin
from tests.cluster.trial import BARE, Trial, overlay
from tests.engine.project import Project

USER = "robot"
FIRST, SECOND = "first-password", "second-password"
HASHES = {
    FIRST: "$2b$05$abcdefghijklmnopqrstuuM3sQey8DZviRRkMjmk7wGr.7zlb4loC",
    SECOND: "$2b$05$abcdefghijklmnopqrstuuQQ3svipWaDLu5Kgwa3hvLrUP0FshBnK",
}
"""bcrypt, the only kind that the registry takes."""
SECONDS = 90


@dataclass(frozen=True)
class PrivateRegistry:
    """A registry on the sandbox's bridge that lets one account in."""

    address: str
    folder: Path
    crane: Path

    def accept(self, password: str) -> None:
        """Let the account in with this password alone; the registry reads the file again when it has changed."""
        (self.folder / "accounts").write_text(f"{USER}:{HASHES[password]}\n")

    def run(self, password: str, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run crane with the very file that the stack's Secret holds."""
        home = self.folder / "docker"
        home.mkdir(exist_ok=True)
        login = RegistryLogin(server=self.address, user=USER, password="REGISTRY_PASSWORD")
        (home / "config.json").write_text(login.docker_config(password))
        env = {**os.environ, "DOCKER_CONFIG": str(home)}
        return subprocess.run([self.crane, "--insecure", *words], env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def registry(started: Started, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRegistry]:
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as free:
        free.bind((HOST, 0))
        address = f"{HOST}:{free.getsockname()[1]}"
    program, crane = machine.find_built("registry"), machine.find("crane")
    assert program
    assert crane
    made = PrivateRegistry(address, folder, crane)
    made.accept(FIRST)
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "auth": {"htpasswd": {"realm": "tests", "path": str(folder / "accounts")}},
        "http": {"addr": address},
    }
    (folder / "config.yml").write_text(json.dumps(config))
    # containerd speaks TLS with every registry of which it is not told otherwise; it reads this at each pull.
    hosts = started.sandbox.kubeconfig.parent / "config" / "registries" / address
    hosts.mkdir()
    (hosts / "hosts.toml").write_text(f'server = "http://{address}"\n[host."http://{address}"]\ncapabilities = ["pull", "resolve"]\n')
    with (folder / "log").open("wb") as log:
        env = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
        process = subprocess.Popen([program, "serve", folder / "config.yml"], stdout=log, stderr=log, env=env)
    try:
        wait_until(lambda: made.run(FIRST, "catalog", address).returncode == 0, "the registry answers")
        yield made
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(hosts)


@pytest.fixture(scope="module")
def image(started: Started, registry: PrivateRegistry) -> str:
    """The demo's image in it, by digest."""
    there = started.references["lamp"]
    here = f"{registry.address}/private/lamp"
    copied = registry.run(FIRST, "copy", there, f"{here}:tests")
    assert copied.returncode == 0, copied.stderr
    return f"{here}@{there.partition('@')[2]}"


@pytest.fixture(scope="module")
def trial(started: Started, make_checkout: Callable[[], Project], registry: PrivateRegistry, image: str) -> Iterator[Trial]:
    login = {"server": registry.address, "user": USER, "password": "REGISTRY_PASSWORD"}
    said = {"images": {"pinned": {"lamp": image}, "login": login, "pull_policy": "Always"}}
    made = Trial("cluster-login", make_checkout(), started, overlay(BARE, said))
    give(made, FIRST)
    try:
        made.must_up()
        yield made
    finally:
        made.destroy()


def give(trial: Trial, password: str) -> None:
    trial.project.ok("config", "set", "--secret", "REGISTRY_PASSWORD", "--stack", trial.name, given=password)


def wait_until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end, f"not within {SECONDS} s: {what}"
        time.sleep(1)


def waiting(trial: Trial) -> list[str]:
    """Why containers wait."""
    pods = trial.kubectl.get("pods")["items"]
    states = [one["state"] for pod in pods for key in ("initContainerStatuses", "containerStatuses") for one in pod["status"].get(key, [])]
    return [state["waiting"].get("message", "") for state in states if "waiting" in state]


def is_ready(trial: Trial) -> bool:
    return trial.kubectl.get("deployment", "web")["status"].get("readyReplicas") == 1


def test_the_registry_lets_nobody_in_without_the_password(registry: PrivateRegistry, image: str) -> None:
    assert registry.run(FIRST, "manifest", image).returncode == 0
    refused = registry.run(SECOND, "manifest", image)
    assert refused.returncode != 0
    assert "UNAUTHORIZED" in refused.stderr


def test_the_kubelet_pulls_with_the_account_of_the_stack(trial: Trial, image: str) -> None:
    assert is_ready(trial)
    pods = trial.kubectl.get("pods", "-l", "app.kubernetes.io/component=web")["items"]
    assert {container["image"] for pod in pods for container in pod["spec"]["containers"]} == {image}


def test_the_password_is_in_its_secret_and_nowhere_else(trial: Trial) -> None:
    others = trial.kubectl.get("pods,deployments,configmaps,serviceaccounts,networkpolicies,services")
    assert FIRST not in json.dumps(others)
    shown = trial.project.pulumi("preview", "--diff", "--stack", trial.name)
    assert shown.code == 0
    assert FIRST not in shown.text
    assert FIRST not in trial.file.read_text()
    assert FIRST not in trial.project.ok("stack", "export", "--stack", trial.name)


def test_another_password_lets_pods_start_again_and_rolls_nothing(trial: Trial, registry: PrivateRegistry) -> None:
    before = trial.kubectl.get("deployment", "web")["metadata"]["generation"]
    registry.accept(SECOND)
    subprocess.run(trial.kubectl.argv("delete", "pods", "--all", "--wait=false"), check=True, capture_output=True)
    wait_until(lambda: any("401" in said for said in waiting(trial)), "the old password is refused")
    give(trial, SECOND)
    steps = [(step["op"], step["urn"].split("::")[-1]) for step in trial.project.preview(trial.name).steps if step["op"] != "same"]
    assert steps == [("update", "registry-login")]
    result = trial.up()
    assert result.code == 0, result.text
    assert SECOND not in result.text
    wait_until(lambda: is_ready(trial), "the pod was pulled with the new one")
    assert trial.kubectl.get("deployment", "web")["metadata"]["generation"] == before
