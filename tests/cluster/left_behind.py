"""What a killed run of the tests leaves on the sandbox: namespaces whose state went with the run, so that no other run could take them."""

from cli.environment import users
from cli.kubectl import Kubectl
from cli.process import capture
from tools.paths import ROOT, state_dir

SECONDS = 180


def note(namespace: str) -> None:
    """Write down that the tests make this namespace, before they do."""
    folder = state_dir() / "trials"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / namespace).touch()


def forget(namespace: str) -> None:
    """Take it off the list: it is gone."""
    (state_dir() / "trials" / namespace).unlink(missing_ok=True)


def remove(kubectl: Kubectl) -> list[str]:
    """Delete what earlier runs noted and never took off, and return it."""
    found = sorted(path.name for path in (state_dir() / "trials").glob("*"))
    for namespace in found:
        argv = kubectl.argv("delete", "namespace", namespace, "--ignore-not-found", f"--timeout={SECONDS}s")
        done = capture(argv, users(), ROOT, seconds=SECONDS + 20)
        assert done.returncode == 0, done.stderr
        forget(namespace)
    return found
