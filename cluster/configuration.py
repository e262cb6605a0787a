"""The collector's configuration: for each component of each stack its files, a queue on the disk, and the Loki that they go to.

Nothing is shared between two of these lanes but the process. A receiver reads all of its files to their ends before it looks for new lines
in any of them, so a file that grows faster than it can be sent holds up the others of its lane: that is why each component has one.
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import yaml

from settings.clusters import ClusterSettings, Route
from settings.logs import COLLECTOR_METRICS
from settings.quantities import bytes_of

STATE = "/var/lib/collector"
HEALTH = 13133
LOKI = 3100
LARGEST_LINE = 2**20
"""Bytes of a line that are kept together; what is longer arrives in pieces of this size, which Loki cuts."""
FEATURES = "stanza.synchronousLogEmitter"
"""With it a line is on the disk, in the queue, before the file's offset is written down: a killed collector loses none."""
NO_DELETION = "deletion is not available for this tenant"
_KIND, _POD, _CONTAINER = ("k8s.namespace.name", "k8s.pod.name", "k8s.container.name")
_POD_OF = r"^(?P<component>.+?)(?:-[a-z0-9]{6,10}-[a-z0-9]{5}|-[0-9]{6,10}-[a-z0-9]{5}|-[a-z0-9]{5}|-[0-9]+)$"
"""The component in the name of a Deployment's, CronJob's, Job's or StatefulSet's pod."""
_WORDS = "trace|debug|info|notice|warn|warning|error|err|fatal|critical|crit|panic"
LEVELS = {
    "debug": ("trace", "debug", ".", "-"),
    "info": ("info", "notice", "log", "*"),
    "warn": ("warn", "warning", "#"),
    "error": ("error", "err"),
    "fatal": ("fatal", "critical", "crit", "panic"),
}
"""The values of the label `level`, and what programs write for each: words of most of them, the signs of Valkey."""
PATTERNS = (
    # {"time": …, "level": "info", …}
    (r"^\s*\{.*?\"(?:level|severity|log\.level|loglevel|lvl)\"\s*:\s*\"(?P<level>[A-Za-z]+)\"", r'body matches "^\\s*\\{"'),
    # level=info, [info]
    (rf"^.{{0,120}}?(?:\blevel=\"?|\[\s{{0,2}})(?P<level>(?i:{_WORDS}))\b", 'not (body matches "^\\\\s*\\\\{")'),
    # INFO -- : …, 2026-11-22 … UTC [7] LOG:  …
    (rf"^.{{0,120}}?\b(?P<level>{_WORDS.upper()}|LOG)\b", 'not (body matches "^\\\\s*\\\\{")'),
    # 1:M 22 Nov 2026 10:00:00.000 * Ready
    (r"^[0-9]+:[XCSM] [^*#.]{8,24}\.[0-9]+ (?P<level>[-.*#]) ", 'body matches "^[0-9]+:[XCSM] "'),
)
"""Where the level stands in a line, and of which lines that is asked; the first that fits counts."""


def lanes(route: Route) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield name, files and files left out of each lane of a stack: one a component, and `rest` for pods of none of them."""
    names = sorted(route.components)
    for name in names:
        longer = [other for other in names if other.startswith(f"{name}-")]
        yield name, _files(route, f"{name}-*"), [path for other in longer for path in _files(route, f"{other}-*")]
    yield "rest", _files(route, "*"), [path for name in names for path in _files(route, f"{name}-*")]


def configuration(said: ClusterSettings, routes: Sequence[Route]) -> str:
    """Return the collector's configuration file."""
    receivers: dict[str, Any] = {}
    exporters: dict[str, Any] = {}
    pipelines: dict[str, Any] = {}
    for route in routes:
        for name, files, others in lanes(route):
            lane = f"{route.namespace}.{name}"
            receivers[f"file_log/{lane}"] = _receiver(said, name, files, others)
            exporters[f"otlp_http/{lane}"] = _exporter(said, route)
            pipelines[f"logs/{lane}"] = {
                "receivers": [f"file_log/{lane}"],
                "processors": ["memory_limiter", "transform"],
                "exporters": [f"otlp_http/{lane}"],
            }
    document = {
        "extensions": {
            "health_check": {"endpoint": f"0.0.0.0:{HEALTH}"},
            "file_storage": {
                "directory": STATE,
                "timeout": "10s",
                # A file that a power cut left unreadable is put aside, instead of keeping the collector from starting.
                "recreate": True,
                "compaction": {"on_start": True, "directory": STATE, "cleanup_on_start": True},
            },
        },
        "receivers": receivers,
        "processors": {
            "memory_limiter": {"check_interval": "1s", "limit_percentage": 80, "spike_limit_percentage": 20},
            # When it was read. A line that is read again, after a collector was killed, must be the same line to Loki, which keeps it once.
            "transform": {"log_statements": ["set(log.observed_time_unix_nano, 0)"]},
        },
        "exporters": exporters,
        "service": {
            "extensions": ["health_check", "file_storage"],
            "telemetry": {
                "logs": {"level": "warn"},
                "metrics": {
                    "level": "normal",
                    "readers": [{"pull": {"exporter": {"prometheus": {"host": "0.0.0.0", "port": COLLECTOR_METRICS}}}}],
                },
            },
            "pipelines": pipelines,
        },
    }
    return yaml.safe_dump(_escaped(document), sort_keys=False, width=1000)


