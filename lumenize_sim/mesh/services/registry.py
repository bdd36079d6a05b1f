"""Services of Durable Objects: ``self.svc.<name>``, made once per object from a process-wide registry (DO-9, ND-1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lumenize_sim.mesh.errors import MeshError

if TYPE_CHECKING:
    from lumenize_sim.mesh.services.alarms import Alarms
    from lumenize_sim.mesh.services.broadcast import Broadcast
    from lumenize_sim.mesh.services.fetch import Fetch
    from lumenize_sim.mesh.services.sql import Sql

__all__ = ["NadisPlugin", "Services"]

_factories: dict[str, Callable[[Any], Any]] = {}


class Services:
    """What a node's ``svc`` is: names resolved at first access, then kept.

    Services of your own are found by any name; to have them checked, annotate ``svc`` of your
    class with a subclass of this that names them.

    Attributes:
        sql: rows of a query (SQL-1).
        alarms: many alarms over the one native one (AL-1 …).
        broadcast: one call to many targets (BC-1 …).
        fetch: an HTTP request whose answer comes back as a call (FE-1 …).
    """

    __lmz_walkable__ = True
    __slots__ = ("__dict__", "_log", "_node")

    if TYPE_CHECKING:
        sql: Sql
        alarms: Alarms
        broadcast: Broadcast
        fetch: Fetch

    def __init__(self, node: Any, log: Callable[[str, str, dict[str, Any]], None]) -> None:
        self._node = node
        self._log = log

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__":
            raise AttributeError(name)
        factory = _factories.get(name)
        service = factory(self._node) if factory is not None else None
        if service is None:
            text = f"Service '{name}' not found. Did you import the NADIS package? Example: import '@lumenize/{name}';"
            self._log("lmz.mesh.LumenizeDO.svc", text, {"service": name})
            raise MeshError(text)
        self.__dict__[name] = service
        return service


class NadisPlugin:
    """Base of services.

    Attributes:
        do_instance: the object the service belongs to.
        ctx: its context.
        svc: the object's other services; touch those needed in ``__init__``, so that a missing one shows early (ND-2).
    """

    __lmz_walkable__ = True

    do_instance: Any
    ctx: Any
    svc: Services

    def __init__(self, do_instance: Any) -> None:
        self.do_instance = do_instance
        self.ctx = do_instance.ctx
        self.svc = do_instance.svc

    @staticmethod
    def register(name: str, factory: Callable[[Any], Any]) -> None:
        """``svc.<name>`` becomes ``factory(do_instance)``; a later registration replaces it for new objects."""
        _factories[name] = factory
