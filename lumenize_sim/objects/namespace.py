"""Namespaces, stubs and service bindings: how one node reaches another (RPC-*)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from lumenize_sim.objects import ids
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.ids import DurableObjectId
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.refusal import Error

__all__ = ["Dispatcher", "DurableObjectNamespace", "Env", "ServiceBinding", "Stub"]


class Dispatcher(Protocol):
    """Sends calls of one owner; the host's half of a stub."""

    def call(self, stub: Stub | ServiceBinding, method: str, args: tuple[Any, ...]) -> Pending[Any]:
        """Send one call.  Arguments are snapshots when this returns (RPC-6)."""
        ...


class _Callable:
    __slots__ = ("_method", "_target")

    def __init__(self, target: Stub | ServiceBinding, method: str) -> None:
        self._target = target
        self._method = method

    def __call__(self, *args: Any) -> Pending[Any]:
        return self._target.call(self._method, *args)


class Stub:
    """One connection to one object.  Calls of a stub arrive in the order made; nothing orders two stubs (RPC-1, RPC-2).

    Attributes:
        id: the caller's own id of the object.
        binding: the binding it was reached through.
    """

    #: What the platform calls it where it refuses to copy one (ST-6, RPC-15).
    __platform_name__ = "DurableObject"

    def __init__(self, dispatcher: Dispatcher, binding: str, object_id: DurableObjectId) -> None:
        self._dispatcher = dispatcher
        self._link: Any = None
        self._bound: Any = None
        self.binding = binding
        self.id = object_id

    @property
    def name(self) -> str | None:
        """The name behind the id, if it was made from one."""
        return self.id.name

    def call(self, method: str, *args: Any) -> Pending[Any]:
        """Call ``method``.  Acts at once."""
        return self._dispatcher.call(self, method, args)

    def fetch(self, request: Request | str, **options: Any) -> Pending[Response]:
        """Send an HTTP request, or one for a URL with ``method``, ``headers``, ``body``; settles with the response."""
        return self._dispatcher.call(self, "fetch", (Request.of(request, **options),))

    def __getattr__(self, name: str) -> Callable[..., Pending[Any]]:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Callable(self, name)

    def __repr__(self) -> str:
        return f"<Stub {self.binding}/{self.id.name or str(self.id)[:8]}>"


class DurableObjectNamespace:
    """All objects of one class.  Nothing here does I/O or creates an object (LC-6)."""

    #: See `Stub`.
    __platform_name__ = "DurableObjectNamespace"
    __slots__ = ("_dispatcher", "_draw", "_jurisdictions", "_key", "binding")

    def __init__(
        self,
        dispatcher: Dispatcher,
        binding: str,
        unique_key: str,
        draw: Callable[[int], bytes],
        *,
        jurisdictions: bool = True,
    ) -> None:
        self._dispatcher = dispatcher
        self._key = unique_key
        self._draw = draw
        self._jurisdictions = jurisdictions
        self.binding = binding

    def id_from_name(self, name: str) -> DurableObjectId:
        """Pure: the same name gives the same id (LC-3)."""
        return ids.id_from_name(self._key, name)

    def id_from_string(self, text: str) -> DurableObjectId:
        """From 64 hex digits (LC-4)."""
        return ids.id_from_string(self._key, text)

    def new_unique_id(self, *, jurisdiction: str | None = None) -> DurableObjectId:
        """An id without a name, drawn from the caller's own generator (LC-2, LC-5).

        Raises:
            Error: a jurisdiction in workerd (LC-8).
        """
        if jurisdiction is not None:
            self.jurisdiction(jurisdiction)
        return ids.new_unique_id(self._key, self._draw(ids.RANDOM_BYTES))

    def jurisdiction(self, jurisdiction: str) -> DurableObjectNamespace:
        """The same namespace: where objects are placed makes no difference here (LC-8).

        Raises:
            Error: in workerd.
        """
        if not self._jurisdictions:
            raise Error("Jurisdiction restrictions are not implemented in workerd.")
        return self

    def get(self, object_id: DurableObjectId, *, location_hint: str | None = None) -> Stub:
        """A fresh stub.  Where the object is placed makes no difference here (LC-8)."""
        return Stub(self._dispatcher, self.binding, object_id)

    def get_by_name(self, name: str, *, location_hint: str | None = None) -> Stub:
        """A fresh stub for a name (LC-7)."""
        return Stub(self._dispatcher, self.binding, self.id_from_name(name))


class ServiceBinding:
    """A Worker.  Each call runs on an instance of its own."""

    #: What the platform calls it where it refuses to copy one (ST-6, RPC-15).
    __platform_name__ = "Fetcher"

    def __init__(self, dispatcher: Dispatcher, binding: str) -> None:
        self._dispatcher = dispatcher
        self._link: Any = None
        self._bound: Any = None
        self.binding = binding

    def call(self, method: str, *args: Any) -> Pending[Any]:
        """Call ``method`` of a fresh instance.  Acts at once."""
        return self._dispatcher.call(self, method, args)

    def fetch(self, request: Request | str, **options: Any) -> Pending[Response]:
        """Send an HTTP request, or one for a URL with ``method``, ``headers``, ``body``; settles with the response."""
        return self._dispatcher.call(self, "fetch", (Request.of(request, **options),))

    def __getattr__(self, name: str) -> Callable[..., Pending[Any]]:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Callable(self, name)


class Env:
    """Bindings and variables of a node, as items and as attributes."""

    def __init__(self, make: Callable[[str], Any], names: tuple[str, ...]) -> None:
        self._make = make
        self._names = names
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            if name not in self._names:
                raise KeyError(name)
            self._made[name] = self._make(name)
        return self._made[name]

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"no binding or variable named {name!r} in env; there is: {', '.join(self._names)}"
            ) from None

    def get(self, name: str, default: Any = None) -> Any:
        """The binding, or ``default``."""
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def keys(self) -> tuple[str, ...]:
        """All names."""
        return self._names
