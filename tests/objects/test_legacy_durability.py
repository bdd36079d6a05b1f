"""The legacy backend against a dictionary, a log of flushes and a naive cache (IG-11, OG-20, OG-21, ST-7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import outcome
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.storage import Durable, StoreHooks
from lumenize_sim.objects.storage.legacy import CacheMemory, LegacyStorage, LegacyStore
from lumenize_sim.objects.storage.legacy.disk import Bounds
from lumenize_sim.objects.storage.legacy.entries import list_bounds
from lumenize_sim.objects.storage.transaction import TransactionOperations

KEYS = ["", "a", "ab", "b", "\ufffd", "\U0001f600"]
#: Every bound that a range over these keys may have, so that between two of them all is known or nothing.
POINTS = sorted({"", *KEYS, *(key + "\0" for key in KEYS)})
key_of = st.sampled_from(KEYS)
value_of = st.one_of(st.integers(0, 99), st.none(), st.text(max_size=2))
bounds_of = st.fixed_dictionaries(
    {},
    optional={
        "start": key_of,
        "end": key_of,
        "reverse": st.booleans(),
        "limit": st.integers(1, 4),
    },
)


class Flush:
    """What the oracle thinks of a turn's writes on their way to the disk."""

    def __init__(self, entries: dict[str, Any], alarm: int | None) -> None:
        self.entries = dict(entries)
        self.alarm = alarm


def outcome_of(pending: Pending[Any]) -> Any:
    found: list[Any] = []
    pending.when_done(found.append)
    return found[0].unwrap()


