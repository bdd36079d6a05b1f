"""Values as text: like ``repr`` where that is the same everywhere, bounded, and without hashes or addresses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lumenize_sim.clone import UNDEFINED, JSMap, JSSet, RemoteError
from lumenize_sim.trace.texts import text_of

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "value",
    [
        None, 1, 1.5, "it's", b"b", [], (), (1,), {}, set(), frozenset(), [1, "a", (2, 3), {"k": [None]}],
        {1}, frozenset({1}), JSMap([(1, [2])]), JSSet([1, 1.5]), ValueError("x", 1), RemoteError("m"), UNDEFINED,
    ],
)  # fmt: skip
def test_small_values_are_written_as_repr_does(value: Any) -> None:
    assert text_of(value) == repr(value)


def test_sets_are_in_order_wherever_they_stand() -> None:
    assert text_of({"t": {"b", "a", "c"}}) == "{'t': {'a', 'b', 'c'}}"
    assert text_of([frozenset({2, 1})]) == "[frozenset({1, 2})]"
    assert text_of([{"b", 1, None}]) == text_of([{None, 1, "b"}])
    assert text_of({ValueError, KeyError}) == "{<type KeyError>, <type ValueError>}"


def test_nothing_shows_its_address() -> None:
    class Thing: ...

    text = text_of([Thing(), object(), test_nothing_shows_its_address, "".join])
    assert "0x" not in text
    assert "<object>" in text


def test_what_holds_itself_ends() -> None:
    cycle: list[Any] = [1]
    cycle.append(cycle)
    pairs: dict[str, Any] = {}
    pairs["me"] = pairs
    assert text_of(cycle) == "[1, [...]]"
    assert text_of(pairs) == "{'me': {...}}"


def test_a_value_of_more_text_than_atoms_in_the_world_is_cut_off_at_once() -> None:
    value: list[Any] = [1]
    for _ in range(60):
        value = [value] * 10
    assert text_of(value, 50) == "[" * 50 + "…"
    assert len(text_of({"k": "x" * 10_000_000})) == 201


_TAGS = """
from lumenize_sim import *

class Node(LumenizeDO):
    @mesh
    def tags(self, given):
        self.debug("app").warn("tags", {"given": given})
        return {"tags": {"alpha", "beta", "gamma"}, "given": given}

class Tab(LumenizeClient):
    pass

@scenario(Mesh(bindings={"NODE": Node}, vars={"DEBUG": "*"}))
async def tagged(world):
    tab = await world.connect(Tab, sub="a")
    await tab.lmz.call_raw("NODE", "n", tab.ctn(Node).tags({"t": {"aa", "bb", "cc"}}))
    await world.env.NODE.get_by_name("m").tags([{"q", "w", "e"}])

run = simulate(tagged)
assert run.failure is None
print(run.digest)
"""


def test_sets_in_results_give_one_digest_whatever_the_hash_seed() -> None:
    """In three processes."""
    digests = {
        subprocess.run(
            [sys.executable, "-c", _TAGS], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(digests) == 1
