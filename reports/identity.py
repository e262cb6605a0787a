"""Whether two texts differ only by which stack they belong to: its namespace, its hosts, and names made of its content."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from rendering import Rendered
from settings import Settings
from settings.gateway import EDGE, proxies_service

HASHED = re.compile(r"(?P<base>.+)-(?P<digest>[0-9a-f]{10})")
"""Name of an object that is named by its content (components/kube/configuration.py)."""
HASHED_KINDS = ("ConfigMap", "Secret", "Job")
"""Kinds whose objects are named so."""
NAME_LENGTH = 64
"""What a certificate's common name is cut off at."""

_BEFORE, _AFTER = r"(?<![A-Za-z0-9_-])", r"(?![A-Za-z0-9_-])"
_AFTER_HOST = r"(?![A-Za-z0-9_-]|\.[A-Za-z0-9])"


@dataclass(frozen=True)
class Identity:
    """What is a stack's own: nobody would expect it to be another's."""

    stack: str
    namespace: str
    owner: str
    """`<product>.<stack>`, the label of its namespace."""
    product: str
    hosts: tuple[str | None, ...]
    """Its domain, and by service the hosts that it is reached by or reaches; in the same order for every stack."""
    devices: tuple[str, ...]
    """The names that devices dial."""
    bases: dict[str, str]
    """Name of each object that is named by its content -> that name without the digest."""

    @property
    def proxies(self) -> str:
        """The Service of its Gateway's proxies, whose name ends with a digest of the namespace's."""
        return proxies_service(self.namespace, EDGE)

    @property
    def full_name(self) -> str:
        """What else is called after the stack, such as its Elasticsearch cluster."""
        return f"{self.product}-{self.stack}"

    @classmethod
    def of(cls, rendered: Rendered, settings: Settings) -> Self:
        """Return the identity of a rendered stack."""
        return cls(
            stack=rendered.stack,
            namespace=rendered.namespace,
            owner=settings.owner_of(rendered.stack),
            product=settings.product,
            hosts=(settings.domain, *_external_hosts(settings)),
            devices=tuple(settings.device_host_names),
            bases=dict(_bases(rendered)),
        )

    def base(self, name: str) -> str:
        """Return an object's name without the digest of its content."""
        return self.bases.get(name, name)


class Renaming:
    """Which texts of one stack are, in another, the same in other names.

    A text is the same when it can be cut into pieces that are equal or a pair of names, one of each stack. So nothing that two stacks
    spell alike is ever taken for a difference, and nothing else that they spell differently for the same.
    """

    def __init__(self, left: Identity, right: Identity) -> None:
        """Pair the names of two stacks."""
        self._left, self._right = left, right
        self._pairs = [(re.compile(pattern), theirs) for pattern, theirs in _pairs(left, right)]

    def same_text(self, left: str, right: str) -> bool:
        """Say whether two texts are the same up to names."""
        if left == right:
            return True
        if left in self._left.bases and right in self._right.bases:
            return self._left.bases[left] == self._right.bases[right]
        return self._aligned(left, right)

    def same_namespace(self, left: str, right: str) -> bool:
        """Say whether these are each stack's own namespace."""
        return left == self._left.namespace and right == self._right.namespace

    def same_stack(self, left: str, right: str) -> bool:
        """Say whether these are the stacks' names."""
        return left == self._left.stack and right == self._right.stack

    def base(self, name: str, of_left: bool) -> str:
        """Return an object's name without the digest of its content."""
        return (self._left if of_left else self._right).base(name)

    def _aligned(self, left: str, right: str) -> bool:
        begins: dict[int, list[tuple[int, str]]] = {}
        for pattern, theirs in self._pairs:
            for match in pattern.finditer(left):
                begins.setdefault(match.start(), []).append((match.end(), theirs))
        if not begins:
            return False
        todo, seen = [(0, 0)], {(0, 0)}
        while todo:
            here, there = todo.pop()
            while True:
                for end, theirs in begins.get(here, ()):
                    step = (end, there + len(theirs))
                    if right.startswith(theirs, there) and step not in seen:
                        seen.add(step)
                        todo.append(step)
                if here == len(left) or there == len(right) or left[here] != right[there]:
                    break
                here, there = here + 1, there + 1
            if here == len(left) and there == len(right):
                return True
        return False


def _pairs(left: Identity, right: Identity) -> Iterable[tuple[str, str]]:
    """Return for each name of the left stack a pattern that finds it, and the right stack's name."""
    hosts = [*zip(left.hosts, right.hosts, strict=False), *zip(left.devices, right.devices, strict=False)]
    for ours, theirs in hosts:
        if ours and theirs and ours != theirs:
            yield f"{_BEFORE}{re.escape(ours)}{_AFTER_HOST}", theirs
            if max(len(ours), len(theirs)) > NAME_LENGTH:
                yield re.escape(ours[:NAME_LENGTH]), theirs[:NAME_LENGTH]
    for ours, theirs in ((left.owner, right.owner), (left.full_name, right.full_name), (left.proxies, right.proxies)):
        if ours != theirs:
            yield f"{_BEFORE}{re.escape(ours)}{_AFTER}", theirs
    if left.namespace != right.namespace:
        yield _namespace_pattern(left, right), right.namespace


def _namespace_pattern(left: Identity, right: Identity) -> str:
    """Return where a namespace's name means it: anywhere when it begins with the product's, else only within a host name.

    Otherwise `RAILS_ENV: staging` would be the same as `production` as soon as the namespaces are called so.
    """
    name = re.escape(left.namespace)
    if all(one.namespace.startswith(f"{one.product}-") for one in (left, right)):
        return f"{_BEFORE}{name}{_AFTER}"
    return rf"(?<=\.){name}{_AFTER}|{_BEFORE}{name}(?=\.svc{_AFTER})"


def _bases(rendered: Rendered) -> Iterable[tuple[str, str]]:
    for one in rendered.resources:
        if one.in_cluster and one.kind in HASHED_KINDS:
            for name in (one.name, one.kube_name or ""):
                if match := HASHED.fullmatch(name):
                    yield name, match["base"]


def digest_of(name: str) -> str | None:
    """Return the digest that an object's name ends with."""
    match = HASHED.fullmatch(name)
    return match["digest"] if match else None


def _external_hosts(settings: Settings) -> list[str | None]:
    services = [settings.postgres, settings.mqtt, settings.elasticsearch, *(settings.redis[name] for name in sorted(settings.redis))]
    return [service.external.host if service.external and service.where == "external" else None for service in services]
