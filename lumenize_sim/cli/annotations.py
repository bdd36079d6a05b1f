"""Annotations: failures as lines that GitHub Actions shows beside the source."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from lumenize_sim.check.finding import Access
from lumenize_sim.explore import Failure, Report
from lumenize_sim.world.scenario import Scenario

__all__ = ["annotated", "place_of"]


def annotated(report: Report) -> Iterator[str]:
    """One error for each failure, where it was raised, and a notice at each side of its racing pair."""
    scenario = report.scenario
    for failure in report.failures:
        found = failure.explanation
        lines = [failure.message, *([] if found is None else [found.message]), f"replay: {failure.replay_command}"]
        file, line = place_of(failure)
        yield _command("error", file, line, f"{scenario.name} {failure.kind.replace('_', ' ')}", "\n".join(lines))
        if found is None:
            continue
        for access in (found.first, found.second, found.then):
            place = None if access is None else _place(scenario, access)
            if access is not None and place is not None:
                yield _command(
                    "notice", *place, f"{scenario.name}: racing", f"{access.event}: {access.op} of {found.key!r}"
                )


def place_of(failure: Failure) -> tuple[str, int]:
    """File and line where a failure was raised; the scenario's own where it was raised nowhere."""
    scenario, error = failure.run.scenario, failure.run.outcome.error
    code = scenario.drive.__code__ if hasattr(scenario.drive, "__code__") else None
    place = (scenario.path or "", code.co_firstlineno if code is not None else 1)
    traceback = None if error is None else error.__traceback__
    ours = [*_files(scenario).values(), scenario.path]
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if file in ours:
            place = (file, traceback.tb_lineno)
        traceback = traceback.tb_next
    return _from_root(place[0]), place[1]


def _place(scenario: Scenario, access: Access) -> tuple[str, int] | None:
    name, _, line = (access.where or "").rpartition(":")
    file = _files(scenario).get(name)
    return None if file is None or not line.isdigit() else (_from_root(file), int(line))


def _files(scenario: Scenario) -> dict[str, str]:
    """The app's files by their names without folders, which is what findings know of them."""
    files: dict[str, str] = {}
    for owner in (scenario.drive, *scenario.app.bindings.values()):
        file = getattr(sys.modules.get(getattr(owner, "__module__", "")), "__file__", None)
        if file:
            files.setdefault(Path(file).name, file)
    return files


def _from_root(file: str) -> str:
    """As GitHub wants it: from the root of the repository."""
    root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    path = Path(file).resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(file)


def _command(kind: str, file: str, line: int, title: str, message: str) -> str:
    def value(text: str) -> str:
        return _data(text).replace(":", "%3A").replace(",", "%2C")

    return f"::{kind} file={value(file)},line={line},title={value(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
