"""Grafana: the stack's metrics and logs, looked at. It keeps nothing: what it shows is provisioned."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pulumi
from pulumi_kubernetes import core

from components import edge as way_in
from components.dashboards.panels import Dashboard
from components.endpoints import Endpoint
from components.kube import network, passwords, probes, workload
from components.kube.configuration import config_map, secret
from components.site import Site
from components.watch import Scrape, Watch, members
from settings import grafana
from settings.edge import Edge
from settings.loader import ROOT

COMPONENT = "grafana"
PORT = 3000
HOME = "/usr/share/grafana"
CONFIG = "/etc/grafana"
DATA = "/var/lib/grafana"
KEYS = "/run/secrets/grafana"
START_WITHIN_SECONDS = 180
"""Its own database is new at every start; filling it takes half a minute on a busy core."""
SCRAPE_EVERY = "10s"
FIRST = "overview"
"""The dashboard that stands for the home page."""

Json = dict[str, Any]
Kind = Literal["prometheus", "loki", "alertmanager"]


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """A server that Grafana asks, by its Service. Its kind is its uid, which dashboards name it by."""

    kind: Kind
    url: str
    """Its address inside the cluster."""
    client_labels: Mapping[str, str]
    """The labels of a pod that may ask it."""
    tenant: str | None = None
    """Whose logs are asked for, of a server that keeps those of several stacks apart: sent as X-Scope-OrgID."""

    @classmethod
    def at(cls, kind: Kind, endpoint: Endpoint) -> "DataSource":
        """Return the server of the stack that is reached at `endpoint`."""
        return cls(kind=kind, url=f"http://{endpoint.host}:{endpoint.port}", client_labels=endpoint.client_labels)


class Grafana(pulumi.ComponentResource):
    """Grafana: the Deployment and Service `grafana`, with its data sources and dashboards as files.

    - Its one account is admin, with a generated password; nobody gets in without, and nobody signs up.
    - It has no volume: users, stars and dashboards that somebody makes in the browser are gone with the pod. What is to stay is a file.
    - It alerts nobody (Prometheus does), installs no plugin, asks for no update and tells nobody anything.
    - It reaches its data sources and nothing else; it is reached through a forwarded port, or by those whom `edge` names if it says so.
    - Its token for the Kubernetes API is not mounted.
    """

    watch: Watch
    """Its own metrics."""

    def __init__(
        self,
        name: str,
        args: grafana.Grafana,
        site: Site,
        sources: Sequence[DataSource],
        dashboards: Mapping[str, str],
        edge: Edge,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the server, with `dashboards` by name as the JSON that it reads."""
        super().__init__("switchyard:index:Grafana", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        provisioned = config_map(COMPONENT, COMPONENT, site, files(args, sources, dashboards), child)
        pages = {
            page: config_map(f"{COMPONENT}-{page}", COMPONENT, site, {f"{page}.json": text}, child) for page, text in dashboards.items()
        }
        volumes = [
            _configuration(provisioned, pages),
            workload.from_secret("keys", _keys(name, args, site, child)),
            workload.empty_dir("data", args.resources.scratch),
            workload.empty_dir("tmp", args.resources.scratch),
        ]
        pod = workload.Pod(
            component=COMPONENT,
            containers=[_container(args, site)],
            volumes=volumes,
            labels={key: value for source in sources for key, value in source.client_labels.items()},
            placement=args.placement,
        )
        workload.deployment(name, pod, site, child, replicas=1, start_seconds=START_WITHIN_SECONDS)
        workload.service(name, COMPONENT, COMPONENT, site, {"http": (PORT, PORT)}, child)
        peers = way_in.peers(edge, site, routed=True) if args.edge else []
        if peers:
            network.allow_in(f"{name}-edge", COMPONENT, site, peers, [PORT], child)
        self.watch = Watch(scrapes=(Scrape(job=COMPONENT, component=COMPONENT, port=PORT),), expectations=(members(COMPONENT, 1),))
        self.register_outputs({"url": args.root_url})


def pages(dashboards: Sequence[Dashboard]) -> dict[str, str]:
    """Return dashboards as files, by name."""
    return {dashboard.name: dashboard.json() for dashboard in dashboards}


def own_pages(args: grafana.Grafana, root: Path = ROOT) -> dict[str, str]:
    """Return the product's own dashboards, by the names of their files; they were checked with the settings."""
    return {Path(file).stem: (root / file).read_text() for file in args.dashboards}


def files(args: grafana.Grafana, sources: Sequence[DataSource], dashboards: Mapping[str, str]) -> dict[str, str]:
    """Return the server's configuration, its data sources, and where its dashboards are."""
    return {
        "grafana.ini": configuration(args, FIRST if FIRST in dashboards else None),
        "datasources.yaml": _yaml({"apiVersion": 1, "prune": True, "datasources": [provisioned(source) for source in sources]}),
        "dashboards.yaml": _yaml({"apiVersion": 1, "providers": [_PROVIDER]}),
    }


def configuration(args: grafana.Grafana, first: str | None) -> str:
    """Return grafana.ini; `first` is the dashboard that stands for the home page."""
    sections: dict[str, dict[str, str | int | bool]] = {
        "server": {"http_port": PORT, **({"root_url": args.root_url} if args.root_url else {})},
        "paths": {"data": DATA, "plugins": f"{DATA}/plugins", "provisioning": f"{CONFIG}/provisioning"},
        "log": {"mode": "console"},
        "log.console": {"format": "json"},
        "security": {
            "admin_user": "admin",
            "admin_password": f"$__file{{{KEYS}/admin-password}}",
            "secret_key": f"$__file{{{KEYS}/secret-key}}",
            "cookie_secure": bool(args.root_url and args.root_url.startswith("https://")),
            "disable_gravatar": True,
        },
        "auth.anonymous": {"enabled": False},
        "users": {"allow_sign_up": False, "allow_org_create": False},
        "analytics": {
            "reporting_enabled": False,
            "check_for_updates": False,
            "check_for_plugin_updates": False,
            "feedback_links_enabled": False,
        },
        "plugins": {"preinstall_disabled": True, "plugin_admin_enabled": False, "public_key_retrieval_disabled": True},
        "unified_alerting": {"enabled": False},
        "news": {"news_feed_enabled": False},
        "snapshots": {"enabled": False},
        "public_dashboards": {"enabled": False},
    }
    if first:
        sections["dashboards"] = {"default_home_dashboard_path": f"{CONFIG}/dashboards/{first}.json"}
    return "\n".join(_section(title, said) for title, said in sections.items())


def provisioned(source: DataSource) -> Json:
    """Return a data source as Grafana provisions it: read-only, asked by the server and never by the browser."""
    said: Json = {"name": source.kind.capitalize(), "uid": source.kind, "type": source.kind, "access": "proxy", "url": source.url}
    about = dict(_ABOUT[source.kind])
    if source.tenant:
        about["httpHeaderName1"] = "X-Scope-OrgID"
        said["secureJsonData"] = {"httpHeaderValue1": source.tenant}
    return {**said, "isDefault": source.kind == "prometheus", "editable": False, "jsonData": about}


_ABOUT: dict[str, Json] = {
    "prometheus": {"httpMethod": "POST", "timeInterval": SCRAPE_EVERY, "prometheusType": "Prometheus"},
    "loki": {"maxLines": 1000, "timeout": 60},
    "alertmanager": {"implementation": "prometheus", "handleGrafanaManagedAlerts": False},
}
_PROVIDER: Json = {
    "name": "switchyard",
    "type": "file",
    "disableDeletion": True,
    "allowUiUpdates": False,
    # The files never change under a running pod.
    "updateIntervalSeconds": 3600,
    "options": {"path": f"{CONFIG}/dashboards"},
}


def _section(title: str, said: Mapping[str, str | int | bool]) -> str:
    lines = [f"{key} = {str(value).lower() if isinstance(value, bool) else value}" for key, value in said.items()]
    return "\n".join([f"[{title}]", *lines]) + "\n"


def _yaml(value: Json) -> str:
    # JSON is YAML, and PyYAML takes ten times as long to write it.
    return json.dumps(value, indent=1) + "\n"


def _keys(name: str, args: grafana.Grafana, site: Site, opts: pulumi.ResourceOptions) -> str:
    """Make the Secret with the account's password and the key of Grafana's own database, and return its name."""
    made = {key: passwords.password(f"{name}-{key}", args.rotation, opts) for key in ("admin-password", "secret-key")}
    return secret(COMPONENT, COMPONENT, site, made, [args.rotation], opts)


def _configuration(provisioned: str, pages: Mapping[str, str]) -> core.v1.VolumeArgs:
    """Return the volume that is /etc/grafana: the configuration, what is provisioned, and the dashboards."""
    places = {"grafana.ini": "grafana.ini"}
    places |= {f"{kind}.yaml": f"provisioning/{kind}/{kind}.yaml" for kind in ("datasources", "dashboards")}
    sources = [_files(provisioned, places)]
    sources += [_files(config, {f"{page}.json": f"dashboards/{page}.json"}) for page, config in pages.items()]
    return core.v1.VolumeArgs(name="config", projected=core.v1.ProjectedVolumeSourceArgs(sources=sources, default_mode=0o444))


def _files(config: str, places: Mapping[str, str]) -> core.v1.VolumeProjectionArgs:
    items = [core.v1.KeyToPathArgs(key=key, path=path) for key, path in places.items()]
    return core.v1.VolumeProjectionArgs(config_map=core.v1.ConfigMapProjectionArgs(name=config, items=items))


def _container(args: grafana.Grafana, site: Site) -> core.v1.ContainerArgs:
    return workload.container(
        COMPONENT,
        site.image("grafana"),
        site,
        args.resources,
        # Not the image's own script: it only turns variables into files and files into variables.
        command=[f"{HOME}/bin/grafana", "server", f"--homepath={HOME}", f"--config={CONFIG}/grafana.ini", "--packaging=docker"],
        ports={"http": PORT},
        mounts={CONFIG: "config", KEYS: "keys", DATA: "data", "/tmp": "tmp"},
        read_only=[CONFIG, KEYS],
        probes={
            "startup_probe": probes.http("/api/health", PORT, within_seconds=START_WITHIN_SECONDS),
            # Its server alone; readiness asks its database too.
            "liveness_probe": probes.http("/healthz", PORT, patient=True),
            "readiness_probe": probes.http("/api/health", PORT),
        },
    )
