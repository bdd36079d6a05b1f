"""Running operation chains, synchronously as far as they go (OC-13 … OC-36).

Most methods of a mesh are synchronous, and a task costs ten times a call.  So
the walk is a plain loop that returns the plain result; only where something on
the way is awaitable does it return a coroutine that finishes the work.  Each link
is executed exactly once, with the previous object as its ``self``; the original
runs earlier links again to find it (OC-28).
"""

from __future__ import annotations

from collections.abc import Awaitable
from types import FunctionType
from typing import Any

from lumenize_sim.clone import UNDEFINED
from lumenize_sim.mesh.continuation import NESTED, NESTED_CHAIN, OperationChain, is_nested_operation_marker
from lumenize_sim.mesh.decorators import get_mesh_guard, is_mesh_callable
from lumenize_sim.mesh.errors import MeshError
from lumenize_sim.mesh.walk import (
    MethodReference,
    is_awaitable,
    not_callable_remotely,
    read,
    resolve_callable,
)

__all__ = [
    "MAX_ARGS",
    "MAX_DEPTH",
    "Protected",
    "execute_operation_chain",
    "is_awaitable",
    "replace_nested_operation_markers",
    "validate_operation_chain",
    "with_result",
]

#: Operations in one chain, and chains nested in each other.
MAX_DEPTH = 50
#: Arguments of one call.
MAX_ARGS = 100


