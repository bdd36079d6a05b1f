"""What traces show by themselves: writes that were lost, outputs too early, repeated effects, lost answers, circles."""

from __future__ import annotations

from typing import Any

import pytest

from lumenize_sim.check.alarms import repeated_effects
from lumenize_sim.check.continuations import lost_continuations
from lumenize_sim.check.durability import acknowledged_then_lost, early_outputs, unflushed
from lumenize_sim.check.finding import Finding
from lumenize_sim.check.forgotten import forgotten
from lumenize_sim.check.lives import key_of, lost_writes
from lumenize_sim.check.recheck import stale_checks
from lumenize_sim.check.waiting import circles, closed_gates, waits
from lumenize_sim.trace.event import TraceEvent
from lumenize_sim.trace.recorder import Recorder
from lumenize_sim.trace.trace import Trace

A, B = "A/a", "B/b"
CALL, ALARM = "driver>A/a#0", "A/a!alarm#0"


class Story:
    """A trace, told line by line."""

    def __init__(self) -> None:
        self.recorder = Recorder()

    def tell(self, kind: str, label: str, actor: str = A, where: str | None = None, **data: Any) -> Story:
        self.recorder.add(kind, actor, label, -1, data or None, where)
        return self

    def wrote(self, key: str, strand: str = CALL, where: str | None = "app.py:1", kind: str = "write") -> Story:
        return self.tell(kind, strand, where=where, key=key, store="kv", op="put", strand=strand)

    def answered(self, strand: str = CALL, **data: Any) -> Story:
        self.tell("reply", f"{strand}/r", **{"from": A, "to": "driver", "value": None, **data})
        return self.tell("deliver", f"{strand}/r", actor="driver")

    @property
    def trace(self) -> Trace:
        return self.recorder.close()


def kinds(found: tuple[Finding, ...]) -> list[tuple[str, str, str]]:
    return [(f.kind, f.object, f.key) for f in found]


def called() -> Story:
    return Story().tell("deliver", CALL).tell("turn", CALL)


def lost() -> Story:
    """A write in a commit whose flush does not come."""
    return called().wrote("n").tell("commit", "A/a!commit#1", durable=False)


def test_what_no_flush_made_durable_is_lost_with_the_instance() -> None:
    """OG-10, LC-33: commits become durable in order; a reset leaves a prefix of them."""
    story = called().wrote("a").tell("commit", "A/a!commit#1", durable=False)
    story.wrote("b").tell("commit", "A/a!commit#2", durable=False).tell("flush", "A/a!flush#1")
    story.wrote("c").tell("reset", "A/a!crash#0")
    assert [write.write.get("key") for write in lost_writes(story.trace)] == ["b", "c"]
    at_once = called().wrote("a").tell("commit", "A/a!commit#1").tell("reset", "A/a!crash#0")
    assert list(lost_writes(at_once.trace)) == []


def test_a_write_that_was_acknowledged_and_lost_is_found() -> None:
    """Only possible past the output gate, with `allow_unconfirmed`."""
    story = lost().answered().tell("reset", "A/a!crash#0")
    (found,) = acknowledged_then_lost(story.trace)
    assert (found.kind, found.object, found.key) == ("acknowledged-then-lost", A, "n")
    assert found.message == (
        "acknowledged, then lost: A/a answered driver>A/a#0 with success, and its write of 'n' was lost (crash)\n"
        "  written at app.py:1"
    )


@pytest.mark.parametrize(
    "story",
    [
        lost().tell("reset", "A/a!crash#0"),
        lost().answered(error="DurableObjectError").tell("reset", "A/a!crash#0"),
        lost().answered().tell("flush", "A/a!flush#1").tell("reset", "A/a!crash#0"),
        lost().answered().tell("reset", "A/a!crash#0").wrote("n", "later"),
        lost().answered().tell("reset", "A/a!crash#0").wrote("n", "later", kind="delete"),
    ],
    ids=["unanswered", "answered with an error", "durable", "written again", "deleted since"],
)
def test_what_is_no_broken_promise_is_not_reported(story: Story) -> None:
    assert acknowledged_then_lost(story.trace) == ()


