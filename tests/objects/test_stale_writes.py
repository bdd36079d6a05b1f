"""What an instance that was replaced tells others: never of a write that was refused to it (LC-11, LC-12, LC-26)."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from lumenize_sim import DurableObject, World
from lumenize_sim.objects import Pending, Request, Response, begin, gather
from lumenize_sim.objects.rpc_errors import DISCONNECTED, DurableObjectError
from lumenize_sim.objects.storage import INACCESSIBLE


class Careless(DurableObject):
    """Each method waits, writes ``late`` after it was replaced, does not look, and says that it has stored it."""

    async def alarm(self, info: Any = None) -> None: ...

    async def seed(self) -> None:
        await self.ctx.storage.put("early", True)

    def which(self) -> str:
        return "here"

    async def fetch(self, request: Request) -> Response:
        return Response(200, text=await self.put())

    async def put(self) -> str:
        await trio.sleep(5)
        self.ctx.storage.put("late", True)
        return "stored"

    async def put_and_go_on(self) -> str:
        await trio.sleep(5)
        self.ctx.storage.put("late", True)
        await trio.sleep(1)
        return "stored"

    async def put_many(self) -> str:
        await trio.sleep(5)
        self.ctx.storage.put({"late": True, "later": True})
        return "stored"

    async def put_unconfirmed(self) -> str:
        await trio.sleep(5)
        self.ctx.storage.put("late", True, allow_unconfirmed=True)
        return "stored"

    async def delete(self) -> str:
        await trio.sleep(5)
        self.ctx.storage.delete("early")
        return "stored"

    async def delete_everything(self) -> str:
        await trio.sleep(5)
        self.ctx.storage.delete_all()
        return "stored"

    async def set_alarm(self) -> str:
        await trio.sleep(5)
        self.ctx.storage.set_alarm(9_000_000_000_000)
        return "stored"

    async def transaction(self) -> str:
        await trio.sleep(5)

        async def body(txn: Any) -> None:
            await txn.put("late", True)

        self.ctx.storage.transaction(body)
        return "stored"

    async def transaction_cut_in_two(self) -> str:
        """It writes before, and ends after."""

        async def body(txn: Any) -> None:
            txn.put("late", True)
            await trio.sleep(5)

        await self.ctx.storage.transaction(body)
        return "stored"

    async def _save(self) -> None:
        await self.ctx.storage.put("late", True)

    async def begun(self) -> str:
        await trio.sleep(5)
        begin(self._save())
        await trio.sleep(1)
        return "stored"

    async def behind_the_answer(self) -> str:
        await trio.sleep(5)
        self.ctx.wait_until(self._save())
        await trio.sleep(1)
        return "stored"

    async def gathered(self) -> str:
        await trio.sleep(5)
        gather(self.ctx.storage.put("late", True), self.ctx.storage.put("later", True))
        return "stored"

    async def by_a_timer(self) -> str:
        await trio.sleep(5)
        self.ctx.set_timeout(lambda: self.ctx.storage.put("late", True), 0.5)
        await trio.sleep(1)
        return "stored"

    async def told_to_a_peer(self) -> str:
        await trio.sleep(5)
        self.ctx.storage.put("late", True)
        await self.env.PEER.get_by_name("p").hear("stored")
        return "stored"


class Synchronous(Careless):
    async def sync_put_by_a_timer(self) -> str:
        await trio.sleep(5)
        self.ctx.set_timeout(lambda: self.ctx.storage.kv.put("late", True), 0.5)
        await trio.sleep(1)
        return "stored"

    async def sync_put_behind_the_answer(self) -> str:
        async def save() -> None:
            self.ctx.storage.sql.exec("CREATE TABLE late (n)")

        await trio.sleep(5)
        self.ctx.wait_until(save())
        await trio.sleep(1)
        return "stored"


class Peer(DurableObject):
    heard: list[str] = []

    def hear(self, word: str) -> None:
        Peer.heard.append(word)


class Careful(DurableObject):
    """It looks, and answers for itself what it makes of it; but for one method."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.notes: list[str] = []

    def which(self) -> str:
        return "here"

    async def seed(self) -> None:
        await self.ctx.storage.put("early", True)

    async def note(self, word: str) -> None:
        self.notes.append(word)
        await self.ctx.storage.put("note", word)

    def noted(self) -> list[str]:
        return self.notes

    async def careless(self) -> str:
        await trio.sleep(5)
        self.notes.append("late")
        self.ctx.storage.put("note", "late")
        return "noted"

    async def put(self) -> str:
        await trio.sleep(5)
        try:
            await self.ctx.storage.put("late", True)
        except Exception as error:
            return f"not stored: {error}"
        return "stored"

    async def compute(self) -> str:
        await trio.sleep(7)
        return "computed"


