"""The determinism check: one tape in two processes that share as little as possible, and the first difference.

The second process has another hash seed, hardly any environment variables, another locale and time zone, other
addresses, another name of the machine, directories listed the other way round, and of course another process id, clock
and entropy.  Each process runs the tape twice, so that what a module or class keeps from one run to the next shows as
well.  Compared are the records of each actor, the outcome, and what is in storage at the end.

Where the two differ, further processes change one of these things at a time, to tell which of them the app has read.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs

from lumenize_sim.errors import UsageError
from lumenize_sim.explore.run import Run
from lumenize_sim.kernel.tape import Tape

__all__ = ["Divergence", "check_determinism"]

#: What the second process keeps of the environment: what finds the interpreter and its libraries.
_KEPT = (
    "PATH", "HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "USERPROFILE",
    "VIRTUAL_ENV", "COVERAGE_PROCESS_START",
)  # fmt: skip
_TIMEOUT_S = 600.0
_HASH_SEEDS = ("1", "4242")
_OTHER_LOCALE: Mapping[str, str] = {
    "LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TZ": "Pacific/Chatham",
}  # fmt: skip


@attrs.frozen
class Divergence:
    """Where two runs of one tape part.

    Attributes:
        at: the actor, or the object whose storage differs.
        label: of the event, or the key.
        first, second: what either run has there, in words.
        where: ``"file.py:line"`` of the app nearest to it, where known.
        reason: what the app has read that differs between processes or runs, as far as it could be told.
    """

    at: str
    label: str
    first: str
    second: str
    where: str | None
    reason: str

    @property
    def message(self) -> str:
        """In words."""
        place = f" ({self.where})" if self.where else ""
        return f"{self.label} at {self.at}{place}: {self.first} in one run, {self.second} in the other; {self.reason}"


@attrs.frozen
class _Setting:
    """How a process differs from the first."""

    seed: str = _HASH_SEEDS[0]
    bare: bool = False
    locale: bool = False
    machine: str = "this"


_FIRST = _Setting()
_SECOND = _Setting(_HASH_SEEDS[1], bare=True, locale=True, machine="another")
_SINGLE = (
    (
        _FIRST,
        "it comes from outside of the run (a clock that is not virtual, addresses, the process id, entropy, files)",
    ),
    (_Setting(seed=_HASH_SEEDS[1]), "it depends on the hash seed (the order of a set of texts, or hash())"),
    (_Setting(locale=True), "it depends on the locale or the time zone of the process"),
    (_Setting(bare=True), "it depends on environment variables"),
    (
        _Setting(machine="another"),
        "it depends on the machine (the order of a directory, its name, its network address)",
    ),
)
_AGAIN = "a module or class of the app has kept something from the run before"


def check_determinism(run: Run | Tape | str | os.PathLike[str], *, scenario: str | None = None) -> Divergence | None:
    """Run a tape twice in each of two processes; the first difference, or ``None`` where there is none.

    Args:
        run: a run, its tape, or the tape's file.
        scenario: ``path.py`` or ``path.py::name``, where the tape does not say or it has moved.

    Raises:
        UsageError: the scenario is not in a file, or cannot be run in a process of its own.
    """
    tape = run.tape if isinstance(run, Run) else run if isinstance(run, Tape) else Tape.read(run)
    if scenario is None:
        if tape.path is None or not Path(tape.path).is_file():
            raise UsageError(
                f"scenario {tape.scenario!r} is not defined in a file, so no other process can run it: "
                "put it into one, or say where it is"
            )
        scenario = f"{tape.path}::{tape.scenario}"
    # Two at a time: most of it is starting interpreters.
    with tempfile.TemporaryDirectory(prefix="lumenize-") as folder, ThreadPoolExecutor(2) as pool:
        check = _Check(tape.write(Path(folder) / "check.tape"), scenario)
        first, second = pool.map(check.runs, (_FIRST, _SECOND))
        own = first["runs"][0]
        found = _first_difference(own, first["runs"][1])
        if found is not None:
            if _first_difference(own, check.runs(_FIRST)["runs"][0]) is not None:
                return attrs.evolve(found, reason=_SINGLE[0][1])  # also where there was no run before
            changed = ", ".join(first["changed"])
            return attrs.evolve(found, reason=f"{_AGAIN}: {changed}" if changed else _AGAIN)
        found = _first_difference(own, second["runs"][0])
        if found is None:
            return None
        singles = list(pool.map(check.runs, [setting for setting, _ in _SINGLE]))
        for (_, reason), single in zip(_SINGLE, singles, strict=True):
            if _first_difference(own, single["runs"][0]) is not None:
                return attrs.evolve(found, reason=reason)
        return attrs.evolve(found, reason="it depends on several of these: hash seed, environment, locale, machine")


class _Check:
    """Processes that run one tape."""

    def __init__(self, tape: Path, scenario: str) -> None:
        self._tape = tape
        self._scenario = scenario
        self._numbers = itertools.count()

    def runs(self, setting: _Setting) -> dict[str, Any]:
        """What a process with ``setting`` has observed.

        Raises:
            UsageError: it could not run the scenario at all.
        """
        answer = self._tape.with_name(f"answer{next(self._numbers)}.json")
        request = json.dumps({"tape": str(self._tape), "scenario": self._scenario, "answer": str(answer)})
        done = subprocess.run(
            [sys.executable, "-m", "lumenize_sim.explore.observing", setting.machine],
            input=request, capture_output=True, text=True, env=_environment(setting), check=False, timeout=_TIMEOUT_S,
        )  # fmt: skip
        if not answer.is_file():
            said = (done.stderr or done.stdout).strip()[-300:] or f"exit {done.returncode}"
            raise UsageError(f"the scenario does not run in a process of its own{_bare_words(setting)}: {said}")
        observed: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        if "error" in observed:
            raise UsageError(f"in a process of its own{_bare_words(setting)}: {observed['error']}")
        return observed


def _bare_words(setting: _Setting) -> str:
    return " without environment variables" if setting.bare else ""


def _environment(setting: _Setting) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not setting.bare or name in _KEPT}
    # The child must see the modules that this process sees, also from a checkout that is not installed.
    environment["PYTHONPATH"] = os.pathsep.join([*(p for p in sys.path if p), os.environ.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
    environment["PYTHONHASHSEED"] = setting.seed
    if setting.locale:
        environment.update(_OTHER_LOCALE)
    return environment


def _first_difference(one: dict[str, Any], other: dict[str, Any]) -> Divergence | None:
    """The earliest record of any actor that the other run does not have, else what storage or the verdict say."""
    theirs: dict[str, list[list[Any]]] = {}
    for record in other["records"]:
        theirs.setdefault(record[1], []).append(record)
    at: dict[str, int] = {}
    for n, record in enumerate(one["records"]):
        actor = record[1]
        nth = at[actor] = at.get(actor, -1) + 1
        own = theirs.get(actor, [])
        there = own[nth] if nth < len(own) else None
        if there is None or record[:4] != there[:4]:
            return _parted(one["records"], n, there)
    for actor, records in theirs.items():
        if len(records) > at.get(actor, -1) + 1:
            extra = records[at.get(actor, -1) + 1]
            return Divergence(actor, extra[2], "nothing", _said(extra), extra[4], "")
    for name, stored in one["stored"].items():
        for key in dict.fromkeys([*stored, *other["stored"].get(name, {})]):
            mine, yours = stored.get(key), other["stored"].get(name, {}).get(key)
            if mine != yours:
                return Divergence(
                    name, f"what is stored under {key!r}", str(mine), str(yours), _writer(one, name, key), ""
                )
    if one["outcome"] != other["outcome"] or one["message"] != other["message"]:
        mine, yours = (f"{run['outcome']} {run['message']}".strip() for run in (one, other))
        return Divergence("the world", "the verdict", mine, yours, None, "")
    return None


def _parted(records: list[list[Any]], n: int, there: list[Any] | None) -> Divergence:
    record = records[n]
    kind, actor, label, _, where = record
    if where is None:
        # What the actor did last before it, else what reached it.
        where = next((r[4] for r in reversed(records[:n]) if r[1] == actor and r[4]), None)
        where = where or next((r[4] for r in reversed(records[:n]) if r[4]), None)
    if there is None:
        return Divergence(actor, label, _said(record), "nothing", where, "")
    if (kind, label) == (there[0], there[2]):
        mine, yours = _differing(record[3], there[3])
        return Divergence(actor, f"{kind} {label}", mine, yours, where, "")
    return Divergence(actor, label, _said(record), _said(there), where, "")


def _said(record: list[Any]) -> str:
    return f"{record[0]} {record[2]}"


def _differing(mine: Any, yours: Any) -> tuple[str, str]:
    """The entries of two data that differ."""
    if isinstance(mine, dict) and isinstance(yours, dict):
        for key in dict.fromkeys([*mine, *yours]):
            if mine.get(key) != yours.get(key):
                return f"{key} {_short(mine.get(key))}", f"{key} {_short(yours.get(key))}"
    return _short(mine), _short(yours)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}…"


def _writer(run: dict[str, Any], name: str, key: str) -> str | None:
    """The line that wrote a key last."""
    wanted = key.removeprefix("table ")
    for kind, actor, _, data, where in reversed(run["records"]):
        if kind == "write" and actor == name and where and isinstance(data, dict):
            written = str(data.get("key"))
            if written == key or (data.get("store") == "sql" and wanted in written):
                return str(where)
    return None