def test_what_left_before_a_lost_write_was_durable_is_found() -> None:
    """OG-1: an output may tell of every write before it; what was held never arrives, what went round the gate does."""
    story = (
        lost().tell("frame", "p~0v1", **{"from": A, "to": "page", "text": "2"}).tell("deliver", "p~0v1", actor="page")
    )
    story.tell("send", "A/a>B/b#0", to=B, method="held").tell("reset", "A/a!flush-failed#0")
    (found,) = early_outputs(story.trace)
    assert (found.kind, found.object, found.key, found.second.event) == ("early-output", A, "n", "p~0v1")
    assert "let the frame '2' go to page while the write of 'n'" in found.message
    before = called().tell("frame", "p~0v1", to="page", text="1").tell("deliver", "p~0v1", actor="page")
    assert early_outputs(before.wrote("n").tell("reset", "A/a!crash#0").trace) == ()


def alarm_story(*between: tuple[str, str, dict[str, Any]]) -> Trace:
    story = Story()
    for number in (0, 1):
        strand = f"A/a!alarm#{number}"
        story.tell("alarm", strand, retry=0).tell("turn", strand)
        story.tell("send", f"A/a>B/b#{number}", where="app.py:7", to=B, method="charge", args=(1,), strand=strand)
        if number == 0:
            for kind, label, data in between:
                story.tell(kind, label, **data)
    return story.trace


def test_an_alarm_that_is_cut_short_repeats_its_effect() -> None:
    """AL-28: at least once."""
    (found,) = repeated_effects(alarm_story(("reset", "A/a!crash#0", {})))
    assert (found.kind, found.object, found.key) == ("repeated-effect", A, "charge")
    assert found.message == (
        "repeated effect: the alarm of A/a did charge of B/b, was cut short (crash) before its end was durable, "
        "and did it again when it was repeated\n  at app.py:7, and again at app.py:7"
    )
    assert kinds(repeated_effects(alarm_story(("end", ALARM, {"error": "ValueError"})))) == [
        ("repeated-effect", A, "charge")
    ]
    unflushed = alarm_story(
        ("end", ALARM, {"ok": True}), ("commit", "A/a!commit#1", {"durable": False}), ("reset", "A/a!crash#0", {})
    )
    assert len(repeated_effects(unflushed)) == 1


def test_an_alarm_that_comes_again_by_itself_repeats_nothing() -> None:
    done = ("end", ALARM, {"ok": True})
    assert repeated_effects(alarm_story(done)) == ()
    assert repeated_effects(alarm_story(done, ("evict", "A/a!evict#0", {}))) == ()
    flushed = [("commit", "A/a!commit#1", {"durable": False}), ("flush", "A/a!flush#1", {})]
    assert repeated_effects(alarm_story(done, *flushed, ("reset", "A/a!crash#0", {}))) == ()


def test_an_answer_that_finds_nobody_is_a_lost_continuation() -> None:
    """LC-19."""
    story = Story().tell("send", "A/a>B/b#0", to=B, method="old").tell("deliver", "A/a>B/b#0/r")
    story.tell("send", "A/a>B/b#1", where="app.py:3", to=B, method="ask").tell("evict", "A/a!evict#0")
    (found,) = lost_continuations(story.tell("evict", "A/a!evict#1").trace)
    assert (found.object, found.key, found.first.where) == (A, "ask", "app.py:3")


def test_who_waits_for_whom_is_said_from_end_to_end() -> None:
    story = Story().tell("send", "d>A/a#0", actor="driver", to=A, method="go")
    story.tell("send", "A/a>B/b#0", where="app.py:1", to=B, method="lock")
    chain = waits(story.trace)[0]
    assert chain.message.startswith("nobody answers the last of these\n  driver waits for go of A/a")
    story = Story().tell("send", "d>A/a#0", actor="driver", to=A, method="go")
    story.tell("send", "A/a>B/b#0", where="app.py:1", to=B, method="lock")
    (found,) = waits(story.tell("send", "B/b>A/a#0", actor=B, where="app.py:2", to=A, method="lock").trace)
    assert found.message == (
        "deadlock: these wait for each other\n"
        "  A/a waits for lock of B/b, called at app.py:1\n"
        "  B/b waits for lock of A/a, called at app.py:2"
    )
    assert waits(Story().trace) == ()


def test_a_livelock_is_the_round_that_a_run_ends_with() -> None:
    story = Story().tell("deliver", "start", actor="driver")
    for n in range(6):
        story.tell("send", f"A/a>B/b#{n}", to=B, method="ping").tell("deliver", f"A/a>B/b#{n}", actor=B)
        story.tell("send", f"B/b>A/a#{n}", actor=B, to=A, method="pong").tell("deliver", f"B/b>A/a#{n}")
    (found,) = circles(story.trace)
    assert found.message == (
        "livelock: the run ends with the same 2 arrivals again and again\n  B/b: ping\n  A/a: pong"
    )
    assert circles(called().trace) == ()


