"""Elasticsearch: its nodes, where its snapshots go, and what it is meant to hold."""

from typing import Literal

from pydantic import Field

from settings.backing import Backing, Volume, Where
from settings.logs import S3
from settings.quantities import bytes_of
from settings.types import Bytes, Cidr, Count, Cron, Duration, EnvName, Model, Placement, Resources, TimeZone

VERSION = "8.19.21"
"""The version that is tested here, and that the image `elasticsearch` is."""
LARGEST_HEAP = 31 * 2**30
"""Bytes below which Java's pointers stay compressed."""
LEAST_HEAP = 128 * 2**20
"""Bytes of heap that the server gives itself on the smallest machine (MIN_HEAP_SIZE in its MachineDependentHeap)."""
BESIDE_HEAP = 384 * 2**20
"""Bytes that a node takes beside its heap before it holds anything: 330 MiB were measured of the tested version, 248 of the server and 82
of the program that starts it and stays. Upstream's image has more modules than the sandbox's, hence the rest."""

WATERMARKS = {
    "low": (0.15, 512 * 2**20, 200 * 10**9),
    "high": (0.10, 384 * 2**20, 150 * 10**9),
    "flood_stage": (0.05, 256 * 2**20, 100 * 10**9),
}
"""Free space of a volume below which a node takes no further shard (low), gives shards away (high), and refuses writes (flood_stage): the
server's own shares and upper bounds (docs "Disk-based shard allocation": 85, 90 and 95 %, max_headroom 200, 150 and 100 GB), and lower
bounds of ours. Of a 2 GiB volume 5 % are 100 MiB, less than merging segments may take at once, and a full disk stops the server.
Said in bytes, so that a volume which shares its disk with others (the sandbox's) is not full when that disk is."""
SNAPSHOT_JOB = Resources(cpu="20m", memory="32Mi", scratch="16Mi")
"""What a run of the snapshots asks for: a shell and curl."""


class Bucket(S3):
    """A bucket for snapshots, at Amazon's S3 or a server that speaks the same protocol."""

    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    """The bucket; it exists already."""
    path: str = Field(default="elasticsearch", pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")
    """Folder in it, this stack's alone: two clusters that write to one folder destroy each other's snapshots."""
    ranges: list[Cidr] = Field(default=["0.0.0.0/0"], min_length=1)
    """Addresses that the network policy lets the nodes reach."""

    @property
    def keys(self) -> list[str]:
        """The names of the secrets with the key's id and the key itself, as far as they are said."""
        return [name for name in (self.access_key, self.secret_key) if name]


class Repository(Model):
    """Where snapshots are kept."""

    type: Literal["fs", "s3"] = "fs"
    """fs: a volume of its own, for one node; s3: a bucket."""
    volume: Volume = Volume(size="20Gi")
    """The volume of `fs`. It outlives the nodes' own, but not the cluster: copy it away, or take s3."""
    s3: Bucket | None = None
    """The bucket of `s3`."""

    @property
    def bucket(self) -> Bucket | None:
        """The bucket, where it is used."""
        return self.s3 if self.type == "s3" else None


class Snapshots(Model):
    """Snapshots of all indices at set times, each only what has changed since the one before."""

    schedule: Cron = "30 2 * * *"
    """When, as five cron fields."""
    time_zone: TimeZone = "Etc/UTC"
    """The zone that `schedule` is read in."""
    keep: Count = 14
    """How many are kept that are whole; older ones are deleted, those of another name than `scheduled-…` never."""
    stop_after: Duration = "6h"
    """A run that takes longer has failed; the server goes on with what it has begun."""
    repository: Repository = Repository()
    """Where to."""


class Sizing(Model):
    """What the nodes are meant to hold, at the most. It makes nothing: a stack that can not hold it is refused, with the arithmetic."""

    documents: int | None = Field(default=None, ge=1, le=10**13)
    """Documents that are kept for good, copies not counted; None: so many a day, as `documents_per_day` says."""
    documents_per_day: int | None = Field(default=None, ge=1, le=10**12)
    """Documents a day, in an index of each day's own, which is deleted after `retention`."""
    retention: Duration | None = None
    """How long they are kept, in whole days: 30d."""
    bytes_per_document: int = Field(ge=1, le=10**8)
    """Bytes of one document as it is sent, on average."""
    replicas: int = Field(default=1, ge=0, le=10)
    """Copies of each document beside the first one (index.number_of_replicas)."""
    indices: int = Field(default=1, ge=1, le=100_000)
    """Indices that `documents` are spread over evenly."""
    shards: int = Field(default=1, ge=1, le=1024)
    """Parts of each index (index.number_of_shards)."""
    fields: int = Field(default=50, ge=1, le=10_000)
    """Fields that an index's mapping has."""


class Elasticsearch(Backing):
    """Elasticsearch: one node, or several."""

    where: Where = "none"
    """Who runs it; a product that says nothing has none."""
    version: str = VERSION
    """The server's version, three numbers. The app's client must fit: the gem `elasticsearch` of the same major version or an older one.
    Another version than the default runs the image `elasticsearch-<version>`. A newer one never goes back to an older one."""
    members: Count = 3
    """Nodes; odd, so that a majority can elect."""
    config_var: EnvName = "ELASTICSEARCH_URL"
    """The config var that the app reads."""
    heap: Bytes | None = None
    """Java's heap; None is half of the memory, and at most 31Gi, below which pointers stay compressed."""
    prepared_nodes: bool = False
    """Whether every node of the cluster that it goes to has vm.max_map_count of at least 262144 (sysctl): then indices are mapped into
    memory, which is faster. Without it a node that maps them does not start."""
    snapshots: Snapshots | None = None
    """Snapshots at set times; None: none are taken."""
    sizing: Sizing | None = None
    """What it is meant to hold; None: nobody checks whether it fits."""
    volume: Volume = Volume(size="50Gi")
    """Each node's indices."""
    resources: Resources = Resources(cpu="500m", memory="4Gi")
    """What each node asks for."""
    placement: Placement | None = None
    """Onto which nodes it goes; None: as the stack's `placement` says."""

    @property
    def image(self) -> str:
        """The name of the image that its version is in."""
        return "elasticsearch" if self.version == VERSION else f"elasticsearch-{self.version}"

    @property
    def heap_bytes(self) -> int:
        """Java's heap: what is said, or half of the memory, at most LARGEST_HEAP."""
        return bytes_of(self.heap) if self.heap else min(bytes_of(self.resources.memory) // 2, LARGEST_HEAP)

    @property
    def snapshot_secrets(self) -> list[str]:
        """The names of the secrets that its repository needs."""
        bucket = self.snapshots.repository.bucket if self.snapshots and self.where == "cluster" else None
        return bucket.keys if bucket else []

    @property
    def keeps_snapshots(self) -> Volume | None:
        """The volume that its snapshots lie on; None: they do not."""
        kept = self.snapshots.repository if self.snapshots and self.where == "cluster" else None
        return kept.volume if kept and kept.type == "fs" else None


def kept_free(level: str, volume: int) -> int:
    """Return the bytes of a volume that stay free at a level of WATERMARKS."""
    share, least, most = WATERMARKS[level]
    return min(max(int(volume * share), least), most)
