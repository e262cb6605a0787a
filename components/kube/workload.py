"""Pods, and the workloads that keep them: every pod of a stack is made here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pulumi
from pulumi_kubernetes import apps, batch, core, meta, policy

from components.kube import spread
from components.kube.security import SERVER_UID, container_security, pod_security
from components.site import Site
from settings.backing import Volume
from settings.fixed import VOLUME, VOLUMES_PORT
from settings.nodes import written
from settings.types import Placement, Resources, bytes_of

LOST_NODE_SECONDS = 10
"""A pod of a lost node is replaced after this long; Kubernetes' own default is 300."""
PROGRESS_SECONDS = 600
"""Without progress for so long a rollout has failed, and the old pods go on serving; longer where a single pod may take longer."""
MARGIN_SECONDS = 60
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
"""Annotation: the container that `kubectl exec` and `logs` mean when they name none."""
VOLUME_MOUNT = "/volume"
KEPT_SECONDS = 86400
"""How long a Job of a CronJob is kept after it ended: its pod and lines can be looked at the day after."""
STATEFUL_TIMEOUT = pulumi.CustomTimeouts(create="10m", update="10m", delete="5m")


@dataclass(frozen=True, kw_only=True)
class Pod:
    """What a pod is made of; all that is the same for every pod is added by `template`."""

    component: str
    containers: Sequence[core.v1.ContainerArgs]
    init_containers: Sequence[core.v1.ContainerArgs] = ()
    volumes: Sequence[core.v1.VolumeArgs] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further labels: those of the services it may reach."""
    annotations: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    uid: int = SERVER_UID
    grace_seconds: int = 30
    service_account: pulumi.Input[str] | None = None
    """The ServiceAccount that it runs as; None: the namespace's default."""
    token: bool = False
    """Whether its token for the Kubernetes API is mounted."""
    restart_policy: str | None = None
    placement: Placement | None = None
    """Onto which nodes it goes; None: as the stack says."""


def requirements(resources: Resources) -> core.v1.ResourceRequirementsArgs:
    """Return requests and limits: memory is promised in full, cpu is throttled only where a limit is said."""
    fixed = {"memory": resources.memory, "ephemeral-storage": resources.scratch}
    throttled = {"cpu": resources.cpu_limit} if resources.cpu_limit else {}
    return core.v1.ResourceRequirementsArgs(requests={"cpu": resources.cpu, **fixed}, limits={**throttled, **fixed})


def container(
    name: str,
    image: str,
    site: Site,
    resources: Resources,
    *,
    command: Sequence[str] | None = None,
    args: Sequence[pulumi.Input[str]] | None = None,
    env: Mapping[str, pulumi.Input[str]] | None = None,
    env_fields: Mapping[str, str] | None = None,
    env_secrets: Sequence[pulumi.Input[str]] = (),
    ports: Mapping[str, int] | None = None,
    mounts: Mapping[str, str] | None = None,
    read_only: Sequence[str] = (),
    probes: Mapping[str, core.v1.ProbeArgs] | None = None,
    prestop: Sequence[str] | None = None,
    sidecar: bool = False,
) -> core.v1.ContainerArgs:
    """Return a container. `mounts` maps a path to a volume's name (`volume` or `volume/sub/path`); `read_only` lists such paths.

    `env_fields` maps a variable to a field of the pod; `env_secrets` names Secrets whose keys all become variables. A `sidecar` is
    one of the init containers that goes on running beside the others.
    """
    plain = [core.v1.EnvVarArgs(name=key, value=value) for key, value in (env or {}).items()]
    return core.v1.ContainerArgs(
        name=name,
        image=image,
        image_pull_policy=site.images.pull_policy,
        restart_policy="Always" if sidecar else None,
        command=list(command) if command else None,
        args=list(args) if args else None,
        env=plain + [_field(key, path) for key, path in (env_fields or {}).items()] or None,
        env_from=[core.v1.EnvFromSourceArgs(secret_ref=core.v1.SecretEnvSourceArgs(name=name)) for name in env_secrets] or None,
        ports=[core.v1.ContainerPortArgs(name=key, container_port=port) for key, port in (ports or {}).items()] or None,
        volume_mounts=[_mount(path, volume, path in read_only) for path, volume in (mounts or {}).items()] or None,
        resources=requirements(resources),
        security_context=container_security(),
        lifecycle=core.v1.LifecycleArgs(pre_stop=core.v1.LifecycleHandlerArgs(exec_=core.v1.ExecActionArgs(command=list(prestop))))
        if prestop
        else None,
        startup_probe=(probes or {}).get("startup_probe"),
        liveness_probe=(probes or {}).get("liveness_probe"),
        readiness_probe=(probes or {}).get("readiness_probe"),
    )


