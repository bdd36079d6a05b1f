"""Recorded sessions played against our gateway, and against our client (WIRE-1 … WIRE-8, GW- and CL- rules).

Against the gateway: what the recorded client sent is sent over a raw web socket, and what
our gateway answers must be what the recorded one answered.  Against the client: a gateway
that only plays back its part, and our client has to send what the recorded one sent.  Byte
for byte, after ids are numbered, times made relative, and stacks taken out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lumenize_sim import DurableObject, LumenizeClient, LumenizeDO, Mesh, World, WorldOptions, mesh, scenario, simulate
from lumenize_sim.clone import RangeError, RemoteError, postprocess
from lumenize_sim.explore.loading import load_module
from lumenize_sim.objects import Response, WebSocketPair
from lumenize_sim.routing.door import LocalDoor

ROOT = Path(__file__).parents[2]
RECORDED = json.loads((ROOT / "tests/mesh/data/wire-frames.json").read_text(encoding="utf-8"))


def session_of(name: str) -> Any:
    """One recorded session: connections, whose events have a number, a direction and, where it is a frame, its text."""
    connections = []
    for one in RECORDED[name]:
        events = []
        for seq, what, raw in one["events"]:
            framed = what in ("client->gateway", "gateway->client")
            parsed = json.loads(raw) if framed and raw.startswith("{") else {}
            events.append({"seq": seq, "dir": what if framed else None, "event": what, "raw": raw, "frame": parsed})
        connections.append({**one, "events": events})
    return {"name": name, "connections": connections}


SESSIONS: dict[str, Any] = {name: session_of(name) for name in RECORDED}
GATEWAY = "LUMENIZE_CLIENT_GATEWAY"
EDITOR = load_module(ROOT / "scenarios" / "collab_editor_tutorial.py")

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_STACK = re.compile(r',"stack":"(?:[^"\\]|\\.)*"')


def normalised(texts: list[Any]) -> list[Any]:
    """Ids by first appearance, the life of tokens without their moment, no stacks."""
    ids: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        return ids.setdefault(match.group(), f"id-{len(ids)}")

    def times(match: re.Match[str]) -> str:
        return f'"exp":IAT+{int(match[1]) - int(match[2])},"iat":IAT'

    return [
        re.sub(r'"exp":(\d+),"iat":(\d+)', times, _STACK.sub("", _UUID.sub(number, text)))
        if isinstance(text, str)
        else text
        for text in texts
    ]


class InnerError(TypeError):
    """Travels as what it is."""


class Echo(LumenizeDO):
    """The recorded app beside the editor."""

    @mesh
    def echo(self, value: Any) -> Any:
        return value

    @mesh
    def fail(self, kind: str) -> None:
        if kind == "range":
            raise RangeError("out of range")
        error = RemoteError(f"failed: {kind}")
        error.code = "E_CODE"  # type: ignore[attr-defined]  # own properties travel
        error.details = {"at": datetime(1970, 1, 1, tzinfo=UTC), "tags": {"a"}}  # type: ignore[attr-defined]  # own properties travel
        raise error from TypeError("inner")

    def not_exposed(self) -> None:
        """Not marked."""


def subscribed(document: Any) -> None:
    """The guard, in the words of the recorded app."""
    caller = document.lmz.call_context.call_chain[0].instance_name
    if caller not in document.ctx.storage.kv.get("subscribers", []):
        raise RemoteError("Must be subscribed to edit")


class Document(EDITOR.DocumentDO):  # type: ignore[misc]  # of a module that is loaded by path
    """The editor's document."""

    @mesh(subscribed)
    def update(self, text: str) -> None:
        super().update(text)


APP = Mesh(bindings={**EDITOR.app.bindings, "DOCUMENT_DO": Document, "ECHO_DO": Echo})
#: The recording is of the open-source runtime.
RUNTIME = WorldOptions(runtime="workerd")


