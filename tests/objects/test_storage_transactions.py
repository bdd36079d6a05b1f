"""Transactions, confirmation, delete_all, alarms, connections (OG-15 to OG-32, ST-26 to ST-30, AL-1 to AL-7)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import pytest

from lumenize_sim.errors import SimulatorError
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.storage import (
    ConnectionPool,
    Durable,
    Storage,
    StorageError,
    StorageResetError,
    Store,
    StoreHooks,
)
from lumenize_sim.objects.storage.connection import Connection


def got(pending: Pending[Any]) -> Any:
    """The outcome of what is settled already (IG-10)."""
    assert pending.done
    try:
        pending.__await__().send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it would have waited")


def reopened(durable: Durable, **options: Any) -> Storage:
    return Storage(Store(durable, hooks=StoreHooks()), now_ms=lambda: 1000, **options)


@pytest.fixture
def storage() -> Storage:
    return reopened(Durable())


class Failure(Exception):
    pass


def fail(*acts: Any) -> None:
    raise Failure


def test_writes_of_a_turn_are_one_commit_after_an_exception_too(storage: Storage) -> None:
    """OG-15, OG-16, OG-18, LT-34, LT-37."""
    store = storage._store
    storage.put("a", 1)
    got(storage.put("b", 2))
    storage.sql.exec("CREATE TABLE t(x)")
    with pytest.raises(Failure):
        fail(storage.kv.put("c", 3))
    assert store.dirty
    assert store.commit() == 1
    assert store.commit() is None
    assert [commit.number for commit in store.durable.log] == [1]
    store.crash(0)
    assert got(reopened(store.durable).list()) == {}


def test_a_crash_leaves_a_prefix_of_the_commits() -> None:
    """OG-20, LT-35."""
    for keep, expected in ((0, []), (1, ["a"]), (2, ["a", "b"]), (9, ["a", "b"])):
        storage = reopened(Durable())
        for key in ("a", "b"):
            storage.kv.put(key, 1)
            storage._store.commit()
        storage.kv.put("open", 1)
        storage._store.crash(keep)
        assert [key for key, _ in reopened(storage._store.durable).kv.list()] == expected


def test_nothing_is_serialised_while_flushes_follow_their_commits(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The point of holding SQLite's COMMIT back until the flush."""
    images: list[int] = []
    original = Connection.image
    monkeypatch.setattr(Connection, "image", lambda self: (images.append(1), original(self))[1])
    store = storage._store
    for number in range(100):
        storage.kv.put("n", number)
        store.commit()
        if number % 3 == 0:  # some flushes come only after later turns
            store.flushed(store.durable.number)
    assert images == []
    store.flushed(store.durable.number)
    store.close()
    assert images == [1]


def test_flushes_that_lag_behind_do_not_pile_up_savepoints() -> None:
    """SQLite walks all of them for every page it changes."""
    store = Store(Durable(), hooks=StoreHooks(), depth=4)
    storage = Storage(store, now_ms=lambda: 1000)
    for number in range(50):
        storage.kv.put("n", number)
        store.commit()
        store.flushed(number - 1)  # always two commits behind
        assert len(store._commits._held) <= 6  # a few more, until those before have images
        assert store.unflushed <= 2
    store.flushed(store.durable.number)
    assert not store._commits._lagging
    storage.kv.put("n", -1)
    store.commit()
    assert store.durable.log[0].image is None
    store.crash()
    assert reopened(store.durable).kv.get("n") == 49


def test_the_machine_hears_of_the_first_write_of_each_turn() -> None:
    seen: list[str] = []
    store = Store(Durable(), hooks=StoreHooks(on_write=lambda: seen.append("write")))
    storage = Storage(store, now_ms=lambda: 1000)
    storage.kv.get("a")
    assert seen == []
    storage.kv.put("a", 1)
    storage.kv.put("b", 1)
    assert seen == ["write"]
    store.commit()
    storage.set_alarm(5000)
    assert seen == ["write", "write"]


