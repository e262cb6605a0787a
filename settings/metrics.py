"""Metrics: a Prometheus of the stack's own, and the exporters that it asks."""

from typing import Literal

from pydantic import Field

from settings.backing import Volume
from settings.types import Bytes, Cidr, Duration, Model, OwnFile, Placement, Resources

EVERY_SECONDS = 10
"""How often everything is asked and every rule evaluated: a lost consumer must be told of within two minutes."""
SAMPLE_BYTES = 2
"""Bytes on disk of one sample: Prometheus' own documentation says one to two."""
SERIES_MEMORY = 10 * 2**10
"""Bytes of memory for each series, questions included."""
BASE_MEMORY = 64 * 2**20
"""Bytes of memory that the server takes for itself."""
LARGEST_SHARE = 0.8
"""What of the volume the kept blocks may take: the write-ahead log and a block that is being made come on top."""


class Metrics(Model):
    """Prometheus, kube-state-metrics and the exporters of what the stack runs or uses."""

    where: Literal["cluster", "none"] = "none"
    """`cluster`: the stack watches itself; `none`: it has neither metrics nor alerts."""
    retention: Duration = "15d"
    """How long samples are kept; one is taken of every series every 10 s."""
    retention_size: Bytes = "8Gi"
    """What the kept samples may take, at most 80 % of the volume; the oldest go first."""
    series: int = Field(default=15_000, ge=100, le=10_000_000)
    """Time series that are expected, for the check that `retention` fits into `retention_size`: 2 bytes a sample. The demo product has
    about 9900 with one of everything; `prometheus_tsdb_head_series` tells."""
    rules: list[OwnFile] = []
    """Further alert and recording rules: files of this repository, as Prometheus reads them. One that does not parse is refused."""
    volume: Volume = Volume(size="10Gi")
    """The samples."""
    resources: Resources = Resources(cpu="100m", memory="768Mi")
    """What Prometheus asks for: 10 KiB of memory for each of `series`, and 64 MiB for itself; with less it is refused."""
    exporters: Resources = Resources(cpu="10m", memory="32Mi", scratch="16Mi")
    """What each exporter asks for."""
    sidekiq: Resources = Resources(cpu="10m", memory="64Mi", scratch="16Mi")
    """What the exporter of Sidekiq's figures asks for; it is a Python program."""
    kube_state_metrics: Resources = Resources(cpu="10m", memory="64Mi", scratch="16Mi")
    """What kube-state-metrics asks for, which tells the state of the namespace's objects."""
    volumes: Resources = Resources(cpu="5m", memory="24Mi", scratch="16Mi")
    """What the container asks for that tells the free space of a volume; each pod with a volume has one."""
    kubelet: bool = False
    """Whether to ask the nodes' kubelets for the processor time, memory and volumes of the stack's own containers. It takes rights that
    only the cluster's program grants (`./sy cluster up`), and the kubelet tells of all namespaces: Prometheus keeps its own."""
    kubelet_ranges: list[Cidr] = Field(default=["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"], min_length=1)
    """Addresses of the nodes, for `kubelet`."""
    placement: Placement | None = None
    """Onto which nodes Prometheus and the exporters go; None: as the stack's `placement` says."""
