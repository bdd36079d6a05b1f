"""Stubs of functions and `RpcTarget` instances, results one can call before they are there, and members of both.

A stub belongs to a session (RPC-14b): while it is not disposed of, its host is not idle.
Stubs among the arguments of a call are disposed of when the call returns, unless `RpcStub.dup` was called; stubs in a
result live until they are disposed of or their holder ends (RPC-18).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol

import outcome

from lumenize_sim.errors import UsageError
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.refusal import Error
from lumenize_sim.objects.strand import strand_var

__all__ = ["DISPOSED", "Export", "Member", "Path", "RpcPromise", "RpcStub", "item_name"]

#: Names of members, from the outside in.
Path = tuple[str, ...]
#: Text of the error when a stub is used once it has been disposed of (RPC-18).
DISPOSED = "RPC stub used after being disposed."


class ExportSeat(Protocol):
    """Where exported things can be called: the seat of whoever made them."""

    name: str
    owner: Any

    def opened(self) -> None:
        """A session is open: the owner is not idle before it has ended (RPC-14b)."""
        ...

    def section(self) -> Any:
        """The gate to which the running code belongs; ``None`` for owners without gates."""
        ...

    def next_call(self, target: str) -> int:
        """Numbers what it exports."""
        ...

    def closed(self, export: Export) -> None:
        """The last stub is gone; takes effect as an event of this seat."""
        ...


class Export:
    """Something that can be called from elsewhere, and where.

    Attributes:
        seat: where it lives.
        target: a function or an `RpcTarget`.
        section: whose gate its calls go through: they belong to the code that made it (IG-22).
        label: stable name.
        held: stubs of it that are not disposed of, and calls under way.
    """

    __slots__ = ("held", "label", "seat", "section", "target")

    def __init__(self, seat: ExportSeat, target: Any) -> None:
        self.seat = seat
        self.target = target
        self.held = 0
        self.label = f"{seat.name}!session#{seat.next_call('!session')}"
        self.section = seat.section()
        seat.opened()

    def let_go(self) -> None:
        """One stub, or one call under way, less."""
        self.held -= 1
        if not self.held:
            self.seat.closed(self)


class RpcStub:
    """Stands for a function or an `RpcTarget` that lives elsewhere.

    Call it, or its methods; await a property.  All of that acts at once and returns an
    `RpcPromise`.  Calls of one stub arrive in the order made.

    ``RpcStub(target)`` makes one of something that lives right here.
    """

    __slots__ = ("_disposed", "_export", "_given", "_holder", "_link", "_open")

    def __init__(self, target: Any) -> None:
        export = target if type(target) is Export else Export(_seat(), target)
        export.held += 1
        self._export = export
        self._link: Any = None
        self._holder: dict[RpcStub, None] | None = None
        self._open: Any = None
        self._given = False  # it came, or comes, with the arguments of a call
        self._disposed = False

    def __getattr__(self, name: str) -> Member:
        if name.startswith("_"):
            raise AttributeError(name)
        return Member(self, (name,))

    def __call__(self, *args: Any) -> RpcPromise:
        """Call the function."""
        return self._reach((), args)

    def _reach(self, path: Path, args: tuple[Any, ...] | None) -> RpcPromise:
        if self._disposed:
            return RpcPromise.failed(Error(DISPOSED))
        return _seat().dispatcher.reach(self, path, args)  # type: ignore[no-any-return]  # what a dispatcher returns

    def dup(self) -> RpcStub:
        """Another stub of the same thing, which has to be disposed of by itself (RPC-18).

        Raises:
            Error: this one is disposed of.
        """
        copy = self.dup_in_transit()
        copy._given = self._given
        copy._hold(_seat())
        return copy

    def dup_in_transit(self) -> RpcStub:
        """The same for a message, on behalf of whoever will receive it."""
        if self._disposed:
            raise Error(DISPOSED)
        return RpcStub(self._export)

    def _hold(self, seat: Any) -> None:
        """``seat`` holds it from now on, until it ends; where a caller gave it, the call's session stays open too."""
        held: dict[RpcStub, None] = seat.held
        held[self] = None
        self._holder = held
        if self._given:
            seat.opened()
            self._open = seat

    def dispose(self) -> None:
        """Nobody will use it any more.  Idempotent."""
        if self._disposed:
            return
        self._disposed = True
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.pop(self, None)
        seat, self._open = self._open, None
        if seat is not None:
            seat.session_ended()
        self._export.let_go()

    def __enter__(self) -> RpcStub:
        return self

    def __exit__(self, *_: object) -> None:
        self.dispose()

    def __repr__(self) -> str:
        return f"<RpcStub of {type(self._export.target).__name__} at {self._export.seat.name}>"


