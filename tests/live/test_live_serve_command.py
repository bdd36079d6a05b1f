"""`lumenize-sim serve` as a process: what it prints, what it keeps, how it stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from lumenize_sim.cli.serve import load_app
from lumenize_sim.errors import UsageError
from lumenize_sim.explore.loading import load_module
from lumenize_sim.live import connect_client

ROOT = Path(__file__).parents[2]
SCENARIO = ROOT / "scenarios" / "lost_update_fixed.py"


@contextmanager
def served(*args: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "lumenize_sim", "serve", *args]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def click_once(url: str, token: str) -> int:
    """A real client of another process clicks; the count that it hears."""
    tab_class: Any = load_module(SCENARIO).Tab

    async def main() -> int:
        with trio.fail_after(8):
            async with connect_client(tab_class, url=url, access_token=token) as alice:
                alice.click("c1")
                while alice.count is None:  # noqa: ASYNC110  # set over the network
                    await trio.sleep(0.005)
                count: int = alice.count
                return count

    return trio.run(main)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process there")
def test_serve_prints_one_line_of_json_keeps_its_data_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    """Exit code 130; what was counted is there again in the next process."""
    for expected in (1, 2):
        arguments = ("--port", "0", "--json", "--print-token", "alice", "--data", str(tmp_path))
        with served(str(SCENARIO), *arguments) as process:
            assert process.stdout is not None
            printed = json.loads(process.stdout.readline())
            assert click_once(printed["url"], printed["tokens"]["alice"]) == expected
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=8)
            assert (process.returncode, out) == (130, "")
            assert "Traceback" not in err


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM there")
def test_serve_tells_a_person_where_and_stops_quietly_when_terminated() -> None:
    """URL, storage, and how to get a token; exit code 0 for a service manager."""
    with served(str(SCENARIO), "--port", "0") as process:
        assert process.stdout is not None
        first, storage, token = (process.stdout.readline() for _ in range(3))
        assert first.startswith("serving COUNTER, ")
        assert " at http://127.0.0.1:" in first
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=8)
        assert "storage: in memory" in storage
        assert "--print-token SUB" in token
        assert (process.returncode, out, err) == (0, "", "")


def test_apps_are_found_by_file_and_name(tmp_path: Path) -> None:
    """A mesh, or that of a scenario; one that is ambiguous or missing is named."""
    assert load_app(str(SCENARIO)) is load_module(SCENARIO).app
    assert load_app(f"{SCENARIO}::app") is load_module(SCENARIO).app
    with pytest.raises(UsageError, match="no mesh 'other'; there is: app"):
        load_app(f"{SCENARIO}::other")
    (tmp_path / "none.py").write_text("x = 1\n")
    with pytest.raises(UsageError, match="defines no mesh"):
        load_app(str(tmp_path / "none.py"))
    (tmp_path / "two.py").write_text("from lumenize_sim import Mesh\na, b = Mesh(), Mesh()\n")
    with pytest.raises(UsageError, match="several meshes \\(a, b\\)"):
        load_app(str(tmp_path / "two.py"))
