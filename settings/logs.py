"""Logs: where the stack's lines are kept, for how long, and how much of them there may be."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from settings.backing import Volume
from settings.problems import Path, Problem
from settings.quantities import bytes_of, said_bytes, seconds_of
from settings.types import Bytes, Cidr, DnsLabel, Duration, EnvName, Model, Placement, Resources

if TYPE_CHECKING:
    from settings.stack import Settings

CLUSTER_NAMESPACE = "switchyard-cluster"
"""The namespace of what belongs to a cluster and not to a stack: the program in cluster/ makes it."""
RECORD = "made-of"
"""The ConfigMap in it by which `sy` sees that nothing has changed."""
COLLECTOR = "collector"
"""app.kubernetes.io/component of the pods that read all containers' log files and send the lines on."""
COLLECTOR_METRICS = 8888
"""Port of the collector's own metrics."""
LOGS_LABEL = "switchyard.dev/logs"
"""Label of a stack's namespace whose lines are kept: the namespace of the Loki that keeps them."""
KUBELET_LABEL = "switchyard.dev/kubelet"
"""Label of a stack's namespace whose Prometheus reads the kubelets' figures: `true`."""
COMPONENTS_ANNOTATION = "switchyard.dev/components"
"""Annotation of a stack's namespace: its components, separated by commas. The collector reads the files of each by itself."""
LINE_BYTES = 256 * 1024
"""Longer lines are cut: Loki's own default, and four times what a line of Rails with a stack trace has."""
COMPRESSED = Decimal("0.35")
"""Bytes on the disk for each byte of a line, index and structured metadata included; `bench/logs.py` measures it."""
USABLE = Decimal("0.9")
"""Share of a volume that is counted on: the compactor writes a day's index anew before it deletes the old one."""
LEAST_DAYS = 1
"""Days by which lines outlive their retention: the compactor marks them, waits two hours and deletes whole chunks."""
DAY = 86400


class S3(Model):
    """An object store that speaks S3. Its keys are secrets of their own: see `access_key`."""

    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    """The bucket; one for each Loki."""
    endpoint: str = Field(pattern=r"^(https?://)?[A-Za-z0-9.-]+(:[0-9]+)?$")
    """Where it is: s3.eu-west-1.amazonaws.com, or http://minio.example.com:9000."""
    region: str = "us-east-1"
    """Its region; most others than Amazon take any."""
    access_key: EnvName | None = None
    """Name of the secret with the key's id, set with `pulumi config set --secret NAME`; None: the node's or pod's own identity."""
    secret_key: EnvName | None = None
    """Name of the secret with the key itself."""
    path_style: bool = True
    """Whether the bucket's name is part of the path instead of the host; Amazon takes both."""
    ranges: list[Cidr] = Field(default=["0.0.0.0/0"], min_length=1)
    """Addresses that the network policy lets Loki reach."""

    @property
    def port(self) -> int:
        """The port of the endpoint."""
        host = self.endpoint.rpartition("://")[2]
        return int(host.partition(":")[2] or (80 if self.endpoint.startswith("http://") else 443))


class LogLimits(Model):
    """How fast lines may come. What comes faster waits in the containers' log files, and is lost when those are rotated away."""

    rate: Bytes = "8Mi"
    """Bytes a second of one tenant: the stack, or each of those that share its Loki."""
    stream_rate: Bytes = "1Mi"
    """Bytes a second of one stream: one container of one component at one level. 10,000 short lines are more."""
    streams: int = Field(default=2000, ge=100, le=100_000)
    """Streams of one tenant at a time."""


