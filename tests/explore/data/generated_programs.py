"""Small random apps: actors with a table of steps, driven by one generic handler."""

from __future__ import annotations

import random
from typing import Any

import trio

from lumenize_sim import DurableObject, Mesh, Network, Scenario, World, WorldOptions, gather, scenario

Step = tuple[Any, ...]
Program = dict[str, Any]


class Actor(DurableObject):
    """Runs whatever the table says."""

    program: Program

    async def go(self, op: int) -> Any:
        await self.steps(self.program["ops"][op], op)
        return self.ctx.storage.kv.get("log", "")

    async def steps(self, steps: list[Step], op: int) -> None:
        kv = self.ctx.storage.kv
        for step in steps:
            kind = step[0]
            if kind == "call":
                await self.call(step)
            elif kind == "tell":
                self.call(step)
            elif kind == "both":
                await gather(self.call(step[1]), self.call(step[2]))
            elif kind == "sleep":
                await trio.sleep(step[1])
            elif kind == "note":
                kv.put("log", f"{kv.get('log', '')}{op}")
            elif kind == "change":
                seen = kv.get("log", "")
                await self.call(step[1])
                kv.put("log", f"{seen}{op}")
            elif kind == "section":
                await self.ctx.block_concurrency_while(lambda inner=step[1]: self.steps(inner, op))
            elif kind == "patience":
                with trio.move_on_after(step[1]) as scope:
                    await self.call(step[2])
                kv.put("log", f"{kv.get('log', '')}{'!' if scope.cancelled_caught else '.'}")
            elif kind == "deadline":
                # The deadline is armed behind a timer that may be younger than the answer's.
                answer = self.call(step[2])
                await self.call(step[3])
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.sleep, step[1])
                    with trio.move_on_after(step[1]) as scope:
                        await answer
                kv.put("log", f"{kv.get('log', '')}{'!' if scope.cancelled_caught else '.'}")
            elif kind == "first":
                # Whichever answer comes first calls the deadline off.
                with trio.move_on_after(step[1]) as scope:
                    async with trio.open_nursery() as nursery:
                        for inner in step[2:]:
                            nursery.start_soon(self.first, inner, scope, op)
            elif kind == "children":
                async with trio.open_nursery() as nursery:
                    for inner in step[1:]:
                        nursery.start_soon(self.steps, [inner], op)
            elif kind == "clock":
                kv.put("log", f"{kv.get('log', '')}@{trio.current_time():g}")

    async def first(self, step: Step, scope: trio.CancelScope, op: int) -> None:
        await self.call(step)
        kv = self.ctx.storage.kv
        kv.put("log", f"{kv.get('log', '')}{op}@{trio.current_time():g}")
        scope.cancel()

    def call(self, step: Step) -> Any:
        return self.env[step[1]].get_by_name("x").call("go", step[2])


def generate(seed: int, *, late: bool = False) -> Program:
    """A random program.  Calls go to later operations only, so it ends.

    ``late`` makes one where messages may be slower than timers, and which is smaller for that.
    """
    draw = random.Random(f"{seed} {late}")
    actors = ["A", "B", "C", "D"][: 2 if late else draw.randint(2, 4)]
    count = 2 if late and draw.random() < 0.5 else draw.randint(3, 3 if late else 4)
    ops: list[list[Step]] = []

    def call(op: int) -> Step:
        return ("call", draw.choice(actors), draw.randint(op + 1, count - 1))

    def step(op: int, deep: bool) -> Step:
        kinds = ["note", "note", "sleep", "clock"]
        if op < count - 1:
            more = ["call", "tell", "change", "change", "both", "patience", "deadline"]
            kinds += ["patience", "call", "first", "both"] if late else more
        if not deep:
            kinds += ["section", "children"]
        kind = draw.choice(kinds)
        if kind in ("call", "tell"):
            return (kind, *call(op)[1:])
        if kind == "change":
            return (kind, call(op))
        if kind == "both":
            return (kind, call(op), call(op))
        if kind == "sleep":
            return (kind, draw.choice([0, 1, 1, 3]))
        if kind == "patience":
            return (kind, draw.choice([1, 3]), call(op))
        if kind == "first":
            return (kind, 1, call(op), call(op))
        if kind == "deadline":
            return (kind, 1, call(op), call(op))
        if kind == "section":
            return (kind, [step(op, True)])
        if kind == "children":
            return (kind, step(op, True), step(op, True))
        return (kind,)

    for op in range(count):
        ops.append([step(op, False) for _ in range(draw.choice((1, 1, 2)) if late else draw.randint(1, 2))])
    roots = [(draw.choice(actors), 0)]
    if draw.random() < (0.4 if late else 0.8):
        roots.append((draw.choice(actors), draw.randint(0, count - 1)))
    return {
        "seed": seed,
        "ops": ops,
        "roots": roots,
        "awaited": draw.random() < 0.4,
        "fails": draw.random() < 0.3,
        "settle": draw.choice([0.0, 60.0, 60.0]),
        "delay": 2.0 if late else 0.0,
    }


def scenario_of(program: Program) -> Scenario:
    """Two calls from outside at once; the driver may look at a moment of its own and fail there."""
    bindings = {name: type(name, (Actor,), {"program": program}) for name in "ABCD"}
    options = WorldOptions(network=Network(max_delay_s=program["delay"]), step_limit=2000)

    @scenario(Mesh(bindings=bindings), options=options, name=f"program_{program['seed']}")
    async def drive(world: World) -> None:
        env = world.env
        replies = [env[name].get_by_name("x").call("go", op) for name, op in program["roots"]]
        if program["awaited"]:
            await replies[0]
            log = world.object(program["roots"][0][0], "x").storage.kv.get("log", "")
            assert not program["fails"] or len(log) < 2, log
        await world.settle(program["settle"])

    return drive
