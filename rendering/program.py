"""The program on Pulumi's mocks: runs in a process of its own, because mocks leak from one run into the next."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import pulumi
from pulumi.runtime import mocks, rpc

from components.site import Secrets, Site
from components.stack import Stack
from rendering.resources import SECRET, Rendered, Resource
from settings import Settings

_WRAPPED = "4dabf18193072939515e22adb298388d"
"""How the engine's protocol marks a wrapped value."""
_SECRET_MARK = "1b47061264138c4ac30d75fd1eb44270"
"""Which kind of wrapped value is a secret."""
GENERATED = "generated-secret-"
"""Every generated secret's value begins so, until it is replaced."""
FINGERPRINT = "0123456789"
"""Stands for the fingerprint of a secret that a human set: its value can not be read without the passphrase."""

Inputs = dict[str, Any]


def registered(stack: str, settings: Settings, secrets: Mapping[str, str]) -> list[Resource]:
    """Return what the stack registers; secret values are unwrapped and stand in clear, so `secrets` should be placeholders."""
    return recorded("switchyard", stack, lambda: _build(stack, settings, secrets))


def recorded(project: str, stack: str, build: Callable[[], None]) -> list[Resource]:
    """Return what `build` registers on mocks, secret values unwrapped."""
    seen: list[Resource] = []
    asyncio.set_event_loop(asyncio.new_event_loop())
    server = _Providers()
    mocks.set_mocks(server, project, stack, preview=False, monitor=_Monitor(server, seen))
    run = cast("Callable[[], None]", mocks.test(build))  # pyright: ignore[reportUnknownMemberType]
    run()
    return seen


def rendered(stack: str, settings: Settings) -> Rendered:
    """Return the whole stack with placeholders for secrets."""
    site = Site.of(settings, stack)
    made = registered(stack, settings, dict.fromkeys(settings.secret_names(), SECRET))
    # Registrations run side by side, so their order differs from run to run.
    resources = tuple(sorted((_masked(one) for one in made), key=lambda one: (one.type, one.name)))
    return Rendered(
        stack=stack, product=settings.product, tier=settings.tier, namespace=site.namespace, domain=settings.domain, resources=resources
    )


def _build(stack: str, settings: Settings, secrets: Mapping[str, str]) -> None:
    values = {name: pulumi.Output.secret(value) for name, value in secrets.items()}
    given = Secrets(values, dict.fromkeys(secrets, FINGERPRINT))
    made = Stack(settings.product, settings, Site.of(settings, stack), given)
    for name, value in made.outputs.items():
        pulumi.export(name, value)


class _Providers(mocks.Mocks):
    """What the providers would compute, the same in every run."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, Inputs]:
        inputs = cast("Inputs", args.inputs)  # pyright: ignore[reportUnknownMemberType]
        return f"{args.name}-id", {**cast("Inputs", plain(inputs, "", [])), **_computed(args.typ, args.name)}

    def call(self, args: mocks.MockCallArgs) -> tuple[Inputs, None]:
        return {}, None


class _Monitor(mocks.MockMonitor):
    """Takes down every registration."""

    def __init__(self, server: mocks.Mocks, seen: list[Resource]) -> None:
        """Keep registrations in `seen`."""
        super().__init__(server)
        self._seen = seen

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        if request.type != "pulumi:pulumi:Stack":
            self._seen.append(_resource(request))
        return super().RegisterResource(request)  # pyright: ignore[reportUnknownMemberType]


def _resource(request: Any) -> Resource:
    paths: list[str] = []
    inputs = plain(rpc.deserialize_properties(request.object, keep_unknowns=True), "", paths)
    return Resource(
        type=request.type,
        name=request.name,
        parent=request.parent.split("::")[-1],
        inputs=cast("Inputs", inputs),
        depends_on=tuple(sorted(urn.split("::")[-1] for urn in request.dependencies)),
        secret_paths=tuple(paths),
        aliases=tuple(alias.spec.name or alias.urn.split("::")[-1] for alias in request.aliases),
        ignored=tuple(request.ignoreChanges),
        retained=request.retainOnDelete,
        protect=request.protect,
        timeout=request.customTimeouts.update,
    )


def plain(value: Any, path: str, secret_paths: list[str]) -> Any:
    """Return a value with its secrets unwrapped, and add their paths to `secret_paths`."""
    if isinstance(value, dict):
        said = cast("Inputs", value)
        if said.get(_WRAPPED) == _SECRET_MARK:
            secret_paths.append(path)
            return plain(said["value"], path, secret_paths)
        return {key: plain(said[key], f"{path}.{key}".lstrip("."), secret_paths) for key in sorted(said)}
    if isinstance(value, list):
        return [plain(inner, f"{path}.{index}", secret_paths) for index, inner in enumerate(cast("list[Any]", value))]
    # The protocol has one kind of number.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _computed(kind: str, name: str) -> Inputs:
    secret = f"{GENERATED}{name}"
    digits = hashlib.sha256(name.encode()).hexdigest()
    if kind == "kubernetes:core/v1:Service":
        return {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
    if kind.startswith("random:"):
        # A salt has four bytes; a longer one would be refused.
        return {"result": secret, "hex": digits[:8], "base64": "C63K/g==", "bcryptHash": secret}
    if kind.startswith("tls:"):
        made = {"privateKeyPem": secret, "privateKeyPemPkcs8": secret, "publicKeyPem": f"public {name}"}
        return made | {"certPem": f"certificate {name}", "certRequestPem": f"request {name}"}
    return {}


def _masked(one: Resource) -> Resource:
    inputs = cast("Inputs", _mask(dict(one.inputs), "", frozenset(one.secret_paths)))
    if one.type == "kubernetes:core/v1:Secret":
        # All of its values, also those that are no secret by themselves, as the engine does; the keys stay readable.
        inputs |= {part: dict.fromkeys(one.inputs[part], SECRET) for part in ("data", "stringData") if part in one.inputs}
    return replace(one, inputs=inputs)


def _mask(value: Any, path: str, secret_paths: frozenset[str]) -> Any:
    if path in secret_paths:
        return SECRET
    if isinstance(value, dict):
        return {key: _mask(inner, f"{path}.{key}".lstrip("."), secret_paths) for key, inner in cast("Inputs", value).items()}
    if isinstance(value, list):
        return [_mask(inner, f"{path}.{index}", secret_paths) for index, inner in enumerate(cast("list[Any]", value))]
    return SECRET if isinstance(value, str) and GENERATED in value else value
