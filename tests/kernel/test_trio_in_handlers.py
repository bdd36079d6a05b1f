"""Any Trio code in a handler is deterministic, gated, explored across turns, and never hangs the run."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lumenize_sim import Run, World, WorldOptions, explore, replay, scenario, simulate
from lumenize_sim.explore.loading import load_module

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PROGRAMS = HERE / "data" / "trio_programs.py"
programs: Any = load_module(PROGRAMS)

DIGESTS = f"""
import sys
from lumenize_sim import simulate
from lumenize_sim.explore.loading import load_module
programs = load_module({str(PROGRAMS)!r})
for seed in (None, 1, 2):
    print(simulate(programs.everything, seed=seed).digest)
for method in programs.ENDS_WELL:
    print(method, simulate(programs.calls(("a", method), ("a", method)), seed=3).digest)
"""


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """What a run leaves behind must not warn when it is collected: warnings are errors in these tests."""
    yield
    gc.collect()


def run(*steps: Any, seed: int | None = None, **options: Any) -> tuple[Run, list[Any]]:
    """One run, and what its nodes had marked at the verdict."""
    made = programs.calls(*steps, **options)
    at_verdict: list[Any] = []
    inner = made.drive

    async def drive(world: World) -> None:
        try:
            await inner(world)
        finally:
            at_verdict[:] = programs.MARKS

    finished = simulate(scenario(programs.app, options=made.options, name=made.name)(drive), seed=seed)
    return finished, at_verdict


def outcome_of(*steps: Any, **options: Any) -> tuple[str, str]:
    """Kind and message of a run."""
    finished = simulate(programs.calls(*steps, **options))
    return finished.outcome.kind, finished.outcome.message


def fresh(code: str, *, python: str = sys.executable, hash_seed: str = "random", flags: tuple[str, ...] = ()) -> Any:
    """Run ``code`` in a process of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, *flags, "-c", textwrap.dedent(code)]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=100)


def line_of(method: str, text: str) -> str:
    """``file:line`` of the line of a handler that contains ``text``."""
    code = getattr(programs.Node, method).__code__
    lines = PROGRAMS.read_text().splitlines()
    first = code.co_firstlineno
    at = next(n for n in range(first, len(lines)) if text in lines[n - 1])
    return f"{PROGRAMS.name}:{at}"


# -- deterministic ------------------------------------------------------------------------

RETURNS = {
    "nursery": [
        "all started",
        "x begins",
        "y begins",
        "z begins",
        "x goes on",
        "y goes on",
        "z goes on",
        "x ends",
        "y ends",
        "z ends",
    ],
    "event": ["z", "y", "x", "w", "v"],
    "channel": [0, 1, 2, 3],
    "move_on": [True, 2],
    "fail_after": "too slow after 1500 ms",
    "equal_deadlines": ["e", "d", "c", "b", "a"],
    "sleeps": [0, 0.25, 1.75, 1.75],
    "checkpoints": ["x0", "y0", "x1", "y1", "x2", "y2"],
    "generator": [0, 1, 2],
    "lock": ["x in", "x out", "y in", "y out", "z in", "z out"],
    "limiter": 2,
    "shield": ["shielded sleep is over", "cancelled True"],
    "reschedule": "woken",
    "blocked": ["child", "child again", "all blocked"],
}


@pytest.mark.parametrize("method", RETURNS)
def test_trio_means_in_a_handler_what_it_means_anywhere(method: str) -> None:
    """Waiters wake in the order in which they began to wait, which Trio itself leaves open."""
    finished, marks = run(("a", method))
    assert finished.outcome.kind == "passed"
    assert marks == [RETURNS[method]]


def test_the_error_of_a_child_reaches_the_caller() -> None:
    """As a group, which crosses as the `AggregateError` of the wire."""
    _, marks = run(("a", "child_raises"))
    assert marks == ["AggregateError: "]


def test_abandoned_async_generators_are_closed_in_their_owner_at_once() -> None:
    """Trio would use a system task, at a moment that depends on threads, and warn."""
    _, marks = run(("a", "abandoned_generator"))
    assert marks == ["a:x closed", "a:y closed", "a:z closed", [f"{n} closed in a" for n in "xyz"]]


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_every_run_has_the_same_digest_whatever_was_allocated_in_between(seed: int | None) -> None:
    """Addresses, and with them the order of Trio's sets and of equal deadlines, are different each time."""
    digests = []
    ballast: list[Any] = []
    for nth in range(4):
        digests.append(simulate(programs.everything, seed=seed).digest)
        ballast.append([{object(): nth} for _ in range(nth * 1_013)])
        if nth == 1:
            ballast.clear()
            gc.collect()
    assert len(dict.fromkeys(digests)) == 1


