"""What every seat holds: stubs, Workers that it waits for, a budget of subrequests (RPC-18, RPC-22, RPC-26)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from lumenize_sim.objects.refusal import Error
from lumenize_sim.objects.rpc_stub import Export, RpcStub
from lumenize_sim.objects.rpc_target import RpcTarget

if TYPE_CHECKING:
    from lumenize_sim.objects.calls import Call

__all__ = ["Holdings", "Leaving", "disposer"]


class Leaving(Protocol):
    """A call or request about to leave."""

    label: str

    def leave(self) -> None: ...


class Holdings:
    """What seats have in common: stubs that they hold, Workers that they wait for, subrequests.

    Attributes:
        held: stubs that it holds; they are disposed of when it ends (RPC-18).
        asked: calls of Workers that have not been answered; they are told when it ends (RPC-22).  Made with the first.
        depth: how many Workers have called one another to get here (RPC-28).
        subrequest_limit: calls and fetches that it may make; ``None`` for any number (RPC-26).
    """

    depth = 0
    subrequest_limit: int | None = None
    _spent = 0
    _spent_in = 0

    def __init__(self) -> None:
        self.held: dict[RpcStub, None] = {}
        self.asked: dict[Call, None] | None = None

    def _event(self) -> int:
        """The number of the event that renewed the budget last."""
        return 0

    def spend(self) -> Error | None:
        """One subrequest more; the error, once there are too many."""
        if self.subrequest_limit is None:
            return None
        event = self._event()
        if event != self._spent_in:
            self._spent_in, self._spent = event, 0
        self._spent += 1
        return Error("Too many subrequests.") if self._spent > self.subrequest_limit else None

    def asks(self, call: Call) -> None:
        """It waits for a Worker."""
        if self.asked is None:
            self.asked = {}
        self.asked[call] = None

    def ended(self) -> None:
        """Nothing of it runs again: its stubs are free, and Workers that it waits for hear that nobody does."""
        for stub in list(self.held):
            stub.dispose()
        asked, self.asked = self.asked, None
        for call in asked or ():
            call.caller_gone()


def disposer(export: Export) -> Callable[[], Any] | None:
    """What hears that the last stub of ``export`` is gone, if its target wants to (RPC-18)."""
    target = export.target
    return getattr(target, "dispose", None) if isinstance(target, RpcTarget) else None