def test_a_check_that_was_out_of_date_when_it_was_acted_on() -> None:
    """Check, wait, act: the write is up to date, the decision to write is not."""

    def story(*accesses: tuple[str, str]) -> list[tuple[str, str]]:
        told = Story()
        before = ""
        for strand, kind in accesses:
            if strand != before:
                told.tell("resume", strand)
            before = strand
            if kind:
                told.tell(kind, strand, key="players", store="kv", strand=strand)
        return [(f.first.event, f.second.event) for f in stale_checks(told.trace)]

    both = [("one", "read"), ("two", "read"), ("two", "write")]
    assert story(*both, ("one", "read"), ("one", "write")) == [("one", "two")]
    assert story(*both, ("one", "write")) == []  # that is a stale write, and another's business
    assert story(("one", "read"), ("one", "write"), ("two", "write"), ("one", "read"), ("one", "write")) == []
    assert story(("two", "write"), ("one", "read"), ("one", ""), ("one", "read"), ("one", "write")) == []


@pytest.mark.parametrize(
    "query, table",
    [
        ("SELECT a, b FROM seats WHERE id = ?", "seats"),
        ("INSERT INTO seats (id) VALUES (1)", "seats"),
        ("insert or replace into 'seats'", "insert or replace into 'seats'"),
        ('UPDATE "seats" SET a = 1', "seats"),
        ("DELETE FROM seats", "seats"),
        ("CREATE TABLE IF NOT EXISTS seats (id)", "seats"),
        ("SELECT 1", "SELECT 1"),
    ],
)
def test_statements_on_one_table_touch_the_same_place(query: str, table: str) -> None:
    """Two statements are never the same text, and yet they race."""
    event = TraceEvent(0, 0, "read", A, CALL, -1, {"key": query, "store": "sql"})
    assert key_of(event) == table


def test_a_write_that_nobody_was_promised_is_lost_all_the_same() -> None:
    (found,) = unflushed(lost().tell("reset", "A/a!crash#0").trace)
    assert found.message == (
        "lost write: the write of 'n' by driver>A/a#0 was not durable when A/a ended (crash)\n  written at app.py:1"
    )
    assert unflushed(lost().tell("reset", "A/a!crash#0").wrote("n", "later").trace) == ()


def remembered(*accesses: tuple[str, str]) -> list[tuple[str, str, str]]:
    """Accesses to the attribute ``n``, storage reads, and ends, by (kind, strand)."""
    story = Story()
    for kind, strand in accesses:
        if kind in ("read", "write"):
            story.tell(kind, strand, key="attr:n", store="attr", strand=strand)
        elif kind == "restore":
            story.tell("read", strand, key="n", store="kv", strand=strand)
        else:
            story.tell(kind, f"A/a!{kind}#0")
    return [(f.key, f.first.event, f.then.event if f.then else "") for f in forgotten(story.trace)]


def test_what_was_in_memory_only_and_is_asked_for_later_was_forgotten() -> None:
    """LC-14, LC-15: whatever ends an instance takes its attributes along."""
    start = "A/a!start#1"
    assert remembered(("write", "one"), ("hibernate", ""), ("read", "two")) == [("attr:n", "one", "two")]
    assert remembered(("write", "one"), ("evict", ""), ("write", start), ("read", "two")) == [("attr:n", "one", "two")]
    assert remembered(("write", "one"), ("reset", ""), ("write", "two"), ("read", "two")) == []
    assert remembered(("write", "one"), ("evict", ""), ("restore", start), ("write", start), ("read", "two")) == []
    assert remembered(("write", start), ("evict", ""), ("read", "two")) == []
    assert remembered(("write", "one"), ("read", "two")) == []


def test_two_that_hold_their_gates_and_ask_each_other_are_found_where_the_wait_is_ended() -> None:
    """IG-10."""
    story = Story().tell("send", "A/a>B/b#0", to=B, method="ask")
    story.tell("send", "B/b>A/a#0", actor=B, to=A, method="ask").tell("reset", "A/a!section#0")
    (found,) = closed_gates(story.tell("reset", "B/b!section#0", actor=B).trace)
    assert found.kind == "deadlock"
    assert closed_gates(Story().tell("send", "A/a>B/b#0", to=B, method="ask").tell("reset", "A/a!crash#0").trace) == ()
