"""Small apps for the command line, each with a way to go wrong.  Copied by tests into folders of their own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import trio

from lumenize_sim import RESULT, Faults, LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, World, mesh, scenario


class Rates(LumenizeWorker):
    @mesh
    def current(self) -> int:
        return 1


class Thing(LumenizeDO):
    @mesh
    async def increment(self) -> int:
        n: int = self.ctx.storage.kv.get("n", 0)
        rate = await self.lmz.call_raw("RATES", None, self.ctn(Rates).current())
        self.ctx.storage.kv.put("n", n + rate)
        return n + rate

    @mesh
    def put(self, value: Any) -> Any:
        self.ctx.storage.kv.put("x", value)
        return value

    @mesh
    def spin(self) -> None:
        sys.stderr.write("spinning\n")
        sys.stderr.flush()
        while True:
            pass

    @mesh
    async def forget(self) -> None:
        self.never_runs()

    async def never_runs(self) -> None: ...

    @mesh
    def call_nowhere(self) -> None:
        self.lmz.call("NOWHERE", "x", self.ctn(Thing).put(1))

    @mesh
    def leave(self) -> None:
        sys.exit(0)


class Tab(LumenizeClient):
    got: Any = None

    def do(self, method: str, *args: Any) -> None:
        self.lmz.call("THING", "t", getattr(self.ctn(Thing), method)(*args), self.ctn().on_result(RESULT))

    def on_result(self, result: Any) -> None:
        self.got = result


app = Mesh(bindings={"THING": Thing, "RATES": Rates})


def outside() -> str:
    return Path("outside.txt").read_text()


async def one(world: World, method: str, *args: Any) -> Tab:
    tab = await world.connect(Tab, sub="alice")
    tab.do(method, *args)
    await world.settle()
    if isinstance(tab.got, Exception):
        raise tab.got
    return tab


@scenario(app)
async def two_clicks(world: World) -> None:
    sys.stdout.write("the app talks\n")
    alice, bob = await world.connect(Tab, sub="alice"), await world.connect(Tab, sub="bob")
    alice.do("increment")
    bob.do("increment")
    await world.settle()
    n = world.object("THING", "t").storage.kv.get("n")
    assert n == 2, f"two clicks, and the counter says {n}"


@scenario(app, faults=Faults(kinds=("hibernate", "lost-call")))
async def green(world: World) -> None:
    alice = await world.connect(Tab, sub="alice")
    alice.do("put", 1)
    await world.settle()
    world.sometimes("reached")
    world.sometimes("never reached", False)


@scenario(app)
async def last_one_wins(world: World) -> None:
    """Passes first come, first served."""
    alice, bob = await world.connect(Tab, sub="alice"), await world.connect(Tab, sub="bob")
    alice.do("put", "alice")
    bob.do("put", "bob")
    await world.settle()
    assert world.object("THING", "t").storage.kv.get("x") == "bob", "alice came last"


@scenario(app)
async def spinning(world: World) -> None:
    await one(world, "spin")


@scenario(app)
async def forgetful(world: World) -> None:
    await one(world, "forget")


@scenario(app)
async def unknown_object(world: World) -> None:
    world.object("NOPE", "x")


@scenario(app)
async def unknown_call(world: World) -> None:
    await one(world, "call_nowhere")


@scenario(app)
async def unheard_call(world: World) -> None:
    tab = await world.connect(Tab, sub="alice")
    tab.lmz.call("NOWHERE", "x", tab.ctn(Thing).put(1))
    await world.settle()


@scenario(app)
async def unheard_and_failed(world: World) -> None:
    await unheard_call(world)
    raise AssertionError("nobody heard")


@scenario(app)
async def unserialisable(world: World) -> None:
    await one(world, "put", object())


@scenario(app)
async def leaving(world: World) -> None:
    await one(world, "leave")


@scenario(app)
async def stuck(world: World) -> None:
    await trio.Event().wait()


@scenario(app)
async def colourful(world: World) -> None:
    raise AssertionError("\x1b[31mred\x07")


@scenario(app)
async def from_a_file(world: World) -> None:
    """What it does depends on something that is no part of a tape."""
    await one(world, "put", outside())
