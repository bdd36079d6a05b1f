"""The order of `double_charge`, mended: every try of one order has the same key, and the service charges once a key."""

from __future__ import annotations

from typing import Any

from lumenize_sim import DurableObject, Faults, Mesh, RpcTarget, WorkerEntrypoint, World, scenario
from lumenize_sim.objects import Request, Response

PAYMENTS = "https://payments.example"


class Receipt(RpcTarget):
    """What the buyer is given: it lives in the order, and tells how that is."""

    def __init__(self, order: Order) -> None:
        self._order = order

    @property
    def paid(self) -> bool:
        return bool(self._order.ctx.storage.kv.get("paid", False))


class Order(DurableObject):
    """One order."""

    async def pay(self, cents: int) -> Receipt:
        for _ in range(3):
            try:
                key = {"idempotency-key": str(self.ctx.id)}
                response = await self.ctx.fetch(f"{PAYMENTS}/charge", method="POST", body=str(cents), headers=key)
            except Exception as error:
                if not getattr(error, "retryable", False):
                    raise
            else:
                if response.ok:
                    self.ctx.storage.kv.put("paid", True)
                    break
        return Receipt(self)


class Shop(WorkerEntrypoint):
    """Where orders are placed."""

    async def buy(self, order: str, cents: int) -> bool:
        receipt = self.env.ORDER.get_by_name(order).pay(cents)
        return bool(await receipt.paid)  # asked for before the receipt is there


app = Mesh(bindings={"ORDER": Order, "SHOP": Shop})


class Bank:
    """The payment service: what it has charged, and for which keys."""

    def __init__(self) -> None:
        self.charges: list[int] = []
        self.keys: list[str] = []

    def handle(self, request: Request) -> Any:
        key = request.headers["idempotency-key"]
        if key not in self.keys:
            self.keys.append(key)
            self.charges.append(int(request.text))
        return Response(200)


@scenario(app, faults=Faults(kinds=("bad-fetch", "lost-call", "slow-flush"), at_most=2))
async def one_order(world: World) -> None:
    """Somebody buys once; nobody is charged twice, and whoever is said to have paid has been charged."""
    bank = Bank()
    world.server(PAYMENTS, bank.handle, latency_s=0.2)
    paid: bool | None = None
    try:
        paid = await world.env.SHOP.buy("o1", 250)
    except Exception as error:
        if not getattr(error, "retryable", False):
            raise
    await world.settle()
    assert len(bank.charges) <= 1, f"charged {len(bank.charges)} times"
    assert not paid or bank.charges == [250]
