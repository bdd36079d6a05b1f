"""What the platform charges: a table of prices as data, and the bill for a month (BL-9, BL-10).

The tables here are the published ones of the date they carry; a user may write another
(`PriceTable.from_toml`).  Amounts are those of a whole account in a month.
"""

from __future__ import annotations

import math
import os
import tomllib
from pathlib import Path
from typing import Any, Final

import attrs

from lumenize_sim.errors import UsageError
from lumenize_sim.objects.billing import Consumption

__all__ = ["FREE", "ITEMS", "PAID", "Bill", "BillLine", "Price", "PriceTable"]

DAYS: Final = 30  #: of the month that the published examples reckon with
GB: Final = 1_000_000_000  #: bytes (BL-9)

#: What is billed, in words.
ITEMS: Final[dict[str, str]] = {
    "requests": "requests",
    "duration": "duration, GB-s",
    "rows_read": "rows read",
    "rows_written": "rows written",
    "sql_stored": "SQL stored, GB-month",
    "read_units": "read units",
    "write_units": "write units",
    "deletes": "deletes",
    "kv_stored": "key-value stored, GB-month",
}


def amounts(used: Consumption) -> dict[str, float]:
    """How much ``used`` is of each item."""
    return {
        "requests": used.requests,
        "duration": used.gb_s,
        "rows_read": used.rows_read,
        "rows_written": used.rows_written,
        "sql_stored": used.sql_bytes / GB,
        "read_units": used.read_units,
        "write_units": used.write_units,
        "deletes": used.deletes,
        "kv_stored": used.kv_bytes / GB,
    }


@attrs.frozen(kw_only=True)
class Price:
    """Of one item.

    Attributes:
        included: amount a month that costs nothing.
        price: US dollars for each ``per`` beyond; ``None`` where there is no more to be had (the free plan).
        per: how much that price is for.
        rounds: what is beyond counts in whole ``per`` (BL-10).
    """

    included: float = 0.0
    price: float | None = 0.0
    per: float = 1_000_000.0
    rounds: bool = False

    def of(self, amount: float) -> float:
        """US dollars for ``amount``; 0 where no more is to be had."""
        beyond = max(0.0, amount - self.included) / self.per
        if self.rounds:
            beyond = math.ceil(round(beyond, 9))  # what division has added does not begin another million
        return beyond * (self.price or 0.0)


@attrs.frozen(kw_only=True)
class BillLine:
    """One item of a bill.

    Attributes:
        item: of `ITEMS`.
        amount: of a month.
        included: of that.
        cost: US dollars.
        exceeded: the plan has no more of it, and operations fail (the free plan).
    """

    item: str
    amount: float
    included: float
    cost: float
    exceeded: bool


@attrs.frozen(kw_only=True)
class Bill:
    """One month.

    Attributes:
        table: by which it was made.
        lines: items of which anything was used.
        minimum: US dollars that the plan costs in any case; it comes on top (BL-9).
    """

    table: PriceTable
    lines: tuple[BillLine, ...]
    minimum: float

    @property
    def usage(self) -> float:
        """US dollars for what was used."""
        return sum(line.cost for line in self.lines)

    @property
    def total(self) -> float:
        """US dollars."""
        return self.usage + self.minimum

    @property
    def exceeded(self) -> tuple[str, ...]:
        """Items of which the plan has no more."""
        return tuple(line.item for line in self.lines if line.exceeded)

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "plan": self.table.name,
            "date": self.table.date,
            "source": self.table.source,
            "lines": [attrs.asdict(line) for line in self.lines],
            "minimum": self.minimum,
            "total": self.total,
        }


def _known_items(table: Any, _: Any, prices: dict[str, Price]) -> None:
    for item in prices:
        if item not in ITEMS:
            raise UsageError(f"price table {table.name!r} has a price for {item!r}; there is: {', '.join(ITEMS)}")


