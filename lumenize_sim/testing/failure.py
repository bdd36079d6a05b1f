"""A failed run, told to the reader of a test's output: their own lines, the racing pair, the way back.

What is raised is the error that the app or the driver raised, so that ``pytest.raises``,
``xfail(raises=...)`` and debuggers see what they expect.  Two things are done to it: frames
of the machinery are taken out of its traceback, and what is known about the run becomes its
notes, which every test runner prints below the message.
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from inspect import signature
from pathlib import Path
from types import TracebackType
from typing import Any

import attrs
import pytest

from lumenize_sim.check.finding import Finding
from lumenize_sim.explore.run import Run
from lumenize_sim.kernel.tape import Tape
from lumenize_sim.world.scenario import Scenario

__all__ = ["Told", "check", "cli_finds", "error_of", "judged", "shown", "telling", "users_frames", "words"]

_MACHINERY = ("lumenize_sim", "trio", "outcome", "_pytest", "pluggy")


# -- what a driver may raise ------------------------------------------------------------


@attrs.define
class Told:
    """What a driver said about itself instead of failing: `pytest.skip` or `pytest.xfail`."""

    error: BaseException | None = None


def judged(drive: Callable[..., Awaitable[Any]], told: Told) -> Callable[[Any], Awaitable[None]]:
    """``drive`` with the outcomes of pytest in a form that a run can end with.

    They are no `Exception`, on purpose, and would tear the run down like Ctrl-C.  A failure
    becomes an `AssertionError`; a skip is put into ``told``, and later runs end at once.
    """

    async def drive_judged(world: Any) -> None:
        if told.error is not None:
            return
        try:
            await drive(world)
        # An xfail is a kind of fail, so it comes first.
        except (pytest.skip.Exception, pytest.xfail.Exception) as error:
            told.error = error
        except pytest.fail.Exception as error:
            raise AssertionError(error.msg).with_traceback(error.__traceback__) from None

    return drive_judged


# -- what the reader sees -----------------------------------------------------------------


def users_frames(traceback: TracebackType | None) -> TracebackType | None:
    """``traceback`` without the frames of this package, Trio and pytest; ``None`` where nothing is left."""
    kept = []
    while traceback is not None:
        root = traceback.tb_frame.f_globals.get("__name__", "").partition(".")[0]
        if root not in _MACHINERY:
            kept.append(traceback)
        traceback = traceback.tb_next
    chain = None
    for entry in reversed(kept):
        chain = TracebackType(chain, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return chain


def telling(error: BaseException, lines: list[str]) -> BaseException:
    """``error``, fit to be raised to a reader: the user's frames only, ``lines`` as its note."""
    for one in _with_causes(error):
        one.__traceback__ = users_frames(one.__traceback__)
    error.add_note("\n".join(lines))
    return error


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    waiting: list[BaseException | None] = [error]
    seen: list[BaseException] = []
    while waiting:
        one = waiting.pop()
        if one is None or any(one is other for other in seen):
            continue
        seen.append(one)
        yield one
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions


def error_of(run: Run) -> BaseException:
    """What to raise for a run that failed."""
    outcome = run.outcome
    if outcome.error is not None:
        return outcome.error
    return AssertionError(f"{outcome.kind}: {outcome.message}")


def words(run: Run) -> list[str]:
    """What is known about a failed run: the racing pair with its source lines, and the choices."""
    lines = []
    found = run.explanation
    choices = run.tape.choices
    if found is not None:
        # Where nothing better is known, the message is the choice itself, which comes below.
        if all(found.message != choice.describe() for choice in choices):
            lines += found.message.splitlines()
        if found.passing:
            lines.append(f"  it passes {found.passing}")
        lines += _sources(run.scenario, found)
    logged = run.outcome.logged
    if logged:
        lines.append(f"logged: {logged[0]}" + (f" (and {len(logged) - 1} more)" if len(logged) > 1 else ""))
    if len(choices) > 1:
        lines.append("in order, except:")
        lines += [f"  {choice.describe()}" for choice in choices]
    else:
        lines.append(run.tape.describe())
    return lines


def _sources(scenario: Scenario, found: Finding) -> list[str]:
    """The lines of the app that a finding names, as text.  A finding knows the file's name only."""
    files: dict[str, str] = {}
    classes: list[Any] = [scenario.drive, *scenario.app.bindings.values()]
    for owner in classes:
        file = getattr(sys.modules.get(getattr(owner, "__module__", "")), "__file__", None)
        if file:
            files.setdefault(os.path.basename(file), file)
    lines: dict[str, None] = {}
    for access in (found.first, found.then, found.second):
        name, _, number = (access.where if access is not None and access.where else "").rpartition(":")
        if name in files and number.isdigit():
            text = linecache.getline(files[name], int(number)).strip()
            if text:
                lines[f"  {name}:{number}    {text}"] = None
    return list(lines)


def shown(path: str | os.PathLike[str], start: str | os.PathLike[str] | None = None) -> str:
    """``path`` as one would type it in ``start`` (by default the working directory)."""
    absolute = Path(path).absolute()
    try:
        return str(absolute.relative_to(Path(start or Path.cwd()).absolute()))
    except ValueError:
        return str(absolute)


def cli_finds(scenario: Scenario) -> bool:
    """Whether ``lumenize-sim replay`` finds ``scenario`` again: it is a global of an importable file."""
    if scenario.path is None:
        return False
    module = sys.modules.get(getattr(scenario.drive, "__module__", ""))
    known = module is not None and any(value is scenario for value in vars(module).values())
    return known and len(signature(scenario.drive).parameters) == 1


def check(run: Run, *, replay: str | None = None) -> Run:
    """``run`` if it passed; else raises what it failed with, explained.

    Args:
        run: from `simulate` or `replay`.
        replay: what to type in order to see it again; by default what the tape allows.

    Raises:
        BaseException: the error of the driver or the app, its notes telling the racing pair,
            the choices, and how to replay; `AssertionError` for a run that hangs, and for a
            replay that diverged.
    """
    __tracebackhide__ = True
    if run.outcome.kind == "diverged":
        raise AssertionError(run.outcome.message)
    if run.outcome.failed:
        raise telling(error_of(run), [*words(run), *way_back(run.scenario, run.tape, run.path, replay)])
    return run


def way_back(scenario: Scenario, tape: Tape, path: Path | None, replay: str | None = None) -> list[str]:
    """Tape and replay command, where there is a tape."""
    if path is None:
        return [f"seed: {tape.seed}"]
    file = shown(path)
    if replay is None:
        replay = f"lumenize-sim replay {file}" if cli_finds(scenario) else f"replay({file!r}, scenario=...)"
    return [f"seed: {tape.seed}", f"tape: {file}", f"replay: {replay}"]
