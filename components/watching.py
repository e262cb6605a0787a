"""Which exporters a stack needs: one for each server that does not tell its figures by itself."""

from collections.abc import Mapping, Sequence

import pulumi

from components import elasticsearch, mqtt
from components.blackbox import CertificateExporter, Shown
from components.certificates import CertificateAuthority
from components.endpoints import Endpoint
from components.exporters import ElasticsearchExporter, PostgresExporter, RedisExporter
from components.site import Site
from components.watch import Watch
from settings import Settings
from settings.watching import jobs_redis, sidekiq_queues


def exporters(
    asked: Mapping[str, Endpoint],
    edge: Sequence[Shown],
    authority: CertificateAuthority | None,
    args: Settings,
    site: Site,
    opts: pulumi.ResourceOptions,
) -> list[Watch]:
    """Make the exporters of the servers `asked`, by name, and of the certificates that are shown; return where they tell.

    `edge` is what people are shown; `authority` is the stack's own, where it has signed any of them.
    """
    jobs = jobs_redis(args)
    made: list[Watch] = []
    for service, endpoint in asked.items():
        name = f"{service}-exporter"
        if service == "postgres":
            made.append(PostgresExporter(name, endpoint, args.metrics, site, opts).watch)
        elif service == "elasticsearch":
            made.append(ElasticsearchExporter(name, endpoint, args.metrics, site, opts).watch)
        else:
            queues = sidekiq_queues(args) if service == f"redis-{jobs}" else None
            stored = args.redis[service.removeprefix("redis-")].persistent
            made.append(RedisExporter(name, endpoint, queues, args.metrics, site, opts, keeps_jobs=stored).watch)
    if shown := [*listeners(args, site), *edge]:
        signer = authority.certificate if authority else None
        made.append(CertificateExporter("blackbox-exporter", shown, signer, args.metrics, site, opts).watch)
    return made


def listeners(args: Settings, site: Site) -> list[Shown]:
    """Return the TLS listeners that the stack runs, each dialled by the Service that its clients use."""
    broker = Shown(component=mqtt.COMPONENT, host="mqtt-public", port=mqtt.MQTT_TLS, server_name=mqtt.certificate_names([], site)[0])
    nodes = Shown(
        component=elasticsearch.COMPONENT,
        host=elasticsearch.COMPONENT,
        port=elasticsearch.HTTP,
        server_name=elasticsearch.certificate_names(site)[0],
    )
    return [one for one, said in ((broker, args.mqtt), (nodes, args.elasticsearch)) if said.where == "cluster"]
