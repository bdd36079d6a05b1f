"""How often a random walk fails: each schedule is run and judged, and none is shrunk.

With faults drawn as in any exploration.  Other than a search that ends with the first failure, a
fixed number of schedules makes an estimate that is right in the mean.
"""

from __future__ import annotations

from lumenize_sim.explore.roaming import census, roam
from lumenize_sim.explore.strategies import Corpus
from lumenize_sim.world.deck import Deck
from lumenize_sim.world.randomness import generator
from lumenize_sim.world.scenario import Scenario

__all__ = ["walked"]


def walked(scenario: Scenario, *, seed: int, schedules: int) -> int:
    """Of so many schedules of a random walk those that fail."""
    _, boundaries, profile = census(scenario, seed=seed)
    deck = Deck(scenario.faults, boundaries, seed)
    corpus = Corpus()
    failures = 0
    for nth in range(1, schedules + 1):
        planned = deck.plan(nth, corpus.boundaries) | scenario.options.draw(generator(seed, "options", str(nth)))
        run = roam(scenario, "random", seed=seed, schedule=nth, turn=nth, planned=planned, profile=profile)
        corpus.meet(run.plan.census)
        failures += run.outcome.failed
    return failures