@pytest.mark.parametrize(
    "writes, confirmed",
    [
        ([lambda s: s.put("a", 1, allow_unconfirmed=True)], False),
        ([lambda s: s.put("a", 1)], True),
        ([lambda s: s.put("a", 1, allow_unconfirmed=True), lambda s: s.kv.put("b", 1)], True),
        ([lambda s: s.put({"a": 1}, allow_unconfirmed=True)], False),
        ([lambda s: s.delete("z", allow_unconfirmed=True)], False),
        ([lambda s: s.delete(["z"])], True),
        ([lambda s: s.set_alarm(5000, allow_unconfirmed=True)], False),
        ([lambda s: s.set_alarm(5000, allow_unconfirmed=True), lambda s: s.delete_alarm()], True),
        ([lambda s: s.delete_all(allow_unconfirmed=True)], True),
        ([lambda s: s.sql.exec("CREATE TABLE t(x)")], True),
        ([lambda s: s.put("a", 1), lambda s: s.put("b", 1, allow_unconfirmed=True)], True),
    ],
)
def test_a_commit_is_unconfirmed_only_if_all_its_writes_are(
    storage: Storage, writes: list[Any], confirmed: bool
) -> None:
    """OG-23, OG-24."""
    store = storage._store
    storage.kv.put("z", 1)
    store.flushed(store.commit() or 0)
    for write in writes:
        write(storage)
    assert store.confirmed is confirmed
    store.commit()
    assert store.durable.log[-1].confirmed is confirmed
    assert not store.confirmed


def test_transaction_sync_rolls_back_what_it_wrote_and_rethrows(storage: Storage) -> None:
    """OG-27, LT-38, the recorded ``tx-sync-throw``."""
    memory = []
    storage.sql.exec("CREATE TABLE t(x)")
    storage.kv.put("a", "old")

    def body() -> None:
        storage.kv.put("a", "new")
        storage.sql.exec("INSERT INTO t VALUES (1)")
        storage.set_alarm(5000)
        memory.append(1)
        raise Failure

    with pytest.raises(Failure):
        storage.transaction_sync(body)
    storage.kv.put("b", 1)
    assert dict(storage.kv.list()) == {"a": "old", "b": 1}
    assert storage.sql.exec("SELECT * FROM t").to_array() == []
    assert got(storage.get_alarm()) is None
    assert memory == [1]
    assert storage.transaction_sync(lambda: 5) == 5


def test_an_async_callback_of_transaction_sync_is_just_returned(storage: Storage) -> None:
    """OG-27: its body is not part of the transaction."""

    async def body() -> None:
        raise Failure

    coroutine = storage.transaction_sync(body)
    coroutine.close()
    assert not storage._store.in_transaction


def test_a_transaction_without_writes_is_no_commit(storage: Storage) -> None:
    storage.transaction_sync(lambda: storage.kv.get("a"))
    assert storage._store.commit() is None


def test_an_explicit_transaction_spans_turns_and_commits_at_its_end(storage: Storage) -> None:
    """OG-25, OG-28: the gate is not locked before."""
    store = storage._store
    txn = storage.begin_transaction()
    got(txn.put("a", 1))
    assert store.commit() is None
    storage.kv.put("b", 2)
    assert (store.dirty, store.confirmed) == (True, False)
    assert txn.finish() == 1
    assert store.durable.log[-1].confirmed
    assert got(storage.list()) == {"a": 1, "b": 2}


def test_an_explicit_transaction_that_raised_leaves_nothing(storage: Storage) -> None:
    """OG-28, LT-39, LT-61; the alarm as well (AL-4)."""
    alarms: list[int | None] = []
    store = storage._store
    storage.set_alarm(3000)
    storage.kv.put("a", 0)
    store.commit()
    store.hooks.on_alarm = alarms.append
    txn = storage.begin_transaction()
    txn.put("a", 1)
    txn.set_alarm(4000)
    txn.delete("a")
    txn.abandon()
    txn.abandon()
    assert txn.finish() is None
    assert got(storage.list()) == {"a": 0}
    assert got(storage.get_alarm()) == 3000
    assert alarms == [4000, 3000]
    assert not store.confirmed


def test_a_rolled_back_transaction_with_only_an_alarm_is_no_commit(storage: Storage) -> None:
    txn = storage.begin_transaction()
    txn.set_alarm(4000)
    txn.abandon()
    assert storage._store.commit() is None


