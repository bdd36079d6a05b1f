from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lumenize_sim.check.finding import Access
from lumenize_sim.check.race import conflicting_pair, races
from lumenize_sim.errors import UsageError
from lumenize_sim.trace.recorder import Recorder
from lumenize_sim.trace.trace import Trace

ALICE, BOB, CAROL = "#1 increment (alice)", "#2 increment (bob)", "#3 increment (carol)"

Turn = tuple[str, list[tuple[str, str]]]


def history(*turns: Turn, actor: str = "COUNTER/c1") -> Trace:
    """One actor; each turn is (strand, accesses), an access is (kind, key)."""
    recorder = Recorder()
    seen: dict[str, None] = {}
    for strand, accesses in turns:
        turn = recorder.add("resume" if strand in seen else "deliver", actor, strand)
        seen[strand] = None
        for index, (kind, key) in enumerate(accesses):
            if kind == "send":
                recorder.add("send", actor, "notify", turn, {"to": "X"}, "app.py:9")
            else:
                data = {"key": key, "store": "kv", "strand": strand}
                recorder.add(kind, actor, kind, turn, data, f"app.py:{index + 1}")
    return recorder.close()


def pairs(trace: Trace) -> list[tuple[str, str, str, str]]:
    return [(f.kind, f.key, f.first.event, f.second.event) for f in races(trace)]


def test_write_between_read_and_write_is_a_lost_update() -> None:
    trace = history((ALICE, [("read", "n")]), (BOB, [("read", "n"), ("write", "n")]), (ALICE, [("write", "n")]))
    (found,) = races(trace)
    assert found.kind == "stale-write"
    assert found.first == Access(ALICE, "app.py:1", "read", 1, "COUNTER/c1")
    assert found.second == Access(BOB, "app.py:2", "write", 4, "COUNTER/c1")
    assert found.then == Access(ALICE, "app.py:1", "write", 6, "COUNTER/c1")
    assert found.message == (
        'racing pair: COUNTER/c1 #2 increment (bob) ran between read and write of "n" in #1 increment (alice)\n'
        "  read at app.py:1, written at app.py:1; #2 increment (bob) wrote at app.py:2"
    )


def test_json_of_a_finding_has_the_agreed_fields() -> None:
    trace = history((ALICE, [("read", "n")]), (BOB, [("delete", "n")]), (ALICE, [("write", "n")]))
    (found,) = races(trace)
    assert json.loads(json.dumps(found.to_json())) == {
        "kind": "stale-write",
        "object": "COUNTER/c1",
        "key": "n",
        "first": {"event": ALICE, "where": "app.py:1", "op": "read", "n": 1, "actor": "COUNTER/c1"},
        "second": {"event": BOB, "where": "app.py:1", "op": "delete", "n": 3, "actor": "COUNTER/c1"},
        "message": found.message,
    }


def test_read_and_write_in_one_turn_are_safe() -> None:
    both = [("read", "n"), ("write", "n")]
    assert pairs(history((ALICE, both), (BOB, both), (ALICE, []))) == []


def test_other_strands_in_the_same_turn_do_not_race() -> None:
    """Tasks of two strands that hand over through an in-object event continue one turn: no await came between."""
    recorder = Recorder()
    recorder.add("turn", "A", ALICE)
    for strand, kind in ((ALICE, "read"), (BOB, "write"), (ALICE, "write"), (ALICE, "send")):
        recorder.add(kind, "A", "x", -1, {"key": "n", "strand": strand})
    assert pairs(recorder.close()) == []


def test_reading_again_makes_knowledge_fresh() -> None:
    trace = history(
        (ALICE, [("read", "n")]), (BOB, [("write", "n")]), (ALICE, [("read", "n")]), (ALICE, [("write", "n")])
    )
    assert pairs(trace) == []


