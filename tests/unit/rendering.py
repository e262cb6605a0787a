"""A whole stack on mocks, in a process of its own: everything that it registers, as plain data."""

import multiprocessing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SECRET_KEY = "4dabf18193072939515e22adb298388d"
"""How the engine's protocol marks a wrapped value."""
SECRET_MARK = "1b47061264138c4ac30d75fd1eb44270"
"""Which kind of wrapped value is a secret."""
SENTINEL = "sentinel-secret-"
"""Every generated or given secret's value begins so."""
SECONDS = 120


@dataclass
class Registered:
    """One registration, as the engine would have seen it; secrets are unwrapped, and their paths kept."""

    type: str
    name: str
    parent: str
    inputs: dict[str, Any]
    depends_on: list[str]
    secret_paths: list[str] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    """Names that it had before."""
    ignored: list[str] = field(default_factory=list)
    """Inputs whose changes are let be."""
    timeout: str = ""
    """How long an update may take."""

    @property
    def kind(self) -> str:
        return self.type.rsplit(":", 1)[-1]

    @property
    def kube_name(self) -> str:
        return self.inputs["metadata"]["name"]


def render(stack: str, said: Mapping[str, Any], secrets: Mapping[str, str] | None = None) -> list[Registered]:
    """Return what the stack registers; mocks leak between runs, so each has a fresh process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["components.stack"])
    queue = context.Queue()
    process = context.Process(target=_child, args=(queue, stack, dict(said), dict(secrets or {})))
    process.start()
    try:
        ok, result = queue.get(timeout=SECONDS)
    finally:
        process.join(10)
        if process.is_alive():
            process.kill()
    if not ok:
        raise AssertionError(result)
    return [Registered(**values) for values in result]


def _child(queue: Any, stack: str, said: dict[str, Any], secrets: dict[str, str]) -> None:
    import traceback

    try:
        queue.put((True, _record(stack, said, secrets)))
    except BaseException:
        queue.put((False, traceback.format_exc()))


def _record(stack: str, said: dict[str, Any], secrets: dict[str, str]) -> list[dict[str, Any]]:
    import asyncio

    import pulumi
    from pulumi.runtime import mocks, rpc

    from settings import resolve

    seen: list[dict[str, Any]] = []

    class Server(mocks.Mocks):
        def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
            return f"{args.name}-id", {**_plain(args.inputs, "", []), **_made(args.typ, args.name)}

        def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], None]:
            return {}, None

    class Monitor(mocks.MockMonitor):
        def RegisterResource(self, request: Any) -> Any:
            if request.type != "pulumi:pulumi:Stack":
                paths: list[str] = []
                inputs = _plain(rpc.deserialize_properties(request.object, keep_unknowns=True), "", paths)
                parent = request.parent.split("::")[-1]
                depends_on = [urn.split("::")[-1] for urn in request.dependencies]
                seen.append(
                    {
                        "type": request.type,
                        "name": request.name,
                        "parent": parent,
                        "inputs": inputs,
                        "depends_on": depends_on,
                        "secret_paths": paths,
                        "ignored": list(request.ignoreChanges),
                        "timeout": request.customTimeouts.update,
                        "aliases": [alias.spec.name or alias.urn.split("::")[-1] for alias in request.aliases],
                    }
                )
            return super().RegisterResource(request)

    asyncio.set_event_loop(asyncio.new_event_loop())
    server = Server()
    mocks.set_mocks(server, "switchyard", stack, preview=False, monitor=Monitor(server))
    settings = resolve(stack, said)

    def program() -> None:
        from components.site import Secrets, Site
        from components.stack import Stack

        values = {name: pulumi.Output.secret(value) for name, value in secrets.items()}
        made = Stack(settings.product, settings, Site.of(settings, stack), Secrets(values, dict.fromkeys(secrets, "0123456789")))
        for name, value in made.outputs.items():
            pulumi.export(name, value)

    mocks.test(program)()
    return seen


def _made(kind: str, name: str) -> dict[str, Any]:
    """Return what a provider would have computed."""
    secret = f"{SENTINEL}{name}"
    if kind == "kubernetes:core/v1:Service":
        return {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
    if kind.startswith("random:"):
        return {"result": secret, "hex": "0badcafe", "base64": "C63K/g==", "bcryptHash": secret}
    if kind.startswith("tls:"):
        made = {"privateKeyPem": secret, "privateKeyPemPkcs8": secret, "publicKeyPem": f"public {name}"}
        return made | {"certPem": f"certificate {name}", "certRequestPem": f"request {name}"}
    return {}


def _plain(value: Any, path: str, secret_paths: list[str]) -> Any:
    if isinstance(value, dict):
        if value.get(SECRET_KEY) == SECRET_MARK:
            secret_paths.append(path)
            return _plain(value["value"], path, secret_paths)
        return {key: _plain(inner, f"{path}.{key}".lstrip("."), secret_paths) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, f"{path}.{index}", secret_paths) for index, inner in enumerate(value)]
    return value
