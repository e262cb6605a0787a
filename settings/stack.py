"""A whole stack's settings."""

from collections.abc import Container
from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field, model_validator

from settings.app import App, Consumer, Processes, Release, Schedule, SidekiqPool, Web
from settings.backing import Backing, Elasticsearch, Mqtt, Postgres, Redis
from settings.types import Bytes, Cidr, Cpu, DnsLabel, EnvName, HostName, Model, Placement, Port

Tier = Literal["sandbox", "testing", "small", "staging", "production"]
"""What kind of installation it is; `settings/tiers/<tier>.yaml` says what that means."""


class Cluster(Model):
    """The cluster that the stack stands on. Without `context` nothing can be brought up, only previewed."""

    identifier: str = Field(min_length=1)
    """The cluster's lasting name; `sandbox` is the embedded one. Without one a changed kubeconfig would replace every resource."""
    kubeconfig: str | None = None
    """Path of the kubeconfig file; `~` is the user's home. None: the KUBECONFIG variable or ~/.kube/config."""
    context: str | None = None
    """Context in it, always said: whichever is current by chance is not taken."""
    api_server: list[Cidr] = ["0.0.0.0/0"]
    """Addresses of the API server, which Patroni must reach through its network policy."""
    api_server_ports: list[Port] = [443, 6443]
    """Its ports: most networks see them after translation."""
    dns: dict[str, str] = {"k8s-app": "kube-dns"}
    """Labels of the cluster DNS pods."""
    dns_namespace: DnsLabel = "kube-system"
    """Their namespace."""
    dns_ranges: list[Cidr] = ["169.254.20.10/32"]
    """Addresses of DNS servers that are no such pods: the cache on each node (NodeLocal DNSCache), where there is one."""
    storage_class: str | None = None
    """StorageClass of all volumes that name none of their own; None is the cluster's default."""


class RegistryLogin(Model):
    """An account that images are pulled with; the stack makes the Secret for the kubelet from it."""

    server: str
    """The registry, such as ghcr.io."""
    user: str
    """Account."""
    password: EnvName
    """Name of the secret that holds the password or token, set with `pulumi config set --secret NAME`."""


class Images(Model):
    """Where images come from."""

    registry: str = "registry.example.com/switchyard"
    """The company's registry and folder, for images that are not pinned yet."""
    pinned: dict[str, str] = {}
    """Image name -> reference with digest, as `./sy images pin` writes it."""
    pull_secrets: list[str] = []
    """Names of Secrets in the namespace that the kubelet pulls with, made by somebody else."""
    login: RegistryLogin | None = None
    """An account of the registry; None: it asks for none, or `pull_secrets` has it."""
    pull_policy: Literal["IfNotPresent", "Always"] = "IfNotPresent"
    """When the kubelet asks the registry."""

    def reference(self, image: str) -> str:
        """Return the reference to run: pinned by name, or as it stands when it is a full one, else by tag `latest`."""
        if image in self.pinned:
            return self.pinned[image]
        return image if "/" in image or "@" in image else f"{self.registry}/{image}:latest"


class Edge(Model):
    """Who may reach the web processes."""

    namespaces: list[str] = []
    """Namespaces whose pods (the gateway's) may."""
    ranges: list[Cidr] = []
    """Addresses that may."""


class Budget(Model):
    """What the stack may ask the cluster for, all its pods together, also while it rolls out."""

    cpu: Cpu
    """Requested processor time."""
    memory: Bytes
    """Requested memory."""
    storage: Bytes
    """Volumes."""


