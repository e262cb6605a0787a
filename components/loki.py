"""Loki: the lines of the stack's containers, kept for a while and found by label, text and time."""

from dataclasses import dataclass, field

import pulumi
import yaml
from pulumi_kubernetes import core

from components.kube import network, probes, workload
from components.kube.configuration import config_map, secret
from components.site import CLIENT_LABEL, Secrets, Site
from components.watch import Scrape, Watch, members, rules
from settings import logs
from settings.quantities import bytes_of, seconds_of

COMPONENT = "loki"
HTTP, GRPC = 3100, 9095
DATA = "/loki"
DIRECTORY = "/etc/loki"
KEYS = "/run/secrets/loki"
START_WITHIN_SECONDS = 300
"""It reads its write-ahead log before it answers; at most the memory's worth of lines."""
GRACE_SECONDS = 60
MEBI = 2**20
LABELS = ("component", "container", "level")
"""What lines are found by without being read. All else (pod, node, the stream's name) is kept beside each line."""


@dataclass(frozen=True, kw_only=True)
class LogStore:
    """Where the stack's lines are found."""

    url: str
    """The Loki's address inside the cluster."""
    tenant: str
    """What the header X-Scope-OrgID must say: the stack's namespace."""
    client_labels: dict[str, str] = field(default_factory=lambda: {f"{CLIENT_LABEL}{COMPONENT}": "true"})
    """The labels of a pod that may ask it."""


