"""The account that images are pulled with."""

import pulumi
from pulumi_kubernetes import core

from components.kube.workload import metadata
from components.site import Secrets, Site
from settings.stack import RegistryLogin

NAME = "registry-login"
"""Name of the Secret, which every pod names under imagePullSecrets.

Unlike other Secrets it has one name for good, and changes in place: the kubelet reads it at each pull and no container ever does, so a new
password rolls nothing, and an old pod that starts on another node gets the password that the registry takes now.
"""


def pull_secret(login: RegistryLogin, site: Site, secrets: Secrets, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """Make the Secret that the kubelet pulls with, and return its name, which is known once it is there."""
    content = secrets.value(login.password).apply(login.docker_config)
    made = core.v1.Secret(
        NAME,
        metadata=metadata("registry", site, NAME),
        type="kubernetes.io/dockerconfigjson",
        string_data={".dockerconfigjson": content},
        opts=opts,
    )
    return made.metadata.name
