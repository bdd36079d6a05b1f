"""Which methods the mesh may call: the mark sits on the function object (OC-29)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from types import FrameType, FunctionType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from lumenize_sim.errors import AppError
from lumenize_sim.mesh.continuation import Continuation
from lumenize_sim.mesh.names import set_wire_name, underlying
from lumenize_sim.objects.pending import Pending

__all__ = ["MeshMethod", "get_mesh_guard", "is_mesh_callable", "mesh", "mesh_fn"]

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

CALLABLE = "__lmz_mesh_callable__"
GUARD = "__lmz_mesh_guard__"

_VARIABLE_POSITIONAL = 0x04  # CO_VARARGS


class _Marks:
    """For type checkers: what marks a method, ``mesh()`` or ``mesh(guard)``."""

    if TYPE_CHECKING:

        def __call__(self, method: Callable[Concatenate[Any, P], R], /) -> MeshMethod[P, R]: ...


class MeshMethod(_Marks, Generic[P, R_co]):
    """For type checkers: what ``mesh(f)`` is.  On a node it is the method, and on the class the call of it, recorded.

    ``f`` may be a guard as well as the decorated method; the type of a function of the node alone cannot tell, so
    that this also marks the method below it.
    """

    if TYPE_CHECKING:

        @overload
        def __get__(
            self: MeshMethod[P, Coroutine[Any, Any, T]], instance: None, owner: type, /
        ) -> Callable[P, Continuation[T]]: ...
        @overload
        def __get__(
            self: MeshMethod[P, Pending[T]], instance: None, owner: type, /
        ) -> Callable[P, Continuation[T]]: ...
        @overload
        def __get__(self, instance: None, owner: type, /) -> Callable[P, Continuation[R_co]]: ...
        @overload
        def __get__(self, instance: object, owner: type | None = None, /) -> Callable[P, R_co]: ...
        def __get__(self, instance: Any, owner: Any = None, /) -> Any: ...


@overload
def mesh(method_or_guard: Callable[Concatenate[Any, P], R], /) -> MeshMethod[P, R]: ...
@overload
def mesh(guard: None = None, /, *, name: str | None = None) -> _Marks: ...
@overload
def mesh(guard: Callable[[Any], object], /, *, name: str) -> _Marks: ...
def mesh(method_or_guard: Any = None, /, *, name: str | None = None) -> Any:
    """Allow remote calls of a method: ``@mesh``, ``@mesh()``, ``@mesh(guard)``, ``@mesh(name="getURL")``.

    ``guard(node)`` runs after `on_before_call` and before the arguments are
    resolved; raising rejects the call with that very error, and what it returns
    is ignored, not awaited (OC-32, CALL-39).  Overriding a method without
    decorating again loses mark and guard (OC-29).

    A lone function may be the method itself or a guard.  It is the method if it
    is being defined in the class body that runs now and has no name there yet.

    Raises:
        AppError: the argument is no function, or a property.
    """
    if method_or_guard is None:
        return MeshDecorator(None, name)
    if isinstance(method_or_guard, property):
        raise AppError("@mesh marks methods, and a property is none: a remote caller cannot read attributes")
    acceptable = callable(method_or_guard) or isinstance(method_or_guard, classmethod)  # which calls nothing itself
    if not acceptable:
        raise AppError(f"@mesh({method_or_guard!r}): expected the method to mark or a guard, a function of the node")
    given = cast(Any, method_or_guard)
    if name is None and _is_method(given, sys._getframe(1)):
        return mesh_fn(given)
    return MeshDecorator(given, name)


class MeshDecorator:
    """What ``mesh(...)`` returns: marks the function it is called with."""

    __slots__ = ("guard", "name")

    def __init__(self, guard: Callable[[Any], object] | None, name: str | None) -> None:
        self.guard = guard
        self.name = name

    def __call__(self, method: F) -> F:
        if isinstance(method, property):
            raise AppError("@mesh marks methods, and a property is none: a remote caller cannot read attributes")
        mesh_fn(method)
        if self.guard is not None:
            setattr(underlying(method), GUARD, self.guard)
        if self.name is not None:
            set_wire_name(method, self.name)
        return method


def mesh_fn(function: F) -> F:
    """Mark a function that stands in no class, without a guard."""
    setattr(underlying(function), CALLABLE, True)
    return function


def is_mesh_callable(function: Any) -> bool:
    """Whether the function (or the one beneath a bound method) carries the mark."""
    return getattr(underlying(function), CALLABLE, False) is True


def get_mesh_guard(function: Any) -> Callable[[Any], object] | None:
    """The guard given to `mesh`, or ``None``."""
    guard: Callable[[Any], object] | None = getattr(underlying(function), GUARD, None)
    return guard


def _is_method(member: Any, frame: FrameType) -> bool:
    if isinstance(member, (staticmethod, classmethod)):
        return True
    if not isinstance(member, FunctionType) or member.__name__ == "<lambda>":
        return False
    name = member.__name__
    if frame.f_locals.get(name) is member:
        return False
    body = frame.f_locals.get("__qualname__")
    if body is None or "__module__" not in frame.f_locals:
        return frame.f_globals.get(name) is not member
    if member.__qualname__ == f"{body}.{name}":
        return True
    # A function from elsewhere: a guard takes the node and nothing more, a wrapper around the method takes anything.
    code = member.__code__
    return code.co_argcount != 1 or bool(code.co_flags & _VARIABLE_POSITIONAL)
