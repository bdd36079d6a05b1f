"""Lists that grow: what reads of them betray about the order of transactions.

As in Elle (Kingsbury and Alvaro, VLDB 2020): a read of an append-only list shows the whole order in which it grew, so
the dependencies between transactions are known and not guessed, and a cycle among them is a proof.  Give each append
a value of its own per list.

=======================  ==========================================================================================
anomaly                  what was seen
=======================  ==========================================================================================
``duplicate-append``     a value stands twice in one read
``phantom``              a value that nobody appended
``incompatible-order``   two reads of a list of which neither begins with the other
``lost-append``          an acknowledged append that no read shows which began afterwards
``internal``             a transaction that does not see what it appended or read itself
``G1a``                  a value of a transaction that was aborted
``G1b``                  a value that its transaction has followed up with another one, as the last of a read
``G0``                   a cycle of appends that follow each other
``G1c``                  … and of reads of what was appended, at least one
``G-single``             … and exactly one read that missed an append
``G2``                   … and several such reads
=======================  ==========================================================================================
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal

import attrs

from lumenize_sim.check.model import frozen

__all__ = ["Anomaly", "Transaction", "list_append_anomalies"]

Status = Literal["committed", "aborted", "unknown"]


@attrs.frozen(eq=False)
class Transaction:
    """What one transaction did.

    Attributes:
        name: for people.
        steps: ``("append", list, value)`` and ``("read", list, values)`` in order.
        status: ``committed``, ``aborted``, or ``unknown`` where its caller was not answered.
        invoked, returned: positions among all questions and answers, where known; only ``lost-append`` asks.
    """

    name: str
    steps: tuple[tuple[str, Any, Any], ...]
    status: Status = "committed"
    invoked: int | None = None
    returned: int | None = None


@attrs.frozen
class Anomaly:
    """One anomaly.

    Attributes:
        kind: see the table above.
        message: the same in words; of a cycle, each step of it.
        transactions: names of those concerned; of a cycle, in its order.
    """

    kind: str
    message: str
    transactions: tuple[str, ...]


@attrs.frozen
class _Edge:
    kind: str  # ww, wr, rw
    after: int
    words: str


Graph = dict[int, list[_Edge]]


def list_append_anomalies(transactions: Iterable[Transaction]) -> tuple[Anomaly, ...]:
    """All anomalies, of each kind of cycle the shortest one found."""
    seen = _Lists(list(transactions))
    return (*seen.direct(), *_cycles(seen.transactions, seen.graph()))


class _Lists:
    """Who appended what, and what the reads of each list show."""

    def __init__(self, transactions: list[Transaction]) -> None:
        self.transactions = transactions
        self.writers: dict[tuple[Any, Any], int] = {}
        self.last_of: dict[tuple[int, Any], Any] = {}  # of a transaction and list: its last append
        self.appends: dict[Any, list[tuple[Any, int]]] = {}
        self.reads: dict[Any, list[tuple[tuple[Any, ...], int]]] = {}  # what others had left there
        for t, transaction in enumerate(transactions):
            for op, key, value in transaction.steps:
                if op == "append":
                    self.writers.setdefault((key, frozen(value)), t)
                    self.last_of[t, key] = frozen(value)
                    self.appends.setdefault(key, []).append((frozen(value), t))
        for t, transaction in enumerate(transactions):
            if transaction.status == "aborted":
                continue
            own: dict[Any, int] = {}
            for op, key, value in transaction.steps:
                if op == "append":
                    own[key] = own.get(key, 0) + 1
                else:
                    values = frozen(value)
                    mine = own.get(key, 0)
                    self.reads.setdefault(key, []).append((values[: len(values) - mine] if mine else values, t))

    def name(self, t: int) -> str:
        return self.transactions[t].name

    # -- what needs no graph ------------------------------------------------------------------------

    def direct(self) -> Iterator[Anomaly]:
        """Anomalies that single reads show."""
        for t, transaction in enumerate(self.transactions):
            if transaction.status != "aborted":
                yield from self._internal(t, transaction)
        for key, reads in self.reads.items():
            longest = max(reads, key=lambda read: len(read[0]))
            for values, t in reads:
                yield from self._values(key, values, t)
                if values != longest[0][: len(values)]:
                    yield Anomaly(
                        "incompatible-order",
                        f"{self.name(t)} read {key!r} as {list(values)}, and {self.name(longest[1])} "
                        f"as {list(longest[0])}: neither begins with the other",
                        (self.name(t), self.name(longest[1])),
                    )
        yield from self._lost()

    def _internal(self, t: int, transaction: Transaction) -> Iterator[Anomaly]:
        expected: dict[Any, tuple[Any, ...]] = {}  # how what it sees must end, or be where it has read before
        whole: dict[Any, None] = {}
        for op, key, value in transaction.steps:
            if op == "append":
                expected[key] = (*expected.get(key, ()), frozen(value))
                continue
            values, due = frozen(value), expected.get(key, ())
            fits = values == due if key in whole else values[len(values) - len(due) :] == due
            if not fits:
                yield Anomaly(
                    "internal",
                    f"{self.name(t)} read {key!r} as {list(values)}, and knew itself that it "
                    f"{'is' if key in whole else 'ends with'} {list(due)}",
                    (self.name(t),),
                )
            expected[key], whole[key] = values, None

    def _values(self, key: Any, values: tuple[Any, ...], t: int) -> Iterator[Anomaly]:
        counted: dict[Any, int] = {}
        for value in values:
            counted[value] = counted.get(value, 0) + 1
        for value, count in counted.items():
            by = self.writers.get((key, value))
            if count > 1:
                yield Anomaly(
                    "duplicate-append", f"{self.name(t)} read {value!r} {count} times in {key!r}", (self.name(t),)
                )
            if by is None:
                yield Anomaly(
                    "phantom", f"{self.name(t)} read {value!r} in {key!r}, which nobody appended", (self.name(t),)
                )
            elif self.transactions[by].status == "aborted":
                yield Anomaly(
                    "G1a",
                    f"{self.name(t)} read {value!r} in {key!r} of {self.name(by)}, which was aborted",
                    (self.name(by), self.name(t)),
                )
        if values:
            by = self.writers.get((key, values[-1]))
            if by is not None and by != t and self.last_of[by, key] != values[-1]:
                yield Anomaly(
                    "G1b",
                    f"{self.name(t)} read {key!r} up to {values[-1]!r}, between two appends of {self.name(by)}",
                    (self.name(by), self.name(t)),
                )

    def _lost(self) -> Iterator[Anomaly]:
        for key, appends in self.appends.items():
            for value, t in appends:
                returned = self.transactions[t].returned
                if self.transactions[t].status != "committed" or returned is None:
                    continue
                later = [
                    (values, r)
                    for values, r in self.reads.get(key, ())
                    if r != t and (begun := self.transactions[r].invoked) is not None and begun > returned
                ]
                if later and all(value not in values for values, _ in later):
                    reader = later[-1][1]
                    yield Anomaly(
                        "lost-append",
                        f"{self.name(t)} was told that it appended {value!r} to {key!r}, "
                        f"and {self.name(reader)}, which began afterwards, read {list(later[-1][0])}",
                        (self.name(t), self.name(reader)),
                    )

    # -- who must have come before whom -----------------------------------------------------------------

    def graph(self) -> Graph:
        """Dependencies: ``ww`` appended after, ``wr`` read what was appended, ``rw`` missed what was appended."""
        graph: Graph = {}

        def edge(kind: str, before: int, after: int, words: str) -> None:
            if before != after and "aborted" not in (self.transactions[before].status, self.transactions[after].status):
                graph.setdefault(before, []).append(_Edge(kind, after, words))

        for key, appends in self.appends.items():
            reads = self.reads.get(key, [])
            grown = max((values for values, _ in reads), key=len, default=())
            order = [(value, by) for value in grown if (by := self.writers.get((key, value))) is not None]
            known = {value: None for value, _ in order}
            # What no read shows came after all that some read shows; in which order is not known.
            unseen = [(v, t) for v, t in appends if v not in known and self.transactions[t].status == "committed"]
            for (v, a), (w, b) in pairwise(order):
                edge("ww", a, b, f"{self.name(a)} appended {v!r} to {key!r} before {self.name(b)} appended {w!r}")
            for w, b in unseen if order else ():
                v, a = order[-1]
                edge("ww", a, b, f"{self.name(a)} appended {v!r} to {key!r} before {self.name(b)} appended {w!r}")
            for values, t in reads:
                if values != grown[: len(values)]:
                    continue
                if values and (by := self.writers.get((key, values[-1]))) is not None:
                    edge("wr", by, t, f"{self.name(t)} read {values[-1]!r} in {key!r}, which {self.name(by)} appended")
                for w, b in order[len(values) : len(values) + 1] or (unseen if len(values) == len(grown) else ()):
                    edge("rw", t, b, f"{self.name(t)} read {key!r} without {w!r}, which {self.name(b)} appended")
        return graph


def _cycles(transactions: Sequence[Transaction], graph: Graph) -> Iterator[Anomaly]:
    """The shortest cycle of each kind."""
    kinds: tuple[tuple[str, str, Callable[[_Edge], bool], Callable[[_Edge], bool]], ...] = (
        ("G0", "ww", lambda e: e.kind == "ww", lambda e: e.kind == "ww"),
        ("G1c", "wr", lambda e: e.kind == "wr", lambda e: e.kind != "rw"),
        ("G-single", "rw", lambda e: e.kind == "rw", lambda e: e.kind != "rw"),
        ("G2", "rw", lambda e: e.kind == "rw", lambda e: True),
    )
    single = False
    for kind, _, first, rest in kinds:
        if kind == "G2" and single:
            continue  # any cycle with one missed append has been told already
        best: list[tuple[int, _Edge]] | None = None
        for start in sorted(graph):
            for edge in graph[start]:
                if first(edge):
                    way = _way(graph, edge.after, start, rest)
                    if way is not None and (best is None or len(way) + 1 < len(best)):
                        best = [(start, edge), *way]
        if best is not None:
            single = single or kind == "G-single"
            names = tuple(transactions[t].name for t, _ in best)
            steps = "".join(f"\n  {edge.words}" for _, edge in best)
            yield Anomaly(
                kind, f"{kind}: each of {', '.join(names)} must have come before the next, in a circle{steps}", names
            )


def _way(graph: Graph, start: int, goal: int, allowed: Callable[[_Edge], bool]) -> list[tuple[int, _Edge]] | None:
    """A shortest way along allowed edges."""
    came: dict[int, tuple[int, _Edge] | None] = {start: None}
    waiting = deque([start])
    while waiting:
        here = waiting.popleft()
        if here == goal:
            way: list[tuple[int, _Edge]] = []
            while (step := came[here]) is not None:
                way.append(step)
                here = step[0]
            return way[::-1]
        for edge in graph.get(here, ()):
            if edge.after not in came and allowed(edge):
                came[edge.after] = (here, edge)
                waiting.append(edge.after)
    return None
