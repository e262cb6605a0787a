"""Who may do what in Elasticsearch: the users of the nodes' own file, with generated passwords, and how scripts log in as one."""

from collections.abc import Sequence

import pulumi
import pulumi_random

from components.kube.passwords import account, of_generation
from settings.backing import Backing

APP = "app"
"""Everything with indices and templates."""
MONITOR = "monitor"
"""Figures of the cluster, its nodes, indices and snapshots, for probes and the exporter; no document and no change."""
OPERATOR = "operator"
"""For the scripts in the nodes' own pods: restoring, and what a node does before it stops. It can read no document."""
SNAPSHOTS = "snapshots"
"""For the scheduled job: snapshots are taken and old ones deleted, nothing else."""
CA_FILE = "/run/secrets/elasticsearch-tls/ca.crt"
"""What the nodes' certificate is verified with, in their own pods."""


class Accounts:
    """Users by role; each generation of passwords has users of its own, and the one before the current is let in until it is revoked."""

    def __init__(self, name: str, args: Backing, roles: Sequence[str], opts: pulumi.ResourceOptions) -> None:
        """Make the passwords of `roles` (of files/elasticsearch/roles.yml) that are let in."""
        used = args.accepted
        self.by_role = {role: [Account(f"{name}-{role}", role, generation, opts) for generation in used] for role in roles}

    def current(self, role: str) -> "Account":
        """Return the user that a new client of this role is to be."""
        return self.by_role[role][0]

    @property
    def users(self) -> pulumi.Output[str]:
        """The file `users`: names and hashes."""
        every = [made for accounts in self.by_role.values() for made in accounts]
        return pulumi.Output.secret(pulumi.Output.all(*[made.line for made in every]).apply("".join))

    @property
    def users_roles(self) -> str:
        """The file `users_roles`."""
        return "".join(f"{role}:{','.join(made.user for made in accounts)}\n" for role, accounts in self.by_role.items())


class Account:
    """One user: a generated password, and its hash, which the state keeps the same."""

    def __init__(self, name: str, role: str, generation: int, opts: pulumi.ResourceOptions) -> None:
        """Make the password of one generation."""
        keepers = {"rotation": str(generation)}
        made = pulumi_random.RandomPassword(of_generation(name, generation), length=32, special=False, keepers=keepers, opts=opts)
        user = account(role, generation)
        self.user = user
        self.password = pulumi.Output.secret(made.result)
        self.line = pulumi.Output.secret(made.bcrypt_hash).apply(lambda hashed: f"{user}:{hashed}\n")

    def login(self, *options: str, ca_file: str = CA_FILE) -> pulumi.Output[str]:
        """Return curl's configuration for asking as this user: a password never stands on a command line."""
        said = "\n".join(["silent", *options, f'cacert = "{ca_file}"'])
        return pulumi.Output.secret(self.password.apply(lambda password: f'{said}\nuser = "{self.user}:{password}"\n'))