def in_order(session: Any) -> list[tuple[int, Any]]:
    """Connection and event, in the order of the recording."""
    events = [(n, event) for n, one in enumerate(session["connections"]) for event in one["events"]]
    return sorted(events, key=lambda pair: pair[1]["seq"])


def raw_of(event: Any) -> str | bytes:
    """A frame as it was; the one binary frame of the recording stands there as text."""
    raw: str = event["raw"]
    return raw.encode("latin-1") if raw.startswith("\x01") else raw


# -- against our gateway -----------------------------------------------------------------


async def play_to_gateway(world: World, session: Any) -> list[Any]:
    """Send what the recorded clients sent.  The sockets, one for each connection."""
    sockets: dict[int, Any] = {}
    calls: dict[int, Iterator[str]] = {}
    for n, event in in_order(session):
        connection = session["connections"][n]
        if n not in sockets:
            name = connection["url"].rpartition("/")[2]
            life_s = 2 if session["name"] == "token-expires-while-open" else 3600
            token = world.entry.mint(world.driver, name.partition(".")[0], life_s=life_s)
            sockets[n] = await world.open_socket(
                GATEWAY,
                name,
                f"/gateway/{GATEWAY}/{name}",
                protocols=("lmz",),
                headers={
                    "Authorization": f"Bearer {token}",
                    "X-Lumenize-DO-Binding-Name": GATEWAY,
                    "X-Lumenize-DO-Instance-Name-Or-Id": name,
                },
            )
            await world.settle(1)
            calls[n] = iter_calls(sockets[n])
        if event.get("dir") == "client->gateway":
            raw = raw_of(event)
            if isinstance(raw, str) and event["frame"].get("type") == "incoming_call_response":
                raw = raw.replace(event["frame"]["callId"], next(calls[n]))
            if event["frame"].get("callId") == "late":
                await world.advance(3)
            sockets[n].send(raw)
            await world.settle(1)
    await world.settle(1)
    return [sockets[n] for n in sorted(sockets)]


def iter_calls(socket: Any) -> Iterator[str]:
    """Ids of the calls that the gateway has passed on, each once."""
    at = 0
    while True:
        frame = json.loads(socket.messages[at]) if str(socket.messages[at]).startswith("{") else {}
        at += 1
        if frame.get("type") == "incoming_call":
            yield frame["callId"]


TO_GATEWAY = [name for name in SESSIONS if name != "upgrade-refused"]


@pytest.mark.parametrize("name", TO_GATEWAY)
def test_our_gateway_answers_the_recorded_client_as_the_recorded_one_did(name: str) -> None:
    session = SESSIONS[name]
    found: list[Any] = []

    @scenario(APP, options=RUNTIME)
    async def replay(world: World) -> None:
        sockets = await play_to_gateway(world, session)
        found.extend([list(socket.messages), socket.close_frame] for socket in sockets)

    run = simulate(replay)
    assert run.failure is None, run.outcome.message
    for connection, (messages, close_frame) in zip(session["connections"], found, strict=True):
        expected = [event["raw"] for event in connection["events"] if event.get("dir") == "gateway->client"]
        assert normalised(messages) == normalised(expected)
        closes = [event for event in connection["events"] if "close frame received" in event.get("event", "")]
        assert close_frame == (tuple(closes[0]["raw"]) if closes else None)