class Logs(Model):
    """Loki, which keeps the lines that the stack's containers write."""

    where: Literal["cluster", "shared", "none"] = "none"
    """cluster: the stack runs one; shared: another stack's keeps them, apart from its own; none: nothing is kept."""
    namespace: DnsLabel | None = None
    """With `shared`: the namespace of the stack whose Loki it is, on the same cluster. Retention and limits are that stack's."""
    shared_with: list[DnsLabel] = []
    """Namespaces of the stacks that share this one's Loki: their Grafana may ask it. Nobody proves whose lines it asks for: share with
    those alone who may read this stack's."""
    retention: Duration = "14d"
    """How long lines are kept; whole days."""
    daily: Bytes = "500Mi"
    """Bytes of lines that are expected a day, of all stacks that share it together: what the volume is checked against."""
    storage: Literal["filesystem", "s3"] = "filesystem"
    """filesystem: on its volume; s3: in an object store, which the volume only buffers for."""
    s3: S3 | None = None
    """The object store."""
    volume: Volume = Volume(size="10Gi")
    """What it has not sent away yet, and with `filesystem` all of it."""
    limits: LogLimits = LogLimits()
    """How fast lines may come."""
    resources: Resources = Resources(cpu="100m", memory="512Mi")
    """What it asks for."""
    placement: Placement | None = None
    """Onto which nodes it goes; None: as the stack's `placement` says."""

    @property
    def object_store(self) -> S3 | None:
        """The object store, where it is used."""
        return self.s3 if self.storage == "s3" and self.where == "cluster" else None

    def secrets(self) -> list[str]:
        """Return the names of the secrets that the object store needs."""
        store = self.object_store
        return [name for name in (store.access_key, store.secret_key) if name] if store else []

    def kept_in(self, own: str) -> str | None:
        """Return the namespace of the Loki that keeps the lines of the namespace `own`; None: nobody keeps them."""
        return {"cluster": own, "shared": self.namespace, "none": None}[self.where]


def problems(settings: "Settings") -> Iterator[Problem]:
    """Yield what is wrong with where lines are kept, and with the room for them."""
    logs = settings.logs
    if logs.where == "shared" and logs.namespace is None:
        reason = "needs namespace: that of the stack whose Loki keeps the lines"
        yield Problem(("logs", "where"), reason, logs.where, (("logs", "namespace"),))
    if logs.where != "cluster":
        return
    if logs.namespace is not None:
        reason = "is read with where: shared alone; say that, or leave it out"
        yield Problem(("logs", "namespace"), reason, logs.namespace, (("logs", "where"),))
    if seconds_of(logs.retention) % DAY:
        yield Problem(("logs", "retention"), "expected whole days such as 14d: the index is kept by day", logs.retention)
        return
    yield from _store(logs)
    yield from _room(logs)


def _store(logs: Logs) -> Iterator[Problem]:
    reads: tuple[Path, ...] = (("logs", "s3"),)
    if logs.storage == "s3" and logs.s3 is None:
        yield Problem(("logs", "storage"), "needs s3: {bucket, endpoint, access_key, secret_key}", logs.storage, reads)
    elif logs.s3 and (logs.s3.access_key is None) != (logs.s3.secret_key is None):
        yield Problem(("logs", "s3"), "expected both access_key and secret_key, or neither where the pod has an identity of its own")


def _room(logs: Logs) -> Iterator[Problem]:
    """Yield a problem when what is to be kept does not fit onto the volume."""
    days = seconds_of(logs.retention) // DAY
    volume, buffered = bytes_of(logs.volume.size), bytes_of(logs.resources.memory)
    kept = int(bytes_of(logs.daily) * COMPRESSED * (days + LEAST_DAYS)) if logs.storage == "filesystem" else 0
    room = int(volume * USABLE)
    if kept + buffered <= room:
        return
    lines = f"{logs.daily} a day x {COMPRESSED} compressed x ({days} + {LEAST_DAYS} days) = {said_bytes(kept)}, and " if kept else ""
    cure = "a larger volume, a shorter retention, fewer lines a day, or storage: s3" if kept else "a larger volume, or less memory"
    yield Problem(
        ("logs", "volume", "size"),
        f"{lines}the write-ahead log takes up to the memory, {logs.resources.memory}: {said_bytes(kept + buffered)} in all, and "
        f"{USABLE} of the volume is {said_bytes(room)}; expected {cure}",
        logs.volume.size,
        (("logs", "retention"), ("logs", "daily"), ("logs", "storage"), ("logs", "resources")),
    )
