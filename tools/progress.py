"""Progress of what takes longer than two seconds: who is watching always knows what is being done and what is left."""

import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

QUIET_SECONDS = 8.0
"""A line is repeated with its elapsed time after this many seconds of silence; the promise to users is at most 10."""


class Progress:
    """Writes a line to stderr when a step starts and ends, and one at least every 10 s while it runs.

    Several steps may run at once in threads. Standard output stays free for what is piped.
    """

    def __init__(self, total: int = 0) -> None:
        """Start counting; `total` is the number of steps expected, 0 when unknown."""
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._total = total
        self._done = 0
        self._running: dict[str, float] = {}
        self._last = time.monotonic()
        self._stop = threading.Event()
        threading.Thread(target=self._heartbeat, daemon=True).start()

    def expect(self, steps: int) -> None:
        """Add `steps` to the number of steps that are left."""
        with self._lock:
            self._total += steps

    def say(self, text: str) -> None:
        """Write one line at once."""
        with self._lock:
            self._write(text)

    @contextmanager
    def step(self, text: str) -> Generator[None]:
        """Announce `text`, repeat it while the block runs, and say how long it took."""
        began = time.monotonic()
        with self._lock:
            self._running[text] = began
            self._write(text)
        try:
            yield
        finally:
            with self._lock:
                self._running.pop(text, None)
                self._done += 1
                took = time.monotonic() - began
                if took >= 2:
                    self._write(f"{text}: {'stopped' if sys.exc_info()[0] else 'done'} in {took:.0f} s{self._left()}")

    def close(self) -> None:
        """Stop repeating lines."""
        self._stop.set()

    def _left(self) -> str:
        return f" ({self._done} of {self._total} steps)" if self._total else ""

    def _write(self, text: str) -> None:
        self._last = time.monotonic()
        minutes, seconds = divmod(int(self._last - self._began), 60)
        print(f"{minutes:3d}:{seconds:02d}  {text}", file=sys.stderr, flush=True)

    def _heartbeat(self) -> None:
        while not self._stop.wait(1.0):
            with self._lock:
                now = time.monotonic()
                if self._running and now - self._last > QUIET_SECONDS:
                    doing = "; ".join(f"{text} ({now - began:.0f} s)" for text, began in self._running.items())
                    self._write(f"… {doing}{self._left()}")
