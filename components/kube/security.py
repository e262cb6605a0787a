"""Security contexts: the restricted Pod Security profile, plus a read-only root and a uid of its own."""

from pulumi_kubernetes import core

SERVER_UID = 10100
"""The uid that our own images run as; it exists in their passwd file."""


def pod_security(uid: int = SERVER_UID) -> core.v1.PodSecurityContextArgs:
    """Return the context of a pod that runs as `uid`; volumes are handed to its group."""
    return core.v1.PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=uid,
        run_as_group=uid,
        fs_group=uid,
        # A large volume would otherwise be walked through at every start.
        fs_group_change_policy="OnRootMismatch",
        seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
    )


def container_security() -> core.v1.SecurityContextArgs:
    """Return the context of every container: no privileges to gain, no capabilities, a read-only root."""
    return core.v1.SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
    )
