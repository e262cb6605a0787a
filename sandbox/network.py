"""The bridge, the nodes' cables, the firewall's two doors, and network namespaces for clients outside the cluster."""

import ipaddress
import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.host import run, succeeds
from sandbox.layout import (
    API_PORT,
    BALANCERS,
    BRIDGE,
    BRIDGE_ALIAS,
    HOST,
    MAX_NODES,
    NETWORK,
    OUTSIDE_FIRST,
    OUTSIDE_LAST,
    PODS,
    REGISTRY_PORT,
    SERVICES,
    Node,
    nodes_up_to,
)
from tools.errors import UserError

ROUTE_PROTOCOL = "118"
"""Mark of the routes that the sandbox controller keeps; some refuse and belong to no interface."""

RULE_MARK = "switchyard-sandbox"
"""Comment of every firewall rule of ours."""

NETNS = Path("/run/netns")


@dataclass(frozen=True)
class Port:
    """An address and port that a process of ours is about to take."""

    address: str
    port: int
    user: str


def check_ranges() -> None:
    """Raise UserError when another interface or route of this machine uses the sandbox's addresses or its bridge's name."""
    for link in _json("-d", "link", "show"):
        if link["ifname"] == BRIDGE and link.get("ifalias") != BRIDGE_ALIAS:
            raise UserError(f"An interface called {BRIDGE} exists and is not the sandbox's: rename or remove it.")
    ours = [ipaddress.ip_network(text) for text in (NETWORK, PODS, SERVICES, BALANCERS)]
    for route in _json("route", "show", "table", "all"):
        if route.get("dev") == BRIDGE or route.get("protocol") == ROUTE_PROTOCOL:
            continue
        if route["dst"] == "default" or ":" in route["dst"]:
            continue
        theirs = ipaddress.ip_network(route["dst"], strict=False)
        for network in ours:
            if theirs.prefixlen > 0 and theirs.version == 4 and network.overlaps(theirs):
                device = route.get("dev", "an unnamed interface")
                raise UserError(f"The sandbox needs {network}, and {device} has a route to {theirs}: take that interface down.")


def check_ports(ports: list[Port]) -> None:
    """Raise UserError when somebody else listens where one of our processes is about to."""
    for line in run("ss", "-Hltnp").splitlines():
        fields = line.split()
        address, _, number = fields[3].rpartition(":")
        holder = line.partition("users:((")[2].split(",pid=")
        who = f"{holder[0].strip(chr(34))} (pid {holder[1].split(',')[0]})" if len(holder) > 1 else "another process"
        address = address.partition("%")[0].strip("[]").removeprefix("::ffff:")
        for port in ports:
            if int(number) == port.port and address in (port.address, "0.0.0.0", "*", "::"):
                raise UserError(f"{port.user} needs {port.address}:{port.port}, and {who} listens there: stop it and try again.")