class Lives(RuleBasedStateMachine):
    """One object through many incarnations, with reads under way."""

    @initialize()
    def begin(self) -> None:
        self.durable = Durable()
        self.disk = Flush({}, None)
        self.wake()

    def wake(self) -> None:
        self.now: dict[str, Any] = dict(self.disk.entries)
        self.alarm = self.disk.alarm
        self.flushing: Flush | None = None
        self.waiting: Flush | None = None
        self.known_keys: set[str] = set()
        self.known_cells: set[str] = set()
        self.passing: dict[str, bool] = {}
        self.flushing_passing: dict[str, bool] = {}
        self.wiped = self.flushing_wiped = False
        self.reads: list[tuple[Callable[[], Any], Pending[Any], Any, Callable[[], None]]] = []
        self.learns: Callable[[], None] = lambda: None
        self.txn: tuple[TransactionOperations, dict[str, Any]] | None = None
        hooks = StoreHooks(cold=self.cold)
        self.store = LegacyStore(self.durable, hooks=hooks, now_ms=lambda: 1000)
        self.storage = LegacyStorage(self.store, now_ms=lambda: 1000)

    def cold(self, finish: Callable[[], Any], concurrent: bool) -> Pending[Any]:
        pending: Pending[Any] = Pending("cold")
        self.under_way = (finish, pending)
        return pending

    # -- the naive model of the cache ------------------------------------------------

    def knows(self, key: str) -> bool:
        if key in self.passing or key in self.flushing_passing or self.wiped or self.flushing_wiped:
            return True
        return key in self.known_keys or (key not in self.disk.entries and key in self.known_cells)

    def learn_cells(self, bounds: Bounds) -> None:
        self.known_cells |= {point for point in POINTS if point in bounds}
        self.known_keys |= {key for key in self.disk.entries if key in bounds}

    # -- reads -----------------------------------------------------------------------

    def expect(self, pending: Pending[Any], expected: Any, known: bool, learn: Callable[[], None]) -> None:
        assert pending.done == known
        if known:
            assert outcome_of(pending) == expected
        else:
            finish, under_way = self.under_way
            assert under_way is pending
            self.reads.append((finish, pending, expected, learn))

    @rule(key=key_of)
    def get(self, key: str) -> None:
        self.expect(
            self.storage.get(key, "none"), self.now.get(key, "none"), self.knows(key), lambda: self.known_keys.add(key)
        )

    @rule(keys=st.lists(key_of, max_size=3))
    def get_several(self, keys: list[str]) -> None:
        cold = [key for key in keys if not self.knows(key)]
        expected = {key: self.now[key] for key in sorted(set(keys)) if key in self.now}
        self.expect(self.storage.get(keys), expected, not cold, lambda: self.known_keys.update(cold))

    @rule(bounds=bounds_of)
    def list(self, bounds: dict[str, Any]) -> None:
        whole = list_bounds(bounds.get("start"), None, bounds.get("end"), None)
        keys = sorted((key for key in self.now if key in whole), reverse=bounds.get("reverse", False))
        limit = bounds.get("limit")
        looked = whole
        if limit is not None and len(keys) >= limit:
            keys = keys[:limit]
            last = keys[-1]
            looked = Bounds(last, whole.end) if bounds.get("reverse") else Bounds(whole.start, last + "\0")
        overlaid = {**self.flushing_passing, **self.passing}
        known = (
            self.wiped
            or self.flushing_wiped
            or looked.empty
            or (
                all(point in self.known_cells for point in POINTS if point in looked)
                and all(key in self.known_keys or key in overlaid for key in self.disk.entries if key in looked)
            )
        )
        expected = {key: self.now[key] for key in keys}
        self.expect(self.storage.list(**bounds), expected, known, lambda: self.learn_cells(looked))

    @precondition(lambda self: self.reads)
    @rule(nth=st.integers(0, 9))
    def complete(self, nth: int) -> None:
        """ST-7: whatever was written since, the read shows the moment of its call."""
        finish, pending, expected, learn = self.reads.pop(nth % len(self.reads))
        pending.settle(outcome.capture(finish))
        found = outcome_of(pending)
        assert found == expected
        if isinstance(found, dict):
            assert list(found) == list(expected)
        learn()

    # -- writes ----------------------------------------------------------------------

    @rule(entries=st.dictionaries(key_of, value_of, max_size=3), no_cache=st.booleans())
    def put(self, entries: dict[str, Any], no_cache: bool) -> None:
        assert self.storage.put(entries, no_cache=no_cache).done
        self.now.update(entries)
        self.passing.update(dict.fromkeys(entries, no_cache))

    @rule(key=key_of)
    def delete(self, key: str) -> None:
        known = self.knows(key)
        existed = key in self.now
        assert outcome_of(self.storage.delete(key)) == existed
        if existed or not known:
            self.passing[key] = False
        self.now.pop(key, None)

    @rule(when=st.integers(1001, 1004))
    def set_alarm(self, when: int) -> None:
        self.storage.set_alarm(when)
        self.alarm = when

    @rule()
    def delete_all(self) -> None:
        self.storage.delete_all()
        self.now.clear()
        self.alarm = None
        self.passing.clear()
        self.wiped = True

    # -- transactions ------------------------------------------------------------------

    @precondition(lambda self: self.txn is None)
    @rule()
    def begin_transaction(self) -> None:
        self.txn = self.storage.begin_transaction(), {}

    @precondition(lambda self: self.txn is not None)
    @rule(key=key_of, value=value_of)
    def put_in_transaction(self, key: str, value: Any) -> None:
        assert self.txn is not None
        txn, writes = self.txn
        txn.put(key, value)
        writes[key] = (value,)

    @precondition(lambda self: self.txn is not None)
    @rule(key=key_of)
    def get_in_transaction(self, key: str) -> None:
        assert self.txn is not None
        txn, writes = self.txn
        if key in writes:
            assert outcome_of(txn.get(key)) == (writes[key][0] if writes[key] else None)
        else:
            self.expect(txn.get(key), self.now.get(key), self.knows(key), lambda: self.known_keys.add(key))

    @precondition(lambda self: self.txn is not None)
    @rule(key=key_of)
    def delete_in_transaction(self, key: str) -> None:
        assert self.txn is not None
        txn, writes = self.txn
        existed = bool(writes[key]) if key in writes else key in self.now
        known = key in writes or self.knows(key)
        self.expect(txn.delete(key), existed, known, lambda: self.known_keys.add(key))
        writes[key] = ()

    @precondition(lambda self: self.txn is not None)
    @rule()
    def list_in_transaction(self) -> None:
        assert self.txn is not None
        txn, writes = self.txn
        merged = dict(self.now)
        for key, value in writes.items():
            if value:
                merged[key] = value[0]
            else:
                merged.pop(key, None)
        pending = txn.list()
        if pending.done:
            assert outcome_of(pending) == merged
        else:
            self.expect(pending, dict(sorted(merged.items())), False, lambda: self.learn_cells(Bounds()))

    @precondition(lambda self: self.txn is not None)
    @rule(well=st.booleans())
    def end_transaction(self, well: bool) -> None:
        assert self.txn is not None
        (txn, writes), self.txn = self.txn, None
        if not well:
            txn.rollback()
            txn.abandon()
            return
        txn.keep()
        for key, value in writes.items():
            self.passing[key] = False
            if value:
                self.now[key] = value[0]
            else:
                self.now.pop(key, None)

    # -- commits, flushes, ends --------------------------------------------------------

    @rule()
    def end_of_turn(self) -> None:
        number = self.store.commit()
        if number is None:
            return
        assert number == self.durable.number
        self.waiting = Flush(self.now, self.alarm)
        self.start_flush()

    def start_flush(self) -> None:
        number = self.store.next_flush()
        assert (number is not None) == (self.waiting is not None and self.flushing is None)
        if number is not None:
            self.flushing, self.waiting = self.waiting, None
            self.flushing_passing, self.passing = self.passing, {}
            self.flushing_wiped, self.wiped = self.wiped, False

    @precondition(lambda self: self.flushing is not None and not self.store.dirty)
    @rule()
    def flush_ends(self) -> None:
        assert self.flushing is not None
        self.store.flushed(self.durable.log[0].number)
        self.disk, self.flushing = self.flushing, None
        if self.flushing_wiped:
            self.known_keys.clear()
            self.known_cells = set(POINTS)
        for key, passing in self.flushing_passing.items():
            if passing:
                self.known_keys.discard(key)
            else:
                self.known_keys.add(key)
        self.flushing_passing, self.flushing_wiped = {}, False
        self.start_flush()

    @rule(keep=st.integers(0, 2))
    def crash(self, keep: int) -> None:
        """A prefix of the flushes is durable, and each of them as a whole (OG-20, OG-21)."""
        if self.store.dirty:
            keep = min(keep, self.flushing is not None)  # the next flush has no end yet
        self.store.crash(keep)
        for flush in (self.flushing, self.waiting):
            if flush is not None and keep:
                keep -= 1
                self.disk = flush
        self.wake()

    @precondition(lambda self: not self.store.dirty and not self.durable.log)
    @rule()
    def sleep_and_wake(self) -> None:
        self.store.close()
        self.wake()

    @invariant()
    def storage_holds_what_was_written(self) -> None:
        found = {key: self.store.view(key) for key in KEYS}
        assert {key for key, data in found.items() if data is not None} == set(self.now)
        assert dict(self.durable.disk.items() if self.durable.disk else ()).keys() == self.disk.entries.keys()
        assert self.store.alarm_ms == self.alarm


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


