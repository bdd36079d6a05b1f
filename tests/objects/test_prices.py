"""Consumption, the meter, and the bill: the published examples and hand-computed cases (BL-1 to BL-10)."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumenize_sim import UsageError
from lumenize_sim.objects.billing import Consumption, Meter
from lumenize_sim.objects.prices import FREE, ITEMS, PAID, Price, PriceTable, amounts
from lumenize_sim.objects.storage import UsageKind

SECOND_US = 1_000_000
DAYS, HOURS = 30, 24


def cost_of(used: Consumption, item: str) -> float:
    return sum(line.cost for line in PAID.bill(used).lines if line.item == item)


def test_the_first_published_example() -> None:
    """BL-10: one object called 1.5 million times, active for a million seconds: $0.15 + $0.00 + $5."""
    used = Consumption(http_requests=1_500_000, active_us=1_000_000 * SECOND_US)
    bill = PAID.bill(used)
    assert used.gb_s == pytest.approx(128_000)
    assert (cost_of(used, "requests"), cost_of(used, "duration")) == (pytest.approx(0.15), 0)
    assert bill.total == pytest.approx(5.15)


def test_the_second_published_example() -> None:
    """BL-1, BL-4, BL-10: 100 objects with 50 standard sockets each, eight hours a day: $0.45 + $137.50 + $5."""
    upgrades = 50 * 100 * DAYS
    messages = 50 * 100 * 60 * 8 * DAYS
    used = Consumption(http_requests=upgrades, socket_messages=messages, active_us=100 * 3600 * 8 * DAYS * SECOND_US)
    assert used.requests == 3_750_000
    assert used.gb_s == pytest.approx(11_059_200)
    assert cost_of(used, "requests") == pytest.approx(0.45)
    assert cost_of(used, "duration") == pytest.approx(137.50)
    assert PAID.bill(used).total == pytest.approx(142.95)


def test_the_third_published_example() -> None:
    """BL-1, BL-4, BL-10: 100 objects with one socket and a message a second, all month: $1.80 + $412.50 + $5."""
    seconds = 100 * 3600 * HOURS * DAYS
    used = Consumption(http_requests=100, socket_messages=seconds, active_us=seconds * SECOND_US)
    assert used.requests == 12_960_100
    assert used.gb_s == pytest.approx(33_177_600)
    assert cost_of(used, "requests") == pytest.approx(1.80)
    assert cost_of(used, "duration") == pytest.approx(412.50)
    assert PAID.bill(used).total == pytest.approx(419.30)


def test_the_fourth_published_example() -> None:
    """BL-1, BL-4, BL-10: 100 objects with 100 hibernatable sockets, a second of work a minute: $3.15 + $12.50 + $5."""
    minutes = 60 * HOURS * DAYS
    used = Consumption(
        http_requests=100 * 100, socket_messages=100 * 100 * minutes, active_us=100 * minutes * SECOND_US
    )
    assert used.requests == 21_610_000
    assert used.gb_s == pytest.approx(552_960)
    assert cost_of(used, "requests") == pytest.approx(3.15)
    assert cost_of(used, "duration") == pytest.approx(12.50)
    assert PAID.bill(used).total == pytest.approx(20.65)


@pytest.mark.parametrize(
    "used, item, cost",
    [
        (Consumption(rows_read=25_000_000_000), "rows_read", 0),
        (Consumption(rows_read=26_000_000_000), "rows_read", 1.0),  # a thousand millions at a tenth of a cent
        (Consumption(rows_written=50_500_000), "rows_written", 0.50),  # not rounded
        (Consumption(sql_bytes=15_000_000_000), "sql_stored", 2.0),  # a GB is 10^9 bytes
        (Consumption(read_units=2_000_000), "read_units", 0.20),
        (Consumption(write_units=3_000_000), "write_units", 2.0),
        (Consumption(deletes=1_000_000), "deletes", 0),
        (Consumption(kv_bytes=2_000_000_000), "kv_stored", 0.20),
        (Consumption(rpc_sessions=1_000_001), "requests", 0.15),  # BL-10: the next million
        (Consumption(alarms=1_000_000), "requests", 0),
        (Consumption(active_us=3_125_000 * SECOND_US), "duration", 0),  # exactly what is included
        (Consumption(active_us=3_125_001 * SECOND_US), "duration", 12.50),
    ],
)
def test_each_item_has_its_price(used: Consumption, item: str, cost: float) -> None:
    """Section 9, BL-9, BL-10."""
    assert cost_of(used, item) == pytest.approx(cost)


def test_the_free_plan_has_limits_instead_of_prices() -> None:
    """Section 9: of a day; and the key-value backend is not part of it."""
    within = FREE.bill(Consumption(rpc_sessions=100_000 * 30))
    assert (within.total, within.exceeded) == (0, ())
    beyond = FREE.bill(Consumption(rpc_sessions=100_000 * 30 + 1, rows_written=5, read_units=1))
    assert (beyond.total, beyond.exceeded) == (0, ("requests", "read_units"))


@pytest.mark.parametrize("table", [PAID, FREE])
def test_a_table_says_where_it_comes_from_and_prices_everything(table: PriceTable) -> None:
    """BL-9: prices are data, with date and source."""
    assert list(table.prices) == list(ITEMS)
    assert table.source.startswith("https://developers.cloudflare.com/durable-objects/")
    assert table.date.count("-") == 2


def test_a_table_of_ones_own_is_read_from_a_file(tmp_path: Path) -> None:
    """Another contract, another month."""
    file = tmp_path / "prices.toml"
    file.write_text(
        """
        name = "ours"
        date = "2027-01-01"
        minimum = 20
        [prices]
        requests = { included = 10, price = 0.5, per = 10 }
        duration = { price = 10, rounds = true }
        deletes = { included = 3, free = true }
        """
    )
    table = PriceTable.from_toml(file)
    bill = table.bill(Consumption(http_requests=25, active_us=SECOND_US, deletes=4, rows_read=5))
    assert {line.item: line.cost for line in bill.lines} == {
        "requests": 0.75,
        "duration": 10,
        "deletes": 0,
        "rows_read": 0,
    }
    assert (bill.total, bill.exceeded) == (30.75, ("deletes",))
    assert bill.to_json()["plan"] == "ours"


@pytest.mark.parametrize(
    "text, says",
    [
        ("no toml", "is no TOML"),
        ("minimum = 1", "has no 'name'"),
        ('name = "x"\nminimum = -1', "'minimum' is -1"),
        ('name = "x"\n[prices]\nrequest = { price = 1 }', "price for 'request'"),
        ('name = "x"\n[prices]\nrequests = 3', "the price of 'requests' is 3"),
        ('name = "x"\n[prices]\nrequests = { prize = 3 }', "has 'prize'"),
        ('name = "x"\n[prices]\nrequests = { price = "3" }', "'requests' is '3'"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=says):
        PriceTable.from_toml(file)
    with pytest.raises(UsageError, match="cannot be read"):
        PriceTable.from_toml(tmp_path / "none.toml")


# -- the meter ---------------------------------------------------------------------------

consumptions = st.builds(Consumption, **{field.name: st.integers(0, 10**15) for field in attrs.fields(Consumption)})
KINDS: list[UsageKind] = ["rows-read", "rows-written", "read-units", "write-units", "deletes"]
#: What a meter may hear of: a name and an amount.
heard = st.lists(
    st.tuples(st.sampled_from(["fetch", "call", "alarm", "message", "active", *KINDS]), st.integers(0, 1000))
)


def tell(meter: Meter, what: Any, amount: int) -> None:
    if what in ("fetch", "call"):
        meter.requested(by_fetch=what == "fetch")
    elif what == "alarm":
        meter.alarmed()
    elif what == "message":
        meter.messaged()
    elif what == "active":
        meter.active_us += amount
    else:
        meter.used(what, amount)


def metered(events: list[tuple[str, int]]) -> Consumption:
    meter = Meter()
    for what, amount in events:
        tell(meter, what, amount)
    return meter.read()


@given(heard, heard)
def test_a_meter_is_additive(first: list[tuple[str, int]], second: list[tuple[str, int]]) -> None:
    """Two meters together have counted what one would have."""
    assert metered(first) + metered(second) == metered(first + second)


@given(heard, st.randoms())
def test_a_meter_does_not_care_for_order(events: list[tuple[str, int]], random: Any) -> None:
    """The same events in another order."""
    shuffled = list(events)
    random.shuffle(shuffled)
    assert metered(shuffled) == metered(events)


@given(heard)
def test_a_meter_is_never_negative(events: list[tuple[str, int]]) -> None:
    """Nor is anything that is billed."""
    used = metered(events)
    assert all(value >= 0 for value in attrs.asdict(used).values())
    assert all(amount >= 0 for amount in amounts(used).values())
    assert used.requests >= 0 <= used.gb_s


@given(st.lists(consumptions, max_size=4), st.randoms())
def test_consumption_adds_up_in_any_order(parts: list[Consumption], random: Any) -> None:
    """Nothing at all is the neutral one."""
    together = functools.reduce(lambda a, b: a + b, parts, Consumption())
    random.shuffle(parts)
    assert functools.reduce(lambda a, b: b + a, parts, Consumption()) == together


@given(consumptions, consumptions)
def test_more_never_costs_less(used: Consumption, more: Consumption) -> None:
    """And no bill is negative."""
    for table in (PAID, FREE):
        one, both = table.bill(used), table.bill(used + more)
        assert 0 <= one.usage <= both.usage
        assert set(one.exceeded) <= set(both.exceeded)


@given(st.floats(0, 1e15), st.floats(0, 1e12), st.floats(0, 100), st.floats(1, 1e9))
def test_rounding_charges_for_what_was_begun_and_never_less(
    amount: float, included: float, price: float, per: float
) -> None:
    """BL-10."""
    exact = Price(included=included, price=price, per=per).of(amount)
    rounded = Price(included=included, price=price, per=per, rounds=True).of(amount)
    assert exact * (1 - 1e-6) - 1e-6 <= rounded <= exact + price + 1e-6
