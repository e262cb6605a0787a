"""What a component brings for whoever watches it: ports to ask for metrics, files of alert rules, and what the rules expect to find."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from settings import Settings
from settings.fixed import VOLUMES_PORT, servers

RULES = Path(__file__).parent / "files" / "alerts"
"""The files of alert rules, `<name>.yml` each, as promtool reads them."""


@dataclass(frozen=True, kw_only=True)
class Scrape:
    """A port that Prometheus asks for metrics, on every pod of a component. No two have job, `about` and port in common."""

    job: str
    """The label `job` of all that is read from it: the component, or the exporter beside it."""
    component: str
    """The pods that are asked carry this value of app.kubernetes.io/component; it becomes the label `component`."""
    port: int
    """TCP port of the pod; one of its containers must name it."""
    namespace: str | None = None
    """Another namespace that the pods are in, asked by way of its headless Service of the component's name, because Prometheus may look
    for pods in its own alone; None: its own."""
    path: str = "/metrics"
    """HTTP path."""
    params: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Parameters of the request."""
    scheme: Literal["http", "https"] = "http"
    """How the port is asked; https verifies no name, because pods are dialled by address."""
    about: str | None = None
    """The label `component` where an exporter tells of another component; None: of the pods that are asked."""
    honor_labels: bool = False
    """Whether the labels `namespace`, `pod`, `container` and `component` are those of what is told, not of the pod that is asked."""
    relabel: tuple[Mapping[str, object], ...] = ()
    """Further metric_relabel_configs, as Prometheus' configuration has them: which series are kept, and under which labels."""


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """A fact of the settings, recorded as a series: rules compare what is measured with it.

    So a rule over something that is not there at all still fires: `switchyard:queue unless on(queue) ..._consumers > 0`.
    """

    record: str
    """The series' name, such as switchyard:queue."""
    value: float
    """Its value: a count, a number of seconds or bytes."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Its labels."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """All that one component brings to Prometheus."""

    rules: tuple[str, ...] = ()
    """Names of the files of alert rules in components/files/alerts, without their ending."""
    scrapes: tuple[Scrape, ...] = ()
    """Where its metrics are."""
    expectations: tuple[Expectation, ...] = ()
    """What its rules expect."""


def members(component: str, count: int) -> Expectation:
    """Return the expectation that `count` pods of `component` are there: switchyard:members{component}."""
    return Expectation(record="switchyard:members", value=count, labels={"component": component})


def fact(record: str, component: str, value: float = 1) -> Expectation:
    """Return the expectation `record` about a component."""
    return Expectation(record=record, value=value, labels={"component": component})


def volumes(settings: Settings) -> Watch:
    """Return where the free space of every volume is told: beside each server that has one, on each of its pods."""
    kept = [server.name for server in servers(settings) if server.volume]
    return Watch(
        scrapes=tuple(Scrape(job="volumes", component=name, port=VOLUMES_PORT) for name in kept),
        expectations=tuple(fact("switchyard:volume", name) for name in kept),
    )


def rules(*names: str) -> tuple[str, ...]:
    """Return those of `names` that there is a file of alert rules for."""
    return tuple(name for name in names if (RULES / f"{name}.yml").is_file())
