"""What each strategy promises, on a forest of events where it must win.

The forests stand for runs: an event is made when its parent happens, and is enabled at
once.  No kernel runs here, so that thousands of schedules take no time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumenize_sim import DurableObject, Mesh, World, explore, scenario
from lumenize_sim.errors import UsageError
from lumenize_sim.explore.profile import Profile, kind_of
from lumenize_sim.explore.sighting import Noted, Sighting
from lumenize_sim.explore.strategies import NAMES, PORTFOLIO, Corpus, make_strategy
from lumenize_sim.explore.strategies.chains import Chains
from lumenize_sim.explore.strategies.fair import FairInTheEnd
from lumenize_sim.explore.strategies.slow import SlowChain
from lumenize_sim.kernel.agenda import Agenda
from lumenize_sim.kernel.chooser import FreeChooser
from lumenize_sim.kernel.event import Event

#: label -> (receiver, parent or None), parents first.
Forest = dict[str, tuple[str, str | None]]
ACTOR: Any = None


def play(forest: Forest | Callable[[list[str]], Forest], strategy: Any) -> list[str]:
    """The order in which the events happen.  A forest may grow with it."""
    chooser, agenda = FreeChooser(strategy), Agenda()

    def make(parent: str | None) -> None:
        grown = forest([label for _, label in chooser.log]) if callable(forest) else forest
        for label, (receiver, of) in grown.items():
            if of == parent:
                event = Event(label, ACTOR, lambda: None, receiver=receiver)
                agenda.stamp(event)
                chooser.created(event)
                agenda.enable(event)

    make(None)
    while (event := chooser.pick(agenda)) is not None:
        assert isinstance(event, Event)
        make(event.label)
    return [label for _, label in chooser.log]


def profile(forest: Forest) -> Profile:
    """What a plain run would note."""
    labels = list(forest)
    causes = tuple(-1 if parent is None else labels.index(parent) for _, parent in forest.values())
    receivers = tuple(receiver for receiver, _ in forest.values())
    run = Sighting(tuple(labels), receivers, causes, (-1,) * len(labels), len(labels))
    return Profile(tuple(labels), receivers, causes, run)


def share(name: str, forest: Forest, happened: Callable[[list[str]], bool], runs: int = 2000) -> float:
    """In which part of the runs ``happened`` holds."""
    known = profile(forest)
    return (
        sum(
            happened(play(forest, make_strategy(name, random.Random(nth), profile=known, turn=nth)))
            for nth in range(runs)
        )
        / runs
    )


def chain(name: str, receivers: Sequence[str], parent: str | None = None) -> Forest:
    """A chain of events, one at each receiver."""
    made: Forest = {}
    for n, receiver in enumerate(receivers):
        made[f"{name}#{n}"] = (receiver, parent)
        parent = f"{name}#{n}"
    return made


#: A direct message to R, and one that comes by ten relays.
RELAYED: Forest = {"direct#0": ("R", None), **chain("relay", [*(f"N{n}" for n in range(10)), "R"])}


def relayed_first(order: list[str]) -> bool:
    return order.index("relay#10") < order.index("direct#0")


def test_a_random_walk_overtakes_a_direct_message_once_in_two_to_the_number_of_relays() -> None:
    assert share("random", RELAYED, relayed_first) < 0.004


@pytest.mark.parametrize("name, at_least", [("pct", 0.25), ("pos", 0.06), ("urw", 0.06), ("surw", 0.4)])
def test_a_relayed_message_overtakes_a_direct_one(name: str, at_least: float) -> None:
    """PCTCP: one of two chains.  POS: priorities stay until events race.  URW: 1 of 12 orders.  SURW: 1 of 2."""
    assert share(name, RELAYED, relayed_first) > at_least


@pytest.mark.parametrize("last", [["a#1", "b#1"], ["b#1", "a#1"]])
def test_of_two_chains_that_fell_either_may_be_the_lower(last: list[str]) -> None:
    """PCTCP, d = 3: both falls at their places have a probability of at least 1 / (w^2 n^2), in both orders."""
    forest = {**chain("a", "NN"), **chain("b", "MM"), "c#0": ("L", None)}
    wanted = ["a#0", "b#0", "c#0", *last]
    known = profile(forest)
    found = sum(
        play(forest, make_strategy("pct", random.Random(nth), profile=known, turn=3)) == wanted for nth in range(3000)
    )
    assert found > 3000 / (3**2 * 5**2)


def test_a_uniform_walk_draws_every_order_of_a_forest_equally_often() -> None:
    """Hook-length formula: a chain of three and one of two have 10 orders."""
    forest = {**chain("a", "NNN"), **chain("b", "MM")}
    counts: dict[tuple[str, ...], int] = {}
    for nth in range(5000):
        order = play(forest, make_strategy("urw", random.Random(nth), profile=profile(forest)))
        counts[tuple(order)] = counts.get(tuple(order), 0) + 1
    assert len(counts) == 10
    assert all(400 < count < 600 for count in counts.values())


def test_a_selectively_uniform_walk_draws_every_order_at_the_object_whatever_stands_before_it() -> None:
    """Three arrivals of each of two sources at R; twelve other events stand before those of one."""
    forest = {
        **chain("slow", [*(f"N{n}" for n in range(12)), "R", "R", "R"]),
        **chain("fast", ["R", "R", "R"]),
    }

    def slow_first(order: list[str]) -> bool:
        return order.index("slow#14") < order.index("fast#0")

    assert 0.03 < share("surw", forest, slow_first, 4000) < 0.07  # 1 of 20
    assert share("random", forest, slow_first, 4000) == 0
    assert share("pos", forest, slow_first, 4000) < 0.02


def test_starving_one_actor_lets_everything_else_go_first() -> None:
    """A detector that hears no pong: all of V's arrivals behind twenty of others."""
    forest = {
        **{f"pong#{n}": ("V", None) for n in range(3)},
        **chain("beat", ["D"] * 10),
        **chain("other", [f"N{n % 3}" for n in range(10)]),
    }

    def starved(order: list[str]) -> bool:
        return all(label.startswith("pong") for label in order[-3:])

    assert share("starve", forest, starved) > 1 / (2 * 5) * 0.8
    assert share("random", forest, starved) < 0.01


