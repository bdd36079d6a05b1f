"""Two real clients edit one document over real web sockets: the same classes that the simulator runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import WebSocketConnection

from lumenize_sim.explore.loading import load_module
from lumenize_sim.live import LiveServer, connect_client, serve_app

ROOT = Path(__file__).parents[2]
EDITOR = load_module(ROOT / "scenarios" / "collab_editor.py")
TUTORIAL = load_module(ROOT / "scenarios" / "collab_editor_tutorial.py")
RECORDING = json.loads((Path(__file__).parent / "data" / "recorded-editor-frames.json").read_text())
TEXTS = ("The quick brown fox", "The quick brown fox jumps over teh lazy dog.")
FINDING = {"word": "teh", "position": 31, "suggestions": ["the"]}

pytestmark = pytest.mark.trio


async def until(holds: Callable[[], Any], what: str) -> None:
    """Wait for real time to bring it about."""
    with trio.move_on_after(8):
        while not holds():  # noqa: ASYNC110  # what comes over a network sets no event
            await trio.sleep(0.002)
        return
    pytest.fail(f"waited in vain: {what}")


def editor(server: LiveServer, name: str, cls: type[Any] = EDITOR.EditorClient, **config: Any) -> Any:
    """Somebody's first tab."""
    token = server.mint(name, life_s=3600)
    config.setdefault("refresh", lambda: {"access_token": server.mint(name)})
    return connect_client(cls, url=server.url, access_token=token, instance_name=f"{name}.tab1", **config)


async def test_two_clients_see_one_document_and_findings_reach_the_author_alone() -> None:
    """T-D4: a save is broadcast to all subscribers, the second client gets the current text."""
    async with serve_app(EDITOR.app, port=0) as server, editor(server, "alice") as alice:
        alice.open("doc-1")
        await until(lambda: alice.shown["doc-1"] == (0, ""), "alice has opened the document")
        alice.save("doc-1", TEXTS[0])
        await until(lambda: alice.shown["doc-1"] == (1, TEXTS[0]), "alice sees her own text")
        async with editor(server, "bob") as bob:
            bob.open("doc-1")
            await until(lambda: bob.shown["doc-1"] == (1, TEXTS[0]), "bob sees it")
            bob.save("doc-1", TEXTS[1])
            await until(
                lambda: bob.findings and alice.shown["doc-1"] == bob.shown["doc-1"] == (2, TEXTS[1]), "both see it"
            )
            assert bob.findings == [FINDING]
            assert alice.findings == []


async def test_documents_survive_a_restart(tmp_path: Path) -> None:
    """Storage is in files; a client of the next process reads what one of the last wrote."""
    async with serve_app(EDITOR.app, port=0, data=tmp_path) as server, editor(server, "alice") as alice:
        alice.open("doc-1")
        alice.save("doc-1", TEXTS[0])
        await until(lambda: alice.shown["doc-1"] == (1, TEXTS[0]), "the text is saved")
    assert [path.suffix for path in (tmp_path / "DOCUMENT_DO").iterdir()] == [".sqlite"], "closed: no log is left over"
    async with serve_app(EDITOR.app, port=0, data=tmp_path) as server, editor(server, "bob") as bob:
        bob.open("doc-1")
        await until(lambda: bob.shown["doc-1"] == (1, TEXTS[0]), "bob reads it from the file")


async def test_a_client_comes_back_after_its_socket_was_dropped() -> None:
    """CL-16: it reconnects by itself after a second, within the grace period, and hears what it missed."""
    states: list[str] = []
    async with (
        serve_app(EDITOR.app, port=0) as server,
        editor(server, "alice", on_connection_state_change=states.append) as alice,
        editor(server, "bob") as bob,
    ):
        alice.open("doc-1")
        bob.open("doc-1")
        await until(lambda: alice.shown["doc-1"][0] == 0 == bob.shown["doc-1"][0], "both have it open")
        assert server.disconnect("alice.tab1") == 1
        await until(lambda: states[-1] == "reconnecting", "alice notices")
        bob.save("doc-1", TEXTS[0])
        await until(lambda: alice.shown["doc-1"] == (1, TEXTS[0]), "alice is back and up to date")
        # What waited for the reconnect is delivered before the status is (GW-15).
        await until(lambda: states == ["connecting", "connected", "reconnecting", "connected"], "and knows it")


