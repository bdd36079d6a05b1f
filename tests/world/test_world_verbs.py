"""What a driver can do to the world, and what it is told when it asks for something impossible."""

from __future__ import annotations

from typing import Any

import pytest

from lumenize_sim import (
    RESULT,
    LumenizeClient,
    LumenizeDO,
    Mesh,
    UsageError,
    World,
    explore,
    mesh,
    replay,
    scenario,
    simulate,
)


class Note(LumenizeDO):
    """Keeps the last line, and tells how often it was read in this incarnation."""

    reads = 0

    @mesh
    def put(self, line: str) -> None:
        self.ctx.storage.kv.put("line", line)

    @mesh
    def get(self) -> list[Any]:
        self.reads += 1
        return [self.ctx.storage.kv.get("line"), self.reads]


class Tab(LumenizeClient):
    """A page."""

    answer: Any = None
    states: tuple[str, ...] = ()

    def on_connection_state_change(self, state: str) -> None:
        self.states = (*self.states, state)

    def ask(self) -> None:
        self.lmz.call("NOTE", "n", self.ctn(Note).get(), self.ctn().told(RESULT))

    def told(self, answer: Any) -> None:
        self.answer = answer


app = Mesh(bindings={"NOTE": Note})


def passes(drive: Any) -> Any:
    run = simulate(scenario(app)(drive))
    assert run.failure is None, run.outcome.message
    return run


