"""The determinism check: planted leaks are found, named with their line, and told apart; what is clean stays clean."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lumenize_sim import UsageError, World, scenario, simulate
from lumenize_sim.explore import load_scenario
from lumenize_sim.explore.determinism import Divergence, check_determinism

DATA = Path(__file__).parent / "data" / "leaks.py"
SCENARIOS = Path(__file__).parents[2] / "scenarios"


def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("planted_leaks", DATA)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["planted_leaks"] = module
    spec.loader.exec_module(module)
    return module


LEAKS = _module().LEAKS
FAST = ("set_order", "module_counter")
#: Where the line of the method is.
LINES = DATA.read_text(encoding="utf-8").splitlines()


def complaint(name: str) -> str:
    """What the check did wrong about one leak; nothing where it was right."""
    expected = LEAKS[name]
    run = simulate(load_scenario(DATA, name))
    if expected.refused:
        return "" if expected.refused in run.outcome.message else f"not refused: {run.outcome.message!r}"
    if run.outcome.failed:
        return f"failed: {run.outcome.message}"
    found = check_determinism(run)
    if expected.virtual:
        return "" if found is None else f"not virtual: {found.message}"
    if found is None:
        return "not found"
    place = next(n for n, line in enumerate(LINES, 1) if expected.piece in line)
    if found.where != f"leaks.py:{place}":
        return f"not at line {place}: {found.message}"
    return "" if expected.reason in found.reason else f"another reason than {expected.reason!r}: {found.reason}"


@pytest.mark.parametrize("name", FAST)
def test_a_leak_is_found_and_named_with_its_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of them in the fast run."""
    assert complaint(name) == ""


@pytest.mark.slow
def test_at_least_nineteen_of_twenty_planted_leaks_are_caught(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reported with the line, refused by name, or virtual; never silent."""
    monkeypatch.setenv("TELLER_RATE", "7")
    wrong = {name: said for name in LEAKS if (said := complaint(name))}
    told = "\n  ".join([f"{len(LEAKS) - len(wrong)} of {len(LEAKS)} planted leaks caught", *map(str, wrong.items())])
    with capsys.disabled():
        sys.stdout.write(f"\n{told}\n")
    assert len(LEAKS) >= 20
    assert len(wrong) * 20 <= len(LEAKS), wrong


@pytest.mark.slow
@pytest.mark.parametrize("name", ["subscribe_race", "double_charge", "collab_editor", "login"])
def test_a_clean_app_passes_the_check(name: str) -> None:
    """No false alarm, with faults and with sockets."""
    assert check_determinism(simulate(load_scenario(SCENARIOS / f"{name}.py"), seed=3)) is None


def test_what_is_in_no_file_cannot_be_checked() -> None:
    run = simulate(load_scenario(DATA, "wall_clock"))

    @scenario(run.scenario.app)
    async def unfiled(world: World) -> None:
        pass

    import attrs

    with pytest.raises(UsageError, match="is not defined in a file"):
        check_determinism(simulate(attrs.evolve(unfiled, path=None)))


def test_a_divergence_says_who_what_and_where() -> None:
    found = Divergence("A/a", "reply x/r", "value 1", "value 2", "app.py:3", "it depends on the hash seed")
    assert found.message == (
        "reply x/r at A/a (app.py:3): value 1 in one run, value 2 in the other; it depends on the hash seed"
    )
