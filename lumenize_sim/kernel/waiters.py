"""Who waits, and where: what a deadlock is reported with."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import attrs
import trio

from lumenize_sim.kernel.seam import living_tasks

__all__ = ["Waiter", "describe_waiters", "waiters_now"]


@attrs.frozen(slots=True)
class Waiter:
    """Somebody who waits, for the report of a deadlock."""

    owner: str
    event: str
    where: str


def waiters_now(strand_var: ContextVar[Any]) -> list[Waiter]:
    """Everybody who waits now, by owner, in order of name and event."""
    found = []
    for task in living_tasks():
        strand = task.context.get(strand_var)
        if strand is not None and not strand.owner.dead:
            found.append(Waiter(strand.owner.name, strand.event, _where(task)))
    return sorted(found, key=lambda w: (w.owner, w.event, w.where))


def describe_waiters(waiters: list[Waiter]) -> str:
    """In a line."""
    lines = [f"{w.owner} waits at {w.where} (began with {w.event})" for w in waiters]
    return "nothing can happen any more; " + ("; ".join(lines) if lines else "and nobody waits")


def _where(task: trio.lowlevel.Task) -> str:
    """file:line of the innermost frame of ``task`` that is neither Trio's nor ours."""
    place = "?"
    for frame, line in task.iter_await_frames():
        module = frame.f_globals.get("__name__", "")
        if not module.startswith(("trio.", "lumenize_sim.")):
            place = f"{frame.f_code.co_filename.rpartition('/')[2]}:{line}"
    return place