HANDLERS = [
    name for name in vars(Careless) if not name.startswith("_") and name not in ("alarm", "seed", "which", "fetch")
]
SYNCHRONOUS = [name for name in vars(Synchronous) if not name.startswith("_")]


class CarelessLegacy(Careless):
    storage_backend = "kv"


async def in_two_places(world: World, verb: str, handler: str) -> Pending[Any]:
    """``handler`` is under way on an instance that was replaced, and another one is there."""
    stub = world.env.D.get_by_name("d")
    await stub.seed()
    answer: Pending[Any] = stub.fetch("https://d/") if handler == "fetch" else getattr(stub, handler)()
    await world.advance(1)
    if verb == "relocate":
        world.object("D", "d").relocate()
    else:
        world.deploy("D")
    assert await world.env.D.get_by_name("d").which() == "here"
    return answer


@pytest.mark.parametrize("verb", ["relocate", "deploy"])
@pytest.mark.parametrize(
    "cls, handler",
    [
        *((Synchronous, name) for name in (*HANDLERS, *SYNCHRONOUS, "fetch")),
        *((CarelessLegacy, name) for name in (*HANDLERS, "fetch")),
    ],
)
def test_a_refused_write_at_which_nobody_looks_is_never_acknowledged(
    passes: Any, cls: type[Careless], handler: str, verb: str
) -> None:
    """LC-11, LC-12, LC-26, LT-87: allowed is an exception, and nothing stored."""

    async def drive(world: World) -> None:
        Peer.heard = []
        view = world.object("D", "d")
        answer = await in_two_places(world, verb, handler)
        with pytest.raises(DurableObjectError) as refused:
            await answer
        assert str(refused.value) in (INACCESSIBLE, DISCONNECTED)
        await world.advance(10)
        assert (view.stale, view.alarm_ms, Peer.heard) == (0, None, [])
        assert view.storage.list() == {"early": True}

    passes(drive, D=cls, PEER=Peer)


def test_who_looks_may_answer_what_it_makes_of_it(passes: Any) -> None:
    """LC-11: the next access to storage gets an exception, and whoever catches one goes on."""

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("d")
        computing = stub.compute()
        answer = await in_two_places(world, "relocate", "put")
        assert await answer == f"not stored: {INACCESSIBLE}"
        assert await computing == "computed"
        assert world.object("D", "d").storage.list() == {"early": True}

    passes(drive, D=Careful)


def test_a_careless_write_takes_those_along_who_would_tell_of_it(passes: Any) -> None:
    """OG-1, LC-26: what one handler has left in memory another could tell; the instance is stopped as a whole."""

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("d")
        computing = stub.compute()
        writing = await in_two_places(world, "relocate", "careless")
        for answer in (writing, computing):
            with pytest.raises(DurableObjectError, match=INACCESSIBLE):
                await answer
        assert world.now() < 7

    passes(drive, D=Careful)


def test_the_new_instance_hears_nothing_of_it(passes: Any) -> None:
    """LC-12, LC-28: it keeps its memory, and what it has stored meanwhile."""

    async def drive(world: World) -> None:
        writing = await in_two_places(world, "relocate", "careless")
        await world.env.D.get_by_name("d").note("new")
        with pytest.raises(DurableObjectError):
            await writing
        view = world.object("D", "d")
        assert (view.stale, view.in_memory) == (0, True)
        assert await world.env.D.get_by_name("d").noted() == ["new"]
        assert view.storage.list() == {"early": True, "note": "new"}

    passes(drive, D=Careful)
