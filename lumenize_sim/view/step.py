"""What pictures are made of: messages and notes."""

from __future__ import annotations

from typing import Literal

import attrs

__all__ = ["Arrow", "Note", "Style", "Tone"]

Style = Literal["call", "reply", "frame", "connect", "close"]
Tone = Literal["event", "read", "write", "commit", "life", "sleep", "fault", "held", "log", "passed", "failed"]


@attrs.frozen
class Arrow:
    """A message.

    Attributes:
        n: record that sent it.
        arrived: record that received it, or ``None`` where nothing did.
        source, target: participants.
        text, full: what it says, short and whole.
        failed: it brings an error.
        unheard: it arrived where nobody waited for it any more.
        starts: class of the instance that its arrival started, or empty.
        hot: which of the highlighted records it is, from 1, or 0; as sent unless ``hot_arrival``.
    """

    n: int
    arrived: int | None
    source: str
    target: str
    text: str
    style: Style
    failed: bool
    sent_us: int
    t_us: int
    hot: int = 0
    full: str = ""
    unheard: bool = False
    starts: str = ""
    hot_arrival: bool = False

    @property
    def at(self) -> int:
        """Where to draw it in views that have one line per message: at its arrival, which is what orders turns."""
        return self.n if self.arrived is None else self.arrived

    @property
    def lost(self) -> bool:
        """Whether it was to arrive and did not.  An answer that nobody awaits makes no record of its arrival."""
        return self.arrived is None and self.style in ("call", "frame")

    @property
    def label(self) -> str:
        """Its text, with what became of it."""
        if self.lost:
            return f"{self.text} (not delivered)"
        return f"{self.text} (nobody waits)" if self.unheard else self.text


@attrs.frozen
class Note:
    """Something at one participant, or, with an empty ``actor``, across all of them; neighbouring ones of a tone are
    one note with several lines."""

    n: int
    actor: str
    lines: tuple[str, ...]
    tone: Tone
    t_us: int
    hot: int = 0
    full: str = ""

    @property
    def at(self) -> int:
        """Its record."""
        return self.n
