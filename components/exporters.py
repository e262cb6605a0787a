"""Exporters: small programs that ask a server for its figures and tell them to Prometheus. They know a server by its endpoint alone."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import pulumi

from components.endpoints import Endpoint
from components.exporter import CA_FILE, CONFIG, PASSWORD, Exporter, run
from components.kube.configuration import config_map
from components.site import Site
from components.watch import Expectation, Scrape, Watch, fact, members, rules
from settings.metrics import Metrics

POSTGRES_PORT, REDIS_PORT, SIDEKIQ_PORT, ELASTICSEARCH_PORT = 9187, 9121, 9122, 9114
FILES = Path(__file__).parent / "files" / "exporters"

_UNUSED_SETTINGS = (
    # Of the server's 350 settings two are compared with what is measured.
    {
        "source_labels": ["__name__"],
        "regex": "pg_settings_(max_connections|archive_mode)",
        "target_label": "__tmp_used",
        "replacement": "1",
    },
    {"source_labels": ["__tmp_used", "__name__"], "regex": ";pg_settings_.*", "action": "drop"},
)


class PostgresExporter(pulumi.ComponentResource):
    """The Deployment `postgres-exporter`. It logs in as `monitor` where the stack runs Postgres, and as the app does where it does not."""

    watch: Watch

    def __init__(self, name: str, endpoint: Endpoint, args: Metrics, site: Site, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the exporter of the server at `endpoint`."""
        super().__init__("switchyard:index:PostgresExporter", name, None, opts)
        env = {"DATA_SOURCE_URI": postgres_uri(endpoint), "DATA_SOURCE_USER": endpoint.user}
        if endpoint.password is not None:
            env["DATA_SOURCE_PASS_FILE"] = PASSWORD
        # What it tells of each table's pages would be most of all, and nobody asks.
        command = [
            "prometheus-postgres-exporter",
            "--config.file=/dev/null",
            f"--web.listen-address=:{POSTGRES_PORT}",
            "--no-collector.statio_user_tables",
        ]
        exporter = Exporter(name=name, port=POSTGRES_PORT, command=command, resources=args.exporters, env=env)
        run(self, name, [exporter], args, site, endpoint)
        scrape = Scrape(job="postgres", component=name, port=POSTGRES_PORT, about=endpoint.service, relabel=_UNUSED_SETTINGS)
        self.watch = Watch(rules=rules("postgres-exporter"), scrapes=(scrape,), expectations=_expected(name, endpoint))
        self.register_outputs({})


