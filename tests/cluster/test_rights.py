"""What pods may do: what admission refuses, whose token is mounted and how far it goes, and which servers ask for a password."""

import copy
import json
import subprocess
from typing import Any

import pytest

from bench.installation import COMPONENT, Installation
from tests.cluster.trial import Trial

WITH_TOKEN = {"postgres"}
POST = """
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(urllib.request.Request(sys.argv[1], data=b"{}", method=sys.argv[2]), timeout=10).status)
except urllib.error.HTTPError as refused:
    print(refused.code)
"""
ASK = "require 'net/http'; puts Net::HTTP.get_response(URI(ARGV[0])).code"


@pytest.fixture(scope="module")
def here(trial: Trial) -> Installation:
    trial.installation.wait_serving()
    return trial.installation


def may(here: Installation, account: str, *words: str) -> bool:
    """Whether a ServiceAccount of the stack may do something, as the API server says."""
    who = f"system:serviceaccount:{here.kubectl.namespace}:{account}"
    argv = here.kubectl.argv("auth", "can-i", *words, "--as", who)
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False).stdout.strip() == "yes"


def changed(pod: dict[str, Any], change: str) -> dict[str, Any]:
    """Return a pod like one that runs, and weaker in one way."""
    spec = copy.deepcopy(pod["spec"])
    spec.pop("nodeName", None)
    container = spec["containers"][0]
    if change == "privileged":
        container["securityContext"] |= {"privileged": True, "allowPrivilegeEscalation": True}
    elif change == "root":
        spec["securityContext"] |= {"runAsNonRoot": False, "runAsUser": 0}
    elif change == "a folder of the node":
        spec["volumes"] = [*(spec.get("volumes") or []), {"name": "node", "hostPath": {"path": "/"}}]
    elif change == "the node's network":
        spec["hostNetwork"] = True
    elif change == "capabilities":
        container["securityContext"]["capabilities"] = {"add": ["NET_ADMIN"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "weaker"}, "spec": spec}


@pytest.mark.parametrize("change", ["privileged", "root", "a folder of the node", "the node's network", "capabilities"])
def test_a_weaker_pod_is_refused_by_admission_and_the_same_one_without_the_change_is_not(here: Installation, change: str) -> None:
    pod = here.pods("web")[0]

    def applied(made: dict[str, Any]) -> str:
        argv = here.kubectl.argv("apply", "--dry-run=server", "--filename", "-")
        return subprocess.run(argv, input=json.dumps(made), capture_output=True, text=True, timeout=60, check=False).stderr

    assert applied(changed(pod, "nothing")) == ""
    assert 'violates PodSecurity "restricted' in applied(changed(pod, change))


def test_no_pod_has_a_token_mounted_that_it_does_not_use(here: Installation) -> None:
    mounted = {
        pod["metadata"]["labels"][COMPONENT]
        for pod in here.objects("pods")
        for volume in pod["spec"].get("volumes") or []
        if "serviceAccountToken" in str(volume)
    }
    assert mounted == WITH_TOKEN


def test_the_accounts_of_the_stack_may_do_what_they_do_and_nothing_else(here: Installation) -> None:
    for verb, kind in (("list", "pods"), ("get", "secrets"), ("create", "pods"), ("get", "configmaps")):
        assert not may(here, "default", verb, kind), f"{verb} {kind}"
    web = here.ready_pods("web")[0]
    assert may(here, "postgres", "patch", "pods/postgres-0")
    assert may(here, "postgres", "list", "pods")
    assert may(here, "postgres", "update", "configmaps/postgres-leader")
    for words in (("patch", f"pods/{web}"), ("get", f"pods/{web}"), ("get", "secrets"), ("list", "secrets"), ("delete", "pods")):
        assert not may(here, "postgres", *words), words
    for words in (("update", "configmaps/kube-root-ca.crt"), ("create", "pods"), ("create", "pods/exec"), ("list", "nodes")):
        assert not may(here, "postgres", *words), words


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "restart"), ("POST", "switchover"), ("PATCH", "config"), ("POST", "reinitialize"), ("DELETE", "switchover")],
)
def test_patroni_changes_nothing_for_who_has_no_password(here: Installation, method: str, path: str) -> None:
    words = ("python3", "-c", POST, f"http://127.0.0.1:8008/{path}", method)
    assert here.run("exec", "postgres-0", "--container", "postgres", "--", *words).strip() == "401"


def test_the_brokers_management_asks_for_a_password(here: Installation) -> None:
    for path in ("overview", "definitions", "users"):
        said = here.run("exec", "deployment/web", "--", "ruby", "-e", ASK, f"http://mqtt:15672/api/{path}")
        assert said.strip() == "401", path


def test_the_broker_has_no_guest_one_kind_of_administrator_and_no_device_that_may_publish_everywhere(here: Installation) -> None:
    tags = {str(one["user"]): {str(tag) for tag in one["tags"]} for one in here.broker_lists("users")}
    ours = {name: of for name, of in tags.items() if of}
    assert "guest" not in tags
    assert all("stack" in of for of in ours.values()), ours
    # Each generation of passwords has users of its own: accounts, accounts-2.
    assert {name.partition("-")[0] for name, of in ours.items() if "administrator" in of} == {"accounts"}
    permitted, limited = ({str(one["user"]) for one in here.broker_lists(what)} for what in ("permissions", "topic_permissions"))
    assert permitted - set(ours), "no device has an account"
    assert permitted - set(ours) <= limited
