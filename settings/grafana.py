"""Grafana: where metrics and logs are looked at."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from settings.problems import Problem
from settings.types import Model, OwnFile, Placement, Resources

if TYPE_CHECKING:
    from settings.stack import Settings


def _url(value: str) -> str:
    host = value.partition("://")[2].partition("/")[0]
    if not value.startswith(("http://", "https://")) or not host or "@" in host or any(letter.isspace() for letter in value):
        raise ValueError("expected an address such as https://grafana.example.com/")
    return value


class Grafana(Model):
    """Grafana, with the stack's own Prometheus and Loki as its data sources and a dashboard for each part of the stack."""

    where: Literal["cluster", "none"] = "none"
    """`none`: the product has none."""
    root_url: Annotated[str, AfterValidator(_url)] | None = None
    """The address that people open it by; None: nobody does, and `./sy open grafana` forwards a port."""
    edge: bool = False
    """Whether those whom `edge` lets reach the web processes may reach it too, on port 3000; it then wants a root_url of its own."""
    dashboards: list[OwnFile] = []
    """Further dashboards: JSON files of this repository, as Grafana exports them. One that is no JSON, or whose queries do not parse, is
    refused."""
    resources: Resources = Resources(cpu="50m", cpu_limit="2", memory="384Mi")
    """What it asks for. No alarm passes through it, so a heavy question is slowed down rather than the alarms' own work."""
    placement: Placement | None = None
    """Onto which nodes it goes; None: as the stack's `placement` says."""
    rotation: int = Field(default=1, ge=1)
    """Raise it to generate a new password of the account admin."""

    @property
    def host(self) -> str | None:
        """The host name of its root_url."""
        return urlsplit(self.root_url).hostname if self.root_url else None


def problems(settings: "Settings") -> Iterator[Problem]:
    """Yield what Grafana lacks: somebody to ask, and an address where people are let in."""
    said = settings.grafana
    if said.where == "none":
        return
    if settings.logs.where == settings.metrics.where == "none":
        reason = "there is nothing to look at: the stack has neither metrics nor logs; turn one of them on, or say none"
        yield Problem(("grafana", "where"), reason, said.where, (("logs",), ("metrics",)))
    if said.edge and said.root_url is None:
        yield Problem(("grafana", "root_url"), "who comes from the edge needs an address: say one, such as https://grafana.example.com/")
    if said.edge and settings.edge.where == "none" and not (settings.edge.namespaces or settings.edge.ranges):
        yield Problem(("grafana", "edge"), "lets in whom `edge` names, and it names nobody", said.edge, (("edge",),))
