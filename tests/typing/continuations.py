"""What type checkers see of continuations: `make types` checks this file, nothing runs it.

Each ``type: ignore`` stands for an error that mypy must report, with its code, and pyright too: both complain of one
that is not needed.  `tests/mesh/test_mesh_typing.py` sees each of them reported.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

from typing import TypeVar, assert_type

from lumenize_sim import RESULT, LumenizeClient, LumenizeDO, LumenizeWorker, mesh
from lumenize_sim.mesh import Continuation, continuation_from_chain
from lumenize_sim.objects import Pending

V = TypeVar("V")


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

    @mesh(lambda node: None)
    def later(self, by: int) -> Pending[int]:
        return Pending.of(by)

    @mesh(guard, name="theAdmin")
    async def admin(self, *, really: bool = False) -> Admin:
        return Admin()

    @mesh
    def echo(self, value: V) -> V:
        return value

    def private(self, by: int) -> int:
        return by


class Admin:
    """A part of a node, to which a call gets through the node."""

    def approve(self, name: str) -> None: ...


class Twice(Counter):
    """It overrides, and calls what it overrides; on an instance a method is what it was."""

    @mesh
    def add(self, by: int) -> int:
        return 2 * super().add(by) + self.add(by)

    async def by_hand(self) -> None:
        """Nothing is recorded here."""
        assert_type(await self.increment(), int)
        assert_type(self.add(1), int)
        assert_type(await self.later(1), int)
        self.reset(to=1)


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
        assert_type(await self.lmz.call_raw("C", "c", self.ctn(Counter).reset()), None)
        assert_type(await self.lmz.call_raw("C", "c", self.ctn(Counter).later(1)), int)
        assert_type(await self.lmz.call_raw("C", "c", self.ctn(Counter).admin(really=True)), Admin)
        assert_type(await self.lmz.call_raw("C", "c", self.ctn(Twice).add(1)), int)
        assert_type(await self.lmz.call_raw("C", "c", self.ctn(Twice).increment()), int)
        assert_type(self.ctn(Counter).increment(), Continuation[int])

    def what_is_right(self) -> None:
        """Handlers that return nothing, async ones, and methods that return nothing are no errors."""
        self.lmz.call("C", "c", self.ctn(Counter).increment(), self.ctn().on_count(RESULT))
        self.lmz.call("C", "c", self.ctn(Counter).increment(), self.ctn().on_count_later(RESULT))
        self.lmz.call("C", "c", self.ctn(Counter).reset(), self.ctn().on_quiet())
        self.lmz.call("C", "c", self.ctn(Counter).reset(to=3))
        self.lmz.call("DOUBLER", None, self.ctn(Doubler).double(2), self.ctn().on_count(RESULT), new_chain=True)
        self.lmz.call("C", "c", self.ctn(Counter).add(RESULT), self.ctn(Counter).add(RESULT))
        self.lmz.call("C", "c", self.ctn(Counter).admin().approve("alice"))
        self.lmz.call("C", "c", continuation_from_chain([{"type": "get", "key": "increment"}]))

    def what_is_no_continuation(self) -> None:
        """Values, functions, methods that were not called, and calls that were made instead of recorded."""
        self.lmz.call("C", "c", 42)  # type: ignore[arg-type]  # a value
        self.lmz.call("C", "c", "increment")  # type: ignore[arg-type]  # a text
        self.lmz.call("C", "c", None)  # type: ignore[arg-type]  # nothing
        self.lmz.call("C", "c", {"type": "get", "key": "increment"})  # type: ignore[arg-type]  # an operation, no chain of them
        self.lmz.call("C", "c", lambda: 1)  # type: ignore[arg-type]  # a function
        self.lmz.call("C", "c", self.ctn(Counter))  # type: ignore[arg-type]  # no method of it
        self.lmz.call("C", "c", self.ctn(Counter).add)  # type: ignore[arg-type]  # not called
        self.lmz.call("C", "c", Twice.add)  # type: ignore[arg-type]  # of the class itself, not called
        self.lmz.call("C", "c", self.count())  # type: ignore[arg-type]  # called, not recorded
        self.lmz.call("C", "c", self.ctn(Counter).add(1), 42)  # type: ignore[arg-type]  # a value
        self.lmz.call("C", "c", self.ctn(Counter).add(1), "on_count")  # type: ignore[arg-type]  # a text
        self.lmz.call("C", "c", self.ctn(Counter).add(1), self.on_count)  # type: ignore[arg-type]  # not recorded
        self.lmz.call("C", "c", self.ctn(Counter).add(1), lambda n: None)  # type: ignore[arg-type]  # a function
        self.lmz.call_raw("C", "c", 42)  # type: ignore[call-overload]  # a value
        self.lmz.call_raw("C", "c", self.count())  # type: ignore[call-overload]  # called, not recorded

    def count(self) -> int:
        """A method of this very node."""
        return 1

    def what_is_wrong(self) -> None:
        """Names of methods, and types and number of their arguments, of the callee and of the handler."""
        self.lmz.call("C", "c", self.ctn(Counter).subtract(1))  # type: ignore[attr-defined]  # no such method
        self.lmz.call("C", "c", self.ctn(Counter).add("x"))  # type: ignore[arg-type]  # takes a number
        self.lmz.call("C", "c", self.ctn(Counter).add())  # type: ignore[call-arg]  # one too few
        self.lmz.call("C", "c", self.ctn(Counter).add(1, 2))  # type: ignore[call-arg]  # one too many
        self.lmz.call("C", "c", self.ctn(Counter).reset(by=1))  # type: ignore[call-arg]  # no such parameter
        self.lmz.call("C", "c", self.ctn(Counter).add(1), self.ctn().on_count("x"))  # type: ignore[arg-type]  # takes a number
        self.lmz.call("C", "c", self.ctn(Counter).add(1), self.ctn().on_cuont(RESULT))  # type: ignore[union-attr]  # no such handler
        self.lmz.call("C", 7, self.ctn(Counter).add(1))  # type: ignore[arg-type]  # names are text
        self.lmz.call(Counter, "c", self.ctn(Counter).add(1))  # type: ignore[arg-type]  # bindings are named by text
        self.lmz.call("C", "c", self.ctn(Counter).private(1))  # type: ignore[call-arg, arg-type]  # not marked with @mesh


class Planner(LumenizeDO):
    """The services take continuations as well."""

    def ring(self) -> None: ...

    async def take(self, response: object) -> None: ...

    def what_is_right(self) -> None:
        """Handlers of this node, and methods of others."""
        self.svc.alarms.schedule(5, self.ctn().ring())
        self.svc.broadcast([], self.ctn(Counter).ping(), on_result=self.ctn().ring())
        self.svc.fetch.proxy("https://api.example/", self.ctn().take(RESULT))

    def what_is_wrong(self) -> None:
        """No continuations."""
        self.svc.alarms.schedule(5, "ring")  # type: ignore[arg-type]  # a text
        self.svc.alarms.schedule(5, self.ring)  # type: ignore[arg-type]  # not recorded
        self.svc.broadcast([], "ping")  # type: ignore[arg-type]  # a text
        self.svc.broadcast([], self.ctn(Counter).ping(), on_result=7)  # type: ignore[arg-type]  # a value
        self.svc.fetch.proxy("https://api.example/", "take")  # type: ignore[arg-type]  # a text
