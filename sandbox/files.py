"""Writing configuration files."""

import threading
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Write `text` unless it is there already: kube-proxy ends itself whenever somebody touches its file."""
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Nodes start at the same time and share some files: each writes a draft of its own.
    draft = path.with_name(f"{path.name}.{threading.get_native_id()}.draft")
    draft.write_text(text)
    draft.replace(path)