def test_two_seeds_give_two_runs() -> None:
    """Otherwise the tests above would prove nothing."""
    assert len({simulate(programs.everything, seed=seed).digest for seed in range(4)}) == 4


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_tape_of_a_run_replays_it(seed: int) -> None:
    recorded = simulate(programs.everything, seed=seed)
    again = replay(recorded.tape, scenario=programs.everything)
    assert again.outcome.kind == "passed"
    assert again.digest == recorded.digest


@pytest.fixture(scope="module")
def digests() -> str:
    """Digests in a process with hash seed 1."""
    done = fresh(DIGESTS, hash_seed="1")
    assert done.stderr == ""
    assert len(done.stdout.split()) > 20
    return str(done.stdout)


def test_two_processes_with_different_hash_seeds_agree(digests: str) -> None:
    assert fresh(DIGESTS, hash_seed="2").stdout == digests


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_python_versions_agree(version: str, digests: str) -> None:
    own = sys.executable if sys.version_info[:2] == tuple(map(int, version.split("."))) else None
    python = own or os.environ.get(f"LUMENIZE_PYTHON_{version.replace('.', '_')}") or shutil.which(f"python{version}")
    needed = "import apsw, attrs, cbor2, hypothesis, time_machine, trio"
    if python is None or fresh(needed, python=python).returncode:
        pytest.skip(f"no python{version} with the dependencies (see `make versions`)")
    done = fresh(DIGESTS, python=python)
    assert done.stderr == ""
    assert done.stdout == digests


def test_strays_are_virtual_and_replay_equal() -> None:
    """`time`, `datetime`, `random`, `uuid`, `secrets`, `os.urandom`, all reached for by habit."""
    _, marks = run(("a", "strays"))
    ((seconds, stamp, *drawn),) = marks
    assert (seconds, stamp) == ("1767225601.0", "2026-01-01T00:00:01+00:00")
    assert run(("a", "strays"))[1] == marks
    _, others = run(("a", "strays"), seed=5)
    assert others[0][0] == seconds
    assert all(mine != other for mine, other in zip(drawn, others[0][2:], strict=True))


# -- gated --------------------------------------------------------------------------------


def counted(method: str, times: int = 5, seed: int | None = None) -> int:
    """The counter after ``times`` concurrent calls."""
    counts: list[int] = []

    @scenario(programs.app)
    async def drive(world: World) -> None:
        programs.MARKS.clear()
        tab = await world.connect(programs.Tab, sub="alice")
        for _ in range(times):
            tab.run("a", method)
        await world.settle()
        counts.append(world.object("NODE", "a").storage.kv.get("n"))

    assert simulate(drive, seed=seed).outcome.kind == "passed"
    return counts[0]


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_five_increments_over_storage_give_five(seed: int | None) -> None:
    """Storage does not open the input gate (IG-5, IG-12)."""
    assert counted("add_over_storage", seed=seed) == 5


@pytest.mark.parametrize("method", ["add_over_outside", "add_in_children"])
def test_five_increments_over_an_await_to_the_outside_give_one(method: str) -> None:
    """It opens the gate (IG-8), in a child task as well."""
    assert counted(method) == 1


def test_a_checkpoint_ends_no_turn_and_a_zero_sleep_does() -> None:
    """`sleep(0)` is a timer to the platform."""
    assert counted("zero_wait") == 5
    assert counted("zero_sleep") == 1


def test_children_wait_while_another_event_holds_the_gate() -> None:
    """Their awaits are over, and still they re-enter through the gate (IG-8, IG-19): nothing comes between."""
    for seed in (None, *range(12)):
        _, marks = run(("a", "children"), ("a", "section"), ("a", "noop"), seed=seed)
        begin, end = marks.index("a:section begins"), marks.index("a:section ends")
        inside = [m for m in marks[begin:end] if m is None or m.startswith("a:")]
        assert [m for m in inside if m is not None] == ["a:section begins", "a:section goes on"], (seed, marks)
        assert sum("child" in m for m in marks if m) == 4


