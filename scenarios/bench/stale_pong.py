"""A failure detector for which any pong will do: an old one on its way keeps a dead node trusted.

A watchman pings two nodes four times a second by an alarm, and at the next alarm looks who has answered since.  Who
has been silent for two rounds is suspected.  The watchman of the bug takes each pong for an answer to its latest ping.
One that a node sent before it lost its power, and that is on its way for more than two rounds, makes up for the pong
that never came.  In `AttentiveWatchman` a pong counts for the ping that it answers.

Depth 1: the last pong of the node without power is late.
"""

from __future__ import annotations

from typing import Any

from lumenize_sim import DurableObject, Mesh, World, scenario

DEPTH = 1
RACING = {
    "object": "WATCHMAN/w",
    "key": "heard",
    "events": ("pong (NODE/n1)", ("alarm", "ping")),
    "lines": ('kv.put("heard", [*', ('kv.put("heard", [])', 'heard: list[str] = kv.get("heard")')),
}
RATE = (55, 20_000)
NODES = ("n1", "n2")
PERIOD_MS = 250
ROUNDS = 9
PATIENCE = 2


class Watchman(DurableObject):
    """Knows who answers, and whom to suspect."""

    def begin(self) -> None:
        self.ping(1)

    def ping(self, nth: int) -> None:
        """A new round."""
        kv = self.ctx.storage.kv
        kv.put("round", nth)
        kv.put("sent", [*kv.get("sent", []), self.ctx.now()])
        kv.put("heard", [])
        for node in NODES:
            self.env.NODE.get_by_name(node).ping(nth)
        self.ctx.storage.set_alarm(self.ctx.now() + PERIOD_MS)

    def pong(self, node: str, nth: int) -> None:
        """It is alive."""
        kv = self.ctx.storage.kv
        kv.put("heard", [*kv.get("heard"), node])

    def alarm(self, info: Any) -> None:
        """A round is over."""
        kv = self.ctx.storage.kv
        silent: dict[str, int] = kv.get("silent", dict.fromkeys(NODES, 0))
        heard: list[str] = kv.get("heard")
        silent = {node: 0 if node in heard else rounds + 1 for node, rounds in silent.items()}
        kv.put("silent", silent)
        kv.put("suspects", [node for node, rounds in silent.items() if rounds >= PATIENCE])
        if kv.get("round") < ROUNDS:
            self.ping(kv.get("round") + 1)


class AttentiveWatchman(Watchman):
    """Counts a pong only in the round of its ping."""

    def pong(self, node: str, nth: int) -> None:
        if nth == self.ctx.storage.kv.get("round"):
            super().pong(node, nth)


class Node(DurableObject):
    """Answers for as long as it has power."""

    def ping(self, nth: int) -> None:
        if self.ctx.storage.kv.get("unplugged") is None:
            self.env.WATCHMAN.get_by_name("w").pong(self.ctx.id.name, nth)

    def unplug(self) -> None:
        self.ctx.storage.kv.put("unplugged", self.ctx.now())


def app_of(watchman: type[Watchman]) -> Mesh:
    return Mesh(bindings={"WATCHMAN": watchman, "NODE": Node})


async def power_cut(world: World) -> None:
    """A node that had no power during the last two rounds is suspected."""
    objects: Any = world.env
    await objects.WATCHMAN.get_by_name("w").begin()
    await world.advance(0.4)
    await objects.NODE.get_by_name("n1").unplug()
    await world.advance(10)
    kv = world.object("WATCHMAN", "w").storage.kv
    if world.object("NODE", "n1").storage.kv.get("unplugged") < kv.get("sent")[-PATIENCE]:
        suspects = kv.get("suspects")
        assert "n1" in suspects, f"n1 had no power during the last {PATIENCE} rounds, and suspected are {suspects}"


@scenario(app_of(Watchman))
async def stale_pong(world: World) -> None:
    """With the bug."""
    await power_cut(world)


@scenario(app_of(AttentiveWatchman))
async def stale_pong_fixed(world: World) -> None:
    """Without it."""
    await power_cut(world)
