"""From a segment of a path to a binding, and from there to an object (RT-5 to RT-7, RT-11, CALL-12)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from lumenize_sim.mesh.errors import MeshError
from lumenize_sim.routing.errors import MultipleBindingsFoundError

__all__ = ["binding_variants", "find_binding", "get_do_stub", "is_do_namespace", "is_durable_object_id"]

_SMART: Final = re.compile(r"[a-z0-9-]+")
_OBJECT_ID: Final = re.compile(r"[a-f0-9]{64}")
_NO_NAMESPACE: Final = (
    "getDOStub expected a DurableObjectNamespace but received a binding without idFromName/getByName "
    "(likely a Worker/service binding). Check the binding name."
)


def is_do_namespace(value: object) -> bool:
    """Whether a binding reaches Durable Objects.

    Stubs answer to any method name, so only the absence of ``fetch`` tells (CALL-12).
    """
    return (
        callable(getattr(value, "id_from_name", None))
        and callable(getattr(value, "get_by_name", None))
        and not callable(getattr(value, "fetch", None))
    )


def is_durable_object_id(text: str) -> bool:
    """Whether ``text`` is an id and no name: 64 lower-case hex digits (RT-11)."""
    return _OBJECT_ID.fullmatch(text) is not None


def get_do_stub(namespace: Any, instance_name_or_id: str) -> Any:
    """A stub for an object by id where it is one, else by name (RT-11).

    Raises:
        MeshError: the binding reaches no objects; the app is to blame.
    """
    if not is_do_namespace(namespace):
        raise MeshError(_NO_NAMESPACE)
    if is_durable_object_id(instance_name_or_id):
        return namespace.get(namespace.id_from_string(instance_name_or_id))
    return namespace.get_by_name(instance_name_or_id)


def _title(word: str) -> str:
    return word[:1].upper() + word[1:]


def binding_variants(segment: str) -> list[str]:
    """The bindings that a segment may mean, without duplicates (RT-5, RT-6).

    Lower-case letters, digits and dashes are read as words, in every usual spelling; anything else is exact.
    """
    if not _SMART.fullmatch(segment):
        return [segment]
    words = segment.split("-")
    snake, pascal = "_".join(words), "".join(map(_title, words))
    variants = [segment, snake.upper(), snake, pascal, words[0] + "".join(map(_title, words[1:]))]
    if any(len(word) == 1 for word in words):
        variants.append("".join(words).upper())
    if len(words) >= 2 and len(words[-1]) <= 2:
        variants.append("".join(map(_title, words[:-1])) + words[-1].upper())
    return list(dict.fromkeys(variants))


def find_binding(segment: str, bindings: Iterable[str]) -> str | None:
    """The one of ``bindings`` (those of objects) that ``segment`` names.

    Raises:
        MultipleBindingsFoundError: several (RT-7).
    """
    known = dict.fromkeys(bindings)
    matched = [variant for variant in binding_variants(segment) if variant in known]
    if len(matched) > 1:
        raise MultipleBindingsFoundError(segment, matched)
    return matched[0] if matched else None