async def test_a_client_survives_a_restart_of_the_server(tmp_path: Path) -> None:
    """The goodbye of a server that stops (1001) is a reason to come back."""
    async with serve_app(EDITOR.app, port=0, data=tmp_path, secret="k") as first:
        port = int(first.url.rpartition(":")[2])
        client = editor(first, "alice")
        alice = await client.__aenter__()
        alice.open("doc-1")
        alice.save("doc-1", TEXTS[0])
        await until(lambda: alice.shown["doc-1"] == (1, TEXTS[0]), "saved")
        # The client holds on to the loop that the first server brought, so the next one is made inside.
        await first.aclose()
        await until(lambda: alice.connection_state == "reconnecting", "alice notices")
        async with serve_app(EDITOR.app, port=port, data=tmp_path, secret="k"):
            await until(lambda: alice.connection_state == "connected", "alice is back")
            alice.save("doc-1", TEXTS[1])
            await until(lambda: alice.shown["doc-1"] == (2, TEXTS[1]), "and goes on")
            await client.__aexit__(None, None, None)


_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def normalised(texts: list[str]) -> list[str]:
    """Ids numbered by first appearance; ``exp`` relative to ``iat``.  Nothing else is touched."""
    ids: dict[str, str] = {}

    def times(text: str) -> str:
        found = re.search(r'"exp":(\d+),"iat":(\d+)', text)
        if found is None:
            return text
        return text.replace(found.group(), f'"exp":IAT+{int(found.group(1)) - int(found.group(2))},"iat":IAT')

    return [times(_UUID.sub(lambda m: ids.setdefault(m.group(), f"id-{len(ids)}"), text)) for text in texts]


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str, str]]]:
    """Frames at the clients' ends of the web sockets: client, direction, text."""
    frames: list[tuple[str, str, str]] = []
    send, get = WebSocketConnection.send_message, WebSocketConnection.get_message

    def note(socket: WebSocketConnection, direction: str, text: Any) -> None:
        if socket.is_client:
            path = socket._path if socket._path is not None else socket._initial_request.target
            frames.append((path.rpartition("/")[2], direction, text))

    async def noted_send(self: WebSocketConnection, message: Any) -> None:
        note(self, "client->gateway", message)
        await send(self, message)

    async def noted_get(self: WebSocketConnection) -> Any:
        message = await get(self)
        note(self, "gateway->client", message)
        return message

    monkeypatch.setattr(WebSocketConnection, "send_message", noted_send)
    monkeypatch.setattr(WebSocketConnection, "get_message", noted_get)
    return frames


async def test_the_wire_carries_the_recorded_frames_byte_for_byte(wire: list[tuple[str, str, str]]) -> None:
    """WIRE-1 to WIRE-8: each direction of each connection equals the recording but for ids and times."""
    cls = TUTORIAL.EditorClient
    async with serve_app(TUTORIAL.app, port=0) as server, editor(server, "alice", cls) as alice:
        alice.open("doc-1")
        await until(lambda: alice.told == [("content", "")], "opened")
        alice.save("doc-1", TEXTS[0])
        await until(lambda: len(alice.told) == 2 and len(wire) == 7, "saved")
        async with editor(server, "bob", cls) as bob:
            bob.open("doc-1")
            await until(lambda: len(bob.told) == 1, "opened")
            bob.save("doc-1", TEXTS[1])
            await until(lambda: len(bob.told) == 3 and len(wire) == 18, "saved and checked")
    for connection in RECORDING["connections"]:
        for direction in ("client->gateway", "gateway->client"):
            expected = [e["raw"] for e in connection["events"] if e.get("dir") == direction]
            found = [t for name, d, t in wire if (name, d) == (f"{connection['client']}.tab1", direction)]
            assert normalised(found) == normalised(expected)
    told = {"alice": [list(t) for t in alice.told], "bob": [list(t) for t in bob.told]}
    assert told == RECORDING["notes"]["app_events"]
