"""The application's savepoints, of which SQLite hears at the first write in each (OG-27, OG-28)."""

from __future__ import annotations

from typing import Literal

import attrs

from lumenize_sim.errors import SimulatorError
from lumenize_sim.objects.storage.connection import Connection
from lumenize_sim.objects.storage.database import Execute

__all__ = ["Frame", "Savepoints"]


@attrs.define(eq=False)
class Frame:
    """One of them: a `transactionSync`, or the `transaction` at the bottom.

    Attributes:
        explicit: it is a `transaction`, whose commit decides whether outputs wait (OG-25).
        alarm_ms, armed: the alarm before it.
        opened: SQLite knows it.
        confirmed: a confirmed write was made in it, or in a child that was kept.
        state: where it is in its life.
    """

    explicit: bool
    alarm_ms: int | None
    armed: bool
    opened: bool = False
    confirmed: bool = False
    state: Literal["open", "committed", "rolled back"] = "open"


class Savepoints:
    """The stack of them.

    Attributes:
        frames: outermost first.  Always the same list.
    """

    __slots__ = ("frames",)

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def open(self, execute: Execute) -> None:
        """Have SQLite know all of them, for a write."""
        for index, frame in enumerate(self.frames):
            if not frame.opened:
                execute(f"SAVEPOINT _cf_frame_{index}")
                frame.opened = True

    def keep(self, frame: Frame, connection: Connection | None) -> None:
        """End the innermost; what was written in it belongs to its parent.

        Raises:
            SimulatorError: it is not the innermost.
            apsw.Error: SQLite's.
        """
        frames = self.frames
        if not frames or frames[-1] is not frame:
            raise SimulatorError("savepoints have to end in the opposite order of their beginning")
        frames.pop()
        frame.state = "committed"
        if frame.opened and connection is not None:
            connection.execute(f"RELEASE _cf_frame_{len(frames)}")

    def undo(self, frame: Frame, connection: Connection | None) -> None:
        """End it and all inside it; what was written in them is gone."""
        frames = self.frames
        index = frames.index(frame)
        for other in frames[index:]:
            other.state = "rolled back"
        del frames[index:]
        if frame.opened and connection is not None:
            connection.execute(f"ROLLBACK TO _cf_frame_{index}")
            connection.execute(f"RELEASE _cf_frame_{index}")

    def end(self) -> None:
        """The store is gone, and everything in them with it."""
        for frame in self.frames:
            frame.state = "rolled back"
        self.frames.clear()
