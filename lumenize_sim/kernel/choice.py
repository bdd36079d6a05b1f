"""Choices: the picks worth keeping, and how they name themselves.

A choice is ``[label, value, bound, key]``.  The label is made of an actor, a site
and a counter there, never of a global step number, so that it means the same after
unrelated edits.  Value 0 is what the default would do.  The key is a 32-bit BLAKE2
of the sorted labels that were chosen among, so that a replay can tell whether it
stands before the same decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import attrs

__all__ = ["Choice", "key_of"]


def key_of(labels: Iterable[str]) -> int:
    """32 bits of BLAKE2 over the sorted labels."""
    digest = blake2b("\x00".join(sorted(labels)).encode(), digest_size=4)
    return int.from_bytes(digest.digest(), "big")


@attrs.frozen(slots=True)
class Choice:
    """One pick that is not the default.

    Attributes:
        label: where the decision is.
        value: which alternative, 1 … bound - 1.
        bound: how many alternatives there were.
        key: fingerprint of the alternatives.
        pick: the alternative in words: the label of the event that came first, the
            delay, or the fault.  For people and for matching after edits.
    """

    label: str
    value: int
    bound: int
    key: int
    pick: str

    def to_list(self) -> list[object]:
        """``[label, value, bound, key, pick]``, the form on file."""
        return [self.label, self.value, self.bound, self.key, self.pick]

    def describe(self) -> str:
        """One line of the sentence "in order, except …"."""
        site, _, kind = self.label.partition("@")
        if kind == "delay":
            return f"{site} is {self.value / 1000:g} ms late"
        if "~" in site:
            target, _, fault = site.partition("~")
            name, _, nth = fault.partition("#")
            return f"{name} at {target}, boundary {nth}"
        if kind == "task":
            return f"task {self.value} goes first at {site}"
        receiver, _, nth = site.rpartition("#")
        return f"arrival {nth} at {receiver} is {self.pick}"
