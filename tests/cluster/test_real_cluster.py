"""What a stack says of its cluster, tried on one: nodes of its own, private addresses, a namespace whose quota counts limits."""

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from cli.sandbox import Started
from sandbox.layout import HOST
from tests.cluster.trial import BARE, Trial, overlay
from tests.engine.project import Project

POOL = "switchyard.dev/tests-pool"
SAID = overlay(
    BARE,
    {"redis": {"jobs": {"where": "cluster"}}, "app": {"config": {"DATABASE_URL": "postgresql://nobody@127.0.0.1/none", "REDIS_URL": None}}},
)
RUBY_CONNECT = "require 'socket'; Socket.tcp(ARGV[0], ARGV[1].to_i, connect_timeout: 3).close"
PATIENCE = 60


@pytest.fixture(scope="module")
def trial(started: Started, make_checkout: Callable[[], Project]) -> Iterator[Trial]:
    made = Trial("cluster-real", make_checkout(), started, SAID)
    try:
        made.must_up()
        yield made
    finally:
        made.destroy()


def run(trial: Trial, *words: str, given: str | None = None) -> str:
    done = subprocess.run(trial.kubectl.argv(*words), input=given, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def wait_until(holds: Callable[[], bool]) -> bool:
    """Wait until it holds; False when it does not after a minute."""
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(1)
    return True


def is_ready(trial: Trial, component: str) -> bool:
    pods = trial.kubectl.get("pods", "-l", f"app.kubernetes.io/component={component}")["items"]
    states = [{one["type"]: one["status"] for one in pod["status"].get("conditions", [])}.get("Ready") for pod in pods]
    return states == ["True"]


def valkey(trial: Trial, *words: str) -> str:
    url = trial.kubectl.secret(str(trial.outputs()["config_secret"]))["REDIS_URL"]
    script = 'read -r REDISCLI_AUTH && export REDISCLI_AUTH && exec valkey-cli "$@"'
    return run(
        trial, "exec", "--stdin", "redis-jobs-0", "--", "sh", "-c", script, "sh", *words, given=f"{urlsplit(url).password}\n"
    ).strip()


@contextmanager
def listener() -> Iterator[int]:
    """Listen on the sandbox's bridge, as a company's own server would beside the cluster; yields the port."""
    with socket.create_server((HOST, 0)) as server:
        server.settimeout(300)
        threading.Thread(target=_accept, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def _accept(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


def reaches(trial: Trial, port: int) -> bool:
    argv = trial.kubectl.argv("exec", "deployment/web", "-c", "app", "--", "ruby", "-e", RUBY_CONNECT, HOST, str(port))
    return subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode == 0


def test_every_pod_goes_onto_the_nodes_that_the_stack_names(trial: Trial) -> None:
    assert valkey(trial, "set", "kept", "yes") == "OK"
    run(trial, "label", "node", "node-1", f"{POOL}=all")
    try:
        trial.say({"placement": {"node_selector": {POOL: "all"}, "tolerations": [{"key": "dedicated", "value": "tests"}]}})
        trial.must_up()
        assert wait_until(lambda: is_ready(trial, "redis-jobs") and is_ready(trial, "web"))
        pods = trial.kubectl.get("pods")["items"]
        assert {json.dumps(pod["spec"]["nodeSelector"]) for pod in pods} == {json.dumps({POOL: "all"})}
        assert valkey(trial, "get", "kept") == "yes"
    finally:
        trial.say({})
        trial.must_up()
        run(trial, "label", "node", "node-1", f"{POOL}-")


def test_the_app_reaches_a_private_address_only_when_the_stack_names_it_and_on_its_ports_alone(trial: Trial) -> None:
    with listener() as opened, listener() as closed:
        assert not reaches(trial, opened)
        # The range around the metadata address is one that the cluster must take with a hole in it.
        trial.say({"app": {"egress_ranges": [HOST, "169.254.0.0/16"], "egress_ports": [opened]}})
        trial.must_up()
        assert wait_until(lambda: reaches(trial, opened))
        assert not reaches(trial, closed)
    trial.say({})
    trial.must_up()


def test_a_namespace_whose_quota_counts_cpu_limits_takes_the_pods_once_it_has_a_limit_range(trial: Trial) -> None:
    run(trial, "create", "quota", "company", "--hard=limits.cpu=8,requests.cpu=4,limits.memory=8Gi")
    run(trial, "delete", "pod", "-l", "app.kubernetes.io/component=web")
    assert wait_until(lambda: "must specify limits.cpu" in run(trial, "get", "events"))
    limits = {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}
    about = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "cpu"}, "spec": limits}
    assert "created" in run(trial, "apply", "-f", "-", given=json.dumps(about))
    run(trial, "rollout", "restart", "deployment/web")
    assert wait_until(lambda: is_ready(trial, "web"))
