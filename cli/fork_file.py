"""What the file of a forked stack says: what must differ from its source, the source's own plain settings, and nothing secret."""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

from cli.stack import SANDBOX_CLUSTER, Document, Stack, config_of, read
from reports.text import LOGIN
from settings import Settings
from settings.backing import NOWHERE
from settings.loader import PROJECT

HEADER = "# A fork of {source}: "
"""How the file of a fork begins, which is how one is known."""
OWN = ("tier", "domain", "namespace", "protect", "unprotected")
"""Settings that a fork says for itself, or leaves to its tier."""
SIZES = ("members", "replicas", "resources", "volume", "threads", "concurrency", "max_connections", "memory_share", "heap", "budget")
"""Settings that another tier says otherwise."""
IDENTITY = ("rotation", "revoked", "service_account_annotations", "address", "maintenance")
"""How often the source's passwords were changed, as whom its pods speak to a cloud, where its load balancers are, and whether it is shut
for the moment: none of that is the fork's."""
OF_THE_CLUSTER = ("cluster", "images", "placement", "storage_class", "edge")
"""What the sandbox says for every stack on it, or does not have."""
NAMED = ("web", "sidekiq", "processes", "schedules", "redis", "queues", "routes")
"""Maps by names of the product's own choice: such a name is no setting."""
FREE = ("config", "annotations", "node_selector", "pinned", "dns")
"""Maps whose keys are the product's own words, and no settings."""
UNRENAMED = ("images", "cluster", "placement", "external")
"""Settings whose host names are not the source's own: the company's registry, the cluster. A service outside gets a host of its own."""

Path = tuple[str, ...]


@dataclass(frozen=True)
class Wish:
    """The stack that somebody wants."""

    source: Stack
    name: str
    domain: str
    tier: str
    on_sandbox: bool

    @property
    def product(self) -> str:
        """The product's short name, the same as the source's."""
        return self.source.settings.product

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return f"{self.product}-{self.name}"

    @property
    def owner(self) -> str:
        """What the label switchyard.dev/stack of its namespace says."""
        return self.source.settings.owner_of(self.name)

    @property
    def resized(self) -> bool:
        """Whether its tier, and not the source, says how large it is."""
        return self.tier != self.source.settings.tier


@dataclass
class Fork:
    """What the file says, and what was done on the way that a human must know."""

    document: Document
    renamed: list[str] = field(default_factory=list[str])
    """Settings whose host names were changed to the fork's, one sentence each."""
    left_out: list[str] = field(default_factory=list[str])
    """Settings of the source that were not copied and may be missed."""
    suspicious: list[str] = field(default_factory=list[str])
    """Settings that still name the source."""

    def text(self, wish: Wish) -> str:
        """Return the file's text."""
        lines = [
            HEADER.format(source=wish.source.name) + "what must differ is said first; what follows is the source's own.",
            "# yaml-language-server: $schema=schema/stack.json",
            "# All else is shared: product.yaml, and the tier's file in settings/tiers/. No secret was copied.",
            f"# What is still to do, and whether it is done: ./sy ready {wish.name}",
        ]
        body: str = yaml.safe_dump(self.document, sort_keys=False, width=120)
        return "\n".join([*lines, body])


def make(wish: Wish) -> Fork:
    """Return the fork of a source whose settings resolve."""
    config = {key: copy.deepcopy(value) for key, value in config_of(read(wish.source.file)).items() if _is_plain(key, value)}
    ours = {key.removeprefix(f"{PROJECT}:"): value for key, value in config.items() if key.startswith(f"{PROJECT}:")}
    others = {key: value for key, value in config.items() if not key.startswith(f"{PROJECT}:")}
    made = Fork({})
    kept = {key: value for key, value in ours.items() if key in Settings.model_fields and key not in OWN}
    kept = _pruned(kept, _unwanted(wish), made)
    kept = _with_own_hosts(wish, kept)
    rename = _Renaming.of(wish)
    kept = {key: value if key in UNRENAMED else rename.walk(value, (key,), made) for key, value in kept.items()}
    _say_device_names_once(wish, kept)
    own = {"tier": wish.tier, "domain": wish.domain, **_cluster(wish, kept)}
    made.document = {"config": {**others, **{f"{PROJECT}:{key}": value for key, value in {**own, **kept}.items()}}}
    return made


def is_fork(text: str) -> bool:
    """Say whether the text of a stack file is that of a fork."""
    return text.startswith(HEADER.partition("{")[0])


def forked_from(text: str) -> str:
    """Return the name of the stack that a fork was made from; empty when the file does not say it."""
    return text.splitlines()[0].removeprefix(HEADER.partition("{")[0]).partition(":")[0] if is_fork(text) else ""


def host_names(said: Mapping[str, Any]) -> set[str]:
    """Return the host names that a stack answers to, from what its file says: its domain, and those that devices dial."""
    domain = said.get("domain")
    mqtt = said.get("mqtt")
    names: list[Any] = cast("Document", mqtt).get("host_names") or [] if isinstance(mqtt, dict) else []
    return {str(name).lower() for name in [domain, *names, *([f"mqtt.{domain}"] if domain and not names else [])] if name}


def _is_plain(key: str, value: object) -> bool:
    return not _holds_secret(value) and (not key.startswith(f"{PROJECT}:") or key.removeprefix(f"{PROJECT}:") in Settings.model_fields)


def _holds_secret(value: object) -> bool:
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return "secure" in members or any(map(_holds_secret, members.values()))
    return isinstance(value, list) and any(map(_holds_secret, cast("list[object]", value)))


