"""The builder of the tools: what makes it build, what it leaves behind when it is stopped, and what it tells.

Most tests put a small stand-in for Go on PATH, since compiling even the smallest program takes Go half a minute.
"""

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools import golang, pulumi_home, toolchain
from tools.errors import UserError
from tools.modules import FOLDER, MODULES, PLUGINS, Module, Program, Script, modules
from tools.paths import ROOT

FAKE_GO = """#!/bin/sh
case "$1 $2" in
"env GOVERSION") echo "${FAKE_GO_VERSION:-go1.26.8}"; exit ;;
"list -m") echo "$PWD"; exit ;;
"list -deps") exit ;;
esac
echo $$ >> "$FAKE_GO_LOG"
while [ $# -gt 0 ]; do [ "$1" = -o ] && target="$2"; shift; done
echo half > "$target/app"
sleep "${FAKE_GO_SLEEP:-0}"
[ -n "$FAKE_GO_FAILS" ] && { seq 1 "$FAKE_GO_FAILS" | sed 's/^/line /'; exit 1; }
echo whole > "$target/app"
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SWITCHYARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SWITCHYARD_STATE", str(tmp_path / "state"))
    return tmp_path / "cache"


@pytest.fixture
def module(tmp_path: Path, cache: Path) -> Module:
    folder = tmp_path / "modules" / "small"
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module example.com/small/app\n\ngo 1.26\n")
    (folder / "main.go").write_text("package main\n\nfunc main() {}\n")
    programs = (Program("small-app", "example.com/small/app"),)
    return Module("small", programs, minutes=0.1, gib=0.1, sources_gib=0, parent=folder.parent)


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts the stand-in on PATH; the file has a line, its process, for each build that was started."""
    program = tmp_path / "fake" / "go"
    program.parent.mkdir()
    program.write_text(FAKE_GO)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    log = tmp_path / "builds"
    log.touch()
    monkeypatch.setenv("FAKE_GO_LOG", str(log))
    golang._ask_version.cache_clear()
    return log


def left_in(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "tools").iterdir() if path.name != "lock")


def test_a_program_is_built_once(module: Module, builds: Path) -> None:
    first = toolchain.ensure(["small"], table=[module])
    second = toolchain.ensure(["small"], table=[module])
    assert first.program("small-app").read_text() == "whole\n"
    assert first == second
    assert len(builds.read_text().splitlines()) == 1


def test_only_programs_are_kept(module: Module, builds: Path, cache: Path) -> None:
    (cache / "go" / "mod" / "example.com").mkdir(parents=True)
    toolchain.ensure(["small"], table=[module])
    assert not (cache / "go" / "mod").exists()
    assert list((cache / "go").iterdir()) == []


def test_a_script_of_a_required_module_lies_beside_the_program(module: Module, builds: Path) -> None:
    script = Script("starter", "example.com/small/app", "main.go")
    made = toolchain.ensure(["small"], table=[dataclasses.replace(module, scripts=(script,))])
    assert made.program("starter").parent == made.program("small-app").parent
    assert os.access(made.program("starter"), os.X_OK)


def test_asking_for_a_program_of_another_group_is_an_error(module: Module, builds: Path) -> None:
    made = toolchain.ensure(["small"], table=[module])
    with pytest.raises(UserError, match="kubelet is not among the programs that were asked for: small-app"):
        made.program("kubelet")


@pytest.mark.parametrize("path", ["go.mod", "go.sum", "main.go", "embedded/schema.json"])
def test_the_key_changes_with_each_source(module: Module, path: str) -> None:
    before = golang.key(module, "go1.26.8")
    source = module.folder / path
    source.parent.mkdir(exist_ok=True)
    source.write_text("changed")
    assert golang.key(module, "go1.26.8") != before


@pytest.mark.parametrize("change", [{"tags": ("netgo",)}, {"variables": (("main.version", "2"),)}, {"programs": (Program("b", "c"),)}])
def test_the_key_changes_with_how_it_is_built(module: Module, change: dict[str, tuple[str, ...]]) -> None:
    assert golang.key(dataclasses.replace(module, **change), "go1.26.8") != golang.key(module, "go1.26.8")


def test_the_key_changes_with_go(module: Module) -> None:
    assert golang.key(module, "go1.26.8") != golang.key(module, "go1.27.0")


@pytest.mark.parametrize("path", ["main_test.go", "README.md", ".main.go.swp"])
def test_the_key_is_the_same_when_no_source_changes(module: Module, path: str) -> None:
    before = golang.key(module, "go1.26.8")
    (module.folder / path).write_text("changed")
    moved = dataclasses.replace(module, minutes=99, gib=99, sources_gib=99)
    assert golang.key(moved, "go1.26.8") == before


def test_the_plan_tells_what_is_missing(module: Module, builds: Path) -> None:
    other = dataclasses.replace(module, tags=("other",))
    toolchain.ensure(["small"], table=[module])
    assert [(p.module, p.programs, p.built) for p in toolchain.plan(table=[module, other])] == [
        ("small", ("small-app",), True),
        ("small", ("small-app",), False),
    ]


