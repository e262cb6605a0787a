"""The command line: how it ends, what it runs, what it writes, and that it shows no secret. Nothing here starts a program."""

import io
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from cli import __main__ as entry
from cli import checks, console, demo, engine, kubectl, preflight, process, tests, up
from cli.demo import Demo
from cli.engine import Engine, Lock, Pending, read_locks, read_pending, with_stack_words
from cli.environment import Workspace, logged_in, users
from cli.errors import FailedError
from cli.images import pin_argv
from cli.kubectl import Kubectl, unready
from cli.root import GROUPS, root
from cli.stack import Embedded, Stack, effective, read, write_effective
from cli.stacks import named_stack
from cli.target import with_address
from settings import SettingsError
from settings.ownership import STACK_LABEL
from settings.stack import Cluster
from tests.unit.checkout import checkout
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress
from tools.toolchain import Toolchain

SECRET = "hunter2-hunter2"
DIGEST = "sha256:" + "a" * 64
AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBITCByKADAgECAgEBMAoGCCqGSM49BAMCMA8xDTALBgNVBAMMBHRlc3QwIBcN
MjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMA8xDTALBgNVBAMMBHRlc3Qw
WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQrAr59KvW2b5dh+zC0sDb9rczgwnz0
hg+w904IA2hpOeEcAGUNoV1XA3rzcujDe2/ZWmZokmm8vuzoBTKxzsD+oxMwETAP
BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIHxZEBV1BQQf9OzRp515
TpPRUrMm8cS4chE1d71DOr9CAiEA0aAk3GWQniFsC5tLsRk2dwv9H/tl4cMONYOQ
lQOaMQw=
-----END CERTIFICATE-----
"""
"""A certificate authority whose key is thrown away."""


@pytest.fixture
def ended(monkeypatch, capsys):
    """Run the command line with a command that raises, and return (exit code, stdout, stderr)."""

    def run(error):
        @click.command()
        def broken():
            raise error

        monkeypatch.setattr(entry.root, "get_command", lambda _context, _name: broken)
        code = entry.main(["anything"])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def sandbox_stack(tmp_path, monkeypatch):
    monkeypatch.setenv("SWITCHYARD_STATE", str(tmp_path / "state"))
    return Stack.open("sandbox")


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path, local=True)
    made.prepare()
    return made


@pytest.fixture
def pulumi(workspace):
    return Engine(Path("/bin/pulumi"), "sandbox", workspace.stacks / "Pulumi.sandbox.yaml", workspace, {})


# How it ends


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("no root: use sudo"), 2),
        (SettingsError(["Pulumi.x.yaml: a: unknown key"]), 2),
        (click.UsageError("no such option"), 2),
        (FailedError("pulumi up failed"), 1),
        (OSError(28, "No space left on device"), 1),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 2),
        (SystemExit(7), 7),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_every_ending_has_its_exit_code(ended, error, code):
    assert ended(error)[0] == code


def test_an_error_is_one_sentence_on_standard_error(ended):
    _, out, err = ended(UserError("no root: use sudo"))
    assert (out, err) == ("", "error: no root: use sudo\n")


def test_what_the_machine_refuses_is_one_sentence_that_names_the_file(ended):
    _, out, err = ended(PermissionError(13, "Permission denied", "/proc/foo"))
    assert (out, err) == ("", "error: /proc/foo: Permission denied; mend that and run the same command again\n")


def test_ctrl_c_says_that_the_same_command_goes_on(ended):
    assert "the same command goes on" in ended(KeyboardInterrupt())[2]


def test_an_unknown_command_exits_2(capsys):
    assert entry.main(["upp"]) == 2
    assert "upp" in capsys.readouterr().err


def test_an_unknown_stack_is_named_with_those_there_are():
    with pytest.raises(UserError, match=r"no stack 'stagging'.*production, sandbox, staging"):
        Stack.load("stagging")


# Help


def test_the_stored_overview_is_what_help_prints():
    printed = CliRunner().invoke(root, ["--help"], prog_name="./sy").output
    assert printed == (ROOT / "cli" / "help.txt").read_text(), "run: ./sy --help > cli/help.txt"


def test_every_command_explains_itself():
    for commands in GROUPS.values():
        for name in commands:
            command = root.get_command(click.Context(root), name)
            assert command is not None and command.name == name and len(command.help or "") > 20


def test_the_example_commands_exist():
    from cli.root import EXAMPLES

    words = [line.split()[1] for line in EXAMPLES.splitlines() if line.strip().startswith("./sy")]
    known = {name for commands in GROUPS.values() for name in commands}
    assert set(words) <= known


# Command lines


def test_up_on_the_sandbox_skips_the_preview_and_names_its_file(pulumi):
    assert pulumi.up_argv(skip_preview=True) == [
        "/bin/pulumi", "up", "--yes", "--skip-preview", "--parallel=32", "--suppress-outputs", "--suppress-permalink=true",
        "--stack", "sandbox", "--config-file", str(pulumi.config_file),
    ]  # fmt: skip


def test_a_tracked_file_is_not_named(pulumi):
    own = replace(pulumi, stack="staging", config_file=ROOT / "Pulumi.staging.yaml")
    assert "--config-file" not in own.up_argv(skip_preview=False)
    assert "--skip-preview" not in own.up_argv(skip_preview=False)


def test_the_sandbox_stack_is_made_beside_its_effective_file(pulumi):
    assert pulumi.init_argv()[-2:] == ["--cwd", str(pulumi.workspace.stacks)]


def test_outputs_are_read_without_secrets(pulumi):
    assert "--show-secrets" not in pulumi.output_argv()


def test_a_pin_is_written_below_the_images(pulumi):
    assert pin_argv(pulumi, "postgres", f"r/p@{DIGEST}")[1:5] == ["config", "set", "--path", "switchyard:images.pinned.postgres"]


def test_kubectl_never_uses_the_current_context():
    client = Kubectl(Path("/bin/kubectl"), Cluster(identifier="company", kubeconfig="~/kube", context="company"), "lamp-staging")
    home = str(Path.home())
    assert client.argv("get", "pods") == [
        "/bin/kubectl", "--kubeconfig", f"{home}/kube", "--context", "company", "--namespace", "lamp-staging", "get", "pods",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("up",), True),
        (("config",), True),
        (("config", "set", "--secret", "SENTRY_DSN"), True),
        (("config", "set", "switchyard:namespace", "x"), False),
        (("stack", "ls"), False),
        (("up", "--config-file", "mine"), False),
    ],
)
def test_pulumi_gets_the_effective_file_where_it_takes_one(words, named, tmp_path):
    file = tmp_path / "Pulumi.sandbox.yaml"
    assert (str(file) in with_stack_words(words, file)) is named


def test_pytest_runs_once_and_fast_layers_first():
    argv = tests.pytest_argv(["unit", "cluster"], ["--", "-k", "fall"])
    assert argv[1:] == ["-m", "pytest", "-p", "cli.restore", "tests/unit", "tests/cluster", "-k", "fall"]


def test_what_waits_for_minutes_runs_only_when_it_is_asked_for():
    assert "long" not in tests.chosen("all")
    assert tests.pytest_argv(tests.chosen("long"), [])[-3:] == ["tests/cluster", "-m", "long"]


@pytest.mark.parametrize(
    ("there", "layer", "built"), [(None, "rules", [["rules"]]), (None, "unit", []), ("/usr/bin/promtool", "rules", [])]
)
def test_promtool_is_built_for_the_layer_that_asks_it_where_there_is_none(there, layer, built, monkeypatch):
    asked = []
    monkeypatch.setattr(tests.machine, "find", lambda name: there)
    monkeypatch.setattr(tests.toolchain, "ensure", lambda groups, progress: asked.append(groups))
    tests.set_up([layer], Progress())
    assert asked == built


# The effective stack file


TRACKED = {"config": {"switchyard:tier": "sandbox", "switchyard:images": {"pull_policy": "Always"}}}
BEFORE = {"encryptionsalt": "v1:salt", "config": {"switchyard:TOKEN": {"secure": "v1:x"}, "switchyard:namespace": "old"}}


def test_the_effective_file_keeps_salt_and_secrets_and_nothing_else_of_before():
    made = effective(TRACKED, BEFORE, {})
    assert made["encryptionsalt"] == "v1:salt"
    assert made["config"]["switchyard:TOKEN"] == {"secure": "v1:x"}
    assert "switchyard:namespace" not in made["config"]


def test_the_effective_file_adds_pins_beside_what_is_tracked():
    added = Embedded(Path("/k"), "sandbox", ("10.118.0.1/32",), ("10.118.0.0/24",), "r/s", {"lamp": f"r/s/lamp@{DIGEST}"}).config()
    config = effective(TRACKED, {}, added)["config"]
    assert config["switchyard:images"] == {"pull_policy": "Always", "registry": "r/s", "pinned": {"lamp": f"r/s/lamp@{DIGEST}"}}
    assert config["switchyard:cluster"] == {"kubeconfig": "/k", "context": "sandbox", "api_server": ["10.118.0.1/32"]}
    assert config["switchyard:edge"] == {"ranges": ["10.118.0.0/24"]}


def test_the_tracked_document_is_left_as_it_is():
    before = json.dumps(TRACKED)
    effective(TRACKED, BEFORE, {"switchyard:images": {"registry": "r"}})
    assert json.dumps(TRACKED) == before


def test_writing_twice_changes_nothing_and_only_the_owner_reads_it(sandbox_stack, tmp_path):
    path = write_effective(sandbox_stack, tmp_path, {})
    first = path.stat()
    assert write_effective(sandbox_stack, tmp_path, {}) == path
    assert (path.stat().st_mtime_ns, path.stat().st_mode & 0o777) == (first.st_mtime_ns, 0o600)


def test_a_stack_stays_on_the_sandbox_when_its_effective_file_names_the_cluster(sandbox_stack, tmp_path):
    added = Embedded(
        Path("/k"), "sandbox", ("10.118.0.1/32",), (), "r", {name: f"r/{name}@{DIGEST}" for name in sandbox_stack.settings.image_names()}
    )
    made = Stack.load("sandbox", write_effective(sandbox_stack, tmp_path, added.config()))
    assert made.on_sandbox and made.settings.cluster.context == "sandbox" and not made.lacks()


@pytest.mark.parametrize(
    ("cluster", "on_sandbox"),
    [
        ({"identifier": "sandbox"}, True),
        ({"identifier": "company"}, False),
        ({"identifier": "sandbox", "context": "mine"}, False),
        ({"identifier": "sandbox", "kubeconfig": "~/mine"}, False),
    ],
)
def test_a_stack_of_any_tier_is_on_the_sandbox_if_that_is_its_cluster_and_it_names_no_way_there(tmp_path, cluster, on_sandbox):
    checkout(tmp_path, {"x": {"tier": "production", "cluster": cluster}})
    assert Stack.load("x", root=tmp_path).on_sandbox is on_sandbox


def test_a_stack_that_pulumis_own_options_name_is_the_one_that_is_meant():
    assert named_stack(("config", "set", "--secret", "A", "--stack", "x")) == "x"
    assert named_stack(("config", "-s", "x")) == "x"
    assert named_stack(("config", "--stack=x")) == "x"
    assert named_stack(("stack", "ls")) == ""


def test_tracked_stacks_carry_neither_salt_nor_secret():
    for file in ROOT.glob("Pulumi.*.yaml"):
        assert not {"encryptionsalt", "secretsprovider"} & set(read(file)) and "secure:" not in file.read_text()


# The workspace


def test_the_passphrase_is_made_once_and_private(workspace):
    first = workspace.passphrase_file.read_text()
    workspace.prepare()
    assert workspace.passphrase_file.read_text() == first and len(first) > 30
    assert workspace.passphrase_file.stat().st_mode & 0o777 == 0o600


def test_the_sandbox_is_deaf_to_the_users_own_pulumi(workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("SWITCHYARD_STATE", str(tmp_path))
    base = {"PATH": "/bin", "PULUMI_BACKEND_URL": "s3://company", "PULUMI_CONFIG_PASSPHRASE": SECRET, "KUBECONFIG": "/company"}
    env = workspace.variables(None, base)
    assert env["PULUMI_BACKEND_URL"] == f"file://{workspace.backend}"
    assert "PULUMI_CONFIG_PASSPHRASE" not in env and "KUBECONFIG" not in env


def test_other_stacks_keep_the_users_own_login(tmp_path):
    base = {"PATH": "/bin", "PULUMI_BACKEND_URL": "s3://company", "PULUMI_CONFIG_PASSPHRASE": SECRET}
    env = Workspace(tmp_path, local=False).variables(None, base)
    assert env["PULUMI_BACKEND_URL"] == "s3://company" and env["PULUMI_CONFIG_PASSPHRASE"] == SECRET


def test_this_python_is_the_first_on_the_path(workspace):
    assert workspace.variables(None, {"PATH": "/bin"})["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_programs_do_not_see_the_checkout_on_pythons_path():
    assert users({"PYTHONPATH": f"{ROOT}{os.pathsep}/mine"}) == {"PYTHONPATH": "/mine"}
    assert users({"PYTHONPATH": str(ROOT)}) == {}


def test_a_login_is_a_variable_or_a_credentials_file(tmp_path):
    assert not logged_in({"HOME": str(tmp_path)})
    assert logged_in({"HOME": str(tmp_path), "PULUMI_BACKEND_URL": "file:///x"})
    (tmp_path / ".pulumi").mkdir()
    (tmp_path / ".pulumi" / "credentials.json").touch()
    assert logged_in({"HOME": str(tmp_path)})


# What is refused before anything changes


def test_a_missing_secret_is_refused_with_the_command_that_sets_it(sandbox_stack):
    said = sandbox_stack.settings
    wanting = replace(sandbox_stack, settings=said.model_copy(update={"app": said.app.model_copy(update={"secrets": ["SENTRY_DSN"]})}))
    with pytest.raises(
        SettingsError, match=r"secret SENTRY_DSN is missing: set it with `./sy pulumi -s sandbox config set --secret SENTRY_DSN"
    ):
        checks.refuse_missing_secrets(wanting)
    checks.refuse_missing_secrets(replace(wanting, secrets=("SENTRY_DSN",)))


def test_a_missing_secret_is_worded_alike_wherever_it_is_said(sandbox_stack):
    said = sandbox_stack.settings
    wanting = replace(sandbox_stack, settings=said.model_copy(update={"app": said.app.model_copy(update={"secrets": ["SENTRY_DSN"]})}))
    [sentence] = wanting.lacking_secrets()
    assert sentence in wanting.lacks()
    found = [one for one in preflight._lacks(wanting) if "SENTRY_DSN" in one.found]
    assert [f"{one.found}: {one.cure}" for one in found] == [f"Pulumi.sandbox.yaml: {sentence}"]
    assert not replace(wanting, secrets=("SENTRY_DSN",)).lacking_secrets()


def test_an_image_that_the_sandbox_can_not_pull_is_refused_before_anything_is_built(sandbox_stack):
    said = sandbox_stack.settings
    for image, refused in (
        ("lamp", False),
        (f"ghcr.io/shop/app@{DIGEST}", True),
        ("shop", True),
        (f"10.118.0.1:5000/shop@{DIGEST}", False),
    ):
        settings = said.model_copy(update={"app": said.app.model_copy(update={"image": image})})
        stack = replace(sandbox_stack, settings=settings)
        if refused:
            with pytest.raises(SettingsError, match="reaches no registry but its own"):
                checks.refuse_far_images(stack)
        else:
            checks.refuse_far_images(stack)


def test_images_without_digest_and_a_missing_cluster_are_refused_at_once():
    with pytest.raises(SettingsError) as refused:
        checks.refuse_lacks(Stack.open("production"))
    assert "cluster.context" in refused.value.problems[0]
    assert any("has no digest" in problem for problem in refused.value.problems)


@pytest.mark.parametrize("labels", [None, {STACK_LABEL: "lamp.sandbox"}])
def test_an_absent_or_own_namespace_is_fine(sandbox_stack, labels):
    checks.refuse_foreign(labels, sandbox_stack)


@pytest.mark.parametrize(("labels", "whose"), [({}, "somebody else"), ({STACK_LABEL: "lamp.other"}, "the stack lamp.other")])
def test_a_foreign_namespace_is_refused(sandbox_stack, labels, whose):
    with pytest.raises(UserError, match=whose):
        checks.refuse_foreign(labels, sandbox_stack)


def test_no_root_is_one_sentence(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UserError, match="needs root"):
        checks.require_root()


def test_too_little_disk_names_the_folder_and_both_figures(tmp_path):
    checks.require_room(0, tmp_path)
    with pytest.raises(UserError, match=rf"{tmp_path}/not/yet: 99999999.0 GiB are needed and \d+\.\d GiB are free"):
        checks.require_room(99_999_999, tmp_path / "not" / "yet")


def test_an_unreachable_cluster_is_one_sentence(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "warning\nconnection refused")
    monkeypatch.setattr(process, "capture", lambda *_, **__: failed)
    client = Kubectl(Path("/bin/kubectl"), Cluster(identifier="company", context="c"), "n")
    with pytest.raises(UserError, match=r"cluster company .context c. can not be reached: connection refused"):
        client.check_reachable()


def test_an_image_that_can_not_be_pulled_is_refused_and_a_closed_registry_only_warned_of(monkeypatch, capsys):
    stack = Stack.open("production")
    answers = {"lamp": "MANIFEST_UNKNOWN: manifest unknown", "postgres": "UNAUTHORIZED: authentication required"}
    monkeypatch.setattr(checks, "_manifest", lambda _crane, ref: next((said for name, said in answers.items() if f"/{name}:" in ref), ""))
    with pytest.raises(SettingsError) as refused:
        checks.check_images(stack, Path("/bin/crane"))
    assert len(refused.value.problems) == 1 and "lamp" in refused.value.problems[0]
    assert "postgres" in capsys.readouterr().err


def test_without_a_terminal_a_question_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    console.confirm("Delete?", True)
    with pytest.raises(UserError, match="--yes"):
        console.confirm("Delete?", False)


def test_nodes_are_refused_for_other_stacks(capsys):
    assert entry.main(["up", "-s", "staging", "--nodes", "2"]) == 2
    assert "--nodes is for the sandbox" in capsys.readouterr().err


# After a killed run


def lock_file(workspace, **said):
    folder = workspace.backend / ".pulumi" / "locks" / "organization" / "switchyard" / "sandbox"
    folder.mkdir(parents=True)
    (folder / "1.json").write_text(json.dumps(said))


def test_a_lock_whose_process_is_gone_is_removed(pulumi, monkeypatch):
    lock_file(pulumi.workspace, pid=2**22 + 1, hostname=socket.gethostname())
    ran = []
    monkeypatch.setattr(process, "run", lambda argv, *_, **__: ran.append(argv) or 0)
    assert pulumi.recover() == []
    assert ran == [pulumi.cancel_argv()]


def test_a_lock_of_a_living_pulumi_is_respected(pulumi, monkeypatch):
    lock_file(pulumi.workspace, pid=7, hostname=socket.gethostname())
    monkeypatch.setattr(Lock, "alive", lambda _self: True)
    with pytest.raises(UserError, match="process 7"):
        pulumi.recover()


def test_another_machines_lock_counts_as_alive():
    assert Lock(1, "elsewhere").alive()
    assert not Lock(os.getpid(), socket.gethostname()).alive(), "this process is no pulumi"


def test_a_lock_cut_off_while_it_was_written_is_dead(pulumi):
    lock_file(pulumi.workspace)
    assert [lock.alive() for lock in read_locks(pulumi.workspace.backend, "sandbox")] == [False]


def test_shared_backends_locks_are_never_touched(pulumi):
    lock_file(pulumi.workspace, pid=2**22 + 1, hostname=socket.gethostname())
    assert replace(pulumi, workspace=replace(pulumi.workspace, local=False)).recover() == []


def test_unfinished_creates_are_read_from_the_state(workspace):
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "release", "namespace": "n"}}
    operations = [
        {"type": "creating", "resource": {"urn": "u1", "inputs": job}},
        {"type": "creating", "resource": {"urn": "u2", "inputs": {"length": 64}}},
        {"type": "updating", "resource": {"urn": "u3", "inputs": job}},
    ]
    file = engine.state_file(workspace.backend, "sandbox")
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"checkpoint": {"latest": {"pending_operations": operations}}}))
    assert read_pending(workspace.backend, "sandbox") == [Pending("Job.v1.batch", "release"), Pending("", "u2")]
    assert read_pending(workspace.backend, "never-made") == []


def test_what_holds_data_is_not_removed_to_make_it_again():
    assert Pending("Job.v1.batch", "release").removable
    assert not any(Pending(kind, "x").removable for kind in ("Namespace", "PersistentVolumeClaim", ""))


def test_ctrl_c_is_passed_on_once_and_waited_for(tmp_path):
    marker = tmp_path / "ended"
    script = f"trap 'echo ended > {marker}; exit 0' INT; kill -INT {os.getpid()}; while :; do sleep 0.05; done"
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            process.run(["/bin/bash", "-c", script], dict(os.environ), tmp_path)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert marker.read_text() == "ended\n"


# Ready


def workload(kind, *, wanted=1, ready=1, updated=1, replicas=1, generation=1, seen=1):
    status = {"observedGeneration": seen, "readyReplicas": ready, "updatedReplicas": updated, "replicas": replicas}
    return {"kind": kind, "metadata": {"name": "x", "generation": generation}, "spec": {"replicas": wanted}, "status": status}


@pytest.mark.parametrize(
    "change",
    [{"ready": 0}, {"updated": 0}, {"replicas": 2}, {"generation": 2}],
    ids=["not ready", "old pods", "one too many", "status of before"],
)
def test_a_workload_that_has_not_rolled_out_is_waited_for(change):
    assert unready([workload("StatefulSet", **change)]) == ["statefulset/x"]
    assert unready([workload("Deployment")]) == []


def service(selector):
    return {"kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": selector}}


def endpoint_slice(*ready):
    labels = {kubectl.SERVICE_OF_SLICE: "web"}
    return {
        "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "labels": labels},
        "endpoints": [{"conditions": {"ready": value}} for value in ready],
    }


def test_a_service_needs_somebody_ready_behind_it():
    assert unready([service({"app": "web"})]) == ["service/web"]
    assert unready([service({"app": "web"}), endpoint_slice(False)]) == ["service/web"]
    assert unready([service({"app": "web"}), endpoint_slice(False), endpoint_slice(True)]) == []


def test_a_service_without_a_selector_has_its_endpoints_from_elsewhere():
    assert unready([service({})]) == []


# The demo


OUTPUTS = {
    "namespace": "lamp-sandbox",
    "config_secret": "app-config-1",
    "urls": {"web": "http://10.120.0.9:80"},
    "mqtt": {"host": "10.121.0.1", "port": 8883, "ca": "PEM", "server_name": "mqtt"},
}
PASSWORDS = {"ADMIN_PASSWORD": SECRET, "DEMO_API_TOKEN": SECRET, "DEMO_LAMP_PASSWORD": SECRET}


def test_the_demo_is_known_by_its_image_and_what_a_fall_needs(sandbox_stack):
    assert demo.applies(sandbox_stack)
    said = sandbox_stack.settings
    for absent in (
        {"consumer": said.consumer.model_copy(update={"where": "none"})},
        {"mqtt": said.mqtt.model_copy(update={"where": "none"})},
    ):
        assert not demo.applies(replace(sandbox_stack, settings=said.model_copy(update=absent)))


def test_urls_get_the_address_that_this_machine_can_open():
    assert with_address("http://web.lamp-sandbox.svc:80/x", {"web": "10.120.0.9"}) == "http://10.120.0.9:80/x"
    assert with_address("http://web.lamp-sandbox.svc", {"other": "10.120.0.9"}) == "http://web.lamp-sandbox.svc"


def test_nothing_secret_is_shown(sandbox_stack, capsys, monkeypatch):
    made = demo.of_outputs(OUTPUTS, PASSWORDS)
    target = type("Target", (), {"stack": sandbox_stack})()
    up.summary(target, OUTPUTS, demo.Told("event", 1, 5.0, 90.0))
    shown = repr(made) + "".join(capsys.readouterr())
    assert SECRET not in shown
    assert "./sy secret ADMIN_PASSWORD" in shown and "http://10.120.0.9:80/admin" in shown and "mqtts://10.121.0.1:8883" in shown


def test_a_product_without_broker_ends_well_without_a_fall(sandbox_stack, capsys):
    said = sandbox_stack.settings
    app = said.app.model_copy(update={"image": "shop"})
    target = type("Target", (), {"stack": replace(sandbox_stack, settings=said.model_copy(update={"app": app}))})()
    up.summary(target, {"namespace": "shop", "urls": {"web": "http://10.120.0.9:80"}}, None)
    shown = capsys.readouterr().out
    assert "http://10.120.0.9:80\n" in shown and "ADMIN_PASSWORD" not in shown and "fall" not in shown


def test_a_fall_that_nobody_takes_says_how_far_it_came():

    made = Demo("127.0.0.1", 1, "mqtt", AUTHORITY, "http://127.0.0.1:1", PASSWORDS)
    with pytest.raises(FailedError, match=r"broker 127.0.0.1:1 can not be reached.*./sy fall"):
        demo.fall(made, Progress(), patience=0.1)


def test_the_brokers_name_is_checked_although_its_address_is_dialled():
    context = demo.NamedContext.trusting(AUTHORITY, "mqtt.lamps.example")
    assert context.check_hostname and context.verify_mode == ssl.CERT_REQUIRED
    left, right = socket.socketpair()
    with left, right:
        wrapped = context.wrap_socket(left, server_hostname="10.121.0.1", do_handshake_on_connect=False)
        assert wrapped.server_hostname == "mqtt.lamps.example"
        wrapped.close()


def test_checks_side_by_side_raise_the_first_error():
    started = threading.Barrier(2, timeout=5)

    def fails(text):
        started.wait()
        raise UserError(text)

    with pytest.raises(UserError, match="one"):
        checks.all_of(lambda: fails("one"), lambda: fails("two"))


def test_the_effective_file_is_yaml_that_pulumi_reads(sandbox_stack, tmp_path):
    written = yaml.safe_load(write_effective(sandbox_stack, tmp_path, {}).read_text())
    assert written["config"]["switchyard:tier"] == "sandbox"


def test_images_need_no_engine(monkeypatch):
    from cli import machine

    monkeypatch.setattr(machine.toolchain, "ensure", lambda _groups, _progress: Toolchain({"crane": Path("/bin/crane")}))
    assert machine.ensure(("images",), object()).built.program("crane") == Path("/bin/crane")


def test_toolchain_is_none_where_the_machines_own_engine_is_used():
    from cli.machine import Programs

    assert Programs(Path("/usr/bin/pulumi"), Toolchain({}), ours=False).toolchain is None


@pytest.mark.parametrize("name", [name for commands in GROUPS.values() for name in commands])
def test_the_examples_of_a_commands_help_stand_a_line_each(name):
    text = CliRunner().invoke(root, [name, "--help"]).output if name not in ("kubectl", "pulumi") else root.get_command(None, name).help
    assert "\\b" not in text
    assert not [line for line in text.splitlines() if line.count("./sy ") > line.count("|") + 1]
