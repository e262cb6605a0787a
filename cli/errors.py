"""How a command ends when it does not end well."""

OK = 0
FAILED = 1
"""Something was changed and then a step failed; the text says what to do next."""
MENDABLE = 2
"""Nothing was changed; the user can mend it."""
INTERRUPTED = 130


class FailedError(Exception):
    """A step failed midway: its text says what, and what to do next. The command line prints it and exits 1."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came: end as after Ctrl-C."""
