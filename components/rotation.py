"""Rotated passwords: what waits until a running server lets the next generation in, before anybody is told to use it."""

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes import batch

from components.endpoints import Endpoint
from components.kube.configuration import digest, secret
from components.kube.workload import Pod, container, empty_dir, from_secret, metadata, template
from components.site import Site
from settings.rotation import WAITING, job_name
from settings.types import Placement

LOGIN = "/run/secrets/login"
"""Where the Job has what it logs in with."""
WITHIN_SECONDS = 300
"""The kubelet writes a changed Secret into a running pod within its sync period and its cache's age, a minute each at the most; then the
server reads it within seconds."""
AGAIN_SECONDS = 2


def waiting(
    name: str,
    service: str,
    image: str,
    test: str,
    login: Mapping[str, pulumi.Input[str]],
    endpoint: Endpoint,
    generation: int,
    site: Site,
    opts: pulumi.ResourceOptions,
    *,
    after: Sequence[pulumi.Resource],
    placement: Placement | None = None,
) -> list[pulumi.Resource]:
    """Return the Job that succeeds once the server at `endpoint` lets the accounts of `generation` in; nothing for the first one.

    `service` is the server's component. `test` is a shell command of `image` that exits 0 when they are let in; it finds `login`, by file
    name, in LOGIN. `after`: what must have changed before.
    """
    if generation == 1:
        return []
    component = job_name(service)
    keys = secret(component, component, site, login, [generation, test], opts)
    ask = container(
        "wait",
        site.image(image),
        site,
        WAITING,
        command=["sh", "-c", f"echo waiting until {service} lets generation {generation} in; until {test}; do sleep {AGAIN_SECONDS}; done"],
        mounts={LOGIN: "login", "/tmp": "tmp"},
        env={"HOME": "/tmp"},
        read_only=[LOGIN],
    )
    pod = Pod(
        component=component,
        containers=[ask],
        volumes=[from_secret("login", keys), empty_dir("tmp", WAITING.scratch)],
        labels=endpoint.client_labels,
        restart_policy="Never",
        placement=placement,
    )
    # A Job that has run is never changed: another generation, another test or another image is another one.
    full = f"{component}-{digest(keys, site.image(image))}"
    about = metadata(component, site, full)
    # One that failed is made again by the next `up`.
    about.annotations = {"pulumi.com/replaceUnready": "true"}
    limit = pulumi.CustomTimeouts(create=f"{WITHIN_SECONDS + 60}s")
    job = batch.v1.Job(
        f"{name}-{full}",
        metadata=about,
        spec=batch.v1.JobSpecArgs(backoff_limit=0, active_deadline_seconds=WITHIN_SECONDS, template=template(pod, site)),
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(after), custom_timeouts=limit)),
    )
    return [job]
