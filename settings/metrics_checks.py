"""Whether the samples fit on their disk, and their series into memory. Each sentence shows its arithmetic."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from settings.metrics import BASE_MEMORY, EVERY_SECONDS, LARGEST_SHARE, SAMPLE_BYTES, SERIES_MEMORY, Metrics
from settings.problems import Problem
from settings.quantities import bytes_of, said_bytes, seconds_of

if TYPE_CHECKING:
    from settings.stack import Settings


def problems(settings: "Settings") -> Iterator[Problem]:
    """Yield each sum that does not work out."""
    metrics = settings.metrics
    if metrics.where == "none":
        return
    yield from _memory(metrics)
    kept, volume = bytes_of(metrics.retention_size), bytes_of(metrics.volume.size)
    room = int(volume * LARGEST_SHARE)
    if kept > room:
        yield Problem(
            ("metrics", "retention_size"),
            f"is more than {LARGEST_SHARE:g} of metrics.volume.size, {LARGEST_SHARE:g} x {said_bytes(volume)} = {said_bytes(room)}: the "
            f"write-ahead log and a block that is being made need the rest. Say at most that, or a larger volume",
            metrics.retention_size,
            (("metrics", "volume"),),
        )
    seconds = seconds_of(metrics.retention)
    needed = metrics.series * seconds // EVERY_SECONDS * SAMPLE_BYTES
    if needed > kept:
        yield Problem(
            ("metrics", "retention"),
            f"{metrics.series} series, one sample of each every {EVERY_SECONDS} s for {metrics.retention}, {SAMPLE_BYTES} bytes a sample: "
            f"{metrics.series} x {seconds} / {EVERY_SECONDS} x {SAMPLE_BYTES} = {said_bytes(needed)}, and metrics.retention_size is "
            f"{said_bytes(kept)}: the oldest would be gone before. Say a shorter retention, or more room",
            metrics.retention,
            (("metrics", "retention_size"), ("metrics", "series")),
        )


def _memory(metrics: Metrics) -> Iterator[Problem]:
    needed, memory = BASE_MEMORY + metrics.series * SERIES_MEMORY, bytes_of(metrics.resources.memory)
    if needed > memory:
        yield Problem(
            ("metrics", "resources", "memory"),
            f"{said_bytes(BASE_MEMORY)} for itself + {metrics.series} series x {said_bytes(SERIES_MEMORY)} = {said_bytes(needed)}: with "
            f"less it is killed, started again and killed. Say at least that, or fewer series in metrics.series",
            metrics.resources.memory,
            (("metrics", "series"),),
        )
