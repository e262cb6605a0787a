"""Prometheus: it asks every component of the stack for its metrics, keeps them, and evaluates the alert rules."""

from collections.abc import Iterable
from pathlib import Path

import pulumi
from pulumi_kubernetes import core

from components.endpoints import Endpoint
from components.kube import network, probes
from components.kube.configuration import config_map
from components.kube.rights import account, rule
from components.kube.workload import Pod, claim, container, from_config, governing_service, keeping_claims, service, stateful_set
from components.prometheus_configuration import DIRECTORY, KUBELET, files, watched
from components.site import Site
from components.watch import Scrape, Watch, members, rules
from settings.fixed import COMPONENT_LABEL
from settings.loader import ROOT
from settings.metrics import Metrics
from settings.types import bytes_of, seconds_of

COMPONENT = "prometheus"
PORT = 9090
DATA = "/var/lib/prometheus"
START_WITHIN_SECONDS = 600
"""At a start it reads its write-ahead log: up to three hours of samples."""
GRACE_SECONDS = 120
"""It finishes the block that it is writing."""


class Prometheus(pulumi.ComponentResource):
    """Prometheus: a StatefulSet of one pod with a volume, and the Service `prometheus` on port 9090.

    - It finds pods by itself, with rights to list those of its own namespace, and asks the ports that `watches` name, every 10 s.
    - Every series carries `job`, `component`, `pod` and `container`, by name: addresses come and go.
    - Another configuration is another ConfigMap, and a restart: it is back within seconds, with all that it had kept.
    - Nobody can delete samples or reload it over HTTP: the administrative API stays off.
    """

    endpoint: Endpoint
    """Where Grafana and others ask it; they carry the label of its clients."""

    def __init__(
        self,
        name: str,
        args: Metrics,
        site: Site,
        watches: Iterable[Watch],
        alertmanager: Endpoint | None = None,
        runbooks: str | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the Prometheus that `args` describe. It asks all that `watches` name, and tells `alertmanager` what is wrong.

        `runbooks` is where this repository is read in a browser.
        """
        super().__init__("switchyard:index:Prometheus", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        everything = watched([*watches, itself(kubelet=args.kubelet)])
        about = {"namespace": site.namespace, "stack": site.owner}
        where = f"{alertmanager.host}:{alertmanager.port}" if alertmanager else None
        said = files(everything, about, alertmanager=where, kubelet=args.kubelet, runbooks=runbooks, own=own_rules(args))
        config = config_map(COMPONENT, COMPONENT, site, said, child)
        rights = account(name, COMPONENT, site, [rule("", ["pods"], ["list", "watch"])], child)
        network.to_api_server(name, COMPONENT, site, child)
        network.admit_scrapes(name, COMPONENT, site, ports_of(everything.scrapes), child)
        for one in everything.scrapes:
            if one.namespace:
                pods = network.pods_of_namespace(one.namespace, {COMPONENT_LABEL: one.component})
                network.allow_out(f"{name}-{one.component}", COMPONENT, site, site.selector(COMPONENT), [pods], [one.port], child)
        if args.kubelet:
            nodes = [network.addresses(cidr) for cidr in args.kubelet_ranges]
            network.allow_out(f"{name}-kubelets", COMPONENT, site, site.selector(COMPONENT), nodes, [KUBELET], child)
        service(name, COMPONENT, COMPONENT, site, {"http": (PORT, PORT)}, child)
        stateful_set(
            name,
            _pod(args, site, config, alertmanager),
            site,
            keeping_claims(pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[rights]))),
            replicas=1,
            service_name=governing_service(name, COMPONENT, site, {"http": (PORT, PORT)}, child),
            claims=[claim("data", args.volume, site)],
        )
        self.endpoint = ENDPOINT
        self.register_outputs({"host": self.endpoint.host})


ENDPOINT = Endpoint(service=COMPONENT, host=COMPONENT, port=PORT)
"""Known beforehand: Grafana, which is asked for its own metrics, is made before Prometheus."""


def admit_clients(name: str, site: Site, opts: pulumi.ResourceOptions) -> None:
    """Make the policies that let clients of ENDPOINT (Grafana) ask Prometheus; called by the stack that has one."""
    network.admit_clients(name, COMPONENT, site, [PORT], opts)


def itself(*, kubelet: bool = False) -> Watch:
    """Return what Prometheus tells of itself, and the rules about what belongs to no other component: pods, volumes, targets."""
    return Watch(
        rules=rules(COMPONENT, "targets", "volumes", "workloads", *(["kubelet"] if kubelet else [])),
        scrapes=(Scrape(job=COMPONENT, component=COMPONENT, port=PORT),),
        expectations=(members(COMPONENT, 1),),
    )


def own_rules(args: Metrics, root: Path = ROOT) -> dict[str, str]:
    """Return the product's own files of rules, by the names that they get here; they were checked with the settings."""
    return {f"own-{Path(file).name}": (root / file).read_text() for file in args.rules}


def ports_of(scrapes: Iterable[Scrape]) -> dict[str, list[int]]:
    """Return which ports of which component of the stack are asked."""
    found: dict[str, set[int]] = {}
    for scrape in (one for one in scrapes if one.namespace is None):
        found.setdefault(scrape.component, set()).add(scrape.port)
    return {component: sorted(found[component]) for component in sorted(found)}


def _pod(args: Metrics, site: Site, config: str, alertmanager: Endpoint | None) -> Pod:
    return Pod(
        component=COMPONENT,
        containers=[_container(args, site)],
        volumes=[from_config("config", config)],
        labels=alertmanager.client_labels if alertmanager else {},
        grace_seconds=GRACE_SECONDS,
        service_account=COMPONENT,
        token=True,
        placement=args.placement,
    )


def _container(args: Metrics, site: Site) -> core.v1.ContainerArgs:
    return container(
        COMPONENT,
        site.image("prometheus"),
        site,
        args.resources,
        command=[
            "prometheus",
            f"--config.file={DIRECTORY}/prometheus.yml",
            f"--web.listen-address=:{PORT}",
            f"--storage.tsdb.path={DATA}/data",
            f"--storage.tsdb.retention.time={seconds_of(args.retention)}s",
            # Its MB are MiB.
            f"--storage.tsdb.retention.size={bytes_of(args.retention_size) // 2**20}MB",
            # A question that a dashboard gave up must not go on.
            "--query.timeout=30s",
            "--query.max-concurrency=4",
        ],
        # Go's garbage collector begins before the limit is reached.
        env={"GOMEMLIMIT": str(bytes_of(args.resources.memory) * 4 // 5)},
        ports={"http": PORT},
        mounts={DIRECTORY: "config", DATA: "data"},
        read_only=[DIRECTORY],
        probes={
            "startup_probe": probes.http("/-/ready", PORT, within_seconds=START_WITHIN_SECONDS),
            "liveness_probe": probes.http("/-/healthy", PORT),
            "readiness_probe": probes.http("/-/ready", PORT),
        },
    )
