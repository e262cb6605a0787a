"""Elasticsearch: one node or several, with TLS and passwords on."""

from collections.abc import Sequence

import pulumi
from pulumi_kubernetes import core

from components import elasticsearch_snapshots as snapshots
from components.certificates import MEMBER_USES, CertificateAuthority
from components.elasticsearch_accounts import APP, MONITOR, OPERATOR, SNAPSHOTS, Account, Accounts
from components.elasticsearch_configuration import COMPONENT, HOME, HTTP, MEMBERS, REPOSITORY, TRANSPORT, files, members
from components.endpoints import Endpoint
from components.kube import network, probes
from components.kube.configuration import config_map, renewed_secret
from components.kube.workload import (
    Pod,
    claim,
    container,
    empty_dir,
    from_config,
    from_secret,
    keeping_claims,
    service,
    stateful_set,
)
from components.rotation import LOGIN, waiting
from components.site import Secrets, Site
from components.watch import Watch, fact, rules
from components.watch import members as expected
from settings import elasticsearch as settings
from settings.fixed import VERSION_ANNOTATION
from settings.quantities import bytes_of

START_WITHIN_SECONDS = 600
"""A node reads its indices' state before it answers."""
GRACE_SECONDS = 120
"""A node that stops writes what it holds, and hands its shards over: at most 20 s before SIGTERM (stop.sh), the rest after it."""
RESTART_MINUTES = 20
"""What one node may take to be ready again in a rolling update; they restart one after the other."""

LOGINS = {"probe": (MONITOR, ("fail", "max-time = 4")), "operator": (OPERATOR, ("fail-with-body", "show-error"))}
"""Files with which the scripts in the nodes' pods log in: the role, and curl's further options."""


