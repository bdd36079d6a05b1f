"""Guides: whole orders per receiver, and the sparse choices of a tape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from lumenize_sim.kernel.choice import Choice, key_of
from lumenize_sim.kernel.chooser import DRIVER, THE_END

__all__ = ["NobodyWaits", "OrderGuide", "TapeGuide", "orders_of"]

Log = Iterable[tuple[str | None, str]]


def orders_of(log: Log) -> dict[str, list[str]]:
    """The order at each receiver; events of the driver stand in every order, and alone in that of `DRIVER`.

    A receiver that appears late still has the driver's earlier events in its order,
    because indices count them.
    """
    driver: list[str] = []
    orders: dict[str, list[str]] = {}
    for receiver, label in log:
        if receiver is None:
            driver.append(label)
            for order in orders.values():
                order.append(label)
        else:
            if receiver not in orders:
                orders[receiver] = list(driver)
            orders[receiver].append(label)
    if driver:
        orders[DRIVER] = driver
    return orders


class NobodyWaits:
    """The part of a guide that names arrivals, and has no event let others go first."""

    waiting: Mapping[str, Mapping[str, Choice]] = {}

    def overtaken(self, receiver: str, label: str, by: str, there: bool) -> bool:
        """Nobody waits."""
        return False

    def let_go(self, receiver: str, label: str) -> None:
        """Nobody waits."""


class OrderGuide(NobodyWaits):
    """Follows orders per receiver and lets go of what does not come.

    Args:
        orders: by receiver, with the driver's events in each (see `orders_of`).
        late: messages that are late, label to microseconds.
        whole: they are the orders of a whole run: what is not in them comes after
            all that is.  Otherwise each receiver goes on by default where its order ends.

    Attributes:
        skipped: what did not come and was left out, by receiver.
        loose: it held a receiver for what has no name, or for what did not come.  The choices of such a run
            do not lead to it: only those of a run that is guided by its whole order do.
    """

    strict = False

    def __init__(
        self, orders: Mapping[str, Sequence[str]], late: Mapping[str, int] | None = None, *, whole: bool = True
    ) -> None:
        self._orders = {receiver: list(order) for receiver, order in orders.items()}
        self._driver = self._orders.get(DRIVER, [])
        self._left = sum(map(len, self._orders.values())) if whole else 0
        self.late: Mapping[str, int] = dict(late or {})
        self.skipped: list[tuple[str, str]] = []
        self.loose = False

    def receivers(self) -> Sequence[str]:
        """Those with an order."""
        return list(self._orders)

    def want(self, receiver: str, index: int, candidates: Callable[[], list[str]]) -> str | None:
        """The label at this place of the order; behind the end of a whole run's order, nothing yet."""
        order = self._orders.get(receiver, self._driver)
        if index < len(order):
            return order[index]
        if self._left > 0:
            self.loose = True
            return ""
        return None

    def skip(self, receiver: str, index: int) -> None:
        """Leave the wanted label out."""
        self.loose = True
        order = self._orders.get(receiver, self._driver)
        if index >= len(order):
            self._left = 0
            return
        self.skipped.append((receiver, order[index]))
        del order[index]
        self._left -= 1

    def met(self, receiver: str, index: int) -> bool:
        """One label less to come."""
        if index < len(self._orders.get(receiver, ())):
            self._left -= 1
        return False


