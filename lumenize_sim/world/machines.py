"""The machines of one world: one for each object that anybody has addressed (LC-6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lumenize_sim.objects.ids import DurableObjectId, id_from_name
from lumenize_sim.objects.machine import ObjectMachine
from lumenize_sim.objects.storage import ConnectionPool
from lumenize_sim.world.object_host import ObjectHostOf
from lumenize_sim.world.seats import ObjectSeat

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["Machines"]

#: Databases that are open at the same time; idle objects keep only their image.
_OPEN_DATABASES = 256


class Machines:
    """Found by binding and id, and made at first use; in iterations, in the order in which they were addressed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pool = ConnectionPool(_OPEN_DATABASES)
        self._all: dict[tuple[str, str], ObjectMachine] = {}
        self._names: dict[tuple[str, str], str] = {}

    def __iter__(self) -> Iterator[ObjectMachine]:
        return iter(list(self._all.values()))

    def of(self, binding: str) -> list[ObjectMachine]:
        """Those of one class."""
        return [machine for (of, _), machine in self._all.items() if of == binding]

    def named(self, binding: str, name: str) -> ObjectMachine:
        """The machine behind a name."""
        return self.at(binding, id_from_name(binding, name))

    def at(self, binding: str, object_id: DurableObjectId) -> ObjectMachine:
        """The machine behind an id; made at first use, which creates no instance (LC-6)."""
        key = (binding, object_id.hex)
        found = self._all.get(key)
        if found is None:
            world = self._world
            if object_id.name is not None:
                self._names[key] = object_id.name
            host = ObjectHostOf(world, self.name_of(binding, object_id))
            found = self._all[key] = ObjectMachine(
                host,
                host.name,
                world.bindings.class_of(binding),
                object_id,
                lambda incarnation: world.bindings.env_for(ObjectSeat(world, incarnation)),
                options=world.options.objects,
                pool=self._pool,
            )
            host.machine = found
            if world.metering is not None:
                found.meter = world.metering.meter(found)
        return found

    def name_of(self, binding: str, object_id: DurableObjectId) -> str:
        """The stable name of an object: by name where it has one, else by the beginning of its id."""
        name = object_id.name
        if name is None:
            name = self._names.get((binding, object_id.hex), object_id.hex[:12])
        return f"{binding}/{name}"