def test_children_resume_one_turn_each() -> None:
    """Explored: the other call comes between two children of one nursery."""
    seen = set()
    for seed in range(20):
        _, marks = run(("a", "children"), ("a", "noop"), seed=seed)
        order = [m for m in marks if m in ("a:child x", "a:child y", "a:noop")]
        seen.add(tuple(m[-1] for m in order))
    assert ("x", "p", "y") in seen or ("y", "p", "x") in seen
    assert len(seen) > 3


@pytest.mark.parametrize("seed", [None, *range(6)])
def test_a_turn_is_atomic(seed: int | None) -> None:
    """Steps of three children and of another object's turn do not interleave, however many checkpoints they pass."""
    _, marks = run(("a", "turn", "t"), ("b", "turn", "u"), ("a", "turn", "v"), seed=seed)
    steps = [m for m in marks if m]
    blocks = [steps[n : n + 9] for n in (0, 9, 18)]
    for block in blocks:
        prefix = block[0][:3]
        assert block == [f"{prefix}{child}.{nth}" for nth in range(3) for child in range(3)]


def test_an_event_shared_by_two_objects_wakes_the_other_in_a_turn_of_its_own() -> None:
    """The setter's turn goes on to its end first; only then the wake-up arrives like any other event."""
    orders = set()
    for seed in (None, *range(10)):
        finished, marks = run(("a", "waits_for_shared"), ("b", "sets_shared"), seed=seed)
        assert finished.outcome.kind == "passed"
        steps = [m for m in marks if m in ("b:sets", "b:goes on", "a:woken")]
        orders.add(tuple(steps))
    assert orders == {("b:sets", "b:goes on", "a:woken")}


# -- explored -----------------------------------------------------------------------------


@scenario(programs.app)
async def children_in_order(world: World) -> None:
    """Claims that the first child to be told is the first to go on."""
    programs.MARKS.clear()
    tab = await world.connect(programs.Tab, sub="alice")
    tab.run("a", "children")
    await world.settle()
    marks = [m for m in programs.MARKS if m]
    assert marks.index("a:child x") < marks.index("a:child y")


@scenario(programs.app)
async def first_is_first(world: World) -> None:
    """Claims that the child that was started first runs first."""
    programs.MARKS.clear()
    tab = await world.connect(programs.Tab, sub="alice")
    tab.run("a", "first_child")
    await world.settle()
    assert programs.MARKS == ["x"]


def test_an_order_of_turns_that_first_come_first_served_does_not_have_is_found() -> None:
    report = explore(children_in_order, schedules=200, verify=False, save=None)
    (failure,) = report.failures
    assert failure.schedule > 1
    assert failure.kind == "failed"
    assert len(failure.run.tape.choices) == 1
    assert replay(failure.run.tape, scenario=children_in_order).digest == failure.run.digest


def test_the_order_within_a_turn_is_explored_only_on_request() -> None:
    """Node code of the platform has no such choice; code that only ever runs on Trio may ask."""
    assert explore(first_is_first, schedules=40, verify=False, save=None).failures == []
    report = explore(first_is_first, schedules=40, verify=False, save=None, options=WorldOptions(explore_tasks=True))
    (failure,) = report.failures
    assert [choice.kind for choice in failure.run.tape.choices] == ["task"]


# -- never hangs --------------------------------------------------------------------------


def test_a_deadlock_names_every_waiter_with_file_and_line() -> None:
    kind, message = outcome_of_waiting("forever", "awaits_lost_wake")
    assert kind == "deadlock"
    assert f"NODE/a waits at {line_of('forever', 'sleep_forever')}" in message
    assert f"NODE/b waits at {line_of('awaits_lost_wake', 'SHARED[0].wait')}" in message
    assert "driver waits at test_trio_in_handlers.py:" in message


def outcome_of_waiting(*methods: str) -> tuple[str, str]:
    """A driver that waits for something that never comes, as do its nodes."""
    import trio

    @scenario(programs.app)
    async def drive(world: World) -> None:
        programs.SHARED[:] = [trio.Event()]
        tab = await world.connect(programs.Tab, sub="alice")
        for handle, method in zip("ab", methods, strict=False):
            tab.run(handle, method)
        await trio.sleep_forever()

    finished = simulate(drive)
    return finished.outcome.kind, finished.outcome.message


