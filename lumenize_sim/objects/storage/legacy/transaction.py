"""``txn`` of ``storage.transaction`` on the legacy backend: only what goes through it is inside (OG-28, OG-29)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.storage.legacy.entries import LegacyKV
from lumenize_sim.objects.storage.legacy.store import LegacyStore
from lumenize_sim.objects.storage.transaction import TransactionOperations, TransactionState
from lumenize_sim.objects.storage.usage import units

__all__ = ["LegacyTransaction"]


class _Overlay(LegacyKV):
    """`EntriesAPI` over the store's own entries: writes stay here until the transaction commits."""

    __slots__ = ("alarm", "confirmed", "writes")

    def __init__(self, store: LegacyStore) -> None:
        super().__init__(store)
        self.writes: dict[str, bytes | None] = {}
        self.alarm: tuple[int | None] | None = None
        self.confirmed = False

    def look(self, key: str) -> tuple[bytes | None, bool]:
        """What was written here, and below that what the store has."""
        writes = self.writes
        return (writes[key], True) if key in writes else super().look(key)

    def list(self, **bounds: Any) -> Pending[dict[str, Any]]:
        """The same for a range."""
        return super().list(**bounds, over=self.writes)

    def put(
        self,
        key: str | Mapping[str, Any],
        value: Any,
        confirmed: bool,
        concurrent: bool = False,
        no_cache: bool = False,
    ) -> Pending[None]:
        """Keep it here."""
        for one, data in self.encoded(key, value):
            self._access("put", one)
            self.writes[one] = data
            self.confirmed = self.confirmed or confirmed
        return Pending.of(None)

    def remove(self, key: str, confirmed: bool, *, absent: bool) -> None:
        """Keep the removal here, as others may write the entry before the end."""
        self.writes[key] = None
        self.confirmed = self.confirmed or confirmed

    def removed(self, cold: Sequence[str], result: Any, concurrent: bool) -> Pending[Any]:
        """Nothing will be flushed before the end: so it is read whether they existed."""
        return self.read(cold, lambda: result, concurrent)

    def get_alarm(self, concurrent: bool = False) -> Pending[int | None]:
        """The alarm time as it is here."""
        return super().get_alarm(concurrent) if self.alarm is None else Pending.of(self.alarm[0])

    def set_alarm(self, alarm_ms: int | None, confirmed: bool, concurrent: bool = False) -> Pending[None]:
        """Keep it here (AL-4)."""
        self._store.check()
        self.alarm = (alarm_ms,)
        self.confirmed = self.confirmed or confirmed
        return Pending.of(None)

    def commit(self) -> None:
        """Hand everything to the store, as writes of one turn; confirmed if some write was (OG-25)."""
        store = self._store
        for key, data in self.writes.items():
            store.write(key, data, self.confirmed)
            if data is not None:
                store.owe(units(len(key.encode()) + len(data)))
        if self.alarm is not None:
            LegacyKV.set_alarm(self, self.alarm[0], self.confirmed)


class LegacyTransaction(TransactionOperations):
    """The ``txn`` of the legacy backend.  ``ctx.storage`` stays outside, and is not rolled back."""

    __slots__ = ("_overlay", "_state")

    def __init__(self, store: LegacyStore, now_ms: Callable[[], int], has_alarm_handler: bool) -> None:
        store.check()
        self._overlay = _Overlay(store)
        self._state: TransactionState = "open"
        super().__init__(store, self._overlay, now_ms, has_alarm_handler)

    @property
    def state(self) -> TransactionState:
        """Where it is in its life."""
        return self._state

    def keep(self) -> Pending[Any] | None:
        """For the machine: the callback has returned; the end of the turn commits everything at once.

        Under back-pressure the section goes on until that has been flushed (ST-9).
        """
        if self._state != "open":
            return None
        self._state = "committed"
        self._overlay.commit()
        pending = self._overlay.pressed(False)
        return None if pending.done else pending

    def _discard(self) -> None:
        self._state = "rolled back"
