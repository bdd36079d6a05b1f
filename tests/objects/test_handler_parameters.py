"""What the platform calls may declare fewer parameters than it is given, and what it is given must be callable."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from lumenize_sim import DurableObject, Request, Response, WebSocketPair, World


class Brief(DurableObject):
    """Handlers that take no more than they need, as JavaScript code has them."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[Any] = []

    def fetch(self) -> Response:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        return Response(101, web_socket=client)

    def alarm(self) -> None:
        self.log.append("alarm")

    def web_socket_message(self, ws: Any) -> None:
        self.log.append("message")

    def web_socket_close(self, ws: Any, code: int) -> None:
        self.log.append(code)

    async def wake(self) -> None:
        await self.ctx.storage.set_alarm(self.ctx.now() + 1000)

    def seen(self) -> list[Any]:
        return self.log

    async def misused(self, operation: str) -> str:
        async def body() -> None: ...

        coroutine: Any = body()
        try:
            if operation == "transaction":
                await self.ctx.storage.transaction(coroutine)
            elif operation == "block_concurrency_while":
                self.ctx.block_concurrency_while(coroutine)
            else:
                getattr(self.ctx, operation)(coroutine, 1)
        except TypeError as error:
            return str(error)
        finally:
            coroutine.close()
        return "accepted"


class Lavish(DurableObject):
    """Handlers that take whatever comes."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[Any] = []

    async def alarm(self, *args: Any, **_: Any) -> None:
        await trio.sleep(0.001)
        self.log.append(len(args))

    def fetch(self, request: Request, secret: str = "none") -> Response:
        return Response(200, secret)

    async def wake(self) -> None:
        await self.ctx.storage.set_alarm(self.ctx.now() + 1000)

    def seen(self) -> list[Any]:
        return self.log


def test_handlers_may_leave_out_parameters(passes: Any) -> None:
    """AL-13, WS-10: an alarm that asks for no `AlarmInfo` runs once, and is not taken for one that has failed."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("B", "b")
        await world.env.B.get_by_name("b").wake()
        await world.advance(5)
        ws.send("hello")
        await world.settle()
        ws.close(4000)
        await world.settle()
        assert await world.env.B.get_by_name("b").seen() == ["alarm", "message", 4000]

    passes(drive, B=Brief)


def test_handlers_are_given_no_more_than_the_platform_has(passes: Any) -> None:
    """AL-13: what takes any number of arguments is given all of them, and a default stays one."""

    async def drive(world: World) -> None:
        stub = world.env.L.get_by_name("l")
        await stub.wake()
        await world.advance(5)
        assert await stub.seen() == [1]
        assert (await stub.fetch("https://lavish/")).text == "none"

    passes(drive, L=Lavish)


@pytest.mark.parametrize("operation", ["block_concurrency_while", "transaction", "set_timeout", "set_interval"])
def test_a_coroutine_in_place_of_a_function_is_refused_at_once(operation: str, passes: Any) -> None:
    """IG-20: and resets nothing, since no section has begun."""

    async def drive(world: World) -> None:
        stub = world.env.B.get_by_name("b")
        assert await stub.misused(operation) == (
            f"{operation}() takes a function, not coroutine: pass the function itself, without calling it"
        )
        assert world.object("B", "b").incarnations == 1

    passes(drive, B=Brief)
