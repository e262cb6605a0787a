"""The broker: RabbitMQ with its MQTT plugin. What it acknowledges is on disk, on a majority of its members, in a queue that is read."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_random
from pulumi_kubernetes import core

from components import mqtt_definitions as known
from components.certificates import CertificateAuthority
from components.endpoints import ConfigVars, Endpoint
from components.kube import network, probes
from components.kube.configuration import config_map, renewed_secret
from components.kube.passwords import account, of_generation
from components.kube.workload import (
    Pod,
    claim,
    container,
    empty_dir,
    from_config,
    from_secret,
    keeping_claims,
    metadata,
    service,
    stateful_set,
)
from components.mqtt_configuration import CLUSTER_DOMAIN, MEMBERS, configuration
from components.rotation import LOGIN, waiting
from components.site import Site
from components.watch import Scrape, Watch, members, rules
from settings.backing import Mqtt
from settings.types import cores_of

COMPONENT = "mqtt"
AMQP, MQTT, MQTT_TLS, MANAGEMENT, METRICS = 5672, 1883, 8883, 15672, 15692
EPMD, DISTRIBUTION = 4369, 25672
"""Ports between members: Erlang's port mapper and its distribution protocol."""
DEVICES = "mqtt-devices"
"""The service that the canary is a client of: the port for devices, and none of those for the app."""
START_WITHIN_SECONDS = 600
"""A member that starts alone waits up to five minutes for the others' data."""
GRACE_SECONDS = 120
"""At most 80 s before SIGTERM (stop.sh), the rest for closing queues."""
PROBE_SECONDS = 15
"""The probe takes milliseconds; declaring a lost queue again takes seconds."""
SILENT_SECONDS = 10
"""A member that went silent (its machine lost power) is given up after this, give or take a quarter. Erlang's own 60 were tried: as long
as the others waited, a queue whose leader it was acknowledged nothing, for 70 s."""


@dataclass(frozen=True, kw_only=True)
class MqttSession:
    """The persistent session of a consumer that speaks MQTT. Its queue exists before the consumer first connects."""

    client_id: pulumi.Output[str]
    """Unguessable: whoever connects with it cuts the consumer off."""
    topic: str
    """The MQTT filter that it subscribes to."""


@dataclass(frozen=True, kw_only=True)
class MqttEndpoint(Endpoint):
    """The broker as the app sees it: AMQP, MQTT, and the management API for devices' accounts; an external one speaks MQTT alone."""

    accounts_user: str = "accounts"
    accounts_password: pulumi.Output[str] | None = None
    """Password for the management API; None for an external broker."""

    def config_vars(self, args: Mqtt) -> ConfigVars:
        """Return the config vars that the app finds the broker by."""
        if self.accounts_password is None:
            return {args.mqtt_var: self.url(self.scheme("mqtt", "mqtts")), **self.tls_vars(args.mqtt_var)}
        api = Endpoint(service=self.service, host=self.host, port=MANAGEMENT, user=self.accounts_user, password=self.accounts_password)
        return {
            args.amqp_var: self.url("amqp", "/%2F"),
            args.mqtt_var: self.url("mqtt", port=MQTT),
            args.management_var: api.url("http"),
        }


