"""What the original demands of nodes, plugins and continuations, where no other test here says it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lumenize_sim import (
    RESULT,
    LumenizeClient,
    LumenizeDO,
    LumenizeWorker,
    Mesh,
    World,
    gather,
    mesh,
    scenario,
    simulate,
)
from lumenize_sim.mesh import (
    Continuation,
    LoginRequiredError,
    MeshError,
    NadisPlugin,
    execute_operation_chain,
    get_operation_chain,
    new_continuation,
    validate_operation_chain,
)
from lumenize_sim.mesh.durable import identity_from_headers
from lumenize_sim.mesh.services import registry


def needs(flag: str) -> Callable[[Any], None]:
    """A guard: the state of the call has ``flag``."""

    def guard(node: Any) -> None:
        if not node.lmz.call_context.state.get(flag):
            raise PermissionError(f"{flag} required")

    return guard


def needs_user(node: Any) -> None:
    """A guard on who began the chain."""
    auth = node.lmz.call_context.origin_auth
    if auth is None or auth.sub != "alice":
        raise PermissionError("only alice")


def needs_token(node: Any) -> None:
    """A guard on a token in the state."""
    if node.lmz.call_context.state.get("token") != "right":
        raise PermissionError("wrong token")


class Echo(LumenizeDO):
    """A callee."""

    @mesh
    def echo(self, text: str) -> str:
        return f"echo: {text}"

    @mesh
    def me(self) -> list[Any]:
        origin = self.lmz.call_context.call_chain[0]
        return [origin.type, origin.binding_name, origin.instance_name]

    @mesh
    async def me_twice(self) -> list[Any]:
        first = self.me()
        await self.lmz.call_raw("WORKER", None, self.ctn(Helper).add(1, 2))
        return [first, self.me()]

    @mesh
    def fails(self) -> None:
        raise ValueError("not today")

    @mesh(needs_user)
    def for_alice(self) -> str:
        return "hello alice"

    @mesh(needs_token)
    def with_token(self) -> str:
        return "let in"


class Helper(LumenizeWorker):
    """A Worker."""

    @mesh
    def add(self, a: int, b: int) -> int:
        return a + b

    def plain(self) -> str:
        return "plain"

    @mesh
    def names(self) -> list[Any]:
        return [self.lmz.type, self.lmz.binding_name, self.lmz.instance_name]

    @mesh
    async def ask_object(self, text: str) -> str:
        return await self.lmz.call_raw("ECHO", "e", self.ctn(Echo).echo(text))

    @mesh
    async def ask_worker(self) -> int:
        return await self.lmz.call_raw("WORKER", None, self.ctn(Helper).add(20, 22))

    @mesh
    async def ask_failing(self) -> None:
        await self.lmz.call_raw("ECHO", "e", self.ctn(Echo).fails())

    @mesh
    def fails(self) -> None:
        raise ValueError("worker failed")

    @mesh(needs("admin"))
    def for_admins(self) -> str:
        return "secret"

    @mesh(needs_user)
    def for_alice(self) -> str:
        return "hello alice"

    @mesh(needs_token)
    def with_token(self) -> str:
        return "let in"

    @mesh
    def continuation_of(self) -> Any:
        return get_operation_chain(self.ctn(Echo).echo("x"))


class Caller(LumenizeDO):
    """Calls as it is told."""

    async def ask(self, text: str) -> Any:
        return await self.lmz.call_raw("ECHO", "e", self.ctn(Echo).echo(text))

    async def ask_by_chain(self, text: str) -> Any:
        chain = get_operation_chain(self.ctn(Echo).echo(text))
        assert chain is not None
        return await self.lmz.call_raw("ECHO", "e", chain)

    @mesh
    async def who(self) -> Any:
        return await self.lmz.call_raw("ECHO", "e", self.ctn(Echo).me_twice())

    @mesh
    async def thrice(self) -> Any:
        before = [node.instance_name for node in self.lmz.call_context.call_chain]
        answers = await gather(*[self.lmz.call_raw("ECHO", f"e{n}", self.ctn(Echo).me()) for n in range(3)])
        after = [node.instance_name for node in self.lmz.call_context.call_chain]
        return [before == after, answers]

    @mesh
    def ask_worker(self) -> None:
        self.lmz.call("WORKER", None, self.ctn(Helper).fails(), self.ctn().worker_said(RESULT))

    def worker_said(self, error: Any) -> None:
        self.ctx.storage.kv.put("said", str(error))

    def no_binding_yet(self) -> list[Any]:
        return [self.lmz.type, self.lmz.binding_name, self.lmz.instance_name]

    def with_binding_only(self) -> Any:
        self.lmz.init_identity(binding_name="CALLER")
        return self.ask_for_me()

    async def ask_for_me(self) -> Any:
        return await self.lmz.call_raw("ECHO", "e", self.ctn(Echo).me())


class Tab(LumenizeClient):
    """A client."""


APP = Mesh(bindings={"ECHO": Echo, "CALLER": Caller, "WORKER": Helper})


def passes(test: Callable[[World], Awaitable[None]], app: Mesh = APP) -> None:
    @scenario(app)
    async def driven(world: World) -> None:
        await test(world)

    run = simulate(driven)
    if run.failure is not None:
        raise run.failure


# -- objects and Workers ------------------------------------------------------------------


def test_objects_without_on_start_work_and_call_each_other() -> None:
    """T-DO 10, 34, 41, 42, T-CT 5: by a continuation or by its chain."""

    async def drive(world: World) -> None:
        caller = world.env.CALLER.get_by_name("c")
        assert await caller.ask("hello") == "echo: hello"
        assert await caller.ask_by_chain("again") == "echo: again"

    passes(drive)


def test_a_caller_without_an_instance_name_has_none_on_the_wire() -> None:
    """T-DO 43, 44: no fallback to the object's id."""

    async def drive(world: World) -> None:
        fresh = world.env.CALLER.get_by_name("c")
        assert await fresh.no_binding_yet() == ["LumenizeDO", None, None]
        assert await fresh.ask_for_me() == ["LumenizeDO", None, None]
        assert await fresh.with_binding_only() == ["LumenizeDO", "CALLER", None]

    passes(drive)


