"""A stack that is up as far as its state says: what the engine makes of changes to it can be asked without a cluster."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.engine.project import Project

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What stands in a preview for a value that only a provider knows."""


def pretend(project: Project, stack: str) -> None:
    """Write a state in which everything that a preview would create has been created."""
    preview = project.preview(stack)
    assert preview.code == 0, preview.text
    planned = preview.resources
    exported = json.loads(project.ok("stack", "export", "--stack", stack))
    # A preview leaves out the providers that nobody asked for by name.
    providers = [urn for urn in {one["provider"].rsplit("::", 1)[0] for one in planned if one.get("provider")} if ":default" in urn]
    defaults = [{"urn": urn, "type": urn.split("::")[-2], "custom": True, "inputs": {}} for urn in sorted(providers)]
    exported["deployment"]["resources"] = [made(one) for one in [planned[0], *defaults, *planned[1:]]]
    project.ok("stack", "import", "--stack", stack, given=json.dumps(exported).replace(UNKNOWN, f"lamp-{stack}"))


def made(planned: dict[str, Any]) -> dict[str, Any]:
    """Return a planned resource as a state has it when it is there."""
    name = planned["urn"].rsplit("::", 1)[-1]
    about = planned.get("inputs", {}).get("metadata", {})
    made_id = "/".join(part for part in (about.get("namespace"), about.get("name")) if part) or name
    said = planned.get("inputs", {})
    one = {**planned, "outputs": {**said, **computed(planned["type"], name), **({"__inputs": said} if about else {})}}
    is_provider = planned["type"].startswith("pulumi:providers:")
    return one | ({"id": UNKNOWN if is_provider else made_id} if planned["custom"] else {})


def computed(kind: str, name: str) -> dict[str, Any]:
    """Return what a provider would have computed."""
    if kind.startswith("random:"):
        return {"result": name, "hex": "0badcafe", "bcryptHash": name}
    key = ec.generate_private_key(ec.SECP256R1())
    if kind == "tls:index/privateKey:PrivateKey":
        return {"privateKeyPem": pem(key), "rsaBits": 2048}
    if kind.startswith("tls:"):
        certain = {"earlyRenewalHours": 0, "readyForRenewal": False, "setAuthorityKeyId": False, "keyAlgorithm": "ECDSA"}
        until = {"validityStartTime": "2026-01-01T00:00:00Z", "validityEndTime": "2036-01-01T00:00:00Z"}
        return {"certPem": certificate(key), "certRequestPem": name, **certain, **until}
    return {}


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a key as the provider writes it."""
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain).decode()


def certificate(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a certificate that is signed by its own key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "devices")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=3650))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
