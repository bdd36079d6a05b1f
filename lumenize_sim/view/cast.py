"""Who appears in a picture: actors by the names that people use, in an order in which lines cross little."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import attrs

from lumenize_sim.trace.trace import Trace

__all__ = ["Cast", "cast"]

#: A Worker is new for each call, and its actor is named after that call: ``RATES~COUNTER/c1>RATES#0``.
_INVOCATION = re.compile(r"([^/~]+)~.+>\1#\d+", re.DOTALL)
#: One direction of a socket: ``alice.tab1~0^`` is up, ``alice.tab1~0v`` is down.
_DIRECTION = re.compile(r"(.+)~\d+([v^])", re.DOTALL)


@attrs.frozen
class Cast:
    """Names of actors.

    Attributes:
        names: actor -> name shown; several actors may share one (all invocations of a Worker).
        clients: actor that is a client's gateway -> that client's name.
        places: name shown -> its place among the participants.
    """

    names: Mapping[str, str]
    clients: Mapping[str, str]
    places: Mapping[str, tuple[int, int, int]]

    def name(self, actor: str) -> str:
        """What ``actor`` is called in pictures."""
        return self.names.get(actor, actor)

    def person(self, actor: str) -> str:
        """The same, with the client in place of its gateway, which only passes messages on."""
        return self.clients.get(actor) or self.name(actor)

    def in_order(self, names: Iterable[str]) -> tuple[str, ...]:
        """Clients, each with its gateway next to it, then objects, then Workers; within these as they appeared."""
        last = len(self.places)
        return tuple(sorted(dict.fromkeys(names), key=lambda name: self.places.get(name, (9, last, 0))))


def cast(trace: Trace) -> Cast:
    """Everybody in ``trace``.

    A gateway is known by its peer: whoever exchanges frames with the client that bears the name of its instance,
    whatever the binding is called.
    """
    seen: dict[str, None] = {}
    clients: dict[str, str] = {}
    called: dict[str, None] = {}
    for event in trace.events:
        ends = [end for end in (event.get("from"), event.get("to")) if isinstance(end, str)]
        for actor in (event.actor, *ends):
            seen[actor] = None
        if event.kind == "send":
            called.update(dict.fromkeys(ends[1:]))
        elif event.kind in ("frame", "connect") and len(ends) == 2:
            for one, other in (ends, ends[::-1]):
                if one.partition("/")[2] == other != "":
                    clients.setdefault(one, other)
    names = _names(seen, clients)
    order = list(dict.fromkeys(names[actor] for actor in seen))
    peers = {names[gateway]: client for gateway, client in clients.items()}
    people = set(clients.values())
    workers = {names[actor] for actor in seen if _INVOCATION.fullmatch(actor)}
    workers.update(actor for actor in called if "/" not in actor and actor not in people)
    places: dict[str, tuple[int, int, int]] = {}
    for index, name in enumerate(order):
        if name in peers:
            places[name] = (0, order.index(peers[name]), 1)
        elif name in people:
            places[name] = (0, index, 0)
        elif name in ("driver", "world"):
            places[name] = (3, index, 0)
        else:
            places[name] = (2 if name in workers else 1, index, 0)
    return Cast(names, clients, places)


def _names(seen: Iterable[str], clients: Mapping[str, str]) -> dict[str, str]:
    actors = list(seen)
    gateway_of: dict[str, str] = {}
    for gateway, client in clients.items():
        gateway_of.setdefault(client, gateway)
    taken = set(actors)
    names: dict[str, str] = {}
    for actor in actors:
        shown = actor
        worker = _INVOCATION.fullmatch(actor)
        direction = _DIRECTION.fullmatch(actor)
        if actor in clients and gateway_of[clients[actor]] == actor:
            shown = f"gateway {clients[actor]}"
            if shown in taken:
                shown = actor
        elif worker is not None:
            shown = worker[1]
        elif direction is not None and direction[1] in taken:
            client = direction[1]
            shown = client if direction[2] == "^" else names.get(gateway_of.get(client, client), client)
        names[actor] = shown
    return names