def test_a_few_delays_find_what_a_single_late_event_does() -> None:
    """One event of thirty comes last; a walk would also have to get all others right."""
    forest: Forest = {f"m#{n}": (f"N{n % 6}", None) for n in range(30)}
    in_order = [label for label in forest if label != "m#11"]

    def only_that_one_is_late(order: list[str]) -> bool:
        return order == [*in_order, "m#11"]

    assert share("delays", forest, only_that_one_is_late) > 1 / 30 / 3 * 0.6
    assert share("random", forest, only_that_one_is_late) == 0


class Lease(DurableObject):
    """Works under a lease of five seconds, by way of two others."""

    async def work(self) -> bool:
        self.ctx.storage.kv.put("held", True)
        self.ctx.storage.set_alarm(self.ctx.now() + 5_000)
        await self.env.RELAY.get_by_name("one").work(1)
        held: bool = self.ctx.storage.kv.get("held")
        return held

    async def alarm(self, info: Any = None) -> None:
        self.ctx.storage.kv.put("held", False)


class Relay(DurableObject):
    async def work(self, more: int) -> None:
        if more:
            await self.env.RELAY.get_by_name("two").work(more - 1)


@scenario(Mesh(bindings={"LEASE": Lease, "RELAY": Relay}))
async def outlived(world: World) -> None:
    """No message takes more than two seconds, and four of them take more than five."""
    assert await world.env.LEASE.get_by_name("l").work(), "the lease had ended"


def test_a_slow_chain_misses_a_timer_that_no_single_late_message_can() -> None:
    """Each of its messages is on its way for as long as it may be, one after the other."""
    for seed in range(3):
        (failure,) = explore(outlived, schedules=2_000, seed=seed, save=None, verify=False).failures
        assert failure.strategy == "delays"
        late = [choice for choice in failure.run.tape.choices if choice.kind == "delay"]
        assert len(late) == len(failure.run.tape.choices) >= 3
        assert failure.explanation is not None
        assert (failure.explanation.object, failure.explanation.key) == ("LEASE/l", "held"), "not where it was late"
    for other in ("random", "pct", "starve", "reversal"):
        assert not explore(outlived, schedules=200, strategy=other, save=None, verify=False).failures


def test_of_a_slow_chain_every_hop_is_slow_and_nothing_else_is() -> None:
    def hop(label: str, parent: Event | None) -> Event:
        if parent is not None:
            strategy.happens(parent)
        event = Event(label, ACTOR, lambda: None, receiver="r", delay_limit_us=7)
        strategy.created(event)
        return event

    for seed in range(40):
        strategy = SlowChain(random.Random(seed), profile({f"e{n}": ("r", None) for n in range(4)}))
        first, beside = hop("a", None), hop("b", None)
        second = hop("a1", first)
        other = hop("b1", beside)
        third = hop("a2", second)
        late = [strategy.lateness_us(event) for event in (first, beside, second, other, third)]
        assert late[:2] == [0, 0], "nothing had happened"
        assert all(0 <= us <= 7 for us in late)
        assert not late[2] or late[4], "what comes of something slow is slow"
        assert not (late[2] and late[3]), "one chain is slow"


def test_a_reversal_finds_the_one_race_that_matters_among_chains_of_others() -> None:
    """Depth 1: the two events at R the other way round, all else in order.  One of 12 races, in every second run."""
    forest: Forest = {f"m#{n}": ("R" if n in (3, 17) else f"N{n % 9}", None) for n in range(20)}
    rest = [label for label in forest if label != "m#3"]

    def only_that_pair(order: list[str]) -> bool:
        return order.index("m#17") < order.index("m#3") and [label for label in order if label != "m#3"] == rest

    assert sum(map(len, profile(forest).run.races)) == 12
    assert share("reversal", forest, only_that_pair, 24) >= 1 / 24
    assert share("random", forest, only_that_pair) == 0


