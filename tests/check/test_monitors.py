from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim.check.monitors import MonitorResult, MonitorState, Outcome, merge
from lumenize_sim.errors import UsageError

modes = ("always", "eventually", "sometimes")


def run(mode: str, answers: list[bool]) -> MonitorResult:
    state = MonitorState("m", mode)  # type: ignore[arg-type]  # one of the three
    for n, answer in enumerate(answers):
        state.observe(answer, n, n * 1000, f"note {n}")
    return state.result()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_outcomes_follow_the_table(answers: list[bool]) -> None:
    assert (run("always", answers).outcome == "holds") is all(answers)
    assert (run("eventually", answers).outcome == "holds") is answers[-1]
    assert (run("sometimes", answers).outcome == "holds") is any(answers)
    assert not run("sometimes", answers).failed


def test_deciding_observation_is_kept() -> None:
    assert run("always", [True, False, False]).n == 1
    assert run("eventually", [False, True, False]).n == 2
    assert run("sometimes", [False, True, True]).n == 1
    text = str(run("always", [True, False]))
    assert text == "always 'm': violated after 2 observations, decided at record 1 (1.000 ms): note 1"


def test_only_a_broken_always_may_stop_the_run() -> None:
    assert MonitorState("m", "always").observe(False)
    assert not MonitorState("m", "always").observe(True)
    assert not MonitorState("m", "eventually").observe(False)
    assert not MonitorState("m", "sometimes").observe(False)


def test_monitor_that_was_never_asked_proves_nothing() -> None:
    for mode in modes:
        result = run(mode, [])
        assert (result.outcome, result.failed, result.n) == ("unobserved", False, -1)
        assert str(result) == f"{mode} 'm': unobserved after 0 observations"


def test_unknown_mode_names_the_choices() -> None:
    with pytest.raises(UsageError, match="'never' is unknown: choose one of always, eventually, sometimes"):
        MonitorState("m", "never")  # type: ignore[arg-type]  # the mistake under test


@pytest.mark.parametrize(
    "mode, outcomes, together",
    [
        ("always", ["holds", "violated", "holds"], "violated"),
        ("always", ["unobserved", "holds"], "holds"),
        ("eventually", ["violated", "holds"], "violated"),
        ("sometimes", ["unreached", "holds"], "holds"),
        ("sometimes", ["unobserved", "unreached"], "unreached"),
    ],
)
def test_many_runs_become_one_result(mode: str, outcomes: list[Outcome], together: str) -> None:
    results = [
        MonitorResult("m", mode, outcome, 2, n)  # type: ignore[arg-type]  # one of the three
        for n, outcome in enumerate(outcomes)
    ]
    (merged,) = merge(results)
    assert (merged.outcome, merged.observations) == (together, 2 * len(outcomes))
    assert merged.n == outcomes.index(merged.outcome)
    assert merged.to_json()["outcome"] == together


def test_one_name_has_one_mode() -> None:
    with pytest.raises(UsageError, match="'m' is both always and sometimes"):
        merge([run("always", [True]), run("sometimes", [True])])
