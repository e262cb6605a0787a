"""What is asked of a Loki: lines, in their order, page by page."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlencode

from cli.errors import FailedError

PAGE = 5000
"""Lines that are asked for at once; Loki gives up to 50,000."""
SECONDS = 30
NANO = 1_000_000_000


@dataclass(frozen=True, order=True)
class Line:
    """One line of a container."""

    at: int
    """When it was written, in nanoseconds since 1970."""
    pod: str
    text: str

    def shown(self) -> str:
        """Return it as it is printed: time, pod, text."""
        seconds, rest = divmod(self.at, NANO)
        moment = datetime.fromtimestamp(seconds, UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z {self.pod}  {self.text}"


class AwayError(FailedError):
    """Loki does not answer; the text says how."""


@dataclass(frozen=True)
class Loki:
    """A Loki that can be asked from here, for one tenant."""

    url: str
    tenant: str
    where: str
    """The namespace that it is in."""

    def lines(self, query: str, start: int, end: int) -> Iterator[Line]:
        """Yield the lines from `start` to before `end` (nanoseconds), in the order of their writing; AwayError when it can not."""
        known: set[Line] = set()
        while True:
            page = sorted(self._page(query, start, end))
            yield from (line for line in page if line not in known)
            if len(page) < PAGE:
                return
            # The next page begins with the lines of the moment at which this one ended, some of which are known.
            # A page of one single moment would come again for ever.
            start = page[-1].at + (page[0].at == page[-1].at)
            known = {line for line in page if line.at == start}

    def ask(self, path: str, **params: object) -> Any:
        """Return what it answers; AwayError when it does not."""
        try:
            return json.loads(self.text(f"{path}?{urlencode(params)}"))
        except ValueError as error:
            raise AwayError(str(error)) from None

    def text(self, path: str) -> str:
        """Return what it answers to a path, as text; AwayError when it does not."""
        request = urllib.request.Request(f"{self.url}{path}", headers={"X-Scope-OrgID": self.tenant})
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return cast("bytes", answer.read()).decode()
        except urllib.error.HTTPError as error:
            raise AwayError(f"{error.code} {error.read().decode(errors='replace').strip()[:200]}") from None
        except OSError as error:
            raise AwayError(str(getattr(error, "reason", error))) from None

    def _page(self, query: str, start: int, end: int) -> Iterable[Line]:
        params = {"query": query, "start": start, "end": end, "limit": PAGE, "direction": "forward"}
        streams = cast("list[Mapping[str, Any]]", self.ask("/loki/api/v1/query_range", **params)["data"]["result"])
        for stream in streams:
            labels = cast("Mapping[str, str]", stream["stream"])
            for at, text in cast("list[tuple[str, str]]", stream["values"]):
                yield Line(int(at), labels.get("pod", labels.get("component", "-")), text)


def query(component: str | None, text: str | None) -> str:
    """Return the LogQL that finds a component's lines, or all, those with `text` in them or all."""
    labels = f"component={json.dumps(component)}" if component else 'container=~".+"'
    return f"{{{labels}}}" + (f" |= {json.dumps(text, ensure_ascii=False)}" if text else "")
