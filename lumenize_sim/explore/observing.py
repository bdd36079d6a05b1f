"""The child process of the determinism check: runs a tape twice and writes down everything that was observed.

Run as ``python -m lumenize_sim.explore.observing MACHINE``, with the request (tape, scenario, file for the answer) on
standard input.  ``MACHINE`` is ``this`` or ``another``, which has another name and network address, and lists
directories in another order, as operating systems are free to do.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from lumenize_sim.errors import LumenizeSimError
from lumenize_sim.explore.leaks import leaked, remembered
from lumenize_sim.explore.loading import load_scenario
from lumenize_sim.explore.roaming import fired, tasks_of
from lumenize_sim.kernel.guide import TapeGuide
from lumenize_sim.kernel.guided import GuidedChooser
from lumenize_sim.kernel.plan import FaultPlan
from lumenize_sim.kernel.tape import Tape
from lumenize_sim.trace.codec import plain
from lumenize_sim.trace.trace import Trace
from lumenize_sim.world.faults import Faults
from lumenize_sim.world.inspect import ObjectView
from lumenize_sim.world.options import WorldOptions
from lumenize_sim.world.run import run_scenario
from lumenize_sim.world.scenario import Scenario
from lumenize_sim.world.world import World

__all__ = ["main", "observe"]

#: Objects whose addresses would be those of the other process otherwise.
_BALLAST = 1009


def observe(scenario: Scenario, tape: Tape) -> dict[str, Any]:
    """One run: its records in JSON, its outcome, and what is in the storage of every object at its end."""
    worlds: list[World] = []
    tasks = tasks_of(tape.choices)
    outcome = run_scenario(
        scenario,
        GuidedChooser(TapeGuide(tape.choices), total=bool(tape.options.get("total"))),
        plan=FaultPlan(fired(tape.choices)),
        seed=tape.seed,
        trace=True,
        task_choice=(lambda label, bound: min(tasks.get(label, 0), bound - 1))
        if scenario.options.explore_tasks
        else None,
        prepare=worlds.append,
    )
    assert outcome.trace is not None
    return {
        "outcome": outcome.kind,
        "message": outcome.message,
        "records": _records(outcome.trace, scenario),
        "stored": {machine.name: _stored(worlds[0], machine) for machine in worlds[0].machines},
    }


def _records(trace: Trace, scenario: Scenario) -> list[list[Any]]:
    """Kind, actor, label, data and source line of each; an answer has the line of the method that gave it."""
    methods = _Methods(trace, scenario)
    return [
        [event.kind, event.actor, event.label, plain(event.data), event.where or methods.line(event.n)]
        for event in trace.events
    ]


class _Methods:
    """Where the methods of the app are that handle what a trace shows."""

    def __init__(self, trace: Trace, scenario: Scenario) -> None:
        self._trace = trace
        self._bindings = scenario.app.bindings
        self._sent = {event.label: event for event in trace.events if event.kind == "send"}

    def line(self, n: int) -> str | None:
        event = self._trace.events[n]
        if event.kind not in ("reply", "end"):
            return None
        call = self._sent.get(event.label.removesuffix("/r"))
        if call is None:
            return None
        cls = self._bindings.get(str(call.get("to")).partition("/")[0])
        code = getattr(getattr(cls, str(call.get("method")).partition(".")[0], None), "__code__", None)
        return None if code is None else f"{code.co_filename.rpartition('/')[2]}:{code.co_firstlineno}"


def _stored(world: World, machine: Any) -> dict[str, str]:
    """Keys and rows of one object, as text."""
    storage = ObjectView(world, machine).storage
    found: dict[str, str] = {}
    try:
        found.update((str(key), _text(value)) for key, value in storage.list().items())
        tables = storage.sql.exec(
            "SELECT name FROM sqlite_schema WHERE type='table' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'"
        )
        for table in tables:
            name = str(table["name"])
            quoted = name.replace('"', '""')
            found[f"table {name}"] = _text(storage.sql.exec(f'SELECT * FROM "{quoted}"'))
    except Exception as error:  # what cannot be read from outside is not compared
        found["unread"] = type(error).__name__
    return found


def _text(value: Any) -> str:
    if type(value) in (set, frozenset):
        return f"{{{', '.join(sorted(map(_text, value)))}}}"  # what is stored is a set; its order is no part of it
    if type(value) is dict:
        return f"{{{', '.join(f'{_text(key)}: {_text(item)}' for key, item in value.items())}}}"
    if type(value) in (list, tuple):
        return f"[{', '.join(map(_text, value))}]"
    return repr(value)


@contextmanager
def machine(which: str) -> Generator[None, None, None]:
    """What an app sees of the machine is that of this one, or of another."""
    backwards = which == "another"
    real_listdir, real_scandir = os.listdir, os.scandir

    def listdir(path: Any = ".") -> list[Any]:
        return sorted(real_listdir(path), reverse=backwards)

    @attrs.define
    class Entries:
        entries: Iterator[Any]

        def __iter__(self) -> Iterator[Any]:
            return self.entries

        def __next__(self) -> Any:
            return next(self.entries)

        def __enter__(self) -> Entries:
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

        def close(self) -> None:
            """Nothing is open."""

    def scandir(path: Any = ".") -> Entries:
        with real_scandir(path) as found:
            return Entries(iter(sorted(found, key=_name, reverse=backwards)))

    real_name, real_node = socket.gethostname, uuid.__dict__.get("_node")
    _patch(listdir, scandir)
    if backwards:
        socket.gethostname = lambda: "another"
        uuid._node = 0x020000000001  # type: ignore[attr-defined]  # what getnode() keeps once it has looked
    try:
        yield
    finally:
        _patch(real_listdir, real_scandir)
        socket.gethostname = real_name
        uuid._node = real_node  # type: ignore[attr-defined]  # as above


def _name(entry: Any) -> Any:
    return entry.name


def _patch(listdir: Callable[..., Any], scandir: Callable[..., Any]) -> None:
    os.listdir = listdir  # for the app; the interpreter's own imports do not look here
    os.scandir = scandir


def main(which: str, request: dict[str, Any]) -> None:
    """Do what the parent asks for."""
    ballast = [object() for _ in range(_BALLAST if which == "another" else 1)]
    tape = Tape.read(request["tape"])
    answer: dict[str, Any]
    try:
        with machine(which):
            path, separator, name = str(request["scenario"]).partition("::")
            scenario = load_scenario(path, name if separator else tape.scenario)
            scenario = attrs.evolve(
                scenario,
                options=WorldOptions.from_json(tape.options["world"]),
                faults=Faults.from_json(tape.options["faults"]),
            )
            before = remembered(scenario)
            first = observe(scenario, tape)
            held = remembered(scenario)
            second = observe(scenario, tape)
        answer = {"runs": [first, second], "changed": leaked(before, held)}
    except LumenizeSimError as error:
        answer = {"error": str(error)}
    del ballast
    Path(request["answer"]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.stdin.read()))