def test_a_rolled_back_transaction_is_no_commit_and_leaves_held_ones_alone(storage: Storage) -> None:
    """OG-25, OG-20: there is nothing to flush, so nothing that can fail; whatever is held and flushed around it."""
    store = storage._store
    durable = store.durable

    def roll_back(key: str) -> None:
        txn = storage.begin_transaction()
        txn.put(key, "gone")
        storage.sql.exec("CREATE TABLE gone (x)")
        if key == "flushed meanwhile":
            store.flushed(2)
        txn.abandon()
        assert (store.commit(), store.dirty) == (None, False)

    roll_back("the very first write")
    for n in (1, 2):
        storage.kv.put(f"k{n}", n)
        assert store.commit() == n
        roll_back(f"after {n}")
    roll_back("flushed meanwhile")
    assert store.release()
    storage.kv.put("k3", 3)
    assert store.commit() == 3
    roll_back("after 3")
    assert got(storage.list()) == {"k1": 1, "k2": 2, "k3": 3}
    store.crash(0)
    assert got(reopened(durable).list()) == {"k1": 1, "k2": 2}


def test_with_a_file_a_rolled_back_transaction_is_no_commit(filed: Durable) -> None:
    """OG-25."""
    storage = reopened(filed)
    storage.kv.put("a", 1)
    storage._store.commit()
    txn = storage.begin_transaction()
    txn.put("a", 2)
    txn.abandon()
    assert storage._store.commit() is None
    storage.kv.put("b", 1)
    assert storage._store.commit() == 2
    storage._store.crash()
    assert got(reopened(filed).list()) == {"a": 1, "b": 1}


def test_a_rolled_back_inner_transaction_does_not_confirm(storage: Storage) -> None:
    """OG-25: rolled back children do not count, committed ones do."""
    for ending, confirmed in (("abandon", False), ("finish", True)):
        outer = storage.begin_transaction()
        outer.put("a", 1, allow_unconfirmed=True)
        inner = storage.begin_transaction()
        inner.put("b", 1)
        assert getattr(inner, ending)() is None
        assert outer.finish() is not None
        assert storage._store.durable.log[-1].confirmed is confirmed


@pytest.mark.parametrize(
    "name, call",
    [
        ("get", lambda txn: txn.get("a")),
        ("put", lambda txn: txn.put("a", 1)),
        ("delete", lambda txn: txn.delete("a")),
        ("list", lambda txn: txn.list()),
        ("getAlarm", lambda txn: txn.get_alarm()),
        ("setAlarm", lambda txn: txn.set_alarm(5000)),
        ("deleteAlarm", lambda txn: txn.delete_alarm()),
    ],
)
def test_a_transaction_that_has_ended_refuses_everything(storage: Storage, name: str, call: Any) -> None:
    """OG-29."""
    txn = storage.begin_transaction()
    txn.put("a", 1)
    txn.rollback()
    with pytest.raises(StorageError) as error:
        got(call(txn))
    assert str(error.value) == f"Cannot {name}() on rolled back transaction"
    txn.rollback()  # again, as nothing is left to discard
    storage._store.commit()
    txn = storage.begin_transaction()
    txn.finish()
    with pytest.raises(StorageError) as error:
        got(call(txn))
    assert str(error.value) == (
        f"Cannot call {name}() on transaction that has already committed: did you move `txn` outside of the closure?"
    )


def test_rolling_back_an_outer_transaction_ends_those_inside(storage: Storage) -> None:
    outer = storage.begin_transaction()
    inner = storage.begin_transaction()
    inner.put("a", 1)

    def body() -> str:
        storage.kv.put("b", 1)
        outer.rollback()
        return "goes on"

    assert storage.transaction_sync(body) == "goes on"
    with pytest.raises(StorageError, match="rolled back"):
        got(inner.get("a"))
    assert got(storage.list()) == {}

    storage._store.commit()
    outer = storage.begin_transaction()

    def failing() -> None:
        outer.rollback()
        raise Failure

    with pytest.raises(Failure):
        storage.transaction_sync(failing)


def test_misuse_by_the_machine_is_told() -> None:
    durable = Durable()
    storage = reopened(durable)
    store = storage._store
    with pytest.raises(SimulatorError, match="second store"):
        Store(durable, hooks=StoreHooks())
    storage.kv.put("a", 1)
    with pytest.raises(SimulatorError, match="explicit transaction began before"):
        storage.begin_transaction()
    with pytest.raises(SimulatorError, match="closed with writes"):
        store.close()
    store.commit()
    with pytest.raises(SimulatorError, match="closed with writes"):
        store.close()
    store.flushed(1)
    outer = storage.begin_transaction()
    storage.begin_transaction()
    with pytest.raises(SimulatorError, match="opposite order"):
        outer.finish()
    with pytest.raises(SimulatorError, match="cannot be reached"):
        store._commits._rewind(77)
    store.crash()
    store.crash()
    store.close()
    with pytest.raises(SimulatorError, match="without a machine"):
        got(reopened(Durable()).transaction(lambda txn: txn))


