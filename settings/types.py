"""The types that settings are made of: frozen models, names, quantities and durations."""

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_SUFFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_NUMBER = r"(?P<number>\d+(?:\.\d+)?)"


class Model(BaseModel):
    """A frozen piece of settings: unknown keys are refused, values are not coerced."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


def bytes_of(quantity: str) -> int:
    """Return the bytes that a Kubernetes quantity such as `512Mi` or `1.5G` stands for; ValueError when it is none."""
    match = re.fullmatch(_NUMBER + r"(?P<suffix>k|M|G|T|Ki|Mi|Gi|Ti)?", quantity)
    if not match:
        raise ValueError("expected a quantity of bytes such as 512Mi, 1.5Gi or 20G")
    return int(Decimal(match["number"]) * _SUFFIXES[match["suffix"] or ""])


def cores_of(quantity: str) -> Decimal:
    """Return the cores that a Kubernetes cpu quantity such as `250m` or `1.5` stands for; ValueError when it is none."""
    match = re.fullmatch(_NUMBER + r"(?P<milli>m)?", quantity)
    if not match:
        raise ValueError("expected an amount of cpu such as 250m or 1.5 (cores)")
    return Decimal(match["number"]) / (1000 if match["milli"] else 1)


def seconds_of(duration: str) -> int:
    """Return the seconds that a duration such as `30s`, `5m`, `2h` or `14d` stands for; ValueError when it is none."""
    match = re.fullmatch(r"(\d+)(s|m|h|d)", duration)
    if not match:
        raise ValueError("expected a duration such as 30s, 5m, 2h or 14d")
    return int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def _bytes(value: str) -> str:
    if bytes_of(value) <= 0:
        raise ValueError("expected more than 0 bytes")
    return value


def _cores(value: str) -> str:
    if cores_of(value) <= 0:
        raise ValueError("expected more than 0 cores")
    return value


def _duration(value: str) -> str:
    if seconds_of(value) < 1:
        raise ValueError("expected at least 1s")
    return value


def _dns_label(value: str) -> str:
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", value):
        raise ValueError("expected a DNS label: a-z, 0-9 and '-', starting with a letter, at most 40 characters")
    return value


def _env_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError("expected the name of a config var such as SENTRY_DSN")
    return value


def _path(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("expected an absolute path such as /app/tmp")
    return value


def _cidr(value: str) -> str:
    import ipaddress

    try:
        # A single address is a range of one: Kubernetes takes it only when it is written so.
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError("expected an address range such as 10.1.0.0/16") from None


def _mqtt_filter(value: str) -> str:
    levels = value.split("/")
    if "." in value or "*" in value:
        raise ValueError("'.' and '*' have another meaning in RabbitMQ; expected an MQTT filter such as lamps/+/fall")
    partial = any(("+" in level or "#" in level) and len(level) > 1 for level in levels)
    if not value or value.startswith("$") or partial or "#" in levels[:-1]:
        raise ValueError("expected an MQTT filter such as lamps/+/fall: '+' stands for a whole level, '#' for all that follow")
    return value


def _pem(value: str) -> str:
    if not re.search(r"-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", value):
        raise ValueError("expected a certificate as PEM, beginning with -----BEGIN CERTIFICATE-----")
    return value


def _host_name(value: str) -> str:
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    if len(value) > 253 or not re.fullmatch(rf"({label}\.)+{label}", value):
        raise ValueError("expected a host name such as lamps.example.com")
    return value


Bytes = Annotated[str, AfterValidator(_bytes)]
"""Memory or storage as Kubernetes writes it: 512Mi, 1.5Gi, 20G."""
Cpu = Annotated[str, AfterValidator(_cores)]
"""Processor time as Kubernetes writes it: 250m or 1.5, in cores."""
Duration = Annotated[str, AfterValidator(_duration)]
"""A length of time: 30s, 5m, 2h, 14d."""
DnsLabel = Annotated[str, AfterValidator(_dns_label)]
"""A name that Kubernetes accepts everywhere; 40 characters at most, because names are derived from it."""
EnvName = Annotated[str, AfterValidator(_env_name)]
"""The name of an environment variable."""
MqttFilter = Annotated[str, AfterValidator(_mqtt_filter)]
"""Topics as an MQTT client subscribes to them: lamps/+/fall."""
AbsolutePath = Annotated[str, AfterValidator(_path)]
"""A path inside a container."""
Cidr = Annotated[str, AfterValidator(_cidr)]
"""A range of addresses."""
Pem = Annotated[str, AfterValidator(_pem)]
"""One or more certificates as PEM."""
HostName = Annotated[str, AfterValidator(_host_name)]
"""A full host name: lamps.example.com."""
Port = Annotated[int, Field(ge=1, le=65535)]
"""A TCP port."""
Count = Annotated[int, Field(ge=1, le=100)]
"""How many of something there are: 1 to 100."""


class Resources(Model):
    """What a container asks for and may use. Memory is requested in full: what is promised is never taken away."""

    cpu: Cpu = "100m"
    """Processor time that is kept free for it. There is no upper limit: throttling delays alarms."""
    memory: Bytes = "256Mi"
    """Memory, as request and as limit."""
    scratch: Bytes = "256Mi"
    """Space on the node's disk for logs and temporary files, as request and as limit (ephemeral-storage)."""


class Toleration(Model):
    """A taint that pods put up with."""

    key: str
    """The taint's key."""
    value: str | None = None
    """The taint's value; None: any."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect; None: all."""


class Placement(Model):
    """Onto which nodes pods go."""

    node_selector: dict[str, str] = {}
    """Labels that a node must have."""
    tolerations: list[Toleration] = []
    """Taints that do not keep the pods away."""
