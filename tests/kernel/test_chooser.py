"""Choosers: what a strategy may pick, what a guide holds, and which choices that turns out to need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim.errors import SimulatorError
from lumenize_sim.kernel.agenda import Agenda
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.chooser import TIME_STEP, Diverged, FreeChooser
from lumenize_sim.kernel.event import Event
from lumenize_sim.kernel.guide import OrderGuide, TapeGuide, orders_of
from lumenize_sim.kernel.guided import GuidedChooser

ACTOR: Any = None


class Scripted:
    """A strategy that picks by a list of indices."""

    def __init__(self, picks: Iterable[int]) -> None:
        self.picks = iter(picks)
        self.asked: list[tuple[list[str], bool]] = []

    def created(self, event: Event) -> None:
        """Nothing to prepare."""

    def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
        self.asked.append(([e.label for e in enabled], time_step))
        return next(self.picks)


def agenda_of(*events: Event) -> Agenda:
    agenda = Agenda()
    for e in events:
        agenda.stamp(e)
        agenda.enable(e)
    return agenda


def event(label: str, receiver: str | None = "r", limit_us: int = 0) -> Event:
    return Event(label, ACTOR, lambda: None, receiver=receiver, delay_limit_us=limit_us)


def timer(agenda: Agenda, due_us: int) -> None:
    made = event("timer")
    agenda.stamp(made)
    agenda.wait(made, due_us)


# -- free ---------------------------------------------------------------------------


def test_a_strategy_is_asked_only_where_there_is_something_to_choose() -> None:
    strategy = Scripted([1])
    chooser = FreeChooser(strategy)
    agenda = agenda_of(event("a"), event("b"))
    assert [chooser.pick(agenda), chooser.pick(agenda), chooser.pick(agenda)][2] is None
    assert chooser.log == [("r", "b"), ("r", "a")]
    assert strategy.asked == [(["a", "b"], False)]
    assert not chooser.stuck(agenda)


@pytest.mark.parametrize(
    "limits, due_us, allowed",
    [((10,), 10, True), ((10,), 11, False), ((10, 0), 5, False), ((10, 20), 10, True), ((10, 20), 15, False)],
)
def test_time_may_pass_only_over_messages_that_may_all_be_that_slow(
    limits: tuple[int, ...], due_us: int, allowed: bool
) -> None:
    """A 30 s timeout beats a message only where its link may be that slow; nothing local is ever late."""
    agenda = agenda_of(*(event(str(nth), limit_us=limit) for nth, limit in enumerate(limits)))
    timer(agenda, due_us)
    strategy = Scripted([0])
    FreeChooser(strategy).pick(agenda)
    assert [step for _, step in strategy.asked] == ([allowed] if allowed or len(limits) > 1 else [])


def test_a_step_of_time_makes_every_message_late_until_the_timer() -> None:
    agenda = agenda_of(event("a", limit_us=10), event("b", "q", limit_us=20))
    timer(agenda, 7)
    chooser = FreeChooser(Scripted([2, 0, 0, 0]))
    assert chooser.pick(agenda) is TIME_STEP
    assert repr(TIME_STEP) == "TIME_STEP"
    assert agenda.enabled == []
    assert chooser.late == {"a": 7, "b": 7}
    agenda.advance(7)
    assert [e.label for e in agenda.enabled] == ["timer", "a", "b"]


def test_only_a_strategy_with_latencies_makes_messages_late_on_their_way() -> None:
    """The timed model draws; the asynchronous one lets order be the choice."""

    class Timed(Scripted):
        def lateness_us(self, e: Event) -> int:
            return 5 if e.label == "slow" else 0

    chooser = FreeChooser(Timed([]))
    assert [chooser.lateness_us(e) for e in (event("slow", limit_us=9), event("fast", limit_us=9), event("local"))] == [
        5,
        0,
        0,
    ]
    assert chooser.late == {"slow": 5}
    assert FreeChooser(Scripted([])).lateness_us(event("slow", limit_us=9)) == 0


# -- guided -------------------------------------------------------------------------


def run(agenda: Agenda, chooser: GuidedChooser, follow: dict[str, Callable[[], Event]] | None = None) -> list[str]:
    """Deliver everything; ``follow`` maps a label to an event that it creates."""
    done: list[str] = []
    while agenda.enabled:
        picked = chooser.pick(agenda)
        if picked is None:
            assert chooser.stuck(agenda)
            continue
        assert isinstance(picked, Event)
        done.append(picked.label)
        if follow and picked.label in follow:
            made = follow[picked.label]()
            agenda.stamp(made)
            agenda.enable(made)
    return done


def test_without_a_guide_it_is_first_come_first_served_and_nothing_is_written() -> None:
    chooser = GuidedChooser()
    assert run(agenda_of(event("a"), event("b"), event("c", None)), chooser) == ["a", "b", "c"]
    assert chooser.choices == []
    assert chooser.log == [("r", "a"), ("r", "b"), (None, "c")]
    assert chooser.pick(Agenda()) is None
    assert chooser.lateness_us(event("a", limit_us=5)) == 0
    assert not chooser.stuck(Agenda())


def test_an_order_that_is_first_come_first_served_anyway_needs_no_choice() -> None:
    """Picks that reverse no race are not written."""
    chooser = GuidedChooser(OrderGuide({"r": ["a", "b"], "q": ["c"]}))
    assert run(agenda_of(event("a"), event("c", "q"), event("b")), chooser) == ["a", "c", "b"]
    assert chooser.choices == []


def test_a_reversed_race_is_one_choice_that_names_both() -> None:
    chooser = GuidedChooser(OrderGuide({"r": ["b", "a"]}, whole=False))
    assert run(agenda_of(event("a"), event("c", "q"), event("b")), chooser) == ["c", "b", "a"]
    (choice,) = chooser.choices
    assert (choice.label, choice.value, choice.bound, choice.pick, choice.over) == ("r#0", 1, 2, "b", "a")


def test_a_receiver_is_held_until_the_wanted_event_exists() -> None:
    """A direct message overtaken by one through a relay: the pick is not enabled when the race begins."""
    agenda = agenda_of(event("direct", "b"), event("ask", "relay"))
    chooser = GuidedChooser(OrderGuide({"b": ["relayed", "direct"], "relay": ["ask"]}))
    assert run(agenda, chooser, {"ask": lambda: event("relayed", "b")}) == ["ask", "relayed", "direct"]
    assert [c.label for c in chooser.choices] == ["b#0"]

    replayed = GuidedChooser(TapeGuide(chooser.choices))
    agenda = agenda_of(event("direct", "b"), event("ask", "relay"))
    assert run(agenda, replayed, {"ask": lambda: event("relayed", "b")}) == ["ask", "relayed", "direct"]
    assert replayed.choices == chooser.choices


def test_an_event_of_the_driver_takes_a_place_in_every_order() -> None:
    chooser = GuidedChooser(OrderGuide({"driver": ["d"], "r": ["d", "a"], "q": ["b", "d"]}))
    done = run(agenda_of(event("a"), event("d", None), event("b", "q")), chooser)
    assert done == ["b", "d", "a"]
    assert [(c.label, c.pick, c.over) for c in chooser.choices] == [("q#0", "b", "d"), ("r#0", "d", "a")]


def test_younger_events_do_not_overtake_one_of_the_driver_that_is_held_elsewhere() -> None:
    """First come, first served at every receiver: holding q for b needs no word about r."""
    chooser = GuidedChooser(OrderGuide({"driver": ["d"], "r": ["d", "a"], "q": ["b", "d"]}))
    assert run(agenda_of(event("d", None), event("a"), event("b", "q")), chooser) == ["b", "d", "a"]
    assert [c.label for c in chooser.choices] == ["q#0"]
    replayed = GuidedChooser(TapeGuide(chooser.choices))
    assert run(agenda_of(event("d", None), event("a"), event("b", "q")), replayed) == ["b", "d", "a"]


def test_the_drivers_own_events_have_an_order_where_no_receiver_sees_them() -> None:
    chooser = GuidedChooser(OrderGuide(orders_of([(None, "d2"), (None, "d1"), ("r", "a")])))
    assert run(agenda_of(event("d1", None), event("a"), event("d2", None)), chooser) == ["d2", "d1", "a"]
    assert [(c.label, c.pick, c.over) for c in chooser.choices] == [("driver#0", "d2", "d1")]
    replayed = GuidedChooser(TapeGuide(chooser.choices))
    assert run(agenda_of(event("d1", None), event("a"), event("d2", None)), replayed) == ["d2", "d1", "a"]


def test_what_a_whole_run_did_not_deliver_waits_until_all_else_is_done() -> None:
    """A run that failed with messages under way must fail with them under way again."""
    chooser = GuidedChooser(OrderGuide({"r": ["a"], "q": ["b", "c"]}))
    agenda = agenda_of(event("a"), event("left", "r"), event("b", "q"))
    picked = [chooser.pick(agenda) for _ in range(2)]
    assert [e.label for e in picked if isinstance(e, Event)] == ["a", "b"]
    (end,) = chooser.choices
    assert (end.label, end.pick, end.over) == ("r#1", "the end", "left")
    assert end.describe() == "the end comes before left at r"

    tape = TapeGuide([end])
    replayed = GuidedChooser(tape)
    agenda = agenda_of(event("a"), event("left", "r"), event("b", "q"))
    assert [e.label for _ in range(2) if isinstance(e := replayed.pick(agenda), Event)] == ["a", "b"]
    assert replayed.choices == [end]
    assert replayed.pick(agenda) is None
    with pytest.raises(Diverged, match="nothing more to arrive before left; this run has left"):
        replayed.stuck(agenda)


def test_a_hold_is_written_even_where_what_it_held_back_was_called_off() -> None:
    """Otherwise the replay would deliver it before it is called off."""
    chooser = GuidedChooser(OrderGuide({"r": ["b"], "q": ["c"]}))
    agenda = agenda_of(event("a"), event("c", "q"))
    first = agenda.enabled[0]
    assert isinstance(chooser.pick(agenda), Event)
    agenda.cancel(first)
    late = event("b")
    agenda.stamp(late)
    agenda.enable(late)
    assert chooser.pick(agenda) is late
    (choice,) = chooser.choices
    assert (choice.label, choice.value, choice.bound, choice.over) == ("r#0", 0, 1, "")
    assert choice.describe() == "b comes next at r"


def test_a_wanted_event_that_never_comes_is_left_out() -> None:
    guide = OrderGuide({"r": ["gone", "b", "a"]})
    assert run(agenda_of(event("a"), event("b")), GuidedChooser(guide)) == ["b", "a"]
    assert guide.skipped == [("r", "gone")]


def test_a_held_event_of_the_driver_lets_go_of_whoever_holds_it() -> None:
    guide = OrderGuide({"q": ["d"], "r": ["gone", "d"]})
    assert run(agenda_of(event("d", None)), GuidedChooser(guide)) == ["d"]
    assert guide.skipped == [("r", "gone")]


def test_a_strict_replay_stops_where_the_wanted_event_does_not_come() -> None:
    choice = Choice("r#0", 1, 2, 0, "b", "a")
    chooser = GuidedChooser(TapeGuide([choice]))
    alone = event("a")
    alone.where = "app.py:3"
    agenda = agenda_of(alone)
    assert chooser.pick(agenda) is None
    with pytest.raises(Diverged, match=r"at r#0: the tape expects b to come first of 2 .*; this run has a") as caught:
        chooser.stuck(agenda)
    assert caught.value.where == "app.py:3"
    assert (caught.value.at, caught.value.found) == ("r#0", "a")


@pytest.mark.parametrize("labels", [["a", "x"], ["a", "b", "c"]])
def test_a_strict_replay_stops_before_other_alternatives(labels: list[str]) -> None:
    """Other labels have another key, and more of them another bound."""
    recorded = GuidedChooser(OrderGuide({"r": ["b", "a"]}))
    run(agenda_of(event("a"), event("b")), recorded)
    chooser = GuidedChooser(TapeGuide(recorded.choices))
    agenda = agenda_of(*map(event, labels))
    assert chooser.pick(agenda) is None
    with pytest.raises(Diverged, match="r#0"):
        chooser.stuck(agenda)


def test_a_lenient_replay_matches_by_label_and_leaves_out_what_does_not_come() -> None:
    choices = [Choice("r#0", 1, 2, 0, "b", "a"), Choice("r#1", 1, 2, 0, "gone", "a")]
    guide = TapeGuide(choices, strict=False)
    assert run(agenda_of(event("a"), event("x"), event("b")), GuidedChooser(guide)) == ["b", "a", "x"]
    assert list(guide.unmet) == []
    assert list(guide.receivers()) == []


def test_lateness_comes_from_the_guide_and_is_a_choice() -> None:
    guide = OrderGuide({}, {"m": 3})
    chooser = GuidedChooser(guide)
    assert [chooser.lateness_us(e) for e in (event("m", limit_us=5), event("n", limit_us=5), event("m"))] == [3, 0, 0]
    assert [(c.label, c.value, c.bound) for c in chooser.choices] == [("m@delay", 3, 6)]
    assert chooser.late == {"m": 3}
    assert TapeGuide(chooser.choices).late == {"m": 3}


def test_a_guide_that_holds_nothing_and_yet_stops_everything_is_our_fault() -> None:
    chooser = GuidedChooser(OrderGuide({}))
    with pytest.raises(SimulatorError, match="nothing holds a"):
        chooser.stuck(agenda_of(event("a")))


def test_a_guide_without_words_of_its_own_is_described_by_the_label() -> None:
    class Bare(OrderGuide):
        strict = True

    chooser = GuidedChooser(Bare({"r": ["b"]}))
    agenda = agenda_of(event("a"))
    assert chooser.pick(agenda) is None
    with pytest.raises(Diverged, match="the tape expects b; this run has a"):
        chooser.stuck(agenda)


def test_orders_count_the_drivers_events_for_receivers_that_appear_later() -> None:
    log = [(None, "d0"), ("r", "a"), (None, "d1"), ("q", "b"), ("r", "c")]
    assert orders_of(log) == {"r": ["d0", "a", "d1", "c"], "q": ["d0", "d1", "b"], "driver": ["d0", "d1"]}


Program = dict[str, tuple[str | None, list[str]]]


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Events that create events: label to receiver and what its turn creates."""
    size = draw(st.integers(2, 9))
    made: Program = {}
    for nth in range(size):
        made[f"e{nth}"] = (draw(st.sampled_from(["p", "q", "r", None])), [])
    for nth in range(1, size):
        parent = draw(st.none() | st.integers(0, nth - 1))
        if parent is not None:
            made[f"e{parent}"][1].append(f"e{nth}")
    return made