def make_bridge() -> None:
    """Create the bridge with the host's address on it, and the firewall rules it needs."""
    if not link_exists(BRIDGE):
        run("ip", "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0")
        run("ip", "link", "set", BRIDGE, "alias", BRIDGE_ALIAS)
    run("ip", "address", "replace", f"{HOST}/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    # Clients outside send to Services through the host; only what comes from the bridge is forwarded, and only back to it.
    Path(f"/proc/sys/net/ipv4/conf/{BRIDGE}/forwarding").write_text("1")
    Path(f"/proc/sys/net/ipv4/conf/{BRIDGE}/send_redirects").write_text("0")
    for chain, rule in _rules():
        if not succeeds("iptables", "-w", "5", "-C", chain, *rule):
            run("iptables", "-w", "5", "-I", chain, *rule)


def make_node(node: Node) -> None:
    """Create a node's network namespace and its cable to the bridge."""
    if not (NETNS / node.netns).exists():
        run("ip", "netns", "add", node.netns)
    inside = ("ip", "-n", node.netns)
    if not link_exists(node.link):
        run("ip", "link", "add", node.link, "type", "veth", "peer", "name", "eth0", "netns", node.netns)
    run("ip", "link", "set", node.link, "master", BRIDGE, "up")
    run(*inside, "link", "set", "lo", "up")
    run(*inside, "address", "replace", f"{node.address}/24", "dev", "eth0")
    run(*inside, "link", "set", "eth0", "up")
    run(*inside, "route", "replace", "default", "via", HOST)
    for other in nodes_up_to(MAX_NODES):
        if other != node:
            run(*inside, "route", "replace", other.pods, "via", other.address)
    settings = "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv4/conf/all/send_redirects"
    # Frames between two pods of one node must pass the firewall, or policies would not hold among them.
    bridged = "echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables"
    run("nsenter", f"--net={NETNS / node.netns}", "sh", "-c", f"{settings}; {bridged} || true")
    run("ip", "route", "replace", node.pods, "via", node.address, "dev", BRIDGE)


def remove_node(node: Node) -> None:
    """Remove a node's cable, network namespace and route; its firewall rules and ipsets live and end with the namespace."""
    if link_exists(BRIDGE):
        run("ip", "route", "del", node.pods, "via", node.address, check=False)
    if link_exists(node.link):
        run("ip", "link", "del", node.link)
    if (NETNS / node.netns).exists():
        run("ip", "netns", "del", node.netns)


def remove_bridge() -> None:
    """Remove clients' namespaces, the bridge with all its routes, and our firewall rules."""
    for path in NETNS.glob("sy-out-*"):
        run("ip", "netns", "del", path.name)
    for chain, rule in _rules():
        while succeeds("iptables", "-w", "5", "-C", chain, *rule):
            run("iptables", "-w", "5", "-D", chain, *rule)
    if link_exists(BRIDGE):
        run("ip", "link", "del", BRIDGE)
    run("ip", "-4", "route", "flush", "proto", ROUTE_PROTOCOL)
    _forget_netns_folder()


def set_cable(node: Node, up: bool) -> None:
    """Plug a node's cable in or out at the host's end."""
    run("ip", "link", "set", node.link, "up" if up else "down")


def link_exists(name: str) -> bool:
    """Say whether the host has an interface called `name`."""
    return Path(f"/sys/class/net/{name}").exists()


@dataclass(frozen=True)
class Outside:
    """A client on the bridge that is neither the host nor a node."""

    netns: str
    address: str

    def argv(self, *argv: str) -> list[str]:
        """Return the command line that runs `argv` in the client's place."""
        return ["nsenter", f"--net={NETNS / self.netns}", *argv]


@contextmanager
def outside(name: str) -> Generator[Outside]:
    """Give a network namespace with an address of its own on the bridge; Services are reached through the host's routes."""
    netns, link = f"sy-out-{name}", f"sy-o{name}"[:15]
    address = _free_address()
    run("ip", "netns", "add", netns)
    try:
        inside = ("ip", "-n", netns)
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "address", _hardware(address), "netns", netns)
        run("ip", "link", "set", link, "master", BRIDGE, "up")
        run("ip", "link", "set", link, "alias", address)
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "address", "add", f"{address}/24", "dev", "eth0")
        run(*inside, "link", "set", "eth0", "up")
        run(*inside, "route", "add", "default", "via", HOST)
        yield Outside(netns, address)
    finally:
        # The cable goes first and by name: a namespace is freed late, and its cable's end with it.
        run("ip", "link", "del", link, check=False)
        run("ip", "netns", "del", netns)


def _hardware(address: str) -> str:
    """Return the hardware address of a client: always the same for its address.

    Another one each time would leave the nodes sending answers to the client before it, until they ask again some eight seconds later.
    """
    return ":".join(f"{part:02x}" for part in (2, 0, *map(int, address.split("."))))


def _free_address() -> str:
    taken = {link.get("ifalias") for link in _json("link", "show", "master", BRIDGE)}
    for last in range(OUTSIDE_FIRST, OUTSIDE_LAST + 1):
        if f"10.118.0.{last}" not in taken:
            return f"10.118.0.{last}"
    raise UserError("All addresses for clients outside the cluster are in use: `./sy down` removes those left behind.")


def _rules() -> list[tuple[str, list[str]]]:
    """Return (chain, rule) for a host whose own firewall drops by default; with bridge-nf, frames between nodes pass FORWARD too."""
    mark = ["-m", "comment", "--comment", RULE_MARK]
    ports = f"{REGISTRY_PORT},{API_PORT}"
    return [
        ("FORWARD", ["-i", BRIDGE, *mark, "-j", "DROP"]),
        ("FORWARD", ["-i", BRIDGE, "-o", BRIDGE, *mark, "-j", "ACCEPT"]),
        ("INPUT", ["-i", BRIDGE, "-p", "tcp", "-m", "multiport", "--dports", ports, *mark, "-j", "ACCEPT"]),
        ("INPUT", ["-i", BRIDGE, "-m", "conntrack", "--ctstate", "ESTABLISHED", *mark, "-j", "ACCEPT"]),
    ]


def _forget_netns_folder() -> None:
    """Unmount /run/netns when nothing is left in it: `ip netns add` mounts it and never takes it away."""
    if NETNS.is_dir() and not any(NETNS.iterdir()):
        run("umount", str(NETNS), check=False)
        NETNS.rmdir()


def _json(*argv: str) -> list[dict[str, Any]]:
    text = run("ip", "-j", *argv)
    return json.loads(text) if text.strip() else []
