"""The Rails product itself: its image, its config vars and its processes."""

from typing import Literal

from pydantic import Field

from settings.quantities import seconds_of
from settings.types import (
    AbsolutePath,
    Cidr,
    Count,
    Cron,
    DnsLabel,
    Duration,
    EnvName,
    Image,
    Model,
    MqttFilter,
    Placement,
    Port,
    QueueName,
    Resources,
    TimeZone,
)

PRESTOP_SECONDS = 5
"""A pod keeps serving this long after it was told to go, so that every proxy has forgotten it (knowledge: 5 to 10 s)."""
GRACE_MARGIN_SECONDS = 5
"""What a grace period leaves beyond the waits inside it."""


class App(Model):
    """The image that all the product's processes run, and what it is told."""

    image: Image = "app"
    """A name in `images.pinned`, or a full reference; `up` wants a digest."""
    uid: int = Field(default=10100, ge=1)
    """The user id the processes run as; it must exist in the image."""
    writable: list[AbsolutePath] = ["/tmp"]
    """Folders that the app may write to, each an emptyDir; all else is read-only."""
    config: dict[EnvName, str] = {}
    """Config vars that are no secrets."""
    secrets: list[EnvName] = []
    """Names of secret config vars (Sentry, SendGrid …); each is set with `pulumi config set --secret NAME`."""
    generate: list[EnvName] = []
    """Secret config vars that the stack makes itself, once: SECRET_KEY_BASE and the like, 64 letters and digits."""
    rotation: int = Field(default=1, ge=1)
    """Raise it to generate all of `generate` anew."""
    egress_ports: list[Port] = [443, 587]
    """Ports of public addresses that the app may reach: HTTPS (Sentry) and mail submission (SendGrid). The API server is none of them."""
    egress_ranges: list[Cidr] = []
    """Private addresses that the app may reach on these ports besides: a company's own mail server. The address where a cloud tells a
    node's rights, 169.254.169.254, is left out of them, unless it is named by itself (169.254.169.254/32)."""
    service_account_annotations: dict[str, str] = {}
    """Annotations of the ServiceAccount that the app's pods run as, such as a cloud's identity. Its token is not mounted."""


class HttpHealth(Model):
    """Health by HTTP. The kubelet counts a redirect as success, so a path must answer 200 by itself."""

    live: AbsolutePath = "/health/live"
    """Answers 200 as long as the process lives; never asks a database."""
    ready: AbsolutePath = "/health/ready"
    """Answers 200 when requests can be served."""
    host: str = "localhost"
    """The Host header the probes send, for apps that refuse unknown hosts."""


class FileHealth(Model):
    """Health of a process without a port: a file that it touches while its main loop turns."""

    file: AbsolutePath = "/tmp/heartbeat"
    """The file whose modification time is looked at."""
    max_age: Duration = "60s"
    """Older than this and the container is restarted."""


class AppMetrics(Model):
    """Where a process of the app tells its own metrics, in Prometheus' format. The app gets the port as config var METRICS_PORT."""

    port: Port = 9394
    """TCP port of its pods; no Service and nobody outside the stack reaches it."""
    path: AbsolutePath = "/metrics"
    """HTTP path."""


class Process(Model):
    """A long-running command of the app: what a line of a Procfile was."""

    command: list[str] = Field(min_length=1)
    """Program and arguments, run without a shell."""
    replicas: Count = 1
    """How many pods run it."""
    singleton: bool = False
    """Never two at once, not even while rolling out (strategy Recreate)."""
    config: dict[EnvName, str] = {}
    """Config vars of this process alone."""
    health: FileHealth | None = None
    """Liveness by a heartbeat file; None restarts it only when it exits."""
    metrics: AppMetrics | None = None
    """Where it tells its metrics; None: it has none of its own."""
    start_within: Duration = "120s"
    """How long it may take to boot."""
    stop_within: Duration = "25s"
    """How long it may work on after SIGTERM before it is killed."""
    resources: Resources = Resources(memory="512Mi")
    """What each pod asks for."""
    placement: Placement | None = None
    """Onto which nodes it goes; None: as the stack's `placement` says."""

    @property
    def grace_seconds(self) -> int:
        """The pod's grace period: longer than what it waits for."""
        return seconds_of(self.stop_within) + GRACE_MARGIN_SECONDS