def test_the_plan_can_be_asked_for_without_go(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert [plan.built for plan in toolchain.plan(table=[module])] == [False]


def test_a_failed_build_shows_the_end_of_its_log(module: Module, builds: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_GO_FAILS", "50")
    with pytest.raises(UserError) as caught:
        toolchain.ensure(["small"], table=[module])
    first, *end = str(caught.value).splitlines()
    assert first == f"tools/small: go build failed (1); its log is {cache}/logs/tools-small.log and ends with:"
    assert end == [f"line {number}" for number in range(31, 51)]
    assert left_in(cache) == []


@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")
def test_go_itself_tells_what_is_wrong_with_a_source(module: Module) -> None:
    (module.folder / "main.go").write_text('package main\n\nimport _ "example.com/absent"\n')
    with pytest.raises(UserError, match=r"(?s)tools/small: go build failed.*main\.go:3:8: .*example\.com/absent"):
        toolchain.ensure(["small"], table=[module])


def test_an_interrupted_build_leaves_nothing_half_done(module: Module, builds: Path, cache: Path) -> None:
    row = f"Module('small', (Program('small-app', 'app'),), 0.1, 0.1, 0, parent=Path({str(module.parent)!r}))"
    code = (
        "from pathlib import Path; from tools import toolchain; from tools.modules import Module, Program; "
        f"toolchain.ensure(['small'], table=[{row}])"
    )
    environment = {**os.environ, "FAKE_GO_SLEEP": "60"}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not builds.read_text().strip() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) != 0
    assert left_in(cache) == []
    assert not Path(f"/proc/{builds.read_text().strip()}").exists()
    assert toolchain.ensure(["small"], table=[module]).program("small-app").read_text() == "whole\n"


def test_what_a_killed_run_left_is_removed(module: Module, builds: Path, cache: Path) -> None:
    half = cache / "tools" / ".small-0123456789ab.4711" / "bin"
    half.mkdir(parents=True)
    toolchain.ensure(["small"], table=[module])
    assert [name[:6] for name in left_in(cache)] == ["small-"]


def test_go_works_in_the_cache_and_what_an_ended_one_left_there_is_removed(module: Module, builds: Path, cache: Path) -> None:
    compiled = cache / "go" / "build-small"
    assert golang.environment(cache, compiled)["GOTMPDIR"] == str(compiled)
    (compiled / "go-build4711").mkdir()
    toolchain.ensure(["small"], table=[module])
    assert not compiled.exists()


def test_two_runs_at_once_build_once(module: Module, builds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    monkeypatch.setenv("FAKE_GO_SLEEP", "0.5")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: toolchain.ensure(["small"], table=[module]), range(2)))
    assert len(builds.read_text().splitlines()) == 1


def test_too_little_room_is_told_before_building(module: Module, builds: Path) -> None:
    large = dataclasses.replace(module, gib=1e6)
    with pytest.raises(UserError, match=r"building small needs 1000000\.0 GiB for a while and .* are free: make room"):
        toolchain.ensure(["small"], table=[large])
    assert builds.read_text() == ""


def test_all_tools_together_need_less_than_20_gib() -> None:
    assert toolchain._needed_gib(MODULES) < 20


def test_the_room_is_that_of_what_is_missing(cache: Path, builds: Path) -> None:
    (rules,) = modules(["rules"])
    assert toolchain.room_gib(["rules"]) == rules.gib + rules.sources_gib
    toolchain._folder(rules, "go1.26.8").mkdir(parents=True)
    assert toolchain.room_gib(["rules"]) == 0


def test_the_tests_of_rules_find_their_programs() -> None:
    (rules,) = modules(["rules"])
    assert {"promtool", "amtool"} <= set(rules.names)


def test_a_machine_without_go_is_told_how_to_get_it(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UserError, match=r"there is no go on PATH; the tools need Go 1\.26 or later: install it"):
        toolchain.ensure(["small"], table=[module])


@pytest.mark.parametrize("version", ["go1.25.11", "devel", ""])
def test_an_old_go_is_refused(module: Module, builds: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golang, "_ask_version", lambda _program: version)
    with pytest.raises(UserError, match=r"fake/go is .*; the tools need Go 1\.26 or later"):
        toolchain.ensure(["small"], table=[module])


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("go.etcd.io/etcd/server/v3", "server"),
        ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
        ("switchyard.dev/tools/dns", "dns"),
        ("example.com/v1", "v1"),
        ("example.com/app/v12", "app"),
    ],
)
def test_the_name_that_go_gives_a_program(package: str, name: str) -> None:
    assert golang.go_name(package) == name


def test_every_module_of_the_table_is_a_folder_with_its_sums() -> None:
    for module in MODULES:
        assert (module.folder / "go.mod").is_file()
        assert (module.folder / "go.sum").is_file() or module.name == "pause"


def test_every_folder_with_a_go_mod_is_in_the_table() -> None:
    assert {path.parent.name for path in FOLDER.glob("*/go.mod")} == {module.name for module in MODULES}


