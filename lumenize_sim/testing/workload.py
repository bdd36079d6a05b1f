"""Workloads: what clients do in one run, drawn by Hypothesis and printed as they may be pasted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from hypothesis import strategies as st

from lumenize_sim.errors import UsageError
from lumenize_sim.mesh.client import LumenizeClient
from lumenize_sim.world.world import World

__all__ = ["Pause", "Step", "Workload", "workloads"]


@attrs.frozen(repr=False)
class Step:
    """A client's method is called, and nobody waits for what comes of it.

    Attributes:
        client: who (``sub``); connected at first use.
        method: of the client's class.
        args: of the call.
    """

    client: str
    method: str
    args: tuple[Any, ...] = attrs.field(default=(), converter=tuple)

    def __repr__(self) -> str:
        return f"Step({self.client!r}, {self.method!r}, {self.args!r})"


@attrs.frozen(repr=False)
class Pause:
    """Virtual time passes; with 0 s, only until nothing is under way."""

    seconds: float = 0

    def __repr__(self) -> str:
        return f"Pause({self.seconds!r})" if self.seconds else "Pause()"


class Workload:
    """Steps, in order.

    Attributes:
        client_class: of all clients.
        steps: `Step` and `Pause`.
    """

    def __init__(self, client_class: type[LumenizeClient], *steps: Step | Pause) -> None:
        self.client_class = client_class
        self.steps = steps

    async def run(self, world: World) -> dict[str, Any]:
        """Do it, without waiting for the end; returns the clients that were needed, by name."""
        clients: dict[str, Any] = {}
        for step in self.steps:
            if isinstance(step, Pause):
                await (world.advance(step.seconds) if step.seconds else world.settle())
                continue
            if step.client not in clients:
                clients[step.client] = await world.connect(self.client_class, sub=step.client)
            getattr(clients[step.client], step.method)(*step.args)
        return clients

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Workload) and (self.client_class, self.steps) == (other.client_class, other.steps)

    __hash__ = None  # type: ignore[assignment]  # arguments may be lists

    def __repr__(self) -> str:
        return f"Workload({', '.join([self.client_class.__name__, *map(repr, self.steps)])})"


def workloads(
    client_class: type[LumenizeClient],
    methods: Mapping[str | Callable[..., Any], Sequence[st.SearchStrategy[Any]]],
    *,
    clients: Sequence[str] = ("alice", "bob"),
    at_most: int = 6,
    pauses_s: Sequence[float] = (0,),
) -> st.SearchStrategy[Workload]:
    """Workloads of clients of one class, for `simulations` or a driver of your own.

    Args:
        methods: what they may do: name of a method (or the method) to strategies for its arguments, simplest first.
        clients: who may do it.
        at_most: steps.
        pauses_s: what a pause may last; empty for none.

    Raises:
        UsageError: the class has no such method, or nothing can be drawn.
    """
    kinds: list[st.SearchStrategy[Step | Pause]] = []
    for method, arguments in methods.items():
        name = method if isinstance(method, str) else method.__name__
        if not callable(getattr(client_class, name, None)):
            raise UsageError(f"{client_class.__name__} has no method {name!r}: name one that its clients have")
        kinds.append(st.builds(Step, st.sampled_from(list(clients)), st.just(name), st.tuples(*arguments)))
    if not kinds or not clients:
        raise UsageError("workloads() draws nothing: give methods={'click': [st.text()]}, and at least one client")
    if pauses_s:
        kinds.append(st.builds(Pause, st.sampled_from(list(pauses_s))))
    return st.lists(st.one_of(kinds), max_size=at_most).map(lambda steps: Workload(client_class, *steps))
