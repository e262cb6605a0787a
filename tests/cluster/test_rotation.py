"""Other passwords for all of a stack's servers, under load: no restart, nothing refused, nothing lost; then the old ones are refused."""

import pytest

from bench.installation import Installation
from bench.rotation import under_load
from cli import logins
from settings.rotation import services
from tests.cluster.trial import Trial
from tools.progress import Progress

SERVERS = ("postgres-0", "redis-jobs-0", "mqtt-0")


def containers(installation: Installation) -> dict[str, tuple[str, int]]:
    """Return which pod each server is, and how often it was restarted."""
    pods = {pod["metadata"]["name"]: pod for pod in installation.objects("pods")}
    return {
        name: (pods[name]["metadata"]["uid"], sum(one["restartCount"] for one in pods[name]["status"]["containerStatuses"]))
        for name in SERVERS
    }


@pytest.mark.long
def test_passwords_are_rotated_under_load_and_the_old_ones_are_refused(
    trial: Trial, installation: Installation, lamps: dict[str, str]
) -> None:
    rotated = list(services(trial.settings))
    before = containers(installation)
    old = [logins.of_config(trial.settings, path, installation.demo.passwords) for path in rotated]

    def rotate() -> int:
        trial.keep(says(rotated, {"rotation": 2}))
        trial.must_up()
        for login in old:
            assert set(login.answers(trial.kubectl).values()) == {"let in"}, f"{login.service}: the generation before is let in meanwhile"
        trial.keep(says(rotated, {"revoked": 1}))
        trial.must_up()
        progress = Progress()
        logins.wait_refused(old, trial.kubectl, progress)
        progress.close()
        return 0

    outcome = under_load(installation, lamps, rotate)
    outcome.print()
    assert outcome.harmless
    assert containers(installation) == before
    new = [logins.of_config(trial.settings, path, trial.installation.demo.passwords) for path in rotated]
    for login in new:
        assert set(login.answers(trial.kubectl).values()) == {"let in"}, login.service


def says(paths: list[tuple[str, ...]], said: dict[str, int]) -> dict[str, object]:
    """Return settings that say the same of each service."""
    made: dict[str, object] = {path[0]: said for path in paths if len(path) == 1}
    made["redis"] = {path[1]: said for path in paths if path[0] == "redis"}
    return made