def test_services_are_there_and_alarms_tell_kind_and_id() -> None:
    """T-DO 11, 13, T-D1 1 to 3, T-D2 1 to 6: sql and alarms together, as the documentation uses them."""

    class Notes(LumenizeDO):
        def on_start(self) -> None:
            self.svc.sql("CREATE TABLE IF NOT EXISTS notes(text TEXT, at INTEGER)")

        def add(self, text: str) -> Any:
            self.svc.sql("INSERT INTO notes VALUES (?, ?)", text, self.lmz.now())
            made = self.svc.alarms.schedule(60, self.ctn().expire(text))
            return [made.type, made.id]

        def all(self) -> list[str]:
            return [row["text"] for row in self.svc.sql("SELECT text FROM notes ORDER BY rowid")]

        def expire(self, text: str) -> None:
            self.svc.sql("DELETE FROM notes WHERE text = ?", text)

        def moment(self, epoch_s: int) -> Any:
            from datetime import UTC, datetime

            made = self.svc.alarms.schedule(datetime.fromtimestamp(epoch_s, UTC), self.ctn().expire("x"))
            return [made.type, made.time]

        def every_day(self) -> Any:
            made = self.svc.alarms.schedule("0 0 * * *", self.ctn().expire("x"))
            return [made.type, made.cron, made.id]

        def cancel(self, id: str) -> Any:
            gone = self.svc.alarms.cancel_schedule(id)
            return [None if gone is None else gone.id, [schedule.id for schedule in self.svc.alarms.get_schedules()]]

        async def run_next(self) -> list[str]:
            return await self.svc.alarms.trigger_alarms(1)

    async def drive(world: World) -> None:
        notes = world.env.NOTES.get_by_name("n")
        kind, id = await notes.add("milk")
        assert (kind, len(id)) == ("delayed", 26)
        assert await notes.all() == ["milk"]
        assert await notes.moment(1_800_000_000) == ["scheduled", 1_800_000_000]
        kind, cron, daily = await notes.every_day()
        assert (kind, cron) == ("cron", "0 0 * * *")
        gone, left = await notes.cancel(daily)
        assert gone == daily
        assert daily not in left
        assert len(left) == 2
        assert await notes.run_next() == [id]
        assert await notes.all() == []

    passes(drive, Mesh(bindings={"NOTES": Notes}))


