"""Both ends of a connection against a naive model, in order and in any order (WS-11, WS-14 to WS-16, WS-25 on)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from lumenize_sim import DurableObject, Mesh, World, WorldOptions, scenario, simulate
from lumenize_sim.explore.roaming import roam
from lumenize_sim.objects import Request, Response, WebSocketPair
from lumenize_sim.objects.options import MachineOptions
from lumenize_sim.objects.websocket import WebSocket

LOST = "WebSocket disconnected without sending Close frame."
Op = tuple[Any, ...]


class Peer(DurableObject):
    """One end; what it hears stays in the isolate, whatever happens to the instance."""

    heard: list[Any] = []
    ws: WebSocket | None = None

    def fetch(self, request: Request) -> Response:
        client, server = WebSocketPair()
        if request.url.path == "/standard":
            server.on_message = lambda event: Peer.heard.append(event.data)
            server.on_close = lambda event: Peer.heard.append((event.code, event.was_clean))
            server.accept()
            self.ws = server
        else:
            self.ctx.accept_web_socket(server)
            self.ws = server
        return Response(101, web_socket=client)

    def web_socket_message(self, ws: WebSocket, message: str) -> None:
        Peer.heard.append(message)

    def web_socket_close(self, ws: WebSocket, code: int, reason: str, was_clean: bool) -> None:
        Peer.heard.append((code, was_clean))

    def send(self, text: str) -> str:
        if self.ws is None:
            return "gone"
        try:
            self.ws.send(text)
        except TypeError:
            return "refused"
        return "ok"

    def close(self, code: int) -> None:
        if self.ws is not None:
            self.ws.close(code)

    def state(self) -> int | None:
        return None if self.ws is None else self.ws.ready_state


class Model:
    """What both ends see, if every frame arrives before anything else happens."""

    def __init__(self, answers: bool, hangs_up: bool, auto_reply: bool) -> None:
        self.answers, self.hangs_up, self.auto_reply = answers, hangs_up, auto_reply
        self.client = "open"
        self.server: str | None = "open"
        self.frame: int | None = None
        self.said = False  # the client's close frame
        self.client_heard: list[Any] = []
        self.server_heard: list[Any] = []

    def _client_ends(self, code: int, clean: bool) -> None:
        if self.client != "closed":
            self.client = "closed"
            self.client_heard.append((code, clean))

    def client_send(self, text: str) -> None:
        if self.client == "open":
            self.server_heard.append(text)

    def server_send(self, text: str) -> str:
        if self.server is None:
            return "gone"
        if self.server in ("close sent", "closed"):
            return "refused"
        if self.server in ("open", "close received") and self.client == "open":
            self.client_heard.append(text)
        return "ok"

    def client_close(self, code: int) -> None:
        if self.client == "closed" or self.said:
            return
        self.client, self.said = "closing", True
        if self.server == "close sent":
            self.server_heard.append((code, True))
            self.server = "closed"
            assert self.frame is not None
            self._client_ends(self.frame, True)
        elif self.server == "open":
            self.server_heard.append((code, True))
            if self.answers:
                self.server = "closed"
                self._client_ends(code, True)
            elif self.hangs_up:
                self.server = "released"
                self._client_ends(1006, False)
            else:
                self.server = "close received"

    def client_terminate(self) -> None:
        if self.client == "closed":
            return
        self.client = "closed"
        self.client_heard.append((1006, False))
        if self.server == "open":
            self.server_heard.append((1006, False))
            self.server = "lost"
        elif self.server == "close sent":
            self.server_heard.append((1006, False))
            self.server = "closed"
        elif self.server == "close received":
            self.server = "lost"

    def server_close(self, code: int) -> None:
        if self.server == "open":
            self.server, self.frame = "close sent", code
            if self.client == "open":
                self.client = "closing"
                if self.auto_reply:
                    self.client_close(code)
        elif self.server == "close received":
            self.server = "closed"
            self._client_ends(code, True)
        elif self.server == "lost":
            self.server = "closed"

    def crash(self) -> None:
        if self.server in ("open", "close sent", "close received"):
            if self.frame is not None:
                self._client_ends(self.frame, self.said)
            else:
                self._client_ends(1006, False)
        self.server = None

    @property
    def server_state(self) -> int | None:
        states = {"open": 1, "close sent": 2, "close received": 2, "lost": 2, "closed": 3, "released": 3}
        return None if self.server is None else states[self.server]


async def perform(world: World, op: Op, client: Any) -> Any:
    stub = world.env.P.get_by_name("p")
    match op:
        case ("client send", text):
            client.send(text)
        case ("server send", text):
            return await stub.send(text)
        case ("client close", code):
            client.close(code)
        case ("client terminate",):
            client.terminate()
        case ("server close", code):
            await stub.close(code)
        case ("crash",):
            world.object("P", "p").crash()
    return None


VARIANTS: dict[str, tuple[MachineOptions, bool, bool]] = {
    "answers": (MachineOptions(), True, False),
    "hangs up": (MachineOptions(compatibility_date="2026-01-01"), False, True),
    "leaves it": (MachineOptions(runtime="workerd"), False, False),
}


class BothEnds(RuleBasedStateMachine):
    """Builds a program step by step, says what must come of it, and runs it at the end."""

    @initialize(
        variant=st.sampled_from(sorted(VARIANTS)), path=st.sampled_from(["/", "/standard"]), auto_reply=st.booleans()
    )
    def open(self, variant: str, path: str, auto_reply: bool) -> None:
        options, answers, hangs_up = VARIANTS[variant]
        self.options, self.path, self.auto_reply = options, path, auto_reply
        self.model = Model(answers, hangs_up and path == "/", auto_reply)
        self.ops: list[Op] = []
        self.said: list[Any] = []
        self.count = 0

    def _text(self) -> str:
        self.count += 1
        return f"m{self.count}"

    @rule()
    def client_send(self) -> None:
        text = self._text()
        self.ops.append(("client send", text))
        self.said.append(self.model.client_send(text))

    @rule()
    def server_send(self) -> None:
        text = self._text()
        self.ops.append(("server send", text))
        self.said.append(self.model.server_send(text))

    @rule(code=st.sampled_from([1000, 3000, 4999]))
    def client_close(self, code: int) -> None:
        self.ops.append(("client close", code))
        self.said.append(self.model.client_close(code))

    @rule(code=st.sampled_from([1000, 3001, 4998]))
    def server_close(self, code: int) -> None:
        self.ops.append(("server close", code))
        self.said.append(self.model.server_close(code))

    @rule()
    @precondition(lambda self: len(self.ops) > 1)
    def client_terminate(self) -> None:
        self.ops.append(("client terminate",))
        self.said.append(self.model.client_terminate())

    @rule()
    @precondition(lambda self: len(self.ops) > 2)
    def crash(self) -> None:
        self.ops.append(("crash",))
        self.said.append(self.model.crash())

    def teardown(self) -> None:
        if not getattr(self, "ops", None):
            return
        Peer.heard = []
        found: dict[str, Any] = {}

        async def drive(world: World) -> None:
            client = await world.open_socket("P", "p", self.path, auto_reply=self.auto_reply)
            heard: list[Any] = []
            client.on_message = heard.append
            client.on_close = lambda code, reason, clean: heard.append((code, clean))
            said = []
            for op in self.ops:
                said.append(await perform(world, op, client))
                await world.settle(0)
            found.update(
                said=said, heard=heard, state=await world.env.P.get_by_name("p").state(), client=client.ready_state
            )

        run = simulate(scenario(Mesh(bindings={"P": Peer}), options=WorldOptions(objects=self.options))(drive))
        assert run.failure is None, run.outcome.message
        assert found == {
            "said": self.said,
            "heard": self.model.client_heard,
            "state": self.model.server_state,
            "client": {"open": 1, "closing": 2, "closed": 3}[self.model.client],
        }
        assert Peer.heard == self.model.server_heard


TestBothEnds = BothEnds.TestCase
TestBothEnds.settings = settings(max_examples=25, stateful_step_count=8, deadline=None)

OPS = st.lists(
    st.one_of(
        st.just("client send"), st.just("client send"), st.just("server send"), st.just("server send"),
        st.just("client close"), st.just("server close"), st.just("client terminate"), st.just("crash"),
        st.just("settle"), st.just("cut"),
    ),
    max_size=12,
)  # fmt: skip


def is_subsequence_of_sent(heard: Sequence[Any], sent: Sequence[str]) -> bool:
    """A prefix of what was sent, followed by at most one close."""
    texts = [entry for entry in heard if isinstance(entry, str)]
    closes = [entry for entry in heard if not isinstance(entry, str)]
    return texts == list(sent[: len(texts)]) and len(closes) <= 1 and heard == [*texts, *closes]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    ops=OPS, variant=st.sampled_from(sorted(VARIANTS)), path=st.sampled_from(["/", "/standard"]),
    seed=st.integers(0, 10_000),
)  # fmt: skip
def test_each_end_hears_a_prefix_and_then_at_most_one_close(ops: list[str], variant: str, path: str, seed: int) -> None:
    """WS-11, WS-15, WS-25: in every order; nothing is heard after a close, nothing twice, nothing out of order."""
    Peer.heard = []
    heard: list[Any] = []
    sent: dict[str, list[str]] = {"client": [], "server": []}

    async def drive(world: World) -> None:
        client = await world.open_socket("P", "p", path)
        client.on_message = heard.append
        client.on_close = lambda code, reason, clean: heard.append((code, clean))
        stub = world.env.P.get_by_name("p")
        for nth, op in enumerate(ops):
            text = f"m{nth}"
            if op == "client send":
                sent["client"].append(text)
                client.send(text)
            elif op == "server send":
                sent["server"].append(text)
                stub.send(text)
            elif op == "client close":
                client.close(1000)
            elif op == "server close":
                stub.close(3000)
            elif op == "cut":
                if client.ready_state != 3:
                    world.network.disconnect(client)
            elif op == "settle":
                await world.settle(0)
            else:
                await perform(world, (op,), client)

    options = WorldOptions(objects=VARIANTS[variant][0])
    made = scenario(Mesh(bindings={"P": Peer}), options=options)(drive)
    outcome, *_ = roam(made, ("random", "pos", "pct")[seed % 3], seed=seed, schedule=seed)
    assert not outcome.failed, outcome.message
    assert is_subsequence_of_sent(heard, sent["server"])
    assert is_subsequence_of_sent(Peer.heard, sent["client"])