def test_latency_delays_both_ways_and_zero_undoes_it() -> None:
    async def drive(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        world.network.latency(tab, 1.5)
        await tab.lmz.call_raw("NOTE", "n", tab.ctn(Note).put("x"))
        assert world.now() == 3.0
        world.network.latency(tab, 0)
        await tab.lmz.call_raw("NOTE", "n", tab.ctn(Note).put("y"))
        assert world.now() == 3.0
        with pytest.raises(UsageError, match="latency is -1"):
            world.network.latency(tab, -1)

    passes(drive)


def test_a_partition_holds_frames_until_it_heals() -> None:
    async def drive(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        world.network.partition(tab)
        tab.ask()
        await world.settle()
        assert tab.answer is None
        world.network.heal(tab)
        await world.settle()
        assert tab.answer == [None, 1]
        assert world.fault_counts["partition"] == world.fault_counts["heal"] == 1

    passes(drive)


def test_quiet_heals_what_is_held() -> None:
    async def drive(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        world.network.hold("alice.tab1")
        tab.ask()
        await world.settle()
        world.quiet()
        await world.settle()
        assert tab.answer == [None, 1]

    passes(drive)


def test_a_disconnected_client_comes_back_after_its_back_off_or_at_once_when_asked() -> None:
    """CL-12: one second; `reconnect` does not wait for it."""

    async def drive(world: World) -> None:
        alice, bob = await world.connect(Tab, sub="alice"), await world.connect(Tab, sub="bob")
        world.network.disconnect(alice)
        world.network.disconnect(bob)
        await world.advance(0.5)
        assert alice.connection_state == bob.connection_state == "reconnecting"
        world.network.reconnect("bob.tab1")
        await world.advance(0.25)
        assert (alice.connection_state, bob.connection_state) == ("reconnecting", "connected")
        await world.settle()
        assert alice.connection_state == "connected"
        assert world.now() == 1.0

    passes(drive)


def test_an_object_can_be_evicted_hibernated_and_crashed() -> None:
    """Memory is lost each time, storage never; each counts as a fault that has happened."""

    async def drive(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        note = world.object("NOTE", "n")
        assert not note.in_memory
        await tab.lmz.call_raw("NOTE", "n", tab.ctn(Note).put("kept"))
        for nth, lose in enumerate((note.evict, note.hibernate, note.crash), 1):
            assert await tab.lmz.call_raw("NOTE", "n", tab.ctn(Note).get()) == ["kept", 1]
            assert note.instance.reads == 1
            assert note.incarnations == nth
            lose()
            assert not note.in_memory
            assert note.storage.kv.get("line") == "kept"
        assert [world.fault_counts[kind] for kind in ("evict", "hibernate", "crash")] == [1, 1, 1]

    passes(drive)


def test_a_failed_flush_takes_the_write_with_it() -> None:
    """OG-10: nothing that could have seen the write leaves."""

    async def drive(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        note = world.object("NOTE", "n")
        await tab.lmz.call_raw("NOTE", "n", tab.ctn(Note).put("first"))
        note.fail_next_flush()
        with pytest.raises(Exception, match="storage write caused object to be reset"):
            await tab.lmz.call_raw("NOTE", "n", tab.ctn(Note).put("second"))
        assert note.storage.kv.get("line") == "first"

    passes(drive)


@scenario(app)
async def held_up(world: World) -> None:
    """Two writes; the flush of the first takes a second, and a crash comes at some moment around its end."""
    tab = await world.connect(Tab, sub="alice")
    note = world.object("NOTE", "n")
    note.slow_next_flush(1)
    for text in ("one", "two"):
        tab.lmz.call("NOTE", "n", tab.ctn(Note).put(text))
    await world.advance(1)
    kept = note.storage.kv.get("line")
    note.crash()
    assert note.storage.kv.get("line") == kept == "two"


def test_a_slow_flush_holds_up_those_behind_it_and_its_place_is_on_the_tape() -> None:
    """OG-20: when the first is not durable, neither is the second; and a race with its end replays."""

    async def drive(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        note = world.object("NOTE", "n")
        note.slow_next_flush(3)
        first = tab.lmz.call_raw("NOTE", "n", tab.ctn(Note).put("first"))
        second = tab.lmz.call_raw("NOTE", "n", tab.ctn(Note).put("second"))
        await world.advance(2)
        assert not first.done
        assert not second.done
        await second
        assert world.now() >= 3
        with pytest.raises(UsageError, match="cannot take -1"):
            note.slow_next_flush(-1)

    passes(drive)
    report = explore(held_up, schedules=60, save=None)
    assert report.failures
    for failure in report.failures:
        again = replay(failure.run.tape, scenario=held_up)
        assert (again.outcome.kind, again.digest) == (failure.kind, failure.run.digest)


def test_a_failing_flush_takes_later_ones_with_it() -> None:
    """OG-20: a commit behind the one that fails is not durable before it."""

    @scenario(app)
    async def racing(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        note = world.object("NOTE", "n")
        note.fail_next_flush()
        for text in ("first", "second"):
            tab.lmz.call("NOTE", "n", tab.ctn(Note).put(text))
        await world.settle()
        assert note.incarnations == 2 or note.storage.kv.get("line") is None

    assert not explore(racing, schedules=60, save=None).failures


@pytest.mark.parametrize("mode", ["always", "eventually"])
def test_a_monitor_that_does_not_hold_fails_the_run_by_its_name(mode: str) -> None:
    async def drive(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        note = world.object("NOTE", "n")
        getattr(world, mode)("the line is short", lambda: len(note.storage.kv.get("line", "")) < 4)
        tab.lmz.call("NOTE", "n", tab.ctn(Note).put("too long"))
        await world.settle()

    run = simulate(scenario(app)(drive))
    assert run.outcome.kind == "failed"
    assert f"{mode} 'the line is short' does not hold" in run.outcome.message


def test_a_watched_run_is_recorded_with_the_order_of_all_events_and_replays() -> None:
    """An `always` monitor reads several actors, so their order matters to it."""

    @scenario(app)
    async def watched(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        left, right = world.object("NOTE", "left").storage, world.object("NOTE", "right").storage
        world.always("right is never ahead", lambda: right.kv.get("line") is None or left.kv.get("line") is not None)
        tab.lmz.call("NOTE", "left", tab.ctn(Note).put("x"))
        tab.lmz.call("NOTE", "right", tab.ctn(Note).put("x"))
        await world.settle()

    report = explore(watched, schedules=300, save=None)
    (failure,) = report.failures
    assert failure.run.tape.choices
    assert all(choice.label.startswith("*#") for choice in failure.run.tape.choices)
    again = replay(failure.run.tape, scenario=watched)
    assert (again.outcome.kind, again.digest) == (failure.kind, failure.run.digest)


def test_marks_never_seen_are_reported() -> None:
    @scenario(app)
    async def marking(world: World) -> None:
        world.sometimes("connected")
        world.sometimes("never", False)

    report = explore(marking, schedules=5, save=None)
    assert report.coverage["marks_never"] == ["never"]
    assert report.marks["connected"] == 5


@pytest.mark.parametrize(
    "ask, says",
    [
        (lambda world, tab: world.object("NOPE", "n"), "'NOPE' is no binding of a Durable Object class"),
        (lambda world, tab: world.network.partition("nobody"), "client 'nobody' has no open web socket"),
        (lambda world, tab: world.network.reconnect("nobody"), "no client 'nobody' in this world"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_next_step(ask: Any, says: str) -> None:
    async def drive(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        with pytest.raises(UsageError, match=says):
            ask(world, tab)

    passes(drive)


async def nobody(world: World) -> None:
    await world.connect(Tab)


async def no_client(world: World) -> None:
    await world.connect(Note, sub="alice")  # type: ignore[type-var]  # the mistake under test


@pytest.mark.parametrize("drive, says", [(nobody, "who logs in"), (no_client, "subclass of LumenizeClient")])
def test_connecting_wrongly_is_the_authors_mistake(drive: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        simulate(scenario(app)(drive))
