from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim.trace.event import KINDS
from lumenize_sim.trace.recorder import Recorder
from lumenize_sim.trace.trace import Trace
from lumenize_sim.view.mermaid import escape, sequence_diagram
from lumenize_sim.view.notebook import html_page, mimebundle
from lumenize_sim.view.story import call_text, clip, milliseconds, story
from lumenize_sim.view.svg import sequence_svg
from lumenize_sim.view.timeline import timeline
from lumenize_sim.view.tree import call_forest, call_tree, rich_tree

C, ONE, TWO = "COUNTER/c1", "#1 increment (alice)", "#2 increment (bob)"


def lost_update() -> Trace:
    """Two increments whose calls go through a gateway; the second overtakes the first at the await."""
    r = Recorder()
    waiting: list[tuple[str, str, str, int]] = []
    for who, label in (("alice", ONE), ("bob", TWO)):
        gate = f"GATEWAY/{who}"
        click = r.add("deliver", who, "#1 click")
        call = r.add("send", who, "increment", click, {"from": who, "to": C, "method": "increment", "args": "()"})
        frame = r.add("frame", who, "call", call, {"from": who, "to": gate, "text": "call"})
        r.add("end", who, "#1 click", click, {"ok": True})
        r.t_us += 1500
        at_gate = r.add("deliver", gate, "#1 frame", frame)
        onward = r.add("send", gate, "increment", at_gate, {"to": C, "method": "increment", "args": ()})
        arrived = r.add("deliver", C, label, onward)
        r.add("read", C, label, arrived, {"key": "n", "strand": label}, "counter.py:5")
        ask = r.add("send", C, "current", arrived, {"to": "RATES", "method": "current", "args": '("a;b", 1)'})
        at_rates = r.add("deliver", "RATES", f"{label} current", ask)
        waiting.append((who, gate, label, r.add("reply", "RATES", "current", at_rates, {"value": "1"})))
    for who, gate, label, reply in reversed(waiting):
        turn = r.add("resume", C, label, reply)
        r.add("write", C, label, turn, {"key": "n", "strand": label, "value": "1"}, "counter.py:7")
        r.add("write", C, label, turn, {"key": "m", "strand": label})
        end = r.add("end", C, label, turn, {"ok": True, "value": "1"})
        r.add("commit", C, "", turn)
        answer = r.add("reply", C, label, end, {"value": "1"})
        back = r.add("resume", gate, "#1 frame", answer)
        frame = r.add("frame", gate, "result", back, {"from": gate, "to": who, "text": "result"})
        r.add("deliver", who, "#2 on_count", frame)
    r.t_us += 5000
    r.add("fault", "RATES", "disconnect")
    lost = r.add("send", C, "current", -1, {"to": "RATES", "method": "current", "args": "()"})
    r.add("reply", C, "current", lost, {"error": "ConnectionError", "message": "gone"})
    r.add("send", C, "unheard", -1, {"to": "RATES", "method": "unheard"})
    r.add("reset", C, "crash")
    r.add("verdict", "driver", "AssertionError", -1, {"error": "AssertionError", "message": "1 != 2"})
    return r.close({"scenario": "two_clicks"})


def find(trace: Trace, kind: str, label: str) -> int:
    return next(event.n for event in trace if event.kind == kind and event.label == label)


