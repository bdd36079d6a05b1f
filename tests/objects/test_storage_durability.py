"""Commits, flushes, crashes and closes, against a dictionary and a log (OG-15 to OG-20)."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lumenize_sim.objects.storage import (
    ConnectionPool,
    Durable,
    Storage,
    Store,
    StoreHooks,
    TransactionOperations,
)

KEYS = st.sampled_from(["", "a", "b", "é", "\ufffd", "\U0001f600"])
VALUES = st.one_of(st.integers(-5, 300), st.none(), st.booleans(), st.text(max_size=3), st.floats(allow_nan=False))
# A whole transaction as a tree: writes, and nested transactions that end well or badly.
WRITE = st.one_of(
    st.tuples(st.just("put"), KEYS, VALUES),
    st.tuples(st.just("delete"), KEYS, st.none()),
    st.tuples(st.just("row"), st.integers(0, 5), VALUES.filter(lambda value: isinstance(value, (str, type(None))))),
    st.tuples(st.just("alarm"), st.one_of(st.none(), st.integers(1001, 1005)), st.none()),
)
TREE = st.recursive(WRITE, lambda inner: st.tuples(st.booleans(), st.lists(inner, max_size=4)), max_leaves=8)


class Rollback(Exception):
    pass


class State:
    """What the oracle believes a database to hold."""

    def __init__(self, other: State | None = None) -> None:
        self.entries: dict[str, Any] = dict(other.entries) if other else {}
        self.rows: dict[int, Any] = dict(other.rows) if other else {}
        self.table: bool = other.table if other else False
        self.alarm: int | None = other.alarm if other else None

    def seen(self) -> tuple[Any, ...]:
        return self.entries, self.rows, self.table, self.alarm


def look(storage: Storage) -> tuple[Any, ...]:
    table = bool(storage.sql.exec("SELECT 1 FROM sqlite_master WHERE name='t'").to_array())
    rows = {row["id"]: row["v"] for row in storage.sql.exec("SELECT * FROM t")} if table else {}
    return dict(storage.kv.list()), rows, table, storage._store.get_alarm()


class Lives(RuleBasedStateMachine):
    """One object through many incarnations; ``depth`` is small so that lagging flushes are met as well."""

    @initialize(depth=st.integers(0, 3), pooled=st.booleans())
    def begin(self, depth: int, pooled: bool) -> None:
        self.durable = Durable()
        self.depth = depth
        self.pool = ConnectionPool(1) if pooled else None
        self.other = Store(Durable(), hooks=StoreHooks(), pool=self.pool)
        self.log: list[tuple[int, State]] = []
        self.flushed_state = State()
        self.now = State()
        self.dirty = False
        self.txn: tuple[TransactionOperations, State] | None = None
        self.states: dict[int, State] = {}
        self.wake()

    def wake(self) -> None:
        self.store = Store(self.durable, hooks=StoreHooks(), pool=self.pool, depth=self.depth)
        self.storage = Storage(self.store, now_ms=lambda: 1000)

    def apply(self, tree: Any) -> None:
        if isinstance(tree[0], bool):
            self.nested(*tree)
            return
        kind, key, value = tree
        storage, now = self.storage, self.now
        if kind == "put":
            storage.kv.put(key, value)
            now.entries[key] = value
        elif kind == "delete":
            assert storage.kv.delete(key) == (key in now.entries)
            now.entries.pop(key, None)
        elif kind == "row":
            storage.sql.exec("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v)")
            storage.sql.exec("INSERT OR REPLACE INTO t VALUES(?, ?)", key, value)
            now.table = True
            now.rows[key] = value
        elif key is None:
            storage.delete_alarm()
            now.alarm = None
        else:
            storage.set_alarm(key)
            now.alarm = key

    def nested(self, well: bool, trees: list[Any]) -> None:
        before = State(self.now)

        def body() -> None:
            for tree in trees:
                self.apply(tree)
            if not well:
                raise Rollback

        try:
            self.storage.transaction_sync(body)
        except Rollback:
            self.now = before

    @rule(tree=TREE)
    def write(self, tree: Any) -> None:
        self.apply(tree)

    @rule(entries=st.dictionaries(KEYS, VALUES, max_size=3))
    def put_many(self, entries: dict[str, Any]) -> None:
        self.storage.put(entries)
        self.now.entries.update(entries)

    @precondition(lambda self: self.txn is None)
    @rule()
    def end_of_turn(self) -> None:
        number = self.store.commit()
        if number is not None:
            assert number == self.durable.number
            self.log.append((number, State(self.now)))
            self.states[number] = State(self.now)
        assert not self.store.dirty

    @rule(count=st.integers(0, 3))
    def flush(self, count: int) -> None:
        done = self.log[:count]
        del self.log[:count]
        if done:
            number, self.flushed_state = done[-1]
            self.store.flushed(number)
        assert self.store.unflushed == len(self.log)

    @precondition(lambda self: self.txn is None)
    @rule()
    def delete_all(self) -> None:
        self.storage.delete_all()
        self.now = State()

    @precondition(lambda self: self.txn is None and not self.store.dirty)
    @rule()
    def begin_transaction(self) -> None:
        self.txn = self.storage.begin_transaction(), State(self.now)

    @precondition(lambda self: self.txn is not None)
    @rule(well=st.booleans())
    def end_transaction(self, well: bool) -> None:
        assert self.txn is not None
        txn, before = self.txn
        self.txn = None
        if well:
            number = txn.finish()
            if number is not None:
                self.log.append((number, State(self.now)))
                self.states[number] = State(self.now)
        else:
            txn.rollback()
            txn.abandon()
            self.now = before
            self.end_of_turn()

    @rule(keep=st.integers(0, 3))
    def crash(self, keep: int) -> None:
        self.store.crash(keep)
        if self.log[:keep]:
            self.flushed_state = self.log[:keep][-1][1]
        self.log.clear()
        self.txn = None
        self.now = State(self.flushed_state)
        self.wake()

    @rule()
    def remember(self) -> None:
        """ST-30: at any time, also while commits wait for their flush, and with a turn half done."""
        begins = self.durable.history is None
        history = self.store.remember()
        if begins and len(history):
            self.states.setdefault(history.latest.number, State(self.flushed_state))

    @precondition(lambda self: self.durable.history)
    @rule(nth=st.integers(0, 20))
    def go_back(self, nth: int) -> None:
        """ST-30: every moment of the history is a state that was durable once, and can be had again."""
        assert self.durable.history is not None
        moments = self.durable.history._moments
        moment = moments[nth % len(moments)]
        self.durable.restoring = moment
        self.store.crash(0)
        self.log.clear()
        self.txn = None
        self.flushed_state = self.states[self.durable.number] = State(self.states[moment.number])
        self.now = State(self.flushed_state)
        self.wake()

    @precondition(lambda self: not self.store.dirty and not self.log and self.txn is None)
    @rule()
    def sleep_and_wake(self) -> None:
        self.store.close()
        self.wake()

    @precondition(lambda self: self.pool is not None)
    @rule()
    def somebody_else_connects(self) -> None:
        self.other.release()
        self.other.connect()

    @invariant()
    def reads_see_what_was_written(self) -> None:
        assert look(self.storage) == self.now.seen()


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=250, stateful_step_count=30, deadline=None)
