"""Services of Durable Objects: ``self.svc.<name>``, made once per object from a process-wide registry (DO-9, ND-1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lumenize_sim.mesh.errors import MeshError

__all__ = ["NadisPlugin", "Services"]

_factories: dict[str, Callable[[Any], Any]] = {}


class Services:
    """What a node's ``svc`` is: names resolved at first access, then kept."""

    __lmz_walkable__ = True
    __slots__ = ("__dict__", "_log", "_node")

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

    def __init__(self, do_instance: Any) -> None:
        self.do_instance = do_instance
        self.ctx = do_instance.ctx
        self.svc = do_instance.svc

    @staticmethod
    def register(name: str, factory: Callable[[Any], Any]) -> None:
        """``svc.<name>`` becomes ``factory(do_instance)``; a later registration replaces it for new objects."""
        _factories[name] = factory
