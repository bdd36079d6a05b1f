"""A rule-based state machine whose rules act in a simulated mesh.

Rules and invariants of a subclass, plain or ``async def``, are what the driver of a
scenario is: they run inside the simulation.  The machine adds rules of its own, which let
everything happen, let time pass, and do what platforms do to objects and sockets.

Orders are not drawn step by step.  The rule `settle` has a short list of deviations from
first come, first served, counted from there; so a rule that is deleted while shrinking
takes its deviations with it, and those of the others mean what they meant.
"""

from __future__ import annotations

import copy
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol, TypeVar, cast

import hypothesis.stateful
from hypothesis import strategies as st
from hypothesis.stateful import (
    INITIALIZE_RULE_MARKER,
    INVARIANT_MARKER,
    RULE_MARKER,
    RuleBasedStateMachine,
    precondition,
)

from lumenize_sim.check.findings import Check, checked
from lumenize_sim.errors import UsageError
from lumenize_sim.mesh.app import Mesh
from lumenize_sim.mesh.client import LumenizeClient
from lumenize_sim.objects.machine import ObjectMachine
from lumenize_sim.testing.failure import telling
from lumenize_sim.testing.stage import Deviation, Stage, is_verdict
from lumenize_sim.world.object_host import host_of
from lumenize_sim.world.options import WorldOptions
from lumenize_sim.world.world import World

F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["MeshStateMachine", "initialize", "invariant", "rule"]


class _Decorator(Protocol):
    def __call__(self, **arguments: Any) -> Callable[[F], F]: ...


#: Hypothesis's own, with types that allow ``async def``.
rule: _Decorator = cast(_Decorator, hypothesis.stateful.rule)
initialize: _Decorator = cast(_Decorator, hypothesis.stateful.initialize)
invariant: _Decorator = cast(_Decorator, hypothesis.stateful.invariant)

#: What may be done to an object, a client, a binding.
_OBJECTS = ("hibernate", "evict", "crash", "relocate", "fail_next_flush")
_CLIENTS = ("disconnect", "partition")
_BINDINGS = ("deploy",)

#: Most runs to a rest have few choices, some have many.
_DEVIATIONS: st.SearchStrategy[list[Deviation]] = st.lists(
    st.tuples(st.integers(0, 7) | st.integers(0, 40), st.integers(1, 2)),
    min_size=1,
    max_size=2,
    unique_by=lambda deviation: deviation[0],
)


#: Marks functions that act, or judge, in the simulation.
_ON_STAGE = "_lumenize_sim_on_stage"


def _may(verb: str) -> Callable[[Any], Any]:
    """The rule is possible where something is there to do it to."""
    return precondition(lambda self: bool(self._targets(verb)))


def _target(verb: str) -> st.SearchStrategy[str]:
    return st.runner().flatmap(lambda machine: st.sampled_from(machine._targets(verb)))


