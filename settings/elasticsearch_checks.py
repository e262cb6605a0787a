"""What Elasticsearch's settings must keep to: its version, its heap, its repository, and what it is meant to hold."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from settings import elasticsearch_sizing
from settings.elasticsearch import BESIDE_HEAP, LARGEST_HEAP, LEAST_HEAP, VERSION, WATERMARKS, Elasticsearch
from settings.problems import Path, Problem
from settings.quantities import bytes_of, said_bytes

if TYPE_CHECKING:
    from settings.stack import Settings

OLDEST = (8, 9)
"""The first version that reads the configuration as it is written here."""
SANDBOX = "sandbox"


def problems(settings: "Settings") -> Iterator[Problem]:
    """Yield everything that is refused."""
    search = settings.elasticsearch
    if search.where != "cluster":
        return
    yield from _version(search, settings.cluster.identifier)
    yield from _heap(search)
    yield from _memory(search)
    yield from _volume(search)
    yield from _repository(search)
    yield from elasticsearch_sizing.problems(search)


def _version(search: Elasticsearch, cluster: str) -> Iterator[Problem]:
    path: Path = ("elasticsearch", "version")
    match = re.fullmatch(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})", search.version, re.ASCII)
    if not match:
        yield Problem(path, f"expected three numbers, as upstream names its images: {VERSION}", search.version)
        return
    major, minor = int(match[1]), int(match[2])
    if (major, minor) < OLDEST or major > 8:
        oldest = ".".join(map(str, OLDEST))
        reason = (
            f"expected {oldest} or later, and below 9: the nodes' configuration is that of 8, tried with {VERSION}. An older server stays "
            f"where it is (where: external) until what it holds is indexed anew"
        )
        yield Problem(path, reason, search.version)
    elif search.version != VERSION and cluster == SANDBOX:
        yield Problem(path, f"the sandbox has {VERSION} alone", search.version, (("cluster",),))


def _heap(search: Elasticsearch) -> Iterator[Problem]:
    if search.heap is None:
        return
    heap, memory = bytes_of(search.heap), bytes_of(search.resources.memory)
    path: Path = ("elasticsearch", "heap")
    if heap > LARGEST_HEAP:
        limit = said_bytes(LARGEST_HEAP)
        yield Problem(path, f"expected at most {limit}: above it Java's pointers double, and a larger heap holds less", search.heap)
    if heap < LEAST_HEAP:
        least = said_bytes(LEAST_HEAP)
        yield Problem(path, f"expected at least {least}, which the server gives itself on the smallest machine", search.heap)
    if heap * 2 > memory:
        half = said_bytes(memory // 2)
        yield Problem(
            path,
            f"expected at most half of elasticsearch.resources.memory, {search.resources.memory} / 2 = {half}: Lucene reads its files "
            f"through the other half",
            search.heap,
            (("elasticsearch", "resources"),),
        )


def _memory(search: Elasticsearch) -> Iterator[Problem]:
    """Yield a problem for a limit that kills a node while it starts."""
    heap, memory = search.heap_bytes, bytes_of(search.resources.memory)
    if heap + BESIDE_HEAP <= memory or (search.heap and heap * 2 > memory):
        return
    beside = said_bytes(BESIDE_HEAP)
    least = heap + BESIDE_HEAP if search.heap else 2 * BESIDE_HEAP
    whose = f"the heap is {search.heap}" if search.heap else "the heap is half of it"
    yield Problem(
        ("elasticsearch", "resources", "memory"),
        f"{whose}, and a node takes {beside} beside its heap before it holds anything; expected at least {said_bytes(least)}: with less it "
        f"is killed while it starts",
        search.resources.memory,
        (("elasticsearch", "heap"),),
    )


def _volume(search: Elasticsearch) -> Iterator[Problem]:
    least = 2 * WATERMARKS["low"][1]
    if bytes_of(search.volume.size) < least:
        free = said_bytes(WATERMARKS["low"][1])
        reason = f"expected at least {said_bytes(least)}: {free} of it stay free, below which a node takes no shard"
        yield Problem(("elasticsearch", "volume", "size"), reason, search.volume.size)


def _repository(search: Elasticsearch) -> Iterator[Problem]:
    if search.snapshots is None:
        return
    path: Path = ("elasticsearch", "snapshots", "repository")
    repository = search.snapshots.repository
    if repository.type == "s3" and repository.s3 is None:
        yield Problem((*path, "type"), "needs s3: {bucket, endpoint, access_key, secret_key}", repository.type)
    elif repository.bucket and len(repository.bucket.keys) < 2:
        yield Problem(
            (*path, "s3"), "expected access_key and secret_key, the names of two secrets: the nodes have no identity of their own"
        )
    if repository.type == "fs" and search.members > 1:
        reason = (
            f"{search.members} nodes write one repository together, and a volume belongs to the pod of one: say type: s3 and a bucket, or "
            "elasticsearch.members: 1"
        )
        yield Problem((*path, "type"), reason, repository.type, (("elasticsearch", "members"),))
