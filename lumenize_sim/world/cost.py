"""What a run would cost: by object, by class, and as the bill of a month in which it happens many times."""

from __future__ import annotations

from typing import Any, Final

import attrs

from lumenize_sim.errors import UsageError
from lumenize_sim.objects.billing import MEMORY_GB, Consumption
from lumenize_sim.objects.prices import PAID, Bill, PriceTable, amounts

__all__ = ["RUNS_A_MONTH", "CostReport", "ObjectCost"]

#: How often a month sees what the run shows, unless somebody says otherwise.
RUNS_A_MONTH: Final = 1_000_000
#: What is stored is there all month, and not once more for every run.
_STORED: Final = ("sql_stored", "kv_stored")


@attrs.frozen(kw_only=True)
class ObjectCost:
    """What one object has used.

    Attributes:
        name: ``"BINDING/instance"``.
        class_name: of its class.
        used: amounts.
    """

    name: str
    class_name: str
    used: Consumption


@attrs.frozen(kw_only=True)
class CostReport:
    """Of one run.

    Attributes:
        objects: those that have used anything, in the order in which they were first addressed.
    """

    objects: tuple[ObjectCost, ...]

    @property
    def classes(self) -> dict[str, Consumption]:
        """What all objects of each class have used, by its name."""
        found: dict[str, Consumption] = {}
        for cost in self.objects:
            found[cost.class_name] = found.get(cost.class_name, Consumption()) + cost.used
        return found

    @property
    def total(self) -> Consumption:
        """What all have used together."""
        return sum((cost.used for cost in self.objects), Consumption())

    def month(self, runs: float = RUNS_A_MONTH, *, prices: PriceTable = PAID, turn_ms: float = 0.0) -> Bill:
        """The bill of a month, of an account in which nothing else happens (BL-9).

        Args:
            runs: how often a month sees what the run shows.  What is stored counts once.
            prices: instead of those of the paid plan.
            turn_ms: what each turn of an object's code is taken to last, since in virtual time it lasts nothing.

        Workers are billed apart, and are not on it.

        Raises:
            UsageError: a number is negative.
        """
        for name, value in (("runs", runs), ("turn_ms", turn_ms)):
            if not 0 <= value < float("inf"):
                raise UsageError(f"{name} is {value!r}; give a number, 0 or more")
        total = self.total
        once = amounts(total)
        once["duration"] += total.turns * turn_ms / 1000 * MEMORY_GB
        return prices.bill({item: amount * (1 if item in _STORED else runs) for item, amount in once.items()})

    def to_json(self, runs: float = RUNS_A_MONTH, *, prices: PriceTable = PAID, turn_ms: float = 0.0) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "objects": {cost.name: {"class": cost.class_name, **cost.used.to_json()} for cost in self.objects},
            "classes": {name: used.to_json() for name, used in self.classes.items()},
            "total": self.total.to_json(),
            "month": {"runs": runs, "turn_ms": turn_ms, **self.month(runs, prices=prices, turn_ms=turn_ms).to_json()},
        }