class MqttBroker(pulumi.ComponentResource):
    """RabbitMQ 4: the StatefulSet `mqtt` of one, three or five members, each with a volume, and three Services.

    - `mqtt`, for the app: AMQP, MQTT, management. `mqtt-members`, for the members. `mqtt-public`, a load balancer for devices: TLS only.
    - A pod is ready, and so gets devices, only while every declared queue and binding exists: an acknowledged message is in a queue.
    - Queues are quorum queues without a delivery limit. What a queue was declared with stays: another `single_active` needs
      another queue name. A topic that settings drop stays bound until it is unbound by hand. Members are added by raising
      `members`; fewer needs `rabbitmqctl forget_cluster_node` first.
    - Devices verify the broker with the stack's own authority (output `mqtt.ca`) and one of `host_names`; inside the
      cluster it is also `mqtt.<namespace>.svc`. Where the load balancer's address is known only afterwards, as in a sandbox, a client
      dials the address and verifies that name.
    - A new generation of passwords has users of its own, because a reader of the release before must get in again until it is replaced. The
      members import them as they run, and delete those that are revoked, which cuts off whoever is still logged in as one.
    - A device connects under its user name as its client id, or is refused: see `client_ids`.
    - The Erlang cookie is never rotated: members with different cookies do not find each other.
    """

    endpoint: MqttEndpoint
    ready: Sequence[pulumi.Resource]
    """What has waited until the current generation of users is let in; empty for the first one."""
    watch: Watch
    """Its members' own figures, those of the declared queues one by one."""
    canary: Endpoint | None
    """The TLS listener as the canary sees it, with an account of its own; None without a canary."""
    public: dict[str, pulumi.Input[str | int]]
    """Where devices connect (`host`, `port`), and what they verify it with (`server_name`, and `ca`, a PEM certificate)."""

    def __init__(
        self,
        name: str,
        args: Mqtt,
        site: Site,
        host_names: Sequence[str],
        authority: CertificateAuthority,
        session: MqttSession | None,
        opts: pulumi.ResourceOptions | None = None,
        *,
        canary_topic: str | None = None,
    ) -> None:
        """Make the broker that `args` describe, which devices dial by `host_names`; `session` is that of a consumer in mode mqtt.

        The canary publishes to `canary_topic`; None: there is no canary.
        """
        super().__init__("switchyard:index:MqttBroker", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        users = ("app", "accounts", "monitor", *(("canary",) if canary_topic else ()))
        accounts = {user: _Account(f"{name}-{user}", args.rotation, child) for user in users}
        dialled = certificate_names(host_names, site)
        definitions, renewed = _definitions(name, args, site, accounts, session, canary_topic, child)
        volumes = [
            from_config("config", config_map(COMPONENT, COMPONENT, site, configuration(args, site), child)),
            from_secret("definitions", definitions),
            from_secret("tls", authority.server_secret(name, COMPONENT, dialled, site, child)),
            empty_dir("tmp", "64Mi"),
        ]
        pod = Pod(
            component=COMPONENT,
            containers=[_container(args, site)],
            volumes=volumes,
            grace_seconds=GRACE_SECONDS,
            placement=args.placement,
        )
        claims = [claim("data", args.volume, site)]
        made = stateful_set(name, pod, site, keeping_claims(child), replicas=args.members, service_name=MEMBERS, claims=claims)

        inner = {"epmd": (EPMD, EPMD), "distribution": (DISTRIBUTION, DISTRIBUTION)}
        service(f"{name}-members", MEMBERS, COMPONENT, site, inner, child, headless=True)
        outer = {"amqp": (AMQP, AMQP), "mqtt": (MQTT, MQTT), "mqtts": (MQTT_TLS, MQTT_TLS), "management": (MANAGEMENT, MANAGEMENT)}
        service(name, COMPONENT, COMPONENT, site, outer, child)
        public = _public_service(name, args, site, child)
        network.among_members(name, COMPONENT, site, [EPMD, DISTRIBUTION], child)
        network.admit_clients(name, COMPONENT, site, [AMQP, MQTT, MANAGEMENT], child)
        network.allow_in(f"{name}-devices-in", COMPONENT, site, [network.addresses(cidr) for cidr in args.allow_from], [MQTT_TLS], child)

        self.endpoint = MqttEndpoint(
            service=COMPONENT,
            host=COMPONENT,
            port=AMQP,
            user=account("app", args.rotation),
            password=accounts["app"].password,
            accounts_user=account("accounts", args.rotation),
            accounts_password=accounts["accounts"].password,
            fingerprint=str(args.rotation),
        )
        self.ready = _rotated(name, self.endpoint, args, site, [made, renewed], child)
        self.canary = None
        if canary_topic:
            self.canary = Endpoint(
                service=DEVICES,
                host=COMPONENT,
                port=MQTT_TLS,
                user=known.account("canary", args.rotation),
                password=accounts["canary"].password,
                tls="verify-full",
                ca=authority.certificate,
                fingerprint=str(args.rotation),
            )
            labels = self.canary.client_labels
            network.allow_in(f"{name}-canary-in", COMPONENT, site, [network.pods(labels)], [MQTT_TLS], child)
            network.allow_out(f"{name}-canary-out", COMPONENT, site, labels, [network.pods(site.selector(COMPONENT))], [MQTT_TLS], child)
        self.public = {
            "host": public.status.apply(_address),
            "port": MQTT_TLS,
            "server_name": dialled[0],
            "ca": authority.certificate,
        }
        self.watch = watch(args)
        self.register_outputs({"public": self.public})


class _Account:
    """A generated password, and a salt that keeps its hash the same from run to run."""

    def __init__(self, name: str, rotation: int, opts: pulumi.ResourceOptions) -> None:
        keepers = {"rotation": str(rotation)}
        password, salt = (of_generation(f"{name}-{kind}", rotation) for kind in ("password", "salt"))
        self.password = pulumi_random.RandomPassword(password, length=32, special=False, keepers=keepers, opts=opts).result
        self.salt = pulumi_random.RandomBytes(salt, length=4, keepers=keepers, opts=opts).hex

    @property
    def hashed(self) -> pulumi.Output[str]:
        """The password as the broker stores it."""
        return pulumi.Output.all(self.password, self.salt).apply(lambda pair: known.password_hash(pair[0], bytes.fromhex(pair[1])))


def watch(args: Mqtt) -> Watch:
    """Return where the broker's figures are: those of each member, and those of each queue that settings declare.

    Each lamp with a session has a queue too: thousands of them, which are left out. That of a consumer with a session is known by the
    length of its client id, which is a secret: the series call it CONSUMER_SESSION.
    """
    session = f"mqtt-subscription-[A-Za-z0-9]{{{known.CLIENT_ID_LENGTH}}}qos1"
    kept = "|".join(("", known.CONSUMER_SESSION, *map(re.escape, args.queues)))
    relabel: tuple[dict[str, object], ...] = (
        {"source_labels": ["queue"], "regex": session, "target_label": "queue", "replacement": known.CONSUMER_SESSION},
        {"source_labels": ["queue"], "regex": kept, "action": "keep"},
    )
    each = Scrape(
        job="mqtt-queues",
        component=COMPONENT,
        port=METRICS,
        path="/metrics/detailed",
        params={"family": ("queue_coarse_metrics", "queue_consumer_count")},
        relabel=relabel,
    )
    return Watch(
        rules=rules(COMPONENT),
        scrapes=(Scrape(job=COMPONENT, component=COMPONENT, port=METRICS), each),
        expectations=(members(COMPONENT, args.members),),
    )


def certificate_names(host_names: Sequence[str], site: Site) -> list[str]:
    """Return the names that the broker's certificate is valid for: those devices dial, then those inside the cluster."""
    inside = [COMPONENT, f"{COMPONENT}.{site.namespace}", f"{COMPONENT}.{site.namespace}.svc"]
    return [*host_names, *reversed(inside), f"{inside[-1]}.{CLUSTER_DOMAIN}", f"{COMPONENT}-public.{site.namespace}.svc"]


def _definitions(
    name: str,
    args: Mqtt,
    site: Site,
    accounts: dict[str, _Account],
    session: MqttSession | None,
    canary_topic: str | None,
    opts: pulumi.ResourceOptions,
) -> tuple[str, pulumi.Resource]:
    """Make the Secret with all that is imported at a start, and whenever it changes; return its name and itself."""
    topic = session.topic if session else None

    def files(hashes: Mapping[str, str], monitor: str, client_id: str, rotation: int = args.rotation) -> dict[str, str]:
        queues = known.declared(args.queues, (client_id, topic) if topic else None)
        return known.files(queues, hashes, monitor, rotation, canary_topic, args.dropped if rotation > 1 else ())

    made = pulumi.Output.all(
        hashes=pulumi.Output.all(**{role: made.hashed for role, made in accounts.items()}),
        monitor=accounts["monitor"].password,
        client_id=session.client_id if session else "",
    ).apply(lambda parts: files(parts["hashes"], parts["monitor"], parts["client_id"]))
    # The same files with placeholders for what is generated, as of the first generation: whatever else is written differently gives the
    # Secret a new name, and the members new pods; another generation is taken by the pods that run.
    outline = files(dict.fromkeys(accounts, "hash"), "password", "client", 1)
    values = {file: pulumi.Output.secret(made.apply(lambda content, file=file: content[file])) for file in outline}
    cookie = pulumi_random.RandomPassword(f"{name}-cookie", length=40, special=False, opts=opts).result
    return renewed_secret(COMPONENT, COMPONENT, site, {**values, "cookie": cookie}, outline, opts)


def _rotated(
    name: str, endpoint: MqttEndpoint, args: Mqtt, site: Site, after: Sequence[pulumi.Resource], opts: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    """Wait for the administrator of the current generation: all its users come with one import, which all members share."""
    password = endpoint.accounts_password or ""
    said = pulumi.Output.concat('silent\nfail\nmax-time = 5\nuser = "', endpoint.accounts_user, ":", password, '"\n')
    login = {"curl": pulumi.Output.secret(said)}
    test = f"curl --config {LOGIN}/curl --output /dev/null http://{COMPONENT}:{MANAGEMENT}/api/whoami"
    placement = args.placement
    return waiting(name, COMPONENT, "rabbitmq", test, login, endpoint, args.rotation, site, opts, after=after, placement=placement)


def _container(args: Mqtt, site: Site) -> core.v1.ContainerArgs:
    schedulers = max(2, min(8, math.ceil(cores_of(args.resources.cpu))))
    ready = ["sh", "/etc/rabbitmq/ready.sh", str(args.members)]
    return container(
        COMPONENT,
        site.image("rabbitmq"),
        site,
        args.resources,
        command=["sh", "/etc/rabbitmq/start.sh"],
        env={
            "HOME": "/var/lib/rabbitmq",
            "RABBITMQ_LOGS": "-",
            # As many Erlang schedulers as it asks for cpu: one for each core of a large node costs memory.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+S {schedulers}:{schedulers} -kernel net_ticktime {SILENT_SECONDS}",
        },
        ports={"amqp": AMQP, "mqtt": MQTT, "mqtts": MQTT_TLS, "management": MANAGEMENT, "metrics": METRICS},
        mounts={
            "/etc/rabbitmq": "config",
            "/run/secrets/mqtt": "definitions",
            "/run/secrets/mqtt-tls": "tls",
            "/var/lib/rabbitmq": "data",
            "/tmp": "tmp",
        },
        read_only=["/etc/rabbitmq", "/run/secrets/mqtt", "/run/secrets/mqtt-tls"],
        probes={
            "startup_probe": probes.tcp(AMQP, within_seconds=START_WITHIN_SECONDS),
            # Erlang's own port: a member that pauses in a minority has closed all others, and restarting it would not help.
            "liveness_probe": probes.tcp(DISTRIBUTION),
            "readiness_probe": probes.command(ready, timeout_seconds=PROBE_SECONDS),
        },
        prestop=["sh", "/etc/rabbitmq/stop.sh"] if args.members > 1 else None,
    )


def _public_service(name: str, args: Mqtt, site: Site, opts: pulumi.ResourceOptions) -> core.v1.Service:
    about = metadata(COMPONENT, site, f"{COMPONENT}-public")
    about.annotations = dict(args.annotations)
    anywhere = "0.0.0.0/0" in args.allow_from
    return core.v1.Service(
        f"{name}-public",
        metadata=about,
        spec=core.v1.ServiceSpecArgs(
            type="LoadBalancer",
            # Keeps the devices' addresses, and with them the ranges they may come from.
            external_traffic_policy="Local",
            load_balancer_ip=args.address,
            allocate_load_balancer_node_ports=site.cluster.balancer_node_ports,
            load_balancer_source_ranges=None if anywhere else list(args.allow_from),
            selector=site.selector(COMPONENT),
            ports=[core.v1.ServicePortArgs(name="mqtts", port=MQTT_TLS, target_port=MQTT_TLS)],
        ),
        opts=opts,
    )


def _address(status: core.v1.outputs.ServiceStatus | None) -> str:
    points = (status.load_balancer.ingress if status and status.load_balancer else None) or []
    return next((place for point in points if (place := point.hostname or point.ip)), "")
