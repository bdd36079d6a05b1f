"""Choices followed by what they are about, in a run whose places have moved."""

from __future__ import annotations

from lumenize_sim.kernel.anchors import AnchoredGuide
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.chooser import THE_END
from lumenize_sim.kernel.guided import GuidedChooser
from tests.kernel.test_chooser import agenda_of, event, run


def choice(label: str, pick: str, over: str) -> Choice:
    return Choice(label, 1, 2, 0, pick, over)


def followed(*choices: Choice, labels: list[str]) -> tuple[list[str], AnchoredGuide]:
    """What comes when all of ``labels`` are under way to one receiver, and the guide afterwards."""
    guide = AnchoredGuide(choices)
    return run(agenda_of(*map(event, labels)), GuidedChooser(guide)), guide


def test_a_choice_is_found_wherever_its_second_event_stands_now() -> None:
    """Its place was the first; an edit has put others before it."""
    order, guide = followed(choice("r#0", "b", "a"), labels=["new", "newer", "a", "b"])
    assert order == ["b", "new", "newer", "a"]
    assert [c.label for c in guide.followed] == ["r#0"]
    assert not guide.unmet


def test_two_choices_over_the_same_event_keep_their_order() -> None:
    """Each of them comes before it."""
    order, _ = followed(choice("r#0", "c", "a"), choice("r#1", "b", "a"), labels=["a", "b", "c"])
    assert order == ["c", "b", "a"]


def test_an_event_that_comes_first_by_itself_holds_nobody() -> None:
    """The code makes them in that order by now: the choice is neither made again nor waited for."""
    order, guide = followed(choice("r#0", "b", "a"), labels=["b", "a", "c"])
    assert order == ["b", "a", "c"]
    assert not guide.receivers()


def test_what_does_not_come_is_left_out() -> None:
    """Of either event."""
    for missing in (choice("r#0", "gone", "a"), choice("r#0", "a", "gone"), choice("r#0", THE_END, "a")):
        order, guide = followed(missing, labels=["a", "b"])
        assert order == ["a", "b"]
        assert list(guide.unmet) == ["r#0"]


def test_a_choice_whose_second_event_was_called_off_is_found_by_its_place() -> None:
    """It has no other name."""
    order, _ = followed(choice("r#1", "c", ""), labels=["a", "b", "c"])
    assert order == ["a", "c", "b"]


def test_a_choice_far_behind_its_place_is_given_up() -> None:
    """So that a strategy may go on from there."""
    labels = [f"e{n}" for n in range(100)]
    order, guide = followed(choice("r#3", "x", "y"), labels=labels)
    assert order == labels
    assert not guide.receivers()


def test_lateness_is_matched_by_the_label_of_the_message() -> None:
    late = Choice("m@delay", 3, 6, 0, "3 us")
    assert AnchoredGuide([late]).late == {"m": 3}
