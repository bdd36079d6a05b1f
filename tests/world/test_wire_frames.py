"""A simulated run of the getting-started editor sends the frames that the real one sent (WIRE-1 … WIRE-8)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from lumenize_sim import World, scenario, simulate
from lumenize_sim.explore import load_scenario
from lumenize_sim.explore.loading import load_module

ROOT = Path(__file__).parents[2]
RECORDING = json.loads((Path(__file__).parent / "data" / "getting-started-frames.json").read_text())
TEXTS = ("The quick brown fox", "The quick brown fox jumps over teh lazy dog.")

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def normalised(texts: list[str]) -> list[str]:
    """Ids numbered by first appearance; ``exp`` and ``iat`` relative to each other.  Nothing else is touched."""
    ids: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        return ids.setdefault(match.group(), f"id-{len(ids)}")

    def times(text: str) -> str:
        found = re.search(r'"exp":(\d+),"iat":(\d+)', text)
        if found is None:
            return text
        life = int(found.group(1)) - int(found.group(2))
        return text.replace(found.group(), f'"exp":IAT+{life},"iat":IAT')

    return [times(_UUID.sub(name, text)) for text in texts]


def simulated() -> tuple[list[tuple[str, str, str]], dict[str, Any]]:
    """Frames of a first-come-first-served run in the order of the recording, and what the editors were told."""
    module = load_module(ROOT / "scenarios" / "collab_editor_tutorial.py")
    load_scenario(ROOT / "scenarios" / "collab_editor_tutorial.py")
    wire: list[tuple[str, str, str]] = []
    told: dict[str, Any] = {}

    @scenario(module.app)
    async def recorded_session(world: World) -> None:
        world.sockets.wires.tapped = wire
        alice = await world.connect(module.EditorClient, sub="alice")
        alice.open("doc-1")
        await world.settle()
        alice.save("doc-1", TEXTS[0])
        await world.settle()
        bob = await world.connect(module.EditorClient, sub="bob")
        bob.open("doc-1")
        await world.settle()
        bob.save("doc-1", TEXTS[1])
        await world.settle()
        world.sockets.wires.tapped = None
        told["alice"], told["bob"] = alice.told, bob.told
        assert world.object("DOCUMENT_DO", "doc-1").storage.kv.get("subscribers") == ["alice.tab1", "bob.tab1"]

    run = simulate(recorded_session)
    assert run.failure is None, run.outcome.message
    # `simulate` runs once, traced; the frames are those of that run.
    return wire, told


def test_the_editor_sends_the_recorded_frames_byte_for_byte() -> None:
    """Every frame of both connections, in order of each connection, equals the recording but for ids and times."""
    wire, _ = simulated()
    for connection in RECORDING["connections"]:
        expected = [(e["dir"], e["raw"]) for e in connection["events"] if "raw" in e]
        found = [(direction, text) for name, direction, text in wire if name == f"{connection['client']}.tab1~0"]
        assert [d for d, _ in found] == [d for d, _ in expected]
        assert normalised([t for _, t in found]) == normalised([t for _, t in expected])


def test_the_editors_were_told_what_the_recorded_ones_were_told() -> None:
    """Contents in order, and spell findings for the author alone."""
    _, told = simulated()
    expected = RECORDING["notes"]["app_events"]
    assert {name: [list(entry) for entry in entries] for name, entries in told.items()} == expected


def test_normalising_hides_nothing_but_ids_and_times() -> None:
    """A changed value, key or order would still show."""
    frame = RECORDING["connections"][0]["events"][1]["raw"]
    assert normalised([frame]) != normalised([frame.replace("subscribe", "unsubscribe")])
    assert normalised([frame]) != normalised([frame.replace('"meta":{}', '"meta": {}')])
