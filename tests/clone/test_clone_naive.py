"""The encoder against one that is written straight from the rules, slow and without any shortcut.

SC-1 container, SC-2 inline tags, SC-3 order of tests, SC-6 no registration, SC-7 and SC-8 reserved keys and their
escape, SC-10 order of keys, SC-11 counting, SC-12 shared bodies, SC-13 ids in pre-order, SC-14 order of children,
SC-15 order of aliases and inlined middles of cycles, SC-16 and SC-17 identity, not equality, within one call,
SC-18 cycles through the root.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lumenize_sim.clone import (
    UNDEFINED,
    URL,
    ArrayBuffer,
    BigInt,
    Boxed,
    Headers,
    Int16Array,
    JSMap,
    JSSet,
    RegExp,
    RemoteError,
    RequestSync,
    Uint8Array,
    dumps,
    parse,
    preprocess,
    stringify,
)

SIMPLE = (type(None), bool, str, int, float, BigInt, type(UNDEFINED))


def children(value: Any) -> list[Any]:
    """SC-11 and SC-14: in the order in which they are written."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [value[key] for key in ordered(value)]
    if isinstance(value, JSMap):
        return [part for pair in value.pairs() for part in pair]
    if isinstance(value, JSSet):
        return list(value)
    if isinstance(value, RemoteError):
        own = [item for key, item in vars(value).items() if key not in {"name", "stack", "cause"}]
        return [value.cause, *own] if hasattr(value, "cause") else own
    return [value.headers] if isinstance(value, RequestSync) else []


def ordered(value: dict[str, Any]) -> list[str]:
    """SC-10."""
    index = [key for key in value if key.isdigit() and str(int(key)) == key and int(key) < 2**32 - 1]
    return sorted(index, key=int) + [key for key in value if key not in index]


class Naive:
    """``preprocess`` by the letter of the rules."""

    def __init__(self, root: Any) -> None:
        self.counts: Counter[int] = Counter()
        self.ids: dict[int, int] = {}
        self.bodies: dict[int, Any] = {}
        self.count(root)
        self.json = self.write(root)
        aliases = {str(number): self.bodies[number] for number in sorted(self.bodies)}
        self.result = {"json": self.json, "meta": {"aliases": aliases} if aliases else {}}

    def count(self, value: Any) -> None:
        if not isinstance(value, SIMPLE):
            self.counts[id(value)] += 1
            if self.counts[id(value)] == 1:
                for child in children(value):
                    self.count(child)

    def write(self, value: Any) -> Any:
        if isinstance(value, SIMPLE) or self.counts[id(value)] == 1:
            return self.body(value)
        known = self.ids.get(id(value))
        if known is None:
            known = self.ids[id(value)] = len(self.ids)
            self.bodies[known] = self.body(value)
        return {"$ref": known}

    def body(self, value: Any) -> Any:
        if value is UNDEFINED:
            return {"$type": "undefined"}
        if isinstance(value, BigInt):
            return {"$type": "bigint", "value": str(int(value))}
        if isinstance(value, SIMPLE):
            return value
        if isinstance(value, list):
            return [self.write(item) for item in value]
        if isinstance(value, dict):
            return {"$" + key if key.startswith("$") else key: self.write(value[key]) for key in ordered(value)}
        if isinstance(value, JSMap):
            return {"$type": "map", "entries": [[self.write(key), self.write(item)] for key, item in value.pairs()]}
        if isinstance(value, JSSet):
            return {"$type": "set", "values": [self.write(item) for item in value]}
        if isinstance(value, RemoteError):
            out = {"$type": "error", "name": value.name, "message": str(value), "stack": value.stack}
            if getattr(value, "cause", UNDEFINED) is not UNDEFINED:  # SC-20
                out["cause"] = self.write(value.cause)
            for key, item in vars(value).items():
                if key not in {"name", "stack", "cause"}:
                    out["$" + key if key.startswith("$") else key] = self.write(item)
            return out
        if isinstance(value, RequestSync):
            data = {"url": value.url, "method": value.method, "headers": self.write(value.headers), "body": value.body}
            return {"$type": "request-sync", "data": data}
        return self.leaf(value)

    def leaf(self, value: Any) -> Any:
        if isinstance(value, datetime):
            return {"$type": "date", "iso": value.strftime("%Y-%m-%dT%H:%M:%S.000Z")}
        if isinstance(value, RegExp):
            return {"$type": "regexp", "source": value.source, "flags": value.flags}
        if isinstance(value, URL):
            return {"$type": "url", "href": value.href}
        if isinstance(value, Headers):
            return {"$type": "headers", "entries": [list(pair) for pair in value]}
        if isinstance(value, Boxed):
            return {"$type": "number-object", "value": value.value}
        raw = value.data if isinstance(value, (ArrayBuffer, Int16Array)) else value
        return {"$type": "arraybuffer", "subtype": type(value).__name__, "data": list(raw)}


