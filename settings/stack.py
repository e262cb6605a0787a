"""A whole stack's settings."""

import base64
import json
from collections.abc import Container
from typing import Literal

from pydantic import Field

from settings.alerts import Alerts
from settings.app import App, Consumer, Processes, Release, Schedule, SidekiqPool, Web, Worker
from settings.backing import NOWHERE, Backing, Mqtt, Postgres, Redis, beside
from settings.canary import Canary
from settings.cures import Cures
from settings.edge import Edge
from settings.elasticsearch import Elasticsearch
from settings.footprint import Footprint, footprint
from settings.grafana import Grafana
from settings.logs import Logs
from settings.metrics import Metrics
from settings.restart import Restart
from settings.types import Bytes, Cidr, Cpu, DnsLabel, EnvName, HostName, Image, Model, Placement, Port, Registry

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
    api_server: list[Cidr] = Field(default=["0.0.0.0/0"], min_length=1)
    """Addresses of the API server, which Patroni, Prometheus, kube-state-metrics and a nightly restart must reach through their network
    policies; as long as nobody says them, those may reach any address on its ports. The app is let out to none that are said, unless the
    `ranges` of a service outside cover them."""
    api_server_ports: list[Port] = Field(default=[443, 6443], min_length=1)
    """Its ports: most networks see them after translation."""
    dns: dict[str, str] = {"k8s-app": "kube-dns"}
    """Labels of the cluster DNS pods."""
    dns_namespace: DnsLabel = "kube-system"
    """Their namespace."""
    dns_ranges: list[Cidr] = ["169.254.20.10/32"]
    """Addresses of DNS servers that are no such pods: the cache on each node (NodeLocal DNSCache), where there is one."""
    balancer_node_ports: bool = True
    """Whether load balancers reach Services through a port of each node, as most clouds' do. Whoever reaches the nodes reaches those ports
    too, past `allow_from`: say false where balancers do without them."""
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

    def docker_config(self, password: str) -> str:
        """Return what `docker login` would have written, as a pull secret holds it."""
        auth = base64.b64encode(f"{self.user}:{password}".encode()).decode()
        return json.dumps({"auths": {self.server: {"username": self.user, "password": password, "auth": auth}}})