def roots(program: Program) -> list[str]:
    children = {child for _, made in program.values() for child in made}
    return [label for label in program if label not in children]


def execute(program: Program, pick: Callable[[Agenda], Event | None], until: int = 1000) -> None:
    agenda = agenda_of(*(event(label, program[label][0]) for label in roots(program)))
    steps = 0
    while agenda.enabled and steps < until:
        picked = pick(agenda)
        if picked is not None:
            steps += 1
            for child in program[picked.label][1]:
                made = event(child, program[child][0])
                agenda.stamp(made)
                agenda.enable(made)


def guided(program: Program, guide: OrderGuide | TapeGuide, until: int = 1000) -> GuidedChooser:
    chooser = GuidedChooser(guide)

    def pick(agenda: Agenda) -> Event | None:
        picked = chooser.pick(agenda)
        if picked is None:
            assert chooser.stuck(agenda)
        return picked if isinstance(picked, Event) else None

    execute(program, pick, until)
    return chooser


@settings(max_examples=300)
@given(programs(), st.randoms(use_true_random=False), st.integers(1, 12))
def test_any_roaming_order_becomes_a_tape_that_replays_it_strictly(program: Program, draw: Any, until: int) -> None:
    """The heart: orders per receiver lead to the same orders; the sparse choices alone do so again, event by event."""

    class Walk(Scripted):
        def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
            index: int = draw.randrange(len(enabled))
            return index

    free = FreeChooser(Walk([]))
    execute(program, lambda agenda: picked if isinstance(picked := free.pick(agenda), Event) else None, until)

    canonical = guided(program, OrderGuide(orders_of(free.log)), until)
    assert orders_of(canonical.log) == orders_of(free.log)
    tape = TapeGuide(canonical.choices)
    replayed = guided(program, tape, until)
    assert replayed.log == canonical.log
    assert replayed.choices == canonical.choices
    assert all(choice.pick == "the end" for choice in tape.unmet.values())
    lenient = guided(program, TapeGuide(canonical.choices, strict=False), until)
    assert lenient.log == canonical.log