def test_no_program_is_built_twice() -> None:
    names = [name for module in MODULES for name in module.names]
    assert len(names) == len(set(names))


def test_an_unknown_group_is_told_with_those_there_are() -> None:
    with pytest.raises(UserError, match="clutser is no group and no module; there are pulumi, cluster, images, rules, engine"):
        modules(["clutser"])


@pytest.mark.parametrize("name", ["random", "tls"])
def test_a_plugin_says_the_version_it_is_installed_as(name: str) -> None:
    found = re.search(r'const Version = "(.*)"', (FOLDER / "bridge" / name / "provider.go").read_text())
    assert found
    assert found[1] == PLUGINS[name]


def test_the_kubernetes_plugin_says_the_version_it_is_installed_as() -> None:
    assert f'"{PLUGINS["kubernetes"]}"' in (FOLDER / "kubernetes" / "main.go").read_text()


def programs_for_pulumi(folder: Path) -> toolchain.Toolchain:
    programs = {name: folder / module.name / "bin" / name for module in modules(["pulumi"]) for name in module.names}
    for name, path in programs.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return toolchain.Toolchain(programs)


def test_pulumi_finds_its_plugins_where_it_looks(tmp_path: Path, cache: Path) -> None:
    home = pulumi_home.pulumi_home(programs_for_pulumi(tmp_path / "old"))
    home = pulumi_home.pulumi_home(programs_for_pulumi(tmp_path / "new"))
    plugin = home / "plugins" / f"resource-random-v{PLUGINS['random']}" / "pulumi-resource-random"
    assert plugin.readlink() == tmp_path / "new" / "bridge" / "bin" / "pulumi-resource-random"
    assert [path.name for path in plugin.parent.iterdir()] == ["pulumi-resource-random"]


def test_our_python_and_our_pulumi_come_first(tmp_path: Path, cache: Path) -> None:
    found = pulumi_home.environment(programs_for_pulumi(tmp_path), {"PATH": "/usr/bin", "HOME": "/h"})
    assert found["PATH"] == f"{Path(sys.executable).parent}:{cache}/pulumi/engine-python:/usr/bin"
    assert found["PULUMI_HOME"] == str(tmp_path / "state" / "pulumi")
    assert found["PULUMI_SKIP_UPDATE_CHECK"] == "true"


def test_the_engine_finds_its_language_host_beside_it(tmp_path: Path, cache: Path) -> None:
    folder = pulumi_home.engine_folder(programs_for_pulumi(tmp_path))
    assert {path.name: path.read_text() for path in folder.iterdir()} == {n: n for n in pulumi_home.ENGINE_PROGRAMS}
    assert pulumi_home.engine_folder(programs_for_pulumi(tmp_path)) == folder


def test_a_login_of_the_users_own_pulumi_is_used(tmp_path: Path, cache: Path) -> None:
    found = pulumi_home.environment(programs_for_pulumi(tmp_path), {"PULUMI_HOME": "/h/own"})
    assert found["PULUMI_CREDENTIALS_PATH"] == "/h/own"


def test_the_machines_own_pulumi_keeps_its_home(cache: Path) -> None:
    found = pulumi_home.environment(None, {"PATH": "/usr/bin"})
    assert "PULUMI_HOME" not in found
    assert found["PATH"] == f"{Path(sys.executable).parent}:/usr/bin"


ALL_PLUGINS = ",".join(f'{{"name": "{name}", "kind": "resource", "version": "{version}"}}' for name, version in PLUGINS.items())


def install_pulumi(folder: Path, version: str, plugins: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    (folder / "pulumi").write_text(f"#!/bin/sh\n[ $1 = version ] && echo {version} || echo '[{plugins}]'\n")
    for name in ("pulumi", "pulumi-language-python"):
        (folder / name).touch()
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_an_installed_pulumi_with_all_plugins_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_pulumi(tmp_path / "bin", "v3.272.1", ALL_PLUGINS, monkeypatch)
    assert pulumi_home.installed_pulumi() == (tmp_path / "bin" / "pulumi", (3, 272, 1))


@pytest.mark.parametrize(
    ("version", "plugins", "lacks"),
    [
        ("v3.258.9", ALL_PLUGINS, ("version 3.259.0 or later",)),
        ("v3.259.0", "", tuple(f"plugin {name} {version}" for name, version in PLUGINS.items())),
        ("v3.259.0", "{}", tuple(f"plugin {name} {version}" for name, version in PLUGINS.items())),
    ],
)
def test_an_installed_pulumi_that_lacks_something_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, plugins: str, lacks: tuple[str, ...]
) -> None:
    install_pulumi(tmp_path / "bin", version, plugins, monkeypatch)
    found = pulumi_home.inspect_pulumi()
    assert found is not None
    assert found.lacks == lacks
    assert pulumi_home.installed_pulumi() is None


def test_a_machine_without_pulumi_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert pulumi_home.installed_pulumi() is None
