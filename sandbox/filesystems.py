"""Each node's view of the file system: a mount namespace in which /var/lib/kubelet, /var/log/pods and the like are the node's own.

So every path on a node is what it is on a real one, nodes do not see each other, and nothing that a kubelet or a
container mounted is left on the host: all of it ends with the namespace.
"""

import contextlib
import os
import shlex
import subprocess
from pathlib import Path

from sandbox.host import program, run
from sandbox.layout import RUN, Layout, Node
from sandbox.processes import boot_id
from tools.errors import UserError

KEPT = {
    "/var/lib/kubelet": "kubelet",
    "/var/lib/containerd": "containerd",
    "/var/log/pods": "logs",
    # Of the cluster's log collector: how far it has read, and what waits to be sent.
    "/var/lib/switchyard-collector": "collector",
}
"""Folders of a node that survive a stop, by their path on the node."""

PASSING = {
    "/run/containerd": "containerd",
    "/var/lib/cni": "cni",
    "/var/log/containers": "container-logs",
}
"""Folders of a node that are empty after each start: addresses, sockets and namespaces of pods that no longer exist."""

OWNER = RUN / "owner"
BOOT = RUN / "boot"


def make_run(layout: Layout) -> None:
    """Mount the sandbox's run folder; raise UserError when a sandbox of another state folder uses it."""
    if is_mounted(RUN) and BOOT.exists() and BOOT.read_text() == boot_id():
        owner = OWNER.read_text()
        if owner != str(layout.root):
            raise UserError(f"Another sandbox, kept in {owner}, is up on this machine: stop it first, or use its state folder.")
        return
    RUN.mkdir(exist_ok=True)
    if not is_mounted(RUN):
        run("mount", "-t", "tmpfs", "-o", "mode=0711,size=1g", "switchyard", str(RUN))
    # A mount namespace can be kept on a private mount alone.
    run("mount", "--make-private", str(RUN))
    OWNER.write_text(str(layout.root))
    made = _made(layout) | {path for path in (*KEPT, *PASSING) if not Path(path).exists()}
    layout.mount_points.write_text("\n".join(sorted(made)))
    BOOT.write_text(boot_id())


def owned_by(layout: Layout) -> bool:
    """Say whether the run folder is in use for this sandbox."""
    return OWNER.exists() and OWNER.read_text() == str(layout.root)


def remove_run(layout: Layout) -> None:
    """Unmount the run folder with all that is mounted in it, and remove the mount points that were made for nodes."""
    for mount in mounts_under(RUN):
        run("umount", "--lazy", mount)
    for folder, _, _ in os.walk(RUN, topdown=False):
        _remove_empty(Path(folder))
    for path in _made(layout):
        _remove_empty(Path(path))
    layout.mount_points.unlink(missing_ok=True)


def make_node(layout: Layout, node: Node) -> None:
    """Create the node's mount namespace unless it is there."""
    if is_mounted(node.mounts):
        return
    node.run.mkdir(exist_ok=True)
    node.mounts.touch()
    binds: list[tuple[Path, str]] = [(layout.node(node) / folder, path) for path, folder in KEPT.items()]
    binds += [(node.run / folder, path) for path, folder in PASSING.items()]
    for source, path in binds:
        source.mkdir(parents=True, exist_ok=True)
        Path(path).mkdir(parents=True, exist_ok=True)
    script = "".join(f"mount --bind {shlex.quote(str(source))} {path}; " for source, path in binds)
    # Other network namespaces would live as long as the node. The root is shared within the namespace, so that a mount
    # made in a container with Bidirectional propagation arrives.
    script = f"set -e; umount --recursive --lazy /run/netns; mount --make-rshared /; {script}"
    # What the host mounts and unmounts arrives on the node, or a node would keep an unplugged disk busy; nothing goes back.
    line = [program("unshare"), f"--mount={node.mounts}", "--propagation", "slave", "sh", "-c", script]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"The mount namespace of {node.name} could not be made: {done.stderr.strip()}")


def remove_node(node: Node) -> None:
    """Let go of the node's mount namespace and forget what is in its run folder."""
    for mount in mounts_under(node.run):
        run("umount", "--lazy", mount)
    if node.run.exists():
        run("rm", "-rf", "--one-file-system", str(node.run))


def is_mounted(path: Path) -> bool:
    """Say whether something is mounted exactly there."""
    return str(path) in _mount_points()


def mounts_under(folder: Path) -> list[str]:
    """Return the mount points at and below `folder`, innermost and latest first."""
    inside = [point for point in _mount_points() if point == str(folder) or point.startswith(f"{folder}/")]
    return list(reversed(inside))


def _made(layout: Layout) -> set[str]:
    return set(layout.mount_points.read_text().splitlines()) if layout.mount_points.exists() else set()


def _mount_points() -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    # The kernel writes spaces, tabs and backslashes in octal.
    return [line.split()[4].encode().decode("unicode_escape") for line in lines]


def _remove_empty(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.rmdir()
