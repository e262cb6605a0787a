"""Whatever is written where settings belong, by hand or by a program: it loads, or a sentence names the key. Never a traceback."""

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from settings import Settings, SettingsError, load, resolve
from settings.loader import ROOT, merge, read_stack_file
from settings.problems import dotted
from settings.quantities import bytes_of, cores_of, quantity_of, seconds_of

BASE = {"tier": "production", "cluster": {"identifier": "company"}}
MORE = {
    "processes": {"clock": {"command": ["bin/clock"], "singleton": True}},
    "schedules": {"nightly": {"command": ["bin/nightly"], "cron": "0 3 * * *", "time_zone": "Europe/Paris"}},
    "postgres": {"max_connections": 200, "external": {"host": "db.example.com", "port": 5432, "password": "DB_PASSWORD"}},
    "redis": {"cache": {"policy": "allkeys-lru", "config_var": "CACHE_URL"}},
    "budget": {"cpu": "20", "memory": "64Gi", "storage": "500Gi"},
    "elasticsearch": {
        "where": "cluster",
        "members": 1,
        "snapshots": {},
        "sizing": {"documents": 5, "bytes_per_document": 9, "replicas": 0},
    },
    "domain": "lamps.example.com",
    "app": {"secrets": ["SENTRY_DSN"]},
}
VALID: dict[str, Any] = resolve("x", BASE | MORE).model_dump(mode="json")

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**30, max_value=10**300),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["", " ", "cluster", "external", "none", "5m", "1Gi", "1GB", "Infinity", "0 3 * * *", "Europe/Paris", "10.0.0.0/8", "\x00", "🔥"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.sampled_from(["secure", "where"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def paths(tree: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = [(key, tree[key]) for key in tree] if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    return [above, *(path for key, value in below for path in paths(value, (*above, key)))]


PATHS = [path for path in paths(VALID) if path]


@st.composite
def mutation(draw: st.DrawFn) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a path, and valid settings of which what is there was replaced, taken away, or joined by a key that is unknown."""
    path = draw(st.sampled_from(PATHS))
    tree = deepcopy(VALID)
    parent: Any = tree
    for part in path[:-1]:
        parent = parent[part]
    kind = draw(st.sampled_from(["replace", "replace", "replace", "delete", "add"]))
    if kind == "delete" and isinstance(parent, dict):
        parent[path[-1]] = None
    elif kind == "add" and isinstance(parent, dict):
        path = (*path[:-1], draw(st.text(st.characters(exclude_characters=":", exclude_categories=["C"]), min_size=1, max_size=8)))
        parent[path[-1]] = draw(VALUES)
    else:
        parent[path[-1]] = draw(VALUES)
    return path, tree


def names(problem: str, path: tuple[Any, ...]) -> bool:
    """Say whether a sentence names the key that was changed, something inside it, or what it belongs to; or the budget of all parts."""
    return ": budget." in problem or any(dotted(path[:depth]) in problem for depth in range(min(2, len(path)), len(path) + 1))


class TestMutations:
    @settings(max_examples=1000, deadline=None)
    @given(mutation())
    def test_settings_with_one_change_load_or_a_sentence_names_what_was_changed(
        self, change: tuple[tuple[Any, ...], dict[str, Any]]
    ) -> None:
        path, tree = change
        others = [key for key in tree if key not in Settings.model_fields]
        said = {key: value for key, value in tree.items() if key in Settings.model_fields}
        try:
            made = resolve("x", said, others)
        except SettingsError as error:
            assert all(re.match(r"(Pulumi\.x|product|settings/tiers/\w+)\.yaml(:\d+)?: ", problem) for problem in error.problems)
            assert any(names(problem, path) for problem in error.problems), (path, error.problems)
            assert not any("\n" in problem or "Traceback" in problem for problem in error.problems)
        else:
            assert isinstance(made, Settings)
            made.lacks(made.cures("any"), [])
            made.footprint()

    @settings(max_examples=150, deadline=None)
    @given(mutation(), st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=3))
    def test_the_engines_configuration_loads_or_is_refused_whatever_it_holds(
        self, change: tuple[tuple[Any, ...], dict[str, Any]], others: dict[str, str]
    ) -> None:
        config = others | {key: value if isinstance(value, str) else json.dumps(value) for key, value in change[1].items()}
        try:
            load("x", config)
        except SettingsError as error:
            assert error.problems


TEXT = yaml.safe_dump({"config": {f"switchyard:{key}": value for key, value in VALID.items()}}, sort_keys=False, allow_unicode=True)
LINES = TEXT.splitlines()
ODD = [
    "2026-11-22",
    "2026-11-22T19:00:00Z",
    ".nan",
    ".inf",
    "-.inf",
    "1e999",
    "9" * 500,
    "0o17",
    "0x1F",
    "010",
    "1_000",
    "12:30:45",
    "yes",
    "No",
    "on",
    "~",
    "''",
    "!!binary aGVsbG8=",
    "!!set {a, b}",
    "!!python/object/apply:os.system ['true']",
    "!unknown x",
    "&a {x: *a}",
    "*nobody",
    "&a [*a]",
    "{<<: 3}",
    "{1: 2, true: 3, null: 4, [a]: b}",
    "{a: 1, a: 2}",
    "[" * 60 + "]" * 60,
    "{a: " * 60 + "1" + "}" * 60,
    "{secure: v1:hunter2-Do-Not-Print}",
    "'\\ud800'",
    '"\\ud83d\\ude00"',
    '"\\0"',
    "|\n    two\n    lines",
    "\t",
    "- a\n- b",
    "#",
    "'",
    "%",
    "@",
    "`",
    "🔥",
]


class TestText:
    @settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.integers(0, len(LINES) - 1), st.sampled_from(ODD) | st.text(max_size=20), st.sampled_from(["value", "line", "twice", "indent"])
    )
    def test_a_file_with_one_line_changed_loads_or_is_refused_in_sentences(self, tmp_path: Path, number: int, odd: str, how: str) -> None:
        lines = list(LINES)
        key, colon, _ = lines[number].partition(": ")
        changed = {
            "value": f"{key}: {odd}" if colon else f"{lines[number]} {odd}",
            "line": odd,
            "twice": f"{lines[number]}\n{lines[number]}",
            "indent": f" {lines[number]}",
        }
        lines[number] = changed[how]
        file = tmp_path / "Pulumi.x.yaml"
        file.write_text("\n".join(lines), errors="replace")
        try:
            made = resolve("x", *read_stack_file(file, ROOT))
        except SettingsError as error:
            assert error.problems
            assert all(problem.strip() and "Traceback" not in problem and "\n" not in problem for problem in error.problems)
            assert "hunter2-Do-Not-Print" not in str(error)
        else:
            made.lacks(made.cures("any"), [])

    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="replace")))
    def test_any_bytes_at_all_are_read_or_refused(self, tmp_path: Path, content: bytes) -> None:
        file = tmp_path / "Pulumi.x.yaml"
        file.write_bytes(content)
        try:
            resolve("x", *read_stack_file(file, ROOT))
        except SettingsError as error:
            assert error.problems


class TestQuantities:
    @given(st.text(max_size=12))
    def test_any_text_is_a_quantity_or_is_refused_with_a_value_error(self, text: str) -> None:
        for parse in (bytes_of, cores_of, seconds_of):
            try:
                assert parse(text) >= 0
            except ValueError as error:
                assert "expected" in str(error)

    @given(st.integers(0, 2**60), st.sampled_from(["", "k", "M", "Ki", "Mi"]))
    def test_a_larger_number_is_a_larger_quantity(self, number: int, suffix: str) -> None:
        low, high = quantity_of(f"{number}{suffix}"), quantity_of(f"{number + 1}{suffix}")
        assert low is not None and high is not None and low < high

    @given(st.integers(0, 2**53))
    def test_bytes_written_plainly_are_themselves(self, number: int) -> None:
        assert bytes_of(str(number)) == number


class TestMerging:
    @given(VALUES.filter(lambda value: isinstance(value, dict)), VALUES.filter(lambda value: isinstance(value, dict)))
    def test_merging_a_layer_twice_is_merging_it_once(self, low: dict[str, Any], high: dict[str, Any]) -> None:
        once = merge(low, high)
        assert repr(merge(once, high)) == repr(once)


@pytest.mark.parametrize("depth", [30, 300, 5000, 200_000])
@pytest.mark.parametrize("shape", ["list", "map", "dashes"])
def test_deep_nesting_is_refused_and_ends_no_process(depth: int, shape: str, tmp_path: Path) -> None:
    text = {"list": "[" * depth + "]" * depth, "map": "{a: " * depth + "1" + "}" * depth, "dashes": "- " * depth + "x"}[shape]
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text(f"config:\n  switchyard:tier: staging\n  switchyard:app:\n    writable:\n      {text}\n")
    with pytest.raises(SettingsError, match=r"nested deeper|is not YAML|more than 1048576 characters"):
        read_stack_file(file)


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    levels = "\n".join(f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9))
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text(f"config:\n  l0: &l0 [x]\n{levels}\n")
    with pytest.raises(SettingsError, match="has more than 50000 values"):
        read_stack_file(file)