def _unwanted(wish: Wish) -> Callable[[str], str]:
    """Return what says why a setting is not copied, by its key; empty: it is."""
    reasons: dict[str, str] = dict.fromkeys(IDENTITY, "it is the source's own")
    reasons |= dict.fromkeys(SIZES, f"tier {wish.tier} says it") if wish.resized else {}
    reasons |= dict.fromkeys(OF_THE_CLUSTER, "the sandbox says it") if wish.on_sandbox and not wish.source.on_sandbox else {}
    return lambda key: reasons.get(key, "")


def _pruned(tree: Document, unwanted: Callable[[str], str], made: Fork, path: Path = ()) -> Document:
    """Return the settings without those that a fork must not have; what names a process or a Redis stays, if only as a name."""
    kept: Document = {}
    for key, value in tree.items():
        here = (*path, key)
        if why := "" if path[-1:] and path[-1] in NAMED else unwanted(key):
            made.left_out.append(f"{'.'.join(here)}: {why}")
        elif isinstance(value, str) and LOGIN.search(value):
            made.left_out.append(f"{'.'.join(here)}: there is a password in it; set it as a secret")
        elif isinstance(value, dict):
            pruned = _pruned(cast("Document", value), _nothing if key in FREE else unwanted, made, here)
            kept |= {key: pruned} if pruned or path or not value else {}
        else:
            kept[key] = value
    return kept


def _nothing(_key: str) -> str:
    return ""


def _with_own_hosts(wish: Wish, kept: Document) -> Document:
    """Return the settings with a host that is nobody's for each service outside: the source's is the source's database."""
    said = wish.source.settings
    services: dict[Path, Any] = {("postgres",): said.postgres, ("mqtt",): said.mqtt, ("elasticsearch",): said.elasticsearch}
    services |= {("redis", name): redis for name, redis in said.redis.items()}
    for path, service in services.items():
        if service.where != "external":
            continue
        place = kept
        for part in (*path, "external"):
            place = cast("Document", place.setdefault(part, {}))
        place.pop("ranges", None)
        place["host"] = f"{'-'.join(path)}.{wish.name}{NOWHERE}"
    return kept


def _say_device_names_once(wish: Wish, kept: Document) -> None:
    """Drop host names for devices that the settings make of the domain anyway, or that became the same."""
    mqtt = cast("Document", kept.get("mqtt") or {})
    names = list(dict.fromkeys(cast("list[str]", mqtt.pop("host_names", None) or [])))
    if names not in ([], [f"mqtt.{wish.domain}"]):
        mqtt["host_names"] = names
    if not mqtt:
        kept.pop("mqtt", None)


def _cluster(wish: Wish, kept: Document) -> Document:
    """Return where the fork stands, as its file says it."""
    cluster = cast("Document", kept.pop("cluster", {}))
    if wish.tier == "sandbox" and not cluster:
        return {}
    identifier = SANDBOX_CLUSTER if wish.on_sandbox else wish.source.settings.cluster.identifier
    return {"cluster": {"identifier": identifier, **cluster}}


@dataclass(frozen=True)
class _Renaming:
    """What stands for the source in a text, and what stands for the fork."""

    pairs: tuple[tuple[re.Pattern[str], str], ...]
    source: re.Pattern[str]

    @classmethod
    def of(cls, wish: Wish) -> "_Renaming":
        said = wish.source.settings
        pairs = {said.domain: wish.domain} if said.domain else {}
        # A name that devices dial and that is not below the source's domain has no counterpart but the fork's own.
        below = f".{said.domain}" if said.domain else "\0"
        dialled = [*said.mqtt.host_names, *([said.canary.host] if said.canary.host else [])]
        pairs |= {name: f"mqtt.{wish.domain}" for name in dialled if not name.endswith(below)}
        pairs |= {wish.source.owner: wish.owner}
        hosts = [(_whole(name), new) for name, new in pairs.items()]
        return cls((*hosts, (_word(wish.source.namespace, "-"), wish.namespace)), _word(wish.source.name))

    def walk(self, value: Any, path: Path, made: Fork) -> Any:
        """Return a value with every text in it renamed, and note what was."""
        if isinstance(value, dict):
            inner = cast("Document", value)
            return {key: one if key in UNRENAMED else self.walk(one, (*path, key), made) for key, one in inner.items()}
        if isinstance(value, list):
            return [self.walk(one, path, made) for one in cast("list[Any]", value)]
        if not isinstance(value, str):
            return value
        text = self._renamed(value)
        if text != value:
            made.renamed.append(f"{'.'.join(path)}: {text} (was {value})")
        if self.source.search(text) and not self.source.fullmatch(text):
            made.suspicious.append(f"{'.'.join(path)}: {text} has the source's name in it")
        return text

    def _renamed(self, text: str) -> str:
        # In one pass, so that what was put in is not changed again.
        for position, length, new in _first(self.pairs, text):
            return text[:position] + new + self._renamed(text[position + length :])
        return text


def _first(pairs: tuple[tuple[re.Pattern[str], str], ...], text: str) -> Iterator[tuple[int, int, str]]:
    found = [(match.start(), -len(match[0]), new) for pattern, new in pairs if (match := pattern.search(text))]
    for position, length, new in sorted(found)[:1]:
        yield position, -length, new


def _whole(name: str) -> re.Pattern[str]:
    """Return the pattern of a host name or another name, where it stands whole: names below it are found, names around it are not."""
    return re.compile(rf"(?<![A-Za-z0-9-]){re.escape(name)}(?![A-Za-z0-9-]|\.[A-Za-z0-9])", re.IGNORECASE)


def _word(name: str, also: str = "") -> re.Pattern[str]:
    """Return the pattern of a name between characters that are neither letters nor digits nor `also`."""
    return re.compile(rf"(?<![A-Za-z0-9{also}]){re.escape(name)}(?![A-Za-z0-9{also}])")