def item_name(key: object) -> str:
    """How a path names an item of a dict or a list.

    Raises:
        TypeError: ``key`` is neither text nor a number from 0 on.
    """
    if isinstance(key, str):
        return key
    if type(key) is int and key >= 0:
        return str(key)
    raise TypeError(f"{key!r} names no item of a result that is elsewhere; use text, or a number from 0 on")


class Member:
    """A member of a stub, or of a result that need not be there yet: call it, or await it as a property (RPC-13).

    Raises:
        Error: when awaited, what the remote end raises.
    """

    __slots__ = ("_path", "_root")
    #: Items are fetched by name; without this, Python would try 0, 1, 2 … for ever.
    __iter__ = None
    __contains__ = None

    def __init__(self, root: Any, path: Path) -> None:
        self._root = root
        self._path = path

    def __getattr__(self, name: str) -> Member:
        if name.startswith("_"):
            raise AttributeError(name)
        return Member(self._root, (*self._path, name))

    def __getitem__(self, key: str | int) -> Member:
        """The same for an item of a dict or, by number, of a list."""
        return Member(self._root, (*self._path, item_name(key)))

    def __call__(self, *args: Any) -> RpcPromise:
        """Call the member as a method."""
        return self._root._reach(self._path, args)  # type: ignore[no-any-return]  # roots return promises

    def read(self) -> RpcPromise:
        """Read the member as a property; awaiting the member does the same."""
        return self._root._reach(self._path, None)  # type: ignore[no-any-return]  # roots return promises

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.read().__await__()

    def __repr__(self) -> str:
        return f"<Member {'.'.join(self._path)} of {self._root!r}>"


class RpcPromise(Pending[Any]):
    """The result of a call.  Its members can be called before it is there: such calls are sent at once (RPC-17).

    Where the first call fails, those on its result fail with the same error and nothing of them runs.
    Names of `Pending` itself (``done``, ``when_done``, ``settle``, ``label``) are not members of the result.
    """

    __slots__ = ("_call",)
    __iter__ = None  # as in `Member`
    __contains__ = None

    def __init__(self, label: str = "") -> None:
        super().__init__(label)
        self._call: Any = None

    def __getattr__(self, name: str) -> Member:
        if name.startswith("_"):
            raise AttributeError(name)
        return Member(self, (name,))

    def __getitem__(self, key: str | int) -> Member:
        """An item of the result, which is a dict or, by number, a list."""
        return Member(self, (item_name(key),))

    def __call__(self, *args: Any) -> RpcPromise:
        """Call the result, which is a function."""
        return self._reach((), args)

    def _reach(self, path: Path, args: tuple[Any, ...] | None) -> RpcPromise:
        if self._call is not None:
            return _seat().dispatcher.reach(self, path, args)  # type: ignore[no-any-return]  # what a dispatcher returns
        assert self._outcome is not None, "a call that was never sent has failed already"
        return RpcPromise.failed(self._outcome.error if type(self._outcome) is outcome.Error else Error(DISPOSED))


def _seat() -> Any:
    strand = strand_var.get()
    if strand is None or strand.owner.seat is None:
        raise UsageError("a stub was used outside of every node and of the driver; call it from one of them")
    return strand.owner.seat
