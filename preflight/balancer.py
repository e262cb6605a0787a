"""Load balancers: whether something in the cluster gives Services of type LoadBalancer an address."""

import time
from collections.abc import Iterator

from preflight.api import Api
from preflight.findings import Finding, right, unknown, wrong
from preflight.needs import Needs
from preflight.objects import Object, name_of, part, parts, text
from preflight.place import LABEL, LateError, Place

KEPT = ("ports", "type", "externalTrafficPolicy", "loadBalancerClass", "loadBalancerSourceRanges", "ipFamilyPolicy", "ipFamilies")


def wanted(needs: Needs) -> list[Object]:
    """Return the stack's Services that wait for an address."""
    return [one for one in needs.of_kind("Service") if text(one, "spec", "type") == "LoadBalancer"]


def balancer(api: Api, needs: Needs, place: Place, service: Object) -> Iterator[Finding]:
    """Look at the stack's own Service; if it has no address yet, make one like it and wait for it to get one."""
    name, began = name_of(service), time.monotonic()
    what = f"load balancer {name}"
    own = api.find(f"/api/v1/namespaces/{needs.namespace}/services/{name}")
    if own and (address := address_of(own)):
        yield right(what, f"the stack's own has {address}")
        return
    place.wait()
    place.create("services", _like(service))
    try:
        address = place.clock.wait(lambda: address_of(place.look("services", name)) or None)
    except LateError:
        yield _without(what, place, name, time.monotonic() - began)
    else:
        yield right(what, f"one like it got {address} after {time.monotonic() - began:.0f} s")


def address_of(service: Object) -> str:
    """Return the address or name that a Service was given; empty when there is none yet."""
    given = parts(service, "status", "loadBalancer", "ingress") or [{}]
    return text(given[0], "ip") or text(given[0], "hostname")


def _without(what: str, place: Place, name: str, seconds: float) -> Finding:
    events = place.api.items(f"{place.path}/events", fieldSelector=f"involvedObject.name={name}")
    said = [text(one, "message") for one in events if text(one, "type") == "Warning"]
    if said:
        return wrong(what, f"no address: {'; '.join(dict.fromkeys(said))}", "mend that, or change mqtt.annotations in the stack's file")
    if events:
        return unknown(what, f"no address within {seconds:.0f} s, but something is at it: clouds take a minute or two")
    cure = "install a load balancer controller (MetalLB, the cloud's), or say in mqtt.annotations what yours looks for"
    return wrong(what, f"nothing took notice of a Service of type LoadBalancer within {seconds:.0f} s", cure)


def _like(service: Object) -> Object:
    metadata = {"name": name_of(service), "annotations": part(service, "metadata", "annotations")}
    spec = {key: value for key, value in part(service, "spec").items() if key in KEPT}
    return {"metadata": metadata, "spec": {**spec, "selector": {LABEL: "open"}}}
