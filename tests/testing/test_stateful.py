"""State machines in a simulated mesh: what they find, what they shrink to, and what they print."""

from __future__ import annotations

import re
import threading
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, assume, note, seed, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.stateful import Bundle, precondition, run_state_machine_as_test

from lumenize_sim import LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, UsageError, mesh
from lumenize_sim.testing import MeshStateMachine
from lumenize_sim.testing.stage import Stage
from lumenize_sim.testing.stateful import initialize, invariant, rule
from lumenize_sim.world.options import WorldOptions

QUICK = settings(
    max_examples=60, stateful_step_count=8, deadline=None, database=None, derandomize=False, print_blob=False,
    suppress_health_check=list(HealthCheck), phases=[phase for phase in Phase if phase is not Phase.explain],
)  # fmt: skip


class Counter(LumenizeDO):
    """Counts, with an await in between; remembers what it must not."""

    hits: int = 0

    @mesh
    async def increment(self) -> None:
        n = self.ctx.storage.kv.get("n", 0)
        rate = await self.lmz.call_raw("RATES", None, self.ctn(Rates).current())
        self.ctx.storage.kv.put("n", n + rate)

    @mesh
    def hit(self) -> None:
        self.hits += 1
        self.ctx.storage.kv.put("hits", self.hits)

    @mesh
    def put(self, n: int) -> None:
        self.ctx.storage.kv.put("last", n)

    @mesh
    async def hang(self) -> None:
        await self.ctx.block_concurrency_while(self._forever)

    async def _forever(self) -> None:
        import trio

        await trio.sleep_forever()


class Rates(LumenizeWorker):
    @mesh
    def current(self) -> int:
        return 1


class Tab(LumenizeClient):
    def do(self, method: str, *args: Any) -> None:
        self.lmz.call("COUNTER", "c", getattr(self.ctn(Counter), method)(*args))


app = Mesh(bindings={"COUNTER": Counter, "RATES": Rates})
WHO = st.sampled_from(["alice", "bob"])


class Machine(MeshStateMachine):
    """Common to all below."""

    app = app

    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    def stored(self, key: str) -> Any:
        return self.world.object("COUNTER", "c").storage.kv.get(key)


class Clicks(Machine):
    """Wrong: an update is lost where two are under way."""

    @rule(who=WHO)
    async def click(self, who: str) -> None:
        tab = await self.client(Tab, who)
        tab.do("increment")
        self.n += 1

    @invariant()
    def counted(self) -> None:
        assert (self.stored("n") or 0) == self.n


class Hits(Machine):
    """Wrong where the object loses its memory."""

    faults = ("hibernate", "evict")

    @rule()
    async def hit(self) -> None:
        await self.world.env.COUNTER.get_by_name("c").hit()
        self.n += 1

    @invariant()
    def counted(self) -> None:
        assert (self.stored("hits") or 0) == self.n


class Puts(Machine):
    """Wrong: what was sent last need not arrive last."""

    @initialize()
    async def both(self) -> None:
        self.alice, self.bob = await self.client(Tab, "alice"), await self.client(Tab, "bob")

    @rule(who=WHO)
    def put(self, who: str) -> None:
        self.n += 1
        getattr(self, who).do("put", self.n)

    @invariant()
    def last(self) -> None:
        assert (self.stored("last") or 0) == self.n


class Safe(Machine):
    """Right: it waits for each."""

    faults = ("hibernate", "evict", "crash", "relocate", "deploy", "disconnect", "partition")
    waits_s = (1.0, 20.0)

    @rule()
    async def click(self) -> None:
        await self.world.env.COUNTER.get_by_name("c").put(self.n + 1)
        self.n += 1

    @rule(who=WHO)
    async def look(self, who: str) -> None:
        await self.client(Tab, who)

    @invariant()
    async def kept(self) -> None:
        assert (self.stored("last") or 0) == self.n


def steps_of(
    machine: type[MeshStateMachine], capsys: pytest.CaptureFixture[str], **options: Any
) -> tuple[Any, list[str]]:
    """The error, and the steps of the smallest example, without what every example has."""
    with pytest.raises(BaseException) as caught:  # its type is what is asked for
        run_state_machine_as_test(seed(options.pop("seed", 1))(machine), settings=settings(QUICK, **options))
    text = "\n".join([capsys.readouterr().out, *getattr(caught.value, "__notes__", [])])
    text = re.sub(r"\(\s*(\d+),\s*(\d+),?\s*\)", r"(\1, \2)", text)  # a list of tuples is broken into lines
    steps = re.findall(r"^(?:\w+ = )?state\.(.*)$", text, re.MULTILINE)
    names = [i.__name__ for i in vars(machine).values() if callable(i) and hasattr(i, "hypothesis_stateful_invariant")]
    return caught.value, [step for step in steps if step.partition("(")[0] not in (*names, "teardown")]