def _files(route: Route, pods: str) -> list[str]:
    """Return the paths of the log files of pods, below the folder that has them: the current ones and the ones before."""
    return [f"{route.namespace}_{pods}_*/*/*.log", f"{route.namespace}_{pods}_*/*/*.log.2*"]


def _receiver(said: ClusterSettings, component: str, files: Sequence[str], others: Sequence[str]) -> dict[str, Any]:
    folder = said.pod_logs
    packed = [f"{folder}/{path}{ending}" for path in files for ending in (".gz", ".tmp") if path.endswith("*")]
    return {
        "include": [f"{folder}/{path}" for path in files],
        "exclude": [*packed, *(f"{folder}/{path}" for path in others)],
        "start_at": "beginning",
        "include_file_path": True,
        "include_file_name": False,
        "poll_interval": "500ms",
        "max_log_size": "1MiB",
        # A long line comes in pieces, which may end anywhere.
        "preserve_trailing_whitespaces": True,
        "storage": "file_storage",
        # For ever: what it can not hand on it goes on holding, and reads no further.
        "retry_on_failure": {"enabled": True, "initial_interval": "200ms", "max_interval": "5s", "max_elapsed_time": 0},
        "operators": [*_operators(component)],
    }


def _operators(component: str) -> Iterator[dict[str, Any]]:
    """Yield what is done to each line: joined and unpacked from the runtime's form, then told whose it is and of which level."""
    yield {"type": "container", "max_log_size": LARGEST_LINE}
    if component == "loki":
        # Of every question that it is asked, because nobody may delete; it says so as an error, twice.
        yield {"type": "filter", "expr": f'body contains "{NO_DELETION}"'}
    if component == "rest":
        whole = f'resource["{_POD}"]'
        yield {"type": "regex_parser", "regex": _POD_OF, "parse_from": whole, "parse_to": "resource", "on_error": "send_quiet"}
    else:
        yield {"type": "add", "field": "resource.component", "value": component}
    yield {"type": "move", "from": f'resource["{_CONTAINER}"]', "to": "resource.container"}
    yield {"type": "move", "from": f'resource["{_POD}"]', "to": "resource.pod"}
    yield {"type": "move", "from": 'resource["k8s.container.restart_count"]', "to": "resource.restart"}
    yield {"type": "add", "field": "resource.node", "value": "${env:NODE_NAME}"}
    yield {"type": "remove", "field": f'resource["{_KIND}"]'}
    yield {"type": "remove", "field": 'resource["k8s.pod.uid"]'}
    yield {"type": "move", "from": 'attributes["log.iostream"]', "to": "attributes.stream"}
    yield {"type": "remove", "field": 'attributes["log.file.path"]'}
    yield {"type": "remove", "field": "attributes.logtag", "if": 'attributes["logtag"] != nil'}
    # Bytes that are no text have been replaced by this sign; such lines can be counted.
    yield {"type": "add", "field": "attributes.damaged", "value": "utf-8", "if": 'body contains "\ufffd"'}
    yield from _level()


def _level() -> Iterator[dict[str, Any]]:
    for regex, condition in PATTERNS:
        asked = f'attributes["level"] == nil and {condition}'
        yield {"type": "regex_parser", "regex": regex, "if": asked, "on_error": "send_quiet"}
    words = ", ".join(f'"{word}": "{level}"' for level, written in LEVELS.items() for word in written)
    table = f'{{{words}}}[lower(attributes["level"])]'
    yield {"type": "add", "field": "resource.level", "value": f"EXPR({table})", "if": f'attributes["level"] != nil and {table} != nil'}
    yield {"type": "remove", "field": "attributes.level", "if": 'attributes["level"] != nil'}


def _exporter(said: ClusterSettings, route: Route) -> dict[str, Any]:
    return {
        "endpoint": f"http://loki.{route.loki}.svc:{LOKI}/otlp",
        "headers": {"X-Scope-OrgID": route.namespace},
        "timeout": "15s",
        "retry_on_failure": {"enabled": True, "initial_interval": "500ms", "max_interval": "5s", "max_elapsed_time": "0s"},
        "sending_queue": {
            "enabled": True,
            "storage": "file_storage",
            "sizer": "bytes",
            "queue_size": bytes_of(said.queue),
            # The receiver waits, and the lines in their files: nothing is thrown away.
            "block_on_overflow": True,
            # One after the other, so that lines arrive in their order.
            "num_consumers": 1,
            # What is larger by itself than a batch may be would be thrown away.
            "batch": {"sizer": "bytes", "flush_timeout": "200ms", "min_size": 64 * 1024, "max_size": 2 * LARGEST_LINE},
        },
    }


def _escaped(value: Any) -> Any:
    """Return the document with `$` doubled where it stands for itself: the collector puts variables in the place of others."""
    if isinstance(value, dict):
        return {key: _escaped(inner) for key, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_escaped(inner) for inner in cast("list[Any]", value)]
    return value.replace("$", "$$") if isinstance(value, str) and "${env:" not in value else value
