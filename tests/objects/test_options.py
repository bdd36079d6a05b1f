"""Options of the object machine: what decides a default, and what is refused."""

from __future__ import annotations

import pytest

from lumenize_sim.errors import UsageError
from lumenize_sim.objects.options import EXPLORED, FLAGS, MachineOptions


def test_each_runtime_has_a_compatibility_date_of_its_own() -> None:
    assert MachineOptions().compatibility_date == "2026-10-01"
    assert MachineOptions(runtime="workerd").compatibility_date == "2026-03-12"


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_is_on_from_its_date_on(name: str) -> None:
    since, off = FLAGS[name]
    assert MachineOptions(compatibility_date=since).flag(name)
    assert not MachineOptions(compatibility_date="2020-01-01").flag(name)
    assert MachineOptions(compatibility_date="2020-01-01", compatibility_flags=(name,)).flag(name)
    assert not MachineOptions(compatibility_date=since, compatibility_flags=(off,)).flag(name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"runtime": "node"},
        {"compatibility_date": "yesterday"},
        {"compatibility_date": 20260312},
        {"compatibility_flags": ("nodejs_compta",)},
        {"compatibility_flags": "delete_all_deletes_alarm"},
    ],
)
def test_what_is_no_option_is_refused_with_the_value(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=str(next(iter(wrong.values()))).strip("(),'")):
        MachineOptions(**wrong)  # type: ignore[arg-type]  # the mistake under test


def test_options_come_back_from_a_header() -> None:
    options = MachineOptions(
        runtime="workerd", reset_on_throw=EXPLORED, compatibility_flags=("delete_all_deletes_alarm",)
    )
    assert MachineOptions.from_json(options.to_json()) == options


def test_an_explored_option_is_decided_by_whoever_draws_and_zero_is_its_default() -> None:
    options = MachineOptions(reset_on_throw=EXPLORED, rpc_errors_wait=True)
    assert options.explored == {"reset_on_throw": 2}
    assert options.drawn(lambda name, bound: 0) == MachineOptions(rpc_errors_wait=True)
    assert options.drawn(lambda name, bound: bound - 1) == MachineOptions(rpc_errors_wait=True, reset_on_throw=True)
    assert MachineOptions().drawn(lambda name, bound: 1) == MachineOptions()