# -- what is found, and what it shrinks to ---------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_lost_update_shrinks_to_two_clicks(nth: int, capsys: pytest.CaptureFixture[str]) -> None:
    error, steps = steps_of(Clicks, capsys, seed=nth)
    assert [step for step in steps if step != "settle()"] == ["click(who='alice')", "click(who='alice')"]
    assert len(steps) <= 3
    assert any("racing pair: COUNTER/c" in line for line in error.__notes__), "and it is explained"


@pytest.mark.slow
def test_lost_memory_shrinks_to_two_hits_with_an_eviction_between(capsys: pytest.CaptureFixture[str]) -> None:
    _, steps = steps_of(Hits, capsys, max_examples=200)
    kept = [step for step in steps if step not in ("settle()", "advance(seconds=15.0)")]
    evicted = [["hit()", f"{verb}(name='COUNTER/c')", "hit()"] for verb in ("hibernate", "evict")]
    assert kept in (*evicted, ["hit()", "hit()"]), "the latter where time passed, in which idle objects hibernate"


@pytest.mark.slow
def test_an_order_shrinks_to_two_puts_and_one_deviation(capsys: pytest.CaptureFixture[str]) -> None:
    _, steps = steps_of(Puts, capsys, max_examples=400)
    assert steps[:3] == ["both()", "put(who='alice')", "put(who='bob')"] or steps[1:3] == ["put(who='alice')"] * 2
    assert re.fullmatch(r"settle_except\(deviations=\[\(\d, [12]\)\]\)", steps[3])
    assert len(steps) == 4


@pytest.mark.slow
def test_what_is_right_survives_all_rules() -> None:
    run_state_machine_as_test(Safe, settings=settings(QUICK, max_examples=30, stateful_step_count=15))


# -- as any other state machine ----------------------------------------------------------------------


def played(machine: MeshStateMachine, *steps: tuple[str, dict[str, Any]]) -> None:
    """By hand, as Hypothesis would."""
    for name, arguments in steps:
        [function] = [r.function for r in machine.setup_state().rules if r.function.__name__ == name]
        function(machine, **arguments)


def test_rules_act_in_the_simulation_and_invariants_are_judged_at_rest() -> None:
    machine = Clicks()
    try:
        assert machine.at_rest
        played(machine, ("click", {"who": "alice"}))
        assert not machine.at_rest
        [counted] = machine.invariants
        counted.function(machine)  # not judged: it would fail
        played(machine, ("settle", {}))
        assert machine.at_rest
        counted.function(machine)
        before = machine.world.now()
        played(machine, ("advance", {"seconds": 15.0}))
        assert machine.world.now() >= before + 15
    finally:
        machine.teardown()
    assert threading.active_count() <= 2, "the watchdog may still look on"


def test_what_is_left_is_judged_at_the_end() -> None:
    machine = Clicks()
    played(machine, ("click", {"who": "alice"}), ("click", {"who": "alice"}))
    with pytest.raises(AssertionError) as caught:
        machine.teardown()
    assert caught.value.__notes__[0].startswith("racing pair: COUNTER/c ")
    machine.teardown()  # a second time is nothing


class Unasserted(Machine):
    """Clicks, with nothing said about what must come of them; its rule is borrowed, which once waited for itself."""

    checks = ("stale-write",)

    click = Clicks.click


def test_checks_of_the_class_judge_at_the_end() -> None:
    for clicks in (1, 2):
        machine = Unasserted()
        played(machine, *[("click", {"who": "alice"})] * clicks)
        if clicks == 1:
            machine.teardown()
        else:
            with pytest.raises(AssertionError, match=r"racing pair: COUNTER/c .* ran between read and write"):
                machine.teardown()


def test_rules_that_the_class_does_not_want_are_not_there() -> None:
    names = {r.function.__name__ for r in Clicks.setup_state().rules}
    assert names == {"click", "settle", "settle_except", "advance"}
    assert {"hibernate", "evict"} <= {r.function.__name__ for r in Hits.setup_state().rules}

    class Again(Clicks):
        faults = ("partition",)

    assert {"partition", "heal", "click"} <= {r.function.__name__ for r in Again.setup_state().rules}


