"""What a litmus program is: classes, a driver with an outcome, and what may and may not come out.

```python
@program("gate-rmw-rpc", bindings={"D": Counter, "E": Echo}, rules=("IG-8",), also={"IG-8: the ...": one_to_five})
async def gate_rmw_rpc(world: World) -> Any:
    ...
    return {"final": final, "returned": returned}
```

The driver returns its outcome: dictionaries, lists, texts, numbers, booleans, ``None``, spelled as the recorded file
spells them.  A program whose id is in the recorded file takes title, compatibility date and expected outcomes from
there.
State that lives as long as the isolate (a module's variables) is kept in `ISOLATE`, which is empty when a run begins.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs

from lumenize_sim import Faults, MachineOptions, Mesh, Scenario, World, WorldOptions
from tests.conformance.recorded import recordings

__all__ = [
    "BOTH",
    "ISOLATE",
    "PRODUCTION",
    "PROGRAMS",
    "WORKERD",
    "Allowed",
    "NotApplicable",
    "Program",
    "not_applicable",
    "program",
]

PRODUCTION = "production"
WORKERD = "workerd"
BOTH = (PRODUCTION, WORKERD)

#: What JavaScript would keep in variables of the module: shared by all objects, and lost with the process only.
ISOLATE: dict[Any, Any] = {}

#: Outcomes that are allowed: a list of them, or a predicate; or one of these for each runtime.
Allowed = Sequence[Any] | Callable[[Any], bool] | Mapping[str, "Sequence[Any] | Callable[[Any], bool]"]


@attrs.frozen(kw_only=True, eq=False)
class Program:
    """One litmus program.

    Attributes:
        id: as in the recorded file, or ``LT-1`` to ``LT-95`` of the reference.
        group: the heading it stands under in the table.
        title: what it is about, in one line.
        source: ``recorded`` or ``reference``.
        rules: the rules of the reference it rests on.
        bindings: classes by name.
        drive: the driver.
        runtimes: under which it is judged.
        options: of the world and of its objects, by name; the runtime is filled in.
        faults: what may go wrong.
        every: kinds of faults that are tried at every boundary in turn, one in a run.
        expected: for each runtime the outcomes that must be reachable.
        also: reason, which cites a rule, to further outcomes that the reference allows.
        forbidden: why an outcome must never come out, or ``None``.
        exhaustive: try to enumerate all behaviours, so that the set of outcomes is complete.
        seeds: each schedule draws from a seed of its own (jitter, random choices of the app).
        plan: faults that happen in every run, label to value.
        at_most: schedules that are worth running, where that is fewer than the others get.
        vars: plain values in ``env``.
        note: what of the recorded program could not be said in Python.
    """

    id: str
    group: str
    title: str
    source: str
    rules: tuple[str, ...]
    bindings: Mapping[str, type]
    drive: Callable[[World], Awaitable[Any]]
    runtimes: tuple[str, ...]
    options: Mapping[str, Any]
    faults: Faults
    every: tuple[str, ...]
    expected: Mapping[str, tuple[Any, ...]]
    also: Mapping[str, Allowed]
    forbidden: Callable[[Any], str | None] | None
    exhaustive: bool
    seeds: bool
    plan: Mapping[str, int]
    at_most: int | None
    vars: Mapping[str, Any]
    note: str

    def scenario(self, runtime: str, caught: list[Any]) -> Scenario:
        """The program under one runtime; each run that ends well puts its outcome into ``caught``."""

        async def drive(world: World) -> None:
            ISOLATE.clear()
            caught.clear()
            outcome = await self.drive(world)
            caught.append(outcome)

        named = {field.name for field in attrs.fields(MachineOptions)}
        objects: dict[str, Any] = {name: value for name, value in self.options.items() if name in named}
        world: dict[str, Any] = {name: value for name, value in self.options.items() if name not in named}
        options = WorldOptions(objects=MachineOptions(runtime=runtime, **objects), **world)  # type: ignore[arg-type]  # of the types that their fields have
        app = Mesh(bindings=self.bindings, vars=self.vars)
        return Scenario(self.id, app, drive, self.faults, options, None)


@attrs.frozen
class NotApplicable:
    """A recorded program that has no meaning in Python, and why."""

    id: str
    reason: str


#: All programs, in order of definition.
PROGRAMS: dict[str, Program | NotApplicable] = {}


def not_applicable(name: str, reason: str) -> None:
    """Note that the recorded program ``name`` has no meaning in Python."""
    PROGRAMS[name] = NotApplicable(name, reason)


def program(
    name: str,
    *,
    bindings: Mapping[str, type],
    rules: Sequence[str] = (),
    title: str | None = None,
    group: str | None = None,
    runtime: Sequence[str] = (WORKERD,),
    expected: Sequence[Any] | Mapping[str, Sequence[Any]] = (),
    also: Mapping[str, Allowed] | None = None,
    forbidden: Callable[[Any], str | None] | None = None,
    options: Mapping[str, Any] | None = None,
    faults: Faults | None = None,
    every: Sequence[str] = (),
    exhaustive: bool = False,
    seeds: bool = False,
    plan: Mapping[str, int] | None = None,
    at_most: int | None = None,
    vars: Mapping[str, Any] | None = None,
    note: str = "",
    translated: Callable[[Any], Any] | None = None,
) -> Callable[[Callable[[World], Awaitable[Any]]], Program]:
    """Define a program; see the module and `Program`.

    Args:
        title, group: only where the program is not in the recorded file.
        expected: outcomes that must be reachable, for all runtimes or for each; those of the recorded file are added
            under ``workerd``.
        translated: what of a recorded outcome can be said in Python; ``note`` says what cannot.
    """
    recorded = recordings().get(name)
    wanted: dict[str, list[Any]] = {
        r: list(expected.get(r, ()) if isinstance(expected, Mapping) else expected) for r in runtime
    }
    if recorded is not None:
        title, group = title or recorded.title, group or recorded.group
        if WORKERD in wanted:
            wanted[WORKERD] += [translated(outcome) if translated else outcome for outcome, _ in recorded.outcomes]
        under = {"compatibility_date": recorded.compatibility_date, "compatibility_flags": recorded.flags}
        options = {**under, **(options or {})}

    def decorate(drive: Callable[[World], Awaitable[Any]]) -> Program:
        assert name not in PROGRAMS, f"program {name} is defined twice"
        made = Program(
            id=name,
            group=group or "",
            title=title or (drive.__doc__ or name).strip().splitlines()[0],
            source="recorded" if recorded is not None else "reference",
            rules=tuple(rules),
            bindings=bindings,
            drive=drive,
            runtimes=tuple(runtime),
            options=options or {},
            faults=faults or Faults(),
            every=tuple(every),
            expected={r: tuple(outcomes) for r, outcomes in wanted.items()},
            also=also or {},
            forbidden=forbidden,
            exhaustive=exhaustive,
            seeds=seeds,
            plan=plan or {},
            at_most=at_most,
            vars=vars or {},
            note=note,
        )
        PROGRAMS[name] = made
        return made

    return decorate
