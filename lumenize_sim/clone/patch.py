"""Merge patches (RFC 7396) over plain values (SC-39, SC-40)."""

from __future__ import annotations

from typing import Any

from lumenize_sim.clone.native import structured_clone
from lumenize_sim.clone.values import UNDEFINED

__all__ = ["apply_merge_patch", "diff"]


def apply_merge_patch(target: Any, patch: Any) -> Any:
    """``target`` with ``patch`` applied, as a new value: ``None`` deletes, dicts merge, all else replaces.

    ``UNDEFINED`` as the patch copies the target.  Neither input is modified.
    """
    if patch is UNDEFINED:
        return structured_clone(target)
    if not isinstance(patch, dict):
        return structured_clone(patch)
    out = structured_clone(target) if isinstance(target, dict) else {}
    for key, change in patch.items():
        if change is None:
            out.pop(key, None)
        elif isinstance(change, dict):
            out[key] = apply_merge_patch(out.get(key), change)
        else:
            out[key] = structured_clone(change)  # UNDEFINED too, which only as the whole patch changes nothing
    return out


def diff(before: Any, after: Any) -> Any:
    """A patch that turns ``before`` into ``after``; ``UNDEFINED`` where they are equal.

    An explicit ``None`` in ``after`` cannot be expressed by a merge patch.
    """
    if _same(before, after):
        return UNDEFINED
    if not isinstance(before, dict) or not isinstance(after, dict):
        return structured_clone(after)
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        held = before.get(key, UNDEFINED)
        if held is UNDEFINED:
            patch[key] = structured_clone(value)
        elif not _same(held, value):
            patch[key] = diff(held, value)
    return patch


def _same(a: Any, b: Any) -> bool:
    """Equality that tells ``True`` from ``1``, as JavaScript does."""
    if isinstance(a, bool) is not isinstance(b, bool):
        return False
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)