@attrs.frozen(kw_only=True)
class PriceTable:
    """Prices of one plan.

    Attributes:
        name: of the plan.
        date: when they were published so.
        source: where.
        minimum: US dollars a month in any case.
        prices: by item of `ITEMS`; what is missing costs nothing.
    """

    name: str
    date: str
    source: str
    minimum: float
    prices: dict[str, Price] = attrs.field(validator=_known_items)

    def bill(self, used: Consumption | dict[str, float]) -> Bill:
        """The bill for what an account has used in a month, a consumption or amounts by item."""
        lines = []
        for item, amount in (amounts(used) if isinstance(used, Consumption) else used).items():
            if amount <= 0:
                continue
            price = self.prices.get(item, Price())
            exceeded = price.price is None and amount > price.included
            lines.append(
                BillLine(item=item, amount=amount, included=price.included, cost=price.of(amount), exceeded=exceeded)
            )
        return Bill(table=self, lines=tuple(lines), minimum=self.minimum)

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> PriceTable:
        """Read a table: ``name``, ``date``, ``source``, ``minimum``, and a table of each item's `Price`.

        Raises:
            UsageError: the file cannot be read, or something in it is no price.
        """
        try:
            data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"price table {path} cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"price table {path} is no TOML: {error}") from None
        try:
            prices = {item: _price(item, entry) for item, entry in data.pop("prices", {}).items()}
            return cls(
                name=str(data.pop("name")),
                date=str(data.pop("date", "")),
                source=str(data.pop("source", str(path))),
                minimum=_amount("minimum", data.pop("minimum", 0.0)),
                prices=prices,
            )
        except KeyError as error:
            raise UsageError(f"price table {path} has no {error.args[0]!r}: name the plan") from None
        except TypeError as error:
            raise UsageError(f"price table {path}: {error}") from None


def _price(item: str, entry: Any) -> Price:
    if not isinstance(entry, dict):
        raise UsageError(f"the price of {item!r} is {entry!r}; give a table such as {{ included = 1e6, price = 0.15 }}")
    known = {"included", "price", "per", "rounds", "free"}
    for name in entry:
        if name not in known:
            raise UsageError(f"the price of {item!r} has {name!r}; there is: {', '.join(sorted(known))}")
    free = entry.get("free", False)
    return Price(
        included=_amount(item, entry.get("included", 0.0)),
        price=None if free else _amount(item, entry.get("price", 0.0)),
        per=_amount(item, entry.get("per", 1_000_000.0)) or 1.0,
        rounds=bool(entry.get("rounds", False)),
    )


def _amount(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise UsageError(f"{what!r} is {value!r}; give a number, 0 or more")
    return float(value)


_SOURCE: Final = "https://developers.cloudflare.com/durable-objects/platform/pricing/"

#: The paid plan.
PAID: Final = PriceTable(
    name="paid",
    date="2026-10-01",
    source=_SOURCE,
    minimum=5.0,
    prices={
        "requests": Price(included=1e6, price=0.15, rounds=True),
        "duration": Price(included=400_000, price=12.50, rounds=True),
        "rows_read": Price(included=25e9, price=0.001),
        "rows_written": Price(included=50e6, price=1.00),
        "sql_stored": Price(included=5, price=0.20, per=1),
        "read_units": Price(included=1e6, price=0.20),
        "write_units": Price(included=1e6, price=1.00),
        "deletes": Price(included=1e6, price=1.00),
        "kv_stored": Price(included=1, price=0.20, per=1),
    },
)

#: The free plan: its limits are of a day, and further operations fail.  The key-value backend is not part of it.
FREE: Final = PriceTable(
    name="free",
    date="2026-10-01",
    source=_SOURCE,
    minimum=0.0,
    prices={
        "requests": Price(included=100_000 * DAYS, price=None),
        "duration": Price(included=13_000 * DAYS, price=None),
        "rows_read": Price(included=5e6 * DAYS, price=None),
        "rows_written": Price(included=100_000 * DAYS, price=None),
        "sql_stored": Price(included=5, price=None, per=1),
        "read_units": Price(included=0, price=None),
        "write_units": Price(included=0, price=None),
        "deletes": Price(included=0, price=None),
        "kv_stored": Price(included=0, price=None, per=1),
    },
)
