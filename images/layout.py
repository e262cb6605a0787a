"""One image in a folder, as https://github.com/opencontainers/image-spec/blob/main/image-layout.md has it."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from images.catalog import Spec, architecture
from images.layer import EPOCH, MEDIA_TYPE, Layer

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CREATED = datetime.fromtimestamp(EPOCH, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
PACKAGES_LABEL = "switchyard.packages"
"""The label that says which package versions are inside, as `name=version` with blanks between."""


def write(folder: Path, name: str, spec: Spec, layers: Sequence[Layer], packages: Sequence[str]) -> str:
    """Write configuration, manifest and index beside the layers' blobs in `folder`; return the manifest's digest."""
    config = _blob(folder, configuration(name, spec, layers, packages))
    described = [{"mediaType": MEDIA_TYPE, "digest": layer.digest, "size": layer.size} for layer in layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, **config},
        "layers": described,
    }
    described_manifest = _blob(folder, manifest)
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": [{"mediaType": MANIFEST_TYPE, **described_manifest}],
    }
    (folder / "index.json").write_text(json.dumps(index, indent=1))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return str(described_manifest["digest"])


def configuration(name: str, spec: Spec, layers: Sequence[Layer], packages: Sequence[str]) -> dict[str, object]:
    """Return the image's configuration. Its user is a number, or the kubelet could not tell that it is not root."""
    labels = {
        "org.opencontainers.image.title": name,
        "org.opencontainers.image.description": spec.description,
        **({PACKAGES_LABEL: " ".join(packages)} if packages else {}),
        **spec.labels,
    }
    run = {
        "User": f"{spec.owner.uid}:{spec.owner.uid}",
        "WorkingDir": spec.workdir,
        "Env": [f"{key}={value}" for key, value in {**_environment(spec), **spec.env}.items()],
        "Entrypoint": list(spec.entrypoint) or None,
        "Cmd": list(spec.cmd) or None,
        "Labels": labels,
    }
    return {
        "created": CREATED,
        "architecture": architecture(),
        "os": "linux",
        "config": {key: value for key, value in run.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": CREATED, "created_by": "switchyard"} for _ in layers],
    }


def blob_path(folder: Path, digest: str) -> Path:
    """Return where the blob of that digest is in the layout `folder`."""
    return folder / "blobs" / digest.replace(":", "/")


def _environment(spec: Spec) -> dict[str, str]:
    return {"PATH": "/usr/local/bin:/usr/bin:/usr/sbin", "LANG": "C.UTF-8"} if spec.suite else {"PATH": "/"}


def _blob(folder: Path, content: object) -> dict[str, str | int]:
    data = json.dumps(content, separators=(",", ":")).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    path = blob_path(folder, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"digest": digest, "size": len(data)}
