"""Whatever apps and drivers do in whatever order: no run ends with an error of the simulator, or goes two ways.

Programs are drawn from all operations of the context API, within transactions, sections, timers, nurseries and
cancel scopes, while the driver deploys, crashes, evicts and relocates.  Nothing is asked of what they store.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import apsw
import pytest
import trio

from lumenize_sim import (
    DurableObject,
    Faults,
    LumenizeDO,
    Mesh,
    Network,
    Request,
    Response,
    RpcTarget,
    Scenario,
    UsageError,
    WebSocketPair,
    WebSocketRequestResponsePair,
    World,
    WorldOptions,
    gather,
)
from lumenize_sim.explore.roaming import roam

#: An operation: its name, a key, a time; or its name, operations inside it, a time.
Op = tuple[str, Any, float]

#: Operations that are done when they return.
AT_ONCE: dict[str, Callable[[Any, str, float], Any]] = {
    "put": lambda o, key, _: o.ctx.storage.put(key, 1),
    "put unconfirmed": lambda o, key, _: o.ctx.storage.put(key, 2, allow_unconfirmed=True),
    "get unawaited": lambda o, key, _: o.ctx.storage.get(key),
    "kv put": lambda o, key, _: o.ctx.storage.kv.put(key, [1, 2]),
    "kv list": lambda o, *_: o.begin_reading(o.ctx.storage.kv.list()),
    "sql write": lambda o, key, _: o.sql_write(key),
    "sql read": lambda o, *_: o.begin_reading(o.ctx.storage.sql.exec("SELECT name FROM sqlite_schema")),
    "read on": lambda o, *_: list(o.reading),
    "set alarm": lambda o, _, wait_s: o.ctx.storage.set_alarm(o.ctx.now() + 1 + 1000 * wait_s),
    "delete alarm": lambda o, *_: o.ctx.storage.delete_alarm(),
    "attach": lambda o, *_: [ws.serialize_attachment([1]) for ws in o.ctx.get_web_sockets()],
    "send": lambda o, key, _: [ws.send(key) for ws in o.ctx.get_web_sockets()],
    "close": lambda o, *_: [ws.close(4000, "c") for ws in o.ctx.get_web_sockets()[:1]],
    "auto": lambda o, *_: o.ctx.set_web_socket_auto_response(WebSocketRequestResponsePair("ping", "pong")),
    "limit": lambda o, *_: o.ctx.set_hibernatable_web_socket_event_timeout(2000),
    "abort": lambda o, *_: o.ctx.abort("gone"),
    "abandon": lambda o, *_: o.ctx.abort("gone", retry_alarm=False),
    "raise": lambda o, *_: o.fail(),
}
#: Those to be awaited.
AWAITED: dict[str, Callable[[Any, str, float], Any]] = {
    "get": lambda o, key, _: o.ctx.storage.get(key),
    "delete": lambda o, key, _: o.ctx.storage.delete([key, "q"]),
    "list": lambda o, *_: o.ctx.storage.list(limit=2),
    "delete all": lambda o, *_: o.ctx.storage.delete_all(),
    "sync": lambda o, *_: o.ctx.storage.sync(),
    "bookmark": lambda o, *_: o.ctx.storage.get_current_bookmark(),
    "restore": lambda o, *_: o.restore(),
    "sleep": lambda o, _, wait_s: o.sleep(wait_s),
    "fetch": lambda o, key, _: o.env.D.get_by_name(key).fetch("https://d/"),
    "gather": lambda o, key, _: gather(o.ctx.storage.get(key), o.env.D.get_by_name("b").fetch("https://d/")),
    "dial": lambda o, key, _: o.dial(key),
    "hold": lambda o, key, _: o.hold(key),
}
#: Those with others inside them.
AROUND = ("transaction", "rolled back", "failed", "savepoint", "section", "later", "timer", "nursery", "scope", "call")


class Held(RpcTarget):
    def use(self) -> int:
        return 1


class Anything:
    """Does what it is told, and survives what is refused."""

    env: Any
    ctx: Any

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)  # type: ignore[call-arg]  # of the class it is mixed into
        self.reading: Any = ()
        if ctx.id.name == "b":
            ctx.block_concurrency_while(lambda: self.run([("sleep", "a", 0.01), ("get", "a", 0)]))

    async def run(self, ops: list[Op]) -> None:
        for op in ops:
            try:
                await self.one(op)
            except Exception as error:
                if isinstance(error, (apsw.Error, AssertionError, AttributeError, UnboundLocalError)):
                    STRANGE.append(error)

    async def one(self, op: Op) -> None:
        name, inside, wait_s = op
        if name in AT_ONCE:
            AT_ONCE[name](self, inside, wait_s)
        elif name in AWAITED:
            await AWAITED[name](self, inside, wait_s)
        elif name in ("transaction", "rolled back", "failed"):

            async def body(txn: Any) -> None:
                await txn.put("t", 1)
                await self.run(inside)
                if name == "rolled back":
                    txn.rollback()
                elif name == "failed":
                    self.fail()

            await self.ctx.storage.transaction(body)
        elif name == "savepoint":
            now = [step for step in inside if step[0] in AT_ONCE]
            self.ctx.storage.transaction_sync(lambda: [AT_ONCE[what](self, key, at) for what, key, at in now])
        elif name == "section":
            await self.ctx.block_concurrency_while(lambda: self.run(inside))
        elif name == "later":
            self.ctx.wait_until(self.run([("sleep", "a", wait_s), *inside]))
        elif name == "timer":
            self.ctx.set_timeout(lambda: self.run(inside), wait_s)
        elif name == "nursery":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.run, inside)
                nursery.start_soon(self.run, [("sleep", "a", wait_s), ("put", "n", 0)])
        elif name == "scope":
            with trio.move_on_after(wait_s):
                await self.run(inside)
        else:
            await self.env.D.get_by_name("abc"[int(wait_s) % 3]).run(inside)

    async def sleep(self, wait_s: float) -> None:
        await trio.sleep(wait_s)

    def begin_reading(self, rows: Any) -> None:
        self.reading = rows
        next(rows, None)

    def sql_write(self, key: str) -> None:
        self.ctx.storage.sql.exec(f"CREATE TABLE IF NOT EXISTS t{key}(x)")
        self.ctx.storage.sql.exec(f"INSERT INTO t{key} VALUES (1)")

    def fail(self) -> None:
        raise ValueError("as planned")

    async def restore(self) -> None:
        storage = self.ctx.storage
        await storage.on_next_session_restore_bookmark(await storage.get_current_bookmark())

    async def dial(self, key: str) -> None:
        answer = await self.env.D.get_by_name(key).fetch("https://d/ws", headers={"Upgrade": "websocket"})
        answer.web_socket.accept()
        answer.web_socket.send("stop")

    async def hold(self, key: str) -> None:
        with await self.env.D.get_by_name(key).held() as held:
            await held.use()

    def held(self) -> Held:
        return Held()

    def fetch(self, request: Request) -> Response:
        if not request.is_web_socket_upgrade:
            return Response(200, "plain")
        client, server = WebSocketPair()
        if request.url.path == "/standard":
            server.accept()
            server.add_event_listener("message", lambda event: server.send(event.data))
        else:
            self.ctx.accept_web_socket(server, ["t"])
        return Response(101, web_socket=client)

    async def alarm(self) -> None:
        await self.run(TOLD["alarm"])

    async def web_socket_message(self, ws: Any, message: Any) -> None:
        if message != "stop":
            await self.run(TOLD["message"])

    async def web_socket_close(self, ws: Any) -> None:
        await self.run(TOLD["close"])


class OnSqlite(Anything, DurableObject):
    point_in_time_recovery = True


class OnLegacy(Anything, DurableObject):
    storage_backend = "kv"


class InMesh(Anything, LumenizeDO): ...


#: Errors that are none of the platform's.
STRANGE: list[Exception] = []
#: What handlers do, of the program that runs.
TOLD: dict[str, list[Op]] = {}
ACTS = ("call", "call", "call", "open", "standard", "send", "ping", "close", "terminate", "advance", "advance", "evict")
FAULTS = ("hibernate", "crash", "relocate", "deploy", "slow", "fail", "memory", "cpu", "look", "late", "scheduling")


def draw(r: random.Random, depth: int = 0, *, calls: bool = True) -> list[Op]:
    """Some operations.  ``calls`` False leaves out what could go on for ever where a handler does it."""
    ops: list[Op] = []
    for _ in range(r.randint(1, 5 - depth)):
        name = r.choice([*AT_ONCE, *AWAITED, *AROUND])
        wait_s = r.choice([0.0, 0.001, 0.1, 1, 5])
        if name in AROUND:
            if depth < 3 and (calls or name != "call"):
                ops.append((name, draw(r, depth + 1, calls=calls), wait_s))
        elif calls or name not in ("set alarm", "dial"):
            ops.append((name, r.choice("abc"), wait_s))
    return ops


def program(seed: int) -> Scenario:
    r = random.Random(seed)
    acts = [(r.choice([*ACTS, *FAULTS]), r.choice("abc"), draw(r), r.choice([0, 0.01, 0.5, 12])) for _ in range(12)]
    told = {name: draw(r, 1, calls=False) for name in ("alarm", "message", "close")}
    options = WorldOptions(
        runtime=r.choice(["production", "workerd"]),
        network=Network(max_delay_s=r.choice([0.0, 2.0])),
        step_limit=4000,
    )

    async def drive(world: World) -> None:
        TOLD.update(told)
        sockets: list[Any] = []
        for act, name, ops, wait_s in acts:
            view = world.object("D", name)
            try:
                if act == "call":
                    world.env.D.get_by_name(name).run(ops)
                elif act in ("open", "standard"):
                    sockets.append(await world.open_socket("D", name, "/" if act == "open" else "/standard"))
                elif act in ("send", "ping", "close", "terminate"):
                    if sockets:
                        ends: Any = {"close": lambda ws: ws.close(4001), "terminate": lambda ws: ws.terminate()}
                        ends.get(act, lambda ws, act=act: ws.send(act))(sockets[-1])
                elif act == "advance":
                    await world.advance(10 * wait_s)
                elif act == "deploy":
                    world.deploy("D")
                elif act == "look":
                    view.storage.get("a")
                    assert view.sockets >= 0
                    assert repr(view)
                else:
                    verbs: dict[str, Callable[[], Any]] = {
                        "slow": lambda view=view, wait_s=wait_s: view.slow_next_flush(wait_s),  # type: ignore[misc]  # both names are bound
                        "fail": view.fail_next_flush,
                        "memory": view.exceed_memory,
                        "cpu": view.exceed_cpu,
                        "late": lambda view=view, wait_s=wait_s: view.delay_next_alarm(wait_s),  # type: ignore[misc]  # both names are bound
                        "scheduling": view.fail_next_scheduling,
                    }
                    verbs.get(act, getattr(view, act, None))()  # type: ignore[misc]  # else it is a verb itself
            except (UsageError, ConnectionError):
                continue  # it is busy, or the upgrade was refused
        await world.advance(40)

    cls = r.choice([OnSqlite, OnSqlite, OnLegacy, InMesh])
    return Scenario("anything", Mesh(bindings={"D": cls}), drive, Faults(), options, None)


@pytest.mark.slow
@pytest.mark.parametrize("begin", range(0, 120, 20))
def test_any_program_runs_and_runs_the_same_way_again(begin: int) -> None:
    for seed in range(begin, begin + 20):
        digests = set()
        for _ in range(2):
            found, *_ = roam(program(seed), "random", seed=seed, schedule=1, trace=True)
            assert found.kind in ("passed", "step_limit"), f"program {seed}: {found.message}"
            assert found.trace is not None
            digests.add(found.trace.digest)
            assert STRANGE == [], f"program {seed}"
        assert len(digests) == 1, f"program {seed} went two ways"