def test_faults_do_what_they_say() -> None:
    machine = Safe()
    try:
        played(machine, ("click", {}), ("look", {"who": "alice"}), ("settle", {}))
        counter, [gateway] = "COUNTER/c", [n for n in machine._targets("evict") if "GATEWAY" in n]
        assert machine._targets("deploy") == ["COUNTER", "LUMENIZE_CLIENT_GATEWAY"]
        view = machine.world.object("COUNTER", "c")
        played(machine, ("evict", {"name": counter}))
        assert not view.in_memory
        assert counter not in machine._targets("evict")
        played(machine, ("click", {}), ("crash", {"name": counter}), ("click", {}), ("relocate", {"name": counter}))
        played(machine, ("hibernate", {"name": gateway}), ("partition", {"name": "alice.tab1"}))
        assert machine._targets("partition") == []
        played(machine, ("heal", {}), ("disconnect", {"name": "alice.tab1"}))
        played(machine, ("deploy", {"name": "COUNTER"}), ("settle", {}))
        kinds = {"evict": 1, "crash": 1, "relocate": 1, "hibernate": 1, "partition": 1, "disconnect": 1, "deploy": 1}
        assert {kind: machine.world.fault_counts.get(kind) for kind in kinds} == kinds
    finally:
        machine.teardown()


def test_bundles_preconditions_notes_and_assumptions_work() -> None:
    seen: list[str] = []

    class Ordinary(Machine):
        tabs: ClassVar[Bundle[Any]] = Bundle("tabs")

        @rule(target=tabs, who=WHO)
        async def enter(self, who: str) -> Any:
            return await self.client(Tab, who)

        @precondition(lambda self: self.n < 2)
        @rule(tab=tabs)
        def put(self, tab: Any) -> None:
            assert isinstance(tab, Tab)
            note("a note")
            assume(True)
            self.n += 1
            seen.append(tab.lmz.instance_name)
            tab.do("put", self.n)

        @rule()
        def never(self) -> None:
            assume(False)

    run_state_machine_as_test(Ordinary, settings=settings(QUICK, max_examples=40, derandomize=True, database=None))
    assert seen


def test_an_unexpected_end_of_the_run_is_the_error_of_the_step() -> None:
    class Hanging(Machine):
        @rule()
        async def hang(self) -> None:
            await self.world.env.COUNTER.get_by_name("c").hang()

    machine = Hanging()
    with pytest.raises(Exception, match=r"blockConcurrencyWhile\(\) in a Durable Object waited for too long"):
        played(machine, ("hang", {}))
    machine.teardown()


def test_the_same_steps_print_the_same_and_nothing_depends_on_the_threads(capsys: pytest.CaptureFixture[str]) -> None:
    digests = []
    for _ in range(2):
        stage = Stage(app, options=WorldOptions(), seed=5, name="two")
        world = stage.world

        async def connect(world: Any = world) -> Any:
            return await world.connect(Tab, sub="alice")

        tab = stage.do(connect)
        stage.do(lambda tab=tab: tab.do("put", 1))
        stage.do(lambda tab=tab: tab.do("put", 2))
        stage.do(world.settle, [(1, 2)])
        assert stage.end() is None
        assert stage._outcome is not None
        assert stage._outcome.trace is not None
        digests.append(stage._outcome.trace.digest)
    assert digests[0] == digests[1]


def test_mistakes_in_the_class_are_told() -> None:
    with pytest.raises(UsageError, match=r"Odd.faults has 'explode', which is no rule of it; there is: hibernate, "):

        class Odd(Machine):
            faults = ("explode",)

    class NoApp(MeshStateMachine):
        @rule()
        def nothing(self) -> None: ...

    with pytest.raises(UsageError, match="NoApp has no app: write `app = Mesh"):
        NoApp()


@pytest.mark.slow
def test_failures_are_replayed_from_the_database_under_the_users_profile(capsys: pytest.CaptureFixture[str]) -> None:
    database = InMemoryExampleDatabase()
    _, first = steps_of(Clicks, capsys, database=database)
    counted = []

    class Counting(Clicks):
        def __init__(self) -> None:
            counted.append(1)
            super().__init__()

    Counting.__name__ = Clicks.__name__
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Clicks, settings=settings(QUICK, database=database, max_examples=1))
    assert first
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Clicks, settings=settings(QUICK, derandomize=True, verbosity=Verbosity.quiet))
