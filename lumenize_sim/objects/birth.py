"""How an incarnation comes into being: its store, its instance, the turn of its constructor (IG-16, IG-17)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lumenize_sim.objects.arrival import Arrival
from lumenize_sim.objects.context import DurableObjectState
from lumenize_sim.objects.host import Host
from lumenize_sim.objects.storage import ObjectStore, open_store
from lumenize_sim.objects.strand import Owner

if TYPE_CHECKING:
    from lumenize_sim.objects.incarnation import Incarnation

__all__ = ["construct", "instance_of", "store_of"]


class _LateGenerator:
    """The owner's generator, made only if SQL asks for randomness."""

    __slots__ = ("_host", "_owner")

    def __init__(self, host: Host, owner: Owner) -> None:
        self._host = host
        self._owner = owner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host.random(self._owner), name)


def store_of(incarnation: Incarnation) -> ObjectStore:
    """Its store, on what is durable."""
    machine = incarnation.machine
    return open_store(
        machine.cls,
        machine.options,
        machine.durable,
        incarnation.hooks(),
        pool=machine.pool,
        now_ms=incarnation.clock.base_ms,
        generator=_LateGenerator(machine.host.host, incarnation.owner),  # type: ignore[arg-type]  # answers to what SQL asks
    )


def instance_of(incarnation: Incarnation) -> Callable[[], Any]:
    """How to construct the instance: the class with its context and env, then its second half if it has one."""
    machine = incarnation.machine

    def make() -> Any:
        state = incarnation.state = DurableObjectState(machine, incarnation)
        instance = machine.host.class_of(machine.cls)(state, machine.make_env(incarnation))
        after = getattr(instance, "_after_construct", None)
        if after is not None:
            after()
        return instance

    return make


def construct(incarnation: Incarnation) -> None:
    """Let the constructor take the first turn.  The incarnation may be dead afterwards (LC-31)."""
    machine = incarnation.machine
    label = f"{machine.name}!start#{incarnation.number}"
    if machine.host.tracing:
        machine.host.record("start", label, {"class": machine.cls.__name__})

    def turn(incarnation: Incarnation) -> None:
        try:
            incarnation.isolate.construct(incarnation.context(label, incarnation.gate))
        except Exception as error:
            machine.broken(incarnation, error, "constructor")
        else:
            if not incarnation.dead:
                incarnation.constructed = True
                incarnation.state.storage.has_alarm_handler = incarnation.isolate.handles("alarm")

    incarnation.arrive(Arrival("start", label, incarnation.gate, turn))
