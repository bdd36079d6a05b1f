"""Continuations: a call written down instead of made (OC-1 … OC-12).

``self.ctn(Counter).increment(1)`` looks like a call to type checkers and yields
the chain ``[{"type": "get", "key": "increment"}, {"type": "apply", "args": [1]}]``
at run time.  Every step makes a new object with a new list around the same
operations, so continuations can be reused, shared and sent many times.
"""

from __future__ import annotations

import inspect
from collections.abc import Coroutine
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeAlias, TypeVar, cast, overload

from lumenize_sim.errors import AppError
from lumenize_sim.mesh.names import to_wire, wire_names

__all__ = [
    "RESULT",
    "Continuation",
    "Handler",
    "OperationChain",
    "continuation_from_chain",
    "get_operation_chain",
    "is_nested_operation_marker",
    "new_continuation",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

#: A list of ``{"type": "get", "key": …}`` and ``{"type": "apply", "args": […]}``, in this key order.
OperationChain = list[dict[str, Any]]

NESTED = "__isNestedOperation"
NESTED_CHAIN = "__operationChain"


if TYPE_CHECKING:

    class _Fits(Any, Generic[T_co]):  # type: ignore[misc]  # mypy --strict warns of it, and it is the point
        """Fits a parameter of any type, so that calls nest: ``self.ctn(Counter).add(self.ctn(Counter).count())``."""

else:

    class _Fits:
        __slots__ = ()
        __class_getitem__ = classmethod(GenericAlias)


class Continuation(_Fits[T_co]):
    """The recording proxy.  It has no public attributes of its own: all of them are recorded.

    To type checkers a ``Continuation[T]`` is a call whose result is a ``T``.
    """

    __slots__ = ("__weakref__", "_chain", "_node", "_step")

    _chain: OperationChain
    _node: type | None
    _step: str | None

    # Without this the old iteration protocol would record [0], [1], [2], … for ever.
    __iter__ = None

    def __init__(self, chain: OperationChain, node: type | None = None, step: str | None = None) -> None:
        _set_chain(self, chain)
        _set_node(self, node)
        _set_step(self, step)

    def __getattr__(self, name: str) -> Continuation[Any]:
        if name[:1] == "_":
            raise AttributeError(f"{name!r} cannot be recorded: names with a leading underscore never travel")
        node = self._node
        if node is None:
            return Continuation([*self._chain, {"type": "get", "key": to_wire(name)}])
        key = wire_names(node).to_wire.get(name) or to_wire(name)
        return Continuation([*self._chain, {"type": "get", "key": key}], node, name)

    def __getitem__(self, key: Any) -> Continuation[Any]:
        if type(key) is not str and type(key) is not int:
            raise AppError(f"[{key!r}] cannot be recorded: an item key is a string or a whole number")
        return Continuation([*self._chain, {"type": "get", "key": key}])

    def __call__(self, *args: Any, **kwargs: Any) -> Continuation[Any]:
        if kwargs:
            args = self._bind(args, kwargs)
        recorded = list(args)
        for index, arg in enumerate(recorded):
            kind = type(arg)
            if kind is dict:
                # The receiver could not tell such data from a nested call, and would run it in our name.
                if arg.get(NESTED) is True:
                    raise AppError(
                        f"argument {index} is data that looks like a nested operation ({NESTED!r} is true): "
                        f"the receiver would run it. Pass a continuation, or put the data inside a list"
                    )
            elif kind is Continuation or kind is _Result:
                recorded[index] = {NESTED: True, NESTED_CHAIN: arg._chain}
        return Continuation([*self._chain, {"type": "apply", "args": recorded}])

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Keyword arguments as positions, which alone travel."""
        method = getattr(self._node, self._step, None) if self._node is not None and self._step is not None else None
        names = ", ".join(kwargs)
        if method is None:
            raise AppError(
                f"keyword arguments ({names}) do not travel, only positions do: "
                f"pass them by position, or name the class: self.ctn(TheNode).method({names}=…)"
            )
        signature = inspect.signature(method)
        parameters = list(signature.parameters.values())[1:]
        bound = signature.replace(parameters=parameters).bind(*args, **kwargs)
        given = len(bound.arguments)
        bound.apply_defaults()
        if bound.kwargs:
            raise AppError(f"{self._step} takes {', '.join(bound.kwargs)} by keyword only, and only positions travel")
        last = max(index for index, p in enumerate(parameters) if p.name in kwargs)
        return bound.args[: max(last + 1, given)]

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AppError(f"{self!r} is immutable: attribute {name!r} of a continuation cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AppError(f"{self!r} is immutable: attribute {name!r} of a continuation cannot be deleted")

    def __await__(self) -> NoReturn:
        raise AppError(
            f"{self!r} was awaited, but it only describes a call: hand it to self.lmz.call_raw(…) and await that"
        )

    def __repr__(self) -> str:
        text = "ctn()"
        for operation in self._chain:
            if operation.get("type") == "apply":
                text += f"({', '.join(map(repr, operation.get('args', ())))})"
            else:
                key = operation.get("key")
                text += f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"
        return f"<continuation {text}>"


class _Result(Continuation[Any]):
    """The placeholder; anything but handing it on as an argument is a misunderstanding."""

    __slots__ = ()

    def _misused(self, what: str) -> AppError:
        return AppError(
            f"RESULT{what}: RESULT is only the place where the whole result goes, as in "
            f"self.ctn().on_done(RESULT). Take the result apart inside the handler"
        )

    def __getattr__(self, name: str) -> Continuation[Any]:
        if name[:1] == "_":
            raise AttributeError(f"{name!r} cannot be recorded: names with a leading underscore never travel")
        raise self._misused(f".{name}")

    def __getitem__(self, key: Any) -> Continuation[Any]:
        raise self._misused(f"[{key!r}]")

    def __call__(self, *args: Any, **kwargs: Any) -> Continuation[Any]:
        raise self._misused("(…)")

    def __repr__(self) -> str:
        return "RESULT"


_set_chain = Continuation.__dict__["_chain"].__set__
_set_node = Continuation.__dict__["_node"].__set__
_set_step = Continuation.__dict__["_step"].__set__

#: Where the result goes in a handler: ``self.ctn().on_count(RESULT)`` (OC-11).  Fits a parameter of any type.
RESULT: Any = _Result([{"type": "get", "key": "$result"}])


#: What type checkers take for a call of one's own handler, ``self.ctn().on_done(RESULT)``: a method that returns
#: nothing, or an async one.  What another returned would go nowhere, and could be no call at all.
Handler: TypeAlias = Coroutine[Any, Any, Any] | Continuation[Any] | None


@overload
def new_continuation(cls: None = None) -> Any: ...
@overload
def new_continuation(cls: type[T]) -> type[T]: ...
def new_continuation(cls: type | None = None) -> Any:
    """An empty continuation; with a class, one on which checkers find the methods of it (OC-2)."""
    return Continuation([], cls)


def continuation_from_chain(chain: OperationChain) -> Continuation[Any]:
    """An existing chain as a continuation, so that it can be given to ``call`` (OC-6)."""
    if not isinstance(chain, list):
        raise AppError(f"{chain!r} is no operation chain: expected a list of operations")
    return Continuation(chain)


def get_operation_chain(x: object) -> OperationChain | None:
    """The chain of a continuation; ``None`` for anything else, a chain itself included (OC-5)."""
    return x._chain if isinstance(x, Continuation) else None


def is_nested_operation_marker(x: object) -> bool:
    """Whether ``x`` stands for a nested continuation (OC-10)."""
    return isinstance(x, dict) and cast("dict[object, object]", x).get(NESTED) is True