KEYS = ["a", "b", "$ref", "$type", "$", "$$", "0", "1", "10", "01", "-1", "4294967294", "4294967295", "", "__proto__"]


def grown(seed: int) -> Any:
    """A value whose parts are used again: in keys of maps, members of sets, causes, headers."""
    draw = random.Random(seed)
    pool: list[Any] = []

    def make(depth: int) -> Any:
        if pool and draw.random() < 0.25:
            return draw.choice(pool)
        kind = draw.randrange(6 if depth > 4 else 16)
        if kind < 3:
            return draw.choice([None, True, 1, 1.5, "x", UNDEFINED, BigInt(7)])
        if kind < 6:
            value: Any = draw.choice([
                datetime(2026, 1, draw.randint(1, 28), tzinfo=UTC), RegExp("a/b", "g"), URL("http://a.b"), Boxed(2),
                Headers([("A", "1")]), ArrayBuffer(b"\0\xff"), Int16Array([1, -1]), Uint8Array(b"ab"),
            ])  # fmt: skip
            pool.append(value)
            return value
        holder: Any
        if kind < 9:
            holder, fill = [], lambda: holder.append(make(depth + 1))
        elif kind < 12:
            holder, fill = {}, lambda: holder.__setitem__(draw.choice(KEYS), make(depth + 1))
        elif kind < 13:
            holder, fill = JSMap(), lambda: holder.__setitem__(make(depth + 1), make(depth + 1))
        elif kind < 14:
            holder, fill = JSSet(), lambda: holder.add(make(depth + 1))
        elif kind < 15:
            holder = RemoteError("m", name="E", stack="S")
            fill = lambda: vars(holder).__setitem__(draw.choice(["code", "$x", "cause"]), make(depth + 1))  # noqa: E731  # as in the branches around it
        else:
            headers = draw.choice([one for one in pool if isinstance(one, Headers)] or [Headers()])
            holder, fill = RequestSync("http://a.b", "POST", headers, {"n": 1}), lambda: None
        pool.append(holder)
        for _ in range(draw.randrange(4)):
            fill()
        return holder

    return make(0)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
@example(423608)  # an error whose cause is undefined
def test_every_graph_is_written_as_the_rules_say(seed: int) -> None:
    value = grown(seed)
    expected = Naive(value).result
    assert dumps(preprocess(value)) == dumps(expected)
    # Wire -> Python -> wire is the identity.
    text = stringify(value)
    assert stringify(parse(text)) == text


def test_equality_is_no_identity() -> None:
    """SC-16, SC-17."""
    same = {"a": 1}
    assert stringify([{"a": 1}, {"a": 1}]) == '{"json":[{"a":1},{"a":1}],"meta":{}}'
    assert stringify(same) == stringify(same) == '{"json":{"a":1},"meta":{}}'


def test_the_graphs_have_aliases_and_cycles() -> None:
    found = [Naive(grown(seed)) for seed in range(400)]
    assert sum("aliases" in naive.result["meta"] for naive in found) > 40
    assert sum(naive.json == {"$ref": 0} for naive in found) > 10  # SC-18
