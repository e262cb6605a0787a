"""Where `./sy` goes on in the virtual environment: run the command, and turn how it ended into an exit code."""

import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from cli import console
from cli.errors import FAILED, INTERRUPTED, MENDABLE, OK, FailedError, Terminated
from cli.root import root
from settings.errors import SettingsError
from tools.errors import UserError


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    try:
        # standalone_mode would turn Ctrl-C into exit code 1.
        code = root.main(args=list(words) if words is not None else None, prog_name="./sy", standalone_mode=False)
    except (UserError, SettingsError) as error:
        console.error(str(error))
        return MENDABLE
    except click.ClickException as error:
        error.show()
        return MENDABLE
    except FailedError as error:
        console.error(str(error))
        return FAILED
    except click.Abort as abort:
        # click makes one of Ctrl-C, too; a "no" to a question has no cause.
        if isinstance(abort.__cause__ or abort.__context__, (KeyboardInterrupt, EOFError)):
            return _interrupted()
        console.note("nothing was changed")
        return MENDABLE
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else FAILED
    except BrokenPipeError:
        return FAILED
    except OSError as error:
        # A full disk, a folder that may not be written to: the machine's, and nothing that a traceback would tell more about.
        console.error(
            f"{f'{error.filename}: ' if error.filename else ''}{error.strerror or error}; mend that and run the same command again"
        )
        return FAILED
    return code if isinstance(code, int) else OK


def _interrupted() -> int:
    console.note("stopped; the same command goes on from here")
    return INTERRUPTED


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main())
