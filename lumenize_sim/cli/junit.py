"""JUnit XML: the form in which most CI systems read results."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

from lumenize_sim.cli.annotations import place_of
from lumenize_sim.cli.exits import writing
from lumenize_sim.explore import Failure, Report

__all__ = ["junit", "write_junit"]

#: What XML 1.0 cannot hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(report: Report, file: str) -> None:
    """Write ``report`` into ``file``.

    Raises:
        UsageError: it cannot be written.
    """
    with writing(file):
        path = Path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(junit(report))


def junit(report: Report) -> bytes:
    """A suite of one test where all schedules passed, else of one for each different failure."""
    suite = ET.Element("testsuite")
    name = report.scenario.name
    suite.attrib = {
        "name": f"lumenize-sim explore {name}",
        "tests": str(max(1, len(report.failures))),
        "failures": str(len(report.failures)),
        "errors": "0",
        "skipped": "0",
        "time": f"{report.wall_s:.3f}",
    }
    properties = ET.SubElement(suite, "properties")
    for key, value in (
        ("schedules", report.schedules),
        ("seed", report.seed),
        ("behaviours", report.behaviours),
        ("faults", ", ".join(f"{kind} {count}" for kind, count in report.faults.items())),
        ("never happened", ", ".join([*report.coverage["faults_never"], *report.coverage["marks_never"]])),
    ):
        ET.SubElement(properties, "property", {"name": key, "value": _clean(str(value))})
    path = report.scenario.path
    classname = Path(path).stem if path else "scenario"
    each = f"{report.wall_s / max(1, len(report.failures)):.3f}"
    if not report.failures:
        ET.SubElement(suite, "testcase", {"classname": classname, "name": name, "time": each})
    for number, failure in enumerate(report.failures, 1):
        _case(suite, failure, classname, name if number == 1 else f"{name} ({number})", each)
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    text: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def _case(suite: ET.Element, failure: Failure, classname: str, name: str, time_s: str) -> None:
    file, line = place_of(failure)
    case = ET.SubElement(
        suite, "testcase", {"classname": classname, "name": name, "file": file, "line": str(line), "time": time_s}
    )
    found = failure.explanation
    lines = [
        f"schedule {failure.schedule} ({failure.strategy}), seed {failure.run.seed}",
        *([] if found is None else [found.message]),
        failure.run.tape.describe(),
        f"tape: {failure.run.path}",
        f"replay: {failure.replay_command}",
    ]
    body = ET.SubElement(case, "failure", {"message": _clean(failure.message), "type": failure.kind})
    body.text = _clean("\n".join(lines))


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
