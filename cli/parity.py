"""`sy parity`: whether two stacks are the same but for what parity.yaml allows."""

from datetime import date
from pathlib import Path

import click

from cli import console
from cli.compared import paint, resized, subjects
from cli.errors import FAILED
from reports import allowances, releases, text
from reports.compare import compare
from reports.parity import Verdict, verdict
from tools.errors import UserError
from tools.paths import ROOT


@click.command("parity")
@click.argument("left", metavar="STAGING")
@click.argument("right", metavar="PRODUCTION")
@click.option("--json", "form", flag_value="json", help="Print the report as JSON.")
@click.option("--markdown", "form", flag_value="markdown", help="Print the report as Markdown, for a pull request.")
@click.option(
    "--allowances",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=ROOT / allowances.FILE,
    metavar="FILE",
    help="What may differ; default: parity.yaml.",
)
@click.option("--resized", "as_resized", is_flag=True, help="Take STAGING as a fork of it would be that has PRODUCTION's tier.")
def command(left: str, right: str, form: str | None, file: Path, as_resized: bool) -> None:
    r"""Compare two stacks field by field. Fails when anything differs that parity.yaml does not allow.

    Both are rendered without engine, cluster and passphrase; names, namespaces and hosts count as the same. An allowance that nothing uses,
    that has ended, or that covers what may never differ (components, env var names, probes, policies, versions, images of backing
    services) fails as well. Of the app's own image, PRODUCTION may run only what STAGING has run: releases/STAGING.yaml.

    \b
    ./sy parity staging production                what differs, and why it may
    ./sy parity production bright-homes           whether a fork is still the same
    ./sy parity production bright-homes --resized     whether one of another tier is what a fork of that tier is
    ./sy parity staging production --markdown     for a pull request

    Exit code 1: they are not the same.
    """
    judged = judge(left, right, file, as_resized=as_resized)
    forms = {"json": text.parity_json, "markdown": text.parity_markdown}
    console.result(forms[form](judged) if form else "\n".join(text.parity(judged, paint)))
    if not judged.holds:
        raise SystemExit(FAILED)


def judge(
    left: str,
    right: str,
    file: Path = ROOT / allowances.FILE,
    root: Path = ROOT,
    today: date | None = None,
    *,
    as_resized: bool = False,
) -> Verdict:
    """Return the verdict about two stacks, the left one of the right one's tier if asked; SettingsError when one can not be used."""
    if left == right:
        raise UserError(f"{left} can not differ from itself: name two stacks")
    allowed = allowances.read(file)
    ran = releases.read(left, root)
    ours, theirs = subjects([left, right], root)
    note = ""
    if as_resized and ours.settings.tier != theirs.settings.tier:
        ours = resized(left, right, root)
        note = f"{left} is taken as a fork of it would be, of tier {theirs.settings.tier}"
    judged = verdict(compare(ours, theirs), allowed, ran, today or date.today())
    judged.notes += [note] if note else []
    return judged