def template(pod: Pod, site: Site) -> core.v1.PodTemplateSpecArgs:
    """Return the template of a pod: restricted profile, short tolerations for lost nodes, spread over zones and nodes."""
    placement = pod.placement or site.placement
    annotations = {**({DEFAULT_CONTAINER: pod.containers[0].name} if len(pod.containers) > 1 else {}), **pod.annotations}
    return core.v1.PodTemplateSpecArgs(
        metadata=meta.v1.ObjectMetaArgs(labels={**site.labels(pod.component), **pod.labels}, annotations=annotations or None),
        spec=core.v1.PodSpecArgs(
            containers=list(pod.containers),
            init_containers=list(pod.init_containers) or None,
            volumes=list(pod.volumes) or None,
            security_context=pod_security(pod.uid),
            service_account_name=pod.service_account,
            automount_service_account_token=pod.token,
            enable_service_links=False,
            image_pull_secrets=[core.v1.LocalObjectReferenceArgs(name=name) for name in site.pull_secrets] or None,
            termination_grace_period_seconds=pod.grace_seconds,
            restart_policy=pod.restart_policy,
            node_selector=placement.node_selector or None,
            tolerations=[_lost_node(key) for key in ("not-ready", "unreachable")] + _tolerations(placement),
            affinity=spread.affinity(placement, site.selector(pod.component)),
            topology_spread_constraints=spread.constraints(placement, site.selector(pod.component)),
        ),
    )


def deployment(
    name: str,
    pod: Pod,
    site: Site,
    opts: pulumi.ResourceOptions,
    *,
    replicas: int,
    start_seconds: int,
    settle_seconds: int | None = None,
    singleton: bool = False,
) -> apps.v1.Deployment:
    """Make a Deployment called after the pod's component. A singleton is stopped before its successor starts.

    `start_seconds`: what one pod may take to start; they start one after the other. `settle_seconds`: a started pod counts only after this.
    """
    # A singleton's successor starts only when it is gone.
    deadline = max(PROGRESS_SECONDS, start_seconds + pod.grace_seconds + MARGIN_SECONDS)
    rolling = apps.v1.RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0)
    strategy = apps.v1.DeploymentStrategyArgs(
        type="Recreate" if singleton else "RollingUpdate", rolling_update=None if singleton else rolling
    )
    made = apps.v1.Deployment(
        name,
        metadata=metadata(pod.component, site),
        spec=apps.v1.DeploymentSpecArgs(
            replicas=replicas,
            selector=meta.v1.LabelSelectorArgs(match_labels=site.selector(pod.component)),
            strategy=strategy,
            min_ready_seconds=settle_seconds,
            progress_deadline_seconds=deadline,
            revision_history_limit=3,
            template=template(pod, site),
        ),
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(custom_timeouts=_timeouts(max(deadline, replicas * start_seconds)))),
    )
    if replicas > 1:
        # A pod that is not ready serves nobody, and one that never will be must not keep its node from being emptied.
        disruption_budget(name, pod.component, site, opts, unready="AlwaysAllow")
    return made


def cron_job(
    name: str,
    pod: Pod,
    site: Site,
    opts: pulumi.ResourceOptions,
    *,
    schedule: str,
    time_zone: str,
    stop_seconds: int,
    missed_seconds: int,
    retries: int,
) -> batch.v1.CronJob:
    """Make a CronJob called after the pod's component that never overlaps itself; a day later its Jobs are gone.

    `stop_seconds`: a run that takes longer is ended. `missed_seconds`: one that could not start within this time of its hour is left out.
    `retries`: how often a run that failed is tried again at once.
    """
    job = batch.v1.JobSpecArgs(
        backoff_limit=retries,
        active_deadline_seconds=stop_seconds,
        ttl_seconds_after_finished=KEPT_SECONDS,
        template=template(pod, site),
    )
    return batch.v1.CronJob(
        name,
        metadata=metadata(pod.component, site),
        spec=batch.v1.CronJobSpecArgs(
            schedule=schedule,
            time_zone=time_zone,
            concurrency_policy="Forbid",
            starting_deadline_seconds=missed_seconds,
            job_template=batch.v1.JobTemplateSpecArgs(spec=job),
        ),
        opts=opts,
    )


