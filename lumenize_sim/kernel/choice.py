"""Choices: the picks worth keeping, and how they name themselves.

A choice is ``[label, value, bound, key]``.  The label is made of an actor, a site
and a counter there, never of a global step number, so that it means the same after
unrelated edits.  Value 0 is what the default would do.  The key is a 32-bit BLAKE2
of the sorted labels that were chosen among, so that a replay can tell whether it
stands before the same decision.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b

import attrs

_FAULT = re.compile(r"%[a-z-]+#\d+\Z")

__all__ = ["Choice", "key_of"]


def key_of(labels: Iterable[str]) -> int:
    """32 bits of BLAKE2 over the sorted labels."""
    digest = blake2b("\x00".join(sorted(labels)).encode(), digest_size=4)
    return int.from_bytes(digest.digest(), "big")


@attrs.frozen(slots=True)
class Choice:
    """One pick that is not its default.

    Attributes:
        label: where the decision is.
        value: which alternative, 1 … bound - 1.
        bound: how many alternatives there were.
        key: fingerprint of the alternatives.
        pick: the alternative in words: the label of the event that came first, the
            delay, or the fault.  For people and for matching after edits.
        over: what the default would have done.
        spans: of an order, how many arrivals in a row go before ``over``, which waits for all of them: the first
            is the ``value``-th alternative, and the last is ``pick``.  What goes before what among them is the default.
    """

    label: str
    value: int
    bound: int
    key: int
    pick: str
    over: str = ""
    spans: int = 1

    def to_list(self) -> list[object]:
        """``[label, value, bound, key, pick, over]``, the form on file, and ``spans`` behind it where it is not 1."""
        entry: list[object] = [self.label, self.value, self.bound, self.key, self.pick, self.over]
        return entry if self.spans == 1 else [*entry, self.spans]

    @property
    def kind(self) -> str:
        """``order``, ``delay``, ``task`` or ``fault``."""
        if self.label.endswith("@delay"):
            return "delay"
        if self.label.endswith("@task"):
            return "task"
        return "fault" if _FAULT.search(self.label) else "order"

    @property
    def site(self) -> str:
        """The label without its suffix."""
        return self.label.rpartition("@")[0] if self.kind in ("delay", "task") else self.label

    @property
    def place(self) -> tuple[str, int]:
        """Of an order: receiver and index of the arrival."""
        receiver, _, nth = self.label.rpartition("#")
        return receiver, int(nth.partition("+")[0])

    def describe(self) -> str:
        """One line of the sentence "in order, except …"."""
        kind = self.kind
        if kind == "delay":
            return f"{self.site} is {self.value / 1000:g} ms late"
        if kind == "task":
            return f"task {self.value} goes first at {self.site}"
        if kind == "fault":
            target, _, boundary = self.label.rpartition("%")
            name, _, nth = boundary.partition("#")
            if name == "flushes":
                return f"commits of {target} become durable by events of their own"
            if name.startswith("option-"):
                return f"{name[7:].replace('-', '_')} is not its default" + (
                    f" but variant {self.value}" if self.value > 1 else ""
                )
            if name == "retry-jitter":
                return f"retry {nth} of the alarms of {target} comes {self.value} ms later"
            return f"{name} at {target}, boundary {nth}" + (f", variant {self.value}" if self.value > 1 else "")
        receiver = self.label.rpartition("#")[0]
        if not self.over:
            return f"{self.pick} comes next at {receiver}"
        if self.spans > 1:
            return f"{self.over} waits at {receiver} until {self.pick} has come, which is the last of {self.spans}"
        return f"{self.pick} comes before {self.over} at {receiver}"
