"""Output: results on standard output, progress on standard error, and JSON alone when it is asked for."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from lumenize_sim.explore import Progress

__all__ = ["Printer", "apart_from_json", "progress_bar", "speed"]

#: Columns of tables and rules where there is no terminal.
_PLAIN_WIDTH = 110


class _Console(Console):
    """Newer releases of rich end the process where nobody reads any more; here that is the printer's matter."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Printer:
    """Prints to standard output: colours on a terminal, plain lines of any length elsewhere."""

    def __init__(self) -> None:
        self._console: Console = _Console(highlight=False, markup=False, emoji=False)
        if not self._console.is_terminal:
            self._console.width = _PLAIN_WIDTH

    @property
    def is_terminal(self) -> bool:
        """Whether a person is looking."""
        return self._console.is_terminal

    @property
    def width(self) -> int:
        """Columns of the terminal; as many as swim lanes need elsewhere."""
        return self._console.width if self.is_terminal else 160

    def line(self, *parts: str | tuple[str, str]) -> None:
        """One line; a part is a text, or a text with a style.  Never broken: what is copied from it must be whole."""
        self._write(lambda: self._console.print(Text.assemble(*parts), soft_wrap=True))

    def prose(self, text: str) -> None:
        """A sentence or two, broken between words on a terminal."""
        self._write(lambda: self._console.print(Text(text), soft_wrap=not self.is_terminal))

    def fact(self, head: str, text: str, style: str = "") -> None:
        """``head: text``."""
        self.line((f"{head}: ", "dim"), (text, style))

    def block(self, what: RenderableType) -> None:
        """A table, a tree, a rule."""
        self._write(lambda: self._console.print(what))

    def text(self, text: str) -> None:
        """Text as it is."""
        self._write(lambda: self._console.out(text, highlight=False))

    def json(self, document: Any) -> None:
        """One JSON document."""
        self._write(lambda: print(json.dumps(document, ensure_ascii=True, indent=2)))

    def _write(self, write: Callable[[], None]) -> None:
        try:
            write()
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever read has seen enough (`| head`); the exit code still says how the run went.
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # for the rest of the process
            self._console = Console(file=sys.stdout)


@contextmanager
def apart_from_json(as_json: bool) -> Generator[None, None, None]:
    """While the app runs, what it prints goes to standard error, so that the JSON stays alone."""
    if not as_json:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


def speed(progress: Progress, given: int, wall_s: float) -> str:
    """Rate and time left, of which ``given`` were done when the clock began; empty where nothing can be said yet."""
    done = progress.done - given
    if done <= 0 or wall_s <= 0:
        return ""
    left_s = round((progress.total - progress.done) * wall_s / done)
    hours, minutes, seconds = left_s // 3600, left_s // 60 % 60, left_s % 60
    left = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    rate = done / wall_s
    return f"{rate:,.0f}/s, {left} left" if rate >= 10 else f"{rate:.1f}/s, {left} left"


@contextmanager
def progress_bar(title: str, *, shown: bool = True) -> Generator[Callable[[Progress], None], None, None]:
    """A bar on standard error with the rate and the time left; nothing where that is no terminal.

    It draws only when told of progress, and takes time from `time.perf_counter`: a thread
    of its own would look at a clock that is virtual while a run is on.
    """
    clock = time.perf_counter
    console = Console(stderr=True)
    if not (shown and console.is_terminal):
        yield lambda _: None
        return
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", style="dim"),
        TextColumn("{task.fields[found]}", style="red"),
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        get_time=clock,
    )
    began = clock()
    drawn = [0.0]
    # What a journal brought along took no time.
    given: list[int] = []
    task: TaskID = bars.add_task(title, total=None, rate="", found="")

    def tell(progress: Progress) -> None:
        now = clock()
        if not given:
            given.append(progress.done)
        if now - drawn[0] < 0.1:
            return
        drawn[0] = now
        rate = speed(progress, given[0], now - began) if progress.phase == "exploring" else ""
        bars.update(
            task,
            description=f"{title}: {progress.phase}",
            completed=progress.done,
            total=progress.total,
            rate=rate,
            found=f"{progress.failures} failed" if progress.failures else "",
        )
        bars.refresh()

    with bars:
        yield tell
