"""Everything that is wrong with a stack's settings, said at once."""

from collections.abc import Sequence


class SettingsError(Exception):
    """One or more settings that can not be used; `problems` has one sentence each: file, key, value, expectation."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Keep the problems in the order in which they were found."""
        super().__init__("\n".join(problems))
        self.problems = list(problems)