def test_the_error_of_a_crash_is_what_calls_raise(storage: Storage) -> None:
    """OG-10, OG-13."""
    storage.kv.put("a", 1)
    storage._store.crash(error=Failure("disk"))
    with pytest.raises(Failure, match="disk"):
        storage.kv.put("a", 1)


def test_sync_and_transaction_are_the_machines() -> None:
    marks: list[Any] = []
    hooks = StoreHooks(
        sync=lambda: Pending.of(marks.append("sync")), transaction=lambda fn: Pending.of(marks.append(fn))
    )
    storage = Storage(Store(Durable(), hooks=hooks), now_ms=lambda: 1000)
    got(storage.sync())
    got(storage.transaction(fail))  # type: ignore[arg-type]  # the hook never calls it
    assert marks == ["sync", fail]
    assert got(reopened(Durable()).sync()) is None


def test_a_file_has_no_past(filed: Durable) -> None:
    """ST-30: with a file there is no point-in-time recovery, and bookmarks only count."""
    storage = Storage(Store(filed, hooks=StoreHooks()), now_ms=lambda: 1000)
    assert got(storage.get_current_bookmark()) < got(storage.get_current_bookmark())
    for pending in (storage.get_bookmark_for_time(0), storage.on_next_session_restore_bookmark("x")):
        with pytest.raises(StorageError, match="does not implement point-in-time recovery"):
            got(pending)


# ---------------------------------------------------------------------- delete_all


def test_delete_all_drops_everything_and_the_object_goes_on(storage: Storage) -> None:
    """ST-26, ST-28, LT-48: with foreign keys, virtual tables, views, triggers and counters."""
    store = storage._store
    storage.put("a", 1)
    storage.set_alarm(5000)
    storage.sql.exec(
        'CREATE TABLE p(x PRIMARY KEY); CREATE TABLE "od""d"(x REFERENCES p, id INTEGER PRIMARY KEY AUTOINCREMENT);'
        "CREATE VIEW v AS SELECT * FROM p; CREATE VIRTUAL TABLE f USING fts5(x); CREATE INDEX i ON p(x);"
        "CREATE TRIGGER tr AFTER DELETE ON p BEGIN SELECT 1; END;"
        'INSERT INTO p VALUES (1); INSERT INTO "od""d"(x) VALUES (1); INSERT INTO f VALUES (\'a\'); ANALYZE'
    )
    store.commit()
    storage.kv.put("lost", 1)
    got(storage.delete_all())
    assert got(storage.get_alarm()) is None
    assert dict(storage.kv.list()) == {}
    names = [row["name"] for row in storage.sql.exec("SELECT name FROM sqlite_master")]
    assert [name for name in names if not name.startswith("sqlite_")] == []
    storage.kv.put("b", 2)
    storage.sql.exec("CREATE TABLE p(x)")
    assert store.commit() == 2
    with pytest.raises(StorageError, match="FOREIGN KEY"):  # still enforced
        storage.sql.exec("CREATE TABLE q(x PRIMARY KEY); CREATE TABLE r(x REFERENCES q); INSERT INTO r VALUES (1)")
    store.crash(1)
    again = reopened(store.durable)
    assert dict(again.kv.list()) == {"a": 1}
    assert got(again.get_alarm()) == 5000


def test_delete_all_rolls_back_to_a_held_commit_or_to_nothing(storage: Storage) -> None:
    """ST-26: an open implicit transaction goes first; ST-29: what follows in the turn is committed with it."""
    store = storage._store
    for _ in range(2):  # once in SQLite's first transaction, once upon a held commit
        storage.kv.put("a", 1)
        got(storage.delete_all())
        storage.kv.put("b", 1)
        store.commit()
        assert dict(storage.kv.list()) == {"b": 1}
    got(reopened(Durable()).delete_all())


