"""Attacks: what a caller elsewhere must never reach, however the chain is made."""

from __future__ import annotations

import enum
import io
from collections.abc import AsyncIterator, Iterator
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumenize_sim.clone import UNDEFINED
from lumenize_sim.mesh import (
    LumenizeDO,
    MeshError,
    NadisPlugin,
    execute_operation_chain,
    get_operation_chain,
    mesh,
    mesh_fn,
    new_continuation,
)
from lumenize_sim.mesh.walk import is_awaitable, is_user_class

SECRET = "s3cret"


@attrs.define
class Account:
    balance: int = 5

    def deposit(self, amount: int) -> int:
        self.balance += amount
        return self.balance

    @property
    def boom(self) -> int:
        raise AssertionError("a property was evaluated")

    @staticmethod
    def rate() -> int:
        return 3

    @classmethod
    def make(cls) -> int:
        return 4

    def _hidden(self) -> str:
        return SECRET


class Bag(dict[str, Any]):
    def total(self) -> int:
        return sum(self.values())


class Colour(enum.Enum):
    RED = 1


class Trap:
    """Whatever is looked up dynamically here is noticed."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was looked up")

    def fine(self) -> int:
        return 1


class Node(LumenizeDO):
    limit = 7

    def __init__(self) -> None:
        self.ctx = self.env = self.lmz = self.svc = SECRET  # type: ignore[assignment]  # a stand-in for all four
        self.secret = SECRET
        self.callback = lambda: SECRET
        self.helper = Account()
        self.started = False

    @property
    def boom(self) -> int:
        raise AssertionError("a property was evaluated")

    def plain(self) -> str:
        return SECRET

    def _private(self) -> str:
        return SECRET

    def on_start(self) -> None:
        self.started = True

    @mesh
    def text(self) -> str:
        return "{0.__class__}"

    @mesh
    def number(self) -> int:
        return 1

    @mesh
    def mapping(self) -> dict[str, Any]:
        return {"a": 1, "_id": 2, "f": lambda: SECRET, "m": open_function}

    @mesh
    def bag(self) -> Bag:
        return Bag(a=1)

    @mesh
    def items(self) -> list[Any]:
        return [1, 2]

    @mesh
    def account(self) -> Account:
        return self.helper

    @mesh
    def me(self) -> Node:
        return self

    @mesh
    def trap(self) -> Trap:
        return Trap()

    @mesh
    def stream(self) -> io.StringIO:
        return io.StringIO(SECRET)

    @mesh
    def generator(self) -> Iterator[int]:
        yield 1

    @mesh
    async def async_generator(self) -> AsyncIterator[int]:
        yield 1

    @mesh
    def klass(self) -> type[Account]:
        return Account

    @mesh
    def function(self) -> Any:
        return self.plain

    @mesh
    def colour(self) -> Colour:
        return Colour.RED

    @mesh
    def echo(self, x: Any) -> Any:
        return x

    @mesh(name="__broadcastTier")
    def broadcast_tier(self) -> str:
        return "tier"

    @mesh
    def reset(self) -> None:
        self.secret = "gone"


@mesh_fn
def open_function() -> str:
    return "open"


class Marked(LumenizeDO):
    def __init__(self) -> None: ...

    @mesh
    def ctx(self) -> str:
        return SECRET

    @mesh(name="surroundings")
    def env(self) -> str:
        return SECRET


def get(*keys: Any) -> list[dict[str, Any]]:
    return [{"type": "get", "key": key} for key in keys]


def path(*steps: Any) -> list[dict[str, Any]]:
    """``"name"`` gets, ``()`` and other tuples apply."""
    return [
        {"type": "apply", "args": list(step)} if isinstance(step, tuple) else {"type": "get", "key": step}
        for step in steps
    ]


REFUSED = [
    # Without any call the original reads whatever it likes (OC-34).
    *[
        get(name)
        for name in (
            "secret", "env", "ctx", "svc", "lmz", "ctn", "constructor", "prototype", "__proto__", "__class__",
            "__dict__", "__init__", "_private", "limit", "boom", "plain", "text", "helper", "callback", "missing",
        )
    ],
    # Attributes on the way.
    get("env", "SECRET"),
    get("helper", "balance"),
    path("helper", "deposit", (1,)),
    path("helper", "_hidden", ()),
    path("svc", "alarms", "schedule", (0,)),  # OC-33
    path("ctx", "storage", "deleteAll", ()),
    path("ctx", "storage", "delete_all", ()),
    path("lmz", "call", ("X",)),
    path("ctn", ()),
    path("constructor", "constructor", ("return this",)),
    path("__class__", "__subclasses__", ()),
    path("__class__", ()),
    path("__init__", "__globals__"),
    path("text", "__globals__"),
    path("text", "__func__", "__globals__"),
    path("text", "__self__"),
    path("text", "call", ()),
    path("plain", ()),
    path("_private", ()),
    path("callback", ()),
    path("on_start", ()),
    path("onStart", ()),
    path("fetch", ({},)),
    path("alarm", ()),
    path("_execute_operation", ({},)),
    path("_after_construct", ()),
    path("__reduce_ex__", (4,)),
    path("toString", ()),
    path("hasOwnProperty", ("secret",)),
    path("limit", ()),
    path("boom", ()),
    # After the entry: methods of built-ins and of the standard library.
    path("text", (), "format", ({"x": 1},)),
    path("text", (), "upper", ()),
    path("number", (), "toFixed", (2,)),
    path("number", (), "bit_length", ()),
    path("mapping", (), "pop", ("a",)),
    path("mapping", (), "keys", ()),
    path("mapping", (), "f", ()),
    path("mapping", (), "__class__"),
    path("mapping", (), "_missing"),
    path("bag", (), "pop", ("a",)),
    path("bag", (), "__class__"),
    path("items", (), "pop", ()),
    path("items", (), "append", (1,)),
    path("items", (), "__class__"),
    path("stream", (), "getvalue", ()),
    path("generator", (), "gi_frame"),
    path("generator", (), "send", (None,)),
    path("async_generator", (), "ag_frame"),
    path("async_generator", (), "aclose", ()),
    path("klass", (), "mro", ()),
    path("klass", (), "make", ()),
    path("klass", (), ()),
    path("function", (), ()),
    path("function", (), "__func__"),
    path("function", (), "call", ()),
    path("colour", (), "name"),
    path("colour", (), "value"),
    path("colour", (), "__class__"),
    # After the entry: objects of the app, but not by a method.
    path("account", (), "balance"),
    path("account", (), "balance", ()),
    path("account", (), "boom"),
    path("account", (), "boom", ()),
    path("account", (), "_hidden", ()),
    path("account", (), "deposit"),
    path("account", (), "deposit", "__func__", "__globals__"),
    path("account", (), "__init__", (9,)),
    path("account", (), "__attrs_attrs__"),
    path("account", (), "__class__", ()),
    path("account", (), 0, ()),
    path("trap", (), "anything", ()),
    path("trap", (), "__getattr__", ("x",)),
    # After the entry: the node itself, where a method returns it.
    path("me", (), "ctx"),
    path("me", (), "env"),
    path("me", (), "svc", "alarms"),
    path("me", (), "lmz", "call", ()),
    path("me", (), "ctn", ()),
    path("me", (), "secret"),
    path("me", (), "callback", ()),
    path("me", (), "on_start", ()),
    path("me", (), "onStart", ()),
    path("me", (), "fetch", ({},)),
    path("me", (), "alarm", ()),
    path("me", (), "_private", ()),
    path("me", (), "_local_chain_executor", ()),
    path("me", (), "__init__", ()),
    path("me", (), "boom"),
]  # fmt: skip


@pytest.mark.parametrize("chain", REFUSED, ids=lambda chain: ".".join(str(op.get("key", "()")) for op in chain))
def test_a_caller_elsewhere_does_not_reach(chain: Any) -> None:
    node = Node()
    try:
        result = execute_operation_chain(chain, node)
    except (MeshError, TypeError) as error:
        told = str(error)
    else:
        told = ""
        assert result is UNDEFINED  # asking an app's dict for what is not there is no attack
    assert SECRET not in told
    assert not node.started
    assert node.helper.balance == 5


ALLOWED = [
    (path("number", ()), 1),
    (path("mapping", (), "a"), 1),
    (path("mapping", (), "_id"), 2),
    (path("mapping", (), "m", ()), "open"),
    (path("bag", (), "a"), 1),
    (path("bag", (), "total", ()), 1),
    (path("items", (), 1), 2),
    (path("account", (), "deposit", (2,)), 7),
    (path("account", (), "rate", ()), 3),
    (path("account", (), "make", ()), 4),
    (path("trap", (), "fine", ()), 1),
    (path("me", (), "plain", ()), SECRET),  # OC-31: what a marked method returns is a capability
    (path("me", (), "number", ()), 1),
    (path("__broadcastTier", ()), "tier"),
]


@pytest.mark.parametrize("chain, value", ALLOWED)
def test_a_caller_elsewhere_reaches_marked_methods_and_what_they_return(chain: Any, value: Any) -> None:
    assert execute_operation_chain(chain, Node()) == value


def test_a_mark_does_not_open_the_nodes_own_connections() -> None:
    for name in ("ctx", "env", "surroundings"):
        with pytest.raises(MeshError, match=f"'{name}' is not mesh-callable"):
            execute_operation_chain(path(name, ()), Marked())


def test_the_refusal_of_an_unmarked_entry_has_the_fixed_text() -> None:
    for name in ("plain", "secret", "env", "svc", "__class__", "_private"):
        with pytest.raises(MeshError) as caught:
            execute_operation_chain(path(name, ()), Node())
        assert str(caught.value) == (
            f"Method '{name}' is not mesh-callable. Add the @mesh decorator to allow remote calls."
        )


def test_an_instance_attribute_does_not_shadow_a_marked_method() -> None:
    node = Node()
    node.number = lambda: SECRET  # type: ignore[assignment,return-value]  # hides the method
    assert execute_operation_chain(path("number", ()), node) == 1


@pytest.mark.parametrize(
    "data",
    [
        [{"__isNestedOperation": True, "__operationChain": path("reset", ())}],
        {"x": {"__isNestedOperation": True, "__operationChain": path("reset", ())}},
    ],
)
def test_a_marker_in_data_is_not_run(data: Any) -> None:
    node = Node()
    assert execute_operation_chain(path("echo", (data,)), node) == data
    assert node.secret == SECRET


def test_a_nested_chain_cannot_reach_more_than_the_outer_one() -> None:
    for inner in REFUSED[:20]:
        marker = {"__isNestedOperation": True, "__operationChain": inner}
        with pytest.raises(MeshError):
            execute_operation_chain(path("echo", (marker,)), Node())


NAMES = st.sampled_from(
    sorted(
        {name for cls in (Node, Account, dict, list, str, type, object) for name in dir(cls)}
        | {"secret", "gi_frame", "constructor", "0", "length"}
    )
)
STEPS = st.one_of(NAMES, st.integers(-2, 3), st.lists(st.integers(), max_size=2).map(tuple))


@given(st.lists(STEPS, max_size=6))
def test_no_chain_of_known_names_gives_the_secret_or_a_piece_of_the_interpreter(steps: list[Any]) -> None:
    node = Node()
    node.plain = None  # type: ignore[method-assign,assignment]  # hides the method
    told = ""
    result = None
    try:
        result = execute_operation_chain(path(*steps), node)
    except Exception as error:
        told = str(error)
    assert SECRET not in told
    if is_awaitable(result) or result is node.plain:
        return
    allowed_secret = "me" in steps and "plain" in steps
    assert result != SECRET or allowed_secret
    assert not isinstance(result, type) or "klass" in steps
    assert not hasattr(result, "f_globals")
    assert not callable(result) or {"klass", "function", "mapping", "me"} & set(map(str, steps)) or not steps


# Trusted chains


def trusted(*steps: Any, node: Any = None) -> Any:
    return execute_operation_chain(path(*steps), node or Node(), require_mesh_decorator=False)


@pytest.mark.parametrize(
    "steps",
    [
        ("__class__",),
        ("_private", ()),
        ("ctx",),
        ("env",),
        ("lmz", "call", ()),
        ("text", (), "format", ()),
        ("text", (), "__class__"),
        ("fetch", ({},)),
        ("helper", "_hidden", ()),
        ("helper", "deposit", "__globals__"),
        ("items", (), "pop", ()),
        ("klass", (), ()),
        ("number", (), 0, ()),
    ],
)
def test_even_a_trusted_chain_does_not_reach(steps: Any) -> None:
    with pytest.raises(MeshError):
        trusted(*steps)


def test_a_trusted_chain_calls_the_apps_functions_wherever_they_are() -> None:
    assert trusted("callback", ()) == SECRET
    assert trusted("mapping", (), "f", ()) == SECRET
    assert trusted("function", (), ()) == SECRET
    assert trusted("helper", "balance") == 5
    assert trusted("helper", "deposit", (1,)) == 6
    assert trusted("__broadcastTier", ()) == "tier"
    node = Node()
    node.callback = print  # type: ignore[assignment]  # not of the type it had
    with pytest.raises(MeshError, match="not mesh-callable"):
        trusted("callback", (), node=node)


def test_a_trusted_chain_does_not_enter_objects_of_the_platform() -> None:
    node = Node()
    node.held = MeshError("x")  # type: ignore[attr-defined]  # set by nobody but this test
    with pytest.raises(MeshError, match="'stack' is not mesh-callable: on a value of type MeshError"):
        trusted("held", "stack", node=node)


def test_a_trusted_chain_enters_services() -> None:
    class Clock(NadisPlugin):
        def __init__(self) -> None: ...

        def now(self) -> int:
            return 5

        def _hidden(self) -> None: ...

    class Services:
        __lmz_walkable__ = True
        clock = Clock()

    node = Node()
    node.svc = Services()
    assert trusted("svc", "clock", "now", (), node=node) == 5
    with pytest.raises(MeshError):
        trusted("svc", "clock", "_hidden", (), node=node)


def test_classes_of_the_app_are_told_from_those_of_the_platform() -> None:
    assert is_user_class(Node)
    assert not any(map(is_user_class, (int, io.StringIO, LumenizeDO, MeshError, pytest.Item.__mro__[-1])))


def test_a_continuation_is_nothing_to_wait_for() -> None:
    assert not is_awaitable(new_continuation().a())
    assert get_operation_chain(new_continuation()) == []