def test_a_cache_evicts_the_least_recently_used_and_never_what_is_dirty() -> None:
    """ST-31."""
    store = LegacyStore(Durable(), hooks=StoreHooks(), memory=CacheMemory(250), now_ms=lambda: 0)
    storage = LegacyStorage(store, now_ms=lambda: 0)
    for key in "abcd":
        storage.put(key, "x" * 90)
    assert all(storage.get(key).done for key in "abcd")
    store.commit()
    store.flushed(store.next_flush() or 0)
    assert [store.cache.knows(key) for key in "abcd"] == [False, False, True, True]
    assert store.cache.knows("c")
    store.cache.learn("a")
    assert [store.cache.knows(key) for key in "abcd"] == [True, False, True, False]


def test_after_delete_all_nothing_older_is_seen_while_it_is_flushed() -> None:
    """ST-26, ST-7."""
    store = LegacyStore(Durable(), hooks=StoreHooks(), now_ms=lambda: 0)
    storage = LegacyStorage(store, now_ms=lambda: 0)
    storage.put({"a": 1, "b": 2})
    store.commit()
    store.next_flush()
    storage.delete_all()
    storage.put("b", 3)
    assert outcome_of(storage.list()) == {"b": 3}
    assert outcome_of(storage.get("a")) is None
    store.commit()
    store.settle()
    assert outcome_of(storage.list()) == {"b": 3}
