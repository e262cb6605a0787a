"""Who is told when something is wrong: receivers, which severities reach them, and the heartbeat that ends outside the cluster."""

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import Field

from settings.backing import Volume
from settings.problems import Path, Problem
from settings.types import Cidr, DnsLabel, Duration, EmailAddress, EnvName, Host, Model, Placement, Port, Resources, Url

if TYPE_CHECKING:
    from settings.stack import Settings

HTTPS = 443
OWN_RECEIVERS = ("nobody", "watchdog")
"""Receivers that every stack has."""


class Webhook(Model):
    """An address that gets each notification as JSON by POST. Either `url` or `url_secret` says it."""

    url: Url | None = None
    """The address, when whoever knows it may: it has no password and no key in it."""
    url_secret: EnvName | None = None
    """Name of the secret that holds the address, set with `pulumi config set --secret NAME`: Slack's and Opsgenie's addresses are keys."""
    port: Port = HTTPS
    """TCP port of an address that is a secret, for the network policy; that of `url` is taken from it."""

    @property
    def place(self) -> tuple[str | None, int]:
        """Host, None when it is a secret, and port."""
        if self.url is None:
            return None, self.port
        parts = urlsplit(self.url)
        return parts.hostname, parts.port or (HTTPS if parts.scheme == "https" else 80)


class PagerDuty(Model):
    """A service of PagerDuty's, by its Events API v2."""

    routing_key: EnvName
    """Name of the secret that holds the integration key, set with `pulumi config set --secret NAME`; never the key itself."""
    url: Url = "https://events.pagerduty.com/v2/enqueue"
    """Where events go; an account in Europe has another host."""


class Email(Model):
    """A mailbox, or several. The mail server must offer STARTTLS."""

    to: list[EmailAddress] = Field(min_length=1)
    """Who gets the mail."""
    sender: EmailAddress
    """Who it is from; the mail server must accept that."""
    host: Host
    """The mail server: smtp.sendgrid.net."""
    port: Port = 587
    """Its port for submission."""
    user: str = ""
    """Account; SendGrid's is `apikey`. Empty for none."""
    password: EnvName | None = None
    """Name of the secret that holds the password, set with `pulumi config set --secret NAME`."""


class Receiver(Model):
    """Somebody who is told: by one way, or by several at once."""

    webhook: Webhook | None = None
    """By HTTP: Slack, Opsgenie, anything of your own."""
    pagerduty: PagerDuty | None = None
    """By PagerDuty."""
    email: Email | None = None
    """By mail."""

    @property
    def secrets(self) -> dict[str, str]:
        """The secrets that it needs: what they are, as a file's name, and the name of each."""
        said = {
            "url": self.webhook.url_secret if self.webhook else None,
            "routing-key": self.pagerduty.routing_key if self.pagerduty else None,
            "password": self.email.password if self.email else None,
        }
        return {what: name for what, name in said.items() if name}

    @property
    def places(self) -> list[tuple[str | None, int]]:
        """Hosts, None for one that is a secret, and ports that notifications go to."""
        found = [self.webhook.place] if self.webhook else []
        found += [Webhook(url=self.pagerduty.url).place] if self.pagerduty else []
        return found + ([(self.email.host, self.email.port)] if self.email else [])


class Watchdog(Webhook):
    """The heartbeat: an alert that always fires, sent to a service outside the cluster that raises the alarm when it stops coming."""

    every: Duration = "1m"
    """How often it is sent. The service outside must wait for at least three of them, or a restart of Alertmanager alarms."""


class Alerts(Model):
    """Alertmanager and where it sends alerts. It runs wherever the stack's metrics are collected (`metrics.where`)."""

    receivers: dict[DnsLabel, Receiver] = {}
    """Who is told, by name."""
    critical: list[DnsLabel] = []
    """Receivers of critical alerts: those that are worth waking somebody. Production does not come up without one."""
    warning: list[DnsLabel] = []
    """Receivers of warnings, which wait for working hours."""
    watchdog: Watchdog | None = None
    """Where the heartbeat goes; None: nowhere, and nobody is told when the whole cluster is away."""
    group_wait: Duration = "30s"
    """How long the first warning of a group waits for others. Critical alerts wait 5 s."""
    group_interval: Duration = "5m"
    """How long further warnings of a group wait. Further critical alerts wait 30 s."""
    repeat_critical: Duration = "1h"
    """A critical alert that goes on is sent again after so long."""
    repeat_warning: Duration = "12h"
    """A warning that goes on is sent again after so long."""
    expected_messages: int = Field(default=0, ge=0)
    """Messages that all devices together send in ten minutes at the least: fewer is an alert (MqttSilent), and the canary's do not count.
    0: silence is normal."""
    runbooks: Url | None = None
    """Where this repository is read in a browser, such as https://git.example.com/lamps/blob/main: alerts then link their runbook there.
    None: they name its path in the repository."""
    egress_ranges: list[Cidr] = []
    """Private addresses that notifications may go to besides: a company's own mail server. Public ones need not be named, nor does a
    receiver whose address is a number."""
    volume: Volume = Volume(size="1Gi")
    """Silences, and what was sent already."""
    resources: Resources = Resources(cpu="10m", memory="64Mi", scratch="32Mi")
    """What Alertmanager asks for."""
    placement: Placement | None = None
    """Onto which nodes it goes; None: as the stack's `placement` says."""

    @property
    def secrets(self) -> list[str]:
        """The names of all secrets that receivers and the watchdog need."""
        names = [name for receiver in self.receivers.values() for name in receiver.secrets.values()]
        return names + ([self.watchdog.url_secret] if self.watchdog and self.watchdog.url_secret else [])

    @property
    def places(self) -> list[tuple[str | None, int]]:
        """Hosts and ports that anything is sent to."""
        found = [place for receiver in self.receivers.values() for place in receiver.places]
        return found + ([self.watchdog.place] if self.watchdog else [])