class Loki(pulumi.ComponentResource):
    """One Loki, the StatefulSet `loki`: every role in one process, a volume, and a Service on port 3100.

    - Lines come over OTLP from the cluster's collector, with the tenant that is their namespace; without one nothing is taken or told.
    - The compactor deletes what is older than the retention; nobody can delete by asking.
    - What the server has confirmed is in its write-ahead log: killed, it goes on with all of it. It is one: while it is away the
      collectors wait, and keep what comes in the meantime.
    - A stream that comes too fast is refused until it is slower, others are not; a long line is cut. Both are counted:
      loki_discarded_samples_total, loki_mutated_samples_total.
    """

    store: LogStore
    """For those who ask it."""
    watch: Watch
    """Its own metrics."""

    def __init__(self, name: str, args: logs.Logs, site: Site, secrets: Secrets, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the Loki that `args` describe."""
        super().__init__("switchyard:index:Loki", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        config = config_map(COMPONENT, COMPONENT, site, {"loki.yaml": configuration(args)}, child)
        keys = _keys(args, site, secrets, child)
        workload.stateful_set(
            name,
            _pod(args, site, config, keys),
            site,
            workload.keeping_claims(child),
            replicas=1,
            service_name=workload.governing_service(name, COMPONENT, site, {"http": (HTTP, HTTP)}, child),
            claims=[workload.claim("data", args.volume, site)],
        )
        workload.service(name, COMPONENT, COMPONENT, site, {"http": (HTTP, HTTP)}, child)
        network.admit_clients(name, COMPONENT, site, [HTTP], child)
        collector = network.pods_of_namespace(logs.CLUSTER_NAMESPACE, {"app.kubernetes.io/component": logs.COLLECTOR})
        others = [network.pods_of_namespace(other, {f"{CLIENT_LABEL}{COMPONENT}": "true"}) for other in args.shared_with]
        network.allow_in(f"{name}-collector-in", COMPONENT, site, [collector, *others], [HTTP], child)
        if store := args.object_store:
            peers = [network.without_metadata(cidr) for cidr in store.ranges]
            network.allow_out(f"{name}-store-out", COMPONENT, site, site.selector(COMPONENT), peers, [store.port], child)
        self.store = LogStore(url=f"http://{COMPONENT}:{HTTP}", tenant=site.namespace)
        self.watch = Watch(
            rules=rules(COMPONENT),
            scrapes=(Scrape(job=COMPONENT, component=COMPONENT, port=HTTP),),
            expectations=(members(COMPONENT, 1),),
        )
        self.register_outputs({"url": self.store.url})


def collected(namespace: str) -> Watch:
    """Return what the cluster's collector tells of the lines of one namespace; of the others' nothing is kept."""
    lane = rf"(?:otlp_http/{namespace}\.(.+);|;file_log/{namespace}\.(.+))"
    own = ["exporter", "receiver"]
    return Watch(
        rules=rules(logs.COLLECTOR),
        scrapes=(
            Scrape(
                job=logs.COLLECTOR,
                component=logs.COLLECTOR,
                port=logs.COLLECTOR_METRICS,
                namespace=logs.CLUSTER_NAMESPACE,
                relabel=(
                    {"source_labels": own, "regex": lane, "action": "keep"},
                    {"source_labels": own, "regex": lane, "target_label": "component", "replacement": "$1$2"},
                ),
            ),
        ),
    )


def shared(name: str, namespace: str, site: Site, opts: pulumi.ResourceOptions) -> LogStore:
    """Make the policy that lets the stack's own Grafana reach another stack's Loki, and return where that is."""
    there = network.pods_of_namespace(namespace, {"app.kubernetes.io/component": COMPONENT})
    made = LogStore(url=f"http://{COMPONENT}.{namespace}.svc:{HTTP}", tenant=site.namespace)
    network.allow_out(f"{name}-shared-out", COMPONENT, site, made.client_labels, [there], [HTTP], opts)
    return made


def configuration(args: logs.Logs) -> str:
    """Return loki.yaml."""
    store = "s3" if args.object_store else "filesystem"
    said = {
        # Every question and every line names its tenant: Lokis are shared by stacks of different people.
        "auth_enabled": True,
        "analytics": {"reporting_enabled": False},
        "server": {
            "http_listen_port": HTTP,
            "grpc_listen_port": GRPC,
            "log_level": "warn",
            # What a batch of lines that were cut at 1 MiB each may have.
            "grpc_server_max_recv_msg_size": 16 * MEBI,
            "grpc_server_max_send_msg_size": 16 * MEBI,
        },
        "common": {
            "path_prefix": DATA,
            "instance_addr": "127.0.0.1",
            "replication_factor": 1,
            "ring": {"kvstore": {"store": "inmemory"}},
            "storage": _storage(args),
        },
        "schema_config": {
            "configs": [
                {
                    "from": "2026-01-01",
                    "store": "tsdb",
                    "object_store": store,
                    "schema": "v13",
                    "index": {"prefix": "index_", "period": "24h"},
                }
            ]
        },
        "ingester": _ingester(args),
        "compactor": {
            "working_directory": f"{DATA}/compactor",
            "compaction_interval": "10m",
            "retention_enabled": True,
            "retention_delete_delay": "2h",
            "delete_request_store": store,
        },
        "limits_config": _limits(args),
        "querier": {"max_concurrent": 4},
        "query_range": {"results_cache": {"cache": {"embedded_cache": {"enabled": True, "max_size_mb": 16}}}},
        "chunk_store_config": {"chunk_cache_config": {"embedded_cache": {"enabled": True, "max_size_mb": 16}}},
    }
    return yaml.safe_dump(said, sort_keys=False)


def _storage(args: logs.Logs) -> dict[str, object]:
    store = args.object_store
    if store is None:
        return {"filesystem": {"chunks_directory": f"{DATA}/chunks", "rules_directory": f"{DATA}/rules"}}
    return {
        "s3": {
            "bucketnames": store.bucket,
            "endpoint": store.endpoint.rpartition("://")[2],
            "region": store.region,
            "insecure": store.endpoint.startswith("http://"),
            "s3forcepathstyle": store.path_style,
        }
    }


def _ingester(args: logs.Logs) -> dict[str, object]:
    return {
        # It is alone: nobody has to hear of it first.
        "lifecycler": {"min_ready_duration": "0s", "join_after": "0s", "final_sleep": "0s"},
        "chunk_encoding": "snappy",
        "chunk_idle_period": "30m",
        # A line may be half of this behind the newest of its stream: nodes do not catch up side by side after a Loki was away.
        "max_chunk_age": "24h",
        "wal": {
            "dir": f"{DATA}/wal",
            "flush_on_shutdown": False,
            # Above it a start writes chunks away while it reads, instead of running out of memory.
            "replay_memory_ceiling": bytes_of(args.resources.memory) // 3,
        },
    }


def _limits(args: logs.Logs) -> dict[str, object]:
    rate, stream = bytes_of(args.limits.rate) / MEBI, bytes_of(args.limits.stream_rate)
    return {
        "retention_period": f"{seconds_of(args.retention) // 3600}h",
        "deletion_mode": "disabled",
        # What waited for as long as lines are kept is still taken.
        "reject_old_samples": True,
        "reject_old_samples_max_age": f"{seconds_of(args.retention) // 3600}h",
        "ingestion_rate_mb": rate,
        "ingestion_burst_size_mb": 2 * rate,
        "per_stream_rate_limit": stream,
        "per_stream_rate_limit_burst": 2 * stream,
        "max_global_streams_per_user": args.limits.streams,
        # Spread over several streams, one that comes too fast would get past its limit, and all of them would be refused as one.
        "shard_streams": {"enabled": False},
        "max_line_size": logs.LINE_BYTES,
        "max_line_size_truncate": True,
        "allow_structured_metadata": True,
        # The collector tells component and level; nothing is guessed.
        "discover_service_name": [],
        "discover_log_levels": False,
        "otlp_config": {
            "resource_attributes": {
                "ignore_defaults": True,
                "attributes_config": [{"action": "index_label", "attributes": list(LABELS)}],
            }
        },
        "volume_enabled": True,
        "max_entries_limit_per_query": 50_000,
    }


def _keys(args: logs.Logs, site: Site, secrets: Secrets, opts: pulumi.ResourceOptions) -> str | None:
    """Make the Secret with the object store's keys, in the form that Amazon's library reads; None where there are none."""
    store = args.object_store
    if store is None or store.access_key is None or store.secret_key is None:
        return None
    both = pulumi.Output.all(secrets.value(store.access_key), secrets.value(store.secret_key))
    text = both.apply(lambda keys: f"[default]\naws_access_key_id = {keys[0]}\naws_secret_access_key = {keys[1]}\n")
    prints = [secrets.fingerprint(store.access_key), secrets.fingerprint(store.secret_key)]
    return secret(f"{COMPONENT}-store", COMPONENT, site, {"credentials": pulumi.Output.secret(text)}, prints, opts)


def _pod(args: logs.Logs, site: Site, config: str, keys: str | None) -> workload.Pod:
    mounts = {DATA: "data", DIRECTORY: "config", "/tmp": "tmp"} | ({KEYS: "keys"} if keys else {})
    container = workload.container(
        COMPONENT,
        site.image("loki"),
        site,
        args.resources,
        command=["/usr/bin/loki"],
        args=["-target=all", f"-config.file={DIRECTORY}/loki.yaml"],
        env=_environment(args, keys),
        ports={"http": HTTP},
        mounts=mounts,
        read_only=[DIRECTORY, KEYS],
        probes={
            "startup_probe": probes.http("/ready", HTTP, within_seconds=START_WITHIN_SECONDS),
            "liveness_probe": probes.tcp(HTTP),
            "readiness_probe": probes.http("/ready", HTTP),
        },
    )
    volumes: list[core.v1.VolumeArgs] = [workload.from_config("config", config), workload.empty_dir("tmp", args.resources.scratch)]
    return workload.Pod(
        component=COMPONENT,
        containers=[container],
        volumes=[*volumes, *([workload.from_secret("keys", keys)] if keys else [])],
        grace_seconds=GRACE_SECONDS,
        placement=args.placement,
    )


def _environment(args: logs.Logs, keys: str | None) -> dict[str, str]:
    # Go gives memory back before the limit ends the process.
    made = {"GOMEMLIMIT": str(bytes_of(args.resources.memory) * 85 // 100)}
    return made | ({"AWS_SHARED_CREDENTIALS_FILE": f"{KEYS}/credentials"} if keys else {})
