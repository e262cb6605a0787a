"""The nodes' files: elasticsearch.yml, Java's options, the repository of snapshots. Pure functions, no resources."""

import json
from pathlib import Path
from typing import Any

from components.site import Site
from settings.elasticsearch import WATERMARKS, Elasticsearch, Repository, kept_free
from settings.types import bytes_of

COMPONENT = "elasticsearch"
MEMBERS = "elasticsearch-members"
HTTP, TRANSPORT = 9200, 9300
HOME = "/usr/share/elasticsearch"
REPOSITORY = f"{HOME}/snapshots"
"""Where the volume of a repository of type fs is mounted."""
FILES = Path(__file__).parent / "files" / "elasticsearch"


def members(args: Elasticsearch) -> list[str]:
    """Return the nodes' names, which are those of their pods."""
    return [f"{COMPONENT}-{number}" for number in range(args.members)]


def files(args: Elasticsearch, site: Site) -> dict[str, str]:
    """Return the nodes' configuration, their accounts' roles and the scripts."""
    shipped = {path.name: path.read_text() for path in sorted(FILES.iterdir())}
    heap = args.heap_bytes // 2**20
    made = {"jvm.options": f"{shipped['jvm.options']}-Xms{heap}m\n-Xmx{heap}m\n", "elasticsearch.yml": configuration(args, site)}
    return {**shipped, **made, **({"repository.json": repository(args.snapshots.repository)} if args.snapshots else {})}


def configuration(args: Elasticsearch, site: Site) -> str:
    """Return elasticsearch.yml."""
    alone = args.members == 1
    seeds = [f"{member}.{MEMBERS}:{TRANSPORT}" for member in members(args)]
    ssl = {"enabled": True, "key": "tls.key", "certificate": "tls.crt", "certificate_authorities": ["ca.crt"]}
    volume = bytes_of(args.volume.size)
    disk = "cluster.routing.allocation.disk.watermark"
    said: dict[str, Any] = {
        "cluster.name": f"{site.product}-{site.stack}",
        "node.name": "${HOSTNAME}",
        "network.host": "0.0.0.0",
        **({"discovery.type": "single-node"} if alone else {"discovery.seed_hosts": seeds}),
        # Mapping files needs vm.max_map_count of the machine.
        "node.store.allow_mmap": args.prepared_nodes,
        **{f"{disk}.{level}": f"{kept_free(level, volume) // 2**20}mb" for level in WATERMARKS},
        **(_repository_settings(args.snapshots.repository) if args.snapshots else {}),
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


def repository(said: Repository) -> str:
    """Return what the repository is registered with."""
    if said.bucket:
        settings: dict[str, Any] = {"bucket": said.bucket.bucket, "base_path": said.bucket.path, "client": "default"}
    else:
        settings = {"location": REPOSITORY}
    return json.dumps({"type": said.type, "settings": settings}) + "\n"


def _repository_settings(said: Repository) -> dict[str, Any]:
    if said.bucket is None:
        return {"path.repo": [REPOSITORY]}
    scheme, _, host = said.bucket.endpoint.rpartition("://")
    client = {"endpoint": host, "region": said.bucket.region, "path_style_access": said.bucket.path_style, "protocol": scheme or "https"}
    return {f"s3.client.default.{key}": value for key, value in client.items()}
