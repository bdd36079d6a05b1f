"""What type checkers see of continuations: `make types` checks this file, nothing runs it.

Each ``type: ignore`` stands for an error that mypy must report, with its code, and pyright too: both complain of one
that is not needed.  `tests/mesh/test_mesh_typing.py` sees each of them reported.  That a value is no continuation at
all is for `Lmz.call` to say, at run time: to a checker a recorded call has the type of the call's result.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

from typing import assert_type

from lumenize_sim import RESULT, LumenizeClient, LumenizeDO, LumenizeWorker, mesh


def guard(node: LumenizeDO) -> None:
    """Lets everybody in."""


class Counter(LumenizeDO):
    """One method of each shape."""

    @mesh
    async def increment(self) -> int:
        return 1

    @mesh
    def add(self, by: int) -> int:
        return by

    @mesh(guard)
    def reset(self, to: int = 0) -> None: ...

    @mesh(name="getURL")
    def get_url(self) -> str:
        return ""

    @mesh
    def ping(self) -> None: ...


class Doubler(LumenizeWorker):
    """A Worker is called as an object is, without a name."""

    @mesh
    def double(self, number: int) -> int:
        return 2 * number


class Tab(LumenizeClient):
    """Calls them."""

    def on_count(self, count: int) -> None: ...

    async def on_count_later(self, count: int) -> None: ...

    def on_quiet(self) -> None: ...

    async def results_have_their_types(self) -> None:
        """Of plain, async and guarded methods, and of calls nested in calls."""
        assert_type(await self.lmz.call_raw("C", "c", self.ctn(Counter).increment()), int)
        assert_type(await self.lmz.call_raw("C", "c", self.ctn(Counter).add(self.ctn(Counter).add(1))), int)
        assert_type(await self.lmz.call_raw("C", "c", self.ctn(Counter).get_url()), str)
        assert_type(await self.lmz.call_raw("DOUBLER", None, self.ctn(Doubler).double(2)), int)

    def what_is_right(self) -> None:
        """Handlers that return nothing, async ones, and methods that return nothing are no errors."""
        self.lmz.call("C", "c", self.ctn(Counter).increment(), self.ctn().on_count(RESULT))
        self.lmz.call("C", "c", self.ctn(Counter).increment(), self.ctn().on_count_later(RESULT))
        self.lmz.call("C", "c", self.ctn(Counter).reset(), self.ctn().on_quiet())
        self.lmz.call("C", "c", self.ctn(Counter).reset(to=3))
        self.lmz.call("DOUBLER", None, self.ctn(Doubler).double(2), self.ctn().on_count(RESULT), new_chain=True)

    def what_is_wrong(self) -> None:
        """Names of methods, and types and number of their arguments, of the callee and of the handler."""
        self.lmz.call("C", "c", self.ctn(Counter).subtract(1))  # type: ignore[attr-defined]
        self.lmz.call("C", "c", self.ctn(Counter).add("x"))  # type: ignore[arg-type]
        self.lmz.call("C", "c", self.ctn(Counter).add())  # type: ignore[call-arg]
        self.lmz.call("C", "c", self.ctn(Counter).add(1, 2))  # type: ignore[call-arg]
        self.lmz.call("C", "c", self.ctn(Counter).reset(by=1))  # type: ignore[call-arg]
        self.lmz.call("C", "c", self.ctn(Counter).add(1), self.ctn().on_count("x"))  # type: ignore[arg-type]
        self.lmz.call("C", "c", self.ctn(Counter).add(1), self.ctn().on_cuont(RESULT))  # type: ignore[union-attr]
        self.lmz.call("C", 7, self.ctn(Counter).add(1))  # type: ignore[arg-type]
        self.lmz.call(Counter, "c", self.ctn(Counter).add(1))  # type: ignore[arg-type]