class RedisExporter(pulumi.ComponentResource):
    """The Deployment `redis-<instance>-exporter`; where Sidekiq keeps its jobs there, with a second container that tells of them."""

    watch: Watch

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        queues: Sequence[str] | None,
        args: Metrics,
        site: Site,
        opts: pulumi.ResourceOptions | None = None,
        *,
        keeps_jobs: bool = True,
    ) -> None:
        """Make the exporter of the server at `endpoint`; `queues` are Sidekiq's, None where its jobs are elsewhere.

        `keeps_jobs` is false of a cache, which may be full, and which the product can do without for a while.
        """
        super().__init__("switchyard:index:RedisExporter", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        exporters = [_redis(endpoint, args)]
        scrapes = [Scrape(job="redis", component=name, port=REDIS_PORT, about=endpoint.service)]
        config = None
        if queues is not None:
            exporters.append(_sidekiq(endpoint, queues, args))
            config = config_map(name, name, site, {"sidekiq.py": (FILES / "sidekiq.py").read_text()}, child)
            scrapes.append(Scrape(job="sidekiq", component=name, port=SIDEKIQ_PORT, about="sidekiq"))
        run(self, name, exporters, args, site, endpoint, config)
        files = rules("redis-exporter", *(["sidekiq-exporter"] if queues is not None else []))
        kept = (fact("switchyard:keeps_jobs", endpoint.service),) if keeps_jobs else ()
        self.watch = Watch(rules=files, scrapes=tuple(scrapes), expectations=(*_expected(name, endpoint), *kept))
        self.register_outputs({})


class ElasticsearchExporter(pulumi.ComponentResource):
    """The Deployment `elasticsearch-exporter`: health, heap, disk and snapshots of all nodes, and of no index by itself."""

    watch: Watch

    def __init__(self, name: str, endpoint: Endpoint, args: Metrics, site: Site, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the exporter of the nodes at `endpoint`."""
        super().__init__("switchyard:index:ElasticsearchExporter", name, None, opts)
        exporter = Exporter(
            name=name,
            port=ELASTICSEARCH_PORT,
            command=["bash", "-c", elasticsearch_command(endpoint)],
            resources=args.exporters,
            env={"ES_USERNAME": endpoint.user} if endpoint.user else {},
        )
        run(self, name, [exporter], args, site, endpoint)
        scrape = Scrape(job="elasticsearch", component=name, port=ELASTICSEARCH_PORT, about=endpoint.service)
        self.watch = Watch(rules=rules("elasticsearch-exporter"), scrapes=(scrape,), expectations=_expected(name, endpoint))
        self.register_outputs({})


def _expected(name: str, endpoint: Endpoint) -> tuple[Expectation, ...]:
    """Return that the exporter is there, and which server it is to tell of."""
    return (members(name, 1), fact("switchyard:asked", endpoint.service))


def postgres_uri(endpoint: Endpoint) -> str:
    """Return host, database and TLS mode as the exporter's driver takes them: it knows no `prefer`."""
    mode = "disable" if endpoint.tls == "prefer" else endpoint.tls
    root = f"&sslrootcert={CA_FILE}" if endpoint.ca is not None else ""
    return f"{endpoint.place()}{endpoint.path or '/'}?sslmode={mode}{root}"


def redis_address(endpoint: Endpoint) -> str:
    """Return the server's address as the exporter takes it."""
    return f"{endpoint.scheme('redis', 'rediss')}://{endpoint.place()}"


MASKED = "exec sed --unbuffered 's#://\\([^:/@ ]*\\):[^@ ]*@#://\\1:***@#g'"
"""A filter for bash that takes passwords out of addresses."""


def with_password(variable: str, endpoint: Endpoint, words: Sequence[str], into: str = "") -> str:
    """Return a shell command for a program that takes its password from the environment, which gets it from a file.

    `words` are quoted, because accounts and paths are what somebody else's server has them be; `into` is a redirection.
    """
    login = f'export {variable}="$(cat {PASSWORD})"; ' if endpoint.password is not None else ""
    return f"{login}exec {shlex.join(words)}{f' {into}' if into else ''}"


def elasticsearch_command(endpoint: Endpoint) -> str:
    """Return the shell command of the exporter."""
    words = [
        "prometheus-elasticsearch-exporter",
        f"--web.listen-address=:{ELASTICSEARCH_PORT}",
        f"--es.uri={endpoint.scheme('http', 'https')}://{endpoint.place()}{endpoint.path}",
        "--es.all",
        "--es.timeout=7s",
    ]
    # It would ask for them beside the path, where something else may answer.
    words += ["--collector.snapshots"] if not endpoint.path else []
    words += [f"--es.ca={CA_FILE}"] if endpoint.ca is not None else []
    words += ["--es.ssl-skip-verify"] if endpoint.tls == "require" else []
    # It writes the address with the password in it into its log when a question fails.
    return with_password("ES_PASSWORD", endpoint, words, into=f"&> >({MASKED})")


def _redis(endpoint: Endpoint, args: Metrics) -> Exporter:
    # The command CONFIG is forbidden to the app's account, and tells nothing that INFO does not.
    words = ["prometheus-redis-exporter", f"-redis.addr={redis_address(endpoint)}", "-config-command=-"]
    words += [f"-redis.user={endpoint.user}"] if endpoint.user else []
    words += [f"-tls-ca-cert-file={CA_FILE}"] if endpoint.ca is not None else []
    words += ["-skip-tls-verification"] if endpoint.tls == "require" else []
    command = ["sh", "-c", with_password("REDIS_PASSWORD", endpoint, words)]
    return Exporter(name="redis-exporter", port=REDIS_PORT, command=command, resources=args.exporters)


def _sidekiq(endpoint: Endpoint, queues: Sequence[str], args: Metrics) -> Exporter:
    env = {
        "PORT": str(SIDEKIQ_PORT),
        "REDIS_HOST": endpoint.host,
        "REDIS_PORT": str(endpoint.port),
        "REDIS_USER": endpoint.user,
        "REDIS_DATABASE": endpoint.database,
        "REDIS_TLS": endpoint.tls,
        "SIDEKIQ_QUEUES": ",".join(queues),
        # Nothing can be written beside the modules.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    env |= {"REDIS_PASSWORD_FILE": PASSWORD} if endpoint.password is not None else {}
    env |= {"REDIS_CA_FILE": CA_FILE} if endpoint.ca is not None else {}
    return Exporter(
        name="sidekiq-exporter",
        port=SIDEKIQ_PORT,
        command=["python3", f"{CONFIG}/sidekiq.py"],
        resources=args.sidekiq,
        env=env,
        # Every path tells metrics; this one the program's own, for which it does not ask Redis.
        path="/?name%5B%5D=python_info",
    )