def test_delete_all_cancels_what_is_being_read(storage: Storage) -> None:
    """ST-26, ST-13, ST-16: tables that are read can be dropped, and whoever reads on hears why there is no more."""
    storage.put({"a": 1, "b": 2})
    storage.sql.exec("CREATE TABLE t(x)")
    storage.sql.exec("INSERT INTO t VALUES (1), (2)")
    entries = storage.kv.list()
    assert next(entries) == ("a", 1)
    begun, untouched = storage.sql.exec("SELECT x FROM t"), storage.sql.exec("SELECT x FROM t")
    assert begun.next() == {"x": 1}
    ended = storage.sql.exec("SELECT x FROM t")
    assert len(ended.to_array()) == 2
    got(storage.delete_all())
    for read_on in (lambda: next(entries), begun.next, untouched.to_array):
        with pytest.raises(StorageError, match="canceled because the database was deleted"):
            read_on()
    assert ended.next() is None
    assert storage._store.database.reading == {}
    storage.sql.exec("CREATE TABLE t(y)")
    assert (dict(storage.kv.list()), storage.sql.exec("SELECT * FROM t").to_array()) == ({}, [])


def test_a_rolled_back_transaction_leaves_cursors_from_before_it_alone(storage: Storage) -> None:
    """ST-19, OG-28."""
    storage.put({"a": 1, "b": 2})
    storage._store.commit()
    storage._store.flushed(1)
    entries = storage.kv.list()
    assert next(entries) == ("a", 1)
    txn = storage.begin_transaction()
    txn.put("c", 3)
    txn.abandon()
    assert list(entries) == [("b", 2)]


def test_delete_all_can_leave_the_alarm() -> None:
    """ST-27: the behaviour before the compatibility flag."""
    storage = reopened(Durable(), delete_all_deletes_alarm=False)
    storage.set_alarm(5000)
    got(storage.delete_all())
    assert got(storage.get_alarm()) == 5000


def test_delete_all_is_refused_within_a_transaction(storage: Storage) -> None:
    """OG-30."""
    txn = storage.begin_transaction()
    with pytest.raises(StorageError, match=r"^Cannot call deleteAll\(\) within a transaction$"):
        got(storage.delete_all())
    txn.abandon()
    with pytest.raises(StorageError, match=r"^Cannot call deleteAll\(\) within a transaction$"):
        storage.transaction_sync(lambda: got(storage.delete_all()))


# ---------------------------------------------------------------------- alarms


def test_the_alarm_time_is_one_and_never_in_the_past(storage: Storage) -> None:
    """AL-1, AL-2, LT-53, LT-54."""
    got(storage.set_alarm(5000))
    got(storage.set_alarm(datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC)))
    assert got(storage.get_alarm()) == 7000
    got(storage.set_alarm(datetime(1970, 1, 1, 0, 0, 6)))  # noqa: DTZ001  # taken as UTC
    assert got(storage.get_alarm()) == 6000
    got(storage.set_alarm(1))
    assert got(storage.get_alarm()) == 1000
    got(storage.delete_alarm())
    assert got(storage.get_alarm()) is None


@pytest.mark.parametrize("when", [0, -1, float("nan"), float("inf"), True, "1"])
def test_impossible_alarm_times_are_type_errors(storage: Storage, when: Any) -> None:
    """AL-2."""
    with pytest.raises(TypeError) as error:
        got(storage.set_alarm(when))
    if when in (0, -1):
        assert str(error.value) == "setAlarm() cannot be called with an alarm time <= 0"
    assert not storage._store.dirty


def test_an_alarm_needs_a_handler(storage: Storage) -> None:
    """AL-3; the machine leaves the check off during the constructor."""
    storage.has_alarm_handler = False
    with pytest.raises(TypeError) as error:
        got(storage.set_alarm(5000))
    assert str(error.value) == "Your Durable Object class must have an alarm() handler in order to call setAlarm()"


def test_setting_the_same_time_again_is_no_write() -> None:
    """AL-7."""
    alarms: list[int | None] = []
    store = Store(Durable(), hooks=StoreHooks(on_alarm=alarms.append))
    storage = Storage(store, now_ms=lambda: 1000)
    storage.set_alarm(5000)
    store.commit()
    storage.set_alarm(5000)
    assert store.commit() is None
    assert alarms == [5000]


def test_an_alarm_alone_is_a_commit_that_needs_no_database(storage: Storage) -> None:
    """AL-4: and is durable, or lost, with its commit."""
    store = storage._store
    storage.set_alarm(5000)
    assert store.commit() == 1
    storage.set_alarm(6000)
    assert store.commit() == 2
    assert store.database.connection is None
    store.flushed(1)
    assert store.durable.alarm_ms == 5000
    store.crash()
    assert got(reopened(store.durable).get_alarm()) == 5000


