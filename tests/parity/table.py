"""A pytest plugin: which lines of the original's checklist the tests of this run stand for.

``make parity`` runs the tests with it.  Its table comes last, and its last line counts.
The run fails where a line is unexplained, or a test that stands for one has failed.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.parity.checklist import FAMILIES, Line, cited, explained, lines, undecided

#: Folders whose tests stand for lines; a run of others has no table.
VECTORS = "test_clone_vectors.py"
FRAMES = "test_wire_replay.py"


class Parity:
    """Collects outcomes by line."""

    def __init__(self) -> None:
        self.tests: dict[Line, list[str]] = {}
        self.of_item: dict[str, list[Line]] = {}
        self.failed: dict[Line, str] = {}
        self.passed: dict[Line, str] = {}
        self.counts = {VECTORS: 0, FRAMES: 0}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Note what each test stands for, and leave out those that stand for nothing."""
        kept, left_out = [], []
        for item in items:
            function: Any = getattr(item, "function", None)
            found = list(cited(getattr(function, "__doc__", None) or ""))
            if found:
                self.of_item[item.nodeid] = found
            stands = found or any(file in item.nodeid for file in self.counts)
            (kept if stands else left_out).append(item)
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = kept

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how it went."""
        if report.when != "call" and not report.failed:
            return
        for file in self.counts:
            if file in report.nodeid and report.passed:
                self.counts[file] += 1
        for line in self.of_item.get(report.nodeid, ()):
            (self.passed if report.passed else self.failed).setdefault(line, report.nodeid)

    @property
    def unexplained(self) -> list[str]:
        """Lines that no test stands for and no row explains; quirks that nobody decided."""
        reasons = explained()
        missing = [str(line) for line in lines() if line not in self.passed and line not in reasons]
        return [*missing, *undecided(), *(str(line) for line in self.failed)]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail for what is unexplained."""
        if self.unexplained and session.exitstatus == 0:
            session.exitstatus = 1

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Print the table, behind everything else."""
        reasons, unexplained = explained(), self.unexplained
        print()
        print(f"{'lines':9}{'tests':>6}{'rows':>6}{'open':>6}  what")
        for family, (count, what) in FAMILIES.items():
            own = [line for line in lines() if line.family == family]
            tested = sum(line in self.passed for line in own)
            told = sum(line in reasons and line not in self.passed for line in own)
            print(f"{family:6}{count:3}{tested:6}{told:6}{count - tested - told:6}  {what}")
        if unexplained:
            print("unexplained:", ", ".join(unexplained))
        print(
            f"{len(lines())} lines: {len(self.passed)} tested, "
            f"{sum(line not in self.passed for line in reasons)} explained; "
            f"{self.counts[VECTORS]} checks of vectors, {self.counts[FRAMES]} of recorded frames; "
            f"{len(unexplained)} unexplained"
        )


def pytest_configure(config: pytest.Config) -> None:
    """Take part in the run."""
    config.pluginmanager.register(Parity(), "parity")
