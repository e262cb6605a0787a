"""The product's own rules and dashboards: whether their queries parse, which only promtool can say. Asked before anything changes."""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from cli import checks, machine, process
from cli.environment import users
from settings.own_files import promql_of
from settings.stack import Settings
from tools import toolchain
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress

GROUP = "rules"
"""What of the toolchain has promtool."""
SECONDS = 60
_VARIABLES = {
    "__rate_interval": "1m",
    "__interval": "1m",
    "__range": "1h",
    "__interval_ms": "60000",
    "__range_s": "3600",
    "__range_ms": "3600000",
}
_VARIABLE = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)|\[\[(\w+)\]\]")
_AT = re.compile(r"(?P<line>\d+):\d+: (?P<text>.*)|line (?P<of>\d+): (?P<what>.*)")
_HEADINGS = ("Checking ", "FAILED", "SUCCESS", "yaml: unmarshal errors:")


def refuse_unparsed(settings: Settings, progress: Progress, root: Path = ROOT) -> None:
    """Raise SettingsError when a rule or a dashboard of the product's own has a query that does not parse.

    Nothing is asked, and nothing built, for a stack that has none of its own.
    """
    rules = list(settings.metrics.rules) if settings.metrics.where == "cluster" else []
    dashboards = list(settings.grafana.dashboards) if settings.grafana.where == "cluster" else []
    if rules or dashboards:
        program = promtool(progress)
        checks.refuse([*_of_rules(program, rules, root), *_of_dashboards(program, dashboards, root)])


def promtool(progress: Progress) -> Path:
    """Return promtool: one that is there, or else it is built."""
    return machine.find("promtool") or toolchain.ensure([GROUP], progress).program("promtool")


def plain(query: str, own: Mapping[str, str]) -> str:
    """Return a dashboard's query with Grafana's variables replaced, and its `own` ones, as promtool takes it."""

    def value(found: "re.Match[str]") -> str:
        name = found[1] or found[2] or found[3]
        return own.get(name) or _VARIABLES.get(name, name)

    return _VARIABLE.sub(value, query)


def _of_rules(program: Path, files: list[str], root: Path) -> Iterator[str]:
    for name in files:
        for found in _said(program, root / name):
            yield f"metrics.rules: {name}{found}"


def _of_dashboards(program: Path, files: list[str], root: Path) -> Iterator[str]:
    for name in files:
        dashboard = json.loads((root / name).read_text())
        asked = promql_of(dashboard)
        own = {str(one.get("name")): _stand_in(one) for one in dashboard.get("templating", {}).get("list", [])}
        rules = [{"record": f"panel:{number}", "expr": plain(query, own)} for number, (_, query) in enumerate(asked)]
        with tempfile.TemporaryDirectory(prefix="switchyard-queries-") as folder:
            file = Path(folder) / "queries.yml"
            file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}, sort_keys=False))
            for found in _said(program, file) if rules else ():
                number = re.search(r'"panel:(\d+)"', found)
                panel, query = asked[int(number[1])] if number else ("", "")
                reason = found.rpartition("could not parse expression: ")[2]
                line = _line(root / name, query)
                yield f"grafana.dashboards: {name}{f':{line}' if line else ''}: panel {panel!r}: {query}: {reason}"


def _stand_in(variable: Mapping[str, object]) -> str:
    """Return what stands in the place of a dashboard's variable: a duration where it is an interval, otherwise a word."""
    return "1m" if variable.get("type") == "interval" else "x"


def _line(file: Path, query: str) -> int | None:
    """Return the line of a JSON file on which a query begins; None when it is written in another way."""
    escaped = json.dumps(query)
    lines = file.read_text().splitlines()
    return next((number for number, line in enumerate(lines, 1) if escaped in line), None)


def _said(program: Path, file: Path) -> Iterator[str]:
    """Yield what promtool has against a file of rules: `:line: sentence`, or `: sentence` where it names no line."""
    done = process.capture([str(program), "check", "rules", "--lint=none", str(file)], users(), ROOT, seconds=SECONDS)
    if done.returncode == 0:
        return
    said = [line.strip().removeprefix(f"{file}: ") for line in (done.stdout + done.stderr).splitlines()]
    # Some it says twice.
    found = list(dict.fromkeys(line for line in said if line and not line.startswith(_HEADINGS)))
    if not found:
        raise UserError(f"promtool check rules {file}: exit code {done.returncode}, and it says nothing")
    for line in found:
        match = _AT.fullmatch(line)
        yield f":{match['line'] or match['of']}: {match['text'] or match['what']}" if match else f": {line}"
