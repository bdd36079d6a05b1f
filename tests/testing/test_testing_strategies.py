"""`simulations`: Hypothesis draws plans for whole runs, and shrinks them towards none."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis.errors import NoSuchExample, UnsatisfiedAssumption

from lumenize_sim import RESULT, Faults, LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, UsageError, mesh, scenario
from lumenize_sim.explore import replay
from lumenize_sim.kernel.tape import Tape
from lumenize_sim.testing import Simulation, check, simulations
from lumenize_sim.testing.census import fault_choice, late_choice, order_choice, take_census
from lumenize_sim.world.options import Network, WorldOptions
from lumenize_sim.world.scenario import Scenario

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "lumenize_sim.testing.plugin"
INSTALLED = any(entry.value == PLUGIN for entry in entry_points(group="pytest11"))
QUICK = settings(max_examples=150, deadline=None, database=None, derandomize=True)


class Rates(LumenizeWorker):
    """What a click is worth."""

    @mesh
    def current(self) -> int:
        return 1


class Board(LumenizeDO):
    """Keeps the last line, and counts."""

    @mesh
    def put(self, who: str) -> None:
        self.ctx.storage.kv.put("who", who)

    @mesh
    async def add(self) -> int:
        rate = await self.lmz.call_raw("RATES", None, self.ctn(Rates).current())
        n: int = self.ctx.storage.kv.get("n", 0)
        self.ctx.storage.kv.put("n", n + rate)
        return n + rate

    @mesh
    async def add_carelessly(self) -> int:
        n: int = self.ctx.storage.kv.get("n", 0)
        rate = await self.lmz.call_raw("RATES", None, self.ctn(Rates).current())
        self.ctx.storage.kv.put("n", n + rate)
        return n + rate


class Tab(LumenizeClient):
    """A page."""

    answers: tuple[object, ...] = ()

    def put(self) -> None:
        self.lmz.call("BOARD", "b", self.ctn(Board).put(self.lmz.instance_name))

    def add(self, careless: bool = False) -> None:
        board = self.ctn(Board)
        self.lmz.call("BOARD", "b", board.add_carelessly() if careless else board.add(), self.ctn().on_answer(RESULT))

    def on_answer(self, answer: int | Exception) -> None:
        self.answers = (*self.answers, answer)


app = Mesh(bindings={"BOARD": Board, "RATES": Rates})


async def _two(world: Any) -> tuple[Tab, Tab]:
    return await world.connect(Tab, sub="alice"), await world.connect(Tab, sub="bob")


def _kept(world: Any, key: str) -> Any:
    return world.object("BOARD", "b").storage.kv.get(key)


@scenario(app)
async def last_wins(world: Any) -> None:
    """Wrong: bob wrote later, and it is not his line that must stay."""
    alice, bob = await _two(world)
    alice.put()
    bob.put()
    await world.settle()
    assert _kept(world, "who") == "bob.tab1"


@scenario(app)
async def adds(world: Any) -> None:
    """Right."""
    alice, bob = await _two(world)
    alice.add()
    bob.add()
    await world.settle()
    assert _kept(world, "n") == 2


@scenario(app)
async def careless(world: Any) -> None:
    """Wrong already in order."""
    alice, bob = await _two(world)
    alice.add(careless=True)
    bob.add(careless=True)
    await world.settle()
    assert _kept(world, "n") == 2


@scenario(app, faults=Faults(kinds=("lost-call", "crash"), at_most=2))
async def answered(world: Any) -> None:
    """Wrong where a call may be lost."""
    alice = await world.connect(Tab, sub="alice")
    alice.add()
    await world.settle()
    assert alice.answers == (1,)


def smallest(strategy: Any, *, holds: Callable[[Simulation], bool] = lambda sim: sim.failure is not None) -> Simulation:
    """What Hypothesis shrinks to."""
    found = find(strategy, holds, settings=settings(QUICK, max_examples=400))
    assert isinstance(found, Simulation)
    return found


# -- what is drawn, and where it shrinks to ---------------------------------------------------


def test_a_failure_that_needs_no_deviation_shrinks_to_none() -> None:
    sim = smallest(simulations(careless))
    assert sim.plan == ()
    assert repr(sim) == "planned(careless)"


def test_a_race_shrinks_to_the_one_deviation_that_it_needs() -> None:
    sim = smallest(simulations(last_wins))
    [choice] = sim.plan
    assert choice.kind in ("order", "delay")
    assert len(sim.choices) == 1
    assert re.match(r"planned\(last_wins, (before|late)\(", repr(sim))


def test_a_fault_shrinks_to_the_mildest_one() -> None:
    sim = smallest(simulations(answered, schedules=0))
    [choice] = sim.plan
    assert (choice.kind, choice.value) == ("fault", 1)


def test_lateness_shrinks_to_the_least_that_still_fails() -> None:
    late = smallest(simulations(last_wins), holds=lambda sim: any(c.kind == "delay" for c in sim.choices))
    [choice] = late.plan
    assert choice.value == 1000, "one millisecond, in microseconds"


def test_without_deviations_and_faults_there_is_one_simulation() -> None:
    with pytest.raises(NoSuchExample):
        find(simulations(last_wins, schedules=0), lambda sim: bool(sim.plan), settings=QUICK)


def test_faults_and_options_may_be_given_instead_of_the_scenarios_own() -> None:
    with pytest.raises(NoSuchExample):
        find(simulations(answered, faults=Faults()), lambda sim: sim.failure is not None, settings=QUICK)
    options = WorldOptions(network=Network(max_delay_s=0))
    with pytest.raises(NoSuchExample):
        find(simulations(adds, options=options), lambda sim: any(c.kind == "delay" for c in sim.plan), settings=QUICK)


@given(simulations(adds, faults=Faults(kinds=("hibernate",))))
@settings(QUICK, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_right_survives_every_plan(sim: Simulation) -> None:
    assert sim.check() is sim
    assert sim.failure is None


@given(simulations(answered))
@settings(QUICK, max_examples=60)
def test_the_recorded_run_is_the_one_that_was_judged(sim: Simulation) -> None:
    """The tape holds what the run needed, and replays strictly."""
    assert sim.run.outcome.kind == sim.outcome.kind
    assert sim.run.tape.choices == sim.choices
    again = replay(sim.run.tape, scenario=answered)
    assert (again.outcome.kind, again.digest) == (sim.outcome.kind, sim.trace.digest)


def test_a_simulation_runs_once_and_only_when_asked() -> None:
    runs = []

    async def drive(world: Any) -> None:
        runs.append(1)

    sim = Simulation(attrs.evolve(adds, drive=drive), (), seed=0)
    assert runs == []
    assert sim.outcome is sim.outcome
    sim.check()
    assert runs == [1]


# -- the census ---------------------------------------------------------------------------------


def test_the_census_offers_only_what_can_overtake() -> None:
    census = take_census(last_wins, seed=0)
    [place] = census.places["BOARD/b"]
    assert "alice" in place.label
    assert [("bob" in rival) for rival in place.rivals] == [True]
    assert all(
        not rival.startswith("driver!settle") for found in census.places.values() for p in found for rival in p.rivals
    )
    assert set(census.late.values()) == {2000}
    assert census.boundaries == {}


def test_what_one_socket_carries_does_not_overtake() -> None:
    @scenario(app)
    async def twice(world: Any) -> None:
        alice = await world.connect(Tab, sub="alice")
        alice.put()
        alice.put()
        await world.settle()

    places = take_census(twice, seed=0).places
    frames = [p for p in places["LUMENIZE_CLIENT_GATEWAY/alice.tab1"] if p.label == "alice.tab1~0^0"]
    assert all("alice.tab1~0^1" not in place.rivals for place in frames)
    assert places["BOARD/b"], "two calls are two stubs, and those do overtake"


def test_nothing_overtakes_what_came_before_a_quiet_moment() -> None:
    @scenario(app)
    async def quietly(world: Any) -> None:
        alice, bob = await _two(world)
        alice.put()
        await world.settle()
        bob.put()

    assert "BOARD/b" not in take_census(quietly, seed=0).places


def test_the_census_counts_boundaries_of_the_wanted_kinds_and_targets() -> None:
    census = take_census(answered, seed=0)
    assert list(census.boundaries) == ["lost-call", "crash"]
    only = attrs.evolve(answered, faults=Faults(kinds=("crash", "half-open"), targets=("BOARD",)))
    assert {t for targets in take_census(only, seed=0).boundaries.values() for t in targets} == {"BOARD/b"}


def test_choices_of_a_plan_read_like_those_of_a_tape() -> None:
    [place] = take_census(last_wins, seed=0).places["BOARD/b"]
    assert order_choice(place, place.rivals[0]).describe() == f"{place.rivals[0]} comes before {place.label} at BOARD/b"
    assert late_choice("a~0^0", 3).describe() == "a~0^0 is 3 ms late"
    assert fault_choice("crash", "BOARD/b", 2, 1).describe() == "crash at BOARD/b, boundary 2"


# -- check ------------------------------------------------------------------------------------------


def test_check_raises_the_drivers_error_with_everything_known_as_its_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sim = Simulation(careless, (), seed=0)
    with pytest.raises(AssertionError) as caught:
        sim.check()
    [note] = caught.value.__notes__
    assert note.startswith("racing pair: BOARD/b ")
    assert "in order (first come, first served, nothing goes wrong)\nseed: 0\ntape: " in note
    tape = note.partition("tape: ")[2].partition("\n")[0]
    assert note.endswith(f"replay: lumenize-sim replay {tape}\nexample: @example(planned(careless))")
    assert replay(tape, scenario=careless).outcome.kind == "failed"


def test_failures_of_one_kind_share_a_tape_and_others_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lumenize_sim.testing.plugin.tape_folders", [tmp_path])
    [place] = take_census(last_wins, seed=0).places["BOARD/b"]
    for plan in (
        (order_choice(place, place.rivals[0]),),
        (order_choice(place, place.rivals[0]), late_choice(place.label, 9)),
    ):
        with pytest.raises(AssertionError):
            Simulation(last_wins, plan, seed=0).check()
    assert len(list(tmp_path.iterdir())) == 1

    async def other(world: Any) -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError):
        Simulation(attrs.evolve(last_wins, drive=other), (), seed=0).check()
    assert len(list(tmp_path.iterdir())) == 2


def test_several_choices_are_told_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lumenize_sim.testing.plugin.tape_folders", [tmp_path])
    [place] = take_census(last_wins, seed=0).places["BOARD/b"]
    order = order_choice(place, place.rivals[0])
    with pytest.raises(AssertionError) as caught:
        Simulation(last_wins, (late_choice("alice.tab1~0/open", 2), order), seed=0).check()
    note = caught.value.__notes__[0]
    assert "\nin order, except:\n" in note
    assert f"\n  {order.describe()}\n" in note
    assert "\n  alice.tab1~0/open is 2 ms late\n" in note


def test_a_scenario_that_cannot_be_imported_is_replayed_by_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lumenize_sim.testing.plugin.tape_folders", [tmp_path])

    @scenario(app)
    async def local(world: Any) -> None:
        raise AssertionError("no")

    with pytest.raises(AssertionError) as caught:
        Simulation(local, (), seed=0).check()
    assert "replay: replay('" in caught.value.__notes__[0]


def test_assume_in_a_driver_rejects_the_example() -> None:
    async def picky(world: Any) -> None:
        raise UnsatisfiedAssumption("what assume(False) raises")

    sim = Simulation(attrs.evolve(adds, drive=picky), (), seed=0)
    with pytest.raises(UnsatisfiedAssumption):
        sim.check()


def test_a_skip_in_a_driver_is_a_skip() -> None:
    async def skips(world: Any) -> None:
        pytest.skip("not here")

    with pytest.raises(pytest.skip.Exception):
        Simulation(attrs.evolve(adds, drive=skips), (), seed=0).check()


def test_state_outside_the_nodes_is_blamed_on_the_app() -> None:
    seen: list[int] = []

    async def remembers(world: Any) -> None:
        seen.append(1)
        assert len(seen) > 1

    with pytest.raises(UsageError, match="keeps state outside its nodes"):
        Simulation(attrs.evolve(adds, drive=remembers), (), seed=0).check()


def test_check_passes_a_run_through_and_tells_a_divergence() -> None:
    sim = Simulation(adds, (), seed=0)
    assert check(sim.run) is sim.run
    broken = attrs.evolve(sim.run.tape, digest="0" * 32)
    with pytest.raises(AssertionError, match="replay diverged at the digest"):
        check(replay(broken, scenario=adds))
    with pytest.raises(AssertionError) as caught:
        check(Simulation(careless, (), seed=0).run)
    assert caught.value.__notes__[0].endswith("seed: 0"), "there is no tape to name"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((careless.drive,), "simulations takes a scenario"),
        ((careless, -1), "schedules=-1: give the number"),
        ((careless, "many"), "schedules='many': give the number"),
    ],
)
def test_mistakes_are_told_when_the_strategy_is_made(arguments: tuple[Any, ...], message: str) -> None:
    target, *rest = arguments
    with pytest.raises(UsageError, match=message):
        simulations(target, **({"schedules": rest[0]} if rest else {}))


def test_names_of_the_room_that_do_not_exist_are_refused() -> None:
    import lumenize_sim.testing as room

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        room.nothing


# -- inside pytest -------------------------------------------------------------------------------------


def test_a_failing_property_prints_a_reproduction_that_can_be_pasted(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's profile and database apply; the last tape written is that of the smallest failure."""
    source = Path(__file__).read_text(encoding="utf-8")
    body = source.partition("class Rates")[2].partition("def smallest")[0]
    pytester.makepyfile(
        test_it="from typing import Any\n"
        "from hypothesis import given, settings\n"
        "from lumenize_sim import *\nfrom lumenize_sim.testing import simulations\n"
        "class Rates" + body + "\n\n@given(simulations(last_wins))\n@settings(deadline=None)\n"
        "def test_it(sim):\n    sim.check()\n"
    )
    pytester.makeconftest(
        "from hypothesis import settings\n"
        "settings.register_profile('mine', print_blob=True)\nsettings.load_profile('mine')\n"
    )
    args = ["-p", "no:benchmark", *(() if INSTALLED else ("-p", PLUGIN))]
    result = pytester.runpytest_inprocess(*args)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E*AssertionError: assert 'alice.tab1' == 'bob.tab1'",
            "E*in order, except: *",
            "E*tape: .lumenize/last_wins-*.tape",
            "E*replay: lumenize-sim replay .lumenize/last_wins-*.tape",
            "E*example: @example(planned(last_wins, *",
            "E*sim=planned(last_wins, *",
            "E*@reproduce_failure(*",
        ]
    )
    assert "lumenize_sim/testing" not in result.stdout.str().partition("Explanation:")[0]
    [tape] = Path(pytester.path, ".lumenize").glob("*.tape")
    assert len(Tape.read(tape).choices) == 1


def test_examples_are_replayed_from_the_database() -> None:
    from hypothesis.database import InMemoryExampleDatabase

    database = InMemoryExampleDatabase()
    tried: list[str] = []

    @given(simulations(last_wins))
    @settings(QUICK, database=database, derandomize=False, phases=[Phase.reuse, Phase.generate, Phase.shrink])
    def prop(sim: Simulation) -> None:
        tried.append(repr(sim))
        assert not sim.outcome.failed

    for _ in range(2):
        with pytest.raises(AssertionError):
            prop()
        smallest_yet = tried[-1]
        tried_before, tried[:] = list(tried), []
    assert tried_before[0] == smallest_yet, "the second time begins with what the first time ended with"


def test_a_scenario_is_a_scenario() -> None:
    assert isinstance(last_wins, Scenario)
