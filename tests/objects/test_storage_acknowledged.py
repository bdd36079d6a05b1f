"""Under crashes and failing, slow and lost flushes nothing acknowledged is lost, and nothing lost is heard of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lumenize_sim import DurableObject, World

CALLS = 6
KINDS = {
    "crash": 2,
    "evict": 2,
    "hibernate": 2,
    "failed-flush": 2,
    "slow-flush": 4,
    "lost-flush": 6,
    "slow-read": 4,
    "torn-delete-all": 4,
    "relocate": 2,
    "deploy": 2,
    "cpu-limit": 2,
    "memory-limit": 2,
}
plans = st.dictionaries(
    st.tuples(st.sampled_from(sorted(KINDS)), st.integers(0, 8)), st.integers(1, 5), min_size=0, max_size=4
).map(lambda drawn: {f"D/a%{kind}#{nth}": min(value, KINDS[kind] - 1) for (kind, nth), value in drawn.items()})


class Heard(DurableObject):
    """Whatever reaches it has left the other for good."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.values: list[int] = []

    def note(self, value: int) -> None:
        self.values.append(value)

    def all(self) -> list[int]:
        return self.values


class Counter(DurableObject):
    """Counts, tells another how far, and answers the same."""

    async def increment(self) -> int:
        n = await self.ctx.storage.get("n", 0) + 1
        await self.ctx.storage.put({"n": n, f"at{n}": n})
        self.env.HEARD.get_by_name("h").note(n)
        return int(n)


class Legacy(Counter):
    """The same on the legacy backend."""

    storage_backend = "kv"


class Careless(DurableObject):
    """Counts in memory, after a pause in which another instance may take its place, and looks at no write (LC-11)."""

    pause_s = 0.02

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.n = 0

        async def load() -> None:
            self.n = await ctx.storage.get("n", 0)

        ctx.block_concurrency_while(load)

    async def increment(self) -> int:
        await trio.sleep(self.pause_s)
        self.n += 1
        self.ctx.storage.put({"n": self.n, f"at{self.n}": self.n})
        self.env.HEARD.get_by_name("h").note(self.n)
        return self.n


class CarelessLegacy(Careless):
    """The same on the legacy backend."""

    storage_backend = "kv"


@pytest.mark.parametrize("cls", [Counter, Legacy, Careless, CarelessLegacy])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans, gaps=st.lists(st.sampled_from([0.0, 0.02, 1.0]), min_size=CALLS, max_size=CALLS))
def test_nothing_acknowledged_is_lost_and_nothing_lost_is_heard_of(
    passes: Callable[..., Any], cls: type, plan: dict[str, int], gaps: list[float]
) -> None:
    """OG-10, OG-14, OG-15, OG-20; LC-12 where two instances count at once."""

    async def drive(world: World) -> None:
        calls = []
        for gap in gaps:
            calls.append(world.env.D.get_by_name("a").increment())
            if gap:
                await world.advance(gap)
        await world.settle()
        world.quiet()
        answered = []
        for call in calls:
            try:
                answered.append(await call)
            except Exception:
                continue
        heard = await world.env.HEARD.get_by_name("h").all()
        view = world.object("D", "a")
        view.crash()
        stored = view.storage.list()
        last = stored.get("n", 0)
        assert len(set(answered)) == len(answered)
        assert len(set(heard)) == len(heard)
        assert max([0, *answered, *heard]) <= last
        assert stored == ({"n": last} if last else {}) | {f"at{n}": n for n in range(1, last + 1)}  # each turn whole

    passes(drive, plan=plan, trace=False, D=cls, HEARD=Heard)