def test_a_worker_calls_objects_and_workers_and_its_errors_come_back() -> None:
    """T-WK 6, 7, 10 to 14: its identity lasts for one call; a plain method is reached by a plain stub."""

    async def drive(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        call = tab.lmz.call_raw
        assert await call("WORKER", None, tab.ctn(Helper).names()) == ["LumenizeWorker", "WORKER", None]
        assert await call("WORKER", None, tab.ctn(Helper).ask_object("hi")) == "echo: hi"
        assert await call("WORKER", None, tab.ctn(Helper).ask_worker()) == 42
        chain = await call("WORKER", None, tab.ctn(Helper).continuation_of())
        assert chain == [{"type": "get", "key": "echo"}, {"type": "apply", "args": ["x"]}]
        with pytest.raises(Exception, match="not today"):
            await call("WORKER", None, tab.ctn(Helper).ask_failing())
        assert await world.env.WORKER.plain() == "plain"

    passes(drive)


def test_the_error_of_a_worker_reaches_the_handler_of_an_object() -> None:
    """T-WK 19."""

    async def drive(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        await tab.lmz.call_raw("CALLER", "c", tab.ctn(Caller).ask_worker())
        await world.settle()
        assert world.object("CALLER", "c").storage.kv.get("said") == "worker failed"

    passes(drive)


@pytest.mark.parametrize("binding, instance, node", [("ECHO", "e", Echo), ("WORKER", None, Helper)])
def test_guards_on_the_user_and_on_a_token_reject(binding: str, instance: str | None, node: Any) -> None:
    """T-CC 15 to 19: on objects and on Workers."""

    async def drive(world: World) -> None:
        alice, bob = await world.connect(Tab, sub="alice"), await world.connect(Tab, sub="bob")
        assert await alice.lmz.call_raw(binding, instance, alice.ctn(node).for_alice()) == "hello alice"
        with pytest.raises(Exception, match="only alice"):
            await bob.lmz.call_raw(binding, instance, bob.ctn(node).for_alice())
        with pytest.raises(Exception, match="wrong token"):
            await bob.lmz.call_raw(binding, instance, bob.ctn(node).with_token())
        right = bob.lmz.call_raw(binding, instance, bob.ctn(node).with_token(), state={"token": "right"})
        assert await right == "let in"
        if node is Helper:
            with pytest.raises(Exception, match="admin required"):
                await bob.lmz.call_raw("WORKER", None, bob.ctn(Helper).for_admins())

    passes(drive)


def test_on_before_call_runs_first_and_does_not_disturb_the_call() -> None:
    """T-CC 20."""

    class Watched(Echo):
        def on_before_call(self) -> None:
            self.seen = [*getattr(self, "seen", []), self.lmz.call_context.call_chain[0].instance_name]

        @mesh
        def seen_so_far(self) -> list[str]:
            return list(self.seen)

    async def drive(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        assert await tab.lmz.call_raw("ECHO", "e", tab.ctn(Watched).echo("a")) == "echo: a"
        assert await tab.lmz.call_raw("ECHO", "e", tab.ctn(Watched).seen_so_far()) == ["alice.tab1"] * 2

    passes(drive, Mesh(bindings={"ECHO": Watched}))


def test_concurrent_calls_each_see_their_own_origin_before_and_after_an_await() -> None:
    """T-CC 21, 22, CTX-1: also with three parallel calls below one."""

    async def drive(world: World) -> None:
        alice, bob = await world.connect(Tab, sub="alice"), await world.connect(Tab, sub="bob")
        asked = [tab.lmz.call_raw("ECHO", "e", tab.ctn(Echo).me_twice()) for tab in (alice, bob)]
        gateway = "LUMENIZE_CLIENT_GATEWAY"
        assert [await one for one in asked] == [
            [["LumenizeClient", gateway, f"{sub}.tab1"]] * 2 for sub in ("alice", "bob")
        ]
        same, below = await alice.lmz.call_raw("CALLER", "c", alice.ctn(Caller).thrice())
        assert same
        assert below == [["LumenizeClient", gateway, "alice.tab1"]] * 3

    passes(drive)


# -- identity from headers ------------------------------------------------------------------


class Lmz:
    """Notes what it is told to be."""

    def __init__(self, error: Exception | None = None) -> None:
        self.told: list[Any] = []
        self.error = error

    def init_identity(self, binding: str | None, instance: str | None) -> None:
        self.told.append((binding, instance))
        if self.error is not None:
            raise self.error


BINDING, INSTANCE = "x-lumenize-do-binding-name", "x-lumenize-do-instance-name-or-id"


def test_both_headers_are_stamped_and_nothing_is_answered() -> None:
    """T-IH 1."""
    lmz = Lmz()
    assert identity_from_headers({BINDING: "B", INSTANCE: "i"}, lmz) is None
    assert lmz.told == [("B", "i")]


def test_an_id_in_place_of_a_name_is_refused_and_nothing_is_stamped() -> None:
    """T-IH 2: with the name of the node type."""
    lmz = Lmz()
    refusal = identity_from_headers({BINDING: "B", INSTANCE: "ab" * 32}, lmz, "LumenizeContainer")
    assert refusal is not None
    assert (refusal.status, refusal.text) == (400, "LumenizeContainer requires instanceName, not a DO id string.")
    assert lmz.told == []


def test_a_mismatch_is_answered_with_its_text() -> None:
    """T-IH 3."""
    refusal = identity_from_headers({BINDING: "B"}, Lmz(MeshError("DO binding name mismatch: …")))
    assert refusal is not None
    assert (refusal.status, refusal.text) == (500, "DO binding name mismatch: …")


def test_without_headers_nothing_happens() -> None:
    """T-IH 4: empty values count as absent (LMZ-8)."""
    lmz = Lmz()
    assert identity_from_headers({BINDING: "", INSTANCE: ""}, lmz) is None
    assert lmz.told == []


# -- plugins ----------------------------------------------------------------------------------


class Counting(NadisPlugin):
    """A service with state."""

    def __init__(self, do_instance: Any) -> None:
        super().__init__(do_instance)
        self.count = 0

    def up(self) -> int:
        self.count += 1
        return self.count


class Plugged(LumenizeDO):
    """Uses services of the app."""

    def up(self) -> int:
        return int(self.svc.counting.up())

    def greet(self, name: str) -> str:
        return str(self.svc.greet(name))

    def sees(self) -> list[bool]:
        plugin = self.svc.counting
        return [plugin.do_instance is self, plugin.ctx is self.ctx, plugin.svc is self.svc]

    def lonely(self) -> None:
        self.svc.lonely


class Lonely(NadisPlugin):
    """Needs what nobody registered."""

    def __init__(self, do_instance: Any) -> None:
        super().__init__(do_instance)
        self.sql = self.svc.nobody


def test_classes_and_functions_are_services_with_the_object_at_hand_and_state_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """T-ND 1 to 8: one registry for all, cached per object; a missing dependency shows at first access."""
    monkeypatch.setattr(registry, "_factories", {})
    NadisPlugin.register("counting", Counting)
    NadisPlugin.register("greet", lambda do_instance: lambda name: f"{do_instance.greeting} {name}")
    NadisPlugin.register("lonely", Lonely)
    assert list(registry._factories) == ["counting", "greet", "lonely"]
    monkeypatch.setattr(Plugged, "greeting", "hello", raising=False)

    async def drive(world: World) -> None:
        one, other = world.env.PLUGGED.get_by_name("one"), world.env.PLUGGED.get_by_name("other")
        assert [await one.up(), await one.up(), await other.up()] == [1, 2, 1]
        assert await one.greet("ada") == "hello ada"
        assert await one.sees() == [True, True, True]
        with pytest.raises(Exception, match="Service 'nobody' not found"):
            await one.lonely()

    passes(drive, Mesh(bindings={"PLUGGED": Plugged}))


# -- continuations ------------------------------------------------------------------------------


class Calculator:
    """A target of the app's own."""

    def __init__(self) -> None:
        self.value = 0
        self.inner = {"deep": self}

    @mesh
    def add(self, a: int, b: int) -> int:
        return a + b

    @mesh
    def multiply(self, a: int, b: int) -> int:
        return a * b

    @mesh
    def set_value(self, value: int) -> Calculator:
        self.value = value
        return self

    @mesh
    def get_value(self) -> int:
        return self.value

    @mesh
    async def later(self, value: int) -> int:
        return value


def recorded(continuation: Any) -> Any:
    return get_operation_chain(continuation)


def get(key: str) -> dict[str, Any]:
    return {"type": "get", "key": key}


def apply(*args: Any) -> dict[str, Any]:
    return {"type": "apply", "args": list(args)}


def test_calls_chains_paths_and_arguments_are_recorded() -> None:
    """T-OC 1 to 4."""
    ctn: Any = new_continuation()
    assert recorded(ctn.check("hello", {"lang": "en"})) == [get("check"), apply("hello", {"lang": "en"})]
    assert recorded(ctn.first(1).second(2)) == [get("first"), apply(1), get("second"), apply(2)]
    assert recorded(ctn.nested.deep.method()) == [get("nested"), get("deep"), get("method"), apply()]
    assert recorded(ctn.many(1, "two", [3], None)) == [get("many"), apply(1, "two", [3], None)]


def test_continuations_as_arguments_become_markers_however_deep() -> None:
    """T-OC 5, 6."""
    ctn: Any = new_continuation()
    inner = ctn.add(1, 2)
    middle = ctn.add(inner, 3)
    chain = recorded(ctn.add(middle, 4))
    marker = chain[1]["args"][0]
    assert marker == {"__isNestedOperation": True, "__operationChain": recorded(middle)}
    assert marker["__operationChain"][1]["args"][0]["__operationChain"] == recorded(inner)


def test_chains_are_executed_with_their_this() -> None:
    """T-OC 7, 8, 9, 13: a method, a chain, a method reached by a path, a property after a call."""
    target = Calculator()
    run = lambda chain: execute_operation_chain(chain, target, require_mesh_decorator=False)  # noqa: E731  # used once a line
    assert run([get("add"), apply(2, 3)]) == 5
    assert run([get("set_value"), apply(100), get("get_value"), apply()]) == 100
    assert run([get("inner"), get("deep"), get("add"), apply(1, 1)]) == 2
    assert run([get("set_value"), apply(7), get("value")]) == 7


@pytest.mark.trio
async def test_async_methods_and_nested_calls_are_awaited() -> None:
    """T-OC 10 and 19."""
    target, ctn = Calculator(), new_continuation(Calculator)
    assert await execute_operation_chain(recorded(ctn.later(5)), target) == 5
    mixed: Any = ctn.add(ctn.multiply(2, ctn.add(4, 4)), ctn.set_value(10).get_value())
    assert execute_operation_chain(recorded(mixed), target) == 26
    assert await execute_operation_chain(recorded(ctn.add(ctn.later(1), ctn.later(2))), target) == 3  # type: ignore[arg-type]  # what a nested call stands for


@pytest.mark.parametrize(
    "chain, limits, says",
    [
        ([get("a")] * 51, {}, "Operation chain too deep: 51 > 50"),
        ([get("a"), apply(*range(101))], {}, "Too many arguments: 101 > 100"),
        ([get("a"), apply(*range(150))], {}, "Too many arguments: 150 > 100"),
        ([get("a")] * 6, {"max_depth": 5}, "Operation chain too deep: 6 > 5"),
        ([get("a"), apply(1, 2, 3)], {"max_args": 2}, "Too many arguments: 3 > 2"),
        ("a.b()", {}, "Invalid operation chain: operations must be an array"),
    ],
)
def test_chains_are_limited(chain: Any, limits: dict[str, int], says: str) -> None:
    """T-OC 15 to 18, 20, 21."""
    with pytest.raises(MeshError) as refused:
        validate_operation_chain(chain, **limits)
    assert str(refused.value) == says


def test_a_chain_within_the_limits_is_accepted() -> None:
    """T-OC 14."""
    validate_operation_chain([get("a"), apply(*range(100))] * 25)


def test_calling_what_is_no_function_says_so() -> None:
    """T-OC 22."""
    with pytest.raises(Exception, match="is not a function"):
        execute_operation_chain([get("value"), apply()], Calculator(), require_mesh_decorator=False)


# -- clients ------------------------------------------------------------------------------------


def test_a_client_without_an_instance_name_needs_nothing_but_a_way_to_a_token() -> None:
    """T-CL 1 and 2, T-BR-2: construction does not raise, and the name comes with the token."""

    async def drive(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        assert tab.lmz.instance_name == "alice.tab1"
        assert tab.connection_state == "connected"

    passes(drive)


def test_the_error_of_a_login_has_its_fields() -> None:
    """T-CL 22."""
    error = LoginRequiredError("Authentication failed: no", 4403, "no")
    assert (str(error), error.code, error.reason) == ("Authentication failed: no", 4403, "no")


def test_a_client_has_continuations() -> None:
    """T-CL 25."""

    async def drive(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        assert isinstance(tab.ctn(Echo).echo("x"), Continuation)

    passes(drive)


def test_peers_are_refused_unless_the_client_lets_them() -> None:
    """T-CL 29, 34, CL-50: what the original leaves as a placeholder; and guarded methods are there."""

    class Guarded(Tab):
        @mesh(needs("admin"))
        def reset(self) -> str:
            return "reset"

    class Open(Guarded):
        def on_before_call(self) -> None:
            """Anybody."""

    async def drive(world: World) -> None:
        alice = await world.connect(Tab, sub="alice")
        await world.connect(Guarded, sub="bob")
        await world.connect(Open, sub="carol")
        gateway = "LUMENIZE_CLIENT_GATEWAY"
        with pytest.raises(Exception, match="Peer-to-peer client calls are disabled by default"):
            await alice.lmz.call_raw(gateway, "bob.tab1", alice.ctn(Guarded).reset())
        with pytest.raises(Exception, match="admin required"):
            await alice.lmz.call_raw(gateway, "carol.tab1", alice.ctn(Open).reset())
        answer = alice.lmz.call_raw(gateway, "carol.tab1", alice.ctn(Open).reset(), state={"admin": True})
        assert await answer == "reset"

    passes(drive)
