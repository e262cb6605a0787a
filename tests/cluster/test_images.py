"""Real images through a real registry: what is pushed is what a digest brings back. Needs no cluster, but the toolchain."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from images import build, catalog, layout, pin
from images.push import Registry, push
from tools.errors import UserError
from tools.progress import Progress
from tools.toolchain import Toolchain, ensure

STARTUP_SECONDS = 20


@pytest.fixture(scope="module")
def toolchain() -> Toolchain:
    return ensure(["images"], Progress())


@pytest.fixture
def registry(toolchain: Toolchain, tmp_path: Path) -> Iterator[str]:
    """An empty registry on loopback; its host with the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "registry.yml"
    config.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n")
    with (tmp_path / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            [toolchain.program("registry"), "serve", config],
            stdout=log, stderr=log, env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        )  # fmt: skip
    try:
        _wait_for(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    end = time.monotonic() + STARTUP_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def test_what_is_pushed_and_pinned_is_what_its_digest_brings_back(toolchain: Toolchain, registry: str, tmp_path: Path) -> None:
    image = build.build(["pause"], toolchain, Progress())["pause"]
    target = Registry(f"{registry}/switchyard", toolchain, plain_http=True)
    with pytest.raises(UserError, match="is not in the registry"):
        pin.pins(["pause"], target, toolchain)
    pushed = push(["pause"], target, toolchain, Progress())
    assert pushed == pin.pins(["pause"], target, toolchain) == {"pause": f"{registry}/switchyard/pause@{image.digest}"}
    crane = toolchain.program("crane")
    subprocess.run([crane, "pull", "--format=oci", pushed["pause"], tmp_path / "back"], check=True)
    index = json.loads((image.layout / "index.json").read_text())
    manifest = json.loads(layout.blob_path(image.layout, image.digest).read_text())
    assert index["manifests"][0]["digest"] == image.digest
    for blob in [image.digest, manifest["config"]["digest"], *(found["digest"] for found in manifest["layers"])]:
        assert layout.blob_path(tmp_path / "back", blob).read_bytes() == layout.blob_path(image.layout, blob).read_bytes()


def test_a_second_push_sends_nothing(toolchain: Toolchain, registry: str) -> None:
    build.build(["pause"], toolchain, Progress())
    commands: list[str] = []

    def run(command: list[str]) -> "subprocess.CompletedProcess[str]":
        commands.append(command[2])
        return subprocess.run(command, capture_output=True, text=True, check=False)

    target = Registry(f"{registry}/switchyard", toolchain, plain_http=True, run=run)  # pyright: ignore
    push(["pause"], target, toolchain, Progress())
    push(["pause"], target, toolchain, Progress())
    assert commands == ["digest", "push", "digest"]


@pytest.mark.parametrize("name", [name for name in catalog.names() if catalog.spec(name).suite])
def test_a_built_image_has_its_user_and_no_trace_of_its_build(toolchain: Toolchain, name: str, tmp_path: Path) -> None:
    image = build.build([name], toolchain, Progress())[name]
    manifest = json.loads(layout.blob_path(image.layout, image.digest).read_text())
    found: dict[str, str] = {}
    for part in manifest["layers"]:
        blob = layout.blob_path(image.layout, part["digest"])
        listing = subprocess.run(["tar", "--zstd", "--numeric-owner", "-tvf", blob], capture_output=True, text=True, check=True)
        found |= {line.split(maxsplit=5)[5].split(" -> ")[0]: line for line in listing.stdout.splitlines()}
    spec = catalog.spec(name)
    assert not {"etc/machine-id", "etc/resolv.conf", "etc/shadow", "var/lib/rabbitmq/.erlang.cookie"} & set(found)
    files = [path for path in found if not path.endswith("/")]
    assert not [path for path in files if path.startswith(("var/cache/", "var/lib/apt/", "etc/ssl/private/"))]
    assert not [line for line in found.values() if line[0] == "-" and "s" in line.split()[0]]
    for own in spec.writable:
        assert f"{spec.owner.uid}/{spec.owner.uid}" in found[f"{own.path.strip('/')}/"]
