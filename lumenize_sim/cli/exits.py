"""Exit codes, and what is said on the way to each of them.

Whoever is to blame decides the code; the text is one paragraph on stderr that ends with
the next step.  A traceback of this package is never shown: where the package itself is
at fault it goes into a report file.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
import traceback
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from hashlib import blake2b
from pathlib import Path
from typing import Final

import click

from lumenize_sim.errors import AppError, SimulatorError, UsageError
from lumenize_sim.view.story import printable

__all__ = ["Exit", "interruptible", "report_error", "writing"]

#: Where tapes and reports go unless a command is told otherwise.
FOLDER: Final = ".lumenize"
_EXITS: Final = "it called sys.exit({}), which would end the test and not the app: raise an error instead."


class Exit(IntEnum):
    """What the exit code of a command means."""

    PASSED = 0
    FAILED = 1
    USAGE = 2
    SIMULATOR = 3
    DIVERGED = 4
    INTERRUPTED = 130


def report_error(error: BaseException, args: Sequence[str]) -> int:
    """Say on stderr what ended a command, and return its exit code.

    Args:
        args: of the command line, for the report.
    """
    if isinstance(error, SystemExit):  # the only one of ours is click's, where standard output was closed early
        return error.code if isinstance(error.code, int) else Exit.FAILED
    if isinstance(error, KeyboardInterrupt | click.Abort):
        _say("interrupted", "")
        return Exit.INTERRUPTED
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "lumenize-sim"
        _say("error", f"{_sentence(error.format_message())} Try `{path} --help`.")
        return Exit.USAGE
    if isinstance(error, UsageError):
        _say("error", str(error))
        return Exit.USAGE
    if isinstance(error, AppError):
        _say("the app failed", str(error))
        return Exit.FAILED
    where = _write_report(error, args)
    text = str(error).partition("\n")[0]
    name = "" if isinstance(error, SimulatorError) else f"{type(error).__name__}: "
    _say(
        "this is a bug in the simulator",
        f"{name}{text} The report is in {where}: please send it, with the tape if there is one.",
    )
    return Exit.SIMULATOR


@contextmanager
def interruptible(again: str) -> Generator[None, None, None]:
    """A run of the app: on Ctrl-C, print how to run the same again; the app cannot end this process with `sys.exit`."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nagain: {again}", err=True)
        raise
    except SystemExit as error:
        raise AppError(_EXITS.format(error.code)) from None
    except BaseExceptionGroup as group:
        if group.subgroup(SystemExit) is None:
            raise
        raise AppError(_EXITS.format("...")) from None


@contextmanager
def writing(path: str | os.PathLike[str]) -> Generator[None, None, None]:
    """A file that cannot be written is a matter of the arguments, not of this package."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{os.fspath(path)} cannot be written: {error.strerror or error}. Choose another place."
        ) from None


def _say(head: str, text: str) -> None:
    line = printable(text)
    click.echo(click.style(head, fg="red", bold=True) + (f": {line}" if line else ""), err=True)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _write_report(error: BaseException, args: Sequence[str]) -> Path:
    """Write a short report and return where it is."""
    from lumenize_sim.world.run import versions

    lines = [
        "lumenize_sim: a fault of the simulator",
        f"command: {shlex.join(['lumenize-sim', *args])}",
        f"versions: {', '.join(f'{name} {number}' for name, number in versions().items())}",
        f"system: {platform.platform()}",
        "",
        "".join(traceback.format_exception(error)),
    ]
    text = "\n".join(lines)
    name = f"simulator-fault-{blake2b(text.encode(errors='replace'), digest_size=4).hexdigest()}.txt"
    for folder in (Path(FOLDER), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", errors="replace")
        except OSError:
            continue
        return folder / name
    print(text, file=sys.stderr)  # nowhere to write: a report on the screen is better than none
    return Path("the lines above")
