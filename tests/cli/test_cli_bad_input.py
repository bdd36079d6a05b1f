"""Bad input: one paragraph that names the next step, the right exit code, nothing of our insides."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import lumenize_sim
from lumenize_sim.cli import main
from lumenize_sim.errors import AppError, SimulatorError

SOURCE = Path(__file__).with_name("cli_scenarios.py")
ROOT = Path(lumenize_sim.__file__).parents[1]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory with the small apps in it; nothing that they import outlives the test."""
    shutil.copy(SOURCE, tmp_path / "apps.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = dict(sys.modules)
    yield tmp_path
    for name in [name for name in sys.modules if name not in before]:
        if name.startswith("lumenize_scenario_"):
            del sys.modules[name]


def refused(*args: str, code: int = 2) -> str:
    """The one paragraph on stderr; stdout stays empty."""
    result = CliRunner().invoke(main, args)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    paragraph = result.stderr.strip()
    assert paragraph
    assert "\n" not in paragraph
    assert "Traceback" not in paragraph
    return paragraph


def app_failed(scenario: str) -> Result:
    """A run that fails through the app's fault, with seed and replay line."""
    result = CliRunner().invoke(main, ["run", f"apps.py::{scenario}"])
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    assert re.search(r"^seed: \d+", result.stdout, re.MULTILINE)
    assert "replay: lumenize-sim replay .lumenize/" in result.stdout
    return result


def a_tape(scenario: str = "green") -> Path:
    CliRunner().invoke(main, ["run", f"apps.py::{scenario}", "--save", "tapes"])
    (tape,) = Path("tapes").glob("*.tape")
    return tape


# -- tapes -------------------------------------------------------------------------------


def test_a_truncated_tape_is_called_cut_off() -> None:
    tape = a_tape()
    tape.write_bytes(tape.read_bytes()[:-40])
    for command in ("replay", "show"):
        assert re.search(r"is cut off after \d+ bytes: copy it again, or explore anew", refused(command, str(tape)))


@pytest.mark.parametrize("content", [b"", b"hello\n", b"\x89PNG\r\n\x1a\n", b"\xa1\x61a\x01", b"\x00" * 100])
def test_a_foreign_file_is_no_tape(content: bytes) -> None:
    Path("other.tape").write_bytes(content)
    assert "other.tape" in refused("replay", "other.tape")
    assert "other.tape" in refused("show", "other.tape")


def test_a_tape_that_is_not_there_or_a_folder() -> None:
    assert "Give the path that `explore` printed." in refused("replay", "nowhere.tape")
    assert "cannot be read" in refused("show", ".")


def test_a_truncated_trace_names_the_byte() -> None:
    CliRunner().invoke(main, ["run", "apps.py::green", "--trace", "run.trace"])
    Path("run.trace").write_bytes(Path("run.trace").read_bytes()[:-60])
    assert "run.trace" in refused("show", "run.trace")


def test_a_tape_of_another_scenario() -> None:
    tape = a_tape()
    text = refused("replay", str(tape), "--scenario", "apps.py::two_clicks")
    assert "this is a tape of scenario 'green', not of 'two_clicks'" in text


def test_a_scenario_that_was_renamed_since() -> None:
    tape = a_tape()
    source = Path("apps.py").read_text().replace("async def green", "async def blue")
    Path("other.py").write_text(source)
    data = tape.read_bytes().replace(b"apps.py", b"othr.py")
    Path("othr.py").write_text(source)
    tape.write_bytes(data)
    text = refused("replay", str(tape))
    assert "defines no scenario 'green'; there is: " in text
    assert "blue" in text


# -- scenario files ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "source,reason",
    [
        ("def (:\n", r"SyntaxError: .* at line 1"),
        ("x = 1\nimport nothing_of_this_name\n", r"ModuleNotFoundError: .* at line 2"),
        ("x = 1\n\n1 / 0\n", r"ZeroDivisionError: division by zero at line 3"),
    ],
)
@pytest.mark.parametrize("command", ["run", "explore"])
def test_a_file_that_does_not_import_says_why_and_where(command: str, source: str, reason: str) -> None:
    Path("broken.py").write_text(source)
    assert re.search(rf"broken\.py does not import: {reason}", refused(command, "broken.py"))


def test_a_file_that_is_not_there() -> None:
    assert "scenario file nowhere.py does not exist" in refused("run", "nowhere.py")


def test_several_scenarios_want_a_name() -> None:
    assert "choose one with apps.py::two_clicks" in refused("run", "apps.py")
    assert "defines no scenario 'nope'; there is: two_clicks, " in refused("explore", "apps.py::nope")


def test_a_file_without_scenarios() -> None:
    Path("empty.py").write_text("")
    assert "defines no scenario" in refused("run", "empty.py")


def test_a_file_that_leaves_the_process_blames_the_app() -> None:
    Path("leaves.py").write_text("import sys\nsys.exit(0)\n")
    assert "sys.exit(0)" in refused("run", "leaves.py", code=1)


# -- arguments ---------------------------------------------------------------------------


def test_wrong_arguments_name_the_help() -> None:
    assert "Try `lumenize-sim run --help`" in refused("run")
    assert "--strategy" in refused("run", "apps.py::green", "--strategy", "astrology")
    assert "schedules" in refused("explore", "apps.py::green", "--schedules", "0")
    assert "No such option" in refused("run", "apps.py::green", "--sed", "1")