class Protected:
    """A value that looks like a nested operation and is data: the executor passes it on and never runs it."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def validate_operation_chain(chain: object, *, max_depth: int = MAX_DEPTH, max_args: int = MAX_ARGS) -> None:
    """Check the shape and size of a chain (OC-18).  Nested chains are checked when they run.

    Raises:
        MeshError: with the fixed texts; ``max_depth`` operations and ``max_args`` arguments still pass.
    """
    if not isinstance(chain, list):
        raise MeshError("Invalid operation chain: operations must be an array")
    if len(chain) > max_depth:
        raise MeshError(f"Operation chain too deep: {len(chain)} > {max_depth}")
    for index, operation in enumerate(chain):
        if not isinstance(operation, dict):
            raise MeshError(f"Invalid operation chain: operation {index} must be an object")
        if operation.get("type") == "apply":
            args = operation.get("args")
            if not isinstance(args, list):
                raise MeshError(f"Invalid operation chain: the arguments of operation {index} must be an array")
            if len(args) > max_args:
                raise MeshError(f"Too many arguments: {len(args)} > {max_args}")


def replace_nested_operation_markers(chain: OperationChain, value: Any) -> OperationChain:
    """The handler chain with ``value`` where its result goes (OC-13 … OC-16).

    Every direct marker among the arguments of the last call becomes the value; if
    there is none the value is appended; if the chain does not end in a call it is
    returned as it is.  A value that looks like a marker itself is protected from
    being run (OC-17, mended).
    """
    if not chain or chain[-1].get("type") != "apply":
        return chain
    safe = Protected(value) if is_nested_operation_marker(value) else value
    args = chain[-1]["args"]
    if any(map(is_nested_operation_marker, args)):
        replaced = [safe if is_nested_operation_marker(arg) else arg for arg in args]
    else:
        replaced = [*args, safe]
    return [*chain[:-1], {"type": "apply", "args": replaced}]


def with_result(handler: OperationChain, value: Any, node: Any) -> OperationChain:
    """The handler chain with its result, which is dropped where ``self.ctn().on_done()`` has no room for it.

    A JavaScript function ignores the appended argument (OC-15); a Python one would raise.
    """
    if len(handler) == 2 and handler[-1].get("type") == "apply":
        args = handler[-1]["args"]
        if not any(map(is_nested_operation_marker, args)):
            method = read(node, handler[0].get("key"), entry=True, trusted=True)
            if type(method) is MethodReference and not _takes(method.function, len(args) + 1):
                return handler
    return replace_nested_operation_markers(handler, value)


def _takes(bound: Any, count: int) -> bool:
    function = getattr(bound, "__func__", bound)
    if not isinstance(function, FunctionType):
        return True
    code = function.__code__
    implicit = 0 if function is bound else 1
    return bool(code.co_flags & 0x04) or code.co_argcount - implicit >= count


def execute_operation_chain(
    chain: OperationChain,
    target: Any,
    *,
    require_mesh_decorator: bool = True,
    max_depth: int = MAX_DEPTH,
    max_args: int = MAX_ARGS,
    local: bool = False,
) -> Any:
    """Run ``chain`` on ``target``: the result, or an awaitable of it where `is_awaitable` says so.

    Args:
        chain: checked by `validate_operation_chain` first; the empty chain gives the target.
        target: usually a node.
        require_mesh_decorator: the first call of the chain, and of each chain nested in its arguments, must
            name a ``@mesh`` method and passes its guard (OC-24, OC-30, OC-32).  Without it the chain is trusted.
        max_depth: operations in a chain, and chains within chains.
        max_args: arguments of one call.
        local: the chain is the node's own, though its entry is still checked: it may read public attributes
            on the way, and enter ``svc``.

    Returns:
        ``UNDEFINED`` where a method annotated ``-> None`` returned ``None``; otherwise ``None`` is null.

    Raises:
        MeshError: the chain is malformed, too big, or leaves the allow-list of `walk`.
        Exception: whatever guards and methods raise, unchanged.
    """
    walk = _Walk(target, require_mesh_decorator, local or not require_mesh_decorator, max_depth, max_args)
    return walk.run(chain)


class _Walk:
    """One execution: the rules, and how much nesting it has used up."""

    __slots__ = ("budget", "checked", "depth", "max_args", "max_depth", "target", "trusted")

    def __init__(self, target: Any, checked: bool, trusted: bool, max_depth: int, max_args: int) -> None:
        self.target = target
        self.checked = checked
        self.trusted = trusted
        self.max_depth = max_depth
        self.max_args = max_args
        self.depth = 0
        # Shared nested chains on the wire can stand for exponentially many calls, so their number is bounded too.
        self.budget = max_depth * max_args

    def run(self, chain: Any) -> Any:
        validate_operation_chain(chain, max_depth=self.max_depth, max_args=self.max_args)
        return self.advance(chain, 0, self.target, False)

    def advance(self, chain: OperationChain, index: int, current: Any, entered: bool) -> Any:
        """Operations from ``index`` on; ``entered``: the chain's first call has been checked."""
        trusted = self.trusted
        key = None
        while index < len(chain):
            operation = chain[index]
            index += 1
            kind = operation.get("type")
            if kind == "get":
                key = operation.get("key")
                current = read(current, key, entry=not entered, trusted=trusted)
            elif kind == "apply":
                if entered and key is not None and self.runs_again():
                    current = self.once_more(chain, index - 2, key)
                function = resolve_callable(current, key, trusted=trusted)
                if not entered:
                    entered = True
                    if self.checked:
                        self.check(function, key)
                args = operation["args"]
                for arg in args:
                    if type(arg) is Protected or (isinstance(arg, dict) and arg.get(NESTED) is True):
                        args = self.arguments(args)
                        if is_awaitable(args):
                            return self.call_later(function, args, chain, index)
                        break
                current = function(*args)
                if current is None:
                    if returns_none(function):
                        current = UNDEFINED
                elif is_awaitable(current):
                    return self.resume(current, function, chain, index)
                key = None
        if type(current) is MethodReference:
            if not trusted:
                raise not_callable_remotely(current.name)
            return current.function
        if not entered and not trusted and current is not self.target:
            raise not_callable_remotely(key)
        return current

    def runs_again(self) -> bool:
        """Whether the app wants the original's way of finding the parent of a method (OC-28)."""
        return getattr(getattr(self.target, "lmz", None), "compat", None) is not None

    def once_more(self, chain: OperationChain, until: int, key: Any) -> Any:
        """The method that the operation before the call selects, on a parent that is found as the original finds it.

        It runs all earlier operations again, and what they return is not awaited, so that an async method cannot
        be followed by another call (OC-28).  Only for apps that want its quirks.
        """
        current = self.target
        name: Any = None
        for index, operation in enumerate(chain[:until]):
            if operation.get("type") == "get":
                name = operation.get("key")
                current = read(current, name, entry=index == 0, trusted=self.trusted)
            elif operation.get("type") == "apply":
                if name is not None:
                    current = self.once_more(chain, index - 1, name)
                current = resolve_callable(current, name, trusted=self.trusted)(*operation["args"])
                if is_awaitable(current):
                    _discard(current)
                    raise TypeError("parent[methodName] is not a function")
                name = None
        return read(current, key, entry=not until, trusted=self.trusted)

    def check(self, function: Any, key: Any) -> None:
        if not is_mesh_callable(function):
            raise not_callable_remotely(key if key is not None else getattr(function, "__name__", "function"))
        guard = get_mesh_guard(function)
        if guard is not None:
            verdict = guard(self.target)
            if is_awaitable(verdict):
                _discard(verdict)

    async def resume(self, pending: Awaitable[Any], function: Any, chain: OperationChain, index: int) -> Any:
        value = await pending
        while is_awaitable(value):
            value = await value
        if value is None and returns_none(function):
            value = UNDEFINED
        rest = self.advance(chain, index, value, True)
        return await rest if is_awaitable(rest) else rest

    async def call_later(self, function: Any, pending: Awaitable[list[Any]], chain: OperationChain, index: int) -> Any:
        value = function(*await pending)
        while is_awaitable(value):
            value = await value
        if value is None and returns_none(function):
            value = UNDEFINED
        rest = self.advance(chain, index, value, True)
        return await rest if is_awaitable(rest) else rest

    def arguments(self, args: list[Any]) -> Any:
        """Arguments with nested chains run, left to right (OC-22).

        Only direct arguments, the only place where a continuation puts a marker: what lies deeper is data.
        """
        resolved: list[Any] = []
        for index, arg in enumerate(args):
            if type(arg) is Protected:
                resolved.append(arg.value)
            elif is_nested_operation_marker(arg):
                value = self.nested(arg)
                if is_awaitable(value):
                    return self.arguments_later(resolved, value, args[index + 1 :])
                resolved.append(value)
            else:
                resolved.append(arg)
        return resolved

    async def arguments_later(self, resolved: list[Any], pending: Awaitable[Any], rest: list[Any]) -> list[Any]:
        resolved.append(await pending)
        more = self.arguments(rest)
        resolved.extend(await more if is_awaitable(more) else more)
        return resolved

    def nested(self, arg: dict[str, Any]) -> Any:
        if NESTED_CHAIN not in arg:
            raise MeshError("Invalid nested operation marker: missing __operationChain")
        self.budget -= 1
        if self.depth >= self.max_depth:
            raise MeshError(f"Operation chain too deep: {self.depth + 1} > {self.max_depth}")
        if self.budget < 0:
            limit = self.max_depth * self.max_args
            raise MeshError(f"Too many nested operations: {limit + 1} > {limit}")
        self.depth += 1
        try:
            value = self.run(arg[NESTED_CHAIN])
        finally:
            self.depth -= 1
        return self.nested_later(value) if is_awaitable(value) else value

    async def nested_later(self, pending: Awaitable[Any]) -> Any:
        self.depth += 1
        try:
            return await pending
        finally:
            self.depth -= 1


def returns_none(function: Any) -> bool:
    """Whether ``None`` from it is JavaScript's ``undefined``: it is annotated ``-> None``."""
    annotations = getattr(function, "__annotations__", None)
    if not annotations or "return" not in annotations:
        return False
    result = annotations["return"]
    return result is None or result == "None" or result is type(None)


def _discard(verdict: Any) -> None:
    # A guard is a synchronous contract: what an async one decides cannot stop the call (CALL-39).
    close = getattr(verdict, "close", None)
    if close is not None:
        close()
