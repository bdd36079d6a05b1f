"""A registry of services that look for their dependencies in a few rounds: one order of six needs a round more.

Six services come up together, each needs the one before it.  Whoever registers before what it needs waits, and
each registration goes over those that wait, in the order in which they came, until nothing changes any more, or
four times: "nobody has ever needed more".  The list is gone over from the front, so a round brings up a whole row
of services that stand in the right order and one of a row that stands in the wrong one.  Only where all six come
from the last to the first, one order in 720, five rounds leave somebody behind, for ever.

Depth 5: the sixth comes before the first, then the fifth, the fourth, the third, the second.
"""

from __future__ import annotations

from typing import Any

from lumenize_sim import DurableObject, Mesh, World, gather, scenario

DEPTH = 5
RACING = {
    "object": "REGISTRY/main",
    "key": ("waiting", "up"),
    "events": ("register (SERVICE/shop)", "register (SERVICE/database)"),
    "lines": ('kv.put("waiting", waiting)',),
}
RATE = (25, 20_000)
#: Each needs the one before it.
SERVICES = ("database", "accounts", "catalogue", "orders", "payments", "shop")
ROUNDS = 5


class Registry(DurableObject):
    """Who is up, and who waits for somebody."""

    rounds = ROUNDS

    def register(self, name: str, needs: str | None) -> None:
        kv = self.ctx.storage.kv
        kv.put("waiting", [*kv.get("waiting", []), (name, needs)])
        self.bring_up()

    def bring_up(self) -> None:
        """Whoever waits for somebody that is up need wait no longer, which may help others."""
        kv = self.ctx.storage.kv
        up: list[str] = kv.get("up", [])
        waiting: list[tuple[str, str | None]] = kv.get("waiting", [])
        for _ in range(self.rounds):
            still: list[tuple[str, str | None]] = []
            for name, needs in waiting:
                if needs is None or needs in up:
                    up = [*up, name]
                else:
                    still.append((name, needs))
            if still == waiting:
                break
            waiting = still
        kv.put("up", up)
        kv.put("waiting", waiting)


class PatientRegistry(Registry):
    """Goes on for as long as it helps anybody: a round for each of those that wait is enough."""

    @property
    def rounds(self) -> int:  # type: ignore[override]  # a class attribute there
        return len(self.ctx.storage.kv.get("waiting", []))


class Service(DurableObject):
    """Starts and makes itself known."""

    async def start(self, name: str, needs: str | None) -> None:
        self.ctx.storage.kv.put("name", name)
        await self.env.REGISTRY.get_by_name("main").register(name, needs)


class Rollout(DurableObject):
    """Starts everything at once."""

    async def run(self) -> None:
        starting = []
        for name, needs in zip(SERVICES, (None, *SERVICES), strict=False):
            starting.append(self.env.SERVICE.get_by_name(name).start(name, needs))
        await gather(*starting)


def app_of(registry: type[Registry]) -> Mesh:
    return Mesh(bindings={"REGISTRY": registry, "SERVICE": Service, "ROLLOUT": Rollout})


async def everything_comes_up(world: World) -> None:
    """All six have registered, so all six must be up."""
    objects: Any = world.env
    await objects.ROLLOUT.get_by_name("monday").run()
    known = world.object("REGISTRY", "main").storage.kv
    assert not known.get("waiting"), (
        f"all services have started, and {known.get('waiting')} still wait; up: {known.get('up')}"
    )


@scenario(app_of(Registry))
async def registry(world: World) -> None:
    """With the bug."""
    await everything_comes_up(world)


@scenario(app_of(PatientRegistry))
async def registry_fixed(world: World) -> None:
    """Without it."""
    await everything_comes_up(world)
