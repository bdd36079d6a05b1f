"""Pictures of runs of the simulator itself: what people see of them, and what they are spared."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from lumenize_sim import (
    RESULT,
    Faults,
    LumenizeClient,
    LumenizeDO,
    Mesh,
    Run,
    World,
    explore,
    mesh,
    scenario,
    simulate,
)
from lumenize_sim.explore import load_scenario
from lumenize_sim.trace.recorder import Recorder
from lumenize_sim.trace.trace import Trace
from lumenize_sim.view.cast import cast
from lumenize_sim.view.frame import frame
from lumenize_sim.view.mermaid import sequence_diagram
from lumenize_sim.view.notebook import html_page, mimebundle
from lumenize_sim.view.step import Arrow, Note
from lumenize_sim.view.story import Story, story
from lumenize_sim.view.svg import sequence_svg
from lumenize_sim.view.timeline import timeline
from lumenize_sim.view.tree import call_tree

SCENARIOS = Path(__file__).parents[2] / "scenarios"
SVG = "{http://www.w3.org/2000/svg}"


@cache
def run(name: str, seed: int = 5) -> Run:
    return simulate(load_scenario(str(SCENARIOS / f"{name}.py")), seed=seed)


@cache
def failure(name: str) -> Run:
    report = explore(load_scenario(str(SCENARIOS / f"{name}.py")), schedules=300, verify=False, save=None)
    return report.failures[0].run


def pair(found: Run) -> tuple[int, int]:
    assert found.explanation is not None
    return found.explanation.first.n, found.explanation.second.n


def tell(trace: Trace, *hot: int, detail: bool = False) -> Story:
    return story(trace, max_events=2000, highlight=hot, detail=detail)


def arrows(tale: Story) -> list[Arrow]:
    return [step for step in tale.steps if isinstance(step, Arrow)]


def lines(tale: Story, tone: str | None = None) -> list[str]:
    return [line for step in tale.steps if isinstance(step, Note) and tone in (None, step.tone) for line in step.lines]


def faulty() -> list[Run]:
    """Runs with all kinds of faults."""
    return [run("collab_editor", seed) for seed in range(2, 13)]


def test_participants_bear_names_of_people_and_stand_by_what_they_are() -> None:
    """A client beside its gateway, then objects, then Workers: one lane for all invocations of a Worker."""
    assert tell(failure("subscribe_race").trace).participants == (
        "alice.tab1",
        "gateway alice.tab1",
        "bob.tab1",
        "gateway bob.tab1",
        "BOARD/town-hall",
        "STAMPER",
    )
    rates = tell(run("lost_update").trace)
    assert rates.participants[-1] == "RATES"
    assert len([a for a in arrows(rates) if a.target == "RATES"]) == 2


@pytest.mark.parametrize("name", ["subscribe_race", "collab_editor_tutorial", "hibernation_loses_reply", "lost_update"])
def test_verdict_is_a_line_across_and_no_lane(name: str) -> None:
    trace = failure(name).trace
    tale = tell(trace)
    assert not {"world", "driver"} & set(tale.participants)
    last = tale.steps[-1]
    assert isinstance(last, Note)
    assert (last.actor, last.tone) == ("", "failed")
    assert last.lines[0].startswith("✗ failed: AssertionError: ")
    assert re.search(r"Note over p0,p\d+: ✗ failed", sequence_diagram(trace))
    assert timeline(trace).splitlines()[-1].endswith(last.lines[0])
    assert "✗ failed  AssertionError" in call_tree(trace).splitlines()[-1]


def test_frames_say_what_they_carry() -> None:
    texts = [(a.source, a.target, a.text) for a in arrows(tell(failure("subscribe_race").trace))]
    assert ("alice.tab1", "gateway alice.tab1", "connect") in texts
    assert ("gateway alice.tab1", "alice.tab1", "connection status") in texts
    assert ("bob.tab1", "gateway bob.tab1", "call subscribe()") in texts
    assert ("alice.tab1", "gateway alice.tab1", 'call post("market on Friday")') in texts
    assert ("gateway bob.tab1", "bob.tab1", "response []") in texts
    assert ("BOARD/town-hall", "STAMPER", 'stamp("market on Friday")') in texts
    tutorial = [a.full for a in arrows(tell(failure("collab_editor_tutorial").trace))]
    assert 'incoming call handleContentUpdate("doc-1", "The quick brown fox")' in tutorial
    assert "response to incoming call ok" in tutorial


@pytest.mark.parametrize("name", ["subscribe_race", "collab_editor_tutorial", "hibernation_loses_reply", "lost_update"])
def test_noise_is_left_out_of_every_view_unless_asked_for(name: str) -> None:
    trace = failure(name).trace
    hot = pair(failure(name))
    views = [
        sequence_diagram(trace, highlight=hot),
        sequence_svg(trace, highlight=hot),
        timeline(trace, width=600, highlight=hot),
        call_tree(trace, highlight=hot),
    ]
    for view in views:
        for noise in ("__lmz_", "!wake", "opened", "settle", "accepted", "callId", "LUMENIZE_CLIENT_GATEWAY", "!start"):
            assert noise not in view
    assert not re.search(r"commit", views[0] + views[2])
    assert "commit" in sequence_svg(trace, detail=True)
    assert "WebSocket connection accepted" in timeline(trace, width=900, detail=True)
    assert "opened" in call_tree(trace, detail=True)
    assert "start LumenizeClientGateway" in sequence_diagram(trace, detail=True)


def test_committed_writes_have_a_check_mark() -> None:
    assert lines(tell(failure("subscribe_race").trace), "write") == ["✎ readers ✓", "✎ notices ✓"]


def test_what_the_mesh_keeps_in_storage_is_left_out() -> None:
    recorder = Recorder()
    recorder.add("write", "A/1", "#1", -1, {"key": "__lmz_do_binding_name", "strand": "#1"})
    recorder.add("delete", "A/1", "#1", -1, {"key": "n", "strand": "#1"})
    trace = recorder.close()
    assert lines(tell(trace)) == ["✎ delete n"]
    assert lines(tell(trace, detail=True)) == ["✎ __lmz_do_binding_name, delete n"]


def test_write_that_was_never_committed_has_none() -> None:
    recorder = Recorder()
    turn = recorder.add("turn", "A/1", "#1")
    recorder.add("write", "A/1", "#1", turn, {"key": "n", "strand": "#1"})
    recorder.add("reset", "A/1", "A/1!crash#0")
    assert lines(tell(recorder.close()), "write") == ["✎ n"]


def test_attributes_are_shown_where_they_race() -> None:
    found = failure("collab_editor_tutorial")
    tale = tell(found.trace, *pair(found))
    hot = {step.hot: step for step in tale.steps if step.hot}
    assert [hot[1].lines, hot[2].lines] == [("✎ self.shown",), ("✎ self.shown",)]  # type: ignore[union-attr]  # both are steps with lines
    assert not any("read self." in line for line in lines(tale))


class Slow(LumenizeDO):
    """An object goes on when its caller is gone, as a Worker does not (RPC-22)."""

    @mesh
    async def summarise(self, text: str) -> str:
        await trio.sleep(5)
        return text.split(".")[0]


class Asking(LumenizeDO):
    """Asks, and keeps the rest of its work in memory."""

    @mesh
    def file(self, text: str) -> None:
        self.lmz.call("SUMMARISER", "s", self.ctn(Slow).summarise(text), self.ctn().summarised(RESULT))

    def summarised(self, summary: str | Exception) -> None:
        self.ctx.storage.kv.put("summary", str(summary))


class Clerk(LumenizeClient):
    """Files."""

    def file(self, text: str) -> None:
        self.lmz.call("REPORT", "r-1", self.ctn(Asking).file(text))


@scenario(Mesh(bindings={"REPORT": Asking, "SUMMARISER": Slow}), faults=Faults(kinds=("evict",), targets=("REPORT",)))
async def answer_finds_nobody(world: World) -> None:
    clerk = await world.connect(Clerk, sub="clerk")
    clerk.file("All is well. More tomorrow.")
    await world.settle()
    assert world.object("REPORT", "r-1").storage.kv.get("summary") == "All is well"


def test_eviction_stands_out_and_the_answer_finds_nobody() -> None:
    """In one note, though a fault and its effect are two records."""
    found = explore(answer_finds_nobody, schedules=300, verify=False, save=None).failures[0].run
    hot = pair(found)
    tale = tell(found.trace, *hot)
    assert lines(tale, "fault") == ["⚡ evicted: memory and sockets lost"]
    (late,) = [a for a in arrows(tale) if a.unheard]
    assert (late.source, late.target, late.label) == ("SUMMARISER/s", "REPORT/r-1", "All is well (nobody waits)")
    diagram = sequence_diagram(found.trace, highlight=hot)
    assert "p3--xp2: All is well (nobody waits)" in diagram
    assert re.search(r"rect rgba\(.*\)\n +Note over p2: \(2\) ⚡ evicted", diagram)
    svg = sequence_svg(found.trace, highlight=hot)
    assert 'class="fault warm"' in svg
    assert "but nobody waited any more   ◀ 1" in call_tree(found.trace, highlight=hot)
    assert "⚡ evicted: memory and sockets lost   ◀ 2" in call_tree(found.trace, highlight=hot)


def test_every_fault_of_a_run_is_told_in_words_in_every_view() -> None:
    met: set[str] = set()
    for one in faulty():
        tale = tell(one.trace)
        told = " / ".join(lines(tale))
        for event in one.trace:
            if event.kind == "fault":
                kind = str(event.get("kind"))
                met.add(kind)
                word = {"evict": "evicted", "crash": "crashed", "failed-flush": "flush will fail"}.get(kind, kind[:9])
                word = {"slow-flus": "flush is slow", "disconnec": "socket cut"}.get(word, word)
                assert word in told
                assert word in sequence_diagram(one.trace, max_events=2000)
                assert word in call_tree(one.trace)
        assert not re.search(r"[%!]|~\d", told)
    assert len(met) >= 4


def test_what_a_broken_socket_swallows_ends_in_a_cross() -> None:
    crosses = 0
    for one in faulty():
        for arrow in arrows(tell(one.trace)):
            if arrow.lost and arrow.style == "frame":
                crosses += 1
                assert arrow.arrived is None or arrow.target.startswith("gateway ")
        lost = sum(a.lost or a.failed or a.unheard for a in arrows(tell(one.trace)))
        assert len(re.findall(r"--?x", sequence_diagram(one.trace, max_events=2000))) >= lost
    assert crosses


def test_frame_to_an_instance_that_lost_the_socket_is_lost() -> None:
    recorder = Recorder()
    gate = "GW/alice"
    for nth in range(2):
        sent = recorder.add("frame", "alice", f"alice~0^{nth}", -1, {"from": "alice", "to": gate, "text": "lmz:ping"})
        at = recorder.add("deliver", gate, f"alice~0^{nth}", sent)
        if nth == 0:
            recorder.add("turn", gate, "alice~0^0", at)
            recorder.add("reset", gate, f"{gate}!crash#0")
    assert [(a.text, a.lost) for a in arrows(tell(recorder.close()))] == [("ping", False), ("ping", True)]


def test_calls_lost_by_a_fault_say_on_which_way() -> None:
    recorder = Recorder()
    for value in (1, 2):
        recorder.add("fault", "A/1", "A/1%lost-call", -1, {"kind": "lost-call", "value": value})
    recorder.add("close", "GW/a", "a~0/close", -1, {"code": 4409, "reason": "superseded"})
    recorder.add("connect", "a", "a~1/open", -1, {"from": "a", "to": "GW/a"})
    tale = tell(recorder.close())
    assert lines(tale) == ["⚡ call lost before it ran", "⚡ call ran, its answer is lost"]
    texts = [(a.source, a.target, a.text) for a in arrows(tale)]
    assert texts == [("gateway a", "a", "close 4409 superseded"), ("a", "gateway a", "connect again")]


def test_held_output_is_one_note_with_a_count() -> None:
    recorder = Recorder()
    for _ in range(3):
        recorder.add("output-held", "D/1", "D/1!held", -1, {"commit": 1})
    recorder.add("output-released", "D/1", "D/1!held", -1, {"commit": 1})
    recorder.add("output-released", "D/1", "D/1!held", -1, {"commit": 1})
    assert lines(tell(recorder.close())) == ["output held until flushed ×3", "flushed: held output leaves"]


def test_only_starts_after_a_loss_are_told() -> None:
    recorder = Recorder()
    for kind in ("evict", "hibernate"):
        recorder.add("start", "D/1", "D/1!start#0", -1, {"class": "D"})
        recorder.add(kind, "D/1", f"D/1!{kind}#0")
    recorder.add("start", "D/1", "D/1!start#2", -1, {"class": "D"})
    trace = recorder.close()
    assert lines(tell(trace), "life") == ["starts again, from storage", "wakes"]
    assert lines(tell(trace, detail=True), "life") == ["start D"] * 3


def test_start_is_a_dot_where_the_first_message_arrives() -> None:
    svg = ET.fromstring(sequence_svg(failure("subscribe_race").trace))
    titles = [dot.findtext(f"{SVG}title") for dot in svg.iter(f"{SVG}circle") if dot.get("class") == "dot"]
    assert titles == ["LumenizeClientGateway starts", "LumenizeClientGateway starts", "Board starts"]


def test_lines_of_the_log_show_from_errors_up() -> None:
    recorder = Recorder()
    recorder.add("log", "D/1", "ns", -1, {"level": "info", "message": "fine"})
    recorder.add("log", "D/1", "ns", -1, {"level": "error", "message": "Call failed", "data": {"error": "gone"}})
    assert lines(tell(recorder.close())) == ["error: Call failed: gone"]


@pytest.mark.parametrize("name", ["subscribe_race", "collab_editor_tutorial", "hibernation_loses_reply", "lost_update"])
def test_racing_pair_is_numbered_and_explained(name: str) -> None:
    found = failure(name)
    assert found.explanation is not None
    page = html_page(found.trace, highlight=pair(found), caption=found.explanation.message)
    for rank in ("1", "2"):
        assert page.count(f'text-anchor="middle">{rank}</text>') >= 2
    assert page.index("lz-caption") < page.index("<svg")
    bundle = found._repr_mimebundle_()
    first = found.explanation.message.splitlines()[0]
    assert bundle["text/plain"].startswith(first)
    assert "lz-caption" in bundle["text/html"]
    assert "lz-caption" not in mimebundle(found.trace)["text/html"]


def test_long_texts_are_cut_and_whole_in_the_tooltip() -> None:
    text = "The quick brown fox jumps over teh lazy dog."
    svg = ET.fromstring(sequence_svg(run("collab_editor", 7).trace, max_events=2000))
    labels = ["".join(label.itertext()) for label in svg.iter(f"{SVG}text")]
    tips = [tip.text or "" for tip in svg.iter(f"{SVG}title")]
    assert any(label.endswith("…") for label in labels)
    assert not any(text in label for label in labels if "handle" in label)
    assert any("handleContentUpdate" in tip and text in tip for tip in tips)


def test_nothing_is_drawn_over_the_heads() -> None:
    for one in [*faulty()[:4], failure("subscribe_race")]:
        svg = ET.fromstring(sequence_svg(one.trace, max_events=2000))
        heads = [rect for rect in svg.iter(f"{SVG}rect") if rect.get("class") == "box" and rect.get("y") == "12"]
        boxes = sorted((float(h.get("x", "")), float(h.get("x", "")) + float(h.get("width", ""))) for h in heads)
        assert all(left[1] < right[0] for left, right in pairwise(boxes))
        for label in svg.iter(f"{SVG}text"):
            if label.get("class") != "name":
                assert float(label.get("y", "")) >= 50


def test_timeline_takes_actors_by_either_name() -> None:
    trace = failure("subscribe_race").trace
    by_actor = timeline(trace, actors=["LUMENIZE_CLIENT_GATEWAY/bob.tab1", "BOARD/town-hall"])
    assert by_actor == timeline(trace, actors=["gateway bob.tab1", "BOARD/town-hall"])
    assert "subscribe() ▸ BOARD/town-hall" in by_actor


def test_tree_shows_calls_between_those_who_mean_them() -> None:
    found = failure("subscribe_race")
    tree = re.sub(
        r"\[[\d.]+ ms\] |  \(\+[\d.]+ ms\)| \(\+[\d.]+ ms\)", "", call_tree(found.trace, highlight=pair(found))
    )
    assert tree.splitlines()[:2] == ["alice.tab1  connects", "bob.tab1  connects"]
    assert "bob.tab1 → BOARD/town-hall  subscribe()  → []   ◀ 2" in tree
    assert 'alice.tab1 → BOARD/town-hall  post("market on Friday")  → ok   ◀ 1' in tree
    assert '└─ BOARD/town-hall → STAMPER  stamp("market on Friday")  → [stamped] market on Friday' in tree


@pytest.mark.parametrize(
    "text, words, failed",
    [
        ("lmz:ping", "ping", False),
        ("lmz:pong", "pong", False),
        ('{"type":"connection_status","subscriptionRequired":true}', "connection status", False),
        (('{"type":"call","chain":{"json":[{"type":"get","key":"a"},{"type":"get","key":"b"},'
          '{"type":"apply","args":[1,"x",null,{"k":[true]},{"$type":"undefined"}]}]}}'),
         'call a.b(1, "x", null, {k: [true]}, undefined)', False),
        ('{"type":"call_response","success":true,"result":{"json":{"$type":"undefined"}}}', "response ok", False),
        ('{"type":"call_response","success":false,"error":{"json":{"$type":"error","name":"E","message":"m"}}}',
         "response E: m", True),
        ('{"type":"call","callId":"x","chain":{"json":[{"type":"get","key":"save"},{"type":"apply","args":["lon…',
         "call save(…)", False),
        ('{"type":"call_response","callId":"x","success":true,"result":{"json":"lon…', "call response …", False),
    ],
)  # fmt: skip
def test_frame_in_words(text: str, words: str, failed: bool) -> None:
    """A frame longer than the recorder keeps is read as far as it goes."""
    known = frame(text)
    assert known is not None
    assert (known.text, known.failed) == (words, failed)


@pytest.mark.parametrize("text", ["", "hello", "{", '{"x":1}', "[1]", '{"type":7'])
def test_other_text_is_no_frame(text: str) -> None:
    assert frame(text) is None


def test_names_stay_apart() -> None:
    """Where the name for people is taken, an actor keeps its own."""
    recorder = Recorder()
    for binding in ("GW", "GW2"):
        recorder.add("frame", "alice", "x", -1, {"from": "alice", "to": f"{binding}/alice", "text": "x"})
    recorder.add("fault", "alice~0v", "alice~0v%partition", -1, {"kind": "partition", "value": 1})
    recorder.add("fault", "alice~0^", "alice~0^%half-open", -1, {"kind": "half-open", "value": 1})
    people = cast(recorder.close())
    assert people.name("GW/alice") == "gateway alice"
    assert people.name("GW2/alice") == "GW2/alice"
    assert people.name("alice~0v") == "gateway alice"
    assert people.name("alice~0^") == "alice"
    assert people.person("GW2/alice") == "alice"
