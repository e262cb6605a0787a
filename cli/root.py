"""The command line as a whole: its commands in groups, and the text that teaches them."""

from importlib import import_module

import click

GROUPS = {
    "Start here": {
        "up": ("cli.up:up", "Bring a stack up, the sandbox by default, setting up whatever is missing."),
        "doctor": ("cli.doctor:doctor", "Say what was found, what will be built and what is in the way."),
        "test": ("cli.tests:test", "Run the tests, all of them or one layer."),
    },
    "A stack": {
        "preview": ("cli.stacks:preview", "Show what `up` would do; needs no cluster."),
        "render": ("cli.render:command", "Print every Kubernetes object of a stack as a manifest."),
        "parity": ("cli.parity:command", "Say whether two stacks are the same but for what parity.yaml allows."),
        "diff": ("cli.diff:command", "Say what differs between two stacks."),
        "affected": ("cli.affected:command", "List the stacks that a change in git alters."),
        "scan": ("cli.scan:command", "Run checkov and kube-score over a stack's manifests."),
        "budget": ("cli.budget:command", "Say what stacks ask for, and what a lost node would leave."),
        "comment": ("cli.comment:command", "Turn previews into the comment that a change gets: a table by risk."),
        "fork": ("cli.fork:command", "Make a stack like another one: a reseller's own, or one to try."),
        "ready": ("cli.ready:command", "Say what a new stack still needs, until nothing is left."),
        "deploy": ("cli.deploy:deploy", "Let a stack run another image of the app."),
        "promote": ("cli.deploy:promote", "Deploy to a stack the image that another one runs."),
        "rotate": ("cli.rotate:command", "Give servers other passwords, without an outage."),
        "open": ("cli.open:command", "Forward a port of this machine to a page of a stack: Grafana, RabbitMQ, the app."),
        "fall": ("cli.stacks:fall", "Let the demo's lamp fall once more, and read its alert back."),
        "secret": ("cli.stacks:secret", "Print a password or another config var of the app."),
        "stale": ("cli.stale:command", "List servers that are older than their Deployment or run an old image."),
        "maintenance": ("cli.maintenance:command", "Show everybody a page instead of the app, or the app again."),
        "logs": ("cli.logs:command", "Print what the stack's containers wrote, from Loki or the cluster."),
        "destroy": ("cli.stacks:destroy", "Delete everything of a stack, data included, after asking."),
    },
    "The pieces": {
        "sandbox": ("cli.sandbox:sandbox", "The embedded cluster: up, down, status, reset."),
        "cluster": ("cli.cluster:cluster", "What a cluster has once: the collector of all stacks' lines."),
        "images": ("cli.images:images", "What stacks run: build, push, pin, list."),
    },
    "The settings": {
        "explain": ("cli.explain:explain", "Every setting of a stack, the layer that says it, and what it overrode."),
        "schema": ("cli.schema:schema", "Write the JSON Schemas that editors use, and the reference of every key."),
    },
    "As they are": {
        "kubectl": ("cli.stacks:kubectl", "kubectl on the stack's own cluster and namespace."),
        "pulumi": ("cli.stacks:pulumi", "pulumi with the stack's state, plugins and settings."),
    },
}
"""Heading -> command -> where it is defined, and its line in the overview."""

EXAMPLES = """\
Examples:
  ./sy doctor                     what this machine has, and what will be built
  ./sy up                         the whole demo product on this machine (root)
  ./sy fall                       let the demo's lamp fall once more
  ./sy preview -s production      what production would look like; needs no cluster
  ./sy doctor -s staging          what of its cluster would make `up` fail or wait
  ./sy up -s staging              preview, ask, change, wait until it serves
  ./sy test unit                  the tests without engine and cluster
  ./sy logs web --since 2h --grep fall
  ./sy open web                   the app in a browser, through a forwarded port
  ./sy kubectl get pods           kubectl on the stack's own cluster and namespace
  ./sy sandbox down               stop everything; ./sy up goes on with it

Exit codes:
  0 well; 1 failed midway, and the text says what to do; 2 nothing was changed, you can mend it; 130 Ctrl-C.
  Results go to standard output; progress, and the commands that are run, to standard error.
"""


class Root(click.Group):
    """A group whose help lists its commands under headings, and which reads only the command that is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return [name for commands in GROUPS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        for commands in GROUPS.values():
            if cmd_name in commands:
                module, _, name = commands[cmd_name][0].partition(":")
                command = getattr(import_module(module), name)
                # Docstrings are raw: what tells click to keep lines as they are stands in them as two characters.
                command.help = (command.help or "").replace("\\b\n", "\b\n")
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings."""
        for heading, commands in GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, line) for name, (_, line) in commands.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples and what the exit codes mean."""
        formatter.write(f"\n{EXAMPLES}")


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "terminal_width": 100})
def root() -> None:
    """Switchyard: a whole Rails product on Kubernetes, and on this machine to try it.

    A stack is one installation of the product: a Pulumi.STACK.yaml. The stack `sandbox` runs on a small, real cluster
    that sy builds and starts here; other stacks run on clusters that they name. Every command prints the pulumi or
    kubectl command that it runs, and without sy those do the same.
    """
