"""Clients in a simulated world: a seat, a token, a connection; and browsers without a mesh."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import outcome

from lumenize_sim.errors import UsageError
from lumenize_sim.mesh.client import LumenizeClient
from lumenize_sim.mesh.client_config import ClientConfig
from lumenize_sim.objects.http import Request
from lumenize_sim.objects.pending import Pending
from lumenize_sim.world.attributes import watched
from lumenize_sim.world.entry import MESH_HOST
from lumenize_sim.world.faults import CLOCK_SKEW_S, SHORT_TOKEN_S
from lumenize_sim.world.host import SkewedHost
from lumenize_sim.world.raw_socket import RawSocket
from lumenize_sim.world.seats import FreeSeat

if TYPE_CHECKING:
    from lumenize_sim.world.visitor import Visitor
    from lumenize_sim.world.world import World

__all__ = ["connect_client", "open_raw"]

#: What stands in a path of a URL as it is.
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9._~@:+!$&'()*,;=-]+")


async def connect_client(
    world: World,
    client_class: Any,
    *,
    sub: str | None,
    instance_name: str | None,
    claims: dict[str, Any] | None,
    token_life_s: int,
    visitor: Visitor | None,
    wait: bool,
    clock_skew_s: float,
    config: dict[str, Any],
) -> Any:
    """See `World.connect`."""
    if not (isinstance(client_class, type) and issubclass(client_class, LumenizeClient)):
        raise UsageError(f"world.connect takes a subclass of LumenizeClient, not {client_class!r}")
    if visitor is not None:
        if not visitor.access_token:
            raise UsageError(f"{visitor.name} has not logged in: await {visitor.name}.login(email) before")
        sub = visitor.sub
        config.setdefault("access_token", visitor.access_token)
        config.setdefault("refresh", f"/{world.app.vars.get('LUMENIZE_AUTH_PREFIX', 'auth').strip('/')}/refresh-token")
    if instance_name is None:
        if sub is None:
            raise UsageError('world.connect needs to know who logs in: connect(Tab, sub="alice")')
        world.tabs[sub] = world.tabs.get(sub, 0) + 1
        instance_name = f"{sub}.tab{world.tabs[sub]}"
    who = sub if sub is not None else instance_name.partition(".")[0]
    _check_name(instance_name)
    seat = FreeSeat(world, instance_name)
    seat.visitor = visitor
    host: Any = world.host
    wrong = world.plan.at("clock-skew", instance_name, len(CLOCK_SKEW_S)) if world.plan else 0
    if wrong:
        world.chronicle.fault_fired("clock-skew", instance_name, wrong)
        clock_skew_s += CLOCK_SKEW_S[wrong]
    if clock_skew_s:
        seat.skew_us = round(clock_skew_s * 1_000_000)
        host = SkewedHost(world.host, seat.skew_us)
    connected: Pending[None] = Pending("connect")
    told = config.pop("on_connection_state_change", None)

    def on_state(state: Any) -> Any:
        if state == "connected":
            connected.settle(outcome.Value(None))
        return None if told is None else told(state)

    def mint() -> str:
        life_s = token_life_s
        short = world.plan.at("short-token", instance_name, len(SHORT_TOKEN_S)) if world.plan else 0
        if short:
            world.chronicle.fault_fired("short-token", instance_name, short)
            life_s = min(life_s, round(SHORT_TOKEN_S[short]))
        return world.entry.mint(seat, who, claims, life_s)

    config.setdefault("refresh", lambda: {"access_token": mint()})
    made = ClientConfig(
        base_url=f"wss://{MESH_HOST}",
        host=host,
        owner=seat.owner,
        instance_name=instance_name,
        access_token=config.pop("access_token", None) or mint(),
        on_connection_state_change=on_state,
        **config,
    )
    made_of: Any = client_class
    cls = watched(made_of) if world.chronicle.tracing else made_of
    client = seat.context(f"{instance_name}!new").run(cls, made)
    world.clients.append(client)
    if wait:
        await connected
    return client


def _check_name(instance_name: str) -> None:
    """Names stand in a path, and nobody decodes it (RT-2)."""
    if not _PLAIN_NAME.fullmatch(instance_name):
        raise UsageError(
            f"{instance_name!r} cannot be the name of a client: it would not arrive as it is in the path of a URL; "
            f"use letters, digits, and any of . - _ ~ @ : + ! $ & ' ( ) * , ; ="
        )


def open_raw(
    world: World, binding: str, name: str | None, request: Request, browser: str | None, auto_reply: bool
) -> RawSocket:
    """See `World.open_socket`."""
    target: Any
    if name is None:
        target = world.bindings.of_worker(binding)
    else:
        target = world.machines.named(world.bindings.of_objects(binding), name)
    if browser is None:
        browser = f"browser{len(world.browsers) + 1}"
    if any(client._owner.name == browser for client in world.clients):
        raise UsageError(f"{browser!r} is a mesh client of this world; give the browser another name")
    seat = world.browsers.get(browser)
    if seat is None:
        seat = world.browsers[browser] = FreeSeat(world, browser)
    return world.sockets.open_raw(seat, target, request, auto_reply=auto_reply)
