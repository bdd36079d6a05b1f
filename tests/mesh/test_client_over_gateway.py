"""Real clients on real gateways: what one says the other understands, without anything recorded in between."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import outcome
import pytest

from lumenize_sim.mesh.client import LumenizeClient
from lumenize_sim.mesh.client_config import ClientConfig
from lumenize_sim.mesh.continuation import RESULT
from lumenize_sim.mesh.decorators import mesh
from lumenize_sim.mesh.gateway import LumenizeClientGateway
from lumenize_sim.mesh.tokens import mint_hs256
from lumenize_sim.objects.http import Request
from lumenize_sim.objects.pending import Pending

fakes = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("client_fakes.py"))))
BINDING = "LUMENIZE_CLIENT_GATEWAY"


class Chat(LumenizeClient):
    def __init__(self, config: ClientConfig) -> None:
        super().__init__(config)
        self.heard: list[Any] = []

    @mesh
    def say(self, text: str) -> str:
        context = self.lmz.call_context
        self.heard.append((text, [node.instance_name for node in context.call_chain], context.origin_auth))
        return text.upper()

    def got(self, value: Any) -> None:
        self.heard.append(str(value))


class Open(Chat):
    def on_before_call(self) -> None:
        """Peers are welcome."""


class Net:
    """One gateway for each name; frames cross at once, in order."""

    def __init__(self) -> None:
        self.host = fakes.FakeHost()
        self.contexts: dict[str, Any] = {}
        self.gateways: dict[str, LumenizeClientGateway] = {}

    def get_by_name(self, name: str) -> Any:
        return SimpleNamespace(call=lambda method, envelope: self._call(name, method, envelope))

    def _call(self, name: str, method: str, envelope: Any) -> Pending[Any]:
        answer = getattr(self.gateways[name], method)(envelope)
        return answer if isinstance(answer, Pending) else Pending.of(answer)

    def join(self, cls: type[Chat], name: str) -> Any:
        ctx = self.contexts.setdefault(name, fakes.FakeCtx(self.host, name))
        self.gateways[name] = LumenizeClientGateway(ctx, {BINDING: self})
        token = mint_hs256({"sub": name.split(".")[0]}, "k")
        client = cls(
            ClientConfig(
                base_url="ws://h",
                host=self.host,
                owner=fakes.owner(self.host, name),
                instance_name=name,
                access_token=token,
                refresh=lambda: {"access_token": token},
            )
        )
        self.link(name)
        return client

    def link(self, name: str) -> None:
        """The dialled socket reaches its gateway."""
        port = self.host.ports[-1]
        protocols = port.protocols
        headers = {
            "upgrade": "websocket",
            "authorization": "Bearer " + protocols[1].removeprefix("lmz.access-token."),
            "x-lumenize-do-instance-name-or-id": port.url.rsplit("/", 1)[1],
            "x-lumenize-do-binding-name": BINDING,
        }
        response = self.gateways[name].fetch(Request("GET", port.url.replace("ws", "http", 1), headers))
        assert response.status == 101
        port.open()
        port.name = name
        self.settle()

    def settle(self) -> None:
        moving = True
        while moving:
            moving = False
            for port in self.host.ports:
                ctx = self.contexts[port.name]
                while port.sent and port.ready_state == 1:
                    moving = True
                    self.gateways[port.name].web_socket_message(ctx.get_web_sockets()[0], port.sent.pop(0))
            for name, ctx in self.contexts.items():
                while ctx.wire:
                    moving = True
                    _, kind, payload = ctx.wire.pop(0)
                    port = [p for p in self.host.ports if p.name == name][-1]
                    if kind == "message":
                        port.receive(payload)
            self.host.drain()


def test_client_to_client_call_goes_through_both_gateways_and_back() -> None:
    """GW-22, GW-39: the origin is the caller's gateway's word for it."""
    net = Net()
    alice, bob = net.join(Chat, "alice.t"), net.join(Open, "bob.t")
    alice.lmz.call(BINDING, "bob.t", alice.ctn(Chat).say("hi"), alice.ctn().got(RESULT))
    net.settle()
    assert alice.heard == ["HI"]
    text, chain, auth = bob.heard[0]
    assert (text, chain, auth.sub) == ("hi", ["alice.t"], "alice")


def test_peers_are_refused_by_default() -> None:
    """CL-50."""
    net = Net()
    alice, bob = net.join(Chat, "alice.t"), net.join(Chat, "bob.t")
    alice.lmz.call(BINDING, "bob.t", alice.ctn(Chat).say("hi"), alice.ctn().got(RESULT))
    net.settle()
    assert bob.heard == []
    assert alice.heard == ["Peer-to-peer client calls are disabled by default. Override onBeforeCall() to allow them."]


def test_call_to_a_client_in_its_grace_period_is_answered_after_its_reconnect() -> None:
    """GW-28, GW-15, CL-12: the call comes before the status frame, and the client copes."""
    net = Net()
    alice, bob = net.join(Chat, "alice.t"), net.join(Open, "bob.t")
    socket = net.contexts["bob.t"].get_web_sockets()[0]
    socket.record.apply("lose")
    net.gateways["bob.t"].web_socket_close(socket, 1006, "", False)
    net.contexts["bob.t"].registry.remove(socket.record)
    net.host.ports[-1].drop()
    alice.lmz.call(BINDING, "bob.t", alice.ctn(Chat).say("hi"), alice.ctn().got(RESULT))
    net.host.ports[-1].name = "bob.t"
    net.settle()
    assert alice.heard == []
    net.host.advance(1)
    net.link("bob.t")
    assert alice.heard == ["HI"]
    assert bob.connection_state == "connected"


@pytest.mark.parametrize("value", [None, [], {"a": {1, 2}}, 'é\u2028"', 1.5, True])
def test_values_come_back_as_they_were_sent(value: Any) -> None:
    class Echo(Open):
        @mesh
        def echo(self, value: Any) -> Any:
            return value

    net = Net()
    alice = net.join(Chat, "alice.t")
    net.join(Echo, "bob.t")
    pending = alice.lmz.call_raw(BINDING, "bob.t", alice.ctn().echo(value))
    net.settle()
    found: list[Any] = []
    pending.when_done(found.append)
    assert isinstance(found[0], outcome.Value)
    assert found[0].value == value
