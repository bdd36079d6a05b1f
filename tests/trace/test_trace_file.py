from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim.errors import SimulatorError, UsageError
from lumenize_sim.trace import codec
from lumenize_sim.trace.event import KINDS, TraceEvent
from lumenize_sim.trace.recorder import Recorder
from lumenize_sim.trace.trace import Trace, digest_of

text = st.text(st.characters(), max_size=6)  # half surrogate pairs included: JavaScript strings may hold them
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.binary(max_size=4) | text
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
data = st.none() | st.lists(values, max_size=3).map(tuple) | st.dictionaries(text, values, max_size=3)
rows = st.lists(
    st.tuples(st.sampled_from(sorted(KINDS)), st.sampled_from(["A", "B", "C/1"]), text, data, st.none() | text),
    max_size=10,
)


def record(steps: list[tuple[str, str, str, Any, str | None]]) -> Trace:
    recorder = Recorder()
    for index, (kind, actor, label, content, where) in enumerate(steps):
        recorder.t_us += 3
        recorder.add(kind, actor, label, index - 1, content, where)
    return recorder.close({"scenario": "generated", "seed": 1})


def small() -> Trace:
    return record(
        [
            ("deliver", "A", "#1 f", None, None),
            ("write", "A", "put", {"key": "n", "value": (1, 2.5, b"\x00")}, "app.py:3"),
            ("verdict", "driver", "ok", ("x",), None),
        ]
    )


@settings(max_examples=100, deadline=None)
@given(rows)
def test_what_was_written_is_read(steps: list[tuple[str, str, str, Any, str | None]]) -> None:
    trace = record(steps)
    content = b"".join(codec.encode(value) for value in (trace.header, *map(tuple, trace.events), trace._footer()))
    items = [item.value for item in codec.decode_sequence(content, "x")]
    assert items == [trace.header, *map(tuple, trace.events), trace._footer()]


def test_file_round_trip_keeps_everything(tmp_path: Path) -> None:
    trace = small()
    path = tmp_path / "run.trace"
    trace.write(path)
    back = Trace.read(path)
    assert back == trace
    assert back.digest == trace.digest
    assert [p.name for p in tmp_path.iterdir()] == ["run.trace"]


def test_empty_trace_round_trip(tmp_path: Path) -> None:
    Trace(()).write(tmp_path / "t")
    assert Trace.read(tmp_path / "t") == Trace(())


def test_truncation_at_every_byte_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "run.trace"
    small().write(path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(UsageError, match=r"run\.trace.*; (copy|record|pass)|run\.trace.*empty; record"):
            Trace.read(path)


def test_a_changed_byte_never_crashes_and_never_passes_for_the_behaviour(tmp_path: Path) -> None:
    """Time, cause, line and header are outside the digest; any other change must be refused."""
    path = tmp_path / "run.trace"
    trace = small()
    trace.write(path)
    content = path.read_bytes()
    for index in range(len(content)):
        for flip in (0x01, 0x20, 0x80, 0xFF):
            path.write_bytes(content[:index] + bytes([content[index] ^ flip]) + content[index + 1 :])
            back = read_or_refuse(path)
            if back is not None:
                assert back.digest == trace.digest
                assert [(*e[2:5], e.data) for e in back] == [(*e[2:5], e.data) for e in trace]


def read_or_refuse(path: Path) -> Trace | None:
    """``None`` where the reader says what is wrong; any other exception is the test's."""
    try:
        return Trace.read(path)
    except UsageError:
        return None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_foreign_bytes_are_a_usage_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "foreign"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="foreign: "):
        Trace.read(path)


HEADER = {"format": "lumenize-trace", "version": 1}
GOOD = (0, 0, "log", "A", "x", -1, None, None)


@pytest.mark.parametrize(
    "items, message",
    [
        ([], "the file is empty"),
        ([[1]], "item 0 at byte 0 is not a lumenize-trace header"),
        ([{"format": "other"}], "item 0 at byte 0 is not a lumenize-trace header"),
        ([{**HEADER, "version": 2}], "version 2, and this release reads 1"),
        ([HEADER], "without a footer"),
        ([HEADER, 5], "item 1 at byte 32: not an array of 8 fields"),
        ([HEADER, (1, *GOOD[1:])], "record 1 where 0 is due"),
        ([HEADER, (True, *GOOD[1:])], "record True where 0 is due"),
        ([HEADER, (0, 0, "say", *GOOD[3:])], "kind 'say' is unknown"),
        ([HEADER, (0, 0, [], *GOOD[3:])], r"kind \(\) is unknown"),
        ([HEADER, (0, 0.5, *GOOD[2:])], "time, actor or label"),
        ([HEADER, (*GOOD[:5], 0, None, None)], "cause 0 is not an earlier record"),
        ([HEADER, (*GOOD[:6], 3, None)], "data or source line"),
        ([HEADER, (*GOOD[:7], 3)], "data or source line"),
        ([HEADER, GOOD, {"events": 2}], "the footer counts 2 records, the file has 1"),
        ([HEADER, GOOD, {"events": 1, "digest": "00"}], "so the file was changed"),
        ([HEADER, {"events": 0, "digest": digest_of(())}, 1], "item 2 at byte 82: something follows the footer"),
        ([HEADER, cbor2.CBORTag(999, 1)], "item 1 at byte [0-9]+ is not what Trace.write makes"),
    ],
)
def test_foreign_files_are_told_apart(tmp_path: Path, items: list[Any], message: str) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(b"".join(cbor2.dumps(item) for item in items))
    with pytest.raises(UsageError, match=message) as caught:
        Trace.read(path)
    assert str(path) in str(caught.value)


