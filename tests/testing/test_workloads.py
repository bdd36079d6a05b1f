"""Workload, faults and schedule drawn together, and what they shrink to together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from lumenize_sim import RESULT, Faults, LumenizeClient, LumenizeDO, Mesh, UsageError, mesh, scenario
from lumenize_sim.testing import (
    Pause,
    Simulation,
    Step,
    Workload,
    before,
    deviations,
    fault,
    faults,
    late,
    planned,
    simulations,
    workloads,
)

pytest_plugins = ["pytester"]

QUICK = settings(
    deadline=None, database=None, print_blob=False, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


class Board(LumenizeDO):
    """Keeps lines, and what was said last."""

    @mesh
    def put(self, line: str) -> int:
        kv = self.ctx.storage.kv
        kv.put("lines", [*kv.get("lines", []), line])
        return len(kv.get("lines"))

    @mesh
    def clear(self) -> None:
        self.ctx.storage.kv.put("lines", [])


class Tab(LumenizeClient):
    """A page."""

    answers: tuple[object, ...] = ()

    def put(self, line: str) -> None:
        self.lmz.call("BOARD", "b", self.ctn(Board).put(line), self.ctn().on_answer(RESULT))

    def clear(self) -> None:
        self.lmz.call("BOARD", "b", self.ctn(Board).clear())

    def on_answer(self, answer: object) -> None:
        self.answers = (*self.answers, answer)


app = Mesh(bindings={"BOARD": Board})
NOTHING = Workload(Tab)
LINES = st.sampled_from(["a", "b", "c"])
WORK = workloads(Tab, {Tab.put: [LINES], "clear": []}, at_most=5)


def lines_of(world: Any) -> list[str]:
    lines: list[str] = world.object("BOARD", "b").storage.kv.get("lines") or []
    return lines


def sent(workload: Workload) -> list[str]:
    """What is on the board if everything arrives in the order of the steps."""
    lines: list[str] = []
    for step in workload.steps:
        if isinstance(step, Step):
            lines = [] if step.method == "clear" else [*lines, *step.args]
    return lines


@scenario(app)
async def in_order(world: Any, workload: Workload = NOTHING) -> None:
    """Wrong: calls may overtake."""
    await workload.run(world)
    await world.settle()
    assert lines_of(world) == sent(workload)


@scenario(app, faults=Faults(kinds=("crash", "lost-call", "evict"), at_most=2))
async def answered(world: Any, workload: Workload = NOTHING) -> None:
    """Wrong where an answer is lost; needs somebody who asks, and a fault."""
    clients = await workload.run(world)
    await world.settle()
    for name, client in clients.items():
        asked = [step for step in workload.steps if isinstance(step, Step) and step == Step(name, "put", step.args)]
        assert len([answer for answer in client.answers if isinstance(answer, int)]) == len(asked)


@scenario(app, faults=Faults(kinds=("lost-call",), at_most=1))
async def asks(world: Any) -> None:
    tab = await world.connect(Tab, sub="alice")
    tab.put("a")
    tab.put("b")
    await world.settle()
    assert tab.answers == (1, 2)


def smallest(strategy: Any, holds: Any = lambda sim: sim.outcome.failed, many: int = 600) -> Any:
    return find(strategy, holds, settings=settings(QUICK, max_examples=many))


# -- what it shrinks to --------------------------------------------------------------------------


@pytest.mark.slow
def test_an_overtaking_shrinks_to_two_steps_and_one_deviation() -> None:
    sim = smallest(simulations(in_order, workload=WORK))
    assert len(sim.workload.steps) == 2
    assert len(sim.plan) == 1
    assert {step.client for step in sim.workload.steps} == {"alice"} or len(sim.plan) == 1


@pytest.mark.slow
def test_a_lost_answer_shrinks_to_one_step_and_one_fault() -> None:
    """Workload, faults and schedule at once: what is left is one of each that matters."""
    sim = smallest(simulations(answered, workload=WORK))
    assert sim.workload.steps == (Step("alice", "put", ("a",)),)
    assert [choice.kind for choice in sim.plan if "flushes" not in choice.label] == ["fault"]


def test_the_simplest_workload_does_nothing() -> None:
    assert find(WORK, lambda _: True, settings=QUICK) == Workload(Tab)
    sim = find(simulations(in_order, workload=WORK), lambda _: True, settings=QUICK)
    assert repr(sim) == "planned(in_order, workload=Workload(Tab))"


# -- pasting -------------------------------------------------------------------------------------


def pasted(text: str) -> Simulation:
    sim = eval(text, globals())
    assert isinstance(sim, Simulation)
    return sim


@given(simulations(answered, workload=WORK))
@settings(QUICK, max_examples=30)
def test_what_is_printed_can_be_pasted_and_is_the_same_simulation(sim: Simulation) -> None:
    again = pasted(repr(sim))
    assert again.plan == sim.plan
    assert again.workload == sim.workload
    assert again.seed == sim.seed
    assert repr(again) == repr(sim)
    assert again.outcome.signature == sim.outcome.signature


def test_an_example_is_printed_below_a_failure_and_fails_where_it_is_pasted() -> None:
    work = Workload(Tab, Step("alice", "put", ("a",)))
    sim = next(sim for sim in _lost_calls(work) if sim.outcome.failed)
    with pytest.raises(AssertionError) as caught:
        sim.check()
    line = caught.value.__notes__[0].splitlines()[-1]
    assert line.startswith("example: @example(planned(answered, ")

    @given(simulations(answered, workload=WORK))
    @settings(QUICK, phases=[Phase.explicit])
    def prop(sim: Simulation) -> None:
        sim.check()

    with pytest.raises(AssertionError):
        eval(line.removeprefix("example: @"), globals())(prop)()
    assert example is not None


def _lost_calls(workload: Any) -> list[Simulation]:
    callers = ("LUMENIZE_CLIENT_GATEWAY/alice.tab1", "BOARD/b")
    return [
        planned(answered, fault("lost-call", caller, nth, value), workload=workload)
        for caller in callers
        for nth in range(2)
        for value in (1, 2)
    ]


def test_parts_of_a_plan_are_written_as_they_are_read() -> None:
    sim = planned(
        in_order, before("BOARD/b#0", "x", "y"), late("x", 3), fault("crash", "BOARD/b", 2),
        fault("partition", "a", 0, 3), fault("flushes", "BOARD/b", 0, 1, bound=2), workload=[1], seed=7,
    )  # fmt: skip
    assert repr(sim) == (
        "planned(in_order, before('BOARD/b#0', 'x', 'y'), late('x', 3), fault('crash', 'BOARD/b', 2), "
        "fault('partition', 'a', 0, 3), fault('flushes', 'BOARD/b', 0, 1, bound=2), workload=[1], seed=7)"
    )
    with pytest.raises(UsageError, match="fault kind 'explosion' is unknown"):
        fault("explosion", "a", 0)


# -- parts ---------------------------------------------------------------------------------------


def test_faults_and_schedules_can_be_drawn_apart() -> None:
    wrong = find(faults(asks), lambda plan: planned(asks, *plan).outcome.failed, settings=QUICK)
    assert [choice.kind for choice in wrong] == ["fault"]
    turned = find(deviations(asks), lambda plan: planned(asks, *plan).outcome.failed, settings=QUICK)
    assert len(turned) == 1
    assert find(faults(asks), lambda _: True, settings=QUICK) == ()
    with pytest.raises(NoSuchExample):
        find(faults(asks, at_most=0), bool, settings=settings(QUICK, max_examples=20))
    only = find(faults(asks, kinds=("evict",), targets=("BOARD",)), bool, settings=QUICK)
    assert only[0].label.startswith("BOARD/b%evict#")


def test_a_workload_runs_as_it_reads() -> None:
    work = Workload(
        Tab, Step("alice", "put", ("a",)), Pause(), Step("bob", "clear"), Pause(2.5), Step("bob", "put", ["c"])
    )
    assert repr(work) == (
        "Workload(Tab, Step('alice', 'put', ('a',)), Pause(), Step('bob', 'clear', ()), Pause(2.5), "
        "Step('bob', 'put', ('c',)))"
    )
    assert work == eval(repr(work), globals())
    sim = planned(in_order, workload=work)
    assert sim.check() is sim
    assert sim.outcome.virtual_s >= 2.5


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: workloads(Tab, {"jump": []}), "Tab has no method 'jump'"),
        (lambda: workloads(Tab, {}), "draws nothing"),
        (lambda: workloads(Tab, {"clear": []}, clients=()), "draws nothing"),
        (lambda: simulations(in_order, workload=[1]), r"workload=\[1\]: give a strategy"),
        (lambda: faults(in_order, kinds=("fire",)), "fault kind 'fire' is unknown"),
    ],
)
def test_mistakes_are_told_when_the_strategy_is_made(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


# -- databases and seeds -----------------------------------------------------------------------------

TEST = """
from workload_app import *
@given(simulations(asks))
@settings(deadline=None, max_examples=30)
def test_it(sim):
    sim.check()
