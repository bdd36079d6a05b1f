"""The state machine of the legacy backend between one incarnation and its disk (OG-21, OG-22, ST-7, ST-9).

What is written goes into the batch that waits for the next flush.  A flush takes all of
it, in one transaction, and begins only when the one before has ended.  So what the
application sees is three layers: the batch that waits, the batch that is being flushed,
the disk.  Whether a read waits depends on what the cache knows; *what* it returns is
fixed when it is called, and no later write is seen in it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import ClassVar, Final

from lumenize_sim.errors import SimulatorError
from lumenize_sim.objects.storage.durable import Commit, Durable
from lumenize_sim.objects.storage.errors import INACCESSIBLE, StorageResetError
from lumenize_sim.objects.storage.hooks import StoreHooks
from lumenize_sim.objects.storage.legacy.batch import Batch
from lumenize_sim.objects.storage.legacy.cache import Cache, CacheMemory
from lumenize_sim.objects.storage.legacy.disk import Bounds, Disk
from lumenize_sim.objects.storage.limits import Limits
from lumenize_sim.objects.storage.object_store import ObjectStore

__all__ = ["LegacyStore"]

OVERFLOW: Final = "Durable Object's isolate exceeded its memory limit due to overflowing the storage cache."


class LegacyStore(ObjectStore):
    """See the module.

    Attributes:
        cache: what is known of the disk.
        alarm_known: the alarm time need not be asked for.
    """

    __slots__ = ("_disk", "_flushing", "_memory", "_waiting", "alarm_known", "cache")

    flush_retries: ClassVar[int] = 4

    def __init__(
        self,
        durable: Durable,
        *,
        hooks: StoreHooks,
        limits: Limits | None = None,
        memory: CacheMemory | None = None,
        now_ms: Callable[[], int],
    ) -> None:
        """``memory`` is shared by the objects of an isolate; else it is the object's own.

        Raises:
            SimulatorError: another incarnation still has the durable state open.
        """
        super().__init__(durable, hooks, limits)
        if durable.disk is None:
            durable.disk = Disk()
        self._disk = durable.disk
        self._memory = memory or CacheMemory(self.limits.cache_bytes)
        self.cache = Cache(self._disk, self._memory, now_ms, round(self.limits.cache_stale_s * 1000))
        self.alarm_known = False
        self._waiting: Batch | None = None
        self._flushing: Batch | None = None

    @contextmanager
    def aside(self) -> Generator[None]:
        """See `ObjectStore.aside`."""
        cache, known = self.cache, self.alarm_known
        self.cache = Cache(self._disk, CacheMemory(self.limits.cache_bytes), lambda: 0, 1)
        try:
            with super().aside():
                yield
        finally:
            self.cache, self.alarm_known = cache, known

    # ------------------------------------------------------------------ reads

    def overlay(self) -> dict[str, bytes | None]:
        """What is written and not on the disk, key to value or ``None`` for a removal; the latest of each."""
        waiting, flushing = self._waiting, self._flushing
        if waiting is not None and waiting.wiped:
            return waiting.writes
        if flushing is None:
            return waiting.writes if waiting is not None else {}
        return flushing.writes if waiting is None else {**flushing.writes, **waiting.writes}

    @property
    def wiped(self) -> bool:
        """The disk holds nothing any more, as soon as all is flushed: so everything is known."""
        return any(batch is not None and batch.wiped for batch in (self._waiting, self._flushing))

    def knows(self, key: str) -> bool:
        """Whether a read of ``key`` need not wait (IG-11)."""
        for batch in (self._waiting, self._flushing):
            if batch is not None and (batch.wiped or key in batch.writes):
                return True
        return self.cache.knows(key)

    def view(self, key: str) -> bytes | None:
        """What is at ``key`` now."""
        for batch in (self._waiting, self._flushing):
            if batch is not None:
                if key in batch.writes:
                    return batch.writes[key]
                if batch.wiped:
                    return None
        return self._disk.get(key)

    def scan(
        self, bounds: Bounds, reverse: bool, limit: int | None, over: dict[str, bytes | None] | None = None
    ) -> tuple[list[tuple[str, bytes]], Bounds, bool]:
        """The entries of a range now; the part of it that had to be looked at; whether all of that is known.

        ``over`` lies over everything, for a transaction.
        """
        overlay = self.overlay()
        if over:
            overlay = {**overlay, **over}
        wiped = self.wiped
        keys = {} if wiped else dict.fromkeys(self._disk.keys(bounds))
        keys.update(dict.fromkeys(key for key in overlay if key in bounds))
        found: list[tuple[str, bytes]] = []
        looked = bounds
        for key in sorted(keys, reverse=reverse):
            data = overlay[key] if key in overlay else self._disk.get(key)
            if data is None:
                continue
            found.append((key, data))
            if limit is not None and len(found) >= limit:
                looked = Bounds(key, bounds.end) if reverse else Bounds(bounds.start, key + "\0")
                break
        return found, looked, wiped or looked.empty or self.cache.knows_all(looked, overlay)

    # ------------------------------------------------------------------ writes

    def write(self, key: str, data: bytes | None, confirmed: bool, *, passing: bool = False) -> None:
        """Put or remove one entry.

        Raises:
            StorageResetError: what is written and not flushed overflows the isolate's memory (LC-37); the machine
                resets the object at the end of the turn.
        """
        self.mark(confirmed)
        self._batch().put(key, data, passing=passing)
        if self.dirty_bytes + self._memory.used_bytes > self.limits.isolate_bytes:
            self.broken = StorageResetError(OVERFLOW, overloaded=True)
            raise self.broken

    def wipe(self) -> int:
        """Remove every entry; how many there were.  Always confirmed (OG-24)."""
        self.check()
        count = len(self.scan(Bounds(), False, None)[0])
        self.mark(True)
        self._batch().wipe()
        return count

    def _batch(self) -> Batch:
        if self._waiting is None:
            self._waiting = Batch()
        return self._waiting

    @property
    def dirty_bytes(self) -> int:
        """Of keys and values that are not on the disk."""
        return sum(batch.size_bytes for batch in (self._waiting, self._flushing) if batch is not None)

    @property
    def pressed(self) -> bool:
        """So much is not flushed that a write has to wait (ST-9)."""
        return self.dirty_bytes > self.limits.dirty_bytes

    def owe(self, write_units: int) -> None:
        """Write units of what was just written, due when it is durable (BL-8)."""
        self._batch().write_units += write_units

    # ------------------------------------------------------------------ commits

    @property
    def in_transaction(self) -> bool:
        """A transaction keeps its writes to itself here (OG-28)."""
        return False

    def commit(self) -> int | None:
        """End of a turn; the number of the flush that will write what it wrote, ``None`` where it wrote nothing.

        Turns that end while a flush is under way share the next one, and its number (OG-21).

        Raises:
            StorageResetError: the store has broken in this turn.
        """
        if not self.dirty:
            return None
        self.check()
        batch, durable = self._batch(), self.durable
        if not batch.number:
            batch.number = durable.number = durable.number + 1
            durable.log.append(Commit(batch.number, self.confirmed, self.alarm_ms, True))
        commit = durable.log[-1]
        commit.confirmed = commit.confirmed or self.confirmed
        batch.alarm_ms = commit.alarm_ms = self.alarm_ms
        self.dirty = self.confirmed = False
        return batch.number

    def next_flush(self) -> int | None:
        """The number of the flush that begins now, if there is something to flush and none is under way (OG-21)."""
        waiting = self._waiting
        if self._flushing is not None or waiting is None or not waiting.number:
            return None
        self._flushing, self._waiting = waiting, None
        return waiting.number

    def flushed(self, number: int) -> None:
        """The flush that is under way has written everything."""
        batch = self._flushing
        if batch is None or batch.number != number:
            raise SimulatorError(f"flush {number} has ended, but {batch and batch.number} is under way")
        self._flushing = None
        self._write(batch)
        cache = self.cache
        if batch.wiped:
            cache.clear()
            cache.learn_all(Bounds())
        for key in batch.writes:
            if key in batch.passing:
                cache.evict(key)
            else:
                cache.learn(key)
        if batch.write_units and self.hooks.usage is not None:
            self.hooks.usage("write-units", batch.write_units)

    def _write(self, batch: Batch) -> None:
        batch.apply(self._disk)
        self.durable.alarm_ms = batch.alarm_ms
        del self.durable.log[0]

    def settle(self) -> None:
        """Everything that is committed is durable from now on."""
        while self.durable.log:
            self.next_flush()
            self.flushed(self.durable.log[0].number)

    @property
    def wiping(self) -> bool:
        """A flush is under way that removes everything, and may end half way (ST-26)."""
        return self._flushing is not None and self._flushing.wiped

    def tear(self, part: int, parts: int) -> None:
        """That flush had removed ``part`` of ``parts`` of the entries when it was broken off."""
        self._disk.clear(len(self._disk) * part // parts)

    def crash(self, keep: int = 0, error: BaseException | None = None) -> None:
        """See `ObjectStore.crash`."""
        durable = self.durable
        if durable.opened_by is not self:
            return
        for batch in (self._flushing, self._waiting):
            if batch is not None and batch.number and keep > 0:
                keep -= 1
                self._write(batch)
        durable.log.clear()
        self._end(error)

    def close(self) -> None:
        """The incarnation ends idle; its cache goes with it.

        Raises:
            SimulatorError: there are writes that are not durable.
        """
        if self.durable.opened_by is not self:
            return
        if self.dirty or self.durable.log:
            raise SimulatorError("a store was closed with writes that are not durable: flush them, or crash it")
        self._end(None)

    def _end(self, error: BaseException | None) -> None:
        self._waiting = self._flushing = None
        self.cache.clear()
        self.broken = self.broken or error or StorageResetError(INACCESSIBLE)
        self.dirty = self.confirmed = False
        self.durable.opened_by = None

    # ------------------------------------------------------------------ alarm

    def set_alarm(self, alarm_ms: int | None, confirmed: bool) -> None:
        """See `ObjectStore.set_alarm`."""
        super().set_alarm(alarm_ms, confirmed)
        self.alarm_known = True

    def arm(self) -> None:
        """The alarm handler is about to run (AL-5): whoever wakes it knows the time."""
        super().arm()
        self.alarm_known = True
