"""The Rails app: its config, the release step that migrates the schema, and the processes that serve HTTP."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import pulumi
import pulumi_random
from pulumi_kubernetes import batch, core, meta

from components import edge
from components.endpoints import ConfigVars, Endpoint, authorities
from components.kube import network, probes
from components.kube.configuration import config_map, digest, secret
from components.kube.passwords import of_generation
from components.kube.workload import deployment, metadata, service, template
from components.release import APP_LABEL, SERVICE_ACCOUNT, Release, scrapes, told
from components.site import Secrets, Site
from components.watch import Expectation, Watch, fact, members, rules
from settings.app import PRESTOP_SECONDS, App, Web
from settings.app import Release as ReleaseSettings
from settings.edge import Edge
from settings.types import seconds_of

HTTP_PORT = 80
"""The port of each web process' Service."""
GENERATED_LENGTH = 64
"""Letters and digits of a generated secret; Rails wants a SECRET_KEY_BASE of at least 30."""

URL_FORMAT = 2
"""Raise it whenever endpoints.py writes addresses differently: a Secret's name must change with its content."""


@dataclass(frozen=True, kw_only=True)
class RailsSettings:
    """The parts of a stack's settings that RailsApp is made from."""

    app: App
    release: ReleaseSettings
    web: Mapping[str, Web]
    edge: Edge
    routed: Collection[str] = ()
    """The web processes that the edge leads requests to."""


