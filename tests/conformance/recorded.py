"""The recorded file: outcomes of small programs in the open-source runtime."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import attrs

__all__ = ["Recording", "recording", "recordings"]

_FILE = Path(__file__).parent / "data" / "litmus.json"


@attrs.frozen
class Recording:
    """One entry of the file.

    Attributes:
        id, group, title, description: in words, in terms of JavaScript.
        runs: how often it was run.
        outcomes: what came out, with how often.
        compatibility_date: under which it ran.
        flags: compatibility flags named beside the date.
    """

    id: str
    group: str
    title: str
    description: str
    runs: int
    outcomes: tuple[tuple[Any, int], ...]
    compatibility_date: str
    flags: tuple[str, ...]


#: Entries whose description names a date of their own.
_DATES = {"alarm-deleteall-olddate": "2025-01-01", "ws-client-close-noreply-newdate": "2026-04-20"}


@cache
def recordings() -> dict[str, Recording]:
    """All entries, by id, in the order of the file."""
    data = json.loads(_FILE.read_text(encoding="utf-8"))
    date = data["versions"]["compatibility_date"]
    return {
        entry["id"]: Recording(
            id=entry["id"],
            group=entry["group"],
            title=entry["title"],
            description=entry["description"],
            runs=entry["runs"],
            outcomes=tuple((o["outcome"], o["count"]) for o in entry["outcomes"]),
            compatibility_date=_DATES.get(entry["id"], date),
            flags=tuple(entry["flags"]),
        )
        for entry in data["litmus"]
    }


def recording(name: str) -> Recording:
    """The entry with this id.

    Raises:
        KeyError: there is none.
    """
    return recordings()[name]
