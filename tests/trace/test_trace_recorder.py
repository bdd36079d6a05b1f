from __future__ import annotations

import pytest

from lumenize_sim.errors import SimulatorError, UsageError
from lumenize_sim.trace.causes import chain, strands
from lumenize_sim.trace.recorder import Level, Recorder


def test_records_get_consecutive_positions_and_the_current_time() -> None:
    recorder = Recorder()
    assert recorder.add("deliver", "A", "#1 f") == 0
    recorder.t_us = 1500
    assert recorder.add("send", "A", "g", 0, {"to": "B"}, "app.py:3") == 1
    assert len(recorder) == 2
    trace = recorder.close({"seed": 7})
    assert [tuple(event) for event in trace] == [
        (0, 0, "deliver", "A", "#1 f", -1, None, None),
        (1, 1500, "send", "A", "g", 0, {"to": "B"}, "app.py:3"),
    ]
    assert trace.header == {"seed": 7, "format": "lumenize-trace", "version": 1, "level": "full"}


def test_closed_recorder_refuses_and_counts() -> None:
    recorder = Recorder()
    assert recorder.closed is False
    trace = recorder.close()
    assert bool(recorder.closed)
    assert recorder.add("log", "A", "finally") == -1
    assert recorder.add("nonsense", "A", "finally") == -1
    assert (len(trace), recorder.refused) == (0, 2)


def test_outline_keeps_messages_and_whole_chains() -> None:
    """A record that is left out answers its cause, so what follows hangs on the next one up."""
    recorder = Recorder("outline")
    deliver = recorder.add("deliver", "A", "#1 f")
    turn = recorder.add("turn", "A", "#1 f", deliver)
    send = recorder.add("send", "A", "g", turn)
    trace = recorder.close()
    assert [event.kind for event in trace] == ["deliver", "send"]
    assert chain(trace, send) == (send, deliver)


def test_level_none_records_nothing() -> None:
    recorder = Recorder("none")
    assert recorder.add("verdict", "driver", "ok") == -1
    assert len(recorder.close()) == 0


def test_unknown_kind_is_our_fault_at_every_level() -> None:
    levels: tuple[Level, ...] = ("none", "outline", "full")
    for level in levels:
        with pytest.raises(SimulatorError, match="'sent' is not in the vocabulary"):
            Recorder(level).add("sent", "A", "x")


def test_unknown_level_names_the_choices() -> None:
    with pytest.raises(UsageError, match="'all' is unknown: choose one of none, outline, full"):
        Recorder("all")  # type: ignore[arg-type]  # the mistake under test


def test_strand_follows_causes_within_the_actor_only() -> None:
    recorder = Recorder()
    deliver = recorder.add("deliver", "A", "#1 f")
    send = recorder.add("send", "A", "g", deliver)
    arrived = recorder.add("deliver", "B", "#1 g", send)
    reply = recorder.add("reply", "B", "g", arrived)
    resume = recorder.add("resume", "A", "#1 f", reply)
    recorder.add("write", "A", "put", resume, {"key": "n"})
    recorder.add("write", "A", "put", resume, {"key": "n", "strand": "#9 h"})
    recorder.add("fault", "A", "crash", reply)
    recorder.add("mark", "A", "x")
    assert strands(recorder.close()) == ["#1 f", "#1 f", "#1 g", "#1 g", "#1 f", "#1 f", "#9 h", None, None]


def test_reads_of_defaults_of_a_class_are_no_part_of_the_digest() -> None:
    """They are recorded for explanations only; where a value comes from is no behaviour."""
    digests = []
    for default in (False, True):
        recorder = Recorder()
        recorder.add("turn", "A", "x")
        if default:
            recorder.add("read", "A", "x", -1, {"key": "attr:n", "store": "attr", "default": True})
        recorder.add("write", "A", "x", -1, {"key": "attr:n", "store": "attr"})
        digests.append(recorder.close().digest)
    assert digests[0] == digests[1]
