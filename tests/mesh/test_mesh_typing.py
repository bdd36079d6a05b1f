"""What type checkers see: `ctn` is a typed view, `@mesh` keeps the type of what it decorates.

The examples stand in ``tests/typing``, where `make types` checks that nothing else is wrong.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "tests" / "typing" / "continuations.py"
_IGNORED = re.compile(r"  # type: ignore\[[^]]*\]  # .*$", re.M)


def lines_of_mypy(path: Path) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir", path.parent / "cache",
         "--no-error-summary", "--hide-error-context", path],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    found = [int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error: " in line]
    return list(dict.fromkeys(found))


def lines_of_pyright(path: Path) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, path],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    found = [error["range"]["start"]["line"] + 1 for error in json.loads(done.stdout)["generalDiagnostics"]]
    return list(dict.fromkeys(found))


@pytest.mark.slow
@pytest.mark.parametrize("check", [lines_of_mypy, lines_of_pyright])
def test_wrong_names_arguments_and_what_is_no_continuation_are_errors_and_nothing_else_is(
    check: Callable[[Path], list[int]], tmp_path: Path
) -> None:
    """Each line marked in the examples is reported, by either checker, and no other line."""
    pytest.importorskip("mypy" if check is lines_of_mypy else "pyright")
    text = EXAMPLES.read_text()
    wrong = [number for number, line in enumerate(text.splitlines(), 1) if _IGNORED.search(line)]
    assert len(wrong) >= 30
    bare = tmp_path / "continuations.py"
    bare.write_text(_IGNORED.sub("", text))
    assert check(bare) == wrong
