"""Postgres under Patroni: one server, or several of which one is the primary and another takes over when it fails."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pulumi
import yaml
from pulumi_kubernetes import rbac

from components.endpoints import Endpoint
from components.kube import network, passwords, probes, workload
from components.kube.configuration import config_map, renewed_secret
from components.kube.rights import account, rule
from components.patroni import DIRECTORY, PORT, REST_PORT, SCOPE, SOCKETS, VOLUME, configuration, passwords_document, shared_memory
from components.rotation import LOGIN, waiting
from components.site import Site
from components.watch import Scrape, Watch, members, rules
from settings import backing

COMPONENT = "postgres"
MEMBERS_SERVICE = "postgres-members"
FILES = Path(__file__).parent / "files" / "postgres"
GRACE_SECONDS = 90
"""A shutdown writes a checkpoint, and a standby must receive its end before it may take over."""
START_WITHIN = 120
"""Seconds until Patroni must answer; taking the volume from a killed predecessor and asking the API server come first."""
ACCOUNTS = ("superuser", "replication", "rewind", "rest", "app", "monitor")
MONITOR = "monitor"
"""What exporters log in as; each generation of passwords has a login of its own, as the app's has."""
PATRONI_OBJECTS = [f"{SCOPE}-{kind}" for kind in ("config", "leader", "failover", "sync", "failsafe")]
"""The ConfigMaps that Patroni keeps its state in. They are not Pulumi's: never delete them while the claims live."""


class Postgres(pulumi.ComponentResource):
    """Patroni with Kubernetes as its store: a StatefulSet, a volume for each member, the app's role and database.

    The Service `postgres` leads to the primary alone. Changed settings reach the running cluster with the rolling update that they cause:
    each pod's `start.py` writes them before it starts its server. Changed passwords reach it as it runs: `accounts.py` takes them.
    """

    endpoint: Endpoint
    """The app's database. Each generation of its password has a login of its own; the one before works until it is revoked."""
    monitor: Endpoint
    """The same database, with an account that reads figures and no rows of the app's: what an exporter logs in with."""
    watch: Watch
    """Patroni's own figures, and how many members there are; those of the server are an exporter's."""
    ready: Sequence[pulumi.Resource]
    """Made once every member is ready, and lets the current login in: what needs the database, a migration above all, comes after it."""

    def __init__(self, name: str, args: backing.Postgres, site: Site, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchyard:index:Postgres", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        current = {user: passwords.password(f"{name}-{user}", args.rotation, child) for user in ACCOUNTS}

        config = config_map("postgres", COMPONENT, site, files(args), child)
        keys, renewed = _passwords(args, site, current, child)
        rights = account(name, COMPONENT, site, _rules(args.members), child)
        workload.service(name, "postgres", COMPONENT, site, {"postgres": (PORT, PORT)}, child, selector={"role": "primary"})
        ports = {"postgres": (PORT, PORT), "patroni": (REST_PORT, REST_PORT)}
        workload.service(f"{name}-members", MEMBERS_SERVICE, COMPONENT, site, ports, child, headless=True)
        network.admit_clients(name, COMPONENT, site, [PORT], child)
        network.among_members(name, COMPONENT, site, [PORT, REST_PORT], child)
        network.to_api_server(name, COMPONENT, site, child)
        made = workload.stateful_set(
            name,
            _pod(args, site, config, keys),
            site,
            workload.keeping_claims(pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[rights]))),
            replicas=args.members,
            service_name=MEMBERS_SERVICE,
            claims=[workload.claim("data", args.volume, site)],
        )
        self.endpoint = Endpoint(
            service=COMPONENT,
            host="postgres",
            port=PORT,
            user=login(args),
            password=current["app"],
            database=args.database,
            tls="prefer",
            version=str(args.major),
            fingerprint=str(args.rotation),
        )
        self.ready = [made, *_rotated(name, self.endpoint, args, site, [made, renewed], child)]
        self.monitor = replace(self.endpoint, user=passwords.account(MONITOR, args.rotation), password=current[MONITOR])
        self.watch = Watch(
            rules=rules(COMPONENT),
            scrapes=(Scrape(job="patroni", component=COMPONENT, port=REST_PORT),),
            expectations=(members(COMPONENT, args.members),),
        )
        self.register_outputs({"host": self.endpoint.host})


def login(args: backing.Postgres, generation: int | None = None) -> str:
    """Return the name that the app logs in by: the database's owner, and from the second generation on one of its own."""
    generation = generation or args.rotation
    return args.database if generation == 1 else f"{args.database[:57]}_{generation}"