class RailsApp(pulumi.ComponentResource):
    """A Rails product: an immutable Secret with its config vars, a migration Job, and a Deployment and Service per web process.

    No new pod starts before the migration has succeeded; when it fails the update stops, and the old pods go on with their
    own configuration, also when they restart.
    """

    release: Release
    """What the product's other processes run with."""
    urls: dict[str, pulumi.Output[str]]
    """Address inside the cluster of each web process."""
    watch: Watch
    """The web processes' own metrics, where they have them, and how many of each there are."""

    def __init__(
        self,
        name: str,
        args: RailsSettings,
        site: Site,
        endpoints: Sequence[Endpoint],
        config_vars: ConfigVars,
        secrets: Secrets,
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the app's release and its web processes, clients of `endpoints`, which `config_vars` name to the app.

        The migration waits for `after`: the database.
        """
        super().__init__("switchyard:index:RailsApp", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        config = self._config(name, args.app, site, endpoints, config_vars, secrets, child)
        labels = {key: value for endpoint in endpoints for key, value in endpoint.client_labels.items()}
        known = authorities(endpoints)
        trusted = {endpoint.service: endpoint.ca_fingerprint for endpoint in endpoints if endpoint.ca is not None}
        release = Release(
            app=args.app,
            image=site.image(args.app.image),
            config_secret=config,
            authorities=config_map(f"{name}-ca", "app", site, known, child, trusted) if known else None,
            client_labels=labels,
        )
        after = [*after, _account(args.app, site, child)]
        self.release = replace(release, after=self._migration(name, args.release, release, site, after, child) or after)
        network.to_public(f"{name}-saas", "app", site, {APP_LABEL: "true"}, args.app.egress_ranges, args.app.egress_ports, child)
        self.urls = {web: self._web(name, web, said, args, site, child) for web, said in args.web.items()}
        self.watch = Watch(
            rules=rules("web", *(["app", "rails"] if any(said.metrics for said in args.web.values()) else [])),
            scrapes=tuple(scrape for web, said in args.web.items() for scrape in scrapes(web, said)),
            expectations=tuple(fact for web, said in args.web.items() for fact in _expected(web, said)),
        )
        self.register_outputs({"urls": self.urls, "config": config})

    def _config(
        self,
        name: str,
        app: App,
        site: Site,
        endpoints: Sequence[Endpoint],
        config_vars: ConfigVars,
        secrets: Secrets,
        child: pulumi.ResourceOptions,
    ) -> str:
        generated = {
            key: pulumi_random.RandomPassword(
                of_generation(f"{name}-{key.lower().replace('_', '-')}", app.rotation),
                length=GENERATED_LENGTH,
                special=False,
                keepers={"rotation": str(app.rotation)},
                opts=child,
            ).result
            for key in app.generate
        }
        values = {**app.config, **generated, **config_vars, **{key: secrets.value(key) for key in app.secrets}}
        places = [[e.service, e.host, e.port, e.user, e.database, e.tls, e.ca_fingerprint, e.fingerprint] for e in endpoints]
        fingerprint = [
            URL_FORMAT,
            list(config_vars),
            app.config,
            app.rotation,
            places,
            {key: secrets.fingerprint(key) for key in app.secrets},
        ]
        return secret(f"{name}-config", "app", site, values, fingerprint, child)

    def _migration(
        self,
        name: str,
        said: ReleaseSettings,
        release: Release,
        site: Site,
        after: Sequence[pulumi.Resource],
        child: pulumi.ResourceOptions,
    ) -> list[pulumi.Resource]:
        if not said.command:
            return []
        pod = release.pod("release", said, site, restart_policy="Never")
        # What the app may reach is the policies' matter: its pods are made of all else.
        app = release.app.model_dump(exclude={"egress_ports", "egress_ranges"})
        # The name tells one release's migration from another's: a Job that has run is never changed.
        full = f"release-{digest(release.image, release.config_secret, said.model_dump(), app)}"
        limit = pulumi.CustomTimeouts(create=f"{seconds_of(said.stop_after) + 60}s")
        job = batch.v1.Job(
            f"{name}-{full}",
            metadata=_replaced_when_failed(site, full),
            spec=batch.v1.JobSpecArgs(
                backoff_limit=1,
                active_deadline_seconds=seconds_of(said.stop_after),
                template=template(pod, site),
            ),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=list(after), custom_timeouts=limit)),
        )
        return [job]

    def _web(self, name: str, web: str, said: Web, args: RailsSettings, site: Site, child: pulumi.ResourceOptions) -> pulumi.Output[str]:
        env = {
            "PORT": str(said.port),
            "RAILS_MAX_THREADS": str(said.threads),
            "WEB_CONCURRENCY": str(said.concurrency),
            "PUMA_PERSISTENT_TIMEOUT": str(seconds_of(said.keep_alive)),
            "TRUSTED_PROXIES": ",".join(args.edge.trusted),
        }
        pod = self.release.pod(
            web,
            said,
            site,
            env=env,
            ports={"http": said.port},
            probes=probes.web_probes(said.probes, said.port, said.start_within),
            prestop=["sleep", str(PRESTOP_SECONDS)],
            grace_seconds=said.grace_seconds,
        )
        opts = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=list(self.release.after)))
        starts = seconds_of(said.start_within)
        deployment(f"{name}-{web}", pod, site, opts, replicas=said.replicas, start_seconds=starts, singleton=said.singleton)
        if peers := edge.peers(args.edge, site, routed=web in args.routed):
            network.allow_in(f"{name}-{web}-edge", web, site, peers, [said.port], child)
        made = service(f"{name}-{web}", web, web, site, {"http": (HTTP_PORT, said.port)}, child)
        inside = f"{web}.{site.namespace}.svc"
        return made.spec.cluster_ip.apply(lambda address: f"http://{address or inside}")


def _expected(web: str, said: Web) -> tuple[Expectation, ...]:
    return (members(web, said.replicas), fact("switchyard:web", web, said.replicas), *told(web, said))


def _account(app: App, site: Site, opts: pulumi.ResourceOptions) -> core.v1.ServiceAccount:
    about = metadata(SERVICE_ACCOUNT, site)
    about.annotations = dict(app.service_account_annotations) or None
    return core.v1.ServiceAccount(SERVICE_ACCOUNT, metadata=about, automount_service_account_token=False, opts=opts)


def _replaced_when_failed(site: Site, name: str) -> meta.v1.ObjectMetaArgs:
    made = metadata("release", site, name)
    # A failed migration is run again by the next `up`, not taken for done.
    made.annotations = {"pulumi.com/replaceUnready": "true"}
    return made
