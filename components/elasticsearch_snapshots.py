"""Snapshots of Elasticsearch's indices at set times: a CronJob with an account of its own, and the volume or the bucket's keys."""

import pulumi
from pulumi_kubernetes import core

from components.elasticsearch_accounts import SNAPSHOTS, Accounts
from components.elasticsearch_configuration import COMPONENT
from components.endpoints import Endpoint
from components.kube import network
from components.kube.configuration import secret
from components.kube.workload import Pod, claim, container, cron_job, empty_dir, from_claim, from_config, from_secret, metadata
from components.site import Secrets, Site
from settings.elasticsearch import SNAPSHOT_JOB, Elasticsearch, Snapshots
from settings.types import seconds_of

JOB = "elasticsearch-snapshots"
"""The CronJob, its pods, and the volume of type fs."""
KEYSTORE = "/run/secrets/elasticsearch-keystore"
"""Files that start.sh puts into the server's keystore, by the setting's name."""
LOGIN = ("fail-with-body", "show-error", "max-time = 120", "retry = 5", "retry-connrefused")
"""How the job asks: a node that is being restarted is asked again."""
MISSED_SECONDS = 3600
"""A run that could not start within this time of its hour is left out; the next one comes by itself."""


class Schedule(pulumi.ComponentResource):
    """The CronJob `elasticsearch-snapshots`: it registers the repository, takes a snapshot, and deletes those beyond `keep`.

    Run it at once with `kubectl create job --from=cronjob/elasticsearch-snapshots now`.
    """

    def __init__(
        self,
        name: str,
        args: Elasticsearch,
        said: Snapshots,
        site: Site,
        endpoint: Endpoint,
        files: str,
        accounts: Accounts,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the CronJob; `files` is the nodes' ConfigMap, which has its script."""
        super().__init__("switchyard:index:ElasticsearchSnapshots", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        login = accounts.current(SNAPSHOTS).login(*LOGIN, ca_file="/run/secrets/elasticsearch/ca.crt")
        values: dict[str, pulumi.Input[str]] = {"login": login, "ca.crt": endpoint.ca or ""}
        keys = secret(JOB, JOB, site, values, [args.rotation, LOGIN, endpoint.ca_fingerprint], child)
        cron_job(
            name,
            _pod(args, said, site, endpoint, files, keys),
            site,
            child,
            schedule=said.schedule,
            time_zone=said.time_zone,
            stop_seconds=seconds_of(said.stop_after),
            missed_seconds=MISSED_SECONDS,
            retries=1,
        )
        self.register_outputs({})


def _pod(args: Elasticsearch, said: Snapshots, site: Site, endpoint: Endpoint, files: str, keys: str) -> Pod:
    mounts = {"/etc/elasticsearch": "files", "/run/secrets/elasticsearch": "keys", "/tmp": "tmp"}
    ask = container(
        "snapshot",
        site.image(args.image),
        site,
        SNAPSHOT_JOB,
        command=["sh", "/etc/elasticsearch/snapshot.sh"],
        env={"KEEP": str(said.keep)},
        mounts=mounts,
        read_only=["/etc/elasticsearch", "/run/secrets/elasticsearch"],
    )
    return Pod(
        component=JOB,
        containers=[ask],
        volumes=[from_config("files", files), from_secret("keys", keys), empty_dir("tmp", SNAPSHOT_JOB.scratch)],
        labels=endpoint.client_labels,
        restart_policy="Never",
        placement=args.placement,
    )


def kept_volumes(name: str, args: Elasticsearch, site: Site, opts: pulumi.ResourceOptions) -> dict[str, core.v1.VolumeArgs]:
    """Make what the nodes need for their repository; return the nodes' volumes for it, by the name of what they hold.

    The claim is no template of the StatefulSet's: it may come later, and it outlives the nodes.
    """
    if (volume := args.keeps_snapshots) is None:
        return {}
    about = metadata(COMPONENT, site, JOB)
    # It is bound when a pod first wants it, which the engine would wait for before it makes the pod.
    about.annotations = {"pulumi.com/skipAwait": "true"}
    made = core.v1.PersistentVolumeClaim(
        f"{name}-snapshots", metadata=about, spec=claim("snapshots", volume, site).spec, opts=site.keeping(f"{name}-snapshots", opts)
    )
    return {"snapshots": from_claim("snapshots", made.metadata["name"])}


def keystore(name: str, args: Elasticsearch, site: Site, secrets: Secrets, opts: pulumi.ResourceOptions) -> dict[str, core.v1.VolumeArgs]:
    """Make the bucket's keys, which the server reads from its keystore, and the nodes' way to it; return the nodes' volume with them."""
    bucket = args.snapshots.repository.bucket if args.snapshots else None
    if bucket is None:
        return {}
    peers = [network.without_metadata(cidr) for cidr in bucket.ranges]
    network.allow_out(f"{name}-repository", COMPONENT, site, site.selector(COMPONENT), peers, [bucket.port], opts)
    said = dict(zip(("s3.client.default.access_key", "s3.client.default.secret_key"), bucket.keys, strict=True))
    values = {key: secrets.value(named) for key, named in said.items()}
    made = secret(f"{name}-keystore", COMPONENT, site, values, [secrets.fingerprint(named) for named in said.values()], opts)
    return {"keystore": from_secret("keystore", made)}
