"""Namespaces, stubs and service bindings: how one node reaches another (RPC-*)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from lumenize_sim.objects import ids
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.ids import DurableObjectId
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.refusal import Error
from lumenize_sim.objects.rpc_stub import Member, Path, RpcPromise

__all__ = ["Dispatcher", "DurableObjectNamespace", "Env", "ServiceBinding", "Stub"]


class Dispatcher(Protocol):
    """Sends calls of one owner; the host's half of a stub."""

    def call(self, target: Stub | ServiceBinding, method: str, args: tuple[Any, ...]) -> RpcPromise:
        """Send one call.  Arguments are snapshots when this returns (RPC-6)."""
        ...

    def reach(self, target: Stub | ServiceBinding, path: Path, args: tuple[Any, ...] | None) -> RpcPromise:
        """Call a member further away, or read it where ``args`` is ``None`` (RPC-13)."""
        ...

    def fetch(self, target: Stub | ServiceBinding, request: Request) -> Pending[Response]:
        """Send one HTTP request."""
        ...


class _Entrance:
    """What can be called by any name: an object, a Worker."""

    __slots__ = ("_bound", "_dispatcher", "_fetches", "_link", "binding")

    def __init__(self, dispatcher: Dispatcher, binding: str) -> None:
        self._dispatcher = dispatcher
        self._link: Any = None
        self._fetches: Any = None
        self._bound: Any = None
        self.binding = binding

    def call(self, method: str, *args: Any) -> RpcPromise:
        """Call ``method``, whatever its name.  Acts at once."""
        return self._dispatcher.call(self, method, args)  # type: ignore[arg-type]  # one of the two below

    def fetch(self, request: Request | str, **options: Any) -> Pending[Response]:
        """Send an HTTP request, or one for a URL with ``method``, ``headers``, ``body``; settles with the response.

        Requests arrive in the order made; nothing orders them and calls (RPC-1a).
        """
        return self._dispatcher.fetch(self, Request.of(request, **options))  # type: ignore[arg-type]  # as above

    def connect(self, *_: Any) -> NoReturn:
        """TCP connections to objects and Workers are not simulated; the name never leaves the caller (RPC-14)."""
        raise NotImplementedError("connect() is not simulated: call a method, or fetch()")

    def _reach(self, path: Path, args: tuple[Any, ...] | None) -> RpcPromise:
        if len(path) == 1 and args is not None:
            return self._dispatcher.call(self, path[0], args)  # type: ignore[arg-type]  # as above
        return self._dispatcher.reach(self, path, args)  # type: ignore[arg-type]  # as above

    def __getattr__(self, name: str) -> Member:
        if name.startswith("_"):
            raise AttributeError(name)
        return Member(self, (name,))


class Stub(_Entrance):
    """One connection to one object, as ``stub.method(…)`` and ``await stub.property`` (RPC-13).

    Calls of a stub arrive in the order made, and so do its requests; nothing orders the two kinds, nor
    two stubs (RPC-1, RPC-1a, RPC-2).  After the object was reset, a stub that has been used stays broken:
    get another (RPC-8).

    Attributes:
        id: the caller's own id of the object.
        binding: the binding it was reached through.
    """

    #: What the platform calls it where it refuses to copy one (ST-6, RPC-15).
    __platform_name__ = "DurableObject"
    __slots__ = ("_broken_by", "_machine", "id")

    def __init__(self, dispatcher: Dispatcher, binding: str, object_id: DurableObjectId) -> None:
        self._dispatcher = dispatcher
        self._link: Any = None
        self._fetches: Any = None
        self._bound: Any = None
        self._broken_by: BaseException | None = None
        self._machine: Any = None  # the host's: which object that is, once a call has asked
        self.binding = binding
        self.id = object_id

    @property
    def name(self) -> str | None:
        """The name behind the id, if it was made from one."""
        return self.id.name

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


class ServiceBinding(_Entrance):
    """A Worker.  Each call runs on an instance of its own; a session may keep that alive (RPC-14b)."""

    #: What the platform calls it where it refuses to copy one (ST-6, RPC-15).
    __platform_name__ = "Fetcher"

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<ServiceBinding {self.binding}>"


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
