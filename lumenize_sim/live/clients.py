"""Real clients: the class that the simulator runs, over a real web socket."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import outcome
import trio

from lumenize_sim.errors import UsageError
from lumenize_sim.live.host import LiveHost
from lumenize_sim.live.loop import running_loop
from lumenize_sim.live.seats import FreeSeat
from lumenize_sim.mesh.client import LumenizeClient
from lumenize_sim.mesh.client_config import ClientConfig
from lumenize_sim.objects.pending import Pending

__all__ = ["GOODBYE_S", "connect_client"]

GOODBYE_S: Final = 2.0  #: how long the close handshake may take at the end

C = TypeVar("C", bound=LumenizeClient)


@asynccontextmanager
async def connect_client(
    client_class: type[C],
    *,
    url: str,
    access_token: str | None = None,
    instance_name: str | None = None,
    wait: bool = True,
    **config: Any,
) -> AsyncGenerator[C, None]:
    """A client of ``client_class``, connected unless ``wait`` is False; disconnected when the block ends.

    Its methods may be called from any task of the same Trio run.  They run at once, between
    two steps of the client's own tasks.

    Args:
        url: of the server, ``http://127.0.0.1:8787``.
        access_token: a first token; without one, ``refresh`` is asked.
        instance_name: ``{sub}.{tab}``; by default the client makes one from the token.
        config: further fields of `ClientConfig`, such as ``refresh`` and ``heartbeat_interval_s``.

    Raises:
        UsageError: the class is none of a client's.
    """
    given: Any = client_class
    if not (isinstance(given, type) and issubclass(given, LumenizeClient)):
        raise UsageError(f"connect_client takes a subclass of LumenizeClient, not {client_class!r}")
    connected: Pending[None] = Pending("connect")
    told = config.pop("on_connection_state_change", None)

    def on_state(state: Any) -> Any:
        if state == "connected":
            connected.settle(outcome.Value(None))
        return None if told is None else told(state)

    async with running_loop() as loop:
        host = LiveHost(loop)
        seat = FreeSeat(loop, host, instance_name or f"{client_class.__name__}@{url}")
        made = ClientConfig(
            base_url=url, host=host, owner=seat.owner, instance_name=instance_name, access_token=access_token,
            on_connection_state_change=on_state, **config,
        )  # fmt: skip
        client = seat.context("new").run(client_class, made)
        try:
            if wait:
                await connected
            yield client
        finally:
            seat.context("end").run(client.disconnect)
            with trio.CancelScope(shield=True), trio.move_on_after(GOODBYE_S):
                while seat.sockets:
                    await next(iter(seat.sockets)).ended.wait()
            seat.finish()
