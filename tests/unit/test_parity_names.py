"""A stack is the same as itself under another name, namespace and domain, whatever it says: names are paired, not searched for."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as some

from reports.compare import compare
from reports.identity import Identity, Renaming
from settings import SettingsError, resolve
from tests.unit.stacks import house, laid, stack, subjects

EXAMPLES = int(os.environ.get("PARITY_EXAMPLES", "6"))
LONG = "a-very-long-name-of-a-reseller-that-few-people-would-ever-dial-by-hand.of-lamps.example"
NAMES = ("mqtt", "web", "postgres", "app", "lamp", "production", "a", "redis-jobs", "true", "reseller-2")
NAMESPACES = (None, "web", "mqtt-members", "lamp", "default", "lamp-web", "svc", "prod")
DOMAINS = ("lamps.example", "web.mqtt", "mqtt.svc", "a.b", "svc.cluster.local", "registry.example.com", LONG)
WORDS = ("web", "mqtt", "staging", "lamps.example", "mqtt.web.svc", "lamp-web", "1", "")


@some.composite
def says(draw):
    """Return what both stacks say."""
    said = {"web": {"web": {"replicas": draw(some.integers(1, 3)), "threads": draw(some.integers(1, 5))}}}
    said["app"] = {"config": {"EXTRA": draw(some.sampled_from(WORDS))}}
    said["mqtt"] = {"annotations": {"a.example/b": draw(some.sampled_from(WORDS))}, "members": draw(some.sampled_from([1, 3]))}
    said["postgres"] = {"members": draw(some.integers(1, 3)), "rotation": draw(some.integers(1, 2))}
    if draw(some.booleans()):
        said["redis"] = {"cache": {"policy": "allkeys-lru", "config_var": "CACHE_URL"}}
    if draw(some.booleans()):
        said["elasticsearch"] = {"where": "cluster", "members": draw(some.sampled_from([1, 3]))}
    if draw(some.booleans()):
        said["schedules"] = {draw(some.sampled_from(["nightly", "sweep-0123456789"])): {"command": ["bin/x"], "cron": "0 3 * * *"}}
    if draw(some.booleans()):
        said["processes"] = {"clock": {"command": ["bin/clock"], "singleton": True, "config": {"PLACE": draw(some.sampled_from(WORDS))}}}
    return said


@some.composite
def identities(draw):
    """Return the names of two stacks, and what each says of its own."""
    names = draw(some.lists(some.sampled_from(NAMES), min_size=2, max_size=2, unique=True))
    domains = draw(some.lists(some.sampled_from(DOMAINS), min_size=2, max_size=2, unique=True))
    spaces = [draw(some.sampled_from(NAMESPACES)) for _ in names]
    external = draw(some.booleans())
    return {name: own(name, domain, space, external) for name, domain, space in zip(names, domains, spaces, strict=True)}


def own(name, domain, namespace, external):
    said = {"domain": domain, **({"namespace": namespace} if namespace else {})}
    if external:
        server = {"host": f"db.{domain}", "port": 5432, "user": "u", "password": "DB_PASSWORD", "database": "d"}
        said["postgres"] = {"where": "external", "external": server}
    return said


def resolves(name, said):
    try:
        resolve(name, said, ["DB_PASSWORD"] if said["postgres"].get("where") == "external" else [])
    except SettingsError:
        return False
    return True


@given(said=says(), named=identities())
# Each example builds two stacks, so a failure is shown as it is found and not made smaller.
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_a_stack_is_the_same_as_itself_under_other_names(said, named):
    stacks = {name: laid(stack(name, said), ours) for name, ours in named.items()}
    assume(all(resolves(name, one) for name, one in stacks.items()))
    with tempfile.TemporaryDirectory() as folder:
        made = subjects(house(Path(folder), stacks), list(stacks))
    comparison = compare(*made.values())
    assert [(str(row.place), row.left, row.right, row.lines) for row in comparison.rows] == []
    assert comparison.fields > 500


def identity(stack_name, namespace, *hosts, devices=()):
    return Identity(stack_name, namespace, f"lamp.{stack_name}", "lamp", hosts, devices, {f"config-{stack_name[0] * 10}": "config"})


A = identity("a", "lamp-a", "a.example", "db.a.example", devices=("mqtt.a.example",))
B = identity("b", "lamp-b", "b.example", "10.0.0.1", devices=("m.b.example",))


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("https://a.example/x", "https://b.example/x", True),
        ("mqtt.a.example", "m.b.example", True),
        ("db.a.example:5432", "10.0.0.1:5432", True),
        ("redis.lamp-a.svc", "redis.lamp-b.svc", True),
        ("lamp.a devices", "lamp.b devices", True),
        ("a.example and a.example", "b.example and b.example", True),
        ("a.example and b.example", "b.example and b.example", True),
        ("a.example and a.example", "b.example and c.example", False),
        ("a.example.org", "b.example.org", False),
        ("nota.example", "notb.example", False),
        ("lamp-alpha", "lamp-blpha", False),
        ("a", "b", False),
        ("https://a.example/x", "https://b.example/y", False),
        ("a.example", "lamp-b", False),
        ("config-aaaaaaaaaa", "config-bbbbbbbbbb", True),
        ("config-aaaaaaaaaa", "other-bbbbbbbbbb", False),
    ],
)
def test_two_texts_are_the_same_when_each_name_stands_where_the_others_does(left, right, same):
    assert Renaming(A, B).same_text(left, right) is same


def test_a_value_called_like_a_namespace_is_no_namespace():
    staging, production = identity("staging", "staging"), identity("production", "production")
    assert not Renaming(staging, production).same_text("staging", "production")
    assert Renaming(staging, production).same_text("mqtt.staging.svc", "mqtt.production.svc")
