"""Sidekiq: pools of processes that work off queues."""

import pulumi

from components import process
from components.release import Release
from components.site import Site
from components.watch import Watch, fact, rules
from settings.app import SidekiqPool
from settings.types import seconds_of


class Sidekiq(pulumi.ComponentResource):
    """One pool: a Deployment called `sidekiq-<pool>` that gets its queues, concurrency and timeout as arguments.

    The pod's grace period is longer than Sidekiq's own timeout, so a job that can finish does.
    """

    watch: Watch
    """Its own metrics, where it has them, and how many of it there are."""

    def __init__(
        self, name: str, pool: str, args: SidekiqPool, site: Site, release: Release, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Make the pool called `pool` of `release`."""
        super().__init__("switchyard:index:Sidekiq", name, None, opts)
        env = {"RAILS_MAX_THREADS": str(args.concurrency), "SIDEKIQ_TIMEOUT": str(seconds_of(args.stop_within))}
        process.run(self, name, f"sidekiq-{pool}", args, site, release, command=args.argv, env=env)
        # By what it is, not by its name: another process may be called sidekiq-something as well.
        self.watch = process.watched(f"sidekiq-{pool}", args, *rules("sidekiq"), expects=(fact("switchyard:sidekiq", f"sidekiq-{pool}"),))
        self.register_outputs({})
