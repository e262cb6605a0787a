"""The API server itself: its version and its clock."""

import re
from collections.abc import Iterator

from preflight.api import Api
from preflight.findings import Finding, right, wrong

OLDEST = (1, 31)
"""The manifests use nothing newer (docs/versions.md)."""
TESTED = (1, 36)
"""What the tests run on (docs/versions.md)."""
SKEW_SECONDS = 60
"""Certificates made by one clock are not yet valid by another that is behind; a minute is what everybody tolerates."""


def version(api: Api) -> Iterator[Finding]:
    """Compare the server's version with what the manifests need and what was tested."""
    said = api.get("/version")
    name = str(said["gitVersion"])
    found = tuple(int(re.sub(r"\D", "", str(said[part])) or 0) for part in ("major", "minor"))
    needed, tested = (".".join(map(str, one)) for one in (OLDEST, TESTED))
    if found < OLDEST:
        yield wrong("version", f"Kubernetes {name} is too old", f"upgrade the cluster to {needed} or later; {tested} is tested")
    else:
        untested = "" if found == TESTED else f"; tests run on {tested}, and {needed} is the oldest that has all that is needed"
        yield right("version", f"Kubernetes {name}{untested}")


def clock(api: Api) -> Iterator[Finding]:
    """Compare the server's clock with this machine's."""
    seconds = api.ahead()
    if abs(seconds) > SKEW_SECONDS:
        order = "ahead of" if seconds > 0 else "behind"
        found = f"the cluster's is {abs(seconds):.0f} s {order} this machine's"
        yield wrong("clock", found, "set both by a time server (NTP): certificates made here would not be valid there")
    else:
        yield right("clock", "the cluster's and this machine's agree")
