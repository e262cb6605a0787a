"""The product on one page: the only place that wires components together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pulumi
import pulumi_random
from pulumi_kubernetes import core, meta

from components import alertmanager, grafana, ownership, prometheus
from components.alertmanager import Alertmanager
from components.blackbox import Shown as Certified
from components.canary import Canary
from components.certificates import CertificateAuthority
from components.consumer import Consumer, mqtt_session
from components.dashboards import Shown, dashboards
from components.edge import Edge, server_name
from components.edge_gateway import HTTPS, Target
from components.elasticsearch import Elasticsearch
from components.endpoints import ConfigVars, Endpoint, elasticsearch_vars, postgres_vars, redis_vars
from components.grafana import DataSource, Grafana, own_pages, pages
from components.kube import network
from components.kube_state_metrics import KubeStateMetrics
from components.loki import LogStore, Loki, collected, shared
from components.mqtt import MqttBroker, MqttEndpoint, MqttSession
from components.postgres import Postgres
from components.process import Process, Schedule
from components.prometheus import Prometheus
from components.rails import HTTP_PORT, RailsApp, RailsSettings
from components.redis import Redis
from components.registry import pull_secret
from components.restart import NightlyRestart
from components.sidekiq import Sidekiq
from components.site import Secrets, Site
from components.watch import Watch, volumes
from components.watching import exporters
from settings import canary, edge_checks, logs, restart
from settings.backing import External
from settings.gateway import GATEWAY_LABEL
from settings.ownership import INSTALLATION_LABEL, STACK_LABEL
from settings.stack import RegistryLogin, Settings


class Stack(pulumi.ComponentResource):
    """One installation of the product: a namespace of its own, and everything in it."""

    outputs: dict[str, pulumi.Input[object]]
    """What the stack tells: addresses, and where to read the rest."""

    def __init__(self, name: str, args: Settings, site: Site, secrets: Secrets, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the installation that `args` describe at `site`."""
        super().__init__("switchyard:index:Stack", name, None, opts)
        self.child = pulumi.ResourceOptions(parent=self)
        self.endpoints: list[Endpoint] = []
        self.config_vars: dict[str, pulumi.Output[str]] = {}
        self.ready: list[pulumi.Resource] = []
        self.authority: CertificateAuthority | None = None
        self.watched: list[Watch] = []
        self.canary: Endpoint | None = None
        self.asked: dict[str, Endpoint] = {}
        """Servers that tell their figures through an exporter, each with the account that it logs in with."""
        self.shown: Sequence[Certified] = ()
        """The certificates that people are shown."""
        self.logs: LogStore | None = None
        site = self._namespace(args, site)
        site = self._login(args.images.login, site, secrets)

        session = mqtt_session(args.consumer, self.child)
        self._postgres(args, site, secrets)
        self._redis(args, site, secrets)
        broker = self._mqtt(args, site, secrets, session)
        self._elasticsearch(args, site, secrets)
        self._logs(args, site, secrets)
        app = self._app(args, site, secrets, session)
        self._canary(args, site, app)
        self._grafana(args, site)
        edge = self._edge(args, site, secrets)
        self._metrics(args, site, secrets)

        self.outputs = {"namespace": site.namespace, "urls": app.urls, "config_secret": app.release.config_secret}
        if args.domain:
            self.outputs["domain"] = args.domain
        if broker:
            self.outputs["mqtt"] = broker.public
        if edge:
            self.outputs["edge"] = edge
        if records := self._records(args, edge, broker):
            self.outputs["dns"] = records
        self.register_outputs(self.outputs)

    def _namespace(self, args: Settings, site: Site) -> Site:
        levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
        # Another state's namespace carries another number, also that of a stack of the same name.
        installation = pulumi_random.RandomId("installation", byte_length=8, opts=self.child).hex
        owned = {STACK_LABEL: site.owner, INSTALLATION_LABEL: ownership.confirmed(installation, site)}
        # For what the cluster has once: where the lines go, whose files are read by themselves, who reads kubelets' figures, who is served.
        keeper = args.logs.kept_in(site.namespace)
        kept = {logs.LOGS_LABEL: keeper} if keeper else {}
        kept |= {logs.KUBELET_LABEL: "true"} if args.metrics.where == "cluster" and args.metrics.kubelet else {}
        # The controller of Gateways passes over namespaces that do not say so.
        kept |= {GATEWAY_LABEL: args.edge.class_name} if args.edge.where == "gateway" else {}
        read = {logs.COMPONENTS_ANNOTATION: ",".join(sorted({part.component for part in args.footprint()}))} if keeper else None
        made = core.v1.Namespace(
            site.namespace,
            metadata=meta.v1.ObjectMetaArgs(
                name=site.namespace, labels={**site.labels("namespace"), **owned, **levels, **kept}, annotations=read
            ),
            opts=site.keeping(site.namespace, self.child),
        )
        # All else takes the namespace's name from the made one, and so is made after it.
        site = replace(site, home=made.metadata.name)
        network.default_deny("network", site, self.child)
        return site

    def _login(self, login: RegistryLogin | None, site: Site, secrets: Secrets) -> Site:
        if login is None:
            return site
        return replace(site, pull_secrets=(*site.pull_secrets, pull_secret(login, site, secrets, self.child)))

    def _postgres(self, args: Settings, site: Site, secrets: Secrets) -> None:
        if args.postgres.where == "cluster":
            made = Postgres("postgres", args.postgres, site, self.child)
            self.ready += made.ready
            self.watched.append(made.watch)
            self.asked["postgres"] = made.monitor
            self._uses(made.endpoint, postgres_vars(made.endpoint, args.postgres.config_var))
        elif args.postgres.where == "external" and args.postgres.external:
            endpoint = self._external("postgres", Endpoint.external("postgres", args.postgres.external, secrets), site)
            self.asked["postgres"] = endpoint
            self._uses(endpoint, postgres_vars(endpoint, args.postgres.config_var))

    def _redis(self, args: Settings, site: Site, secrets: Secrets) -> None:
        for instance, said in args.redis.items():
            name = f"redis-{instance}"
            if said.where == "cluster":
                made = Redis(name, instance, said, site, self.child)
                self.ready += made.ready
                self.watched.append(made.watch)
                self.asked[name] = made.endpoint
                self._uses(made.endpoint, redis_vars(made.endpoint, said.config_var))
            elif said.where == "external" and said.external:
                endpoint = self._external(name, Endpoint.external(name, said.external, secrets), site)
                self.asked[name] = endpoint
                self._uses(endpoint, redis_vars(endpoint, said.config_var))

    def _mqtt(self, args: Settings, site: Site, secrets: Secrets, session: MqttSession | None) -> MqttBroker | None:
        if args.mqtt.where == "cluster":
            topic = args.canary.topic if args.canary.where == "cluster" else None
            broker = MqttBroker(
                "mqtt", args.mqtt, site, args.device_host_names, self._authority(site), session, self.child, canary_topic=topic
            )
            self.canary = broker.canary
            self.ready += broker.ready
            self.watched.append(broker.watch)
            self._uses(broker.endpoint, broker.endpoint.config_vars(args.mqtt))
            return broker
        if args.mqtt.where == "external" and args.mqtt.external:
            endpoint = MqttEndpoint.external("mqtt", args.mqtt.external, secrets)
            self._external("mqtt", endpoint, site)
            if args.canary.where == "cluster":
                self.canary = self._own_account(args.canary, args.mqtt.external, secrets)
            self._uses(endpoint, endpoint.config_vars(args.mqtt))
        return None

    def _own_account(self, said: canary.Canary, broker: External, secrets: Secrets) -> Endpoint:
        """Return somebody else's broker as the canary sees it."""
        own = broker.model_copy(update={"user": said.user, "password": said.password})
        return Endpoint.external("mqtt", own, secrets)

    def _elasticsearch(self, args: Settings, site: Site, secrets: Secrets) -> None:
        if args.elasticsearch.where == "cluster":
            made = Elasticsearch("elasticsearch", args.elasticsearch, site, self._authority(site), secrets, self.child)
            self.ready += made.ready
            self.watched.append(made.watch)
            self.asked["elasticsearch"] = made.monitor
            self._uses(made.endpoint, elasticsearch_vars(made.endpoint, args.elasticsearch.config_var))
        elif args.elasticsearch.where == "external" and args.elasticsearch.external:
            endpoint = self.asked["elasticsearch"] = Endpoint.external("elasticsearch", args.elasticsearch.external, secrets)
            self._uses(self._external("elasticsearch", endpoint, site), elasticsearch_vars(endpoint, args.elasticsearch.config_var))

    def _logs(self, args: Settings, site: Site, secrets: Secrets) -> None:
        if args.logs.where == "cluster":
            made = Loki("loki", args.logs, site, secrets, self.child)
            self.logs = made.store
            self.watched.append(made.watch)
        elif args.logs.where == "shared" and args.logs.namespace:
            self.logs = shared("loki", args.logs.namespace, site, self.child)
        if self.logs:
            self.watched.append(collected(site.namespace))

    def _canary(self, args: Settings, site: Site, app: RailsApp) -> None:
        said = args.canary
        if said.where == "cluster" and self.canary is not None and said.web in args.web:
            made = Canary("canary", said, site, self.canary, args.web[said.web], app.release, self.child)
            self.watched.append(made.watch)

    def _grafana(self, args: Settings, site: Site) -> None:
        if args.grafana.where == "none":
            return
        sources: list[DataSource] = []
        if args.metrics.where == "cluster":
            prometheus.admit_clients("prometheus", site, self.child)
            sources += [DataSource.at("prometheus", prometheus.ENDPOINT), DataSource.at("alertmanager", alertmanager.ENDPOINT)]
        if self.logs:
            sources.append(DataSource(kind="loki", url=self.logs.url, tenant=self.logs.tenant, client_labels=self.logs.client_labels))
        shown = pages(dashboards(Shown.of(args))) | own_pages(args.grafana)
        made = Grafana("grafana", args.grafana, site, sources, shown, args.edge, self.child)
        self.watched.append(made.watch)

    def _edge(self, args: Settings, site: Site, secrets: Secrets) -> dict[str, pulumi.Input[object]] | None:
        """Make the way in for people; return where it is, and what it is known by."""
        led = edge_checks.routes(args)
        if not led:
            return None
        targets = [
            Target(name=web, port=HTTP_PORT, hosts=edge_checks.hosts(args, route), paths=route.paths, streams=route.streams)
            for web, route in led.items()
        ]
        if args.grafana.where == "cluster" and args.grafana.edge and args.grafana.host:
            targets.append(Target(name=grafana.COMPONENT, port=grafana.PORT, hosts=[args.grafana.host], streams=True, maintained=False))
        own = self._authority(site) if args.edge.certificate.by == "authority" else None
        made = Edge("edge", args.edge, targets, site, secrets, own, self.child)
        self.shown = made.shown
        self.watched.append(made.watch)
        told: dict[str, pulumi.Input[object]] = {"host": made.address, "port": HTTPS, "server_name": server_name(targets, site)}
        return told | ({"ca": made.authority} if made.authority is not None else {})

    def _records(
        self, args: Settings, edge: Mapping[str, pulumi.Input[object]] | None, broker: MqttBroker | None
    ) -> dict[str, pulumi.Input[object]]:
        """Return the DNS records to set: name -> the address, or the name, that it leads to."""
        people = dict.fromkeys(edge_checks.all_hosts(args), edge["host"]) if edge else {}
        devices = dict.fromkeys(args.device_host_names, broker.public["host"]) if broker else {}
        return {**people, **devices}

    def _authority(self, site: Site) -> CertificateAuthority:
        """Return the stack's certificate authority, made when the first server wants a certificate."""
        if self.authority is None:
            self.authority = CertificateAuthority("authority", site, self.child)
        return self.authority

    def _app(self, args: Settings, site: Site, secrets: Secrets, session: MqttSession | None) -> RailsApp:
        rails = RailsSettings(app=args.app, release=args.release, web=args.web, edge=args.edge, routed=edge_checks.routes(args))
        opts = self.child
        app = RailsApp("app", rails, site, self.endpoints, self.config_vars, secrets, self.ready, opts)
        self.watched.append(app.watch)
        for pool, said in args.sidekiq.items():
            self.watched.append(Sidekiq(f"sidekiq-{pool}", pool, said, site, app.release, opts).watch)
        if args.consumer.where == "cluster":
            counted = args.mqtt.where == "cluster"
            self.watched.append(Consumer("consumer", args.consumer, site, app.release, session, opts, counted=counted).watch)
        for process, said in args.running_processes().items():
            self.watched.append(Process(process, process, said, site, app.release, opts).watch)
        for schedule, said in args.schedules.items():
            Schedule(schedule, schedule, said, site, app.release, opts)
        if args.restart.processes:
            known = restart.restartable(args)
            NightlyRestart(
                "restart", args.restart, {name: restart.within_seconds(known[name]) for name in args.restart.processes}, site, opts
            )
        return app

    def _metrics(self, args: Settings, site: Site, secrets: Secrets) -> None:
        """Make what watches all the rest, and so is made last."""
        if args.metrics.where == "none":
            return
        self.watched += [volumes(args), *exporters(self.asked, self.shown, self.authority, args, site, self.child)]
        self.watched.append(KubeStateMetrics("kube-state-metrics", args.metrics, site, self.child).watch)
        teller = Alertmanager("alertmanager", args.alerts, site, secrets, self.child)
        self.watched.append(teller.watch)
        Prometheus("prometheus", args.metrics, site, self.watched, teller.endpoint, args.alerts.runbooks, self.child)

    def _external(self, name: str, endpoint: Endpoint, site: Site) -> Endpoint:
        network.admit_external(name, endpoint, site, self.child)
        return endpoint

    def _uses(self, endpoint: Endpoint, config_vars: ConfigVars) -> None:
        self.endpoints.append(endpoint)
        self.config_vars.update(config_vars)
