"""Hostile frames and envelopes: none crashes anything or reads what it may not; each gets its answer (GW-18 …)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim import LumenizeDO, LumenizeWorker, Mesh, World, mesh, scenario, simulate
from lumenize_sim.clone import loads
from lumenize_sim.mesh.context import CallContext, NodeIdentity
from lumenize_sim.mesh.envelope import Envelope, Metadata

GATEWAY = "LUMENIZE_CLIENT_GATEWAY"
SECRET = "xyzzy-9c41"


class Keeper:
    """What a method hands out."""

    def __init__(self) -> None:
        self.secret = SECRET
        self.items = {"open": "sesame", "list": [1, 2, 3]}

    def name(self) -> str:
        return "keeper"

    def _hidden(self) -> str:
        return SECRET


class Node(LumenizeDO):
    """An object with something to hide."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.secret = SECRET
        self._secret = SECRET
        self.public = {"nested": {"secret": SECRET}}

    @mesh
    def hello(self, *args: Any) -> str:
        return f"hello {len(args)}"

    @mesh
    def keeper(self) -> Keeper:
        return Keeper()

    def unmarked(self) -> str:
        return SECRET

    @property
    def computed(self) -> str:
        return SECRET


class Helper(LumenizeWorker):
    """A Worker with something to hide."""

    secret = SECRET

    @mesh
    def add(self, a: Any, b: Any) -> Any:
        return [a, b]


APP = Mesh(bindings={"NODE": Node, "HELPER": Helper}, vars={"SECRET": SECRET})

NAMES = st.sampled_from(
    [
        "hello", "keeper", "name", "add", "secret", "_secret", "_hidden", "unmarked", "computed", "public", "nested",
        "ctx", "env", "lmz", "svc", "ctn", "storage", "kv", "get", "sql", "exec", "alarms", "schedule", "SECRET",
        "constructor", "prototype", "__proto__", "__class__", "__init__", "__globals__", "__dict__", "__subclasses__",
        "__execute_operation", "_execute_operation", "_execute_chain", "__broadcastTier", "__handleProxyFetchResult",
        "format", "mro", "fetch", "alarm", "then", "toString", "0", "-1", "", "on_start", "onBeforeCall",
    ]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | NAMES
)
MARKER = st.deferred(
    lambda: st.fixed_dictionaries({"__isNestedOperation": st.just(True)}, optional={"__operationChain": CHAIN | JSON})
)
TAGGED = st.fixed_dictionaries(
    {"$type": st.sampled_from(["date", "map", "set", "error", "bigint", "regexp", "arraybuffer", "url", "what"])},
    optional={"iso": SCALARS, "entries": st.deferred(lambda: JSON), "values": st.deferred(lambda: JSON),
              "name": NAMES, "message": SCALARS, "value": SCALARS, "data": st.deferred(lambda: JSON), "href": SCALARS},
)  # fmt: skip
JSON = st.recursive(
    SCALARS | st.builds(lambda n: {"$ref": n}, st.integers(-1, 3)) | TAGGED | MARKER,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
OPERATION = st.one_of(
    st.builds(lambda key: {"type": "get", "key": key}, NAMES | SCALARS),
    st.builds(lambda args: {"type": "apply", "args": args}, st.lists(JSON, max_size=3) | SCALARS),
    JSON,
)
CHAIN = st.lists(OPERATION, max_size=6) | st.builds(lambda op, n: [op] * n, OPERATION, st.integers(49, 52))
ENCODED = st.one_of(
    st.builds(
        lambda value, aliases: {"json": value, "meta": {"aliases": aliases} if aliases else {}},
        CHAIN | JSON,
        st.dictionaries(st.sampled_from(["0", "1", "2", "x", "-1"]), JSON, max_size=3),
    ),
    JSON,
)
IDENTITY = st.fixed_dictionaries(
    {}, optional={"type": SCALARS, "bindingName": SCALARS, "instanceName": SCALARS}
) | JSON  # fmt: skip
CALL = st.fixed_dictionaries(
    {"type": st.just("call"), "callId": st.text(min_size=1, max_size=6)},
    optional={
        "binding": st.sampled_from(["NODE", "HELPER", GATEWAY, "NOPE", "SECRET", "__class__"]) | SCALARS,
        "instance": st.sampled_from(["n", "", "ab" * 32, "x.y"]) | SCALARS,
        "chain": ENCODED,
        "callContext": st.fixed_dictionaries(
            {}, optional={"callChain": st.lists(IDENTITY, max_size=3) | JSON, "state": ENCODED, "originAuth": JSON}
        )
        | JSON,
    },
)
#: Well-formed in every respect, and after what is hidden.
STEPS = st.lists(
    st.builds(lambda key: {"type": "get", "key": key}, NAMES)
    | st.builds(lambda args: {"type": "apply", "args": args}, st.lists(NAMES, max_size=2)),
    min_size=1,
    max_size=4,
)
AIMED = st.builds(
    lambda call_id, chain, to: {"type": "call", "callId": call_id, **to, "chain": {"json": chain, "meta": {}}},
    st.text(min_size=1, max_size=6),
    STEPS,
    st.sampled_from([{"binding": "NODE", "instance": "n"}, {"binding": "HELPER"}]),
)
OTHER = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["call_response", "incoming_call", "incoming_call_response", "connection_status"])
        | SCALARS
    },
    optional={"callId": SCALARS, "success": SCALARS, "result": ENCODED, "error": ENCODED, "chain": ENCODED},
)
FRAME = st.one_of(
    AIMED.map(json.dumps),
    AIMED.map(json.dumps),
    CALL.map(json.dumps),
    OTHER.map(json.dumps),
    JSON.map(json.dumps),
    st.text(max_size=20),
    st.binary(max_size=20),
)