class Elasticsearch(pulumi.ComponentResource):
    """Elasticsearch: the StatefulSet `elasticsearch`, each node with a volume, and two Services.

    - `elasticsearch`, for the app: HTTPS, with a certificate of the stack's authority. `elasticsearch-members`, for the nodes: TLS as well.
    - The app's account may do everything with indices and templates, and nothing with the cluster; there is no superuser at all.
    - Java's heap is half of the memory unless said otherwise; files are mapped only on nodes that are prepared for it.
    - A node is ready when it has joined and, after a start, when the cluster is green, or nothing is on its way any more: a rolling update
      waits for that. Before a node of several stops, the others are told to wait five minutes for it before they copy its shards.
    - With `snapshots` a CronJob takes one of all indices at set times; restore.sh in a node's pod brings indices back.
    - Members are added by raising `members`. Before there are fewer, their shards must be moved away and their votes taken, by hand.
    """

    endpoint: Endpoint
    """The nodes, the app's account and password; the account of the generation before it is accepted until it is revoked."""
    ready: Sequence[pulumi.Resource]
    """What has waited until every node lets the current generation of accounts in; empty for the first one."""
    monitor: Endpoint
    """The same nodes, with an account that reads figures and no documents: what an exporter logs in with."""
    watch: Watch
    """What its rules expect; its figures are an exporter's."""

    def __init__(
        self,
        name: str,
        args: settings.Elasticsearch,
        site: Site,
        authority: CertificateAuthority,
        secrets: Secrets,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the nodes that `args` describe."""
        super().__init__("switchyard:index:Elasticsearch", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        roles = [APP, MONITOR, OPERATOR, *([SNAPSHOTS] if args.snapshots else [])]
        accounts = Accounts(name, args, roles, child)
        logins, renewed = _accounts(site, accounts, child)
        made = config_map(COMPONENT, COMPONENT, site, files(args, site), child)
        repository = snapshots.kept_volumes(name, args, site, child) | snapshots.keystore(name, args, site, secrets, child)
        volumes = [
            from_config("files", made),
            from_secret("accounts", logins),
            from_secret("tls", authority.server_secret(name, COMPONENT, certificate_names(site), site, child, uses=MEMBER_USES)),
            empty_dir("config", "16Mi"),
            empty_dir("tmp", args.resources.scratch),
            *repository.values(),
        ]
        pod = Pod(
            component=COMPONENT,
            containers=[_container(args, site, list(repository))],
            volumes=volumes,
            annotations={VERSION_ANNOTATION: args.version},
            grace_seconds=GRACE_SECONDS,
            placement=args.placement,
        )
        claims = [claim("data", args.volume, site)]
        within = f"{args.members * RESTART_MINUTES}m"
        timeouts = pulumi.CustomTimeouts(create=within, update=within, delete="5m")
        kept = keeping_claims(child)
        nodes = stateful_set(name, pod, site, kept, replicas=args.members, service_name=MEMBERS, claims=claims, timeouts=timeouts)
        service(f"{name}-members", MEMBERS, COMPONENT, site, {"transport": (TRANSPORT, TRANSPORT)}, child, headless=True)
        service(name, COMPONENT, COMPONENT, site, {"https": (HTTP, HTTP)}, child)
        network.among_members(name, COMPONENT, site, [TRANSPORT], child)
        network.admit_clients(name, COMPONENT, site, [HTTP], child)
        self.endpoint = _endpoint(accounts.current(APP), args, authority)
        self.monitor = _endpoint(accounts.current(MONITOR), args, authority)
        self.ready = _rotated(name, accounts.current(APP), self.endpoint, args, site, [nodes, renewed], child)
        if args.snapshots:
            snapshots.Schedule(f"{name}-snapshots", args, args.snapshots, site, self.endpoint, made, accounts, child)
        low = settings.kept_free("low", bytes_of(args.volume.size))
        facts = (expected(COMPONENT, args.members), fact("switchyard:elasticsearch_disk_low_bytes", COMPONENT, low))
        self.watch = Watch(rules=rules(COMPONENT), expectations=facts)
        self.register_outputs({"host": self.endpoint.host})


def certificate_names(site: Site) -> list[str]:
    """Return the names that the nodes' certificate is valid for."""
    return [COMPONENT, f"{COMPONENT}.{site.namespace}", f"{COMPONENT}.{site.namespace}.svc", "localhost"]


def _accounts(site: Site, accounts: Accounts, opts: pulumi.ResourceOptions) -> tuple[str, pulumi.Resource]:
    """Make the Secret with the accounts and the scripts' logins, and return its name and itself."""
    values = {"users": accounts.users, "users_roles": accounts.users_roles}
    logins = {file: accounts.current(role).login(*options) for file, (role, options) in LOGINS.items()}
    return renewed_secret(COMPONENT, COMPONENT, site, {**values, **logins}, [list(accounts.by_role), LOGINS], opts)


def _rotated(
    name: str,
    account: Account,
    endpoint: Endpoint,
    args: settings.Elasticsearch,
    site: Site,
    after: Sequence[pulumi.Resource],
    opts: pulumi.ResourceOptions,
) -> list[pulumi.Resource]:
    """Wait for each node by itself: each reads its accounts from a file of its own."""
    login: dict[str, pulumi.Input[str]] = {
        "curl": account.login("fail", "max-time = 5", ca_file=f"{LOGIN}/ca.crt"),
        "ca.crt": endpoint.ca or "",
    }
    ask = f"curl --config {LOGIN}/curl --output /dev/null"
    # The certificate names the Service; a node is dialled by its own name.
    test = " && ".join(
        f"{ask} --connect-to {COMPONENT}:{HTTP}:{node}.{MEMBERS}:{HTTP} https://{COMPONENT}:{HTTP}/_security/_authenticate"
        for node in members(args)
    )
    placement = args.placement
    return waiting(name, COMPONENT, args.image, test, login, endpoint, args.rotation, site, opts, after=after, placement=placement)


def _endpoint(account: Account, args: settings.Elasticsearch, authority: CertificateAuthority) -> Endpoint:
    return Endpoint(
        service=COMPONENT,
        host=COMPONENT,
        port=HTTP,
        user=account.user,
        password=account.password,
        tls="verify-full",
        ca=authority.certificate,
        version=args.version,
        fingerprint=str(args.rotation),
    )


def _container(args: settings.Elasticsearch, site: Site, repository: list[str]) -> core.v1.ContainerArgs:
    first = ",".join(members(args)) if args.members > 1 else ""
    kept = {path: volume for path, volume in ((REPOSITORY, "snapshots"), (snapshots.KEYSTORE, "keystore")) if volume in repository}
    alive, ready, stop = (["sh", f"/etc/elasticsearch/{script}.sh"] for script in ("alive", "ready", "stop"))
    return container(
        COMPONENT,
        site.image(args.image),
        site,
        args.resources,
        command=["sh", "/etc/elasticsearch/start.sh"],
        env={"FIRST_MEMBERS": first, "ES_TMPDIR": "/tmp"},
        ports={"https": HTTP, "transport": TRANSPORT},
        mounts={
            "/etc/elasticsearch": "files",
            "/run/secrets/elasticsearch": "accounts",
            "/run/secrets/elasticsearch-tls": "tls",
            f"{HOME}/config": "config",
            f"{HOME}/data": "data",
            f"{HOME}/logs": "tmp/logs",
            "/tmp": "tmp/tmp",
            **kept,
        },
        read_only=["/etc/elasticsearch", "/run/secrets/elasticsearch", "/run/secrets/elasticsearch-tls", snapshots.KEYSTORE],
        probes={
            "startup_probe": probes.command(alive, within_seconds=START_WITHIN_SECONDS),
            "liveness_probe": probes.command(alive),
            "readiness_probe": probes.command(ready),
        },
        prestop=stop if args.members > 1 else None,
    )