class MeshStateMachine(RuleBasedStateMachine):
    """Base of state machines over a simulated mesh; see the module.

    Invariants are judged where nothing is under way: after `settle` and `advance`, and at the end,
    when faults are over and everything has happened that will.  In a class of yours:

    Attributes:
        app: the mesh; required.
        faults: rules that are wanted of ``hibernate``, ``evict``, ``crash``, ``relocate``, ``fail_next_flush``
            (an object), ``disconnect``, ``partition`` and heal (a client), ``deploy`` (a binding); none by default.
        waits_s: virtual seconds that `advance` may take.
        options: of the world.
        seed: of application randomness.
        checks: findings that fail a run when it is over, as of `scenario`.

    For rules and invariants:

    Attributes:
        world: the world, as a scenario is given it.
        at_rest: whether nothing is under way, and nothing is held by a partition.
    """

    app: ClassVar[Mesh]
    faults: ClassVar[tuple[str, ...]] = ()
    waits_s: ClassVar[tuple[float, ...]] = (1.0, 15.0, 120.0)
    options: ClassVar[WorldOptions] = WorldOptions()
    seed: ClassVar[int] = 0
    checks: ClassVar[Sequence[Check]] = ()

    world: World

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        unknown = [verb for verb in cls.faults if verb not in (*_OBJECTS, *_CLIENTS, *_BINDINGS)]
        if unknown:
            known = ", ".join((*_OBJECTS, *_CLIENTS, *_BINDINGS))
            raise UsageError(f"{cls.__name__}.faults has {unknown[0]!r}, which is no rule of it; there is: {known}")
        _enter_the_stage(cls)  # before it has ours, which are there already
        for verb in (*_OBJECTS, *_CLIENTS, *_BINDINGS, "heal"):
            if verb not in vars(cls):
                # A rule that is never possible is only in the way of drawing and shrinking.
                wanted = ("partition" if verb == "heal" else verb) in cls.faults
                setattr(cls, verb, vars(MeshStateMachine)[verb] if wanted else None)

    def __init__(self) -> None:
        app: object = getattr(type(self), "app", None)
        if not isinstance(app, Mesh):
            raise UsageError(f"{type(self).__name__} has no app: write `app = Mesh(bindings={{...}})` into the class")
        super().__init__()
        self._checks = checked(self.checks)
        self._ended = False
        self._held: list[str] = []
        self._clients: dict[str, LumenizeClient] = {}
        self._settled = True
        self._stage = Stage(app, options=self.options, seed=self.seed, name=type(self).__name__)
        self.world = self._stage.world

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way."""
        return self._settled and not self._held

    # -- for rules ----------------------------------------------------------------------------

    async def client(self, client_class: type[Any], sub: str) -> Any:
        """The client of ``sub``, connected (a checkpoint) at first use."""
        if sub not in self._clients:
            self._clients[sub] = await self.world.connect(client_class, sub=sub)
        return self._clients[sub]

    # -- our own rules --------------------------------------------------------------------------

    @rule()
    async def settle(self) -> None:
        """Let everything happen that will, first come, first served."""
        await self.world.settle()
        self._settled = True

    @rule(deviations=_DEVIATIONS)
    async def settle_except(self, deviations: list[Deviation]) -> None:
        """Let everything happen that will, with ``deviations`` from first come, first served."""
        await self.world.settle()
        self._settled = True

    @rule(seconds=st.runner().flatmap(lambda machine: st.sampled_from(machine.waits_s)))
    async def advance(self, seconds: float) -> None:
        """Let virtual time pass, and what is due happen."""
        await self.world.advance(seconds)
        await self.world.settle()
        self._settled = True

    @_may("hibernate")
    @rule(name=_target("hibernate"))
    def hibernate(self, name: str) -> None:
        """An idle object loses its memory and keeps its sockets."""
        if self._machine(name).hibernate():
            self.world.chronicle.count_fault("hibernate")

    @_may("evict")
    @rule(name=_target("evict"))
    def evict(self, name: str) -> None:
        """An idle object loses memory and sockets."""
        if self._machine(name).evict():
            self.world.chronicle.count_fault("evict")

    @_may("crash")
    @rule(name=_target("crash"))
    def crash(self, name: str) -> None:
        """An object is gone, with what was not durable."""
        self._machine(name).crash()
        self.world.chronicle.count_fault("crash")

    @_may("relocate")
    @rule(name=_target("relocate"))
    def relocate(self, name: str) -> None:
        """An object goes on elsewhere; what is in flight finishes here without storage."""
        self._machine(name).end("relocate")
        self.world.chronicle.count_fault("relocate")

    @_may("fail_next_flush")
    @rule(name=_target("fail_next_flush"))
    def fail_next_flush(self, name: str) -> None:
        """The next commit of an object does not become durable, which resets it."""
        host_of(self._machine(name)).next_flush_us = -1

    @_may("deploy")
    @rule(name=_target("deploy"))
    def deploy(self, name: str) -> None:
        """All objects of a binding get new code."""
        self.world.deploy(name)

    @_may("disconnect")
    @rule(name=_target("disconnect"))
    def disconnect(self, name: str) -> None:
        """The socket of a client is cut; it reconnects by itself."""
        if self.world.sockets.of(name):
            self.world.network.disconnect(name)

    @_may("partition")
    @rule(name=_target("partition"))
    def partition(self, name: str) -> None:
        """Nothing passes between a client and the mesh until it heals."""
        if self.world.sockets.of(name):
            self.world.network.partition(name)
            self._held.append(name)

    @precondition(lambda self: bool(self._held))
    @rule()
    def heal(self) -> None:
        """What was held arrives."""
        self.world.network.heal_all()
        self._held.clear()

    def _targets(self, verb: str) -> list[str]:
        if verb in _BINDINGS:
            return list(dict.fromkeys(machine.name.partition("/")[0] for machine in self._machines()))
        if verb in _CLIENTS:
            names = [client.lmz.instance_name or "" for client in self.world.clients]
            return [name for name in names if name not in self._held or verb != "partition"]
        alive = [machine for machine in self._machines() if machine.incarnation is not None]
        return [machine.name for machine in alive]

    def _machines(self) -> list[ObjectMachine]:
        """Of the app; gateways are objects as well, and suffer with their clients."""
        return [machine for machine in self.world.machines if "/" in machine.name]

    def _machine(self, name: str) -> ObjectMachine:
        return next(machine for machine in self.world.machines if machine.name == name)

    # -- the end ------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """When faults are over, and everything has happened that will, the invariants must hold."""
        interrupted = sys.exc_info()[0] is not None
        if self._ended:
            return
        if not interrupted:
            self._act("the end", self._quiet)
            for invariant in self.invariants:
                if all(condition(self) for condition in invariant.preconditions):
                    invariant.function(self)
            self._act("the end", self.world.judge.at_end)
            self._act("the end", lambda: self.world.judge.by_trace(self._checks))
        self._end()

    async def _quiet(self) -> None:
        self.world.quiet()
        self._held.clear()
        await self.world.settle()
        self._settled = True

    def _act(self, name: str, step: Callable[[], Any], deviations: list[Deviation] | None = None) -> Any:
        __tracebackhide__ = True
        try:
            return self._stage.do(step, deviations or ())
        except BaseException as error:
            if is_verdict(error) and not isinstance(error, AssertionError):
                raise
            found = self._end()
            raise telling(error, [] if found is None else found.message.splitlines()) from None

    def _end(self) -> Any:
        self._ended = True
        return self._stage.end()


def _enter_the_stage(cls: type) -> None:
    """Have the rules and invariants that ``cls`` defines act in the simulation."""
    for member in vars(cls).values():
        for marker in (RULE_MARKER, INITIALIZE_RULE_MARKER):
            found = getattr(member, marker, None)
            if found is not None and not _on_stage(found):
                setattr(member, marker, _evolved(found, _acting(found.function)))
        found = getattr(member, INVARIANT_MARKER, None)
        if found is not None and not _on_stage(found):
            setattr(member, INVARIANT_MARKER, _evolved(found, _judging(found.function)))


def _on_stage(found: Any) -> bool:
    # Where it is borrowed from another machine it acts already, and a step within a step would wait for itself.
    return hasattr(found.function, _ON_STAGE)


def _evolved(found: Any, function: Callable[..., Any]) -> Any:
    # Whatever else Hypothesis keeps there stays, in any of its releases.
    other = copy.copy(found)
    setattr(function, _ON_STAGE, True)
    object.__setattr__(other, "function", function)
    return other


def _acting(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def act(self: MeshStateMachine, **arguments: Any) -> Any:
        __tracebackhide__ = True
        self._settled = False
        deviations = arguments.get("deviations") if function is _SETTLE_EXCEPT else None
        return self._act(function.__name__, lambda: function(self, **arguments), deviations)

    return act


def _judging(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def judge(self: MeshStateMachine) -> Any:
        __tracebackhide__ = True
        return self._act(function.__name__, lambda: function(self)) if self.at_rest else None

    return judge


_SETTLE_EXCEPT = getattr(MeshStateMachine.settle_except, RULE_MARKER).function
_enter_the_stage(MeshStateMachine)