def test_mermaid_draws_messages_where_they_arrive() -> None:
    trace = lost_update()
    hot = (find(trace, "read", ONE), find(trace, "write", TWO))
    assert (
        sequence_diagram(trace, highlight=hot)
        == """sequenceDiagram
    participant p0 as alice
    participant p1 as gateway alice
    participant p2 as bob
    participant p3 as gateway bob
    participant p4 as COUNTER/c1
    participant p5 as RATES
    Note over p0: #35;1 click
    p0-)p1: increment()
    p1->>p4: increment()
    rect rgba(240, 150, 30, 0.25)
        Note over p4: (1) read n
    end
    p4->>p5: current(#34;a#59;b#34;, 1)
    Note over p2: #35;1 click
    p2-)p3: increment()
    p3->>p4: increment()
    p4->>p5: current(#34;a#59;b#34;, 1)
    p5-->>p4: 1
    rect rgba(240, 150, 30, 0.25)
        Note over p4: (2) ✎ n = 1 ✓
    end
    Note over p4: ✎ m ✓
    p4-->>p3: 1
    p3-)p2: result
    p5-->>p4: 1
    Note over p4: ✎ n = 1 ✓<br/>✎ m ✓
    p4-->>p1: 1
    p1-)p0: result
    rect rgba(220, 50, 40, 0.2)
        Note over p5: ⚡ socket cut#58; what leaves here is lost
    end
    p4-xp5: current() (not delivered)
    p5--xp4: ConnectionError#58; gone
    p4-xp5: unheard() (not delivered)
    rect rgba(220, 50, 40, 0.2)
        Note over p4: ⚡ crashed#58; memory, sockets, unflushed writes lost
    end
    rect rgba(220, 50, 40, 0.2)
        Note over p0,p5: ✗ failed#58; AssertionError#58; 1 != 2
    end
"""
    )


@pytest.mark.parametrize(
    "text", [";", "#", "%%{init: {}}%%", '"', "'", "<b>", "&amp;", "wrap:x", "{", "`", "\x00", "$$"]
)
def test_what_mermaid_would_interpret_is_a_reference(text: str) -> None:
    assert re.fullmatch(r"([\w .,/()+*=?!@~^|-]|#\d+;)*", escape(text))


def test_line_breaks_are_br() -> None:
    assert escape("a\r\nb\nc") == "a<br/>b<br/>c"


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(), max_size=12))
def test_escaped_text_reads_back(text: str) -> None:
    shown = re.sub(r"#(\d+);", lambda m: chr(int(m[1])), escape(text).replace("<br/>", "\n"))
    wanted = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text.replace("\r\n", "\n"))
    assert shown == wanted


