"""What is wrong with a path that names a binding: errors with the status that an entry answers with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from lumenize_sim.clone import register_error
from lumenize_sim.errors import AppError

__all__ = ["MissingInstanceNameError", "MultipleBindingsFoundError", "RoutingError"]


class RoutingError(AppError):
    """A request that cannot be routed, though its path names a binding.

    Attributes:
        code: for programs.
        http_error_code: the status to answer with.
    """

    code: ClassVar[str] = "ROUTING_ERROR"
    http_error_code: ClassVar[int] = 400


class MissingInstanceNameError(RoutingError):
    """The path ends behind the binding (RT-4)."""

    code = "MISSING_INSTANCE_NAME"

    def __init__(self) -> None:
        super().__init__(
            "doBindingName found but doInstanceNameOrId missing. "
            "Expected format: [/prefix]/doBindingName/doInstanceNameOrId/..."
        )


class MultipleBindingsFoundError(RoutingError):
    """A segment of the path names several bindings (RT-7): rename one, or write the segment exactly.

    Attributes:
        matched_bindings: the matches, in the order of `binding_variants`.
        available_bindings: the same.
    """

    code = "MULTIPLE_BINDINGS_FOUND"

    def __init__(self, segment: str, matched: Sequence[str]) -> None:
        super().__init__(f"Multiple Durable Object bindings found for path segment '{segment}': {', '.join(matched)}")
        self.matched_bindings = list(matched)
        self.available_bindings = list(matched)


register_error(MissingInstanceNameError)
register_error(
    MultipleBindingsFoundError,
    properties={"matched_bindings": "matchedBindings", "available_bindings": "availableBindings"},
)
