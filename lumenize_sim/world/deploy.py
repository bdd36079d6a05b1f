"""Deploying new code, and what befalls all objects of an isolate at once (LC-25 to LC-29, LC-37)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lumenize_sim.errors import UsageError
from lumenize_sim.kernel.event import Event
from lumenize_sim.objects.worker import WorkerEntrypoint

if TYPE_CHECKING:
    from lumenize_sim.objects.machine import ObjectMachine
    from lumenize_sim.world.world import World

__all__ = ["deploy", "isolate_gone"]


def deploy(world: World, binding: str, cls: type | None, within_s: float) -> None:
    """See `World.deploy`."""
    if binding not in world.app.bindings:
        raise UsageError(f"no binding {binding!r} to deploy to; there is: {', '.join(world.app.bindings)}")
    before = world.bindings.class_of(binding)
    after = before if cls is None else cls
    kind: object = after
    if not isinstance(kind, type) or issubclass(kind, WorkerEntrypoint) != issubclass(before, WorkerEntrypoint):
        raise UsageError(f"{binding!r} is bound to {before.__name__}; deploy a class of the same kind, not {after!r}")
    if not within_s >= 0:
        raise UsageError(f"deploy within {within_s!r} s; use 0 or more")
    world.bindings.redirect(binding, after)
    for machine in world.machines.of(binding):
        after_us = round(world.drawn("deploy", machine.name).uniform(0, within_s) * 1_000_000) if within_s else 0
        if after_us:
            nth = world.driver.next_call(f"{machine.name}!deploy")
            label = f"{machine.name}!deploy#{nth}"
            machine.host.post_at(label, partial(machine.deploy, after), machine.host.now_us() + after_us)
        else:
            machine.deploy(after)
    world.chronicle.count_fault("deploy")


def isolate_gone(world: World, machine: ObjectMachine, *, spared: bool = False) -> None:
    """Every object that shares an isolate with ``machine`` is reset, by an event of its own; not itself, if ``spared``.

    That event stands in the order of everybody: it touches several actors, and which of them are in
    memory then must not depend on an order that nothing records.
    """
    binding = machine.name.partition("/")[0]
    shared = world.options.isolates
    if spared and shared == "object":
        return
    nth = world.driver.next_call(f"{machine.name}!memory-limit")

    def fire() -> None:
        for other in world.machines if shared == "world" else world.machines.of(binding):
            if not spared if other is machine else shared != "object":
                other.end("memory-limit")

    world.kernel.post(Event(f"{machine.name}!memory-limit#{nth}", world.driver, fire, receiver=None))