def test_the_alarm_hides_during_its_handler() -> None:
    """AL-5, AL-17, AL-20, LT-56, LT-57."""
    for change, succeeded, expected in (
        (None, True, None),
        (None, False, 5000),
        (lambda s: s.set_alarm(9000), True, 9000),
        (lambda s: s.set_alarm(5000), True, 5000),
        (lambda s: s.delete_alarm(), False, None),
    ):
        storage = reopened(Durable())
        store = storage._store
        storage.set_alarm(5000)
        store.commit()
        store.arm()
        assert got(storage.get_alarm()) is None
        with pytest.raises(Failure):
            storage.transaction_sync(lambda storage=storage: fail(storage.set_alarm(8000)))
        assert got(storage.get_alarm()) is None
        if change is not None:
            change(storage)
            assert got(storage.get_alarm()) == expected
        store.disarm(succeeded=succeeded)
        assert got(storage.get_alarm()) == expected


# ---------------------------------------------------------------------- connections and files


def test_the_pool_keeps_few_connections_open_and_idle_objects_cost_an_image() -> None:
    pool = ConnectionPool(2)
    storages = [Storage(Store(Durable(), hooks=StoreHooks(), pool=pool), now_ms=lambda: 1000) for _ in range(5)]
    for number, storage in enumerate(storages):
        storage.kv.put("n", number)
    assert len(pool) == 5  # each in the middle of a turn
    for storage in storages:
        storage._store.flushed(storage._store.commit() or 0)
    storages[0].kv.put("m", 1)
    storages[0]._store.flushed(storages[0]._store.commit() or 0)
    storages[0]._store.release()
    storages[0].kv.get("n")
    assert len(pool) == 2
    assert [storage.kv.get("n") for storage in storages] == [0, 1, 2, 3, 4]
    for storage in storages:
        storage._store.close()
        assert storage._store.durable.image is not None
    assert len(pool) == 0


@pytest.fixture
def filed(tmp_path: Path) -> Iterator[Durable]:
    durable = Durable(path=str(tmp_path / "object.sqlite"))
    yield durable
    if durable.opened_by is not None:
        durable.opened_by.crash()


def test_with_a_file_a_commit_is_durable_at_once(filed: Durable) -> None:
    """Live mode: write-ahead log, synchronous=FULL, nothing in memory."""
    pool = ConnectionPool(1)
    store = Store(filed, hooks=StoreHooks(), pool=pool)
    storage = Storage(store, now_ms=lambda: 1000)
    assert storage.kv.get("a") is None
    storage.kv.put("a", 1)
    storage.set_alarm(5000)
    assert store.commit() == 1
    assert (store.unflushed, filed.image) == (0, None)
    pragma = store.connect().db.pragma
    assert (pragma("journal_mode"), pragma("synchronous")) == ("wal", 2)
    assert store.release()
    storage.kv.put("a", 2)
    store.crash(5)
    again = reopened(Durable(path=filed.path))
    assert again.kv.get("a") == 1
    assert got(again.get_alarm()) == 5000
    again.delete_all()
    again._store.commit()
    again._store.close()
    filed.opened_by = None
    last = reopened(filed)
    assert (dict(last.kv.list()), got(last.get_alarm())) == ({}, None)
    last.set_alarm(7000)
    last._store.commit()
    assert last._store.transaction_sync(lambda: last.kv.put("x", 1)) is None
    last._store.crash()
    final = reopened(filed)
    assert (dict(final.kv.list()), got(final.get_alarm())) == ({}, 7000)


def test_a_file_that_cannot_be_written_breaks_the_store(filed: Durable) -> None:
    """OG-10, OG-13; the commit before stands."""
    storage = reopened(filed)
    store = storage._store
    storage.kv.put("a", 1)
    store.commit()
    storage.kv.put("a", 2)

    def full(sql: str) -> Any:
        raise apsw.FullError("database or disk is full")

    store.connect().execute = full
    with pytest.raises(StorageResetError, match="storage write caused object to be reset"):
        store.commit()
    with pytest.raises(StorageResetError):
        storage.kv.get("a")
    store.crash()
    assert reopened(filed).kv.get("a") == 1