def test_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        Trace.read(tmp_path / "none")


def test_data_that_is_not_plain_is_our_fault() -> None:
    with pytest.raises(SimulatorError, match="plain values"):
        _ = Trace((TraceEvent(0, 0, "log", "A", "x", data={"v": object()}),)).digest


def test_half_surrogate_pairs_do_not_collide_with_what_they_look_like() -> None:
    lone = TraceEvent(0, 0, "log", "A", "\ud800", data=["\ud800"])  # type: ignore[arg-type]  # data of any kind must have a digest
    assert digest_of([lone]) != digest_of([lone._replace(label="\\ud800")])
    (item,) = codec.decode_sequence(codec.encode({"\ud800": "x\udfff"}), "x")
    assert item.value == {"\ud800": "x\udfff"}


def test_jsonl_has_one_json_object_per_line(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    trace = record([("log", "A", "x", {"b": b"\x01", "nan": float("nan"), "t": (1, "ü")}, None)])
    trace.to_jsonl(path)
    header, event, footer = map(json.loads, path.read_text().splitlines())
    assert header["scenario"] == "generated"
    assert event["data"] == {"b": {"$bytes": "01"}, "nan": "nan", "t": [1, "ü"]}
    assert footer == {"digest": trace.digest, "events": 1}


@settings(max_examples=100, deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_digest_ignores_order_between_actors(steps: list[Any], random: Any) -> None:
    """Behaviours, not noise: any merge of the actors' own histories has the same digest."""
    trace = record(steps)
    queues = [list(events) for events in trace.by_actor().values()]
    merged = []
    while queues := [queue for queue in queues if queue]:
        merged.append(random.choice(queues).pop(0))
    assert digest_of(merged) == trace.digest


@settings(max_examples=100, deadline=None)
@given(rows.filter(bool), st.data())
def test_digest_notices_kind_label_data_and_actor(steps: list[Any], draw: st.DataObject) -> None:
    trace = record(steps)
    index = draw.draw(st.integers(0, len(steps) - 1))
    event = trace.events[index]
    changed = draw.draw(
        st.one_of(
            st.sampled_from(sorted(KINDS)).map(lambda kind: event._replace(kind=kind)),
            text.map(lambda label: event._replace(label=label)),
            data.map(lambda content: event._replace(data=content)),
            st.just(event._replace(actor="D")),
        )
    )
    events = [*trace.events[:index], changed, *trace.events[index + 1 :]]
    same = codec.encode(tuple(changed)) == codec.encode(tuple(event))
    assert (digest_of(events) == trace.digest) is same


@settings(max_examples=50, deadline=None)
@given(rows.filter(bool), st.data())
def test_digest_notices_order_within_an_actor(steps: list[Any], draw: st.DataObject) -> None:
    trace = record([(kind, "A", f"{index}", content, None) for index, (kind, _, _, content, _) in enumerate(steps)])
    order = draw.draw(st.permutations(list(trace.events)))
    assert (digest_of(order) == trace.digest) is (list(order) == list(trace.events))


def test_digest_ignores_time_cause_line_and_header() -> None:
    trace = small()
    other = [event._replace(n=9, t_us=99, cause=-1, where="z.py:1") for event in trace]
    assert digest_of(other) == trace.digest == attrs.evolve(trace, header={"seed": 2}).digest


def test_digest_ignores_stacks_in_frames_and_nothing_else_of_them() -> None:
    """A line that moves in a file of the app or of this package is no other behaviour."""

    def digest(stack: str, message: str = "no", kind: str = "frame", rest: str = "") -> str:
        error = json.dumps({"message": message, "stack": stack, "later": rest}, separators=(",", ":"))
        return digest_of([TraceEvent(0, 0, kind, "A", "x", data={"from": "A", "to": "B", "text": error})])

    assert digest('Error: "no"\\\n    at a.py:1 (f)') == digest("Error: no\n    at a.py:2 (f)") == digest("")
    assert digest("s", "yes") != digest("s") != digest("s", rest="r")
    assert digest("s", kind="send") != digest("t", kind="send")


def test_digest_is_the_same_on_every_machine() -> None:
    assert small().digest == "58245f475021338cd6b941b8c73d3cb2"


def test_by_actor_keeps_each_actors_order() -> None:
    trace = record([("log", "B", "1", None, None), ("log", "A", "2", None, None), ("log", "B", "3", None, None)])
    assert [(name, [e.label for e in es]) for name, es in trace.by_actor().items()] == [("A", ["2"]), ("B", ["1", "3"])]
    assert len(trace) == 3
