"""Certificates inside a stack: an authority of its own, and the servers' certificates that it signs."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_tls as tls
from pulumi_kubernetes import core

from components.kube.workload import metadata
from components.site import Site

YEAR_HOURS = 365 * 24
AUTHORITY_YEARS = 10
"""Devices carry the authority's certificate; replacing it means reaching every one of them."""
SERVER_YEARS = 2
RENEWAL_YEARS = 1
"""The first `up` in a server certificate's last year renews it. Whoever runs `up` once a year never sees one expire."""
SERVER_USES = ("digital_signature", "server_auth")
"""What a server's key is for."""
MEMBER_USES = (*SERVER_USES, "client_auth")
"""What the key of a server is for that also dials others of its kind."""


@dataclass(frozen=True, kw_only=True)
class ServerCertificate:
    """A server's key and certificate, as PEM."""

    key: pulumi.Output[str]
    certificate: pulumi.Output[str]
    authority: pulumi.Output[str]
    """The certificate that clients verify it with."""

    @property
    def fingerprint(self) -> pulumi.Output[str]:
        """Ten digits that change with the certificate, known only after the engine has made it."""
        return self.certificate.apply(lambda pem: hashlib.sha256(pem.encode()).hexdigest()[:10])


class CertificateAuthority(pulumi.ComponentResource):
    """The stack's own certificate authority: an ECDSA P-256 key in the encrypted state, and a certificate for ten years.

    It is not renewed early by itself: every device that knows the old one would be locked out. For the same reason the engine
    refuses to replace or delete it where the stack's tier protects data.
    """

    certificate: pulumi.Output[str]
    """What clients verify servers with, as PEM. No secret."""

    def __init__(self, name: str, site: Site, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the authority of `site`."""
        super().__init__("switchyard:index:CertificateAuthority", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self._key = _key(f"{name}-key", site.keeping(f"{name}-key", child))
        made = tls.SelfSignedCert(
            f"{name}-certificate",
            private_key_pem=self._key.private_key_pem,
            subject=tls.SelfSignedCertSubjectArgs(common_name=f"{site.owner} devices", organization=site.product),
            is_ca_certificate=True,
            set_subject_key_id=True,
            allowed_uses=["cert_signing", "crl_signing"],
            validity_period_hours=AUTHORITY_YEARS * YEAR_HOURS,
            opts=site.keeping(f"{name}-certificate", child),
        )
        self.certificate = made.cert_pem
        self.register_outputs({"certificate": self.certificate})

    def server_certificate(
        self,
        name: str,
        dns_names: Sequence[str],
        ips: Sequence[str],
        opts: pulumi.ResourceOptions | None = None,
        *,
        uses: Sequence[str] = SERVER_USES,
    ) -> ServerCertificate:
        """Make a key and a certificate for a server that is dialled by any of these names and addresses."""
        key = _key(f"{name}-key", opts)
        request = tls.CertRequest(
            f"{name}-request",
            private_key_pem=key.private_key_pem,
            # A common name has 64 characters at most; clients look at the names below.
            subject=tls.CertRequestSubjectArgs(common_name=dns_names[0][:64]),
            dns_names=list(dns_names),
            ip_addresses=list(ips) or None,
            opts=opts,
        )
        signed = tls.LocallySignedCert(
            f"{name}-certificate",
            cert_request_pem=request.cert_request_pem,
            ca_private_key_pem=self._key.private_key_pem,
            ca_cert_pem=self.certificate,
            allowed_uses=list(uses),
            validity_period_hours=SERVER_YEARS * YEAR_HOURS,
            early_renewal_hours=RENEWAL_YEARS * YEAR_HOURS,
            opts=opts,
        )
        return ServerCertificate(key=key.private_key_pem, certificate=signed.cert_pem, authority=self.certificate)

    def server_secret(
        self,
        name: str,
        component: str,
        dns_names: Sequence[str],
        site: Site,
        opts: pulumi.ResourceOptions,
        *,
        uses: Sequence[str] = SERVER_USES,
    ) -> pulumi.Output[str]:
        """Make a server's certificate and the Secret `<component>-tls-<fingerprint>` with it (tls.key, tls.crt, ca.crt); return its name.

        The name changes with the certificate, which the engine renews by itself, so that a renewal rolls the pods. A renewed certificate
        never takes an earlier name again, so unlike other Secrets this one can be one resource.
        """
        made = self.server_certificate(f"{name}-tls", dns_names, [], opts, uses=uses)
        content = {"tls.key": made.key, "tls.crt": made.certificate, "ca.crt": made.authority}
        kube_name = made.fingerprint.apply(lambda fingerprint: f"{component}-tls-{fingerprint}")
        core.v1.Secret(f"{name}-tls", metadata=metadata(component, site, kube_name), string_data=content, immutable=True, opts=opts)
        return kube_name


def _key(name: str, opts: pulumi.ResourceOptions | None) -> tls.PrivateKey:
    return tls.PrivateKey(name, algorithm="ECDSA", ecdsa_curve="P256", opts=opts)