def test_an_unknown_fault_lists_those_that_there_are() -> None:
    assert "fault kind 'quake' is unknown; there is: hibernate" in refused("run", "apps.py::green", "--faults", "quake")
    assert "names no kind" in refused("explore", "apps.py::green", "--faults", ",")


def test_a_place_that_cannot_be_written_is_a_matter_of_usage() -> None:
    Path("file").write_text("")
    assert "cannot be written" in refused("run", "apps.py::green", "--save", "file/below")
    assert "cannot be written" in refused("run", "apps.py::green", "--trace", "file/below/run.trace")
    assert "cannot be written" in refused("show", str(a_tape()), "-o", "file/below/x.html")


# -- faults of the app -------------------------------------------------------------------


def test_an_unknown_binding_in_world_object_is_the_testers() -> None:
    assert "'NOPE' is no binding of a Durable Object class; there is: THING" in refused(
        "run", "apps.py::unknown_object"
    )


def test_an_unknown_binding_in_a_call_is_the_apps() -> None:
    assert "NOWHERE" in app_failed("unknown_call").stdout


def test_an_argument_that_cannot_be_sent_is_named_by_its_place() -> None:
    assert re.search(r"args\[0\]: object cannot be copied; make it ", app_failed("unserialisable").stdout)


def test_a_coroutine_that_was_never_awaited_is_named() -> None:
    text = app_failed("forgetful").stdout
    assert "'Thing.never_runs'" in text
    assert "was never awaited, so it did nothing: await it, or drop the call" in text


def test_a_deadlock_lists_who_waits() -> None:
    assert re.search(r"deadlock — .*driver waits at apps\.py:\d+", app_failed("stuck").stdout)


def test_control_characters_of_the_app_do_not_reach_the_terminal() -> None:
    text = app_failed("colourful").stdout
    assert "red" in text
    assert "\x1b" not in text
    assert "\x07" not in text


# -- our own faults ----------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError("the wheel came off"), SimulatorError("the wheel came off")])
def test_an_unexpected_error_is_a_bug_in_the_simulator_with_a_report(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("lumenize_sim.cli.run.simulate", broken)
    text = refused("run", "apps.py::green", code=3)
    assert "this is a bug in the simulator" in text
    assert "the wheel came off" in text
    found = re.search(r"The report is in (\S+): please send it", text)
    assert found is not None
    report = Path(found[1]).read_text()
    assert "command: lumenize-sim run apps.py::green" in report
    assert "Traceback" in report
    assert "versions: python" in report


def test_a_report_goes_elsewhere_where_the_folder_cannot_be_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lumenize_sim.cli.exits import report_error

    Path(".lumenize").write_text("")
    (tmp_path / "aside").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "aside"))
    assert report_error(RuntimeError("x"), []) == 3
    assert str(tmp_path / "aside") in capsys.readouterr().err
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "apps.py"))
    assert report_error(RuntimeError("x"), []) == 3
    assert "RuntimeError: x" in capsys.readouterr().err


def test_an_error_that_blames_the_app_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise AppError("a thread was started")

    monkeypatch.setattr("lumenize_sim.cli.run.simulate", broken)
    assert "the app failed: a thread was started" in refused("run", "apps.py::green", code=1)


@pytest.mark.parametrize("error", [SystemExit(0), BaseExceptionGroup("", [SystemExit(0)])])
def test_an_app_that_leaves_the_process_never_passes(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("lumenize_sim.cli.run.simulate", broken)
    assert "sys.exit" in refused("run", "apps.py::green", code=1)


def test_a_group_of_other_errors_is_a_bug_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise BaseExceptionGroup("several", [RuntimeError("x")])

    monkeypatch.setattr("lumenize_sim.cli.run.simulate", broken)
    assert "several" in refused("run", "apps.py::green", code=3)


# -- interrupted, in processes of their own ----------------------------------------------


def process(*args: str) -> subprocess.Popen[str]:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so in the background of a shell, and children inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "lumenize_sim", *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize(
    "args,again",
    [
        (("run", "apps.py::spinning", "--seed", "3"), "again: lumenize-sim run apps.py::spinning --seed 3\n"),
        (
            ("explore", "apps.py::spinning", "--schedules", "9"),
            "again: lumenize-sim explore apps.py::spinning --schedules 9 --seed 0 --resume\n",
        ),
    ],
)
def test_ctrl_c_reaches_a_spinning_handler_at_once(args: tuple[str, ...], again: str) -> None:
    with process(*args) as running:
        assert running.stderr is not None
        assert running.stderr.readline() == "spinning\n"
        began = time.perf_counter()
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=30)
        assert time.perf_counter() - began < 5
    assert running.returncode == 130
    assert again in errors
    assert errors.endswith("interrupted\n")
    assert "Traceback" not in errors


def test_the_exit_code_survives_a_reader_that_has_seen_enough() -> None:
    """`lumenize-sim run … | head -1`."""
    with process("run", "apps.py::two_clicks") as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        errors = running.stderr.read()
        assert running.wait(timeout=30) == 1
    assert errors == ""


def test_an_exit_by_the_library_for_commands_keeps_its_code() -> None:
    """It leaves with 1 where standard output is closed before `--help` is out."""
    from lumenize_sim.cli.exits import report_error

    assert report_error(SystemExit(1), []) == 1
    assert report_error(SystemExit("text"), []) == 1