"""


def test_redis_keeps_failures_from_one_machine_to_the_next() -> None:
    """Hypothesis's own database in Redis, which CI and desks share."""
    fakeredis = pytest.importorskip("fakeredis")
    from hypothesis.extra.redis import RedisExampleDatabase

    server = fakeredis.FakeServer()
    tried: list[str] = []

    def prop() -> None:
        database = RedisExampleDatabase(fakeredis.FakeRedis(server=server))

        @given(simulations(asks))
        @settings(QUICK, database=database, derandomize=False, phases=[Phase.reuse, Phase.generate, Phase.shrink])
        def asks_and_hears(sim: Simulation) -> None:
            tried.append(repr(sim))
            assert not sim.outcome.failed

        with pytest.raises(AssertionError):
            asks_and_hears()

    prop()
    smallest_yet = tried[-1]
    tried.clear()
    prop()
    assert tried[0] == smallest_yet, "the second machine begins with what the first ended with"


@pytest.mark.slow
def test_hypothesis_seed_and_derandomised_profiles_repeat_a_run(pytester: pytest.Pytester) -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    pytester.makepyfile(workload_app=source.partition("# -- what it shrinks to")[0].replace("pytest_plugins", "_"))
    pytester.makepyfile(test_it=TEST + "    \n")
    pytester.makeconftest(
        "from hypothesis import settings\n"
        "settings.register_profile('same', derandomize=True, database=None)\n"
        "settings.register_profile('drawn', database=None)\n"
    )

    def falsifying(*args: str) -> list[str]:
        result = pytester.runpytest_inprocess("-p", "no:benchmark", "-p", "no:cacheprovider", "test_it.py", *args)
        result.assert_outcomes(failed=1)
        return [line for line in result.outlines if "sim=planned(" in line or "example: @example(" in line]

    first = falsifying("--hypothesis-profile=drawn", "--hypothesis-seed=3")
    assert len(first) >= 2
    assert falsifying("--hypothesis-profile=drawn", "--hypothesis-seed=3") == first
    same = falsifying("--hypothesis-profile=same")
    assert falsifying("--hypothesis-profile=same") == same
