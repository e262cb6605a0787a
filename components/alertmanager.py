"""Alertmanager: it groups alerts, and tells those whom the settings name."""

from typing import Any

import pulumi
import yaml
from pulumi_kubernetes import core

from components.endpoints import Endpoint
from components.kube import network, probes
from components.kube.configuration import secret
from components.kube.workload import Pod, claim, container, from_secret, governing_service, keeping_claims, service, stateful_set
from components.site import Secrets, Site
from components.watch import Expectation, Scrape, Watch, members
from settings.alerts import OWN_RECEIVERS, Alerts, Receiver, Watchdog
from settings.references import is_address

COMPONENT = "alertmanager"
PORT = 9093
DIRECTORY = "/etc/alertmanager"
DATA = "/var/lib/alertmanager"
NOBODY, WATCHDOG = OWN_RECEIVERS
START_WITHIN_SECONDS = 60
CRITICAL_WAIT, CRITICAL_INTERVAL = "5s", "30s"
"""A critical alert, and one more of the same group, is on its way within these (figure: at the receiver within 60 s of its `for`)."""
GROUP_BY = ["alertname", "namespace", "component"]
DEPENDENTS = {
    # What is away itself, and what is then bound to fail: one message about the cause, none about its followers.
    "PostgresNoPrimary": [
        "CanaryLate",
        "PostgresUnreachable",
        "QueueUnprocessed",
        "SidekiqStuck",
        "SidekiqLatency",
        "WebErrors",
        "WebSlow",
    ],
    "BrokerDown": ["CanaryLate", "ConsumerDown", "MqttSilent"],
    "RedisDown": ["SidekiqGone", "SidekiqStuck", "SidekiqLatency"],
    "ElasticsearchDown": ["ElasticsearchRed"],
    "LokiDown": ["LogsSilent"],
}
"""Alerts that are not sent while the one that explains them is."""


class Alertmanager(pulumi.ComponentResource):
    """The StatefulSet `alertmanager`: one pod with a small volume for silences and for what was sent already.

    - Configuration and receivers' addresses are one Secret; keys stay files of their own, which Alertmanager reads when it sends.
    - Critical alerts go out after 5 s, each receiver by a route of its own, so that one that fails holds up no other.
    - It reaches the receivers' addresses and ports, and nothing else; of the stack only Prometheus and Grafana reach it.
    """

    endpoint: Endpoint
    """Where Prometheus sends alerts."""
    watch: Watch
    """Its metrics and rules."""

    def __init__(self, name: str, args: Alerts, site: Site, secrets: Secrets, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the Alertmanager that tells whom `args` name."""
        super().__init__("switchyard:index:Alertmanager", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        said = configuration(args)
        keys = key_files(args)
        values = {"alertmanager.yml": said, **{file: secrets.value(key) for file, key in keys.items()}}
        fingerprint = [said, {file: secrets.fingerprint(key) for file, key in keys.items()}]
        config = secret(COMPONENT, COMPONENT, site, values, fingerprint, child)
        claims = [claim("data", args.volume, site)]
        pod = Pod(
            component=COMPONENT,
            containers=[_container(args, site)],
            volumes=[from_secret("config", config)],
            placement=args.placement,
        )
        ports = {"http": (PORT, PORT)}
        service(name, COMPONENT, COMPONENT, site, ports, child)
        members_service = governing_service(name, COMPONENT, site, ports, child)
        stateful_set(name, pod, site, keeping_claims(child), replicas=1, service_name=members_service, claims=claims)
        network.admit_clients(name, COMPONENT, site, [PORT], child)
        _outward(name, args, site, child)
        self.endpoint = ENDPOINT
        self.watch = Watch(
            rules=(COMPONENT,),
            scrapes=(Scrape(job=COMPONENT, component=COMPONENT, port=PORT),),
            expectations=(members(COMPONENT, 1), *_expected(args)),
        )
        self.register_outputs({"host": self.endpoint.host})


ENDPOINT = Endpoint(service=COMPONENT, host=COMPONENT, port=PORT)
"""Known beforehand: Grafana, whose metrics bring alerts of their own, is made before Alertmanager."""


def configuration(args: Alerts) -> str:
    """Return alertmanager.yml, which names no secret's value: those are files beside it."""
    watchdog = [{"name": WATCHDOG, "webhook_configs": [_watchdog(args.watchdog)]}] if args.watchdog else []
    said = {
        "route": {
            "receiver": NOBODY,
            "group_by": GROUP_BY,
            "group_wait": args.group_wait,
            "group_interval": args.group_interval,
            "repeat_interval": args.repeat_warning,
            "routes": [_heartbeat_route(args.watchdog), *_routes(args)],
        },
        "inhibit_rules": inhibitions(),
        "receivers": [{"name": NOBODY}, *watchdog, *(_receiver(name, said) for name, said in args.receivers.items())],
    }
    return yaml.safe_dump(said, sort_keys=False)


def key_files(args: Alerts) -> dict[str, str]:
    """Return the files that hold secrets, each with the secret's name."""
    files = {_file(name, what): key for name, said in args.receivers.items() for what, key in said.secrets.items()}
    return files | ({_file(WATCHDOG, "url"): args.watchdog.url_secret} if args.watchdog and args.watchdog.url_secret else {})


def inhibitions() -> list[dict[str, Any]]:
    """Return which alerts hold back which: a component's critical ones its warnings, and a cause what follows from it."""
    own = {
        "source_matchers": ['severity="critical"'],
        "target_matchers": ['severity="warning"'],
        "equal": ["namespace", "component"],
    }
    causes = [
        {
            "source_matchers": [f'alertname="{cause}"'],
            "target_matchers": [f'alertname=~"{"|".join(followers)}"'],
            "equal": ["namespace"],
        }
        for cause, followers in DEPENDENTS.items()
    ]
    return [own, *causes]


def _heartbeat_route(watchdog: Watchdog | None) -> dict[str, Any]:
    every = watchdog.every if watchdog else "1m"
    return {
        "receiver": WATCHDOG if watchdog else NOBODY,
        "matchers": ['alertname="Watchdog"'],
        "group_wait": "0s",
        # Sent again at the first look at the group that comes after repeat_interval: with both the same, every second look.
        "group_interval": "10s",
        "repeat_interval": every,
    }


def _routes(args: Alerts) -> list[dict[str, Any]]:
    """Return a route for each receiver of each severity: all of them are taken, and one that fails holds up no other."""
    hurried = {"group_wait": CRITICAL_WAIT, "group_interval": CRITICAL_INTERVAL, "repeat_interval": args.repeat_critical}
    critical = [
        {"receiver": name, "matchers": ['severity="critical"'], "continue": True, **hurried} for name in dict.fromkeys(args.critical)
    ]
    warning = [{"receiver": name, "matchers": ['severity="warning"'], "continue": True} for name in dict.fromkeys(args.warning)]
    return [*critical, *warning]


def _watchdog(said: Watchdog) -> dict[str, Any]:
    return {**_address(WATCHDOG, said.url), "send_resolved": False}


def _receiver(name: str, said: Receiver) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name}
    if said.webhook:
        made["webhook_configs"] = [{**_address(name, said.webhook.url), "send_resolved": True}]
    if said.pagerduty:
        key = f"{DIRECTORY}/{_file(name, 'routing-key')}"
        made["pagerduty_configs"] = [{"routing_key_file": key, "url": said.pagerduty.url, "send_resolved": True}]
    if said.email:
        password = {"auth_password_file": f"{DIRECTORY}/{_file(name, 'password')}"} if said.email.password else {}
        login = {"auth_username": said.email.user, **password} if said.email.user else {}
        host = f"[{said.email.host}]" if ":" in said.email.host else said.email.host
        mail = {"to": ", ".join(said.email.to), "from": said.email.sender, "smarthost": f"{host}:{said.email.port}"}
        made["email_configs"] = [{**mail, **login, "require_tls": True, "send_resolved": True}]
    return made