class TapeGuide:
    """Follows the sparse choices of a tape.

    Strict: a receiver with a choice is held until its candidates have the bound and
    the key of that choice; then the event that was picked comes first.
    Lenient (``strict=False``): candidates are matched by the label of the picked
    event only, and what does not come is left out.

    A choice that spans several arrivals has one event wait, while the others come by default.  Strictly it begins
    where its candidates are, and ends after as many arrivals; leniently it begins at its place, and ends when the
    last of them has come, or where that has no name, after as many.
    """

    def __init__(self, choices: Sequence[Choice], *, strict: bool = True) -> None:
        self.strict = strict
        self.late: Mapping[str, int] = {c.site: c.value for c in choices if c.kind == "delay"}
        self._choices: dict[str, dict[int, Choice]] = {}
        self._named: dict[tuple[str, int], str] = {}
        self._waits: dict[str, dict[int, list[Choice]]] = {}
        self._left: dict[tuple[str, str], int] = {}
        self.waiting: dict[str, dict[str, Choice]] = {}
        self.unmet: dict[str, Choice] = {}
        self.skipped: list[Choice] = []
        for choice in choices:
            if choice.kind == "order":
                receiver, index = choice.place
                if choice.spans > 1:
                    self._waits.setdefault(receiver, {}).setdefault(index, []).append(choice)
                else:
                    self._choices.setdefault(receiver, {})[index] = choice
                self.unmet[choice.label] = choice

    def receivers(self) -> Sequence[str]:
        """Those with a choice still to come, or not over."""
        if not self._waits and not self.waiting:
            return list(self._choices)
        return list(dict.fromkeys((*self._choices, *self._waits, *self.waiting)))

    def want(self, receiver: str, index: int, candidates: Callable[[], list[str]]) -> str | None:
        """The picked label once the candidates match; ``""`` (held) before; ``None`` without a choice here."""
        if self._waits and not self._begin(receiver, index, candidates):
            return ""
        choices = self._choices.get(receiver)
        if choices is None or index not in choices:
            return None
        choice = choices[index]
        if not self.strict:
            return choice.pick
        named = self._named.get((receiver, index))
        if named is None:
            # More candidates than there were may become fewer: another actor may call one off.
            labels = candidates()
            if len(labels) != choice.bound or key_of(labels) != choice.key:
                return ""
            named = self._named[receiver, index] = choice.pick
        return named

    def _begin(self, receiver: str, index: int, candidates: Callable[[], list[str]]) -> bool:
        """From here on events may have to wait.  False where those are not there yet."""
        waits = self._waits.get(receiver)
        if waits is None or index not in waits:
            return True
        if self.strict:
            labels = candidates()
            if len(labels) != waits[index][0].bound or key_of(labels) != waits[index][0].key:
                return False
        for choice in waits.pop(index):
            self.unmet.pop(choice.label, None)
            self.waiting.setdefault(receiver, {})[choice.over] = choice
            self._left[receiver, choice.over] = choice.spans
        if not waits:
            del self._waits[receiver]
        return True

    def overtaken(self, receiver: str, label: str, by: str, there: bool) -> bool:
        """``by`` arrives while ``label`` has to wait, and is ``there`` or not.  Whether it has waited long enough."""
        left = self._left[receiver, label] = self._left[receiver, label] - there
        last = self.waiting[receiver][label].pick
        if by != last if last and not self.strict else left > 0:
            return False
        self.let_go(receiver, label)
        return True

    def let_go(self, receiver: str, label: str) -> None:
        """``label`` need not wait any longer."""
        del self.waiting[receiver][label], self._left[receiver, label]
        if not self.waiting[receiver]:
            del self.waiting[receiver]

    def describe(self, receiver: str, index: int) -> str:
        """The choice in words."""
        waits = self._waits.get(receiver, {}).get(index)
        if waits is not None:
            return f"{waits[0].over} to wait among {waits[0].bound} (key {waits[0].key:08x})"
        choice = self._choices[receiver][index]
        if choice.pick == THE_END:
            return f"nothing more to arrive before {choice.over}"
        return f"{choice.pick} to come first of {choice.bound} (key {choice.key:08x})"

    def skip(self, receiver: str, index: int) -> None:
        """Leave this choice out."""
        choice = self._choices[receiver].pop(index)
        self.skipped.append(choice)
        if not self._choices[receiver]:
            del self._choices[receiver]
        self.unmet.pop(choice.label, None)

    def met(self, receiver: str, index: int) -> bool:
        """The choice here, if any, is behind us."""
        choices = self._choices.get(receiver)
        if choices is None or index not in choices:
            return False
        self.unmet.pop(choices.pop(index).label, None)
        if not choices:
            del self._choices[receiver]
        return self.strict