def staged(order: list[str]) -> Forest:
    """Three stages, each a race that a message over six relays must win; only then does the next one begin."""
    forest: Forest = {}
    parent = None
    for stage in "abc":
        forest |= {f"direct-{stage}#0": ("R", parent), **chain(f"relay-{stage}", ["N"] * 6 + ["R"], parent)}
        direct, relayed = f"direct-{stage}#0", f"relay-{stage}#6"
        if relayed not in order or (direct in order and order.index(direct) < order.index(relayed)):
            break
        parent = relayed
    return forest


def schedules_needed(name: str, base: int, most: int) -> int:
    """Until the third stage is won."""
    corpus, known = Corpus(), profile(staged([]))
    for nth in range(most):
        strategy = make_strategy(name, random.Random(f"{base}/{nth}"), profile=known, turn=nth, corpus=corpus)
        noted = Noted(strategy)
        order = play(staged, noted)
        corpus.take(noted.sighting([(staged(order)[label][0], label) for label in order]))
        if "relay-c#6" in order and order.index("relay-c#6") < order.index("direct-c#0"):
            return nth
    return most


def test_feedback_climbs_where_a_rare_order_is_behind_a_rare_order() -> None:
    """A walk gets there once in 2^21 schedules."""
    needed = sorted(schedules_needed("feedback", base, 6000) for base in range(9))
    assert needed[4] < 4000
    assert schedules_needed("random", 0, 6000) == 6000


def test_an_unfair_strategy_gives_way_in_the_end() -> None:
    """After its picks everything goes in order, so that what is missing then is missing for good."""
    forest: Forest = {f"m#{n}": ("R", None) for n in range(40)}
    order = play(forest, FairInTheEnd(make_strategy("random", random.Random(1)), 10))
    assert order[10:] == sorted(order[10:], key=lambda label: int(label[2:]))
    assert order[:10] != sorted(order[:10], key=lambda label: int(label[2:]))


@pytest.mark.parametrize("name", PORTFOLIO)
def test_every_strategy_plays_every_event_once_and_the_same_again(name: str) -> None:
    forest = {**RELAYED, **chain("more", ["R", "S", "R"], "relay#3"), "late#0": ("S", "more#2")}
    orders = [play(forest, make_strategy(name, random.Random(7), profile=profile(forest))) for _ in range(2)]
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == sorted(forest)


def test_no_prefix_of_a_budget_lacks_a_strategy_for_long() -> None:
    assert len(set(PORTFOLIO)) == len(PORTFOLIO)
    assert set(NAMES) == {"fifo", *PORTFOLIO}
    with pytest.raises(UsageError, match="'best'"):
        make_strategy("best", random.Random(0))


@given(st.lists(st.integers(0, 20), max_size=30))
def test_chains_partition_the_events_and_each_brings_about_the_next(parents: list[int]) -> None:
    """Every event is in one chain, and in a chain each was made during the one before it."""
    chains, members = Chains(), {}
    events = [Event(f"e#{n}", ACTOR, lambda: None, receiver="R") for n in range(len(parents) + 1)]
    made_by = [None, *(min(parent, n) for n, parent in enumerate(parents))]
    by_parent: dict[int | None, list[int]] = {}
    for n, parent in enumerate(made_by):
        by_parent.setdefault(parent, []).append(n)
    todo = [0]
    members[chains.of(events[0])] = [0]
    while todo:
        now = todo.pop(0)
        chains.happens(events[now])
        for child in by_parent.get(now, ()):
            members.setdefault(chains.of(events[child]), []).append(child)
            todo.append(child)
    assert sum(map(len, members.values())) == len(events)
    assert len(members) == chains.count
    for chain_ in members.values():
        assert all(made_by[later] == earlier for earlier, later in pairwise(chain_))


def test_a_profile_weighs_events_by_what_comes_of_them_and_unknown_ones_by_their_kind() -> None:
    forest = {**chain("a>b", "NNN"), "c>d#0": ("M", None), "x#0": ("M", "c>d#0")}
    weights = profile(forest).weights()
    assert [weights.of(label) for label in ("a>b#0", "a>b#2", "c>d#0")] == [3, 1, 2]
    assert weights.of("c>d#17") == 2
    assert weights.of("unheard of") == 1
    assert kind_of("alice.tab1~0^12") == "alice.tab#~#^#"
    assert profile(forest).weights(lambda receiver: receiver == "M").of("a>b#0") == 0


def test_a_slow_chain_is_not_so_slow_that_an_object_hibernates_meanwhile() -> None:
    """LC-14: what is in memory is lost by a fault, or where time really passes, and not because all is slow."""
    for seed in range(40):
        strategy = SlowChain(random.Random(seed), profile({"e0": ("r", None)}))
        late_us = 0
        for n in range(20):
            event = Event(f"e{n}", ACTOR, lambda: None, receiver="r", delay_limit_us=2_000_000)
            strategy.created(event)
            late_us += strategy.lateness_us(event)
            strategy.happens(event)
        assert 0 < late_us < 10_000_000
