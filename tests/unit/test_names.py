"""Every Pulumi name that was ever given out: one that disappears without an alias deletes a live object.

The provider takes a renamed resource for a new one, writes it over the live object, and then deletes the old one: the
same object (tests/cluster/test_stack.py shows it). So names.txt keeps them all. A new resource adds a line; a renamed one
adds a line and gets `aliases` that name the old; a removed one takes its line away, in the same commit and on purpose.
"""

import re
from pathlib import Path

from tests.unit.test_contract import rendered

FILE = Path(__file__).with_name("names.txt")
STACKS = ("sandbox", "mqtt-mode", "external", "watched-outside", "everything", "real-cluster", "gateway", "ingress")


def names_of(stack: str) -> tuple[set[str], set[str]]:
    """Return what a stack registers, and what its aliases stand for, as `type parent name`; digests are left out."""
    now, before = set[str](), set[str]()
    for one in rendered(stack).resources:
        given = [one.name, *one.aliases]
        lines = [f"{one.type} {re.sub(r'-[0-9a-f]{10}$', '-DIGEST', name).replace(stack, 'STACK')}" for name in given]
        now.add(lines[0])
        before.update(lines[1:])
    return now, before


def test_no_name_disappears_without_an_alias_and_every_new_one_is_written_down() -> None:
    kept = set(FILE.read_text().splitlines())
    pairs = [names_of(stack) for stack in STACKS]
    now = {line for pair in pairs for line in pair[0]}
    before = {line for pair in pairs for line in pair[1]}
    gone, fresh = sorted(kept - now - before), sorted(now - kept)
    assert gone == [], f"give the renamed resources aliases, or take these lines out of {FILE.name}"
    assert fresh == [], f"add these lines to {FILE.name}"
