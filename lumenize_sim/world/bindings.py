"""What the bindings of an app lead to in one world, as long as nothing else is deployed there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lumenize_sim.errors import UsageError
from lumenize_sim.objects.namespace import DurableObjectNamespace, Env, ServiceBinding
from lumenize_sim.objects.worker import WorkerEntrypoint
from lumenize_sim.routing.door import ENTRY
from lumenize_sim.world.sim_call import SimDispatcher

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["Bindings"]


class Bindings:
    """Names of the app, and the classes behind them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._app = world.app
        self._deployed: dict[str, type] = {}

    def class_of(self, binding: str) -> type:
        """The class that is deployed under ``binding`` now."""
        if binding == ENTRY:
            return self._world.entry.door.worker
        deployed = self._deployed.get(binding)
        return self._app.bindings[binding] if deployed is None else deployed

    def redirect(self, binding: str, cls: type) -> None:
        """From now on ``binding`` means ``cls``."""
        self._deployed[binding] = cls

    def env_for(self, seat: Any) -> Env:
        """Bindings and variables for one owner; calls made through it are that owner's."""
        world = self._world
        dispatcher = seat.dispatcher = SimDispatcher(world.calls, seat)
        bindings, variables = self._app.bindings, self._app.vars
        workerd = world.options.runtime == "workerd"

        def draw(length: int) -> bytes:
            return world.host.random(seat.owner).randbytes(length)

        def make(name: str) -> Any:
            if name in bindings:
                if _is_object(bindings[name]):
                    return DurableObjectNamespace(dispatcher, name, name, draw, jurisdictions=not workerd)
                return ServiceBinding(dispatcher, name)
            return variables[name]

        return Env(make, (*bindings, *variables))

    # -- as the driver names them ------------------------------------------------------------

    def of_objects(self, binding: str) -> str:
        """``binding``, which must be one of objects.

        Raises:
            UsageError: it is unknown, or one of a Worker.
        """
        cls = self._app.bindings.get(binding)
        if cls is None or not _is_object(cls):
            known = ", ".join(b for b, c in self._app.bindings.items() if _is_object(c))
            raise UsageError(f"{binding!r} is no binding of a Durable Object class; there is: {known}")
        return binding

    def of_worker(self, binding: str) -> str:
        """``binding``, which must be one of a Worker.

        Raises:
            UsageError: it is unknown, or one of objects.
        """
        cls = self._app.bindings.get(binding)
        if cls is None or _is_object(cls):
            raise UsageError(f"{binding!r} is no binding of a Worker; to reach an object, give its name as well")
        return binding


def _is_object(cls: type) -> bool:
    """Whether a class is one of objects rather than of Workers."""
    return not issubclass(cls, WorkerEntrypoint)
