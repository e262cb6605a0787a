"""An image with a shell for tests of the cluster itself: Debian's static busybox, nothing else."""

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

from tools.paths import cache_dir

APPLETS = ("sh", "nc", "httpd", "nslookup", "wget", "timeout", "sleep", "stat", "cat", "touch", "echo", "mkdir", "ip")
OCI = "application/vnd.oci.image"


def push(crane: Path, registry: str) -> str:
    """Build the image, push it, and return its reference with digest."""
    folder = cache_dir() / "tests" / "probe"
    digest = write_layout(folder / "layout", busybox(folder / "debian"))
    repository = f"{registry}/tests/probe"
    subprocess.run([crane, "push", "--insecure", folder / "layout", f"{repository}:latest"], check=True, capture_output=True)
    return f"{repository}@{digest}"


def busybox(folder: Path) -> bytes:
    """Return Debian's static busybox, downloaded once."""
    program = folder / "bin" / "busybox"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", "busybox-static"], cwd=folder, check=True, capture_output=True)
        (package,) = folder.glob("busybox-static_*.deb")
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    return program.read_bytes()


def write_layout(folder: Path, program: bytes) -> str:
    """Write an OCI layout of one layer and return the manifest's digest."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def put(kind: str, data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"{OCI}.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    tar = layer(program)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/bin/sh", "-c"], "User": "10100", "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": put("config.v1+json", json.dumps(config).encode()),
        "layers": [put("layer.v1.tar+gzip", gzip.compress(tar, 1, mtime=0))],
    }
    described = put("manifest.v1+json", json.dumps(manifest).encode())
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return str(described["digest"])


def layer(program: bytes) -> bytes:
    """Return a tar with busybox, its applets and a /tmp."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        temporary = tarfile.TarInfo("tmp")
        temporary.type, temporary.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(temporary)
        file = tarfile.TarInfo("bin/busybox")
        file.size, file.mode = len(program), 0o755
        tar.addfile(file, io.BytesIO(program))
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return buffer.getvalue()