def problems(settings: "Settings") -> Iterator[Problem]:
    """Yield what is wrong with receivers and routes."""
    alerts = settings.alerts
    for name, receiver in alerts.receivers.items():
        path: Path = ("alerts", "receivers", name)
        if name in OWN_RECEIVERS:
            yield Problem(path, "the name is taken by Switchyard itself")
        if not (receiver.webhook or receiver.pagerduty or receiver.email):
            reason = "a receiver without an address: expected webhook: {url}, pagerduty: {routing_key} or email: {to, sender, host}"
            yield Problem(path, reason)
        if receiver.webhook:
            yield from _webhook((*path, "webhook"), receiver.webhook)
        if receiver.pagerduty and _is_key(receiver.pagerduty.routing_key):
            yield Problem((*path, "pagerduty", "routing_key"), _in_clear("PAGERDUTY_ROUTING_KEY", "routing_key"))
        if receiver.email:
            yield from _email((*path, "email"), receiver.email)
    if alerts.watchdog:
        yield from _webhook(("alerts", "watchdog"), alerts.watchdog)
    yield from _deaf(settings)
    for severity, names in (("critical", alerts.critical), ("warning", alerts.warning)):
        for index, name in enumerate(names):
            if name not in alerts.receivers:
                known = ", ".join(alerts.receivers) or "none"
                reads: tuple[Path, ...] = (("alerts", "receivers"),)
                yield Problem(("alerts", severity, index), f"no such receiver under alerts.receivers ({known})", name, reads)


def _deaf(settings: "Settings") -> Iterator[Problem]:
    """Yield what is said of alerts that could never be raised."""
    alerts, mqtt, metrics = settings.alerts, settings.mqtt, settings.metrics
    if alerts.expected_messages and mqtt.where != "cluster":
        reason = f"are counted by the stack's own broker, and mqtt.where is {mqtt.where}: nobody would miss them; leave it out"
        yield Problem(("alerts", "expected_messages"), reason, alerts.expected_messages, (("mqtt",),))
    if alerts.critical and not settings.alerting and settings.tier == "production":
        reason = (
            f"would never be told anything: metrics.where is {metrics.where}, so nothing is measured. Say metrics: {{where: cluster}}, or "
            f"name nobody"
        )
        yield Problem(("alerts", "critical"), reason, reads=(("metrics",), ("tier",)))


def _webhook(path: Path, said: Webhook) -> Iterator[Problem]:
    if said.url is None and said.url_secret is None:
        yield Problem(path, "without an address: expected url, or url_secret with the name of the secret that holds it")
    elif said.url is not None and said.url_secret is not None:
        yield Problem(path, "url and url_secret both say the address: leave one of them out")
    elif said.url is not None and any(map(_is_key, _parts(said.url))):
        yield Problem((*path, "url"), _in_clear("ALERTS_WEBHOOK_URL", "url_secret", instead=True))
    if said.url is not None and "port" in said.model_fields_set:
        yield Problem((*path, "port"), "is that of an address that is a secret: say it in url", said.port)


def _email(path: Path, said: Email) -> Iterator[Problem]:
    if bool(said.user) is (said.password is None):
        missing = "password, the name of the secret that holds it" if said.user else "user, whose password it is"
        yield Problem(path, f"expected both user and password, or none of them: {missing}, is not said")


def _in_clear(name: str, key: str, *, instead: bool = False) -> str:
    say = f"say {key}: {name} instead" if instead else f"say {key}: {name}"
    return f"a key in clear: {say}, and set it with `pulumi config set --secret {name}`"


def _parts(url: str) -> list[str]:
    """Return the pieces of a URL's path and query, in which a key may be."""
    parts = urlsplit(url)
    return [piece for text in (parts.path, parts.query.replace("=", "/").replace("&", "/")) for piece in text.split("/")]


def _is_key(text: str) -> bool:
    """Say whether a text looks like a key: twenty letters and digits or more, mixed, in one piece."""
    pieces = text.replace("-", "_").split("_")
    longest = max(pieces, key=len)
    uuid = len(pieces) >= 5 and all(set(piece.lower()) <= set("0123456789abcdef") and piece for piece in pieces)
    return uuid or (len(longest) >= 20 and any(c.isdigit() for c in longest) and any(c.isalpha() for c in longest))
