"""Values on their way between nodes: copies, and stubs in place of what stays behind (RPC-6, RPC-15, RPC-16).

The sender packs at the call, or when its method has ended: what it changes later is not
seen.  Functions and `RpcTarget` instances do not travel; stubs of them do, and count as an
open session at their host until they are disposed of (RPC-14b).
"""

from __future__ import annotations

import functools
import types
from typing import Any, Final

import outcome

from lumenize_sim.clone import URL, structured_clone
from lumenize_sim.clone.refusal import Refusal, no_platform_object
from lumenize_sim.objects.http import Headers, crossing
from lumenize_sim.objects.message_size import MESSAGE_LIMIT_BYTES, checked
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.rpc_errors import across
from lumenize_sim.objects.rpc_stub import Export, Member, RpcPromise, RpcStub
from lumenize_sim.objects.rpc_target import RpcTarget

__all__ = ["SCALARS", "Parcel", "is_light", "pack", "pack_outcome", "snapshot"]

_FUNCTIONS: Final = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, functools.partial)


class Parcel:
    """The stubs that go along with one message.

    Args:
        seat: of the sender, at which what stays behind can be called.
    """

    __slots__ = ("seat", "stubs")

    def __init__(self, seat: Any) -> None:
        self.seat = seat
        self.stubs: list[RpcStub] | None = None

    @property
    def bare_errors(self) -> bool:
        """Errors that are values lose what thrown ones lose, but for their cause (RPC-15, RPC-19)."""
        return not getattr(self.seat, "enhanced", True)

    def replace(self, value: Any) -> Any:
        """A stub for what does not travel; ``NotImplemented`` for plain data.

        Raises:
            Refusal: it neither travels nor can be called.
        """
        if isinstance(value, (RpcTarget, _FUNCTIONS)):
            return self._add(RpcStub(Export(self.seat, value)))
        kind = type(value)
        if kind is RpcStub:
            return self._add(value.dup_in_transit())
        if kind is Headers:
            return Headers(value)
        message = crossing(value)
        if message is not None:
            return message
        if kind is URL:
            raise no_platform_object("URL")
        if kind is RpcPromise or kind is Member:
            raise Refusal(f"{kind.__name__} cannot be sent; await it first")
        return NotImplemented

    def refuse(self, value: Any) -> Any:
        """For the values of a mesh, where nothing becomes a stub: ``NotImplemented``.

        Raises:
            Refusal: the platform has it as an object, and no message can carry that (RPC-15).
        """
        if type(value) is URL:
            raise no_platform_object("URL")
        return NotImplemented

    def _add(self, stub: RpcStub) -> RpcStub:
        if self.stubs is None:
            self.stubs = []
        self.stubs.append(stub)
        return stub

    def dispose(self) -> None:
        """Nobody will use the stubs."""
        for stub in self.stubs or ():
            stub.dispose()


def snapshot(value: Any, parcel: Parcel) -> Any:
    """``value`` as it crosses: a copy, or the value itself where it is a snapshot already.

    Raises:
        DataCloneError: something in it can neither be copied nor called; the sender is to blame.
        Error: it is larger than a message may be (RPC-16).
    """
    cls = type(value)
    if cls in SCALARS:
        return value
    if cls is str:
        return value if len(value) < _SMALL else checked(value)
    by_value = getattr(cls, "__by_value__", None)
    if by_value is not None:
        return value if by_value is True else by_value(value, parcel)
    message = crossing(value)
    return (
        checked(structured_clone(value, parcel.replace, bare_errors=parcel.bare_errors)) if message is None else message
    )


#: What crosses as it is.
SCALARS: Final = frozenset({int, float, bool, type(None)})
_SMALL: Final = MESSAGE_LIMIT_BYTES // 4


def is_light(value: Any) -> bool:
    """Whether ``value`` crosses as it is, and is small: so that it needs no parcel.  False where that is not plain.

    A class that says how it crosses (``__by_value__``) may say so (``__is_light__``).
    """
    cls = type(value)
    if cls in SCALARS:
        return True
    if cls is str:
        return len(value) < _SMALL
    says = getattr(cls, "__is_light__", None)
    return says is not None and says(value)


def pack(args: tuple[Any, ...], parcel: Parcel) -> tuple[Any, ...]:
    """Arguments as they cross (RPC-6); raises what `snapshot` raises, with nothing left behind."""
    try:
        return tuple([snapshot(arg, parcel) for arg in args])
    except Exception:
        parcel.dispose()
        raise


def pack_outcome(result: Outcome, parcel: Parcel, *, enhanced: bool = False) -> Outcome:
    """A result as it crosses; the callee has made a copy of an error already (RPC-19).

    Never raises: a value that cannot cross becomes the error that says so.
    """
    if type(result) is outcome.Error:
        return result
    value = result.value
    try:
        copy = snapshot(value, parcel)
    except Exception as error:
        parcel.dispose()
        return outcome.Error(across(error, enhanced=enhanced))
    return result if copy is value else outcome.Value(copy)
