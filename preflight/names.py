"""What stands outside: the gateway, another stack's Loki, host names and their certificates."""

import socket
import ssl
import time
from collections.abc import Iterator
from datetime import date

from preflight.api import Api
from preflight.balancer import address_of, wanted
from preflight.findings import Finding, right, unknown, wrong
from preflight.needs import Needs
from preflight.objects import name_of, parts, text
from settings import proxies
from settings.edge import Edge
from settings.gateway import foreign
from settings.stack import Settings

SECONDS = 5
EXPIRING_DAYS = 14


def gateway(api: Api, name: str) -> Iterator[Finding]:
    """Look for the gateway that may reach the web processes: a namespace of that name with a pod that runs."""
    what = f"gateway {name}"
    if api.find(f"/api/v1/namespaces/{name}") is None:
        yield wrong(what, f"there is no namespace {name}", "install the gateway there, or name its namespace in edge.namespaces")
        return
    running = [one for one in api.items(f"/api/v1/namespaces/{name}/pods") if text(one, "status", "phase") == "Running"]
    if running:
        yield right(what, f"{len(running)} pods run in namespace {name}")
    else:
        yield wrong(what, f"no pod runs in namespace {name}: nothing would lead to the web processes", "start the gateway there")


def shared_logs(api: Api, namespace: str) -> Iterator[Finding]:
    """Look for the Loki of another stack that is to keep the lines: its Service, in that stack's namespace."""
    if api.find(f"/api/v1/namespaces/{namespace}/services/loki"):
        yield right("logs", f"there is a Loki in namespace {namespace}")
    else:
        cure = "bring that stack up first, name another one in logs.namespace, or say logs: {where: cluster}"
        yield wrong("logs", f"there is no Loki in namespace {namespace}: nobody would keep the lines", cure)


def gateway_class(api: Api, edge: Edge) -> Iterator[Finding]:
    """Look for the class that serves the stack's Gateway or Ingress, and whether a controller has taken it on."""
    kind, place = (
        ("GatewayClass", "gateway.networking.k8s.io/v1/gatewayclasses")
        if edge.where == "gateway"
        else ("IngressClass", "networking.k8s.io/v1/ingressclasses")
    )
    what = f"{kind} {edge.class_name}"
    found = api.find(f"/apis/{place}/{edge.class_name}")
    if found is None:
        cure = "run `./sy cluster up -s STACK`, which makes it" if edge.where == "gateway" else "install its controller"
        yield wrong(
            what, "the cluster has none of that name: nobody would serve the stack's edge", f"{cure}, or say another edge.class_name"
        )
        return
    if edge.where == "gateway" and (why := foreign(text(found, "spec", "controllerName"))):
        yield wrong(what, f"it {why}", "name a class of Envoy Gateway's, or run `./sy cluster up -s STACK`, which makes one")
        return
    said = [text(one, "status") for one in parts(found, "status", "conditions") if text(one, "type") == "Accepted"]
    if edge.where == "gateway" and said != ["True"]:
        yield wrong(
            what, "it is there, and no controller has taken it on", f"look at the controller: kubectl -n {edge.gateway_namespace} get pods"
        )
    else:
        yield right(what, "is there" + (", and its controller has taken it on" if edge.where == "gateway" else ""))


def trusted_proxies(edge: Edge, today: date) -> Iterator[Finding]:
    """Look how old the list of Cloudflare's addresses is, where it is trusted."""
    if old := proxies.outdated([*edge.trusted_proxies, *edge.allow_from], today):
        yield wrong("trusted proxies", old, "do that, and commit the file")
    elif edge.behind_cloudflare:
        yield right("trusted proxies", f"Cloudflare's addresses were looked at on {proxies.looked_at()}")


def device_names(settings: Settings) -> list[str]:
    """Return the names that devices dial."""
    if settings.mqtt.where != "cluster":
        return []
    return list(settings.mqtt.host_names) or ([f"mqtt.{settings.domain}"] if settings.domain else [])


def device_name(api: Api, needs: Needs, name: str) -> Iterator[Finding]:
    """Compare where a name that devices dial leads with the broker's own address."""
    what, leads = f"name {name}", _addresses(name)
    address = next((found for one in wanted(needs) if (found := _own_address(api, needs, name_of(one)))), "")
    there = {address} | (_addresses(address) if address else set[str]())
    if not address and not leads:
        yield unknown(what, "it does not resolve, and the address that it should lead to is known only after the first `up`")
    elif not address:
        yield unknown(what, f"it leads to {_listed(leads)}; whether that will be the broker's address is known only after the first `up`")
    elif leads & there:
        yield right(what, f"leads to the broker, {address}")
    else:
        now = f"leads to {_listed(leads)}" if leads else "does not resolve"
        yield wrong(what, f"it {now}, and the broker is at {address}", f"let its DNS record lead to {address}")


def domain(name: str) -> Iterator[Finding]:
    """Look whether the product's name resolves, and whether what answers there has a certificate for it."""
    if not _addresses(name):
        yield wrong(f"name {name}", "does not resolve from this machine", "make a DNS record that leads to the gateway")
        return
    yield right(f"name {name}", f"leads to {_listed(_addresses(name))}")
    yield certificate(name)


def certificate(name: str) -> Finding:
    """Look at the certificate that is served for a name."""
    what = f"certificate {name}"
    try:
        with (
            socket.create_connection((name, 443), SECONDS) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=name) as served,
        ):
            ends = ssl.cert_time_to_seconds(str((served.getpeercert() or {})["notAfter"]))
    except ssl.SSLCertVerificationError as error:
        return wrong(what, f"is not one for it: {error.verify_message}", "give the gateway a certificate for this name")
    except OSError as error:
        return unknown(what, f"nothing answers at {name}:443 ({error})")
    days = (ends - time.time()) / 86400
    if days < EXPIRING_DAYS:
        return wrong(what, f"ends in {days:.0f} days", "renew it, and see why that does not happen by itself")
    return right(what, f"good for {days:.0f} days")


def _own_address(api: Api, needs: Needs, name: str) -> str:
    found = api.find(f"/api/v1/namespaces/{needs.namespace}/services/{name}")
    return address_of(found) if found else ""


def _addresses(name: str) -> set[str]:
    try:
        return {str(one[4][0]) for one in socket.getaddrinfo(name, None)}
    except OSError:
        return set()


def _listed(addresses: set[str]) -> str:
    return ", ".join(sorted(addresses))
