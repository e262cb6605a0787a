"""`sy comment`: what previews say, as the comment that a change gets."""

import sys
from pathlib import Path

import click

from cli import console
from reports.preview import GITHUB_LIMIT, NotAPreviewError, StackPreview, markdown
from tools.errors import UserError


@click.command("comment")
@click.argument("sources", nargs=-1, metavar="[STACK=FILE]...")
@click.option("--stack", "-s", metavar="STACK", help="Read one preview, of this stack, from standard input.")
@click.option("--limit", default=GITHUB_LIMIT, show_default=True, metavar="CHARACTERS", help="GitLab takes 1000000.")
@click.option("--brief", is_flag=True, help="Print what the comment needs as JSON, for a job that gathers several stacks.")
def command(sources: tuple[str, ...], stack: str | None, limit: int, brief: bool) -> None:
    r"""Turn what `preview --json` prints into a comment: a table by risk, and every field folded. Nothing is posted.

    Secret values are hidden. Without a stack, the comment says that no stack is altered.

    \b
    ./sy preview -s production --json | ./sy comment -s production
    ./sy comment staging=staging.json production=production.json
    """
    if brief and len(sources) + bool(stack) != 1:
        raise UserError("--brief is of one stack")
    previews = [_read(*_split(source)) for source in sources]
    if stack:
        previews.append(_parse(stack, sys.stdin.read(), "standard input"))
    if brief:
        console.result(previews[0].brief())
        return
    sys.stdout.write(markdown(previews, limit))


def _split(source: str) -> tuple[str, Path]:
    stack, equals, file = source.partition("=")
    if not equals or not stack:
        raise UserError(f"{source!r}: say STACK=FILE, such as production=preview.json")
    return stack, Path(file)


def _read(stack: str, file: Path) -> StackPreview:
    try:
        return _parse(stack, file.read_text(), str(file))
    except OSError as error:
        raise UserError(f"{file}: can not be read ({error.strerror})") from None


def _parse(stack: str, text: str, where: str) -> StackPreview:
    try:
        return StackPreview.read(stack, text)
    except NotAPreviewError as error:
        raise UserError(f"{where} is not what `pulumi preview --json` prints: {error}") from None
