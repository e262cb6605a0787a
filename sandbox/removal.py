"""Taking nodes out of an existing sandbox."""

import shutil
import subprocess
from dataclasses import dataclass

from sandbox import node
from sandbox.api import Api
from sandbox.layout import MAX_NODES, Layout, Node, Programs
from sandbox.processes import Processes
from tools.progress import Progress

DRAIN_SECONDS = 60
"""A disruption budget that cannot be kept with fewer nodes must not keep the sandbox from shrinking."""


@dataclass(frozen=True)
class Removal:
    """Takes nodes out: their pods move if they can, their images and containers are deleted, volumes stay with their claims."""

    layout: Layout
    programs: Programs
    processes: Processes
    api: Api

    def remove_beyond(self, count: int, progress: Progress) -> None:
        """Remove all nodes with a number above `count`."""
        for number in range(count + 1, MAX_NODES + 1):
            each = Node(number)
            if self.api.find(f"/api/v1/nodes/{each.name}"):
                with progress.step(f"removing {each.name}"):
                    self._drain(each, progress)
                    self.api.delete(f"/api/v1/nodes/{each.name}")
            node.down(self.processes, [each], grace=5.0)
            if self.layout.node(each).exists():
                shutil.rmtree(self.layout.node(each))

    def _drain(self, each: Node, progress: Progress) -> None:
        if not self.processes.running(node.part("kubelet", each)):
            return
        line = [
            str(self.programs.program("kubectl")),
            f"--kubeconfig={self.layout.kubeconfig}",
            "drain",
            each.name,
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--force",
            "--grace-period=10",
            f"--timeout={DRAIN_SECONDS}s",
        ]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            progress.say(f"{each.name} is removed with pods on it: {reason}")