def deep(levels: int) -> str:
    """A frame as deep as it is long."""
    inner = "[" * levels + "]" * levels
    return f'{{"type":"call","callId":"deep","binding":"NODE","instance":"n","chain":{{"json":{inner},"meta":{{}}}}}}'


async def answer_to(world: World, frames: list[str | bytes]) -> list[str]:
    """Send ``frames`` over a raw web socket; what came back, and afterwards the answer to an honest call."""
    token = world.entry.mint(world.driver, "mallory")
    socket = await world.open_socket(
        GATEWAY,
        "mallory.tab1",
        f"/gateway/{GATEWAY}/mallory.tab1",
        protocols=("lmz",),
        headers={
            "Authorization": f"Bearer {token}",
            "X-Lumenize-DO-Binding-Name": GATEWAY,
            "X-Lumenize-DO-Instance-Name-Or-Id": "mallory.tab1",
        },
    )
    for frame in frames:
        socket.send(frame)
    await world.settle(40)
    honest = {"json": [{"type": "get", "key": "hello"}, {"type": "apply", "args": [1]}], "meta": {}}
    socket.send(json.dumps({"type": "call", "callId": "honest!", "binding": "NODE", "instance": "n", "chain": honest}))
    await world.settle(1)
    assert socket.close_code is None
    return [str(message) for message in socket.messages]


def judge(frames: list[str | bytes]) -> None:
    found: list[str] = []

    @scenario(APP)
    async def attack(world: World) -> None:
        found.extend(await answer_to(world, frames))

    run = simulate(attack)
    assert run.failure is None, (run.outcome.kind, run.outcome.message)
    assert not any(SECRET in message for message in found)
    answers = [json.loads(message) for message in found if message.startswith("{")]
    responses = [frame for frame in answers if frame["type"] == "call_response"]
    assert all(
        set(frame) == {"type", "callId", "success", "result" if frame["success"] else "error"} for frame in responses
    )
    assert [frame["result"]["json"] for frame in responses if frame["callId"] == "honest!"] == ["hello 1"]
    # Each call that has an id gets exactly one answer.
    asked: list[Any] = ["honest!"]
    for frame in frames:
        try:
            parsed = loads(frame) if isinstance(frame, str) else None
        except (ValueError, RecursionError):
            continue  # logged and ignored, also where it is too deep to be read (GW-20)
        if isinstance(parsed, dict) and parsed.get("type") == "call":
            asked.append(parsed.get("callId"))
    assert sorted(str(frame["callId"]) for frame in responses) == sorted(map(str, asked))


@settings(max_examples=15, deadline=None)
@given(st.lists(FRAME, min_size=20, max_size=40))
def test_no_frame_crashes_anything_or_reads_what_it_may_not(frames: list[str | bytes]) -> None:
    judge(frames)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(st.lists(FRAME, min_size=10, max_size=10))
def test_no_frame_of_ten_thousand_crashes_anything_or_reads_what_it_may_not(frames: list[str | bytes]) -> None:
    judge(frames)


def test_deep_and_long_frames_are_answered() -> None:
    judge([deep(levels) for levels in (10, 500, 5_000)])
    wide = json.dumps(
        {"json": [{"type": "get", "key": "hello"}, {"type": "apply", "args": ["x" * 200_000]}], "meta": {}}
    )
    judge([f'{{"type":"call","callId":"wide","binding":"NODE","instance":"n","chain":{wide}}}'])