class Images(Model):
    """Where images come from."""

    registry: Registry = "registry.example.com/switchyard"
    """The company's registry and folder, for images that are not pinned yet."""
    pinned: dict[str, Image] = {}
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
    logs: Logs = Logs()
    """The lines that containers write."""
    metrics: Metrics = Metrics()
    """Prometheus and what it asks."""
    grafana: Grafana = Grafana()
    """Where metrics and logs are looked at."""
    alerts: Alerts = Alerts()
    """Who is told when something is wrong."""
    canary: Canary = Canary()
    """A synthetic fall every minute."""
    restart: Restart = Restart()
    """A restart of chosen processes at a set time."""
    edge: Edge = Edge()
    """How people reach the web processes."""

    def namespace_of(self, stack: str) -> str:
        """Return the namespace of these settings as those of the stack called `stack`."""
        return self.namespace or f"{self.product}-{stack}"

    def owner_of(self, stack: str) -> str:
        """Return what the label switchyard.dev/stack of the namespace says, so that no two stacks take one."""
        return f"{self.product}.{stack}"

    @property
    def alerting(self) -> bool:
        """Whether the stack has an Alertmanager: wherever its metrics are collected."""
        return self.metrics.where == "cluster"

    @property
    def device_host_names(self) -> list[str]:
        """The names that devices dial the broker by: those it says, or one made of the domain."""
        return self.mqtt.host_names or ([f"mqtt.{self.domain}"] if self.domain else [])

    def secret_names(self) -> list[str]:
        """Return the names of all secrets that a human sets, sorted."""
        external = [password for service, password in self._passwords() if service.where == "external"]
        login = [self.images.login.password] if self.images.login else []
        alerts = self.alerts.secrets if self.alerting else []
        search = self.elasticsearch.snapshot_secrets
        canary = [self.canary.password] if self.canary.where == "cluster" and self.canary.password else []
        edge = self.edge.secrets()
        return sorted({*self.app.secrets, *external, *login, *alerts, *self.logs.secrets(), *search, *canary, *edge})

    def known_secrets(self) -> list[str]:
        """Return the names of all secrets that may be set: also those of external services that are only written down.

        So one word takes a service back into the cluster, and the same word gives it away again.
        """
        spare = [name for name in (self.canary.password, self.edge.certificate.key) if name]
        return sorted({*self.secret_names(), *self.alerts.secrets, *spare, *(password for _, password in self._passwords())})

    def _passwords(self) -> list[tuple[Backing, str]]:
        services = [self.postgres, self.mqtt, self.elasticsearch, *self.redis.values()]
        return [(service, service.external.password) for service in services if service.external and service.external.password]

    def image_names(self) -> list[str]:
        """Return the names of the images that the stack runs."""
        names = [self.app.image] if self._has_app() else []
        names += ["postgres"] if self.postgres.where == "cluster" else []
        names += ["valkey"] if any(redis.where == "cluster" for redis in self.redis.values()) else []
        names += ["rabbitmq"] if self.mqtt.where == "cluster" else []
        names += [self.elasticsearch.image] if self.elasticsearch.where == "cluster" else []
        names += ["loki"] if self.logs.where == "cluster" else []
        names += ["prometheus", "kube-state-metrics", "alertmanager"] if self.alerting else []
        names += ["exporters"] if self.alerting or self.canary.where == "cluster" else []
        names += ["kubectl"] if self.restart.processes else []
        names += ["envoy"] if self.edge.where == "gateway" else []
        return names + (["grafana"] if self.grafana.where == "cluster" else [])

    def unpinned_images(self) -> list[str]:
        """Return the images that would run without a digest, which `up` refuses."""
        return [name for name in self.image_names() if "@sha256:" not in self.images.reference(name)]

    def cures(self, stack: str, program: str = "pulumi") -> Cures:
        """Return the commands that give `stack` what it lacks; `program` sets its secrets."""
        return Cures(stack, self.app.image, program)

    def lacking_secrets(self, cures: Cures, secrets: Container[str]) -> list[str]:
        """Return a sentence for each secret that a human has yet to set; `secrets` are those that are set."""
        return [cures.missing(name) for name in self.secret_names() if name not in secrets]

    def lacks(self, cures: Cures, secrets: Container[str]) -> list[str]:
        """Return what must still be said before a stack can be brought up, one sentence each; `secrets` are those that are set."""
        nowhere = [] if self.cluster.context else [cures.no_cluster()]
        loose = [cures.loose(name) for name in self.unpinned_images()]
        untold = [cures.nobody_told()] if self.tier == "production" and self.alerting and not self.alerts.critical else []
        unknown = [cures.unknown_authority()] if self.tier == "production" and self._shows_own_certificate() else []
        return [*nowhere, *self._hosts_to_be_named(), *self.lacking_secrets(cures, secrets), *untold, *unknown, *loose]

    def _shows_own_certificate(self) -> bool:
        return self.edge.where != "none" and self.edge.certificate.by == "authority"

    def _hosts_to_be_named(self) -> list[str]:
        """Return a sentence for each service outside whose host a fork left open."""
        services = {"postgres": self.postgres, "mqtt": self.mqtt, "elasticsearch": self.elasticsearch}
        outside = [*services.items(), *((f"redis.{name}", redis) for name, redis in self.redis.items())]
        return [
            f"{name}.external.host: {said.external.host!r} is nobody's: name the server that is this stack's own"
            for name, said in outside
            if said.where == "external" and said.external and said.external.host.endswith(NOWHERE)
        ]

    def _has_app(self) -> bool:
        anything = [self.web, self.sidekiq, self.running_processes(), self.schedules, self.release.command]
        return any(anything) or self.consumer.where == "cluster"

    def derived_config_vars(self) -> list[str]:
        """Return the names of the config vars that come from endpoints."""
        return [name for name, _ in self.derived_from()]

    def derived_from(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return the config vars that come from endpoints, each with the setting that says it."""
        addressed: list[tuple[Backing, str, tuple[str, ...]]] = [(self.mqtt, self.mqtt.mqtt_var, ("mqtt", "mqtt_var"))]
        addressed += [(self.postgres, self.postgres.config_var, ("postgres", "config_var"))]
        addressed += [(redis, redis.config_var, ("redis", name, "config_var")) for name, redis in self.redis.items()]
        addressed += [(self.elasticsearch, self.elasticsearch.config_var, ("elasticsearch", "config_var"))]
        made = [(var, path) for service, var, path in addressed if service.where != "none"]
        for service, var, path in addressed:
            if service.where == "external" and service.external:
                made += [(name, (*path[:-1], "external", "tls")) for name in service.external.tls_vars(var)]
        if self.elasticsearch.where == "cluster":
            # Its certificate is the stack's own, also inside the namespace.
            own = self.elasticsearch.config_var
            made += [(beside(own, what), ("elasticsearch", "config_var")) for what in ("TLS", "CA_FILE")]
        if self.mqtt.where == "cluster":
            made += [(self.mqtt.amqp_var, ("mqtt", "amqp_var")), (self.mqtt.management_var, ("mqtt", "management_var"))]
        return made

    def running_processes(self) -> dict[str, Worker]:
        """Return the commands under `processes` for which the stack has all that they need."""
        services: dict[str, Backing] = {"postgres": self.postgres, "mqtt": self.mqtt, "elasticsearch": self.elasticsearch}
        return {name: said for name, said in self.processes.items() if all(services[need].where != "none" for need in said.needs)}

    def footprint(self) -> list[Footprint]:
        """Return what each component asks of the cluster."""
        return footprint(self)
