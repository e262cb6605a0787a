"""Numbered lines, written by a pod of a stack and looked for in its Loki: nothing but counting shows that none was lost."""

import contextlib
import secrets
import subprocess
import time
from collections.abc import Generator
from dataclasses import dataclass

from cli.errors import FailedError
from cli.kubectl import Kubectl
from cli.loki import NANO, Line, Loki, query
from tools.paths import ROOT

SECONDS = 120
PORT = 3100
WRITER = """
out = File.open("/proc/1/fd/1", "w"); out.sync = true
mark, count, rate, size = ARGV[0], ARGV[1].to_i, ARGV[2].to_f, ARGV[3].to_i
began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
written = 0
while written < count
  due = rate > 0 ? [((Process.clock_gettime(Process::CLOCK_MONOTONIC) - began) * rate).ceil, count].min : count
  lines = (written...due).map { |number| format("INFO %s %08d %.6f ", mark, number, Time.now.to_f).ljust(size, "x") + "\\n" }
  out.write(lines.join) unless lines.empty?
  written = due
  sleep 0.05
end
"""
"""Writes numbered lines to the stdout of the container's first process, with the moment of writing."""


@dataclass(frozen=True)
class Lines:
    """Lines that begin with a word of their own, so that no earlier run's are counted."""

    kubectl: Kubectl
    """Of the stack's namespace."""
    loki_in: str
    """The namespace of its Loki."""

    def write(self, deployment: str, count: int, rate: float = 0, size: int = 60) -> str:
        """Let a pod write `count` lines, `rate` a second (0: at once), and return the word that they begin with."""
        writing, mark = self.start(deployment, count, rate, size)
        _, errors = writing.communicate(timeout=SECONDS)
        assert writing.returncode == 0, errors
        return mark

    def start(self, deployment: str, count: int, rate: float = 0, size: int = 60) -> tuple[subprocess.Popen[str], str]:
        """Let a pod begin to write, and return the kubectl that waits for it, and the word."""
        mark = f"mark-{secrets.token_hex(4)}"
        words = ["ruby", "-e", WRITER, mark, str(count), str(rate), str(size)]
        return self._exec(deployment, *words), mark

    def say(self, deployment: str, ruby: str) -> None:
        """Let a pod write what a Ruby expression yields to its stdout."""
        writing = self._exec(deployment, "ruby", "-e", f'File.open("/proc/1/fd/1", "wb") {{ |out| out.write({ruby}) }}')
        _, errors = writing.communicate(timeout=SECONDS)
        assert writing.returncode == 0, errors

    @contextlib.contextmanager
    def loki(self, tenant: str | None = None) -> Generator[Loki]:
        """Give the Loki, asked as the stack or as another tenant."""
        there = Kubectl(self.kubectl.program, self.kubectl.cluster, self.loki_in)
        with there.forwarded("loki", PORT) as url:
            yield Loki(url, tenant or self.kubectl.namespace, self.loki_in)

    def found(self, text: str, component: str | None = None, tenant: str | None = None) -> list[Line]:
        """Return the lines of the last half hour with this text; none while Loki is away."""
        now = time.time_ns()
        try:
            with self.loki(tenant) as loki:
                return list(loki.lines(query(component, text), now - 1800 * NANO, now))
        except FailedError:
            return []

    def numbers(self, mark: str) -> set[int]:
        """Return which of the numbered lines are found."""
        return {int(line.text.split()[2]) for line in self.found(mark)}

    def wait(self, mark: str, count: int, seconds: float) -> set[int]:
        """Return which numbered lines are found once all are, or when the time is over."""
        deadline = time.monotonic() + seconds
        while len(found := self.numbers(mark)) < count and time.monotonic() < deadline:
            time.sleep(0.5)
        return found

    def _exec(self, deployment: str, *words: str) -> subprocess.Popen[str]:
        argv = self.kubectl.argv("exec", f"deployment/{deployment}", "--", *words)
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def latencies(lines: Lines, deployment: str, count: int) -> list[float]:
    """Return for each of `count` lines, ten a second, the seconds from its writing to its being found, asked for five times a second."""
    writing, mark = lines.start(deployment, count, rate=10)
    seen: dict[int, float] = {}
    deadline = time.monotonic() + count / 10 + 30
    with lines.loki() as loki:
        while len(seen) < count and time.monotonic() < deadline:
            now = time.time_ns()
            for line in loki.lines(query(deployment, mark), now - 60 * NANO, now):
                number, written = line.text.split()[2:4]
                seen.setdefault(int(number), time.time() - float(written))
            time.sleep(0.2)
    writing.communicate(timeout=SECONDS)
    return list(seen.values())
