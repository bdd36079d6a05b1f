"""Journals: finished units on file, so that an interrupted sweep goes on where it was.

A line is a checksum and JSON; the first says what is explored.  Each is written at once
and is on the disk before its unit counts.  Whatever ends the process can leave at most the
last line cut off, and that is dropped when the journal is read.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from lumenize_sim.errors import UsageError
from lumenize_sim.explore.assignment import Assignment
from lumenize_sim.explore.tally import Tally
from lumenize_sim.explore.unit import Unit

__all__ = ["Journal"]

_FORMAT = "lumenize-journal"
_VERSION = 1


class Journal:
    """A journal that is open for writing.

    Args:
        path: of the file; its folder is made.
        assignment: what is explored.
        resume: keep what is there; otherwise the journal begins anew.

    Attributes:
        tallies: what was there, by first schedule and count.

    Raises:
        UsageError: the file cannot be used: it is of another exploration, damaged, or in use.
    """

    def __init__(self, path: str | os.PathLike[str], assignment: Assignment, *, resume: bool) -> None:
        self.path = Path(path)
        self.tallies: dict[tuple[int, int], Tally] = {}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise UsageError(
                f"journal {self.path} cannot be written: {error.strerror or error}. Choose another place."
            ) from None
        try:
            self._lock()
            end = self._read(assignment) if resume else 0
            os.ftruncate(self._file, end)
            if not end:
                header = {"format": _FORMAT, "version": _VERSION, "assignment": assignment.to_json()}
                self._write(header)
        except BaseException:
            os.close(self._file)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"journal {self.path} is in use: another process explores the same. Wait for it, or use another seed."
            ) from None

    def _read(self, assignment: Assignment) -> int:
        """Take in what is there; returns where it ends."""
        content = self.path.read_bytes()
        end = 0
        for number, (line, after) in enumerate(_lines(content), 1):
            data = _checked(line)
            if data is None:
                if after < len(content):
                    raise UsageError(
                        f"journal {self.path} is damaged in line {number}: remove it, and explore from the beginning."
                    )
                break
            if number == 1:
                self._compare(data, assignment)
            else:
                self.tallies[data["first"], data["count"]] = Tally.from_json(data["tally"])
            end = after
        return end

    def _compare(self, header: dict[str, Any], assignment: Assignment) -> None:
        if header.get("format") != _FORMAT or header.get("version") != _VERSION:
            raise UsageError(f"{self.path} is no journal of this release: remove it, and explore from the beginning.")
        differs = assignment.other_than(Assignment.from_json(header["assignment"]))
        if differs:
            raise UsageError(
                f"journal {self.path} is of another exploration ({', '.join(differs)} changed since): "
                "what was found then cannot be added. Explore from the beginning, without resuming."
            )

    def write(self, unit: Unit, tally: Tally) -> None:
        """Note a finished unit; it is on the disk when this returns."""
        self._write({"first": unit.first, "count": unit.count, "tally": tally.to_json()})

    def _write(self, data: dict[str, Any]) -> None:
        text = json.dumps(data).encode()
        line = memoryview(_check(text) + b" " + text + b"\n")
        while line:  # a full disk may take a part
            line = line[os.write(self._file, line) :]
        os.fsync(self._file)

    def close(self) -> None:
        """Let go of the file, and keep it."""
        os.close(self._file)

    def remove(self) -> None:
        """It is not needed any more."""
        self.path.unlink(missing_ok=True)
        os.close(self._file)


def _lines(content: bytes) -> Iterator[tuple[bytes, int]]:
    """Each line with its end, and where it ends."""
    end = 0
    for line in content.splitlines(keepends=True):
        end += len(line)
        yield line, end


def _check(text: bytes) -> bytes:
    return blake2b(text, digest_size=8).hexdigest().encode()


def _checked(line: bytes) -> dict[str, Any] | None:
    """The contents of a line, ``None`` where it is not whole."""
    check, _, text = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or check != _check(text):
        return None
    data: dict[str, Any] = json.loads(text)
    return data