def _address(name: str, url: str | None) -> dict[str, str]:
    return {"url": url} if url else {"url_file": f"{DIRECTORY}/{_file(name, 'url')}"}


def _file(receiver: str, what: str) -> str:
    return f"{receiver}.{what}"


def _expected(args: Alerts) -> list[Expectation]:
    """Return how many messages devices send at the least, where silence is an alert at all."""
    expected = args.expected_messages
    return [Expectation(record="switchyard:mqtt_expected_messages", value=expected)] if expected else []


def _outward(name: str, args: Alerts, site: Site, opts: pulumi.ResourceOptions) -> None:
    """Make the policies that let it reach its receivers: an address alone where one is said, public ones where a name is."""
    selector = site.selector(COMPONENT)
    addresses = sorted({(host, port) for host, port in args.places if host and is_address(host)})
    for number, (host, port) in enumerate(addresses):
        cidr = f"{host}/{128 if ':' in host else 32}"
        network.allow_out(f"{name}-receiver-{number}", COMPONENT, site, selector, [network.addresses(cidr)], [port], opts)
    ports = sorted({port for host, port in args.places if not (host and is_address(host))})
    if ports:
        network.to_public(f"{name}-receivers", COMPONENT, site, selector, args.egress_ranges, ports, opts)


def _container(args: Alerts, site: Site) -> core.v1.ContainerArgs:
    return container(
        COMPONENT,
        site.image(COMPONENT),
        site,
        args.resources,
        command=[
            "prometheus-alertmanager",
            f"--config.file={DIRECTORY}/alertmanager.yml",
            f"--storage.path={DATA}",
            f"--web.listen-address=:{PORT}",
            # One of it: there is no other to gossip with.
            "--cluster.listen-address=",
        ],
        ports={"http": PORT},
        mounts={DIRECTORY: "config", DATA: "data"},
        read_only=[DIRECTORY],
        probes={
            "startup_probe": probes.http("/-/ready", PORT, within_seconds=START_WITHIN_SECONDS),
            "liveness_probe": probes.http("/-/healthy", PORT),
            "readiness_probe": probes.http("/-/ready", PORT),
        },
    )
