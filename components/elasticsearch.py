"""Elasticsearch: one node or several, with TLS and passwords on."""

import json
from pathlib import Path
from typing import Any

import pulumi
from pulumi_kubernetes import core

from components.certificates import MEMBER_USES, CertificateAuthority
from components.elasticsearch_accounts import APP, MONITOR, Account, Accounts
from components.endpoints import Endpoint
from components.kube import network, probes
from components.kube.configuration import config_map, secret
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
from components.site import Site
from components.watch import Watch, rules
from components.watch import members as expected
from settings import backing
from settings.types import bytes_of

COMPONENT = "elasticsearch"
MEMBERS = "elasticsearch-members"
HTTP, TRANSPORT = 9200, 9300
HOME = "/usr/share/elasticsearch"
FILES = Path(__file__).parent / "files" / "elasticsearch"
START_WITHIN_SECONDS = 600
"""A node reads its indices' state before it answers."""
GRACE_SECONDS = 120
"""A node that stops writes what it holds, and hands its shards over."""

LOGINS = {"probe": (MONITOR, ("fail", "max-time = 4"))}
"""Files with which the scripts in the nodes' pods log in: the role, and curl's further options."""


class Elasticsearch(pulumi.ComponentResource):
    """Elasticsearch: the StatefulSet `elasticsearch`, each node with a volume, and two Services.

    - `elasticsearch`, for the app: HTTPS, with a certificate of the stack's authority. `elasticsearch-members`, for the nodes: TLS as well.
    - The app's account may do everything with indices and templates, and nothing with the cluster; there is no superuser at all.
    - Java's heap is half of the memory unless said otherwise; files are not mapped, so nodes need no vm.max_map_count.
    - A node is ready when it has joined and, after a start, when no shard is on its way any more: a rolling update waits for that.
    - Members are added by raising `members`. Before there are fewer, their shards must be moved away and their votes taken, by hand.
    """

    endpoint: Endpoint
    """The nodes, the app's account and password; the account of the generation before it is still accepted."""
    monitor: Endpoint
    """The same nodes, with an account that reads figures and no documents: what an exporter logs in with."""
    watch: Watch
    """What its rules expect; its figures are an exporter's."""

    def __init__(
        self,
        name: str,
        args: backing.Elasticsearch,
        site: Site,
        authority: CertificateAuthority,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the nodes that `args` describe."""
        super().__init__("switchyard:index:Elasticsearch", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        accounts = Accounts(name, args.rotation, [APP, MONITOR], child)
        volumes = [
            from_config("files", config_map(COMPONENT, COMPONENT, site, files(args, site), child)),
            from_secret("accounts", _accounts(site, args, accounts, child)),
            from_secret("tls", authority.server_secret(name, COMPONENT, certificate_names(site), site, child, uses=MEMBER_USES)),
            empty_dir("config", "16Mi"),
            empty_dir("tmp", args.resources.scratch),
        ]
        pod = Pod(
            component=COMPONENT,
            containers=[_container(args, site)],
            volumes=volumes,
            grace_seconds=GRACE_SECONDS,
            placement=args.placement,
        )
        claims = [claim("data", args.volume, site)]
        stateful_set(name, pod, site, keeping_claims(child), replicas=args.members, service_name=MEMBERS, claims=claims)
        service(f"{name}-members", MEMBERS, COMPONENT, site, {"transport": (TRANSPORT, TRANSPORT)}, child, headless=True)
        service(name, COMPONENT, COMPONENT, site, {"https": (HTTP, HTTP)}, child)
        network.among_members(name, COMPONENT, site, [TRANSPORT], child)
        network.admit_clients(name, COMPONENT, site, [HTTP], child)
        self.endpoint = _endpoint(accounts.current(APP), args, authority)
        self.monitor = _endpoint(accounts.current(MONITOR), args, authority)
        self.watch = Watch(rules=rules(COMPONENT), expectations=(expected(COMPONENT, args.members),))
        self.register_outputs({"host": self.endpoint.host})


def heap_bytes(args: backing.Elasticsearch) -> int:
    """Return Java's heap: what is said, or half of the memory, at most ELASTICSEARCH_LARGEST_HEAP."""
    return bytes_of(args.heap) if args.heap else min(bytes_of(args.resources.memory) // 2, backing.ELASTICSEARCH_LARGEST_HEAP)


def members(args: backing.Elasticsearch) -> list[str]:
    """Return the nodes' names, which are those of their pods."""
    return [f"{COMPONENT}-{number}" for number in range(args.members)]


def files(args: backing.Elasticsearch, site: Site) -> dict[str, str]:
    """Return the nodes' configuration, their accounts' roles and the scripts."""
    shipped = {path.name: path.read_text() for path in sorted(FILES.iterdir())}
    heap = heap_bytes(args) // 2**20
    return {**shipped, "jvm.options": f"{shipped['jvm.options']}-Xms{heap}m\n-Xmx{heap}m\n", "elasticsearch.yml": configuration(args, site)}


def configuration(args: backing.Elasticsearch, site: Site) -> str:
    """Return elasticsearch.yml."""
    alone = args.members == 1
    seeds = [f"{member}.{MEMBERS}:{TRANSPORT}" for member in members(args)]
    ssl = {"enabled": True, "key": "tls.key", "certificate": "tls.crt", "certificate_authorities": ["ca.crt"]}
    said: dict[str, Any] = {
        "cluster.name": f"{site.product}-{site.stack}",
        "node.name": "${HOSTNAME}",
        "network.host": "0.0.0.0",
        **({"discovery.type": "single-node"} if alone else {"discovery.seed_hosts": seeds}),
        # Mapping files would need vm.max_map_count of the machine.
        "node.store.allow_mmap": False,
        "xpack.security.enabled": True,
        "xpack.security.autoconfiguration.enabled": False,
        "xpack.security.enrollment.enabled": False,
        # Accounts are those of the file alone: no `elastic` whose password would have to be set.
        "xpack.security.authc.reserved_realm.enabled": False,
        "xpack.security.authc.realms.file.accounts.order": 0,
        **{f"xpack.security.http.ssl.{key}": value for key, value in ssl.items()},
        **{f"xpack.security.transport.ssl.{key}": value for key, value in ssl.items()},
        # Nodes dial each other by address; that the stack's authority signed the certificate is what counts.
        "xpack.security.transport.ssl.verification_mode": "certificate",
    }
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in said.items())


def certificate_names(site: Site) -> list[str]:
    """Return the names that the nodes' certificate is valid for."""
    return [COMPONENT, f"{COMPONENT}.{site.namespace}", f"{COMPONENT}.{site.namespace}.svc", "localhost"]


def _accounts(site: Site, args: backing.Elasticsearch, accounts: Accounts, opts: pulumi.ResourceOptions) -> str:
    """Make the Secret with the accounts and the scripts' logins, and return its name."""
    values = {"users": accounts.users, "users_roles": accounts.users_roles}
    logins = {file: accounts.current(role).login(*options) for file, (role, options) in LOGINS.items()}
    return secret(COMPONENT, COMPONENT, site, {**values, **logins}, [args.rotation, accounts.users_roles, LOGINS], opts)


def _endpoint(account: Account, args: backing.Elasticsearch, authority: CertificateAuthority) -> Endpoint:
    return Endpoint(
        service=COMPONENT,
        host=COMPONENT,
        port=HTTP,
        user=account.user,
        password=account.password,
        tls="verify-full",
        ca=authority.certificate,
        fingerprint=str(args.rotation),
    )


def _container(args: backing.Elasticsearch, site: Site) -> core.v1.ContainerArgs:
    first = ",".join(members(args)) if args.members > 1 else ""
    alive, ready = (["sh", f"/etc/elasticsearch/{script}.sh"] for script in ("alive", "ready"))
    return container(
        COMPONENT,
        site.image("elasticsearch"),
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
        },
        read_only=["/etc/elasticsearch", "/run/secrets/elasticsearch", "/run/secrets/elasticsearch-tls"],
        probes={
            "startup_probe": probes.command(alive, within_seconds=START_WITHIN_SECONDS),
            "liveness_probe": probes.command(alive),
            "readiness_probe": probes.command(ready),
        },
    )
