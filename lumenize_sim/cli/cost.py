"""``--cost``: what a run would cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import click
from rich.table import Table

from lumenize_sim.cli.arguments import Decorator
from lumenize_sim.cli.console import Printer
from lumenize_sim.errors import UsageError
from lumenize_sim.objects.billing import Consumption
from lumenize_sim.objects.prices import FREE, ITEMS, PAID, Bill, PriceTable
from lumenize_sim.view.story import printable
from lumenize_sim.world.cost import RUNS_A_MONTH, CostReport

__all__ = ["CostBasis", "cost_options", "print_cost"]


@attrs.frozen(kw_only=True)
class CostBasis:
    """What a projection supposes.

    Attributes:
        runs: how often a month sees what the run shows.
        turn_ms: what a turn of an object's code is taken to last.
        prices: by which it is billed.
    """

    runs: float
    turn_ms: float
    prices: PriceTable

    @classmethod
    def of(cls, scale: float, turn_ms: float, prices: str) -> CostBasis:
        """What the options say.

        Raises:
            UsageError: a number is negative, or the price table cannot be read.
        """
        for option, value in (("--cost-scale", scale), ("--cost-turn-ms", turn_ms)):
            if not 0 <= value < float("inf"):
                raise UsageError(f"{option} {value:g}: give a number, 0 or more")
        known = {"paid": PAID, "free": FREE}
        return cls(runs=scale, turn_ms=turn_ms, prices=known.get(prices) or PriceTable.from_toml(prices))

    def bill(self, cost: CostReport) -> Bill:
        """The bill of a month."""
        return cost.month(self.runs, prices=self.prices, turn_ms=self.turn_ms)


def cost_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that can tell what a run costs."""
    options: list[Decorator] = [
        click.option("--cost", "costs", is_flag=True, help="Also report what the run would cost."),
        click.option(
            "--cost-scale", type=float, default=RUNS_A_MONTH, show_default=True, metavar="N",
            help="How often a month sees what the run shows.",
        ),
        click.option(
            "--cost-turn-ms", type=float, default=0.0, show_default=True, metavar="MS",
            help="What a turn of an object's code is taken to last; in virtual time it lasts nothing.",
        ),
        click.option(
            "--prices", default="paid", show_default=True, metavar="paid|free|FILE.toml",
            help="The plan, or a price table of your own.",
        ),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def print_cost(printer: Printer, cost: CostReport, basis: CostBasis) -> None:
    """What each object has used, and each class where it has several; and the bill of a month."""
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left")
    table.add_column("cost of this run")
    for head in ("requests", "active", "GB-s", "rows read", "rows written", "stored"):
        table.add_column(head, justify="right")
    legacy = cost.total.read_units or cost.total.write_units or cost.total.deletes or cost.total.kv_bytes
    if legacy:
        table.add_column("units r/w/del", justify="right")
    members: dict[str, list[str]] = {}
    for one in cost.objects:
        members.setdefault(one.class_name, []).append(one.name)
    used = {one.name: one.used for one in cost.objects}
    for name, together in cost.classes.items():
        many = f", {len(members[name])} objects" if len(members[name]) > 1 else ""
        table.add_row(f"{name}{many}", *_amounts(together, bool(legacy)), style="bold")
        for member in members[name]:
            table.add_row(f"  {printable(member)}", *_amounts(used[member], bool(legacy)))
    if len(cost.classes) > 1:
        table.add_row("all", *_amounts(cost.total, bool(legacy)), style="bold")
    printer.block(table)
    _print_bill(printer, basis.bill(cost), basis)


def _amounts(used: Consumption, legacy: bool) -> list[str]:
    cells = [
        f"{used.requests:,.2f}".rstrip("0").rstrip("."),
        f"{used.active_us / 1_000_000:,.3f}".rstrip("0").rstrip(".") + " s",
        f"{used.gb_s:,.3f}",
        f"{used.rows_read:,}",
        f"{used.rows_written:,}",
        f"{(used.sql_bytes + used.kv_bytes) / 1000:,.0f} kB",
    ]
    return [*cells, f"{used.read_units:,}/{used.write_units:,}/{used.deletes:,}"] if legacy else cells


def _print_bill(printer: Printer, bill: Bill, basis: CostBasis) -> None:
    plan = bill.table
    printer.line(
        ("a month", "bold"), f" of {basis.runs:,.0f} such runs",
        (f"  (plan {plan.name!r}, prices of {plan.date}, Workers apart)", "dim"),
    )  # fmt: skip
    for line in bill.lines:
        beyond = "within what is included" if line.amount <= line.included else f"included: {line.included:,.0f}"
        cost = ("exceeded: operations fail", "red") if line.exceeded else (f"${line.cost:,.2f}", "")
        amount = f"{line.amount:,.0f}" if line.amount >= 10 else f"{line.amount:,.6f}".rstrip("0").rstrip(".")
        printer.line(f"  {ITEMS[line.item]}: {amount}  ", cost, (f"  ({beyond})", "dim"))
    minimum = f" (${bill.usage:,.2f} and the plan's minimum of ${bill.minimum:,.2f})" if bill.minimum else ""
    printer.line(("  total: ", "bold"), (f"${bill.total:,.2f}", "bold"), minimum)
