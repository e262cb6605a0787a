"""Which stacks a change alters, told by a real checkout; and what differs between two of them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest
import yaml
from click.testing import CliRunner

from cli.affected import between, checkout, command, line, resolved
from cli.diff import source_of
from reports import text
from reports.affected import Affected, affected, changes, unseen
from reports.compare import compare
from tests.unit.stacks import house, stack, subjects
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress

CODE = ("components", "settings", "rendering")


def made(**inputs):
    return {"resources": [{"type": f"kubernetes:v1:{name}", "name": name, "inputs": said} for name, said in inputs.items()]}


class TestChanges:
    def test_a_changed_a_new_and_a_removed_object_count_one_each(self):
        assert len(changes(made(a={"x": 1}, b={}, c={}), made(a={"x": 2}, b={}, d={}))) == 3

    def test_an_object_named_by_its_content_counts_once(self):
        old, new = ({"resources": [{"type": "t", "name": f"config-{digit * 10}", "inputs": {"d": digit}}]} for digit in "ab")
        assert len(changes(old, new)) == 1

    def test_protection_counts(self):
        old, new = ({"resources": [{"type": "t", "name": "x", "inputs": {}, "protect": on}]} for on in (True, False))
        assert changes(old, new)

    def test_new_removed_and_unknown_stacks_are_said(self):
        before = {"same": made(a={}), "gone": made(a={}, b={}), "broken": "could not be rendered at main: no"}
        after = {"same": made(a={}), "fresh": made(a={}), "broken": made(a={})}
        assert affected(before, after) == [
            Affected("broken", 1, "could not be rendered at main: no"),
            Affected("fresh", 1, "new"),
            Affected("gone", 2, "removed"),
        ]

    def test_a_new_secret_and_another_cluster_are_noticed_though_no_object_shows_them(self):
        before = {"switchyard:SENTRY_DSN": {"secure": "v1:old"}, "switchyard:web": {"web": {}}, "switchyard:cluster": {"context": "a"}}
        after = {
            "switchyard:SENTRY_DSN": {"secure": "v1:new"},
            "switchyard:web": {},
            "switchyard:cluster": {"context": "b"},
            "aws:region": "x",
        }
        assert unseen(before, after) == ["SENTRY_DSN", "aws:region", "cluster"]
        assert unseen(before, dict(before)) == []

    def test_a_line_begins_with_the_name_and_a_tab(self):
        assert line(Affected("staging", 1)) == "staging\t1 resource"
        assert line(Affected("old", None, "removed")) == "old\tremoved"


def git(root, *words):
    identity = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t"}
    said = subprocess.run(["git", *words], cwd=root, env={**os.environ, **identity}, capture_output=True, text=True, check=True)
    return said.stdout


def write(root, name, said):
    config = {f"switchyard:{key}": value for key, value in said.items()}
    (root / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump({"config": config}))


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A checkout of four commits: `bare` without a renderer, `broken`, `good`; its working tree differs from `good`."""
    root = house(tmp_path_factory.mktemp("repository"), {"staging": stack("staging"), "twin": stack("twin"), "gone": stack("gone")})
    git(root, "init", "-q", "-b", "main")
    commit(root, "bare")
    for folder in CODE:
        shutil.copytree(ROOT / folder, root / folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    write(root, "twin", stack("twin", {"web": {"web": {"replicas": "many"}}}))
    commit(root, "broken")
    write(root, "twin", stack("twin"))
    commit(root, "good")
    write(root, "staging", stack("staging", {"web": {"web": {"replicas": 3}}, "cluster": {"context": "another"}}))
    write(root, "fresh", stack("fresh"))
    (root / "Pulumi.gone.yaml").unlink()
    return root


def commit(root, name):
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", name)
    git(root, "tag", name)


def told(repository, base):
    found, broken = between(base, repository, Progress())
    assert broken == []
    return {one.stack: one for one in found}


class TestACheckout:
    def test_it_lists_changed_new_and_removed_stacks_and_no_others(self, repository):
        found = told(repository, "good")
        assert found == {
            "staging": Affected("staging", 1, "its file says otherwise: cluster"),
            "fresh": Affected("fresh", found["fresh"].objects, "new, not in git yet"),
            "gone": Affected("gone", found["gone"].objects, "removed"),
        }

    def test_a_stack_that_could_not_be_rendered_there_counts_and_the_others_are_still_compared(self, repository):
        found = told(repository, "broken")
        assert set(found) == {"staging", "twin", "fresh", "gone"}
        assert found["twin"].why.startswith("could not be rendered at broken: ")
        assert found["staging"].objects == 1

    def test_without_a_renderer_there_every_stack_counts_and_it_says_why(self, repository):
        found = told(repository, "bare")
        assert set(found) == {"staging", "twin", "fresh", "gone"}
        assert found["twin"].why == "there is no renderer in bare, so what it had is not known"

    def test_stacks_that_can_not_be_rendered_now_are_all_named_and_the_others_still_listed(self, repository, monkeypatch):
        whole = {name: (repository / f"Pulumi.{name}.yaml").read_text() for name in ("twin", "fresh")}
        try:
            write(repository, "twin", stack("twin", {"web": {"web": {"replicas": "many"}}}))
            (repository / "Pulumi.fresh.yaml").write_text("config: [\n")
            monkeypatch.setattr("cli.affected.ROOT", repository)
            done = CliRunner().invoke(command, ["--base", "good"])
        finally:
            for name, text in whole.items():
                (repository / f"Pulumi.{name}.yaml").write_text(text)
        assert [row.split("\t")[0] for row in done.stdout.splitlines()] == ["gone", "staging"]
        assert isinstance(done.exception, UserError)
        assert "Pulumi.twin.yaml" in str(done.exception) and "Pulumi.fresh.yaml" in str(done.exception)

    def test_nothing_stays_behind(self, repository, monkeypatch, tmp_path):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        with checkout(resolved("good", repository), repository) as folder:
            assert (folder / "Pulumi.gone.yaml").is_file()
        assert list(tmp_path.iterdir()) == []
        assert len(git(repository, "worktree", "list").splitlines()) == 1

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_nothing_stays_behind_after_ctrl_c(self, repository, tmp_path, number):
        program = (
            "import signal; from pathlib import Path; from cli.__main__ import _terminate; from cli.affected import between;"
            "from tools.progress import Progress; signal.signal(signal.SIGTERM, _terminate);"
            f"between('good', Path({str(repository)!r}), Progress())"
        )
        env = {**os.environ, "TMPDIR": str(tmp_path)}
        running = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)
        assert running.stderr
        assert "rendering" in running.stderr.readline()
        assert list(tmp_path.glob("switchyard-affected-*"))
        running.send_signal(number)
        running.communicate(timeout=30)
        assert running.returncode != 0
        assert list(tmp_path.glob("switchyard-affected-*")) == []

    @pytest.mark.parametrize("base", ["nope", "--all", "good:product.yaml"])
    def test_a_revision_that_is_none_is_one_clear_error(self, repository, base):
        with pytest.raises(UserError, match=f"there is no revision '{base}'"):
            resolved(base, repository)

    def test_a_folder_that_is_no_checkout_is_said(self, tmp_path):
        with pytest.raises(UserError, match="is no git checkout"):
            resolved("main", tmp_path)

    def test_the_command_prints_a_stack_a_line(self, repository, monkeypatch):
        monkeypatch.setattr("cli.affected.between", lambda *_: ([Affected("staging", 2), Affected("fresh", 80, "new")], []))
        assert CliRunner().invoke(command, ["--base", "x"]).stdout == "staging\t2 resources\nfresh\t80 resources, new\n"
        assert json.loads(CliRunner().invoke(command, ["--base", "x", "--json"]).stdout)[0] == {"stack": "staging", "objects": 2, "why": ""}


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    more = {"web": {"web": {"replicas": 3}}, "mqtt": {"annotations": {"a.example/b": "c"}}}
    found = subjects(house(tmp_path_factory.mktemp("house"), {"a": stack("a"), "b": stack("b", more)}), ["a", "b"])
    return compare(found["a"], found["b"])


class TestDifferences:
    def test_every_difference_is_told_with_both_values(self, comparison):
        told = "\n".join(text.difference(comparison))
        assert f"diff a b: 2 of {comparison.fields} fields differ, in 2 resources" in told
        assert "  Deployment/web spec.replicas\n      a  2\n      b  3" in told
        assert "  Service/mqtt-public metadata.annotations[a.example/b]\n      a  (none)\n      b  c" in told

    def test_json_says_null_for_what_is_missing(self, comparison):
        rows = json.loads(text.difference_json(comparison))["rows"]
        assert rows[1] == {"place": "Service/mqtt-public metadata.annotations[a.example/b]", "left": None, "right": "c"}

    def test_a_fork_is_compared_with_its_source_and_all_else_with_production(self, tmp_path):
        for name, first in {"fork": "# A fork of staging: what must differ", "lost": "# A fork of gone: x", "other": "#"}.items():
            (tmp_path / f"Pulumi.{name}.yaml").write_text(f"{first}\nconfig: {{}}\n")
        (tmp_path / "Pulumi.staging.yaml").write_text("config: {}\n")
        assert [source_of(name, tmp_path) for name in ("fork", "lost", "other", "none")] == ["staging", *["production"] * 3]