def logins(args: backing.Postgres) -> dict[str, str]:
    """Return the files that say which generations of logins there are. They are beside the passwords, with which they change."""
    before = args.accepted[1:]
    revoked = [name for old in args.dropped for name in (login(args, old), passwords.account(MONITOR, old))] if args.rotation > 1 else []
    return {
        "login": login(args),
        "monitor-login": passwords.account(MONITOR, args.rotation),
        "login-before": "".join(login(args, one) for one in before),
        "monitor-before": "".join(passwords.account(MONITOR, one) for one in before),
        "revoked": ",".join(revoked),
    }


def files(args: backing.Postgres) -> dict[str, str]:
    """Return the members' configuration and scripts, as files of one directory."""
    scripts = {path.name: path.read_text() for path in sorted(FILES.iterdir()) if path.suffix in {".py", ".sql"}}
    text = yaml.safe_dump(configuration(args), sort_keys=False)
    return {"10-patroni.yml": text, "owner": args.database, **scripts}


def _passwords(
    args: backing.Postgres, site: Site, current: dict[str, pulumi.Output[str]], opts: pulumi.ResourceOptions
) -> tuple[str, pulumi.Resource]:
    """Make the Secret with the passwords and who logs in with them; return its name and itself."""
    values: dict[str, pulumi.Input[str]] = {user: current[user] for user in ACCOUNTS if user != "rest"}
    values["20-passwords.yml"] = pulumi.Output.all(**current).apply(passwords_document)
    return renewed_secret("postgres-passwords", COMPONENT, site, values | logins(args), args.database, opts)


def _rotated(
    name: str, endpoint: Endpoint, args: backing.Postgres, site: Site, after: Sequence[pulumi.Resource], opts: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    """Wait until the primary knows the app's current login."""
    address = f"host={endpoint.host} user={endpoint.user} dbname={endpoint.database} connect_timeout=3"
    test = f'PGPASSWORD=$(cat {LOGIN}/password) psql -X -q -w -o /dev/null -d "{address}" -c "SELECT 1"'
    login = {"password": endpoint.password or pulumi.Output.secret("")}
    placement = args.placement
    return waiting(name, COMPONENT, "postgres", test, login, endpoint, args.rotation, site, opts, after=after, placement=placement)


def _pod(args: backing.Postgres, site: Site, config: str, keys: str) -> workload.Pod:
    container = workload.container(
        "postgres",
        site.image("postgres"),
        site,
        args.resources,
        command=["python3", f"{DIRECTORY}/start.py"],
        env={"PATRONICTL_CONFIG_FILE": DIRECTORY, "HOME": "/tmp"},
        env_fields={
            "PATRONI_NAME": "metadata.name",
            "PATRONI_KUBERNETES_NAMESPACE": "metadata.namespace",
            "PATRONI_KUBERNETES_POD_IP": "status.podIP",
        },
        ports={"postgres": PORT, "patroni": REST_PORT},
        mounts={VOLUME: "data", DIRECTORY: "config", SOCKETS: "sockets", "/tmp": "tmp", "/dev/shm": "shared-memory"},
        read_only=[DIRECTORY],
        probes={
            "startup_probe": probes.http("/liveness", REST_PORT, within_seconds=START_WITHIN),
            "liveness_probe": probes.http("/liveness", REST_PORT),
            "readiness_probe": probes.http("/readiness", REST_PORT),
        },
    )
    return workload.Pod(
        component=COMPONENT,
        containers=[container],
        volumes=[
            workload.projected("config", config, keys),
            # In memory: Patroni writes the replication password there.
            workload.empty_dir("sockets", "16Mi", memory=True),
            workload.empty_dir("tmp", "64Mi"),
            workload.empty_dir("shared-memory", str(shared_memory(args)), memory=True),
        ],
        labels={"cluster-name": SCOPE},
        grace_seconds=GRACE_SECONDS,
        service_account=COMPONENT,
        token=True,
        placement=args.placement,
    )


def _rules(members: int) -> list[rbac.v1.PolicyRuleArgs]:
    """Return Patroni's rights. It may change its own ConfigMaps and pods alone; making and listing can not be narrowed to names."""
    return [
        rule("", ["configmaps"], ["create", "list", "watch"]),
        rule("", ["configmaps"], ["get", "patch", "update"], PATRONI_OBJECTS),
        rule("", ["pods"], ["list", "watch"]),
        rule("", ["pods"], ["get", "patch", "update"], [f"{COMPONENT}-{number}" for number in range(members)]),
    ]
