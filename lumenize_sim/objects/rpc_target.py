"""What code makes to be called by others: `RpcTarget`, and methods that may run twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

__all__ = ["RpcTarget", "is_retryable", "retryable"]

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__lumenize_retryable__"


class RpcTarget:
    """Base of classes whose instances cross a call as stubs, not as copies (RPC-15).

    The instance stays where it was made.  Whoever receives it gets an `RpcStub` whose calls
    run there, as events of their own; public methods and properties of the class can be reached,
    what an instance keeps on itself cannot (RPC-13).

    A method ``dispose`` is called once the last stub of this instance is gone.
    """


@overload
def retryable(method: F, /) -> F: ...
@overload
def retryable() -> Callable[[F], F]: ...
def retryable(method: Any = None, /) -> Any:
    """Mark a method that may run twice for one call, so that a retry by the platform runs it again (RPC-5).

    ``@retryable`` and ``@retryable()`` are the same.  Matters only where `MachineOptions.automatic_retries` is on.
    """
    if method is None:
        return retryable
    setattr(method, _MARK, True)
    return method


def is_retryable(cls: type, method: str) -> bool:
    """Whether ``method`` of ``cls`` carries the mark."""
    return getattr(getattr(cls, method, None), _MARK, False) is True
