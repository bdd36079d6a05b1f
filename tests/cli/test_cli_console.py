"""Words, bars and lines."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import lumenize_sim
from lumenize_sim.check.finding import Access, Finding
from lumenize_sim.cli import console
from lumenize_sim.cli.console import Printer, progress_bar
from lumenize_sim.cli.show import _tree
from lumenize_sim.cli.words import Words
from lumenize_sim.explore import Progress
from lumenize_sim.trace.recorder import Recorder
from lumenize_sim.trace.trace import Trace
from lumenize_sim.view.tree import call_tree

ROOT = Path(lumenize_sim.__file__).parents[1]
CALL = '{"type":"call","chain":{"json":[{"type":"get","key":"save"},{"type":"apply","args":[]}],"meta":{}}}'


def trace() -> Trace:
    """alice's tab sends a frame, her gateway a call to DOC/d, DOC/d a call to a Worker, twice."""
    recorder = Recorder()

    def add(kind: str, actor: str, label: str, cause: int = -1, **data: object) -> int:
        return recorder.add(kind, actor, label, cause, data or None)

    gateway = "LUMENIZE_CLIENT_GATEWAY/alice.tab1"
    frame = add("frame", "alice.tab1", "alice.tab1~0^0", **{"from": "alice.tab1", "to": gateway, "text": CALL})
    add("deliver", gateway, "alice.tab1~0^0", frame)
    odd = {"from": gateway, "to": "alice.tab1"}
    add("frame", gateway, "alice.tab1~0v0", **odd, text="no json")
    add("frame", gateway, "alice.tab1~0v1", **odd, text='{"type":"call_response"}')
    label = f"{gateway}>DOC/d#0"
    send = add("send", gateway, label, **{"from": gateway, "to": "DOC/d", "method": "save", "args": []})
    add("deliver", "DOC/d", "DOC/d!other#0")
    turn = add("deliver", "DOC/d", label, send)
    for nth in range(12):
        inner = f"DOC/d>CHECK#{nth}"
        send = add("send", "DOC/d", inner, turn, **{"from": "DOC/d", "to": "CHECK", "method": "check", "args": [nth]})
        add("deliver", f"CHECK~{inner}", inner, send)
    return recorder.close({"scenario": "made"})


@pytest.mark.parametrize(
    "label,name",
    [
        ("alice.tab1~0^0", "#1 call save (alice.tab1)"),
        ("alice.tab1~0v0", "frame (alice)"),
        ("alice.tab1~0v1", "call response (alice)"),
        ("LUMENIZE_CLIENT_GATEWAY/alice.tab1>DOC/d#0", "#2 save (alice)"),
        ("LUMENIZE_CLIENT_GATEWAY/alice.tab1>DOC/d#0/r", "the answer of DOC/d to #2 save (alice)"),
        ("DOC/d>CHECK#1", "#2 check (DOC/d)"),
        ("DOC/d>CHECK#11", "#12 check (DOC/d)"),
        ("DOC/d>CHECK#1/r", "the answer of CHECK to #2 check (DOC/d)"),
        ("DOC/d>CHECK#12", "DOC/d>CHECK#12"),
        ("DOC/d!other#0", "DOC/d!other#0"),
    ],
)
def test_labels_become_method_origin_and_number_at_the_receiver(label: str, name: str) -> None:
    assert Words(trace()).text(f"{label} comes before {label}") == f"{name} comes before {name}"


def test_the_tree_marks_the_calls_that_race_and_no_others() -> None:
    made = trace()
    accesses = [Access(f"DOC/d>CHECK#{nth}", None, "get", -1, f"CHECK~DOC/d>CHECK#{nth}") for nth in (3, 9)]
    lines = _tree(made, Finding("conflict", "CHECK", "k", *accesses, "…"), Words(made)).splitlines()
    plain = call_tree(made).splitlines()
    assert len(lines) == len(plain)
    marked = {line[-1]: made_line for line, made_line in zip(lines, plain, strict=True) if "◀" in line}
    checks = [line for line in plain if "check(" in line]
    assert marked == {"1": checks[3], "2": checks[9]}
    assert len(checks) == 12


def test_words_without_a_message_in_the_trace_leave_text_alone_but_printable() -> None:
    assert Words(Recorder().close({})).text("a\x1b b\nc") == "a\ufffd b\nc"


def test_lines_are_never_broken_and_carry_no_colour_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer()
    printer.line(("x" * 500, "red"), " [bold]y[/bold] :smile:")
    printer.prose("word " * 100)
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "x" * 500 + " [bold]y[/bold] :smile:"
    assert len(out) == 2
    assert printer.width == 160


def test_a_bar_shows_phase_count_rate_and_failures_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = io.StringIO()
    monkeypatch.setattr(console, "Console", lambda **_: Console(file=seen, force_terminal=True, width=120))
    clock = iter(float(n) for n in range(1000))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    with progress_bar("name") as tell:
        tell(Progress("exploring", 20, 100, 0))
        tell(Progress("exploring", 30, 100, 0))
        tell(Progress("shrinking", 2, 400, 1))
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.getvalue())
    assert "name: exploring" in text
    assert "30/100" in text
    assert re.search(r"[\d.]+/s, \d+:\d\d left", text)
    assert "name: shrinking" in text
    assert "1 failed" in text


@pytest.mark.parametrize(
    "done, given, wall_s, words",
    [
        (0, 0, 1.0, ""),
        (64, 64, 9.0, ""),
        (200, 0, 2.0, "100/s, 0:08 left"),
        (200, 150, 10.0, "5.0/s, 2:40 left"),
        (2, 0, 60.0, "0.0/s, 8:19:00 left"),
        (1000, 0, 2.0, "500/s, 0:00 left"),
    ],
)
def test_rate_and_time_left_leave_out_what_was_done_before(done: int, given: int, wall_s: float, words: str) -> None:
    """What a journal brought along took no time."""
    assert console.speed(Progress("exploring", done, 1000, 0), given, wall_s) == words


def test_a_bar_draws_no_more_than_ten_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = io.StringIO()
    monkeypatch.setattr(console, "Console", lambda **_: Console(file=seen, force_terminal=True, width=120))
    monkeypatch.setattr("time.perf_counter", lambda: 1000.0)
    with progress_bar("name") as tell:
        tell(Progress("exploring", 1, 7777, 0))
        drawn = len(seen.getvalue())
        for n in range(100):
            tell(Progress("exploring", n, 8888, 0))
        assert len(seen.getvalue()) == drawn


def test_there_is_no_bar_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("name") as tell:
        tell(Progress("exploring", 1, 10, 0))
    assert capsys.readouterr().err == ""


def test_python_m_is_the_same_command_with_a_bar_on_a_terminal_and_plain_json_beside_it(tmp_path: Path) -> None:
    (tmp_path / "apps.py").write_text(Path(__file__).with_name("cli_scenarios.py").read_text())
    master, slave = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "lumenize_sim", "explore", "apps.py::green", "--schedules", "300", "--json"],
        stdout=subprocess.PIPE, stderr=slave, cwd=tmp_path, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(slave)
    drawn = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # how Linux says that nobody holds the other end any more
            break
        if not chunk:
            break
        drawn += chunk
    os.close(master)
    out, _ = done.communicate(timeout=60)
    assert done.returncode == 0
    assert "\x1b" not in out
    assert '"scenario": "green"' in out
    assert b"green: exploring" in drawn
