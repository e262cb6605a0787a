"""A stack that can not hold what it declares is refused with the arithmetic, and one that just can is not: both sides of every limit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settings import SettingsError, resolve
from settings.elasticsearch import Elasticsearch, Sizing, kept_free
from settings.elasticsearch_sizing import LARGEST_SHARD, Needs, needs, problems
from settings.problems import dotted

MIB, GIB = 2**20, 2**30
EIGHTY_MILLION = {"documents": 80_000_000, "bytes_per_document": 1000, "replicas": 1, "shards": 3}
"""The logs of the company's own move."""
DAILY = {"documents_per_day": 1_000_000, "retention": "30d", "bytes_per_document": 500}


def search(sizing: dict[str, Any], **said: Any) -> Elasticsearch:
    return Elasticsearch.model_validate({"where": "cluster", "volume": {"size": "80Gi"}, "sizing": sizing, **said})


def refusals(sizing: dict[str, Any], **said: Any) -> list[str]:
    return [f"{dotted(problem.path)}: {problem.reason}" for problem in problems(search(sizing, **said))]


def volume(size: str) -> dict[str, Any]:
    return {"volume": {"size": size}}


def memory(size: str) -> dict[str, Any]:
    return {"resources": {"memory": size}}


PAIRS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = [
    (
        EIGHTY_MILLION,
        volume("64Gi"),
        volume("65Gi"),
        "elasticsearch.volume.size: 80,000,000 documents x 1000 bytes x (1 + 1 replicas) x 1.1 = 163.91Gi, on each of 3 nodes 54.64Gi, and "
        "9.64Gi must stay free (below that a node takes no shard); expected at least 65Gi, or more members, or a shorter retention",
    ),
    (
        DAILY,
        volume("12Gi"),
        volume("13Gi"),
        "elasticsearch.volume.size: 1,000,000 documents a day x 31 days (today's too) x 500 bytes x (1 + 1 replicas) x 1.1 = 31.76Gi, on "
        "each of 3 nodes 10.59Gi, and 1.87Gi must stay free (below that a node takes no shard); expected at least 13Gi, or more members, "
        "or a shorter retention",
    ),
    (
        EIGHTY_MILLION,
        memory("1864Mi"),
        memory("1865Mi"),
        "elasticsearch.resources.memory: each node holds 54.64Gi, and memory serves 30 times its size: 54.64Gi / 30 = 1.82Gi; expected at "
        "least 2Gi, or more members",
    ),
    (
        DAILY,
        memory("1Gi"),
        memory("1050Mi"),
        "elasticsearch.resources.memory: the heap is 512Mi, and what is declared needs 512Mi + 31 indices x 50 fields x 1Ki + 31 / 3000 "
        "indices x 1Gi = 524.1Mi; expected at least 2Gi",
    ),
    (
        EIGHTY_MILLION,
        {"sizing": EIGHTY_MILLION | {"shards": 2}},
        {},
        "elasticsearch.sizing.shards: an index has 80,000,000 documents x 1000 bytes x 1.1 = 81.96Gi, and a shard holds 40Gi and "
        "200,000,000 documents at the most; expected at least 3",
    ),
    (
        DAILY,
        {"sizing": DAILY | {"shards": 49}},
        {"sizing": DAILY | {"shards": 48}},
        "elasticsearch.sizing: 31 indices x 49 shards x (1 + 1 replicas) / 3 nodes = 1013 shards on each, and a node takes 1000 "
        "(cluster.max_shards_per_node): keep fewer indices, or say more members",
    ),
    (
        DAILY,
        {"sizing": DAILY | {"replicas": 3}},
        {"sizing": DAILY | {"replicas": 2}},
        "elasticsearch.sizing.replicas: each copy lies on a node of its own: 4 copies need 4 nodes",
    ),
    (
        DAILY,
        {"sizing": {**DAILY, "documents": 1}},
        {},
        "elasticsearch.sizing: expected either documents, or documents_per_day and retention",
    ),
    (
        DAILY,
        {"sizing": {key: value for key, value in DAILY.items() if key != "retention"}},
        {},
        "elasticsearch.sizing: documents_per_day and retention go together: how many come a day, and how long they are kept",
    ),
]


@pytest.mark.parametrize(("sizing", "little", "enough", "sentence"), PAIRS)
def test_what_the_nodes_lack_is_refused_with_the_arithmetic(
    sizing: dict[str, Any], little: dict[str, Any], enough: dict[str, Any], sentence: str
) -> None:
    assert refusals(**{"sizing": sizing, **little}) == [sentence]
    assert refusals(**{"sizing": sizing, **enough}) == []


