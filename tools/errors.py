"""The error that a user can mend."""


class UserError(Exception):
    """Something the user can mend: its text says what is wrong, where, and what to do. The command line prints it and exits 2."""