@pytest.mark.parametrize("connection", SESSIONS["upgrade-refused"]["connections"], ids=lambda one: str(one["client"]))
def test_an_upgrade_is_answered_as_the_recorded_one_was(connection: Any) -> None:
    """WIRE-1, WIRE-2, GW-4 to GW-11, AU-31: status and body."""
    seen: list[Any] = []

    @scenario(Mesh(bindings={**APP.bindings}))
    async def replay(world: World) -> None:
        who = connection["client"]
        door = LocalDoor(APP, "somebody else's", world.host.now_ms) if who == "badSig" else world.entry.door
        token = door.mint(
            "u1",
            now_ms=world.host.now_ms(),
            token_id="t",
            life_s=-60 if who == "expired" else 3600,
            claims={"adminApproved": False} if who == "notApproved" else None,
        )
        offered = ["lmz"] if who == "noToken" else ["lmz", f"lmz.access-token.{token}"]
        path = connection["url"].partition("HOST")[2]
        answer = await world.fetch(path, headers={"Upgrade": "websocket", "Sec-WebSocket-Protocol": ", ".join(offered)})
        seen.append((answer.status, answer.text))

    run = simulate(replay)
    assert run.failure is None, run.outcome.message
    assert seen == [(connection["status"], connection.get("refused", ""))]


# -- against our client ------------------------------------------------------------------


class PlayedBack(DurableObject):
    """A gateway that knows only its lines."""

    script: list[Any]
    heard: list[str]

    def fetch(self, request: Any) -> Response:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        self.lines = iter(self.script)
        self.ids: dict[str, str] = {}
        self.speak(server)
        return Response(101, web_socket=client, headers={"Sec-WebSocket-Protocol": "lmz"})

    def web_socket_message(self, socket: Any, text: str) -> None:
        self.heard.append(text)
        # The recorded id of this call is known under ours from now on.
        recorded = self.waiting_for["frame"].get("callId") if self.waiting_for is not None else None
        if recorded is not None and text.startswith("{"):
            self.ids[recorded] = json.loads(text)["callId"]
        self.speak(socket)

    def speak(self, socket: Any) -> None:
        """Everything up to the client's next line."""
        self.waiting_for = None
        for event in self.lines:
            if event.get("dir") == "client->gateway":
                self.waiting_for = event
                return
            if event.get("dir") == "gateway->client":
                raw = event["raw"]
                for recorded, ours in self.ids.items():
                    raw = raw.replace(recorded, ours)
                socket.send(raw)


class Player(LumenizeClient):
    """Has the handlers of the recorded apps."""

    @mesh
    def handle_content_update(self, document: str, text: str) -> None:
        """Shown."""

    @mesh
    def handle_spell_findings(self, document: str, findings: Any) -> None:
        """Shown."""

    def done(self, *_: Any) -> None:
        """Whatever it was."""


TO_CLIENT = [
    (name, n)
    for name in ("getting-started", "guard-rejects", "values", "errors", "calls-before-open", "heartbeat", "superseded")
    for n in range(len(SESSIONS[name]["connections"]))
]


@pytest.mark.parametrize("name, n", TO_CLIENT)
def test_our_client_sends_the_recorded_gateway_what_the_recorded_one_did(name: str, n: int) -> None:
    connection = SESSIONS[name]["connections"][n]
    events = connection["events"]
    heard: list[str] = []
    played = type("Played", (PlayedBack,), {"script": events, "heard": heard})
    expected = [event["raw"] for event in events if event.get("dir") == "client->gateway"]

    @scenario(Mesh(bindings={GATEWAY: played}), options=WorldOptions(settle_s=1.0))
    async def replay(world: World) -> None:
        early = name == "calls-before-open"
        client = await world.connect(
            Player,
            instance_name=connection["url"].rpartition("/")[2],
            wait=not early,
            heartbeat_interval_s=0.05 if name == "heartbeat" else 0,
        )
        for event in events:
            if event.get("dir") != "client->gateway" or event["frame"].get("type") != "call":
                continue
            frame = event["frame"]
            client.lmz.call_raw(frame["binding"], frame.get("instance"), postprocess(frame["chain"])).when_done(
                client.done
            )
            if not early:
                await world.settle()
        if name == "heartbeat":
            await world.advance(0.16)
        await world.settle()
        client.disconnect()

    run = simulate(replay)
    assert run.failure is None, run.outcome.message
    assert normalised(heard) == normalised(expected)
