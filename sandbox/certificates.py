"""The cluster's keys and certificates.

Made with `cryptography`: in-process and typed, where openssl would be thirty calls and a configuration file.
"""

import base64
import datetime
import ipaddress
import json
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.layout import API_SERVICE, API_URL, CONTEXT, HOST, Layout, Node

AUTHORITY_DAYS = 3650
LEAF_DAYS = 365
RENEW_DAYS = 60
"""A certificate with fewer days left is made anew by the next `up`."""


@dataclass(frozen=True)
class Identity:
    """A subject: `name` is also the file name; `names` and `addresses` make it fit for a server."""

    name: str
    common_name: str
    group: str | None = None
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = field(default=())


CONTROL_PLANE = (
    Identity(
        "apiserver",
        "kube-apiserver",
        names=("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"),
        addresses=(HOST, API_SERVICE),
    ),
    Identity("apiserver-kubelet", "kube-apiserver-kubelet-client", "system:masters"),
    Identity("controller-manager", "system:kube-controller-manager"),
    Identity("scheduler", "system:kube-scheduler"),
    Identity("admin", "sandbox-admin", "system:masters"),
    Identity("sandbox-controller", "sandbox-controller", "system:masters"),
)
ETCD = (
    Identity("etcd", "etcd", names=("localhost",), addresses=("127.0.0.1",)),
    Identity("apiserver-etcd", "kube-apiserver"),
)
KUBECONFIGS = ("controller-manager", "scheduler", "sandbox-controller")


def node_identities(node: Node) -> tuple[Identity, ...]:
    """Return the identities that a node's processes use."""
    kubelet = Identity(f"kubelet-{node.name}", f"system:node:{node.name}", "system:nodes", (node.name,), (node.address,))
    proxy = Identity(f"kube-proxy-{node.name}", "system:kube-proxy")
    router = Identity(f"kube-router-{node.name}", "sandbox:kube-router")
    return kubelet, proxy, router


def write_control_plane(layout: Layout) -> None:
    """Make what is missing or about to expire: two authorities, certificates, kubeconfigs, the signing key of tokens."""
    cluster = _authority(layout.pki / "ca", "sandbox")
    # etcd has an authority of its own, or every client of the cluster could read it.
    store = _authority(layout.pki / "etcd-ca", "sandbox-etcd")
    for identity in ETCD:
        _leaf(layout.pki, identity, store)
    for identity in CONTROL_PLANE:
        _leaf(layout.pki, identity, cluster)
    if not (layout.pki / "tokens.key").exists():
        _write_key(layout.pki / "tokens.key", ec.generate_private_key(ec.SECP256R1()))
    for name in KUBECONFIGS:
        _kubeconfig(layout, name, layout.pki / f"{name}.kubeconfig")
    _kubeconfig(layout, "admin", layout.kubeconfig)


def write_node(layout: Layout, node: Node) -> None:
    """Make what is missing of a node's certificates and kubeconfigs."""
    cluster = _authority(layout.pki / "ca", "sandbox")
    for identity in node_identities(node):
        _leaf(layout.pki, identity, cluster)
        _kubeconfig(layout, identity.name, layout.pki / f"{identity.name}.kubeconfig")


@dataclass(frozen=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def _authority(path: Path, name: str) -> _Authority:
    certificate, key = path.with_suffix(".crt"), path.with_suffix(".key")
    if certificate.exists() and key.exists():
        loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        return _Authority(x509.load_pem_x509_certificate(certificate.read_bytes()), loaded)
    made = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, subject, made, AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(authority=True), critical=True)
    signed = builder.sign(made, hashes.SHA256())
    _write_key(key, made)
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return _Authority(signed, made)


def _leaf(folder: Path, identity: Identity, authority: _Authority) -> None:
    path, key_path = folder / f"{identity.name}.crt", folder / f"{identity.name}.key"
    if path.exists() and key_path.exists() and _fresh(path):
        return
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, identity.common_name)]
    if identity.group:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.group))
    builder = _builder(x509.Name(attributes), authority.certificate.subject, key, LEAF_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(authority=False), critical=True)
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
    names = [x509.DNSName(name) for name in identity.names]
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in identity.addresses]
    if names or addresses:
        purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
        builder = builder.add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    _write_key(key_path, key)
    path.write_bytes(builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A laptop's clock may be set back a little after the certificates were made.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not authority,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _fresh(path: Path) -> bool:
    left = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return left.days >= RENEW_DAYS


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    path.touch(mode=0o600)
    path.write_bytes(pem)


def _kubeconfig(layout: Layout, name: str, path: Path) -> None:
    def embedded(file: str) -> str:
        return base64.b64encode((layout.pki / file).read_bytes()).decode()

    cluster = {"server": API_URL, "certificate-authority-data": embedded("ca.crt")}
    user = {"client-certificate-data": embedded(f"{name}.crt"), "client-key-data": embedded(f"{name}.key")}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": name}}],
        "current-context": CONTEXT,
    }
    # JSON is YAML. A file that already has this certificate is left alone: kubectl keeps its user's choices in it.
    if not path.exists() or user["client-certificate-data"] not in path.read_text():
        path.touch(mode=0o600)
        path.write_text(json.dumps(document, indent=2) + "\n")
