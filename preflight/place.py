"""The temporary namespace: everything that a preflight makes is in it, and it is gone afterwards, whatever happens."""

import contextlib
import copy
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from preflight.api import Api, ApiError
from preflight.needs import Needs, Pods
from preflight.objects import Object, name_of, part, parts, text

T = TypeVar("T")

PREFIX = "switchyard-preflight-"
"""Begin of the names of temporary namespaces."""
LABEL = "switchyard.dev/preflight"
UNTIL = "switchyard.dev/preflight-until"
"""When the run that made a namespace is over at the latest, in seconds since 1970: after that it is a killed run's."""
LIFE_SECONDS = 180
POLL_SECONDS = 0.3
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
SMALL = {"requests": {"cpu": "1m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}


class LateError(Exception):
    """There was no answer in time."""


class StoppedError(Exception):
    """The user, or the deadline, ended the run."""


class Clock:
    """How long the checks may still wait."""

    def __init__(self, seconds: float) -> None:
        """Start counting."""
        self._end = time.monotonic() + seconds
        self._stopped = threading.Event()

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(0.0, self._end - time.monotonic())

    def stop(self) -> None:
        """End all waiting."""
        self._stopped.set()

    def pause(self, seconds: float) -> None:
        """Let some time pass; StoppedError when the run ends meanwhile."""
        if self._stopped.wait(min(seconds, self.left)):
            raise StoppedError

    def wait(self, look: Callable[[], T | None], seconds: float = 3600) -> T:
        """Return what `look` finds as soon as it is not None; LateError when that is not within `seconds` and the time left."""
        end = time.monotonic() + min(seconds, self.left)
        while (found := look()) is None:
            if self._stopped.is_set():
                raise StoppedError
            if time.monotonic() >= end:
                raise LateError
            self._stopped.wait(POLL_SECONDS)
        return found


class Place:
    """A namespace that lasts as long as the run, with the same Pod Security as the stack's own."""

    def __init__(self, api: Api, needs: Needs, clock: Clock, login: str = "") -> None:
        """Choose a name; `make` makes it. `login` is the content of the pull secret that the stack makes itself."""
        self.name = f"{PREFIX}{secrets.token_hex(3)}"
        self.api = api
        self.clock = clock
        self._needs = needs
        self._login = login
        self._ready = threading.Event()
        self._refused: ApiError | None = None
        self._made: bool | None = None
        self.pull_secrets: list[str] = []
        """Names of the pull secrets that could be copied here."""

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/api/v1/namespaces/{self.name}"

    def make(self) -> None:
        """Make it and copy the stack's pull secrets; ApiError when that is refused, which all who need it get to know."""
        try:
            self._made = False
            self.api.create("/api/v1/namespaces", self._namespace())
            self._made = True
            self.pull_secrets = list(self._copied())
            # Pods are refused until the account that they run as by default is there.
            self.clock.wait(lambda: self.api.find(f"{self.path}/serviceaccounts/default"))
        except ApiError as error:
            self._refused = error
            raise
        finally:
            self._ready.set()

    def wait(self) -> None:
        """Wait until it is made; ApiError when it could not be."""
        self.clock.wait(lambda: self._ready.is_set() or None)
        if self._refused:
            raise self._refused

    def pod(self, name: str, like: Pods, image: str, command: Sequence[str], container: Mapping[str, object], **more: object) -> Object:
        """Make a pod that stands where the stack's own would, under their uid; `container` and `more` are further parts of both."""
        main = {"name": "main", "image": image, "command": list(command), "resources": SMALL, **_security(like), **container}
        spec: Object = {
            **{key: like.spec[key] for key in ("nodeSelector", "tolerations", "securityContext") if key in like.spec},
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "imagePullSecrets": [{"name": secret} for secret in self.pull_secrets],
            "containers": [main],
        }
        body: Object = {"metadata": {"name": name, "labels": {LABEL: name}}, "spec": spec | more}
        return self.api.create(f"{self.path}/pods", body)

    def create(self, path: str, body: Object) -> Object:
        """Make an object at a path below the namespace's: `/apis/networking.k8s.io/v1|networkpolicies`, or `services`."""
        root, _, resource = path.rpartition("|")
        return self.api.create(f"{root or '/api/v1'}/namespaces/{self.name}/{resource}", body)

    def look(self, kind: str, name: str) -> Object:
        """Return one of its objects as it is now."""
        return self.api.get(f"{self.path}/{kind}/{name}")

    def remove(self, seconds: float) -> bool:
        """Delete it and wait until it is gone; False when it is still going away after `seconds`."""
        # It may be made just now; deleted too early it would stay.
        self._ready.wait(seconds)
        try:
            return self._made is False or remove(self.api, self.name, seconds)
        except ApiError:
            return False

    def _namespace(self) -> Object:
        until = {UNTIL: f"{time.time() + LIFE_SECONDS:.0f}"}
        labels = {LABEL: "true", **RESTRICTED}
        return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name, "labels": labels, "annotations": until}}

    def _copied(self) -> Iterator[str]:
        own = {name_of(one) for one in self._needs.of_kind("Secret")}
        for name in pull_secrets(self._needs):
            with contextlib.suppress(ApiError):
                if self._login and name in own:
                    content = {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": self._login}}
                else:
                    found = self.api.get(f"/api/v1/namespaces/{self._needs.namespace}/secrets/{name}")
                    content = {"type": found["type"], "data": found["data"]}
                self.create("secrets", {"metadata": {"name": name}, **content})
                yield name


def pull_secrets(needs: Needs) -> list[str]:
    """Return the names of the Secrets that the stack's images are pulled with."""
    return sorted({text(one, "name") for pods in needs.pods for one in parts(pods.spec, "imagePullSecrets")})


def remove(api: Api, name: str, seconds: float) -> bool:
    """Delete a namespace of a preflight with all that is in it, also outside: the volumes of classes that keep theirs."""
    path = f"/api/v1/namespaces/{name}"
    volumes: list[str] = []
    with contextlib.suppress(ApiError):
        volumes = list(_released(api, path))
    end = time.monotonic() + seconds
    _empty(api, path, end)
    api.delete(path)
    while any(api.find(one) for one in (path, *volumes)):
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _empty(api: Api, path: str, end: float) -> None:
    """Delete first what takes a moment to go: a namespace that still holds pods and claims is looked at again only after a while."""
    with contextlib.suppress(ApiError):
        api.delete(f"{path}/pods", gracePeriodSeconds="0")
        api.delete(f"{path}/persistentvolumeclaims")
        while (api.items(f"{path}/pods") or api.items(f"{path}/persistentvolumeclaims")) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)


def _released(api: Api, path: str) -> Iterator[str]:
    """Let go of the volumes that were made for claims here, and yield their paths; a class that retains them would keep them for ever."""
    for claim in api.items(f"{path}/persistentvolumeclaims"):
        if name := text(claim, "spec", "volumeName"):
            volume = f"/api/v1/persistentvolumes/{name}"
            found = api.get(volume)
            if text(found, "spec", "persistentVolumeReclaimPolicy") != "Delete":
                api.merge(volume, {"spec": {"persistentVolumeReclaimPolicy": "Delete"}})
            yield volume


def leftovers(api: Api, now: float) -> list[str]:
    """Return the namespaces of runs that were killed."""
    found = api.items("/api/v1/namespaces", labelSelector=LABEL)
    return [name_of(one) for one in found if float(text(one, "metadata", "annotations", UNTIL) or 0) < now]


def _security(like: Pods) -> Object:
    return {"securityContext": copy.deepcopy(part(parts(like.spec, "containers")[0], "securityContext"))}
