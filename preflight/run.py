"""All checks side by side, with a deadline, and the cluster as it was afterwards."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial

from preflight import balancer, images, names, namespace, packets, rights, room, server, storage
from preflight.api import Api, ApiError, Proxy
from preflight.findings import Check, Finding, right, unknown, wrong
from preflight.namespace import Standing
from preflight.needs import Needs
from preflight.objects import name_of, text
from preflight.place import Clock, LateError, Place, StoppedError, leftovers, pull_secrets, remove
from settings.ownership import STACK_LABEL
from settings.stack import Settings

ASK_SECONDS = 45.0
"""How long the cluster is asked; then it is tidied up, and a minute is not over."""
TIDY_SECONDS = 12.0
Say = Callable[[str], None]
"""Tells who waits what is being done."""


def preflight(
    kubectl: Sequence[str],
    env: Mapping[str, str],
    settings: Settings,
    standing: Standing,
    needs: Needs,
    say: Say,
    login: str = "",
    seconds: float = ASK_SECONDS,
) -> list[Finding]:
    """Ask the cluster that `kubectl` (program and context) leads to everything about a stack; nothing is left there afterwards.

    `login` is the Docker configuration that `images.login` stands for, empty when the password can not be read here.
    """
    cluster = settings.cluster
    try:
        with Proxy(kubectl, env) as api:
            api.get("/version")
            first = right("API server", f"cluster {cluster.identifier} answers (context {cluster.context})")
            return [first, *_asked(api, settings, standing, needs, say, Place(api, needs, Clock(seconds), login))]
    except ApiError as error:
        cure = (
            f"look with `kubectl --context {cluster.context} version`; the stack's file names it as cluster.context and cluster.kubeconfig"
        )
        return [wrong("API server", f"cluster {cluster.identifier} (context {cluster.context}) does not answer: {error}", cure)]


def _asked(api: Api, settings: Settings, standing: Standing, needs: Needs, say: Say, place: Place) -> list[Finding]:
    tidied = list(_leftovers(api, say))
    say(f"trying pods, volumes and policies in namespace {place.name}, which is deleted again")
    threading.Thread(target=_make, args=(place,), daemon=True).start()
    found: list[Finding] = []
    try:
        found = run(checks(api, settings, standing, needs, place), place.clock, say)
    finally:
        place.clock.stop()
        say(f"deleting namespace {place.name}")
        gone = place.remove(TIDY_SECONDS)
    return [*tidied, *found, *([] if gone else [_still_there(place)])]


def checks(api: Api, settings: Settings, standing: Standing, needs: Needs, place: Place) -> list[Check]:
    """Return all questions about a stack, in the order of the report."""
    ask = partial
    protect = settings.protect
    logins = frozenset(pull_secrets(needs))
    volumes = storage.classes(needs)
    made = [
        Check("version", ask(server.version, api)),
        Check("clock", ask(server.clock, api)),
        Check("rights", ask(rights.rights, api, needs)),
        Check("namespace", ask(namespace.namespace, api, needs, standing, settings.cluster.identifier)),
        Check("admission", ask(_admission, api, needs, standing.owner, place)),
        Check("quota", ask(room.quota, api, needs)),
        Check("nodes", ask(room.nodes, api, needs)),
    ]
    made += [Check(f"storage class {one or ''}".strip(), ask(storage.storage_class, api, one, protect)) for one in volumes]
    made += [Check(f"volume {one or ''}".strip(), ask(storage.volume, api, needs, place, one, claims)) for one, claims in volumes.items()]
    made += [
        Check(f"image {images.short(one)}", ask(images.pull, needs, place, one, logins, copying(settings, needs.stack, one)))
        for one in images.images(needs)
    ]
    outside = packets.external_targets(settings)
    made += [Check("network policies", ask(packets.packets, needs, settings, place, packets.policies_of(needs), outside))]
    made += [Check(f"load balancer {name_of(one)}", ask(balancer.balancer, api, needs, place, one)) for one in balancer.wanted(needs)]
    made += [Check(f"gateway {one}", ask(names.gateway, api, one)) for one in settings.edge.namespaces]
    if settings.edge.where != "none":
        made.append(Check("gateway", ask(names.gateway_class, api, settings.edge)))
        made.append(Check("trusted proxies", ask(names.trusted_proxies, settings.edge, date.today())))
    if settings.logs.where == "shared" and settings.logs.namespace:
        made.append(Check("logs", ask(names.shared_logs, api, settings.logs.namespace)))
    made += [Check(f"name {one}", ask(names.device_name, api, needs, one)) for one in names.device_names(settings)]
    return made + ([Check(f"name {settings.domain}", ask(names.domain, settings.domain))] if settings.domain else [])


def copying(settings: Settings, stack: str, image: str) -> str:
    """Return how an image, as the stack's pods name it, gets to where the cluster pulls it from."""
    known = {settings.images.reference(name): name for name in settings.image_names()}
    return settings.cures(stack).copy(known.get(image, image))


def run(asked: Sequence[Check], clock: Clock, say: Say) -> list[Finding]:
    """Ask everything at once and return the answers in the order of the questions; who is late is unknown."""
    answers: queue.Queue[tuple[int, list[Finding]]] = queue.Queue()
    for number, check in enumerate(asked):
        threading.Thread(target=_answer, args=(answers, number, check), daemon=True).start()
    found: dict[int, list[Finding]] = {}
    with contextlib.suppress(queue.Empty):
        while len(found) < len(asked):
            # A moment more than those have who wait themselves.
            number, said = answers.get(timeout=clock.left + 1)
            found[number] = said
            for one in said:
                if one.verdict != "right":
                    say(f"{one.check}: {one.verdict}")
    late = "no answer in time; ask again"
    return [one for number, check in enumerate(asked) for one in found.get(number) or [unknown(check.what, late)]]


def _answer(answers: "queue.Queue[tuple[int, list[Finding]]]", number: int, check: Check) -> None:
    made: list[Finding] = []
    try:
        made += check.ask()
    except ApiError as error:
        made.append(unknown(check.what, f"the cluster does not say: {error}"))
    except LateError:
        made.append(unknown(check.what, "no answer in time; ask again"))
    except StoppedError:
        return
    except Exception as error:
        made.append(unknown(check.what, f"the question went wrong: {type(error).__name__}: {error}"))
    answers.put((number, made))


def _admission(api: Api, needs: Needs, owner: str, place: Place) -> Iterator[Finding]:
    """Try the stack's objects where they will stand; if that is not there yet, in the temporary namespace."""
    found = api.find(f"/api/v1/namespaces/{needs.namespace}")
    own = found is not None and text(found, "metadata", "labels", STACK_LABEL) == owner
    if not own:
        place.wait()
    yield from namespace.accepted(api, needs, needs.namespace if own else place.name)


def _make(place: Place) -> None:
    # Whoever waits for it gets the error.
    with contextlib.suppress(ApiError, LateError, StoppedError):
        place.make()


def _leftovers(api: Api, say: Say) -> Iterator[Finding]:
    """Remove what killed runs left, and say so."""
    try:
        found = leftovers(api, time.time())
        for name in found:
            say(f"deleting namespace {name}, which a killed run left")
            remove(api, name, 0)
    except ApiError:
        return
    if found:
        yield right("left-overs", f"deleted of runs that were killed: {', '.join(found)}")


def _still_there(place: Place) -> Finding:
    return unknown("tidying up", f"namespace {place.name} is still being deleted; the cluster goes on with it by itself")
