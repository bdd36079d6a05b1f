"""Two accesses that race, and how to say so."""

from __future__ import annotations

from typing import Any

import attrs

__all__ = ["Access", "Finding"]


@attrs.frozen
class Access:
    """One access to a key.

    Attributes:
        event: label of the strand.
        where: ``"file.py:line"`` in the app, or ``None``.
        op: operation as recorded, else the kind (``read``, ``write``, ``delete``).
        n: position in the trace.
        actor: who made it.
    """

    event: str
    where: str | None
    op: str
    n: int
    actor: str

    @property
    def name(self) -> str:
        """The event without the actor's name in front."""
        return self.event.removeprefix(self.actor).lstrip() or self.event

    def to_json(self) -> dict[str, Any]:
        """Plain values: event, where, op, n, actor."""
        return {"event": self.event, "where": self.where, "op": self.op, "n": self.n, "actor": self.actor}


@attrs.frozen
class Finding:
    """A racing pair.

    Attributes:
        kind: ``stale-write`` (a read-modify-write lost what came between), ``stale-check`` (decided by a value that had
            changed), ``stale-read`` (acted on one), ``conflict`` (both access the key and one writes), ``order`` (no
            more is known), ``fault``, ``delay``, or what a checker of traces calls it: ``early-output``,
            ``acknowledged-then-lost``, ``repeated-effect``, ``lost-continuation``, ``forgotten``, ``lost-write``,
            ``deadlock``, ``livelock``.
        object: the actor that owns the key.
        key: as recorded.
        first: for the stale kinds the read that went stale.
        second: the write that came between; for ``conflict`` the other access.
        then: for the stale kinds what ``first``'s strand did in a later turn with what it had read.
        message: the same in words, with the source lines.
        passing: how a run passes, and did: ``with`` another order, ``without`` a fault; empty where none was found.
    """

    kind: str
    object: str
    key: str
    first: Access
    second: Access
    message: str
    then: Access | None = None
    passing: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values: kind, object, key, first, second, message, and passing where there is something to say."""
        return {
            "kind": self.kind,
            "object": self.object,
            "key": self.key,
            "first": self.first.to_json(),
            "second": self.second.to_json(),
            "message": self.message,
            **({"passing": self.passing} if self.passing else {}),
        }
