"""``lumenize-sim demo``: what this package does, on the scenarios that come with it.

Four parts.  Each says what it is about to do, does it, and checks that it came out as it
must; the exit code is 0 only if all of them did.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import click
from rich.rule import Rule
from rich.table import Table

from lumenize_sim.cli.arguments import command_line, folder_for_tapes, json_option, save_option
from lumenize_sim.cli.console import Printer, apart_from_json, progress_bar
from lumenize_sim.cli.exits import Exit, interruptible
from lumenize_sim.cli.explore import print_failure
from lumenize_sim.errors import UsageError
from lumenize_sim.explore import Failure, Report, explore, load_scenario, simulate
from lumenize_sim.explore.loading import shown_path
from lumenize_sim.world.faults import KINDS, Faults
from lumenize_sim.world.scenario import Scenario

__all__ = ["command", "scenarios_folder"]

#: Schedules to find a race in, and for its twin with the fix: enough to see the difference, and quick.
_HUNT_SCHEDULES = 1000
_TWIN_SCHEDULES = 200
_FILES = ("collab_editor.py", "lost_update.py", "subscribe_race.py", "collab_editor_tutorial.py")


@click.command("demo")
@click.option(
    "--schedules", type=click.IntRange(min=1), default=1000, show_default=True, help="For the editor of part 1."
)
@click.option("--scenarios", "folder", metavar="DIR", help="Where the scenarios are; by default found from here.")
@save_option
@json_option
def command(schedules: int, folder: str | None, save: str, as_json: bool) -> int:
    """Explore an app with faults, then find, shrink, explain and replay three races.

    Takes well under two minutes.  Exits with 0 only if everything came out as it must.
    """
    home = scenarios_folder(folder)
    tapes = folder_for_tapes(save)
    began = time.perf_counter()
    with interruptible("lumenize-sim demo"), apart_from_json(as_json):
        show = _Demo(Printer(), home, tapes, schedules, quiet=as_json)
        show.run()
    wall_s = time.perf_counter() - began
    printer = Printer()
    failed = [part for part in show.parts if part["wrong"]]
    if as_json:
        printer.json({"ok": not failed, "parts": show.parts, "wall_s": round(wall_s, 3)})
    else:
        printer.block(Rule(style="dim"))
        if failed:
            names = ", part ".join(
                f"{part['part']} ({part['scenario']}): {'; '.join(part['wrong'])}" for part in failed
            )
            printer.line(("not as it must be: ", "red bold"), f"part {names}")
        else:
            printer.line(("all four parts came out as they must", "green bold"), f", in {wall_s:.1f} s")
            printer.line(
                ("the races are in the folder ", "dim"), str(tapes), ("; try: ", "dim"), (show.try_next, "cyan")
            )
    return Exit.FAILED if failed else Exit.PASSED


def scenarios_folder(folder: str | None = None) -> Path:
    """The folder with the scenarios: ``folder``, here or above, or next to the package.

    Raises:
        UsageError: there is none.
    """
    here = Path.cwd()
    looked = [Path(folder)] if folder is not None else [place / "scenarios" for place in (here, *here.parents)]
    if folder is None:
        looked.append(Path(__file__).resolve().parents[2] / "scenarios")
    for place in looked:
        if all((place / name).is_file() for name in _FILES):
            return place
    raise UsageError(
        f"the scenarios of the demonstration ({', '.join(_FILES)}) are not in {looked[0]}"
        + (", in a folder above, or next to the package" if folder is None else "")
        + ": run it from a checkout of the repository, or name the folder with --scenarios DIR."
    )


@attrs.define
class _Demo:
    """The four parts.  With ``quiet`` nothing is printed."""

    printer: Printer
    home: Path
    tapes: Path
    schedules: int
    quiet: bool
    parts: list[dict[str, Any]] = attrs.field(factory=list)
    try_next: str = "lumenize-sim --help"

    def run(self) -> None:
        """All parts, one after the other."""
        self._part("collab_editor", "An editor that survives", self._survives)
        self._part("lost_update", "A lost update", self._lost_update)
        self._part("subscribe_race", "A race that does not show first come, first served", self._hidden_race)
        self._part("collab_editor_tutorial", "Found in an editor written as a tutorial would", self._tutorial)

    def _part(self, name: str, title: str, work: Callable[[Scenario, dict[str, Any]], list[str]]) -> None:
        nth = len(self.parts) + 1
        part: dict[str, Any] = {"part": nth, "scenario": name}
        self.parts.append(part)
        if not self.quiet:
            if nth > 1:
                self.printer.line("")
            self.printer.block(Rule(f"{nth}. {title}", style="dim", align="left"))
        part["wrong"] = work(load_scenario(self.home / f"{name}.py"), part)
        for wrong in part["wrong"]:
            self._say(("not as it must be: ", "red bold"), wrong)

    # -- the parts -----------------------------------------------------------------------

    def _survives(self, scenario: Scenario, part: dict[str, Any]) -> list[str]:
        if not scenario.faults:
            scenario = attrs.evolve(scenario, faults=Faults.all())
        self._prose(
            f"Two people edit one document, through sockets, a gateway, an object and a Worker. {self.schedules} "
            f"schedules, each with up to {scenario.faults.at_most} faults: when all is quiet, everybody must see the "
            "same text."
        )
        report = self._explore(scenario, self.schedules, part)
        if report.failures:
            self._failed(report, self.schedules)
            return ["a schedule failed"]
        rate = report.schedules / max(report.wall_s, 1e-9)
        self._say(
            ("passed", "green bold"),
            f" on all of {report.schedules} schedules: {report.behaviours} different behaviours, "
            f"{rate:,.0f} schedules/s",
        )
        self._table(report)
        never = report.coverage["faults_never"]
        # A short demonstration may well miss a kind; a full one may not.
        return [f"faults that never happened: {', '.join(never)}"] if never and self.schedules >= 1000 else []

    def _lost_update(self, scenario: Scenario, part: dict[str, Any]) -> list[str]:
        self._prose("A counter awaits a Worker between reading and writing. Two people click once each.")
        return self._hunt(scenario, part)

    def _hidden_race(self, scenario: Scenario, part: dict[str, Any]) -> list[str]:
        plain = simulate(scenario)
        part["plain_outcome"] = plain.outcome.kind
        if plain.outcome.failed:
            return [f"first come, first served already fails: {plain.outcome.message}"]
        self._say(("passed", "green bold"), " first come, first served: a test that runs it once sees nothing wrong.")
        wrong = self._hunt(scenario, part)
        count = part.get("non_default", 0)
        return wrong or ([] if 1 <= count <= 2 else [f"shrunk to {count} choices, not to one or two"])

    def _tutorial(self, scenario: Scenario, part: dict[str, Any]) -> list[str]:
        self._prose(
            "The same editor in the shape that comes to mind first: subscribe, and show the answer. "
            "This is our first real find: nobody planted it."
        )
        return self._hunt(scenario, part)

    # -- what they share -----------------------------------------------------------------

    def _hunt(self, scenario: Scenario, part: dict[str, Any]) -> list[str]:
        """Find, shrink, explain, replay in a fresh process; and see the twin with the fix survive the same."""
        report = self._explore(scenario, _HUNT_SCHEDULES, part)
        if not report.failures:
            return [f"the race was not found in {report.schedules} schedules"]
        self._failed(report, _HUNT_SCHEDULES)
        failure: Failure = report.failures[0]
        part.update(failure.to_json())
        wrong = (
            []
            if failure.verified == "fresh process"
            else [f"the replay in a fresh process differs: {failure.verified}"]
        )
        if failure.explanation is None:
            wrong.append("nothing explains the failure")
        assert failure.run.path is not None
        self.try_next = command_line("show", str(shown_path(str(failure.run.path))))
        return wrong + self._twin(scenario, part)

    def _twin(self, scenario: Scenario, part: dict[str, Any]) -> list[str]:
        """Explore ``…_fixed.py`` if it is there."""
        assert scenario.path is not None
        path = Path(scenario.path)
        path = path.with_name(f"{path.stem}_fixed.py")
        if not path.is_file():
            return []
        report = self._explore(load_scenario(path), _TWIN_SCHEDULES, {})
        part["twin"] = {"path": shown_path(str(path)), "schedules": report.schedules, "failures": len(report.failures)}
        if report.failures:
            self._failed(report, _TWIN_SCHEDULES)
            return [f"{path.name}, the twin with the fix, fails too"]
        self._say(("passed", "green bold"), f" with the fix ({path.name}) on all of {report.schedules} schedules")
        return []

    def _explore(self, scenario: Scenario, schedules: int, part: dict[str, Any]) -> Report:
        with progress_bar(scenario.name, shown=not self.quiet) as progress:
            report = explore(scenario, schedules=schedules, save=self.tapes, progress=progress)
        part.update(
            schedules=report.schedules,
            seed=report.seed,
            coverage=report.coverage,
            failed_on=[f.schedule for f in report.failures],
        )
        return report

    def _failed(self, report: Report, asked: int) -> None:
        if not self.quiet:
            for failure in report.failures:
                print_failure(self.printer, failure, asked=asked)
            self.printer.line(("seed: ", "dim"), str(report.seed))

    def _table(self, report: Report) -> None:
        if self.quiet:
            return
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("fault")
        table.add_column("times", justify="right")
        table.add_column("what it does", style="dim")
        for kind in report.scenario.faults.kinds:
            count = report.faults.get(kind, 0)
            table.add_row(kind, f"{count:,}" if count else "never", KINDS[kind][1], style="" if count else "yellow")
            if kind == "partition" and count:
                table.add_row("  and healed", f"{report.faults.get('heal', 0):,}", "what was held has arrived")
        self.printer.block(table)
        self.printer.line(("seed: ", "dim"), str(report.seed))

    def _prose(self, text: str) -> None:
        if not self.quiet:
            self.printer.prose(text)

    def _say(self, *parts: str | tuple[str, str]) -> None:
        if not self.quiet:
            self.printer.line(*parts)