def test_writes_of_other_keys_stores_and_actors_do_not_race() -> None:
    assert pairs(history((ALICE, [("read", "n")]), (BOB, [("write", "m")]), (ALICE, [("write", "n")]))) == []
    recorder = Recorder()
    for actor, strand, kind, store in (
        ("A", ALICE, "read", "kv"),
        ("A", BOB, "write", "sql"),
        ("B", BOB, "write", "kv"),
        ("A", ALICE, "write", "kv"),
    ):
        recorder.add("turn", actor, strand)
        recorder.add(kind, actor, kind, -1, {"key": "n", "store": store, "strand": strand})
    assert pairs(recorder.close()) == []


def test_acting_on_a_stale_read_is_the_weaker_kind() -> None:
    trace = history((ALICE, [("read", "n")]), (BOB, [("write", "n")]), (ALICE, [("send", ""), ("write", "m")]))
    (found,) = races(trace)
    assert found.kind == "stale-read"
    assert found.then is not None
    assert found.then.op == "send"
    assert found.message == (
        'racing pair: COUNTER/c1 #2 increment (bob) wrote "n" after #1 increment (alice) had read it '
        "and before it acted (send)\n  read at app.py:1, acted at app.py:9; #2 increment (bob) wrote at app.py:1"
    )


def test_gravest_kind_comes_first_and_replaces_the_weaker_one() -> None:
    trace = history(
        (ALICE, [("read", "m"), ("read", "n")]),
        (BOB, [("write", "m"), ("write", "n")]),
        (ALICE, [("send", ""), ("write", "n")]),
    )
    assert pairs(trace) == [("stale-write", "n", ALICE, BOB), ("stale-read", "m", ALICE, BOB)]


def test_own_write_settles_the_weaker_kind_but_not_the_graver() -> None:
    both = [("read", "n"), ("write", "n")]
    assert pairs(history((ALICE, both), (BOB, both), (ALICE, [("send", "")]))) == []
    assert pairs(history((ALICE, both), (BOB, both), (ALICE, [("write", "n")]))) == [("stale-write", "n", ALICE, BOB)]


def test_every_strand_whose_write_is_lost_is_named_once() -> None:
    trace = history(
        (ALICE, [("read", "n")]),
        (BOB, [("write", "n"), ("write", "n")]),
        (CAROL, [("write", "n")]),
        (ALICE, [("write", "n"), ("write", "n")]),
    )
    assert pairs(trace) == [("stale-write", "n", ALICE, BOB), ("stale-write", "n", ALICE, CAROL)]


def test_label_that_repeats_the_actor_is_shortened_in_words() -> None:
    one, two = "COUNTER/c1 #1 f", "COUNTER/c1"
    trace = history((one, [("read", "n")]), (two, [("write", "n")]), (one, [("write", "n")]))
    assert 'COUNTER/c1 COUNTER/c1 ran between read and write of "n" in #1 f\n' in races(trace)[0].message


def test_record_stands_in_for_a_missing_source_line_and_op_is_kept() -> None:
    recorder = Recorder()
    for strand, kind in ((ALICE, "read"), (BOB, "write"), (ALICE, "write")):
        recorder.add("turn", "A", strand)
        recorder.add(kind, "A", "x", -1, {"key": "n", "op": f"kv.{kind}", "strand": strand})
    recorder.add("write", "A", "x", -1, {"strand": ALICE})
    recorder.add("write", "A", "x", -1, {"key": "n"})
    (found,) = races(recorder.close())
    assert (found.first.op, found.second.op) == ("kv.read", "kv.write")
    assert found.message.endswith("read at record 1, written at record 5; #2 increment (bob) wrote at record 3")


