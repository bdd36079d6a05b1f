"""What every mesh node has, wherever it lives: names on the wire, `ctn`, `on_before_call`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from lumenize_sim.errors import AppError
from lumenize_sim.mesh.continuation import Continuation
from lumenize_sim.mesh.debug import Filter, Logger
from lumenize_sim.mesh.decorators import MeshDecorator
from lumenize_sim.mesh.names import wire_names

__all__ = ["HandlerView", "MeshNode"]

T = TypeVar("T")


class HandlerView:
    """For type checkers only: makes the result of a recorded handler usable as an argument, whatever it returns.

    Handlers return ``None``, and mypy refuses the use of such a result; that of a union it allows.  Names and
    argument types are still checked against the node itself.
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class MeshNode:
    """Base of Durable Objects, Workers and clients in a mesh."""

    #: A node never leaves by value: the empty chain gives the node itself (OC-19), and the fields of one that is an
    #: attrs class or dataclass would be read without a call (OC-34).
    __platform_name__ = "LumenizeNode"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, member in vars(cls).items():
            if isinstance(member, MeshDecorator):
                raise AppError(
                    f"{cls.__qualname__}.{name} became a decorator: @mesh took its argument for a guard. "
                    f"Write @mesh() with brackets above the method"
                )
        wire_names(cls)

    @overload
    def ctn(self) -> Self | HandlerView: ...
    @overload
    def ctn(self, node: type[T]) -> type[T]: ...
    def ctn(self, node: type | None = None) -> Any:
        """A fresh continuation (DO-7): for this node's own handlers, or a typed view of another node's class.

        To type checkers the view is the class itself, whose `mesh` methods are recorded with their arguments and
        the type of their result: ``self.ctn(Counter).increment(1)`` is a ``Continuation[int]``.  A method that is
        not marked cannot be called remotely, and checkers say so.
        """
        return Continuation([], type(self) if node is None else node)

    def debug(self, namespace: str) -> Logger:
        """A logger of this node, filtered by the app's variable ``DEBUG``; what it says stands in the trace (DB-1)."""
        node: Any = self
        host, owner = node.lmz.surroundings
        env = getattr(node, "env", None)
        text = None if env is None else env.get("DEBUG")

        def say(level: str, namespace: str, message: str, data: Mapping[str, Any]) -> None:
            host.log(owner, level, namespace, message, data)

        return Logger(namespace, Filter.of(text), say, lambda: datetime.fromtimestamp(host.now_ms() / 1000, UTC))

    def on_before_call(self) -> None:
        """Runs before each mesh call, inside its context; raising rejects the call.  Never awaited (CALL-37 …)."""
