"""The blackbox exporter: it looks at the certificates that the stack's TLS listeners show, and tells when they expire."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import yaml

from components.exporter import CONFIG, Exporter, run
from components.kube import network
from components.kube.configuration import config_map
from components.site import Site
from components.watch import Scrape, Watch, fact, members, rules
from settings.metrics import Metrics

PORT = 9115


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """Pods of another namespace, which let everybody in."""

    namespace: str
    labels: Mapping[str, str]
    port: int
    """Where they listen: behind their Service it is another port than before it."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A TLS listener of the stack, whose certificate is looked at."""

    component: str
    host: str
    port: int
    server_name: str
    """A name that the certificate must be valid for."""
    verified: bool = True
    """Whether the stack's own authority signed it. Of any other it is only told when it ends: who trusts it is not known here."""
    elsewhere: Elsewhere | None = None
    """The pods that show it, where they are not the component's own."""


class CertificateExporter(pulumi.ComponentResource):
    """The Deployment `blackbox-exporter`: it dials TLS listeners as their clients do, and tells when the certificate shown expires."""

    watch: Watch

    def __init__(
        self,
        name: str,
        listeners: Sequence[Shown],
        authority: pulumi.Input[str] | None,
        args: Metrics,
        site: Site,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the exporter of `listeners`; `authority` signed those certificates that are verified."""
        super().__init__("switchyard:index:CertificateExporter", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        said = blackbox(listeners)
        files: dict[str, pulumi.Input[str]] = {"blackbox.yml": said, **({"ca.pem": authority} if authority is not None else {})}
        config = config_map(name, name, site, files, child, said)
        command = ["prometheus-blackbox-exporter", f"--config.file={CONFIG}/blackbox.yml", f"--web.listen-address=:{PORT}"]
        exporter = Exporter(name=name, port=PORT, command=command, resources=args.exporters)
        run(self, name, [exporter], args, site, config=config)
        own = site.selector(name)
        for one in (each for each in listeners if each.elsewhere is None):
            theirs = site.selector(one.component)
            network.allow_out(f"{name}-dials-{one.component}", name, site, own, [network.pods(theirs)], [one.port], child)
            network.allow_in(f"{name}-dials-{one.component}-in", one.component, site, [network.pods(own)], [one.port], child)
        # Proxies show a certificate for each host, and are the same pods: the first says how they are called.
        dialled: dict[str, tuple[str, Elsewhere]] = {}
        for one in listeners:
            if one.elsewhere:
                dialled.setdefault(one.elsewhere.namespace, (one.component, one.elsewhere))
        for component, there in dialled.values():
            beyond = [network.pods_of_namespace(there.namespace, there.labels)]
            network.allow_out(f"{name}-dials-{component}", name, site, own, beyond, [there.port], child)
        scrapes = [
            Scrape(
                job="certificates",
                component=name,
                port=PORT,
                path="/probe",
                params={"module": [one.component], "target": [f"{one.host}:{one.port}"]},
                about=one.component,
            )
            for one in listeners
        ]
        expected = (members(name, 1), *(fact("switchyard:certificate", one.component) for one in listeners))
        self.watch = Watch(rules=rules("certificates"), scrapes=tuple(scrapes), expectations=expected)
        self.register_outputs({})


def blackbox(listeners: Sequence[Shown]) -> str:
    """Return blackbox.yml: a module for each listener, which verifies what a client of the stack's authority would."""
    modules = {
        one.component: {
            "prober": "tcp",
            "timeout": "5s",
            "tcp": {"preferred_ip_protocol": "ip4", "tls": True, "tls_config": _verifying(one) | {"server_name": one.server_name}},
        }
        for one in listeners
    }
    return yaml.safe_dump({"modules": modules}, sort_keys=False)


def _verifying(one: Shown) -> dict[str, object]:
    return {"ca_file": f"{CONFIG}/ca.pem"} if one.verified else {"insecure_skip_verify": True}
