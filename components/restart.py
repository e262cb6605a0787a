"""The nightly restart: a CronJob that restarts chosen Deployments, one after the other, with rights in exactly those."""

import pulumi
from pulumi_kubernetes import core

from components.kube import network
from components.kube.rights import account, rule
from components.kube.workload import Pod, container, cron_job, empty_dir
from components.site import Site
from settings.restart import COMPONENT, Restart

KUBECTL = "/bin/kubectl"
"""Where it is in our image and in that of the Kubernetes project; neither need have a shell."""
MISSED_SECONDS = 300
"""A restart that could not begin within this time of its hour is left out: by day nobody wants it."""
VERBS = ("get", "patch", "list", "watch")
"""`rollout restart` gets and patches; `rollout status` lists and watches, each time the one Deployment that it names."""


class NightlyRestart(pulumi.ComponentResource):
    """The CronJob `restart`: for each process `kubectl rollout restart`, then `kubectl rollout status` until its new pods serve.

    - A process that does not come up again ends the run: those after it are left alone, and the Job that failed is an alert.
    - Its account may read and patch the Deployments that are named, and nothing else. To patch a Deployment is to deploy: whoever holds the
      token could run another image. So its pod runs kubectl alone, and reaches the API server alone.
    - The annotation that kubectl sets in the pod template is nobody's in the program, so an update keeps it.

    Run it at once with `kubectl create job --from=cronjob/restart now`.
    """

    def __init__(self, name: str, args: Restart, within: dict[str, int], site: Site, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the CronJob; `within` has for each process, in order, the seconds that its restart may take."""
        super().__init__("switchyard:index:NightlyRestart", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        rights = account(name, COMPONENT, site, [rule("apps", ["deployments"], VERBS, list(within))], child)
        network.to_api_server(name, COMPONENT, site, child)
        cron_job(
            name,
            _pod(args, within, site),
            site,
            pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[rights])),
            schedule=args.cron,
            time_zone=args.time_zone,
            stop_seconds=sum(within.values()) + MISSED_SECONDS,
            missed_seconds=MISSED_SECONDS,
            # Tried again it would restart once more what is just coming up.
            retries=0,
        )
        self.register_outputs({})


def _pod(args: Restart, within: dict[str, int], site: Site) -> Pod:
    """Return a pod whose containers run one after the other: all but the last are init containers."""
    *first, last = [made for process, seconds in within.items() for made in _restarted(process, seconds, args, site)]
    return Pod(
        component=COMPONENT,
        init_containers=first,
        containers=[last],
        volumes=[empty_dir("tmp", args.resources.scratch)],
        service_account=COMPONENT,
        token=True,
        restart_policy="Never",
        placement=args.placement,
    )


def _restarted(process: str, seconds: int, args: Restart, site: Site) -> list[core.v1.ContainerArgs]:
    # No --request-timeout: with it kubectl asks localhost and not the API server that its pod is told of (kubernetes#93474).
    words = {
        f"restart-{process}": ["rollout", "restart", f"deployment/{process}"],
        f"wait-{process}": ["rollout", "status", f"deployment/{process}", f"--timeout={seconds}s"],
    }
    return [
        container(
            name,
            site.image("kubectl"),
            site,
            args.resources,
            command=[KUBECTL, *command, f"--namespace={site.namespace}"],
            # It keeps there what kinds of objects the cluster knows.
            env={"HOME": "/tmp"},
            mounts={"/tmp": "tmp"},
        )
        for name, command in words.items()
    ]
