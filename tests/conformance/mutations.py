"""Flips one rule at a time, and sees a test fail: is there a test for each rule that we say we keep?

    python -m tests.conformance.mutations                  every mutation
    python -m tests.conformance.mutations --only gate      some of them (a part of the name)
    python -m tests.conformance.mutations --write          writes the table into docs/fidelity.md

Each mutation is one exact piece of text of the package, and what stands there instead.  It is made in a copy, in which
the named tests run: the first of them that fails has caught it.  A mutation that nobody catches, a text that is not
there exactly once, a test that fails in the copy without any mutation, and a table that is not current are errors.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import attrs

from tests.conformance.mutants import MUTANTS, Mutant

__all__ = ["Caught", "Copy", "around", "main"]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "fidelity.md"
BEGIN, END = "<!-- mutations: begin -->", "<!-- mutations: end -->"
PACKAGE = "lumenize_sim"
COPIED = (PACKAGE, "tests", "scenarios", "pyproject.toml")
#: Seconds until a mutant that hangs is taken for caught: by the clock.
PATIENCE_S = 120


@attrs.frozen
class Caught:
    """What became of a mutant.

    Attributes:
        line: of the text that was replaced.
        where: the function or class around it.
        by: the test that failed first; empty where none did.
        why: what it said.
        trouble: what is wrong with the mutant itself.
    """

    mutant: Mutant
    line: int = 0
    where: str = ""
    by: str = ""
    why: str = ""
    trouble: str = ""
    seconds: float = 0.0


class Copy:
    """A copy of package and tests, in which one mutant at a time is tried."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # With compiled files, which hold as long as a source has its time and its size.
        ignored = shutil.ignore_patterns(".pytest_cache", ".hypothesis")
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=ignored)
            else:
                shutil.copy(source, folder / name)

    def test(self, tests: Sequence[str]) -> tuple[int, str]:
        """Exit code and output of pytest, up to the first test that fails."""
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "-p",
            "lumenize_sim.testing.plugin",
            "--tb=short",
            "--no-header",
            *tests,
        ]
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",  # what a mutant compiles to is of no use to the next
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # importing them takes half of the time
        }
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return 1, f"FAILED {tests[0]} - it hangs"
        return done.returncode, done.stdout + done.stderr

    def attempt(self, mutant: Mutant) -> Caught:
        """Make the mutant, and run its tests."""
        began = time.perf_counter()
        path = self.folder / PACKAGE / mutant.file
        if not path.exists():
            return Caught(mutant, trouble=f"there is no {mutant.file}")
        source, kept = path.read_text(encoding="utf-8"), path.stat()
        times = source.count(mutant.old)
        if times != 1:
            return Caught(mutant, trouble=f"its text is {times} times in {mutant.file}: {mutant.old!r}")
        line = source[: source.index(mutant.old)].count("\n") + 1
        changed = source.replace(mutant.old, mutant.new)
        where = around(source, line)
        try:
            ast.parse(changed)
            path.write_text(changed, encoding="utf-8")
            code, output = self.test(mutant.tests)
        except SyntaxError as error:
            return Caught(mutant, line, where, trouble=f"what it makes is no Python: {error}")
        finally:
            path.write_text(source, encoding="utf-8")
            os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
        took = time.perf_counter() - began
        failed = re.search(r"^FAILED (.+?)(?: - .*)?$", output, re.MULTILINE)
        if code == 1 and failed is not None:
            said = re.findall(r"^E +(.*)$", output, re.MULTILINE)
            told = [text for text in said if text.startswith(("came out", "must never"))]
            return Caught(mutant, line, where, failed[1], (told or said or [""])[0], seconds=took)
        if code == 0:
            return Caught(mutant, line, where, trouble="nobody caught it", seconds=took)
        return Caught(mutant, line, where, trouble=f"pytest ended with {code}: {output.strip()[-400:]}", seconds=took)


def around(source: str, line: int) -> str:
    """The innermost function or class at ``line``, with those around it."""
    names: list[str] = []
    node: ast.AST = ast.parse(source)
    while True:
        inner = [
            child
            for child in ast.walk(node)
            if child is not node
            and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and child.lineno <= line <= (child.end_lineno or child.lineno)
        ]
        if not inner:
            return ".".join(names)
        node = min(inner, key=lambda child: child.lineno)
        names.append(node.name)


def attempts(mutants: Sequence[Mutant], jobs: int) -> Iterator[Caught]:
    """Try all, in order; before them the tests without any mutation."""
    tests = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder, ThreadPoolExecutor(jobs) as pool:
        copies: SimpleQueue[Copy] = SimpleQueue()
        for nth in range(jobs):
            (Path(folder) / str(nth)).mkdir()
            copies.put(Copy(Path(folder) / str(nth)))

        def borrow(mutant: Mutant | None) -> Caught | tuple[int, str]:
            copy = copies.get()
            try:
                return copy.test(tests) if mutant is None else copy.attempt(mutant)
            finally:
                copies.put(copy)

        plain, *rest = pool.map(borrow, [None, *mutants])
        assert isinstance(plain, tuple)
        if plain[0]:
            sys.exit(f"the tests do not pass without a mutation:\n{plain[1].strip()[-2000:]}")
        for caught in rest:
            assert isinstance(caught, Caught)
            yield caught


def test_name(node: str) -> str:
    """``tests/a/test_b.py::test_c[d]`` as people say it; a litmus program by its id."""
    program = re.search(r"::test_nothing_comes_out_that_must_not\[(.+)-(production|workerd)\]$", node)
    if program is not None:
        return f"litmus `{program[1]}` ({program[2]})"
    return f"`{node.removeprefix('tests/')}`"


def table(results: Sequence[Caught]) -> str:
    """The generated part of the page.  Without line numbers, which any edit would move."""
    lines = ["| mutation | rules | where | caught by |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {c.mutant.name} | {', '.join(c.mutant.rules)} | `{c.mutant.file}`, `{c.where}` | {test_name(c.by)} |"
        for c in results
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.mutations", description=__doc__)
    parser.add_argument("--only", default="", help="only mutations whose name contains this")
    parser.add_argument("--write", action="store_true", help="write the table")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args(arguments)
    say = sys.stdout.write
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.name]
    results: list[Caught] = []
    for caught in attempts(chosen, options.jobs):
        results.append(caught)
        mutant = caught.mutant
        place = f"{mutant.file}:{caught.line}"
        verdict = f"caught by {test_name(caught.by)}" if caught.by else f"ERROR: {caught.trouble}"
        say(f"{mutant.name:60} {', '.join(mutant.rules):13} {place:37} {caught.seconds:5.1f} s  {verdict}\n")
        if options.only and caught.by:
            say(f"    {caught.why}\n")
        sys.stdout.flush()
    bad = sum(not caught.by for caught in results)
    stale = False
    if not options.only and not bad:
        page = PAGE.read_text(encoding="utf-8")
        head, _, rest = page.partition(BEGIN)
        current, _, tail = rest.partition(END)
        fresh = f"\n\n{table(results)}\n\n"
        if options.write:
            PAGE.write_text(f"{head}{BEGIN}{fresh}{END}{tail}", encoding="utf-8")
        elif fresh != current:
            stale = True
            say("the mutations in docs/fidelity.md are not current: run `make mutations WRITE=1`\n")
    say(f"{len(results)} mutations, {len(results) - bad} caught, {bad} not\n")
    return 1 if bad or stale else 0


if __name__ == "__main__":
    sys.exit(main())