@pytest.mark.parametrize(
    "method", ["forever", "shielded", "swallows", "swallows_in_children", "suspended_in_many_ways", "awaits_lost_wake"]
)
def test_tasks_that_wait_for_ever_or_swallow_their_end_do_not_keep_the_run(method: str) -> None:
    finished, marks = run(("a", method), ("b", method), settle_s=30.0)
    assert finished.outcome.kind == "passed"
    assert marks == []


@pytest.mark.parametrize("method", ["checkpoint_loop", "cancelled_loop"])
def test_a_turn_that_never_waits_is_a_cpu_limit(method: str) -> None:
    kind, message = outcome_of(("a", method), limit_s=20.0)
    assert kind == "cpu_limit"
    assert message == "a turn of NODE/a took more than 100000 task steps and never waited"


@pytest.mark.parametrize("method", ["spin", "spin_in_task"])
def test_a_turn_that_never_even_yields_is_a_cpu_limit(method: str) -> None:
    kind, message = outcome_of(("a", method), limit_s=0.3)
    assert kind == "cpu_limit"
    assert message == "a turn of NODE/a took more than 0.3 s of real time and never waited"


def test_a_long_turn_of_many_small_steps_is_cut_short_too() -> None:
    kind, message = outcome_of(("a", "checkpoint_loop"), limit_s=0.01)
    assert kind == "cpu_limit"
    assert "task steps" in message


def test_a_loop_over_timers_is_a_step_limit() -> None:
    kind, message = outcome_of(("a", "sleep_loop"), step_limit=300, settle_s=1e6)
    assert kind == "step_limit"
    assert "300 events" in message


@pytest.mark.parametrize(
    "method, name",
    [
        ("system_task", "trio.lowlevel.spawn_system_task"),
        ("thread", "trio.to_thread"),
        ("token", "Trio token"),
        ("bare_thread", "thread 'mine'"),
    ],
)
def test_what_cannot_be_replayed_is_refused_by_name(method: str, name: str) -> None:
    _, marks = run(("a", method))
    assert len(marks) == 1
    assert name in marks[0]


# -- a dead instance never runs again -----------------------------------------------------


def after_reset(method: str, how: str) -> tuple[str, list[Any]]:
    """Marks at the verdict of an object that was reset while ``method`` was suspended."""
    at_verdict: list[Any] = []

    @scenario(programs.app, options=WorldOptions(settle_s=0.0))
    async def drive(world: World) -> None:
        import trio

        programs.MARKS.clear()
        programs.SHARED[:] = [trio.Event()]
        tab = await world.connect(programs.Tab, sub="alice")
        if how == "flush":
            world.object("NODE", "a").fail_next_flush()
        tab.run("a", method)
        await world.settle(0.1)
        if how == "crash":
            assert world.object("NODE", "a").in_memory
            world.object("NODE", "a").crash()
        elif how == "abort":
            tab.run("a", "abort")
        elif how == "crash while woken":
            programs.SHARED[0].set()
            world.object("NODE", "a").crash()
        await world.settle(60)
        assert not world.object("NODE", "a").in_memory
        at_verdict[:] = [m for m in programs.MARKS if m is None or m.startswith("a:")]

    return simulate(drive).outcome.kind, at_verdict


@pytest.mark.parametrize(
    "method, how",
    [
        ("suspended_in_many_ways", "crash"),
        ("suspended_in_many_ways", "abort"),
        ("swallows", "crash"),
        ("swallows_in_children", "abort"),
        ("puts_and_waits", "flush"),
        ("puts_and_waits", "crash"),
        ("shielded", "crash"),
        ("awaits_lost_wake", "crash while woken"),
        ("section", "crash"),
        ("begins_and_aborts", "abort"),
    ],
)
def test_no_except_or_finally_of_a_dead_instance_has_left_a_mark_at_the_verdict(method: str, how: str) -> None:
    """LC-31 to LC-35: the process is gone, so nothing of it can unwind."""
    kind, marks = after_reset(method, how)
    assert kind == "passed"
    before = ("a:section begins", "a:section goes on", "a:child x", "a:child y")
    assert [m for m in marks if m not in before] == []