anything = st.text(st.characters(), max_size=5)
content = st.none() | st.dictionaries(
    st.sampled_from(["from", "to", "method", "args", "key", "value", "text", "error", "message"]),
    st.sampled_from(["A", "B", "x;y", "<&>", "\ud800\x1b[31m"]),
    max_size=5,
)
steps = st.lists(
    st.tuples(
        st.sampled_from(sorted(KINDS)),
        st.sampled_from(["A", "B", "<&;\n\ud800"]),
        anything,
        content,
        st.integers(-1, 9),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(steps, st.lists(st.integers(0, 12), max_size=3), st.integers(1, 12))
def test_no_trace_breaks_a_view(rows: list[tuple[str, str, str, Any, int]], hot: list[int], most: int) -> None:
    recorder = Recorder()
    for index, (kind, actor, label, data, cause) in enumerate(rows):
        recorder.t_us += index
        recorder.add(kind, actor, label, min(cause, index - 1), data)
    trace = recorder.close({"scenario": "<&\ud800"})
    bundle = mimebundle(trace, max_events=most, highlight=hot)
    assert set(bundle) == {"text/plain", "text/html", "text/vnd.mermaid"}
    for text in [*bundle.values(), call_tree(trace), html_page(trace)]:
        text.encode()
        assert "\x1b" not in text
    ET.fromstring(sequence_svg(trace, max_events=most, highlight=hot))
    for line in bundle["text/vnd.mermaid"].splitlines()[1:]:
        assert re.fullmatch(
            r" +(participant p\d+ as .+|(Note over p\d+(,p\d+)?|p\d+(->>|-->>|-\)|-x|--x)p\d+): .+"
            r"|rect rgba\([\d., ]+\)|end)",
            line,
        )
        assert ";" not in re.sub(r"#\d+;", "", line)
    rich_tree(trace)


def test_long_traces_are_cut_around_the_highlights() -> None:
    recorder = Recorder()
    for index in range(100):
        recorder.add("log", "A", f"step {index}", -1)
        recorder.t_us += 1
    trace = recorder.close()
    first = story(trace, max_events=10)
    assert [step.at for step in first.steps] == list(range(10))
    assert first.gaps == {10: 90}
    hot = story(trace, max_events=10, highlight=(3, 80))
    assert [step.at for step in hot.steps] == [3, *range(74, 83)]
    assert hot.gaps == {0: 3, 1: 70, 10: 17}
    assert sequence_diagram(trace, max_events=10, highlight=(3, 80)).count("more steps") == 3
    assert timeline(trace, max_events=10, highlight=(3, 80)).count("more steps") == 3
    assert sequence_svg(trace, max_events=10, highlight=(3, 80)).count("more steps") == 3


def test_gap_spans_all_participants() -> None:
    trace = lost_update()
    assert "Note over p0,p5: … " in sequence_diagram(trace, highlight=(trace.events[-1].n,), max_events=20)


def test_nothing_to_show_is_said() -> None:
    trace = Recorder().close()
    assert "nothing to show" in sequence_diagram(trace)
    assert "nothing to show" in sequence_svg(trace)
    assert timeline(trace) == "nothing to show"
    assert call_tree(trace) == ""


def test_svg_is_self_contained_and_knows_both_themes() -> None:
    page = html_page(lost_update(), highlight=(5,))
    body = page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|<script|url\(|@import", body)
    assert "prefers-color-scheme:dark" in page
    assert "data-jp-theme-light" in page
    assert "<title>two_clicks</title>" in page


def test_svg_slants_a_message_that_was_overtaken() -> None:
    svg = ET.fromstring(sequence_svg(lost_update()))
    lines = [p.get("d", "") for p in svg.iter("{http://www.w3.org/2000/svg}path") if "msg reply" in p.get("class", "")]
    ends = [re.fullmatch(r"M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)", line) for line in lines]
    # The answer to the first increment waits while the second one runs.
    assert sorted(float(m[4]) > float(m[2]) for m in ends if m) == [False, False, False, True]


def test_svg_shows_calls_to_oneself_and_their_strands() -> None:
    recorder = Recorder()
    start = recorder.add("deliver", "A", "#1 f")
    call = recorder.add("send", "A", "g", start, {"to": "A", "method": "g", "args": ["1", "2"]})
    recorder.add("log", "A", "between", start)
    recorder.add("deliver", "A", "#2 g", call)
    recorder.add("log", "A", "after", call)
    svg = sequence_svg(recorder.close(), highlight=(call,))
    assert "g(1, 2)" in svg
    assert "<title>#1 f</title>" in svg


def test_call_tree_nests_calls_below_the_strand_that_made_them() -> None:
    assert (
        call_tree(lost_update())
        == """\
[0 ms] alice  #1 click  → ok (+0 ms)
└─ [0 ms] alice → COUNTER/c1  increment()  … no answer
   └─ [1.5 ms] alice → COUNTER/c1  increment()  → 1 (+1.5 ms)
      └─ [1.5 ms] COUNTER/c1 → RATES  current("a;b", 1)  → 1 (+0 ms)
[1.5 ms] bob  #1 click  → ok (+0 ms)
└─ [1.5 ms] bob → COUNTER/c1  increment()  … no answer
   └─ [3 ms] bob → COUNTER/c1  increment()  → 1 (+0 ms)
      └─ [3 ms] COUNTER/c1 → RATES  current("a;b", 1)  → 1 (+0 ms)
[8 ms] RATES  ⚡ socket cut: what leaves here is lost
[8 ms] COUNTER/c1 → RATES  current()  ✗ ConnectionError: gone (+0 ms)
[8 ms] COUNTER/c1 → RATES  unheard()  … not delivered
[8 ms] COUNTER/c1  ⚡ crashed: memory, sockets, unflushed writes lost
[8 ms] ✗ failed  AssertionError: 1 != 2"""
    )


def test_call_after_an_await_is_a_sibling_of_the_awaited_one() -> None:
    """By bare cause it would hang below it."""
    recorder = Recorder()
    start = recorder.add("alarm", "A", "#1 alarm")
    one = recorder.add("send", "A", "x", start, {"to": "B", "method": "one"})
    at_b = recorder.add("deliver", "B", "#1 one", one)
    resumed = recorder.add("resume", "A", "#1 alarm", recorder.add("reply", "B", "one", at_b))
    two = recorder.add("send", "A", "x", resumed, {"to": "B", "method": "two"})
    recorder.add("fault", "net", "cut", two)
    (root,) = call_forest(recorder.close())
    assert [str(child) for child in root.children] == [
        "[0 ms] A → B  one()  → ok (+0 ms)",
        "[0 ms] A → B  two()  … not delivered",
    ]
    assert [str(below) for below in root.children[1].children] == ["[0 ms] net  ⚡ fault cut"]
    assert str(root) == "[0 ms] A  alarm #1 alarm"


def test_deep_chains_need_no_recursion() -> None:
    recorder = Recorder()
    cause = -1
    for index in range(3000):
        call = recorder.add("send", f"A{index}", "f", cause, {"to": f"A{index + 1}", "method": "f"})
        cause = recorder.add("deliver", f"A{index + 1}", "#1 f", call)
    assert len(call_tree(recorder.close()).splitlines()) == 3000


def test_rich_tree_has_the_lines_of_the_plain_one() -> None:
    from rich.console import Console

    out = io.StringIO()
    Console(width=200, file=out).print(rich_tree(lost_update()))
    text = out.getvalue()
    assert "two_clicks" in text
    for line in call_tree(lost_update()).splitlines():
        assert line.lstrip("│├└─ ") in text


def test_timeline_has_a_lane_per_actor_and_fits() -> None:
    trace = lost_update()
    text = timeline(trace, width=140, highlight=(find(trace, "read", ONE),))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 140
    assert [cell.strip() for cell in lines[0].split("│")] == [
        "time",
        "alice",
        "gateway alice",
        "bob",
        "gateway bob",
        C,
        "RATES",
    ]
    assert any("*1" in line and "read n" in line for line in lines)
    assert any("⚡ crashed" in line for line in lines)
    assert any("✗ current() ▸" in line for line in lines)


def test_timeline_of_chosen_actors_keeps_their_order() -> None:
    text = timeline(lost_update(), actors=["RATES", C])
    assert [cell.strip() for cell in text.splitlines()[0].split("│")] == ["time", "RATES", C]
    assert "alice" not in text.replace("GATEWAY", "")


def test_connections_are_arrows() -> None:
    recorder = Recorder()
    recorder.add("connect", "A", "open", -1, {"from": "A", "to": "G"})
    recorder.add("close", "G", "1000 bye", -1, {"from": "G", "to": "A"})
    recorder.add("close", "G", "1000 bye")
    text = sequence_diagram(recorder.close())
    assert "p0->>p1: open" in text
    assert "p1-xp0: 1000 bye" in text


def test_texts_are_short_and_printable() -> None:
    assert clip("a\nb  c", 10) == "a b c"
    assert clip("abcdef", 4) == "abc…"
    assert clip("a\x00b\ud800", 9) == "a\ufffdb\ufffd"
    assert milliseconds(0) == "0 ms"
    assert milliseconds(1_500) == "1.5 ms"
    assert milliseconds(100_000) == "100 ms"
    event = Recorder()
    event.add("send", "A", "x", -1, {"method": "post", "args": "(" + "y" * 100 + ")"})
    event.add("send", "A", "label")
    long, bare = event.close().events
    assert call_text(long, 20) == "post(" + "y" * 13 + "…)"
    assert call_text(bare) == "label"