def stateful_set(
    name: str,
    pod: Pod,
    site: Site,
    opts: pulumi.ResourceOptions,
    *,
    replicas: int,
    service_name: str,
    claims: Sequence[core.v1.PersistentVolumeClaimArgs],
    parallel: bool = True,
    timeouts: pulumi.CustomTimeouts = STATEFUL_TIMEOUT,
) -> apps.v1.StatefulSet:
    """Make a StatefulSet called after the pod's component; its name is explicit, so a replaced one takes up its claims again.

    The engine refuses to delete or replace it where the stack's tier protects data.
    """
    if claims and site.volume_exporter:
        pod = replace(pod, init_containers=[*pod.init_containers, _volume_exporter(pod, site, site.volume_exporter)])
    made = apps.v1.StatefulSet(
        name,
        metadata=metadata(pod.component, site),
        spec=apps.v1.StatefulSetSpecArgs(
            replicas=replicas,
            service_name=service_name,
            selector=meta.v1.LabelSelectorArgs(match_labels=site.selector(pod.component)),
            pod_management_policy="Parallel" if parallel else "OrderedReady",
            revision_history_limit=3,
            template=template(pod, site),
            volume_claim_templates=list(claims) or None,
        ),
        opts=site.keeping(name, pulumi.ResourceOptions.merge(opts, _lasting(timeouts))),
    )
    if replicas > 1:
        # A member that is not ready may be catching up: while another one is away as well, it is what the majority hangs on.
        disruption_budget(name, pod.component, site, opts, unready="IfHealthyBudget")
    return made


def _volume_exporter(pod: Pod, site: Site, resources: Resources) -> core.v1.ContainerArgs:
    """Return the container that tells the free space of the volume beside a server, which a Role can not ask Kubernetes for.

    A sidecar as Kubernetes has them: an init container that goes on running, which starts before the server and ends after it. It has no
    probes: a container that is not ready takes its pod out of its Services, and this one must not do that to a database.
    """
    mounts = {VOLUME_MOUNT: VOLUME} | {f"{VOLUME_MOUNT}-{one.name}": str(one.name) for one in pod.volumes if one.persistent_volume_claim}
    return container(
        "volume",
        site.image("exporters"),
        site,
        resources,
        command=[
            "prometheus-node-exporter",
            f"--web.listen-address=:{VOLUMES_PORT}",
            "--web.disable-exporter-metrics",
            "--collector.disable-defaults",
            "--collector.filesystem",
            f"--collector.filesystem.mount-points-include=^{VOLUME_MOUNT}(-.+)?$",
            # Whatever it is made of: left to itself it passes over some kinds.
            "--collector.filesystem.fs-types-include=.*",
        ],
        env={"GOMAXPROCS": "1", "GOMEMLIMIT": str(bytes_of(resources.memory) * 3 // 4)},
        ports={"volume": VOLUMES_PORT},
        mounts=mounts,
        read_only=list(mounts),
        sidecar=True,
    )


def _lasting(timeouts: pulumi.CustomTimeouts) -> pulumi.ResourceOptions:
    # The name of the Service can not be changed, and a StatefulSet is not made anew for it: some say the one that clients use.
    return pulumi.ResourceOptions(custom_timeouts=timeouts, ignore_changes=["spec.serviceName"])


def keeping_claims(opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    """Return options for a StatefulSet whose claims are fixed once made.

    The provider would replace it for another size: all members stopped at once, and the claims taken up again as small as they were.
    """
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=["spec.volumeClaimTemplates"]))


def claim(name: str, volume: Volume, site: Site) -> core.v1.PersistentVolumeClaimArgs:
    """Return the template of a volume claim for one pod at a time: its own class, else the stack's, else the cluster's default."""
    return core.v1.PersistentVolumeClaimArgs(
        metadata=meta.v1.ObjectMetaArgs(name=name),
        spec=core.v1.PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=volume.storage_class or site.cluster.storage_class,
            resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": volume.size}),
        ),
    )


def service(
    name: str,
    kube_name: str,
    component: str,
    site: Site,
    ports: Mapping[str, tuple[int, int]],
    opts: pulumi.ResourceOptions,
    *,
    headless: bool = False,
    selector: Mapping[str, str] | None = None,
) -> core.v1.Service:
    """Make an internal Service called `kube_name`; `ports` maps a name to (port, target port).

    A headless one lists pods before they are ready.
    """
    return core.v1.Service(
        name,
        metadata=metadata(component, site, kube_name),
        spec=core.v1.ServiceSpecArgs(
            type="ClusterIP",
            cluster_ip="None" if headless else None,
            publish_not_ready_addresses=headless or None,
            selector={**site.selector(component), **(selector or {})},
            ports=[core.v1.ServicePortArgs(name=key, port=port, target_port=target) for key, (port, target) in ports.items()],
        ),
        opts=opts,
    )


def governing_service(name: str, component: str, site: Site, ports: Mapping[str, tuple[int, int]], opts: pulumi.ResourceOptions) -> str:
    """Make the headless Service that a StatefulSet of one pod gets its pod's name from, `<component>-members`, and return its name."""
    members = f"{component}-members"
    service(f"{name}-members", members, component, site, ports, opts, headless=True)
    return members