def test_an_async_generator_of_a_dead_owner_is_closed_after_the_verdict_in_order_of_first_iteration() -> None:
    at_verdict: list[Any] = []

    @scenario(programs.app)
    async def drive(world: World) -> None:
        programs.MARKS.clear()
        tab = await world.connect(programs.Tab, sub="alice")
        for nth, handle in enumerate("abc"):
            tab.run(handle, "leaked_generator", f"g{nth}")
        await world.settle()
        world.object("NODE", "b").crash()
        world.object("NODE", "a").crash()
        await world.settle()
        at_verdict[:] = programs.MARKS

    assert simulate(drive).outcome.kind == "passed"
    assert at_verdict == [1, 1, 1]
    assert programs.MARKS == [1, 1, 1, "a:g0 closed", "b:g1 closed", "c:g2 closed"]


def test_what_an_abandoned_generator_raises_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """As on plain Trio: there is nobody to tell.  An await in its ``finally`` is cancelled, for the same reason."""
    finished, marks = run(("a", "raising_generator"))
    assert finished.outcome.kind == "passed"
    assert marks == ["a:cancelled", "a:raising", "a:still here", None]
    (logged,) = caplog.records
    assert logged.name == "trio.async_generator_errors"
    assert "raised while it was closed" in logged.getMessage()


ENDINGS = f"""
import gc, trio
from lumenize_sim import World, WorldOptions, scenario, simulate
from lumenize_sim.explore.loading import load_module
programs = load_module({str(PROGRAMS)!r})

@scenario(programs.app, options=WorldOptions(turn_limit_s=0.3))
async def crashes(world):
    programs.SHARED[:] = [trio.Event()]
    tab = await world.connect(programs.Tab, sub="alice")
    for handle, method in METHODS:
        tab.run(handle, method)
    await world.settle(0.1)
    for handle, _ in METHODS[::2]:
        world.object("NODE", handle).crash()
    await world.settle(0.1)

METHODS = [(f"h{{n}}", m) for n, m in enumerate(
    ["forever", "forever", "shielded", "shielded", "swallows", "swallows", "swallows_in_children",
     "swallows_in_children", "suspended_in_many_ways", "suspended_in_many_ways",
     "awaits_lost_wake", "awaits_lost_wake", "nursery", "generator",
     "puts_and_waits", "puts_and_waits", "children", "abandoned_generator", "begins_and_aborts", "begins_and_aborts"])]
print(simulate(crashes).outcome.kind)
for method in ("cancelled_loop", "spin", "spin_in_task"):
    print(simulate(programs.calls(("a", "shielded"), ("a", method), ("b", "forever"), limit_s=0.3)).outcome.kind)
print(simulate(programs.calls(*[(h, "leaked_generator", h) for h in "abc"])).outcome.kind)
gc.collect()
"""


def test_the_process_ends_without_a_word_whatever_was_suspended() -> None:
    """Nothing is 'never awaited', 'ignored', 'destroyed but pending', now or when the interpreter goes."""
    done = fresh(ENDINGS, flags=("-W", "error", "-X", "dev"))
    assert done.stderr == ""
    assert done.stdout.split() == ["passed", "cpu_limit", "cpu_limit", "cpu_limit", "passed"]
    assert done.returncode == 0


# -- cheap --------------------------------------------------------------------------------


def test_a_step_costs_the_same_with_thousands_of_gated_tasks_waiting() -> None:
    """Counted in releases of the run queue: those that wait are not looked at, whatever the number."""
    from lumenize_sim.kernel.runqueue import RunQueue

    def releases(waiting: int) -> int:
        count = 0
        real = RunQueue.__iter__

        def counting(self: RunQueue) -> Any:
            nonlocal count
            count += 1
            return real(self)

        @scenario(programs.app, options=WorldOptions(settle_s=5.0))
        async def drive(world: World) -> None:
            nonlocal count
            tab = await world.connect(programs.Tab, sub="alice")
            for _ in range(waiting):
                tab.run("w", "forever")
            await world.settle(0.5)
            count = 0
            for nth in range(5):
                tab.run("a", "turn", str(nth))
            await world.settle(0.5)

        RunQueue.__iter__ = counting  # type: ignore[method-assign]  # counted, not replaced
        try:
            finished = simulate(drive)
            assert finished.outcome.kind == "passed"
        finally:
            RunQueue.__iter__ = real  # type: ignore[method-assign]  # as before
        return count

    few, many = releases(5), releases(500)
    closing = 2 * 500 + 20
    assert many - few <= closing
