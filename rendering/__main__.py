"""`python -m rendering STACK…`: the stacks as JSON, so that a checkout of another revision can be rendered by its own code."""

import argparse
import json
import sys
from pathlib import Path

from rendering.processes import RenderingError, render_all
from settings import SettingsError
from settings.loader import ROOT


def main() -> int:
    """Print a map of stack name -> what it is made of; exit code 2 when settings are wrong, 1 when the program fails."""
    parser = argparse.ArgumentParser(prog="python -m rendering", description=__doc__)
    parser.add_argument("stacks", nargs="+", metavar="STACK")
    parser.add_argument("--root", type=Path, default=ROOT, help="folder of product.yaml, settings/tiers and the stacks' files")
    said = parser.parse_args()
    try:
        made = render_all(said.stacks, said.root)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except RenderingError as error:
        print(error, file=sys.stderr)
        return 1
    json.dump({stack: one.as_json() for stack, one in made.items()}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
