"""The canary: a synthetic fall, sent as a lamp sends one and timed until its alert can be read."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from settings.problems import Path, Problem
from settings.quantities import seconds_of
from settings.types import AbsolutePath, DnsLabel, Duration, EnvName, Host, Model, MqttFilter, Placement, Resources

if TYPE_CHECKING:
    from settings.stack import Settings

CANARY_ACCOUNT = "canary"
"""The canary's account in a broker that the stack runs; it may publish to its topic and nothing else."""


class Canary(Model):
    """A lamp that does not exist, and falls every minute."""

    where: Literal["cluster", "none"] = "none"
    """`cluster`: the stack measures its own alarms."""
    every: Duration = "60s"
    """How often it falls."""
    late: Duration = "10s"
    """How long a fall may take until its alert can be read; longer is an alarm."""
    topic: MqttFilter = "lamps/canary/fall"
    """The topic that it publishes to, without wildcards; a queue must keep it. The app must know the lamp, and tell nobody of its falls."""
    payload: str = '{"id": "{id}", "at": "{time}"}'
    """What it publishes; {id} becomes a new UUID, {time} the time as ISO 8601."""
    web: DnsLabel = "web"
    """The web process that it asks."""
    path: AbsolutePath = "/api/events/{id}/alert"
    """What it asks for: 200 when that fall's alert is readable, 404 until then."""
    token: EnvName | None = None
    """A config var of the app, under `app.generate` or `app.secrets`, whose value it sends as `Authorization: Bearer`; None: none."""
    host: Host | None = None
    """The name by which devices dial the broker, to go their whole way through the load balancer; None: the Service inside the namespace,
    or `mqtt.external.host`. The certificate is verified for the name that is dialled."""
    user: str = CANARY_ACCOUNT
    """Its account in an external broker; that of the stack's own broker is called `canary` and made by the stack."""
    password: EnvName | None = None
    """Name of the secret with the account's password in an external broker, set with `pulumi config set --secret NAME`."""
    resources: Resources = Resources(cpu="10m", memory="48Mi", scratch="16Mi")
    """What it asks for; it was seen to use 27 MiB."""
    placement: Placement | None = None
    """Onto which nodes it goes; None: as the stack's `placement` says."""


def problems(settings: "Settings") -> Iterator[Problem]:
    """Yield what would keep the canary from ever being heard, or from ever being late."""
    canary = settings.canary
    if canary.where == "none":
        return
    if settings.metrics.where == "none":
        reason = "would tell nobody what it finds, because metrics.where is none: say canary: {where: none}, or metrics: {where: cluster}"
        yield Problem(("canary", "where"), reason, canary.where, (("metrics",),))
    yield from _texts(canary)
    yield from _way(settings, canary)
    if canary.web not in settings.web:
        reason = f"there is no web.{canary.web}; under web there is {', '.join(settings.web) or 'nothing'}"
        yield Problem(("canary", "web"), reason, canary.web, (("web",),))
    if canary.token and canary.token not in [*settings.app.generate, *settings.app.secrets]:
        reason = "is no secret of the app: name it under app.generate, which makes it, or under app.secrets"
        yield Problem(("canary", "token"), reason, reads=(("app",),))


def _texts(canary: Canary) -> Iterator[Problem]:
    every, late = seconds_of(canary.every), seconds_of(canary.late)
    if late >= every:
        reason = f"expected less than canary.every: {late} s is not less than {every} s, so the next fall would come before one is late"
        yield Problem(("canary", "late"), reason, canary.late, (("canary", "every"),))
    if {"+", "#"} & set(canary.topic):
        reason = "expected a topic without '+' and '#': it is published to, not subscribed to"
        yield Problem(("canary", "topic"), reason, canary.topic)
    if not all("!" <= letter <= "~" for letter in canary.path):
        yield Problem(("canary", "path"), "expected a path as it stands in an address: other letters and spaces as %20", canary.path)
    for key, text in (("payload", canary.payload), ("path", canary.path)):
        if "{id}" not in text:
            yield Problem(("canary", key), "expected {id} in it: each fall must be told from the others", text)


def _way(settings: "Settings", canary: Canary) -> Iterator[Problem]:
    consumer, mqtt = settings.consumer, settings.mqtt
    where: Path = ("canary", "where")
    reads: tuple[Path, ...] = (("mqtt",), ("consumer",))
    if mqtt.where == "none":
        yield Problem(where, "needs a broker to publish to, but mqtt.where is none: say canary: {where: none}", canary.where, reads)
        return
    if consumer.where == "none":
        yield Problem(where, "needs a consumer, but consumer.where is none: say canary: {where: none}", canary.where, reads)
        return
    if mqtt.where == "external" and canary.password is None:
        reason = "needs the account that whoever runs the broker made for it: the name of the secret with its password"
        yield Problem(("canary", "password"), reason, reads=(("mqtt",),))
    if mqtt.where == "cluster" and (canary.password is not None or canary.user != CANARY_ACCOUNT):
        key = "password" if canary.password is not None else "user"
        yield Problem(("canary", key), "is for an external broker; in the stack's own the account is made by the stack", reads=(("mqtt",),))
    read = _read(settings)
    if read is not None and not any(matches(one, canary.topic) for one in read):
        said = "consumer.topic" if consumer.mode == "mqtt" else f"mqtt.queues.{consumer.queue}.topics"
        reason = f"nobody would read it: the consumer reads {', '.join(read) or 'nothing'}, as {said} says"
        yield Problem(("canary", "topic"), reason, canary.topic, reads)


def _read(settings: "Settings") -> list[str] | None:
    """Return the filters whose messages the consumer gets; None where somebody else's broker says it."""
    consumer, mqtt = settings.consumer, settings.mqtt
    if consumer.mode == "mqtt":
        return [consumer.topic]
    if consumer.mode == "amqp" and mqtt.where == "cluster" and consumer.queue in mqtt.queues:
        return list(mqtt.queues[consumer.queue].topics)
    return None


def matches(wanted: str, topic: str) -> bool:
    """Say whether an MQTT filter takes a topic."""
    levels, given = wanted.split("/"), topic.split("/")
    if levels[-1] == "#":
        levels, given = levels[:-1], given[: len(levels) - 1]
    return len(levels) == len(given) and all(level in ("+", part) for level, part in zip(levels, given, strict=True))
