"""The life of an object: its states, what leads from one to another, and what is left afterwards.

One table says both, so that neither the machine nor a test has rules of its own.  An
event that finds no row cannot happen there: an object that handles a call does not
hibernate, one that is not in memory cannot be reset.

The two idle states are not entered by anybody: they are what an active object is called
while nothing of it runs, and which of the two depends on what it waits for (LC-17).  So
no turn pays for them; `ObjectMachine.life` looks when it is asked.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import attrs

__all__ = ["PASSAGES", "Kept", "Life", "Passage"]


class Life(Enum):
    """Where an object is in its life (1.3)."""

    INACTIVE = "inactive"  #: not in memory, and no sockets are kept; where every object begins
    CONSTRUCTING = "constructing"  #: the constructor takes its turn
    ACTIVE = "active"  #: something is being handled, or waits to be
    IDLE_HIBERNATEABLE = "idle, hibernateable"  #: nothing is; hibernates after ten seconds (LC-14)
    IDLE_NON_HIBERNATEABLE = "idle, non-hibernateable"  #: nothing is, but a timer or a call is under way (LC-15, LC-17)
    HIBERNATED = "hibernated"  #: not in memory, and the web sockets are still there


@attrs.frozen
class Kept:
    """What a transition leaves (table 1.4).  Storage and alarm, as far as they are durable, always stay.

    Attributes:
        memory: fields, timers, promises.
        unflushed: writes that are committed and not durable yet.
        sockets: hibernatable web sockets with tags and attachments, the auto-response, the event timeout.
        in_flight: what has begun may go on beside a new instance, without storage (LC-11, LC-26).
    """

    memory: bool = False
    unflushed: bool = False
    sockets: bool = False
    in_flight: bool = False


@attrs.frozen
class Passage:
    """One row: where it leads, and what is left."""

    to: Life
    kept: Kept


_INACTIVE, _CONSTRUCTING, _ACTIVE, _IDLE, _HELD, _HIBERNATED = Life

_ALL = Kept(memory=True, unflushed=True, sockets=True, in_flight=True)
_WAKES = Kept(unflushed=True, sockets=True)
_SLEEPS = Kept(unflushed=True, sockets=True)
_LEAVES = Kept(unflushed=True)
_MOVES = Kept(unflushed=True, in_flight=True)
_BREAKS = Kept()

#: All transitions, by state and by what happens.
#: ``event``: something arrives; ``constructed``; ``rest``: the last of it has ended; ``throw``: a handler raises
#: (LC-30); ``hibernate`` (LC-14); ``evict`` (LC-15, LC-20); ``replace``: another instance takes over, after a deploy
#: or a relocation (LC-10, LC-28); ``break``: the instance is lost, by its own doing or not (LC-31 to LC-37).
PASSAGES: Final[dict[tuple[Life, str], Passage]] = {
    (_INACTIVE, "event"): Passage(_CONSTRUCTING, _WAKES),
    (_HIBERNATED, "event"): Passage(_CONSTRUCTING, _WAKES),
    (_CONSTRUCTING, "constructed"): Passage(_ACTIVE, _ALL),
    (_IDLE, "event"): Passage(_ACTIVE, _ALL),
    (_HELD, "event"): Passage(_ACTIVE, _ALL),
    (_ACTIVE, "rest"): Passage(_IDLE, _ALL),
    (_ACTIVE, "throw"): Passage(_ACTIVE, _ALL),
    (_IDLE, "hibernate"): Passage(_HIBERNATED, _SLEEPS),
    (_IDLE, "evict"): Passage(_INACTIVE, _LEAVES),
    (_HELD, "evict"): Passage(_INACTIVE, _LEAVES),
    (_HIBERNATED, "evict"): Passage(_INACTIVE, _LEAVES),
    (_ACTIVE, "replace"): Passage(_INACTIVE, _MOVES),
    (_IDLE, "replace"): Passage(_INACTIVE, _MOVES),
    (_HELD, "replace"): Passage(_INACTIVE, _MOVES),
    (_HIBERNATED, "replace"): Passage(_INACTIVE, _LEAVES),
    (_CONSTRUCTING, "break"): Passage(_INACTIVE, _BREAKS),
    (_ACTIVE, "break"): Passage(_INACTIVE, _BREAKS),
    (_IDLE, "break"): Passage(_INACTIVE, _BREAKS),
    (_HELD, "break"): Passage(_INACTIVE, _BREAKS),
}
