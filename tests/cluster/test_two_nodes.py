"""One node of two loses its network while falls arrive, and later gets it back. Runs last: it changes the sandbox."""

from collections.abc import Iterator

import pytest

from bench import faults
from bench.installation import Installation
from cli import sandbox as cli_sandbox
from cli.sandbox import Started
from tests.cluster.trial import PRODUCT_IMAGES, Trial
from tools.progress import Progress

pytestmark = [pytest.mark.fault, pytest.mark.two_nodes, pytest.mark.long]

CUT_SECONDS = 75
"""Longer than it takes until the lost node's pods run elsewhere (55 s, knowledge: sandbox)."""


@pytest.fixture(scope="module")
def two_nodes(started: Started, trial: Trial) -> Iterator[Installation]:
    """The stack on a sandbox of two nodes, some of its pods on the second."""
    had = len(started.sandbox.status().nodes)
    progress = Progress()
    if had < 2:
        cli_sandbox.start(2, PRODUCT_IMAGES, progress)
    installation = trial.installation
    faults.spread(installation, "node-2")
    try:
        yield installation
    finally:
        started.sandbox.mend(2)
        if had < 2:
            cli_sandbox.start(had, PRODUCT_IMAGES, progress)
        progress.close()


def test_every_acknowledged_fall_has_exactly_one_alert_although_a_node_is_cut_off_and_mended(
    two_nodes: Installation, lamps: dict[str, str]
) -> None:
    outcome = faults.survive(two_nodes, lamps, faults.node_cut(2, CUT_SECONDS), after=15, patience=240)
    print(outcome)
    assert len(outcome.report.acknowledged) > 20 * CUT_SECONDS / 2
    assert outcome.harmless, str(outcome)