class Settings(Model):
    """Everything a stack says, all layers merged."""

    product: DnsLabel
    """The product's short name."""
    tier: Tier
    """What kind of installation it is."""
    namespace: DnsLabel | None = None
    """Its namespace; None is `<product>-<stack>`."""
    domain: HostName | None = None
    """The host name that people reach it by; no two stacks share one. Devices dial `mqtt.<domain>` unless `mqtt.host_names` says more."""
    protect: bool = True
    """Whether deleting or replacing what keeps data is refused, also by a plain `pulumi up`."""
    unprotected: list[str] = []
    """Resources that `protect` leaves out, by their Pulumi name (redis-jobs): for the one `up` that is meant to delete or replace them."""
    budget: Budget | None = None
    """What it may ask the cluster for; None: it is not limited."""
    placement: Placement = Placement()
    """Onto which nodes its pods go, unless a component says otherwise."""
    cluster: Cluster
    """Where it stands."""
    images: Images = Images()
    """Where images come from."""
    app: App = App()
    """The product's image and config vars."""
    release: Release = Release()
    """What runs once per release."""
    web: dict[DnsLabel, Web] = {}
    """Processes that serve HTTP."""
    sidekiq: dict[DnsLabel, SidekiqPool] = {}
    """Sidekiq pools."""
    consumer: Consumer = Consumer()
    """The reader of device messages."""
    processes: Processes = {}
    """Other long-running commands."""
    schedules: dict[DnsLabel, Schedule] = {}
    """Commands at set times."""
    postgres: Postgres = Postgres()
    """The database."""
    redis: dict[DnsLabel, Redis] = {}
    """Named Valkey servers: one for jobs, others may be caches."""
    mqtt: Mqtt = Mqtt()
    """The broker."""
    elasticsearch: Elasticsearch = Elasticsearch()
    """The search engine."""
    edge: Edge = Edge()
    """Who may reach the web processes."""

    @model_validator(mode="after")
    def _fits_together(self) -> "Settings":
        problems = [
            *self._unread_queues(),
            *self._shared_names(),
            *self._shared_config_vars(),
            *self._unwritable_heartbeats(),
            *self._overridden(),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def device_host_names(self) -> list[str]:
        """The names that devices dial the broker by: those it says, or one made of the domain."""
        return self.mqtt.host_names or ([f"mqtt.{self.domain}"] if self.domain else [])

    def secret_names(self) -> list[str]:
        """Return the names of all secrets that a human sets, sorted."""
        services = [self.postgres, self.mqtt, self.elasticsearch, *self.redis.values()]
        external = [s.external.password for s in services if s.where == "external" and s.external and s.external.password]
        login = [self.images.login.password] if self.images.login else []
        return sorted({*self.app.secrets, *external, *login})

    def image_names(self) -> list[str]:
        """Return the names of the images that the stack runs."""
        names = [self.app.image] if self._has_app() else []
        names += ["postgres"] if self.postgres.where == "cluster" else []
        names += ["valkey"] if any(redis.where == "cluster" for redis in self.redis.values()) else []
        return names + (["rabbitmq"] if self.mqtt.where == "cluster" else [])

    def unpinned_images(self) -> list[str]:
        """Return the images that would run without a digest, which `up` refuses."""
        return [name for name in self.image_names() if "@sha256:" not in self.images.reference(name)]

    def lacks(self, secrets: Container[str]) -> list[str]:
        """Return what must still be said before the stack can be brought up, one sentence each; `secrets` are those that are set."""
        missing = [
            f"secret {name} is missing: set it with `pulumi config set --secret {name}`"
            for name in self.secret_names()
            if name not in secrets
        ]
        loose = [f"image {name} has no digest: pin it with `./sy images pin {name}`" for name in self.unpinned_images()]
        nowhere = (
            []
            if self.cluster.context
            else ["cluster.context is not set: name the kubeconfig context of the cluster to bring the stack up on"]
        )
        return [*nowhere, *missing, *loose]

    def _has_app(self) -> bool:
        anything = [self.web, self.sidekiq, self.processes, self.schedules, self.release.command]
        return any(anything) or self.consumer.where == "cluster"

    def _unread_queues(self) -> list[str]:
        consumer = self.consumer
        if consumer.where != "cluster" or self.mqtt.where == "none":
            missing = consumer.where == "cluster" and consumer.mode == "amqp"
            return ["consumer.mode amqp needs a broker, but mqtt.where is none"] if missing else []
        if consumer.mode == "amqp" and self.mqtt.where == "external" and self.mqtt.amqp_var not in [*self.app.config, *self.app.secrets]:
            said = f"name {self.mqtt.amqp_var} under app.secrets, or say consumer.mode: mqtt and replicas: 1"
            return [f"consumer.mode amqp needs an AMQP address, and an external broker is known by its MQTT address alone: {said}"]
        if consumer.mode == "amqp" and self.mqtt.where == "cluster" and consumer.queue not in self.mqtt.queues:
            return [f"consumer.queue: no queue {consumer.queue!r} under mqtt.queues ({', '.join(self.mqtt.queues) or 'none'})"]
        if consumer.mode == "mqtt" and self.mqtt.where == "cluster" and consumer.queue in self.mqtt.queues:
            # A queue that nobody reads fills the disk, and then the broker takes no message any more.
            return [f"consumer.mode mqtt reads its session and not the queue {consumer.queue!r}: say mqtt.queues.{consumer.queue}: null"]
        return []

    def _shared_names(self) -> list[str]:
        groups = {"web": self.web, "sidekiq": self.sidekiq, "processes": self.processes, "schedules": self.schedules}
        # Names of pods and Services: the provider would write one over the other and say nothing.
        own = ["consumer", "release", "app", "postgres", "postgres-members", "mqtt", "mqtt-members", "mqtt-public"]
        taken: dict[str, str] = dict.fromkeys(own, "Switchyard itself") | {f"redis-{name}": f"redis.{name}" for name in self.redis}
        problems: list[str] = []
        for group, members in groups.items():
            for name in members:
                full = f"sidekiq-{name}" if group == "sidekiq" else name
                if full in taken:
                    problems.append(f"{group}.{name}: the name {full!r} is taken by {taken[full]}")
                taken[full] = f"{group}.{name}"
        return problems

    def _shared_config_vars(self) -> list[str]:
        derived = self.derived_config_vars()
        said = [*self.app.config, *self.app.secrets, *self.app.generate, *derived]
        return [f"config var {name} is set twice" for name in sorted({name for name in said if said.count(name) > 1})]

    def _unwritable_heartbeats(self) -> list[str]:
        """Return a sentence for each heartbeat file that no process could touch: it would be restarted for ever."""
        said = {f"sidekiq.{name}": pool.health for name, pool in self.sidekiq.items()}
        said |= {f"processes.{name}": process.health for name, process in self.processes.items()}
        said |= {"consumer": self.consumer.health} if self.consumer.where == "cluster" else {}
        return [
            f"{where}.health.file: {health.file} is in none of the folders under app.writable, and all else is read-only"
            for where, health in said.items()
            if health and not any(PurePosixPath(health.file).is_relative_to(folder) for folder in self.app.writable)
        ]

    def _overridden(self) -> list[str]:
        """Return a sentence for each config var that a process would never see, because a setting of its own makes it."""
        web = {"PORT": "port", "RAILS_MAX_THREADS": "threads", "WEB_CONCURRENCY": "concurrency"}
        sidekiq = {"RAILS_MAX_THREADS": "concurrency", "SIDEKIQ_TIMEOUT": "stop_within"}
        processes = [(f"web.{name}", said.config, web) for name, said in self.web.items()]
        processes += [(f"sidekiq.{name}", said.config, sidekiq) for name, said in self.sidekiq.items()]
        problems = [
            f"{where}.config.{var}: say {where}.{made[var]} instead" for where, said, made in processes for var in said if var in made
        ]
        common = [var for var in ("PORT", "WEB_CONCURRENCY") if self.web and var in self.app.config]
        return problems + [f"app.config.{var}: say {web[var]} of each process under web instead" for var in common]

    def derived_config_vars(self) -> list[str]:
        """Return the names of the config vars that come from endpoints."""
        mqtt = self.mqtt
        addressed: list[tuple[Backing, str]] = [(mqtt, mqtt.mqtt_var)]
        addressed += [(service, service.config_var) for service in (self.postgres, *self.redis.values(), self.elasticsearch)]
        used = [(service, name) for service, name in addressed if service.where != "none"]
        verified = [name for said, var in used if said.where == "external" and said.external for name in said.external.tls_vars(var)]
        rest = [mqtt.amqp_var, mqtt.management_var] if mqtt.where == "cluster" else []
        return [name for _, name in used] + verified + rest
