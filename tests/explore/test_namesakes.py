"""Namesakes: an event is the same in two runs if it comes of the same one, whatever its number."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from lumenize_sim.explore.namesakes import namesakes
from lumenize_sim.explore.profile import Noting


def run(**made: str) -> Noting:
    """A run that made these events, each with what it came of; named as identifiers can be."""
    labels = {label.replace("_", ">").replace("N", "#"): cause for label, cause in made.items()}
    causes = {label: cause for label, cause in labels.items() if cause}
    return cast(Noting, SimpleNamespace(made=labels, parents=causes))


def test_a_message_that_is_not_answered_leaves_its_number_to_the_next_answer() -> None:
    there = run(A_BN0="", A_BN1="", B_AN0="A>B#0", B_AN1="A>B#1")
    here = run(A_BN0="", A_BN1="", B_AN0="A>B#1")
    assert namesakes(there, here) == {"A>B#0": "A>B#0", "A>B#1": "A>B#1", "B>A#0": "B>A#1"}


def test_what_comes_of_renamed_events_is_renamed_too() -> None:
    there = run(A_BN0="", A_BN1="", B_CN0="A>B#0", B_CN1="A>B#1", C_DN0="B>C#0", C_DN1="B>C#1")
    here = run(A_BN0="", A_BN1="", B_CN0="A>B#1", C_DN0="B>C#0")
    assert namesakes(there, here)["C>D#0"] == "C>D#1"


def test_what_was_not_made_in_the_other_run_has_no_namesake() -> None:
    assert namesakes(run(A_BN0=""), run(A_BN0="", A_CN0="", B_AN0="A>B#0")) == {"A>B#0": "A>B#0"}


@given(st.lists(st.tuples(st.integers(-1, 8), st.sampled_from("ABC")), max_size=9))
def test_in_the_same_run_each_event_is_its_own_namesake(events: list[tuple[int, str]]) -> None:
    made: dict[str, str] = {}
    for n, (cause, actor) in enumerate(events):
        labels = list(made)
        made[f"{actor}>D#{n}"] = labels[cause] if 0 <= cause < n else ""
    causes = {label: cause for label, cause in made.items() if cause}
    same = cast(Noting, SimpleNamespace(made=made, parents=causes))
    assert namesakes(same, same) == {label: label for label in made}