ENVELOPE = st.builds(
    Envelope,
    st.just(1) | SCALARS,
    ENCODED | STEPS.map(lambda chain: {"json": chain, "meta": {}}),
    st.builds(CallContext, st.just((NodeIdentity("LumenizeDO", "X", "x"),)), st.none(), st.dictionaries(NAMES, JSON)),
    st.builds(
        Metadata, st.builds(NodeIdentity, NAMES, NAMES | st.none(), NAMES | st.none()),
        st.builds(NodeIdentity, NAMES, st.sampled_from(["NODE", "OTHER"]), st.sampled_from(["n", "m"])),
    ),
)  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.lists(ENVELOPE | JSON, min_size=5, max_size=15))
def test_no_envelope_crashes_an_object_or_reads_what_it_may_not(envelopes: list[Any]) -> None:
    """Also what another Worker of the account sends by a plain stub."""
    told: list[str] = []

    @scenario(APP)
    async def attack(world: World) -> None:
        stub = world.env.NODE.get_by_name("n")
        for envelope in envelopes:
            try:
                told.append(repr(await stub.call("_execute_operation", envelope)))
            except Exception as error:
                told.append(repr(error))
        assert await stub.hello() == "hello 0"
        assert world.object("NODE", "n").incarnations == 1

    run = simulate(attack)
    assert run.failure is None, (run.outcome.kind, run.outcome.message)
    assert len(told) == len(envelopes)
    assert not any(SECRET in text for text in told)


#: A list of ten times the same list, thirty times over: 4 kB of text, 10**30 items to whoever unfolds it.
BOMB = {**{str(i): [{"$ref": i + 1}] * 10 for i in range(30)}, "30": [1]}


@pytest.mark.parametrize(
    "chain",
    [
        [{"type": "get", "key": "hello"}, {"type": "apply", "args": [{"$ref": 0}]}],
        [{"type": "get", "key": "echo"}, {"type": "apply", "args": [{"$ref": 0}]}],
        [{"type": "get", "key": "echo"}, {"type": "apply", "args": [{"$ref": 0}]}, {"type": "apply", "args": []}],
        [{"type": "get", "key": {"$ref": 0}}],
        [{"type": "get", "key": "hello"}, {"$ref": 0}],
        {"$ref": 0},
    ],
)
def test_a_frame_that_refers_to_itself_over_and_over_is_answered(chain: Any) -> None:
    """SC-12: identity is kept on every way, and no message, size or text unfolds it."""

    class Echo(LumenizeDO):
        @mesh
        def hello(self, *args: Any) -> int:
            return len(args)

        @mesh
        def echo(self, value: Any) -> Any:
            self.ctx.storage.kv.put("kept", value)
            return value

    @scenario(Mesh(bindings={"NODE": Echo}))
    async def attack(world: World) -> None:
        encoded = {"json": chain, "meta": {"aliases": BOMB}}
        state = {"json": {"s": {"$ref": 0}}, "meta": {"aliases": BOMB}}
        frame = {"type": "call", "callId": "c", "binding": "NODE", "instance": "n", "chain": encoded}
        answers = await answer_to(world, [json.dumps({**frame, "callContext": {"callChain": [], "state": state}})])
        assert [loads(text)["type"] for text in answers] == ["connection_status", "call_response", "call_response"]
        assert all(len(text) < 10_000 for text in answers)

    run = simulate(attack)
    assert run.failure is None, run.failure


@dataclass(init=False, eq=False)
class Open(LumenizeDO):
    """A node whose state stands in fields, which data of that kind would show."""

    secret: str = SECRET

    @mesh
    def echo(self, *args: Any) -> list[Any]:
        return list(args)

    @mesh
    def keep(self) -> None:
        self.ctx.storage.kv.put("me", self)


@pytest.mark.parametrize(
    "chain",
    [
        [],
        [{"type": "nothing"}],
        [{"type": "get", "key": "keep"}, {"type": "apply", "args": []}],
        [
            {"type": "get", "key": "echo"},
            {"type": "apply", "args": [{"__isNestedOperation": True, "__operationChain": []}]},
        ],
    ],
)
def test_no_chain_copies_the_node_even_where_it_is_a_dataclass(chain: Any) -> None:
    """OC-19, OC-34: the empty chain is the node, and its fields would be attributes read without a call."""

    @scenario(Mesh(bindings={"NODE": Open}))
    async def attack(world: World) -> None:
        frame = {"type": "call", "callId": "c", "binding": "NODE", "instance": "n", "chain": {"json": chain}}
        answers = await answer_to(world, [json.dumps(frame)])
        assert SECRET not in "".join(answers)
        assert any('Could not serialize object of type \\"LumenizeNode\\"' in text for text in answers)

    run = simulate(attack)
    assert run.failure is None, run.failure
