"""The types that settings are made of: frozen models, names, quantities and durations."""

import re
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from settings import cron, references
from settings.quantities import bytes_of as bytes_of
from settings.quantities import check_bytes, check_cores, cores_as_text, refuse_number, seconds_of
from settings.quantities import cores_of as cores_of


class Model(BaseModel):
    """A frozen piece of settings: unknown keys are refused, values are not coerced.

    The code's defaults are a layer like the others: what is said of one key of `resources` leaves the others' defaults as they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _over_defaults(cls, said: Any) -> Any:
        if not isinstance(said, dict):
            return said
        merged = dict(cast("dict[str, Any]", said))
        for name, default in defaults_inside(cls).items():
            if isinstance(merged.get(name), dict):
                merged[name] = {**default, **merged[name]}
        return merged


@cache
def defaults_inside(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """Return, for each field of `model` whose default is a model too, what that default says of its own."""
    defaults = {name: field.default for name, field in model.model_fields.items()}
    said = {name: default.model_dump(exclude_unset=True) for name, default in defaults.items() if isinstance(default, BaseModel)}
    return {name: values for name, values in said.items() if values}


def _duration(value: str) -> str:
    if seconds_of(value) < 1:
        raise ValueError("expected at least 1s")
    return value


def _checked(check: Callable[[str], object]) -> AfterValidator:
    """Return a validator that keeps the text as it stands, if `check` has nothing against it."""

    def validate(value: str) -> str:
        check(value)
        return value

    return AfterValidator(validate)


def _text(pattern: str, what: str) -> WithJsonSchema:
    """Return how an editor checks the text: by a pattern that takes all that is right, and refuses most of what is wrong."""
    return WithJsonSchema({"type": "string", "pattern": pattern, "x-type": what})


def _matches(pattern: str, expectation: str, what: str) -> tuple[AfterValidator, WithJsonSchema]:
    """Return a check of the whole text by a pattern, for the loader and for editors alike."""

    def check(value: str) -> None:
        if not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(expectation)

    return _checked(check), _text(f"^(?:{pattern})$", what)


_CONTROL = r"\x00-\x1f\x7f-\x9f"
"""Control characters, as part of a pattern."""


def _own_file(value: str) -> None:
    parts = value.split("/")
    if value.startswith("/") or ".." in parts or not all(parts):
        raise ValueError("expected a path inside the repository, such as dashboards/lamps.json")


def _mqtt_filter(value: str) -> None:
    if re.search(f"[{_CONTROL}]", value):
        # MQTT 3.1.1, 1.5.3.
        raise ValueError("expected a topic without control characters: a broker may hang up on whoever sends one")
    levels = value.split("/")
    if "." in value or "*" in value:
        raise ValueError("'.' and '*' have another meaning in RabbitMQ; expected an MQTT filter such as lamps/+/fall")
    partial = any(("+" in level or "#" in level) and len(level) > 1 for level in levels)
    if not value or value.startswith("$") or partial or "#" in levels[:-1]:
        raise ValueError("expected an MQTT filter such as lamps/+/fall: '+' stands for a whole level, '#' for all that follow")


_DNS_LABEL = _matches(
    r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", "expected a DNS label: a-z, 0-9 and '-', starting with a letter, at most 40 characters", "DNS label"
)
_ENV_NAME = _matches(r"[A-Za-z_][A-Za-z0-9_]*", "expected the name of a config var such as SENTRY_DSN", "name of a config var")
_PATH = _matches(r"/[^\x00]*", "expected an absolute path such as /app/tmp", "absolute path")
_PEM = r"(?s:.*)-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----(?s:.*)"

Bytes = Annotated[
    str,
    _checked(check_bytes),
    BeforeValidator(refuse_number),
    _text(r"^[0-9.]+([eE][+-]?[0-9]{1,2}|[kMGTPE]|[KMGTPE]i)?$", "bytes"),
]
"""Memory or storage as Kubernetes writes it: 512Mi, 1.5Gi, 20G, 12e6; at least 1Mi. A bare number is refused: its unit is missing."""
Cpu = Annotated[
    str,
    _checked(check_cores),
    BeforeValidator(cores_as_text),
    WithJsonSchema(
        {
            "type": ["string", "number"],
            "pattern": r"^[0-9.]+([eE][+-]?[0-9]{1,2}|[numkMGTPE]|[KMGTPE]i)?$",
            "minimum": 0.001,
            "x-type": "cores",
        }
    ),
]
"""Processor time as Kubernetes writes it, in cores: 250m, 1.5, also as a plain number; at least 1m. Kept as text."""
Duration = Annotated[str, AfterValidator(_duration), _text(r"^[0-9]+[smhd]$", "duration")]
"""A length of time: 30s, 5m, 2h, 14d."""
Cron = Annotated[str, _checked(cron.times_of), _text(r"^\s*(\S+\s+){4}\S+\s*$", "five cron fields")]
"""When something runs: minute, hour, day of the month, month, day of the week."""
TimeZone = Annotated[str, _checked(cron.check_zone), _text(r"^[A-Za-z0-9_+/-]+$", "time zone")]
"""A time zone of the IANA's list: Europe/Paris."""
DnsLabel = Annotated[str, *_DNS_LABEL]
"""A name that Kubernetes accepts everywhere; 40 characters at most, because names are derived from it."""
EnvName = Annotated[str, *_ENV_NAME]
"""The name of an environment variable."""
MqttFilter = Annotated[str, _checked(_mqtt_filter), _text(rf"^[^$.*{_CONTROL}][^.*{_CONTROL}]*$", "MQTT filter")]
"""Topics as an MQTT client subscribes to them: lamps/+/fall."""
QueueName = Annotated[
    str,
    *_matches(rf"[^{_CONTROL}]{{1,255}}", "expected 1 to 255 characters, none of them a control character", "name of a queue"),
]
"""The name of a queue, as AMQP and Sidekiq take one."""
AbsolutePath = Annotated[str, *_PATH]
"""A path inside a container."""
ObjectName = Annotated[
    str,
    *_matches(
        r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?",
        "expected a name such as nginx: a-z, 0-9, '-', '.', at most 63 characters",
        "object's name",
    ),
]
"""The name of an object that somebody else makes: a GatewayClass, an IngressClass, a Secret."""
NamespaceName = Annotated[
    str,
    *_matches(
        r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "expected a namespace's name: a-z, 0-9 and '-', at most 63 characters", "namespace's name"
    ),
]
"""The name of a namespace that somebody else makes."""
_LABEL_KEY = r"([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_LABEL_KEY_EXPECTED = (
    "expected a key as Kubernetes takes it, such as pool or example.com/pool: letters, digits, '-', '_', '.', at most 63 after the /"
)
LabelKey = Annotated[str, *_matches(_LABEL_KEY, _LABEL_KEY_EXPECTED, "key of a label or an annotation")]
"""The key of a label or an annotation."""
TaintKey = Annotated[str, *_matches(f"({_LABEL_KEY})?", _LABEL_KEY_EXPECTED, "key of a taint, or nothing: all taints")]
"""The key of a taint; empty: of all."""
LabelValue = Annotated[
    str,
    *_matches(
        r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?",
        "expected a label's value: letters, digits, '-', '_' and '.', at most 63 characters",
        "value of a label",
    ),
]
"""The value of a label or a taint."""
RoutePath = Annotated[str, _checked(references.check_route), _text(r"^/[A-Za-z0-9._~!$&'()+,;=:@%/-]*$", "beginning of a URL's path")]
"""The beginning of the path of a URL: /api."""
Cidr = Annotated[str, AfterValidator(references.range_of), _text(r"^[0-9a-fA-F:.]+(/[0-9]{1,3})?$", "range of addresses")]
"""A range of addresses."""
Pem = Annotated[
    str,
    *_matches(_PEM, "expected a certificate as PEM, beginning with -----BEGIN CERTIFICATE-----", "certificates as PEM"),
    WithJsonSchema({"type": "string", "pattern": "-----BEGIN CERTIFICATE-----", "x-type": "certificates as PEM"}),
]
"""One or more certificates as PEM."""
HostName = Annotated[str, _checked(references.check_host_name), _text(r"^[a-z0-9-]+(\.[a-z0-9-]+)+$", "host name")]
"""A full host name: lamps.example.com."""
Host = Annotated[str, _checked(references.check_host), _text(r"^[A-Za-z0-9.:-]+$", "host name or address")]
"""A host name, of one part or several, or an address."""
Url = Annotated[str, _checked(references.check_url), _text(r"^https?://[^\s@/?#]+([/?][^\s#]*)?$", "URL")]
"""An address by HTTP or HTTPS, without a password in it: https://hooks.example.com/alerts."""
EmailAddress = Annotated[
    str, *_matches(r"[^\s@,<>\"]+@[^\s@,<>\"]+\.[^\s@,<>\".]+", "expected an address such as ops@example.com", "mail address")
]
"""A mail address."""
OwnFile = Annotated[str, _checked(_own_file), _text(r"^[^/].*$", "file of the repository")]
"""A file of this repository, by its path from the repository's root: dashboards/lamps.json."""
Image = Annotated[str, _checked(references.check_image), _text(r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$", "image")]
"""An image: registry.example.com/lamp@sha256:…"""
Registry = Annotated[str, _checked(references.check_registry), _text(r"^[A-Za-z0-9][A-Za-z0-9._:/-]*[A-Za-z0-9]$", "registry")]
"""A registry and a folder in it: registry.example.com/switchyard."""
IpV4 = Annotated[
    str,
    *_matches(
        r"(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(\.(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){3}",
        "expected an address such as 203.0.113.7",
        "IPv4 address",
    ),
]
"""An address such as 203.0.113.7."""
Port = Annotated[int, Field(ge=1, le=65535)]
"""A TCP port."""
Count = Annotated[int, Field(ge=1, le=100)]
"""How many of something there are: 1 to 100."""


class Resources(Model):
    """What a container asks for and may use. Memory is requested in full: what is promised is never taken away."""

    cpu: Cpu = "100m"
    """Processor time that is kept free for it."""
    cpu_limit: Cpu | None = None
    """Processor time that it may not exceed; None: no limit. Leave it so for all that an alarm passes through: throttling delays alarms."""
    memory: Bytes = "256Mi"
    """Memory, as request and as limit."""
    scratch: Bytes = "256Mi"
    """Space on the node's disk for logs and temporary files, as request and as limit (ephemeral-storage)."""

    @field_validator("cpu_limit")
    @classmethod
    def _not_below_request(cls, limit: str | None, said: ValidationInfo) -> str | None:
        asked = said.data.get("cpu")
        if limit is not None and asked is not None and cores_of(limit) < cores_of(asked):
            raise ValueError(f"expected at least what `cpu` asks for, {asked}")
        return limit


class Toleration(Model):
    """A taint that pods put up with."""

    key: TaintKey
    """The taint's key; empty: any."""
    value: LabelValue | None = None
    """The taint's value; None: any."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect; None: all."""


class Placement(Model):
    """Onto which nodes pods go."""

    node_selector: dict[LabelKey, LabelValue] = {}
    """Labels that a node must have."""
    tolerations: list[Toleration] = []
    """Taints that do not keep the pods away."""
    spread: Literal["prefer", "nodes", "zones"] = "prefer"
    """How pods of one kind are kept apart. prefer: over zones and nodes as evenly as there is room. nodes: never two on one node; a pod
    waits rather than that, also when its node is lost. zones: as many in each zone as in any other, give or take one, or the pod waits."""
