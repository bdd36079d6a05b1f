"""The path that a search is on, and beside each state of it what remains to be tried there.

This is the bookkeeping of optimal dynamic partial-order reduction (Abdulla, Aronis,
Jonsson, Sagonas: Source Sets: A Foundation for Optimal Dynamic Partial Order Reduction,
J. ACM 64(4), 2017).  At each state the *sleep set* holds steps after which everything has
been gone through already, and which nothing since has depended on; the *wakeup tree*
holds sequences that must be run from there, merged where one covers another.  A sequence
that begins, up to the order of what is independent, with a sleeping step is never added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

__all__ = ["Branch", "Node", "Path"]


@attrs.define(eq=False)
class Branch:
    """A step to be taken, and what may follow it.

    Attributes:
        label, scope: of the step.
        then: what may follow; one of them must, unless there is none.
    """

    label: str
    scope: str | None
    then: list[Branch] = attrs.field(factory=list)


@attrs.define(eq=False)
class Node:
    """A state on the path.

    Attributes:
        enabled: what could happen there.
        sleep: what need not happen next, label to scope.
        done: the steps taken from here, in order; the path goes on with the last.
        tree: what is still to be taken.
    """

    enabled: tuple[str, ...]
    sleep: dict[str, str | None]
    tree: list[Branch]
    done: dict[str, str | None] = attrs.field(factory=dict)

    @property
    def present(self) -> str:
        """The step with which the path goes on."""
        return next(reversed(self.done))

    def after_it(self, enabled: Mapping[str, str | None]) -> dict[str, str | None]:
        """What sleeps behind the present step."""
        if not self.sleep and len(self.done) < 2:
            return {}
        present = self.present
        scope = self.done[present]
        if scope is None:
            return {}
        return {
            label: other
            for label, other in {**self.sleep, **self.done}.items()
            if label != present and other is not None and other != scope and label in enabled
        }

    def insert(self, sequence: list[Branch], initial: Callable[[list[Branch], Branch], int | None]) -> bool:
        """Have ``sequence`` run from here, unless what is to be run covers it.

        Args:
            initial: ``initial(sequence, branch)`` says which of the sequence the step of ``branch`` is, if that may
                come first; the length of the sequence if it is none and independent of all; else ``None``.
        """
        tree, root = self.tree, True
        while tree or root:
            for branch in tree:
                place = initial(sequence, branch)
                if place is not None:
                    sequence = sequence[:place] + sequence[place + 1 :]
                    tree, root = branch.then, False
                    break
            else:
                for step in sequence:
                    tree.append(step)
                    tree = step.then
                return True
        return False


class Path:
    """The states from the beginning to where the run is.

    Attributes:
        nodes: in order.
        branched: how many of them the present run has in common with the one before.
        changed: a run met other events where an earlier one had been: the app keeps something between runs.
        missed: steps that were to be taken and were impossible.
        blocked: runs that were broken off, since they were gone through elsewhere.
        pending: runs that are still to be made at least.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.branched = 0
        self.changed = False
        self.missed = 0
        self.blocked = 0
        self.pending = 0
        self._at = 0
        self._next: list[Branch] = []

    def advance(self) -> bool:
        """Turn to the next run.  False when there is none."""
        nodes = self.nodes
        while nodes and not nodes[-1].tree:
            nodes.pop()
        self._at = 0
        if not nodes:
            return False
        self.pending -= 1
        branch = nodes[-1].tree.pop(0)
        nodes[-1].done[branch.label] = branch.scope
        self._next = branch.then
        self.branched = len(nodes)
        return True

    def step(self, enabled: Mapping[str, str | None], passable: bool) -> str | None:
        """The next step among those ``enabled``; ``""`` for a time step, where ``passable``; ``None`` to break off."""
        nodes, n = self.nodes, self._at
        self._at = n + 1
        if n < self.branched:
            node = nodes[n]
            if node.enabled != tuple(enabled):
                self.changed = True
                return None
            label = node.present
            if label in enabled or (not label and passable):
                return label
            self.missed += 1
            del node.done[label]
        else:
            node = Node(tuple(enabled), nodes[-1].after_it(enabled) if nodes else {}, self._next)
            nodes.append(node)
            if not node.tree:
                return self._free(node, enabled, passable)
        return self._taken(node, enabled, passable)

    def _taken(self, node: Node, enabled: Mapping[str, str | None], passable: bool) -> str | None:
        """A step of the tree that is possible; that one is not would be an error in the search."""
        while node.tree:
            branch = node.tree.pop(0)
            if branch.label in enabled or (not branch.label and passable):
                node.done[branch.label] = branch.scope
                self._next = branch.then
                return branch.label
            self.missed += 1
        return None if node.done else self._free(node, enabled, passable)

    def _free(self, node: Node, enabled: Mapping[str, str | None], passable: bool) -> str | None:
        self._next = []
        for label, scope in enabled.items():
            if label not in node.sleep:
                node.done[label] = scope
                return label
        if passable:
            node.done[""] = None
            return ""
        self.blocked += 1
        self.nodes.pop()
        return None

    def ended(self, label: str) -> None:
        """The run has ended with ``label``: nothing can come after it, so it depends on everything."""
        if self.nodes:
            self.nodes[-1].done[label] = None