def disruption_budget(name: str, component: str, site: Site, opts: pulumi.ResourceOptions, *, unready: str) -> None:
    """Make a PodDisruptionBudget: a drain takes one pod at a time.

    `unready` says when it may take one that is not ready: AlwaysAllow, or IfHealthyBudget: while enough others are.
    """
    policy.v1.PodDisruptionBudget(
        name,
        metadata=metadata(component, site),
        spec=policy.v1.PodDisruptionBudgetSpecArgs(
            max_unavailable=1,
            unhealthy_pod_eviction_policy=unready,
            selector=meta.v1.LabelSelectorArgs(match_labels=site.selector(component)),
        ),
        opts=opts,
    )


def metadata(component: str, site: Site, name: pulumi.Input[str] | None = None) -> meta.v1.ObjectMetaArgs:
    """Return an object's metadata: its name (the component's by default), namespace and labels."""
    return meta.v1.ObjectMetaArgs(name=name or component, namespace=site.home or site.namespace, labels=site.labels(component))


def empty_dir(name: str, size: str | None = None, *, memory: bool = False) -> core.v1.VolumeArgs:
    """Return a volume that lives as long as its pod."""
    source = core.v1.EmptyDirVolumeSourceArgs(size_limit=size, medium="Memory" if memory else None)
    return core.v1.VolumeArgs(name=name, empty_dir=source)


def from_claim(name: str, claim_name: pulumi.Input[str]) -> core.v1.VolumeArgs:
    """Return the volume of a claim that is made by itself, and outlives every pod that mounts it."""
    return core.v1.VolumeArgs(name=name, persistent_volume_claim=core.v1.PersistentVolumeClaimVolumeSourceArgs(claim_name=claim_name))


def from_config(name: str, config_map: pulumi.Input[str], mode: int = 0o444) -> core.v1.VolumeArgs:
    """Return a volume with a ConfigMap's keys as files."""
    return core.v1.VolumeArgs(name=name, config_map=core.v1.ConfigMapVolumeSourceArgs(name=config_map, default_mode=mode))


def from_secret(name: str, secret: pulumi.Input[str], mode: int = 0o440, *, keys: Mapping[str, str] | None = None) -> core.v1.VolumeArgs:
    """Return a volume with a Secret's keys as files, readable by the pod's group; `keys` names those that are taken, and their files."""
    items = [core.v1.KeyToPathArgs(key=key, path=path) for key, path in (keys or {}).items()] or None
    return core.v1.VolumeArgs(name=name, secret=core.v1.SecretVolumeSourceArgs(secret_name=secret, default_mode=mode, items=items))


def projected(name: str, config_map: str, secret: str, mode: int = 0o440) -> core.v1.VolumeArgs:
    """Return a volume with the keys of a ConfigMap and of a Secret as files of one directory."""
    sources = [
        core.v1.VolumeProjectionArgs(config_map=core.v1.ConfigMapProjectionArgs(name=config_map)),
        core.v1.VolumeProjectionArgs(secret=core.v1.SecretProjectionArgs(name=secret)),
    ]
    return core.v1.VolumeArgs(name=name, projected=core.v1.ProjectedVolumeSourceArgs(sources=sources, default_mode=mode))


def _field(name: str, path: str) -> core.v1.EnvVarArgs:
    source = core.v1.EnvVarSourceArgs(field_ref=core.v1.ObjectFieldSelectorArgs(field_path=path))
    return core.v1.EnvVarArgs(name=name, value_from=source)


def _mount(path: str, volume: str, read_only: bool) -> core.v1.VolumeMountArgs:
    name, _, sub_path = volume.partition("/")
    return core.v1.VolumeMountArgs(name=name, mount_path=path, sub_path=sub_path or None, read_only=read_only or None)


def _lost_node(condition: str) -> core.v1.TolerationArgs:
    key = f"node.kubernetes.io/{condition}"
    return core.v1.TolerationArgs(key=key, operator="Exists", effect="NoExecute", toleration_seconds=LOST_NODE_SECONDS)


def _tolerations(placement: Placement) -> list[core.v1.TolerationArgs]:
    said = written(placement.tolerations)
    return [
        core.v1.TolerationArgs(key=one["key"], operator=one["operator"], value=one.get("value"), effect=one.get("effect")) for one in said
    ]


def _timeouts(within_seconds: int) -> pulumi.CustomTimeouts:
    # A little longer than Kubernetes' own deadline, so that its reason is what the operator reads.
    limit = f"{within_seconds + MARGIN_SECONDS}s"
    return pulumi.CustomTimeouts(create=limit, update=limit, delete="5m")
