"""What can go wrong while the sandbox starts."""

from pathlib import Path

from tools.errors import UserError


class StartError(UserError):
    """A part of the sandbox did not start; the text ends with the last lines of its log."""

    def __init__(self, name: str, what: str, log: Path) -> None:
        """Describe that `name` did `what`, and quote the end of `log`."""
        super().__init__(f"sandbox: {name} {what}. Log {log} ends with:\n{tail(log)}")


def tail(log: Path, lines: int = 12) -> str:
    """Return the last `lines` lines of a log, or a dash when there is none."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "-"
    return "\n".join(line[:400] for line in text.splitlines()[-lines:])
