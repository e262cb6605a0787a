"""The canary: a lamp that does not exist, whose falls show every minute that somebody would be told."""

import json
from pathlib import Path

import pulumi
from pulumi_kubernetes import core

from components.endpoints import Endpoint
from components.kube import network, probes
from components.kube.configuration import config_map, secret
from components.kube.workload import Pod, container, deployment, from_config, from_secret
from components.release import Release
from components.site import Site
from components.watch import Expectation, Scrape, Watch, members, rules
from settings import canary
from settings.app import Web
from settings.types import seconds_of

COMPONENT = "canary"
PORT = 9394
IMAGE = "exporters"
FILES = Path(__file__).parent / "files" / "canary"
CONFIG, LOGIN, TOKEN, AUTHORITY = "/etc/canary", "/run/secrets/canary", "/run/secrets/canary-token", "/etc/canary-ca"
START_WITHIN_SECONDS = 60
WEB_SERVICE_PORT = 80


class Canary(pulumi.ComponentResource):
    """The Deployment `canary`: it publishes a fall with QoS 1, verifies the broker's certificate, and asks the web for the alert.

    It has an account and a topic of its own, a connection for each fall, and reads its secrets from files. It is never two at once.
    """

    watch: Watch
    """Its figures, and how often and how fast an alert is expected."""

    def __init__(
        self,
        name: str,
        args: canary.Canary,
        site: Site,
        endpoint: Endpoint,
        web: Web,
        release: Release,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the canary that publishes at `endpoint`, and asks the process `args.web` of `release`, which `web` describes."""
        super().__init__("switchyard:index:Canary", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        files = {path.name: path.read_text() for path in sorted(FILES.glob("*.py"))}
        files["canary.json"] = json.dumps(configuration(args, endpoint, web), indent=1)
        volumes = [from_config("config", config_map(name, COMPONENT, site, files, child))]
        mounts = {CONFIG: "config"}
        if endpoint.password is not None:
            login = {"password": endpoint.password}
            volumes.append(from_secret("login", secret(name, COMPONENT, site, login, [endpoint.user, endpoint.fingerprint], child)))
            mounts[LOGIN] = "login"
        if args.token:
            volumes.append(from_secret("token", release.config_secret, keys={args.token: "token"}))
            mounts[TOKEN] = "token"
        if endpoint.ca is not None:
            trusted = config_map(f"{name}-ca", COMPONENT, site, {"ca.pem": endpoint.ca}, child, endpoint.ca_fingerprint)
            volumes.append(from_config("authority", trusted))
            mounts[AUTHORITY] = "authority"
        pod = Pod(
            component=COMPONENT,
            containers=[_container(args, site, mounts)],
            volumes=volumes,
            labels=endpoint.client_labels,
            grace_seconds=10,
            placement=args.placement,
        )
        after = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=list(release.after)))
        # Never two at once: one that knows nothing of the other's falls would hide that those are late.
        deployment(name, pod, site, after, replicas=1, start_seconds=START_WITHIN_SECONDS, singleton=True)
        own = site.selector(COMPONENT)
        network.allow_out(f"{name}-asks-out", COMPONENT, site, own, [network.pods(site.selector(args.web))], [web.port], child)
        network.allow_in(f"{name}-asks-in", args.web, site, [network.pods(own)], [web.port], child)
        if args.host:
            # The load balancer's address, wherever it is.
            network.allow_out(f"{name}-public", COMPONENT, site, own, [network.without_metadata("0.0.0.0/0")], [endpoint.port], child)
        self.watch = Watch(
            rules=rules(COMPONENT),
            scrapes=(Scrape(job=COMPONENT, component=COMPONENT, port=PORT),),
            expectations=(
                members(COMPONENT, 1),
                Expectation(record="switchyard:canary_every_seconds", value=seconds_of(args.every)),
                Expectation(record="switchyard:canary_late_seconds", value=seconds_of(args.late)),
            ),
        )
        self.register_outputs({})


def configuration(args: canary.Canary, endpoint: Endpoint, web: Web) -> dict[str, object]:
    """Return canary.json: everything that is no secret."""
    return {
        "every": seconds_of(args.every),
        "late": seconds_of(args.late),
        "topic": args.topic,
        "payload": args.payload,
        "host": args.host or endpoint.host,
        "port": endpoint.port,
        "tls": endpoint.tls,
        "ca_file": f"{AUTHORITY}/ca.pem" if endpoint.ca is not None else None,
        "user": endpoint.user,
        "password_file": f"{LOGIN}/password" if endpoint.password is not None else None,
        "web": [args.web, WEB_SERVICE_PORT],
        "web_host": web.probes.host,
        "path": args.path,
        "token_file": f"{TOKEN}/token" if args.token else None,
        "metrics_port": PORT,
    }


def _container(args: canary.Canary, site: Site, mounts: dict[str, str]) -> core.v1.ContainerArgs:
    return container(
        COMPONENT,
        site.image(IMAGE),
        site,
        args.resources,
        command=["python3", f"{CONFIG}/canary.py", f"{CONFIG}/canary.json"],
        # Nothing can be written beside the modules.
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        ports={"http": PORT},
        mounts=mounts,
        read_only=[*mounts],
        probes={
            "startup_probe": probes.http("/live", PORT, within_seconds=START_WITHIN_SECONDS),
            "liveness_probe": probes.http("/live", PORT, patient=True),
            "readiness_probe": probes.tcp(PORT),
        },
    )
