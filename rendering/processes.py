"""A process a stack: started from one that has pulumi imported already, so that each costs a fraction of a second."""

import gc
import multiprocessing
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rendering.resources import Rendered
from settings import SettingsError, resolve
from settings.loader import ROOT, read_stack_file

SECONDS = 120
"""A stack that is not rendered by then never will be."""
IMPORTED = ["components.stack", "rendering.program"]


class RenderingError(Exception):
    """The program failed on a stack whose settings are right; the text is its traceback."""


def render(stack: str, root: Path = ROOT, file: Path | None = None) -> Rendered:
    """Return what the stack called `stack` is made of, as `file` (by default its own in `root`) describes it.

    SettingsError when the settings can not be used, or there is no such stack; RenderingError when the program fails on them.
    """
    return run(_render, stack, root, file)


def render_all(
    stacks: Sequence[str], root: Path = ROOT, workers: int | None = None, files: Mapping[str, Path] | None = None
) -> dict[str, Rendered]:
    """Return several stacks, `workers` (by default one a processor) at a time; the first error in their order is raised.

    `files`: those that describe them, for stacks that another file than their own does.
    """
    files = files or {}
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        rendering = [pool.submit(render, stack, root, files.get(stack)) for stack in stacks]
        return {stack: one.result() for stack, one in zip(stacks, rendering, strict=True)}


def run(build: Callable[..., Any], *words: Any) -> Any:
    """Return what `build` returns for `words` in a process of its own; its errors are raised here."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, build, words), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(SECONDS):
            raise RenderingError(f"no answer within {SECONDS} s")
        kind, result = ours.recv()
    except EOFError:
        raise RenderingError("the process ended without an answer") from None
    finally:
        ours.close()
        process.kill()
        process.join()
        process.close()
    if kind == "settings":
        raise SettingsError(result)
    if kind == "error":
        raise RenderingError(result)
    return result


def _child(answer: Connection, build: Callable[..., Any], words: tuple[Any, ...]) -> None:
    # The process ends with its answer; collecting takes a quarter of its time.
    gc.disable()
    try:
        answer.send(("made", build(*words)))
    except SettingsError as error:
        answer.send(("settings", error.problems))
    except BaseException:
        answer.send(("error", traceback.format_exc()))


def _render(stack: str, root: Path, file: Path | None) -> Rendered:
    from rendering.program import rendered

    said, others = _said(root / f"Pulumi.{stack}.yaml" if file is None else file)
    return rendered(stack, resolve(stack, said, others, root))


def _said(file: Path) -> tuple[Mapping[str, Any], list[str]]:
    if not file.is_file():
        raise SettingsError([f"{file.name}: there is no such stack"])
    return read_stack_file(file)
