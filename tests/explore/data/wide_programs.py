"""More small random apps: with waits for storage, alarms, timers called off, sockets held, and objects that end."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import trio

from lumenize_sim import (
    DurableObject,
    Mesh,
    Network,
    Request,
    Response,
    Scenario,
    UsageError,
    WebSocketPair,
    World,
    WorldOptions,
    gather,
    scenario,
)  # fmt: skip

Step = tuple[Any, ...]
Program = dict[str, Any]


class Actor(DurableObject):
    """Runs whatever the table says."""

    storage_backend = "kv"
    program: Program

    async def go(self, op: int) -> Any:
        await self.steps(self.program["ops"][op], op)
        return getattr(self, "memory", "")

    def note(self, what: Any) -> None:
        """In memory, which an eviction takes away."""
        self.memory = f"{getattr(self, 'memory', '')}{what}"

    async def steps(self, steps: list[Step], op: int) -> None:
        for step in steps:
            kind = step[0]
            if kind == "call":
                await self.call(step)
            elif kind == "tell":
                self.call(step)
            elif kind == "note":
                self.note(op)
            elif kind == "read":
                # Waits for the disk, with others let in or not (IG-5, IG-7).
                seen = await self.ctx.storage.get("n", 0, allow_concurrency=step[1])
                self.ctx.storage.put("n", seen + 1)
                self.note(f"r{seen}")
            elif kind == "section":
                await self.ctx.block_concurrency_while(lambda inner=step[1]: self.steps(inner, op))
            elif kind == "alarm":
                await self.ctx.storage.set_alarm(self.program["epoch_ms"] + 1000)
            elif kind == "no alarm":
                await self.ctx.storage.delete_alarm()
            elif kind == "patience":
                with trio.move_on_after(1) as scope:
                    await self.call(step[1])
                self.note("!" if scope.cancelled_caught else ".")
            elif kind == "abort":
                self.ctx.abort("enough")

    async def alarm(self, info: Any) -> None:
        self.note("A")

    def fetch(self, request: Request) -> Response:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        return Response(101, web_socket=client)

    async def web_socket_message(self, ws: Any, message: str) -> None:
        self.note(message)
        await self.steps(self.program["ops"][-1], 9)
        ws.send(f"{message}!")

    def call(self, step: Step) -> Any:
        return self.env[step[1]].get_by_name("x").go(step[2])


def generate(seed: int) -> Program:
    """A random program.  Calls go to later operations only, so it ends."""
    draw = random.Random(f"wide {seed}")
    count = draw.randint(2, 3)

    def call(op: int) -> Step:
        return ("call", draw.choice("AB"), draw.randint(op + 1, count - 1))

    def step(op: int, deep: bool) -> Step:
        kinds = ["note", "read", "read", "alarm", "no alarm"]
        if op < count - 1:
            kinds += ["call", "tell", "patience", "patience"]
        elif draw.random() < 0.15:
            kinds = ["abort"]
        if not deep:
            kinds += ["section"]
        kind = draw.choice(kinds)
        if kind in ("call", "tell"):
            return (kind, *call(op)[1:])
        if kind == "patience":
            return (kind, call(op))
        if kind == "read":
            return (kind, draw.random() < 0.5)
        if kind == "section":
            return (kind, [step(op, True)])
        return (kind,)

    ops = [[step(op, False) for _ in range(draw.randint(1, 2))] for op in range(count)]
    return {
        "seed": seed,
        "ops": ops,
        "roots": [(draw.choice("AB"), draw.randint(0, count - 1)) for _ in range(draw.randint(1, 2))],
        # What the driver does beside: an end of an object, a socket that is held and let go.
        "driver": draw.choice(["", "evict", "crash", "socket", "held", "deploy"]),
        "delay": draw.choice([0.0, 2.0]),
        "epoch_ms": WorldOptions().epoch_ms,
    }


def scenario_of(program: Program) -> Scenario:
    """Calls from outside at once, and one thing that the driver does meanwhile."""
    bindings = {name: type(name, (Actor,), {"program": program}) for name in "AB"}
    options = WorldOptions(network=Network(max_delay_s=program["delay"]), step_limit=2000)

    @scenario(Mesh(bindings=bindings), options=options, name=f"wide_{program['seed']}")
    async def drive(world: World) -> None:
        does = program["driver"]
        binding = program["roots"][0][0]
        ws = await world.open_socket(binding, "x", "/") if does in ("socket", "held") else None
        replies = [world.env[name].get_by_name("x").go(op) for name, op in program["roots"]]
        if ws is not None:
            ws.send("w")
            if does == "held":
                world.network.hold(ws)
                await _gone(replies[0])
                world.network.release(ws)
        elif does:
            await _gone(replies[0])
            target = world.object(binding, "x")
            if does == "deploy":
                world.deploy(binding)
            else:
                with contextlib.suppress(UsageError):  # it is busy
                    getattr(target, does)()
            replies.append(world.env[binding].get_by_name("x").go(len(program["ops"]) - 1))
        await gather(*[_gone(reply) for reply in replies])
        await world.settle()

    return drive


async def _gone(reply: Any) -> None:
    try:
        await reply
    except Exception:
        return