def test_snapshots_that_their_volume_could_not_hold_once_are_refused() -> None:
    def kept(size: str) -> list[str]:
        snapshots = {"repository": {"volume": {"size": size}}}
        return refusals(
            {"documents": 40_000_000, "bytes_per_document": 1000, "replicas": 0, "shards": 2},
            members=1,
            snapshots=snapshots,
            **memory("8Gi"),
        )

    assert kept("41Gi") == []
    [said] = kept("40Gi")
    assert said.startswith(
        "elasticsearch.snapshots.repository.volume.size: a snapshot has each document once, 40,000,000 documents x 1000 "
    )
    assert "x 1.1 = 40.98Gi; expected at least 41Gi" in said


def test_mappings_that_no_heap_can_hold_are_refused() -> None:
    many = {"documents": 1, "bytes_per_document": 1, "indices": 30_000, "fields": 1000, "replicas": 0}
    [sentence] = [one for one in refusals(many) if "Java's pointers" in one]
    assert sentence.endswith("= 39.11Gi, and Java's pointers double above 31Gi: keep fewer indices")


def test_a_stack_that_can_not_hold_it_does_not_load() -> None:
    with pytest.raises(SettingsError) as caught:
        resolve("x", {"tier": "staging", "cluster": {"identifier": "c"}, "elasticsearch": {"where": "cluster", "sizing": EIGHTY_MILLION}})
    assert ["elasticsearch.volume.size: '50Gi' by default: 80,000,000 documents" in one for one in caught.value.problems] == [True]


def test_nothing_is_checked_where_nothing_is_declared_or_somebody_else_runs_it() -> None:
    assert refusals(EIGHTY_MILLION, where="none", **volume("1Gi")) == []
    assert list(problems(Elasticsearch.model_validate({"where": "cluster", "volume": {"size": "1Gi"}}))) == []


SIZINGS = st.builds(
    Sizing,
    documents=st.integers(1, 10**11),
    bytes_per_document=st.integers(1, 10**5),
    replicas=st.integers(0, 3),
    indices=st.integers(1, 1000),
    shards=st.integers(1, 50),
    fields=st.integers(1, 1000),
)


def demands(needed: Needs) -> tuple[int, ...]:
    return needed.data, needed.disk, needed.memory, needed.heap, needed.shards, needed.copies


@given(SIZINGS, st.integers(1, 9), st.sampled_from(["documents", "bytes_per_document", "replicas"]), st.integers(1, 10**6))
def test_more_never_needs_less(sizing: Sizing, members: int, what: str, more: int) -> None:
    larger = sizing.model_copy(update={what: getattr(sizing, what) + more})
    assert all(now <= then for now, then in zip(demands(needs(sizing, members)), demands(needs(larger, members)), strict=True))


@given(st.integers(1, 10**9), st.integers(1, 400), st.integers(1, 9), st.integers(1, 100))
def test_a_longer_retention_never_needs_less(documents: int, days: int, members: int, more: int) -> None:
    first, second = (Sizing(documents_per_day=documents, retention=f"{kept}d", bytes_per_document=500) for kept in (days, days + more))
    assert all(now <= then for now, then in zip(demands(needs(first, members)), demands(needs(second, members)), strict=True))


@given(SIZINGS, st.integers(1, 8))
def test_a_further_node_leaves_less_for_each(sizing: Sizing, members: int) -> None:
    few, more = needs(sizing, members), needs(sizing, members + 1)
    assert (more.data, more.disk, more.copies) <= (few.data, few.disk, few.copies)


@given(SIZINGS, st.integers(1, 9))
def test_the_volume_that_is_asked_for_holds_the_data_below_the_low_watermark_and_a_smaller_one_does_not(
    sizing: Sizing, members: int
) -> None:
    needed = needs(sizing, members)
    assert needed.disk - kept_free("low", needed.disk) >= needed.data
    assert (needed.disk - 5) - kept_free("low", needed.disk - 5) < needed.data


@given(SIZINGS, st.integers(1, 9))
def test_with_the_shards_that_are_asked_for_none_is_too_large(sizing: Sizing, members: int) -> None:
    needed = needs(sizing, members)
    primary = needed.documents * sizing.bytes_per_document * 1.1 / needed.indices
    assert primary / needed.shards <= LARGEST_SHARD + 1


@pytest.mark.parametrize(
    ("size", "low", "high", "flood"),
    [(2 * GIB, 512 * MIB, 384 * MIB, 256 * MIB), (50 * GIB, 7.5 * GIB, 5 * GIB, 2.5 * GIB), (10**13, 200e9, 150e9, 100e9)],
)
def test_free_space_is_a_share_of_the_volume_with_a_floor_and_a_ceiling(size: int, low: float, high: float, flood: float) -> None:
    assert [kept_free(level, size) for level in ("low", "high", "flood_stage")] == [low, high, flood]
