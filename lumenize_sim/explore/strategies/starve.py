"""Starve one: the events of one actor wait for as long as anything else can happen.

No paper; the adversary of every proof about failure detectors.  Guarantee: if a bug
needs all arrivals at one actor, or all that one actor sends, to come after everything
else that does not depend on them, it is found with a probability of at least
1 / (2 actors).  Unfair, so a fair phase follows (see `fair`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from lumenize_sim.explore.profile import Profile
from lumenize_sim.kernel.event import Event

__all__ = ["StarveOne"]


class StarveOne:
    """See the module.

    Attributes:
        victim: the actor.
        sending: it is what it sends that waits, and not what arrives there.
    """

    __slots__ = ("_generator", "sending", "victim")

    def __init__(self, generator: random.Random, profile: Profile) -> None:
        self._generator = generator
        arrivals = list(profile.arrivals())
        self.victim = generator.choice(arrivals) if arrivals else ""
        self.sending = generator.random() < 0.5

    def created(self, event: Event) -> None:
        """Starved or not."""
        if self.sending:
            # Labels begin with who brings the event about: the caller, the client, the object whose timer it is.
            starved = event.label.startswith((f"{self.victim}>", f"{self.victim}~", f"{self.victim}!"))
        else:
            starved = event.receiver == self.victim
        event.priority = float(starved)

    def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
        """Any event of the others; the victim's when there is nothing else."""
        others = [index for index, event in enumerate(enabled) if not event.priority]
        if not others:
            # Time is something else that can happen.
            if time_step and self._generator.random() < 0.75:
                return len(enabled)
            return self._generator.randrange(len(enabled))
        drawn = self._generator.randrange(len(others) + time_step)
        return len(enabled) if drawn == len(others) else others[drawn]
