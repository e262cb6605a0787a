"""Sums that must work out: connections, pools, memory, the budget. Each sentence shows its arithmetic."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from settings.footprint import Footprint, footprint, total
from settings.problems import Path, Problem, dotted
from settings.quantities import bytes_of, cores_of, said_bytes, said_cores

if TYPE_CHECKING:
    from settings.stack import Settings

RESERVED_CONNECTIONS = 8
"""What the app leaves: three for the superuser, as which Patroni works, five for backups, metrics and a person's console."""
DEFAULT_POOL = 5
"""What a process opens whose threads are not said: Rails' own default for a pool."""
RELEASE_CONNECTIONS = 2
"""A migration, and the connection on which Rails holds its lock."""
REDIS_OVERHEAD = 32 * 2**20
"""Bytes that a Valkey server needs beside its data: itself, its clients' buffers, copied pages."""
_APP: tuple[Path, ...] = (("web",), ("sidekiq",), ("consumer",), ("processes",), ("schedules",), ("release",), ("app", "config"))


@dataclass(frozen=True)
class Connections:
    """What one kind of process opens at the most."""

    path: Path
    each: int
    """Of one replica."""
    replicas: int
    rolls: bool
    """Whether old and new ones run side by side while a release is rolled out."""
    processes: int = 1
    """Server processes in a replica, each with threads of its own; `each` counts them all."""

    @property
    def product(self) -> str:
        """The multiplication as people write it: processes x threads x replicas."""
        threads = f"{self.processes} x {self.each // self.processes}" if self.processes > 1 else str(self.each)
        return f"{dotted(self.path)} {threads} x {self.replicas}"

    @property
    def all(self) -> int:
        """Of all replicas."""
        return self.each * self.replicas


def problems(settings: "Settings") -> Iterator[Problem]:
    """Yield each sum that does not work out."""
    yield from _connections(settings)
    yield from _pools(settings)
    yield from _redis(settings)
    yield from _budget(settings)


def connections(settings: "Settings") -> list[Connections]:
    """Return the database connections that the stack's processes open at the most."""
    found = [
        Connections(("web", name), (web.concurrency or 1) * web.threads, web.replicas, not web.singleton, web.concurrency or 1)
        for name, web in settings.web.items()
    ]
    found += [
        Connections(("sidekiq", name), pool.concurrency, pool.replicas, not pool.singleton) for name, pool in settings.sidekiq.items()
    ]
    if (consumer := settings.consumer).where == "cluster":
        rolls = not (consumer.singleton or consumer.alone)
        found.append(Connections(("consumer",), _pool(settings, consumer.config), consumer.replicas, rolls))
    for name, process in settings.running_processes().items():
        found.append(Connections(("processes", name), _pool(settings, process.config), process.replicas, not process.singleton))
    found += [Connections(("schedules", name), 1, 1, False) for name in settings.schedules]
    if settings.release.command:
        found.append(Connections(("release",), RELEASE_CONNECTIONS, 1, False))
    return found


def _pool(settings: "Settings", own: dict[str, str]) -> int:
    """Return the pool of a process whose threads no setting names: what its config vars say, or Rails' default."""
    said = {**settings.app.config, **own}
    found = next((said[var] for var in ("DB_POOL", "RAILS_MAX_THREADS") if said.get(var, "").isdecimal()), str(DEFAULT_POOL))
    return int(found[:9])


def _connections(settings: "Settings") -> Iterator[Problem]:
    postgres = settings.postgres
    if postgres.where == "none" or (postgres.where == "external" and "max_connections" not in postgres.model_fields_set):
        # Of somebody else's server the limit is known only when it is said.
        return
    parts = connections(settings)
    rolling = [part for part in parts if part.rolls]
    others = [part for part in parts if not part.rolls]
    once = sum(part.all for part in parts)
    needed = once + sum(part.all for part in rolling)
    free = postgres.max_connections - RESERVED_CONNECTIONS
    if needed <= free:
        return
    terms = " + ".join(part.product for part in rolling)
    rest = "".join(f" + {part.product}" for part in others)
    arithmetic = f"2 x ({terms}){rest}" if rolling else rest.removeprefix(" + ")
    yield Problem(
        ("postgres", "max_connections"),
        f"the processes open up to {once} connections, and {needed} while a release is rolled out: {arithmetic} = {needed}. "
        f"{RESERVED_CONNECTIONS} are kept for the superuser, backups and consoles, which leaves {free}; "
        f"expected at least {needed + RESERVED_CONNECTIONS}, or fewer threads and replicas",
        postgres.max_connections,
        _APP,
    )