def naive(turns: list[Turn]) -> set[tuple[str, str, str, str]]:
    """The definition, word for word, over all triples."""
    flat = [(turn, strand, kind, key) for turn, (strand, accesses) in enumerate(turns) for kind, key in accesses]
    found: set[tuple[str, str, str, str]] = set()
    for r, (turn, one, kind, key) in enumerate(flat):
        if kind != "read":
            continue
        for e in range(r + 1, len(flat)):
            later, actor, act, what = flat[e]
            if actor != one or act == "read" or later <= turn:
                continue
            own = [(k, w) for _, s, k, w in flat[r + 1 : e] if s == one and w == key and k != "send"]
            if ("read", key) in own:
                continue
            for _, other, between, slot in flat[r + 1 : e]:
                if other != one and slot == key and between in ("write", "delete"):
                    same = act != "send" and what == key
                    if same or not own:
                        found.add(("stale-write" if same else "stale-read", key, one, other))
    return {f for f in found if f[0] == "stale-write" or ("stale-write", *f[1:]) not in found}


accesses = st.tuples(st.sampled_from(["read", "write", "delete", "send"]), st.sampled_from(["m", "n"]))
turns = st.lists(st.tuples(st.sampled_from([ALICE, BOB, CAROL]), st.lists(accesses, max_size=3)), max_size=9)


@settings(max_examples=400, deadline=None)
@given(turns)
@example([(ALICE, [("read", "n")]), (BOB, [("write", "n")]), (ALICE, [("write", "n")])])
def test_findings_are_those_of_the_naive_definition(steps: list[Turn]) -> None:
    found = pairs(history(*steps))
    assert set(found) == naive(steps)
    assert len(found) == len(set(found))
    assert [kind for kind, *_ in found] == sorted((kind for kind, *_ in found), reverse=True)


@settings(max_examples=100, deadline=None)
@given(turns)
def test_accesses_of_a_finding_stand_in_the_order_that_makes_the_race(steps: list[Turn]) -> None:
    for found in races(history(*steps)):
        assert found.then is not None
        assert found.first.n < found.second.n < found.then.n
        assert found.first.event == found.then.event != found.second.event


def attributes() -> Trace:
    recorder = Recorder()
    for label, kind, key, where in (
        ("#1 on_update", "write", "attr:content", "tab.py:8"),
        ("#1 on_update", "read", "attr:name", "tab.py:9"),
        ("#2 on_result", "read", "attr:name", "tab.py:12"),
        ("#2 on_result", "read", "attr:content", "tab.py:13"),
        ("#2 on_result", "write", "attr:content", "tab.py:14"),
        ("#2 on_result", "read", "attr:content", "tab.py:15"),
        ("#2 on_result", "read", "attr:other", "tab.py:16"),
    ):
        data: dict[str, Any] = {"key": key, "op": f"attr-{kind}", "strand": label}
        recorder.add(kind, "alice.tab1", label, -1, data, where)
    recorder.add("log", "server", "x")
    return recorder.close()


def test_conflicting_pair_names_shared_keys_with_a_write_and_both_lines() -> None:
    (found,) = conflicting_pair(attributes(), "alice.tab1", "#1 on_update", "#2 on_result")
    assert (found.kind, found.key, found.then) == ("conflict", "attr:content", None)
    assert (found.first.where, found.second.where) == ("tab.py:8", "tab.py:14")
    assert found.message == (
        'racing pair: alice.tab1 #1 on_update and #2 on_result both access "attr:content"\n'
        "  #1 on_update: attr-write at tab.py:8; #2 on_result: attr-write at tab.py:14"
    )


def test_conflicting_pair_takes_a_read_where_the_event_does_not_write() -> None:
    trace = history((ALICE, [("write", "n")]), (BOB, [("read", "n"), ("read", "n")]))
    (found,) = conflicting_pair(trace, "COUNTER/c1", ALICE, BOB)
    assert (found.first.op, found.second.op, found.second.n) == ("write", "read", 4)


def test_conflicting_pair_names_what_there_is_to_choose_from() -> None:
    with pytest.raises(UsageError, match=r"'bob' is not in this trace: choose one of alice\.tab1, server"):
        conflicting_pair(attributes(), "bob", "x", "y")
    with pytest.raises(UsageError, match=r"'#3' is not at alice\.tab1 in this trace: choose one of #1 on_update, #2"):
        conflicting_pair(attributes(), "alice.tab1", "#1 on_update", "#3")
