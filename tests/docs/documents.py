"""Markdown whose code runs: find the blocks, run them in order, compare what they print.

In one document all blocks share a working directory, which begins with the repository's
scenarios and nothing else, and all Python blocks share their names:

* ``python``: executed; a ``text`` block right behind it is what it must print.  Or, where the
  first line is a comment with a file name (``# test_board.py``), written to that file.
* ``console``: each line that begins with ``$`` is run if it is a command of ours or pytest,
  and what follows it is what it must print.  A line ``...`` stands for any lines.  Rates,
  durations, digests and counts of behaviours and faults are not compared.
* A block behind the comment ``<!-- not run -->`` is for reading only.

``LUMENIZE_UPDATE_DOCS=1`` writes the present output into the documents, exactly, where nothing is elided.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import attrs

ROOT = Path(__file__).parents[2]
NOT_RUN = "<!-- not run -->"
PLUGIN = "lumenize_sim.testing.plugin"

_BLOCK = re.compile(r"^```(python|console|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w/]+\.py)\n")
_TAPE = re.compile(r"[\w./]+-[0-9a-f]{8}\.tape")
#: What differs between two machines, or between two versions of an app.
_VOLATILE = (
    (re.compile(r"[\d,]+ schedules/s"), "N schedules/s"),
    (re.compile(r"\bin \d+\.\d+ ?s\b"), "in N s"),
    (re.compile(r"digest [0-9a-f]+"), "digest D"),
    (re.compile(r"-[0-9a-f]{8}\.tape"), "-D.tape"),
    (re.compile(r"[\d,]+ different behaviours"), "N different behaviours"),
    (re.compile(r"(?<=faults: ).*", re.MULTILINE), "some"),
    (re.compile(r" +$", re.MULTILINE), ""),
)


@attrs.frozen
class Block:
    """One fenced block.

    Attributes:
        kind: ``python``, ``console`` or ``text``.
        text: between the fences.
        line: of its first line.
        start, end: of the text, in the document.
    """

    kind: str
    text: str
    line: int
    start: int
    end: int


def blocks_of(source: str) -> list[Block]:
    """Those that are to be run, in order."""
    found = []
    for match in _BLOCK.finditer(source):
        if not source[: match.start()].rstrip().endswith(NOT_RUN):
            line = source.count("\n", 0, match.start(2)) + 1
            found.append(Block(match[1], match[2], line, match.start(2), match.end(2)))
    return found


def commands_of(text: str) -> list[tuple[str, str]]:
    """Each command of a console block with what it must print."""
    found: list[tuple[str, str]] = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        found.append((command, output))
    return found


def alike(expected: str, seen: str) -> bool:
    """Whether ``seen`` is what a document says; ``...`` stands for any lines."""
    lines = [re.escape(line) for line in _plain(expected).splitlines()]
    pattern = "".join(r"(?:.*\n)*?" if line == r"\.\.\." else f"{line}\n" for line in lines)
    return re.fullmatch(pattern, _plain(seen)) is not None


def _plain(text: str) -> str:
    for pattern, replacement in _VOLATILE:
        text = pattern.sub(replacement, text)
    text = text.strip("\n")
    return text + "\n" if text else ""


class Document:
    """One file, run in a folder of its own."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = path
        self.folder = folder
        self.update = False
        self.names: dict[str, Any] = {"__name__": "document"}
        self.environment = dict(os.environ)
        self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        for name in ("PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "FORCE_COLOR", "PYTEST_XDIST_WORKER"):
            self.environment.pop(name, None)
        # What a reader has in a project of their own; the repository's settings are no part of a document.
        (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        shutil.copytree(ROOT / "scenarios", folder / "scenarios", ignore=shutil.ignore_patterns("__pycache__"))

    def run(self, *, update: bool = False) -> list[str]:
        """Run it; returns what differs.  With ``update`` the document is mended instead."""
        self.update = update
        source = self.path.read_text(encoding="utf-8")
        wrong: list[str] = []
        mended, at = "", 0
        printed, printed_until = "", -1
        for block in blocks_of(source):
            if block.kind == "python":
                printed, printed_until = self.python(block), block.end
                continue
            if block.kind == "console":
                text = self.console(block, wrong)
            elif source[printed_until : block.start].replace("```", "").strip() in ("text",):
                text = self.printed(block, printed, wrong)
            else:
                continue
            mended += source[at : block.start] + text
            at = block.end
        if update and wrong:
            self.path.write_text(mended + source[at:], encoding="utf-8")
        return wrong

    def python(self, block: Block) -> str:
        """Execute or write a block; returns what it printed."""
        file = _FILE.match(block.text)
        if file is not None:
            target = self.folder / file[1]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
            return ""
        code = compile("\n" * (block.line - 1) + block.text, str(self.path), "exec")
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(code, self.names)
        return printed.getvalue()

    def printed(self, block: Block, seen: str, wrong: list[str]) -> str:
        """Compare what a Python block printed; returns the block as it should be."""
        if self._holds(block.text, seen):
            return block.text
        wrong.append(f"{self.path.name}:{block.line}:\n-- says --\n{block.text}-- prints --\n{seen}")
        return re.sub(r" +$", "", seen.strip("\n"), flags=re.MULTILINE) + "\n"

    def console(self, block: Block, wrong: list[str]) -> str:
        """Run the commands of a block; returns the block as it should be."""
        text = ""
        for command, expected in commands_of(block.text):
            seen = self.command(command)
            if self.update:
                command = self._with_its_tape(command)
            if seen is None or self._holds(expected, seen):
                text += f"$ {command}\n{expected}"
                continue
            wrong.append(f"{self.path.name}:{block.line}: $ {command}\n-- says --\n{expected}-- prints --\n{seen}")
            text += f"$ {command}\n" + re.sub(r" +$", "", seen.strip("\n"), flags=re.MULTILINE) + "\n"
        return text

    def _holds(self, expected: str, seen: str) -> bool:
        # What is brought up to date shall be exactly what one run printed; what is elided stays as it was written.
        return alike(expected, seen) and (
            not self.update or "\n...\n" in f"\n{expected}" or expected.strip() == seen.strip()
        )

    def command(self, command: str) -> str | None:
        """Output of a command, ``None`` of one that is not run here."""
        words = shlex.split(self._with_its_tape(command))
        if words[:1] == ["lumenize-sim"]:
            words = ["-m", "lumenize_sim", *words[1:]]
        elif words[:3] == ["python", "-m", "lumenize_sim"]:
            words = words[1:]
        elif words[:1] == ["pytest"]:
            named = all(entry.value != PLUGIN for entry in entry_points(group="pytest11"))
            words = ["-m", "pytest", *(["-p", PLUGIN] if named else []), "-p", "no:cacheprovider", *words[1:]]
        else:
            return None
        done = subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", timeout=300, check=False,
        )  # fmt: skip
        self.code = done.returncode
        return done.stdout

    def _with_its_tape(self, command: str) -> str:
        """``command`` with the tape that was written here, where the document's has another digest."""

        def found(match: re.Match[str]) -> str:
            if (self.folder / match.group()).exists():
                return match.group()
            name = Path(match.group())
            written = sorted(
                (self.folder / name.parent).glob(f"{name.name[:-14]}-????????.tape"), key=lambda p: p.stat().st_mtime_ns
            )
            return str(written[-1].relative_to(self.folder)) if written else match.group()

        return _TAPE.sub(found, command)