def _pools(settings: "Settings") -> Iterator[Problem]:
    """Yield a problem for each process with more threads than the pool that its config vars give it."""
    threads: list[tuple[Path, int, dict[str, str]]] = [
        (("web", name, "threads"), web.threads, web.config) for name, web in settings.web.items()
    ]
    threads += [(("sidekiq", name, "concurrency"), pool.concurrency, pool.config) for name, pool in settings.sidekiq.items()]
    for path, wanted, own in threads:
        for var in ("DB_POOL", "RAILS_MAX_THREADS"):
            where: Path = (*path[:-1], "config", var) if var in own else ("app", "config", var)
            text = own.get(var, settings.app.config.get(var))
            if (var == "RAILS_MAX_THREADS" and var in own) or text is None:
                # What it means there is said by another check.
                continue
            if not text.isdecimal() or len(text) > 6:
                yield Problem(where, "expected a number of connections", text)
            elif int(text) < wanted:
                said = f"{dotted(path)} is {wanted}: {wanted} threads would wait for {text} connections"
                yield Problem(where, f"{said}; expected at least {wanted}, or leave it out", text, (path,))


def _redis(settings: "Settings") -> Iterator[Problem]:
    for name, redis in settings.redis.items():
        memory = bytes_of(redis.resources.memory)
        data = int(memory * Decimal(str(redis.memory_share)))
        if redis.where == "cluster" and memory - data < REDIS_OVERHEAD:
            limit, share = said_bytes(memory), redis.memory_share
            yield Problem(
                ("redis", name, "resources", "memory"),
                f"maxmemory is {share:g} x {limit} = {said_bytes(data)}, which leaves {said_bytes(memory - data)} of the limit for the "
                f"server itself; expected at least {said_bytes(REDIS_OVERHEAD)}: say more memory, or a smaller memory_share",
                redis.resources.memory,
                (("redis", name),),
            )


def _budget(settings: "Settings") -> Iterator[Problem]:
    budget = settings.budget
    if budget is None:
        return
    parts = footprint(settings)
    asked = total(parts)
    reads = tuple(part.path for part in parts)
    if asked.cpu > (allowed := cores_of(budget.cpu)):
        terms = _terms([(part, f"{part.pods} x {said_cores(part.cpu)}", part.cpu * part.pods) for part in parts])
        yield _over("cpu", f"{said_cores(asked.cpu)} cores", said_cores(allowed), terms, budget.cpu, reads)
    if asked.memory > (room := bytes_of(budget.memory)):
        terms = _terms([(part, f"{part.pods} x {said_bytes(part.memory)}", Decimal(part.memory * part.pods)) for part in parts])
        yield _over("memory", said_bytes(asked.memory), said_bytes(room), terms, budget.memory, reads)
    if asked.storage > (room := bytes_of(budget.storage)):
        kept = [part for part in parts if part.storage]
        terms = _terms([(part, f"{part.replicas} x {said_bytes(part.storage)}", Decimal(part.storage * part.replicas)) for part in kept])
        yield _over("storage", said_bytes(asked.storage), said_bytes(room), terms, budget.storage, reads)


def _terms(rows: list[tuple[Footprint, str, Decimal]]) -> str:
    """Return a sum, its largest part first."""
    return " + ".join(f"{part.component} {text}" for part, text, _ in sorted(rows, key=lambda row: -row[2]))


def _over(what: str, asked: str, allowed: str, terms: str, said: str, reads: tuple[Path, ...]) -> Problem:
    when = "" if what == "storage" else " while a release is rolled out"
    reason = f"the stack asks for {asked} of {what}{when}, and the budget is {allowed}: {terms}"
    return Problem(("budget", what), reason, said, reads)
