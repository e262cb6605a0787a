"""What documents need: disk, memory, heap and shards, and whether the nodes have it. Each sentence shows its arithmetic."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from settings.elasticsearch import LARGEST_HEAP, WATERMARKS, Elasticsearch, Sizing
from settings.problems import Path, Problem
from settings.quantities import bytes_of, said_bytes, seconds_of

OVERHEAD = 1.1
"""An index takes a tenth more than its documents (Amazon's sizing guide, "indexing overhead"; measure your own: `GET _cat/indices`)."""
LARGEST_SHARD = 40 * 2**30
"""Bytes of a shard: beyond 50 GB it recovers slowly (Elastic, "Size your shards": 10 to 50 GB), and indices grow unevenly."""
FULLEST_SHARD = 200_000_000
"""Documents of a shard (the same page)."""
SHARDS_PER_NODE = 1000
"""cluster.max_shards_per_node, the server's default: beyond it no index is made."""
BASE_HEAP = 2**29
"""Heap that a node needs beside mappings (the same page: 0.5 GB)."""
FIELD_HEAP = 2**10
"""Heap for each field of each index (the same page: 1 kB)."""
INDICES_PER_HEAP = 3000
"""Indices for which the elected node keeps 1 GiB of heap (the same page)."""
DISK_PER_MEMORY = 30
"""Disk that a node serves for each byte of its memory, where indices are written and searched (Elastic's hot nodes: 1 to 30)."""
_DAY = 86400


@dataclass(frozen=True)
class Needs:
    """What a number of nodes needs to hold what is declared; sizes are each node's, in bytes."""

    documents: int
    """All that are kept, copies not counted."""
    indices: int
    """Indices that they are in."""
    primary: int
    """Bytes of all of them on the disk, copies not counted."""
    data: int
    """What lies on a node, where shards are spread evenly."""
    disk: int
    """The volume: the data, and what stays free above it (WATERMARKS)."""
    memory: int
    """Memory, half of which is left to the files."""
    heap: int
    """Java's heap."""
    shards: int
    """Parts of each index, so that none is too large."""
    copies: int
    """Shards on a node, copies counted, with that many parts."""


def needs(sizing: Sizing, members: int) -> Needs:
    """Return what `members` nodes need to hold what is declared."""
    days = kept_days(sizing)
    documents = (sizing.documents_per_day or 0) * days if sizing.documents is None else sizing.documents
    indices = days if sizing.documents is None else sizing.indices
    primary = math.ceil(documents * sizing.bytes_per_document * OVERHEAD)
    data = math.ceil(primary * (1 + sizing.replicas) / members)
    shards = max(1, math.ceil(primary / indices / LARGEST_SHARD), math.ceil(documents / indices / FULLEST_SHARD))
    heap = BASE_HEAP + indices * sizing.fields * FIELD_HEAP + math.ceil(indices / INDICES_PER_HEAP * 2**30)
    return Needs(
        documents=documents,
        indices=indices,
        primary=primary,
        data=data,
        disk=_with_room(data),
        memory=max(2 * heap, math.ceil(data / DISK_PER_MEMORY)),
        heap=heap,
        shards=shards,
        copies=math.ceil(indices * max(shards, sizing.shards) * (1 + sizing.replicas) / members),
    )


def kept_days(sizing: Sizing) -> int:
    """Return how many days have an index: those of the retention, and today."""
    return math.ceil(seconds_of(sizing.retention) / _DAY) + 1 if sizing.retention else 1


def problems(search: Elasticsearch) -> Iterator[Problem]:
    """Yield each thing that the nodes lack for what `elasticsearch.sizing` declares."""
    sizing = search.sizing
    if sizing is None or search.where != "cluster":
        return
    path: Path = ("elasticsearch", "sizing")
    if incomplete := _incomplete(sizing):
        yield Problem(path, incomplete)
        return
    if sizing.replicas >= search.members:
        reason = f"each copy lies on a node of its own: {1 + sizing.replicas} copies need {1 + sizing.replicas} nodes"
        yield Problem((*path, "replicas"), reason, sizing.replicas, (("elasticsearch", "members"),))
    needed = needs(sizing, search.members)
    yield from _disk(search, sizing, needed)
    yield from _repository(search, sizing, needed)
    yield from _memory(search, sizing, needed)
    yield from _shards(search, sizing, needed)


def _incomplete(sizing: Sizing) -> str:
    daily = sizing.documents_per_day is not None
    if (sizing.documents is not None) == daily:
        return "expected either documents, or documents_per_day and retention"
    if daily != (sizing.retention is not None):
        return "documents_per_day and retention go together: how many come a day, and how long they are kept"
    return ""


def _disk(search: Elasticsearch, sizing: Sizing, needed: Needs) -> Iterator[Problem]:
    volume = bytes_of(search.volume.size)
    if volume >= needed.disk:
        return
    yield Problem(
        ("elasticsearch", "volume", "size"),
        f"{_documents(sizing, needed)} x {sizing.bytes_per_document} bytes x (1 + {sizing.replicas} replicas) x {OVERHEAD:g} = "
        f"{said_bytes(needed.data * search.members)}, on each of {search.members} nodes {said_bytes(needed.data)}, and "
        f"{said_bytes(needed.disk - needed.data)} must stay free (below that a node takes no shard); "
        f"expected at least {_said_up(needed.disk)}, or more members, or a shorter retention",
        search.volume.size,
        (("elasticsearch",),),
    )


def _repository(search: Elasticsearch, sizing: Sizing, needed: Needs) -> Iterator[Problem]:
    """Yield a problem where not even one snapshot of all documents fits onto the snapshots' volume."""
    kept = search.keeps_snapshots
    if kept is None or bytes_of(kept.size) >= needed.primary:
        return
    yield Problem(
        ("elasticsearch", "snapshots", "repository", "volume", "size"),
        f"a snapshot has each document once, {_documents(sizing, needed)} x {sizing.bytes_per_document} bytes x {OVERHEAD:g} = "
        f"{said_bytes(needed.primary)}; expected at least {_said_up(needed.primary)}, and more for what changes between those kept",
        kept.size,
        (("elasticsearch",),),
    )


def _memory(search: Elasticsearch, sizing: Sizing, needed: Needs) -> Iterator[Problem]:
    arithmetic = (
        f"{said_bytes(BASE_HEAP)} + {needed.indices} indices x {sizing.fields} fields x 1Ki + "
        f"{needed.indices} / {INDICES_PER_HEAP} indices x 1Gi = {said_bytes(needed.heap)}"
    )
    if needed.heap > LARGEST_HEAP:
        reason = (
            f"the mappings need a heap of {arithmetic}, and Java's pointers double above {said_bytes(LARGEST_HEAP)}: keep fewer indices"
        )
        yield Problem(("elasticsearch", "sizing"), reason)
        return
    if search.heap_bytes < needed.heap:
        key: Path = ("elasticsearch", "heap") if search.heap else ("elasticsearch", "resources", "memory")
        said = search.heap or search.resources.memory
        expected = needed.heap if search.heap else 2 * needed.heap
        reason = f"the heap is {said_bytes(search.heap_bytes)}, and what is declared needs {arithmetic}"
        yield Problem(key, f"{reason}; expected at least {_said_up(expected)}", said, (("elasticsearch",),))
    if bytes_of(search.resources.memory) * DISK_PER_MEMORY < needed.data:
        least = math.ceil(needed.data / DISK_PER_MEMORY)
        reason = (
            f"each node holds {said_bytes(needed.data)}, and memory serves {DISK_PER_MEMORY} times its size: {said_bytes(needed.data)} / "
            f"{DISK_PER_MEMORY} = {said_bytes(least)}; expected at least {_said_up(least)}, or more members"
        )
        yield Problem(("elasticsearch", "resources", "memory"), reason, search.resources.memory, (("elasticsearch",),))


def _shards(search: Elasticsearch, sizing: Sizing, needed: Needs) -> Iterator[Problem]:
    path: Path = ("elasticsearch", "sizing", "shards")
    if sizing.shards < needed.shards:
        each = math.ceil(needed.documents / needed.indices)
        primary = math.ceil(each * sizing.bytes_per_document * OVERHEAD)
        reason = (
            f"an index has {each:,} documents x {sizing.bytes_per_document} bytes x {OVERHEAD:g} = {said_bytes(primary)}, and a shard "
            f"holds {said_bytes(LARGEST_SHARD)} and {FULLEST_SHARD:,} documents at the most; expected at least {needed.shards}"
        )
        yield Problem(path, reason, sizing.shards, (("elasticsearch",),))
    if needed.copies > SHARDS_PER_NODE:
        parts = max(sizing.shards, needed.shards)
        reason = (
            f"{needed.indices} indices x {parts} shards x (1 + {sizing.replicas} replicas) / {search.members} nodes = {needed.copies} "
            f"shards on each, and a node takes {SHARDS_PER_NODE} (cluster.max_shards_per_node): keep fewer indices, or say more members"
        )
        yield Problem(("elasticsearch", "sizing"), reason, reads=(("elasticsearch",),))


def _documents(sizing: Sizing, needed: Needs) -> str:
    if sizing.documents is not None:
        return f"{needed.documents:,} documents"
    return f"{sizing.documents_per_day:,} documents a day x {needed.indices} days (today's too)"


def _with_room(data: int) -> int:
    """Return the smallest volume with `data` on it that is not beyond the low watermark."""
    share, least, most = WATERMARKS["low"]
    # The share is rounded down to a byte, so this may be one byte more than needed.
    return min(max(math.ceil(data / (1 - share)), data + least), data + most)


def _said_up(amount: int) -> str:
    """Return an amount that is at least as large, as a person would write it in a setting: whole GiB, below one whole MiB."""
    if amount < 2**30:
        return f"{math.ceil(amount / 2**20)}Mi"
    return f"{math.ceil(amount / 2**30)}Gi"