class Web(Process):
    """A process that serves HTTP."""

    replicas: Count = 2
    """How many pods serve."""
    port: Port = 3000
    """The port it is told to listen on, as config var PORT."""
    threads: Count = 5
    """Threads of each server process, as RAILS_MAX_THREADS."""
    concurrency: int = Field(default=0, ge=0, le=32)
    """Forked server processes in a pod, as WEB_CONCURRENCY; 0 is one process without forking."""
    keep_alive: Duration = "75s"
    """How long an idle connection of the gateway is kept, as PUMA_PERSISTENT_TIMEOUT: longer than `edge.keep_alive.app`."""
    probes: HttpHealth = HttpHealth()
    """Where the kubelet asks."""

    @property
    def grace_seconds(self) -> int:
        """The pod's grace period: draining, then the app's own shutdown, then a margin."""
        return PRESTOP_SECONDS + seconds_of(self.stop_within) + GRACE_MARGIN_SECONDS


class SidekiqPool(Process):
    """Sidekiq processes that serve the same queues."""

    command: list[str] = Field(default=["bundle", "exec", "sidekiq"], min_length=1)
    """Program and arguments, without queues, concurrency and timeout: those are added as -q, -c and -t."""
    queues: list[QueueName] = Field(default=["default"], min_length=1)
    """Queues, most urgent first; `name,weight` as Sidekiq takes them."""
    concurrency: Count = 5
    """Threads, as -c and RAILS_MAX_THREADS."""

    @property
    def argv(self) -> list[str]:
        """The whole command: what the pool serves, and how long a job may finish after SIGTERM."""
        queues = [word for queue in self.queues for word in ("-q", queue)]
        return [*self.command, "-c", str(self.concurrency), "-t", str(seconds_of(self.stop_within)), *queues]


class Consumer(Process):
    """The process that reads what devices publish. Not a Sidekiq job: such a poller is orphaned by restarts."""

    where: Literal["cluster", "none"] = "none"
    """`none`: the product has no consumer."""
    command: list[str] = Field(default=["bin/consumer"], min_length=1)
    """Program and arguments."""
    mode: Literal["amqp", "mqtt", "sidekiq"] = "amqp"
    """amqp: two or more readers of one quorum queue, one active at a time; mqtt: one reader with a persistent session;
    sidekiq: a poller that is a Sidekiq worker, as a singleton pool."""
    queue: QueueName = "falls"
    """The queue it reads (mode amqp), declared under `mqtt.queues`."""
    topic: MqttFilter = "lamps/+/fall"
    """The MQTT filter it subscribes to (mode mqtt); the broker holds its session queue from the start."""
    replicas: Count = 2
    """Readers; 1 in the modes mqtt and sidekiq."""
    health: FileHealth | None = FileHealth()
    """Liveness by a heartbeat file, never by asking the database."""

    @property
    def alone(self) -> bool:
        """Whether two at once would harm: a second MQTT session cuts the first one off."""
        return self.mode != "amqp"


class Schedule(Model):
    """A command that runs at set times: what a line of Heroku Scheduler was."""

    command: list[str] = Field(min_length=1)
    """Program and arguments, run without a shell."""
    cron: Cron
    """When, as five cron fields."""
    time_zone: TimeZone = "Etc/UTC"
    """The zone that `cron` is read in."""
    config: dict[EnvName, str] = {}
    """Config vars of this command alone."""
    stop_after: Duration = "1h"
    """A run that takes longer is ended."""
    resources: Resources = Resources(memory="512Mi")
    """What each run asks for."""
    placement: Placement | None = None
    """Onto which nodes it goes; None: as the stack's `placement` says."""


class Release(Model):
    """What runs once per release, before any new pod starts: the schema migration."""

    command: list[str] = []
    """Program and arguments; empty: there is nothing to run."""
    stop_after: Duration = "15m"
    """A migration that takes longer has failed."""
    resources: Resources = Resources(memory="512Mi")
    """What it asks for."""
    placement: Placement | None = None
    """Onto which nodes it goes; None: as the stack's `placement` says."""


class Worker(Process):
    """A long-running command beside web, Sidekiq and consumer."""

    needs: list[Literal["postgres", "mqtt", "elasticsearch"]] = []
    """Services without which it is not run at all: a stack that says `where: none` of one leaves it out."""


Processes = dict[DnsLabel, Worker]
"""Other long-running commands by name."""
