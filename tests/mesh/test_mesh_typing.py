"""What type checkers see: `ctn` is a typed view, `@mesh` keeps the type of what it decorates."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

ROOT = Path(__file__).parents[2]

APP = """
from __future__ import annotations
from typing import Any
from lumenize_sim.mesh import RESULT, LumenizeDO, mesh

def guard(node: LumenizeDO) -> None: ...

class Counter(LumenizeDO):
    @mesh
    async def increment(self) -> int:
        return 1
    @mesh
    def add(self, by: int) -> int:
        return by
    @mesh(guard)
    def reset(self, to: int = 0) -> None: ...
    @mesh(name="getURL")
    def get_url(self) -> str:
        return ""
    @mesh
    def ping(self) -> None: ...

class Tab(LumenizeDO):
    def on_count(self, count: int) -> None: ...
    async def use(self, counter: Counter) -> None:
        reveal_type(counter.add)
        reveal_type(counter.ping())
        reveal_type(await self.lmz.call_raw("C", "c", self.ctn(Counter).increment()))
        reveal_type(await self.lmz.call_raw("C", "c", self.ctn(Counter).add(self.ctn(Counter).add(1))))
        self.lmz.call("C", "c", self.ctn(Counter).increment(), self.ctn().on_count(RESULT))
        self.lmz.call("C", "c", self.ctn(Counter).ping())
        self.lmz.call("C", "c", self.ctn(Counter).add("x"))
        self.lmz.call("C", "c", self.ctn(Counter).subtract(1))
        self.lmz.call("C", "c", self.ctn(Counter).add(1), self.ctn().on_count("x"))
        self.lmz.call("C", "c", self.ctn(Counter).add(1), self.ctn().on_cuont(RESULT))
"""


@pytest.mark.slow
def test_names_and_argument_types_are_checked_and_results_typed(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir", tmp_path / "cache",
         "--no-error-summary", "--hide-error-context", tmp_path / "app.py"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    said = [line.split(": ", 1)[1] for line in done.stdout.splitlines()]
    assert said[:4] == [
        'note: Revealed type is "def (by: int) -> int"',
        'note: Revealed type is "None"',
        'note: Revealed type is "int"',
        'note: Revealed type is "int"',
    ]
    errors = [line for line in said[4:] if line.startswith("error")]
    assert len(errors) == 4, done.stdout
    assert 'Argument 1 to "add" of "Counter"' in errors[0]
    assert '"Counter" has no attribute "subtract"' in errors[1]
    assert 'Argument 1 to "on_count" of "Tab"' in errors[2]
    assert '"Tab" of "Tab | HandlerView" has no attribute "on_cuont"' in errors[3]
