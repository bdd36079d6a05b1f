"""The SQL API: cursors, bindings, forbidden statements, error texts, limits (ST-15 to ST-24)."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from lumenize_sim.clone import NULL, UNDEFINED, ArrayBuffer, BigInt, JSMap, JSSet
from lumenize_sim.objects.storage import Durable, Limits, Storage, StorageError, StorageResetError, Store, StoreHooks
from lumenize_sim.objects.storage.authorizer import BEGIN_REFUSED
from lumenize_sim.objects.storage.kv import DELETE, GET, PUT


def opened(**options: Any) -> Storage:
    return Storage(Store(Durable(), hooks=StoreHooks(), **options), now_ms=lambda: 1000)


@pytest.fixture
def storage() -> Storage:
    storage = opened()
    storage.sql.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    return storage


def test_cursor_gives_rows_in_every_form(storage: Storage) -> None:
    """ST-16: all forms share one position."""
    storage.sql.exec("INSERT INTO t(v) VALUES ('a'), ('b'), ('c'), ('d')")
    cursor = storage.sql.exec("SELECT * FROM t")
    assert cursor.column_names == ["id", "v"]
    assert cursor.next() == {"id": 1, "v": "a"}
    assert next(cursor.raw()) == [2, "b"]
    assert next(cursor) == {"id": 3, "v": "c"}
    assert cursor.rows_read == 3
    assert cursor.to_array() == [{"id": 4, "v": "d"}]
    assert cursor.next() is None
    assert (cursor.rows_read, cursor.rows_written) == (4, 0)
    assert storage._store.database.reading == {}


def test_raw_rows_are_an_iterator_with_the_same_helpers(storage: Storage) -> None:
    """ST-16: ``raw().toArray()``, and the names of the columns."""
    storage.sql.exec("INSERT INTO t(v) VALUES ('a'), ('b'), ('c')")
    cursor = storage.sql.exec("SELECT * FROM t")
    rows = cursor.raw()
    assert rows.column_names == ["id", "v"]
    assert rows.next() == [1, "a"]
    assert cursor.next() == {"id": 2, "v": "b"}
    assert rows.to_array() == [[3, "c"]]
    assert rows.next() is None


def test_writing_statements_are_done_at_once(storage: Storage) -> None:
    """So that no half-run statement stands in the way of the commit."""
    cursor = storage.sql.exec("INSERT INTO t(v) VALUES ('a'), ('b') RETURNING id")
    assert cursor.rows_written == 2
    storage._store.flushed(storage._store.commit() or 0)
    assert [row["id"] for row in cursor] == [1, 2]
    assert storage.sql.exec("UPDATE t SET v = 1").rows_written == 2
    empty = storage.sql.exec("SELECT v AS x FROM t WHERE 0")
    assert (empty.column_names, empty.to_array()) == (["x"], [])


def test_one_wants_exactly_one_row(storage: Storage) -> None:
    """ST-17."""
    assert storage.sql.exec("SELECT 1 AS one").one() == {"one": 1}
    with pytest.raises(StorageError, match=r"^Expected exactly one result from SQL query, but got no results\.$"):
        storage.sql.exec("SELECT * FROM t").one()
    with pytest.raises(StorageError, match=r"^Expected exactly one result from SQL query, but got multiple results\.$"):
        storage.sql.exec("SELECT 1 UNION SELECT 2").one()


def test_two_columns_of_one_name(storage: Storage) -> None:
    """ST-18: objects keep the last, raw rows keep both."""
    assert storage.sql.exec("SELECT 1 AS a, 2 AS a").one() == {"a": 2}
    assert list(storage.sql.exec("SELECT 1 AS a, 2 AS a").raw()) == [[1, 2]]


def test_several_statements_run_and_the_last_one_counts(storage: Storage) -> None:
    """ST-15."""
    cursor = storage.sql.exec(
        "INSERT INTO t(v) VALUES ('a'); CREATE TABLE u(x);; INSERT INTO u VALUES (';'); -- done;\n "
        "SELECT x, ? AS y FROM u; /* end",
        "bound",
    )
    assert cursor.one() == {"x": ";", "y": "bound"}
    assert storage.sql.exec("SELECT count(*) AS n FROM t").one() == {"n": 1}
    assert storage.sql.exec("SELECT 1 AS a; SELECT 2 AS b; -- end").to_array() == [{"b": 2}]
    with pytest.raises(StorageError, match="only the last statement can have parameters"):
        storage.sql.exec("SELECT ?; SELECT 1", 1)
    with pytest.raises(StorageError, match="no such table: nowhere"):
        storage.sql.exec("INSERT INTO t(v) VALUES ('kept'); SELECT * FROM nowhere")
    assert storage.sql.exec("SELECT count(*) AS n FROM t").one() == {"n": 2}


def test_triggers_are_one_statement(storage: Storage) -> None:
    storage.sql.exec(
        "CREATE TABLE log(x); CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES(1); END; SELECT 1"
    )
    storage.sql.exec("INSERT INTO t(v) VALUES (0)")
    assert storage.sql.exec("SELECT * FROM log").to_array() == [{"x": 1}]


@pytest.mark.parametrize("query", ["", " ", ";", "-- nothing", "/* nothing */"])
def test_text_without_a_statement_is_refused(storage: Storage, query: str) -> None:
    with pytest.raises(StorageError, match=r"^SQL code did not contain a statement\.$"):
        storage.sql.exec(query)


@pytest.mark.parametrize(
    "value, kind, stored",
    [
        (1, "real", 1.0),
        (1.5, "real", 1.5),
        ("a", "text", "a"),
        ("\ud800", "text", "\ufffd"),
        (b"a", "blob", b"a"),
        (bytearray(b"a"), "blob", b"a"),
        (ArrayBuffer(b"a"), "blob", b"a"),
        (None, "null", None),
        (UNDEFINED, "null", None),
        (NULL, "null", None),
        (True, "text", "true"),
        (False, "text", "false"),
        ({"a": 1}, "text", "[object Object]"),
        (JSMap(), "text", "[object Map]"),
        (JSSet(), "text", "[object Set]"),
        ({1}, "text", "[object Set]"),
        ([1, [2.5, None], "x", True, 2.0], "text", "1,2.5,,x,true,2"),
        (
            datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001  # taken as UTC
            "text",
            "Fri Jan 02 2026 03:04:05 GMT+0000 (Coordinated Universal Time)",
        ),
        (
            datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))),
            "text",
            "Fri Jan 02 2026 01:04:05 GMT+0000 (Coordinated Universal Time)",
        ),
        (2**53 + 1, "real", float(2**53)),
    ],
)
def test_bindings_are_converted_as_javascript_values_are(storage: Storage, value: Any, kind: str, stored: Any) -> None:
    """ST-18, Appendix C."""
    row = storage.sql.exec("SELECT typeof(?1) AS kind, ?1 AS value", value).one()
    assert row == {"kind": kind, "value": stored}


def test_text_of_a_subclass_is_bound_as_text(storage: Storage) -> None:
    class Name(str):
        __slots__ = ()

    assert storage.sql.exec("SELECT ? AS x", Name("n")).one() == {"x": "n"}


@pytest.mark.parametrize("value", [BigInt(1), 10**400])
def test_what_no_double_can_be_is_a_type_error(storage: Storage, value: int) -> None:
    with pytest.raises(TypeError):
        storage.sql.exec("SELECT ?", value)


def test_column_affinity_makes_integers_again_and_large_ones_are_rounded(storage: Storage) -> None:
    """ST-18."""
    storage.sql.exec("INSERT INTO t VALUES(?, 9007199254740993)", 7)
    row = storage.sql.exec("SELECT id, typeof(id) AS kind, v FROM t").one()
    assert row == {"id": 7, "kind": "integer", "v": 9007199254740992}
    assert type(row["id"]) is int


@pytest.mark.parametrize("bindings", [(), (1,), (1, 2, 3)])
def test_the_number_of_bindings_has_to_fit(storage: Storage, bindings: tuple[int, ...]) -> None:
    """ST-18."""
    with pytest.raises(StorageError, match=r"^Wrong number of parameter bindings for SQL query\.$"):
        storage.sql.exec("SELECT ?, ?", *bindings)


@pytest.mark.parametrize("query", ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "RELEASE a", "begin immediate"])
def test_transaction_statements_point_to_the_api(storage: Storage, query: str) -> None:
    """ST-21, LT-51."""
    with pytest.raises(StorageError) as error:
        storage.sql.exec(query)
    assert str(error.value) == BEGIN_REFUSED
    assert storage.sql.exec("SELECT 1 AS x").one() == {"x": 1}


@pytest.mark.parametrize(
    "query",
    [
        "ATTACH ':memory:' AS other",
        "DETACH main",
        "CREATE TEMP TABLE x(a)",
        "CREATE TEMP VIEW x AS SELECT 1",
        "CREATE TABLE _cf_x(a)",
        "CREATE TABLE _CF_x(a)",
        "CREATE INDEX _cf_i ON t(v)",
        "CREATE VIEW _Cf_v AS SELECT 1",
        "ALTER TABLE _cf_KV ADD COLUMN x",
        "DROP TABLE _cf_KV",
        "INSERT INTO _cf_KV VALUES('a', 'b')",
        "UPDATE _cf_KV SET value = 1",
        "DELETE FROM _cf_KV",
        "CREATE VIRTUAL TABLE f USING fts3(x)",
        "PRAGMA user_version",
        "PRAGMA user_version = 1",
        "PRAGMA page_size = 512",
        "PRAGMA journal_mode",
        "PRAGMA foreign_keys = 7",
        "PRAGMA table_info(_cf_KV)",
        "PRAGMA writable_schema = 1",
        "SELECT name FROM sqlite_temp_master, _cf_KV",
    ],
)
def test_forbidden_statements(storage: Storage, query: str) -> None:
    """ST-21."""
    storage.kv.put("a", 1)
    with pytest.raises(StorageError, match=r"(^not authorized|is prohibited): SQLITE_AUTH$"):
        storage.sql.exec(query)
    assert storage.kv.get("a") == 1


@pytest.mark.parametrize("query", ["VACUUM", "SELECT load_extension('x')"])
def test_statements_that_reach_out_of_the_database_fail(storage: Storage, query: str) -> None:
    with pytest.raises(StorageError, match=r"authoriz|VACUUM"):
        storage.sql.exec(query)


@pytest.mark.parametrize(
    "query",
    [
        "PRAGMA data_version",
        "PRAGMA page_size",
        "PRAGMA foreign_keys",
        "PRAGMA case_sensitive_like = ON",
        "PRAGMA recursive_triggers = 'true'",
        "PRAGMA table_list",
        "PRAGMA table_info(t)",
        "PRAGMA table_xinfo('t')",
        "PRAGMA index_list(t)",
        "PRAGMA foreign_key_check",
        "PRAGMA quick_check",
        "PRAGMA optimize",
        "SELECT * FROM pragma_table_info('t')",
        "CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES('word'); SELECT * FROM f('word'); DROP TABLE f",
        "CREATE VIRTUAL TABLE r USING rtree(id, a, b); INSERT INTO r VALUES(1, 2, 3); DROP TABLE r",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3) SELECT * FROM n",
        "ALTER TABLE t ADD COLUMN w; ANALYZE; REINDEX t; CREATE VIEW v AS SELECT * FROM t; DROP VIEW v; DROP TABLE t",
        "CREATE INDEX i ON t(v); DROP INDEX i",
        "EXPLAIN SELECT 1",
        "SELECT * FROM json_each('[1]')",
    ],
)
def test_allowed_statements(storage: Storage, query: str) -> None:
    """ST-21."""
    storage.sql.exec(query).to_array()
    storage._store.commit()


def test_the_hidden_table_does_not_exist_and_then_is_prohibited(storage: Storage) -> None:
    """ST-22."""
    with pytest.raises(StorageError, match=r"^no such table: _cf_KV: SQLITE_ERROR$"):
        storage.sql.exec("SELECT * FROM _cf_KV")
    storage.kv.put("a", 1)
    with pytest.raises(StorageError, match=r"^access to _cf_KV\.key is prohibited: SQLITE_AUTH$"):
        storage.sql.exec("SELECT * FROM _cf_KV")


@pytest.mark.parametrize("query", [GET, PUT, DELETE])
def test_the_stores_own_statements_are_not_served_to_user_sql(storage: Storage, query: str) -> None:
    """A statement is authorised when prepared: a shared statement cache would hand over the prepared one."""
    storage.kv.put("a", 1)
    storage.kv.get("a")
    storage.kv.delete("a")
    with pytest.raises(StorageError, match="SQLITE_AUTH"):
        storage.sql.exec(query, *["a"] * query.count("?"))


@pytest.mark.parametrize(
    "query, message",
    [
        ("SELEC 1", 'near "SELEC": syntax error at offset 0: SQLITE_ERROR'),
        ("SELECT * FROM nowhere", "no such table: nowhere: SQLITE_ERROR"),
        (
            "INSERT INTO t VALUES(1, 0), (1, 0)",
            "UNIQUE constraint failed: t.id: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_PRIMARYKEY)",
        ),
    ],
)
def test_error_texts(storage: Storage, query: str, message: str) -> None:
    """ST-22: SQLite's message, the offset where known, the code, the extended code where there is one."""
    storage.kv.put("a", 1)
    with pytest.raises(StorageError) as error:
        storage.sql.exec(query)
    assert str(error.value) == message
    assert not isinstance(error.value, StorageResetError)
    assert storage.kv.get("a") == 1


@pytest.mark.parametrize(
    "query, message",
    [
        ("SELECT '" + "x" * 100_000 + "'", "SQLITE_TOOBIG"),
        ("CREATE TABLE wide(" + ", ".join(f"c{number}" for number in range(101)) + ")", "too many columns"),
        ("SELECT " + ", ".join("?" * 101), "too many SQL variables"),
        ("SELECT 'a' LIKE '" + "x" * 51 + "'", "LIKE or GLOB pattern too complex"),
        ("SELECT max(" + ", ".join("1" * 33) + ")", "too many arguments on function max"),
        ("SELECT zeroblob(3000000)", "string or blob too big: SQLITE_TOOBIG"),
        (" UNION ".join(["SELECT 1"] * 6), "too many terms in compound SELECT"),
    ],
)
def test_limits(storage: Storage, query: str, message: str) -> None:
    """ST-23."""
    with pytest.raises(StorageError, match=message):
        storage.sql.exec(query)


def test_a_lone_surrogate_in_sql_text_is_refused(storage: Storage) -> None:
    with pytest.raises(StorageError, match="lone surrogate"):
        storage.sql.exec("SELECT '\ud800'")


def test_a_cursor_goes_on_across_writes_and_commits(storage: Storage) -> None:
    """ST-19, LT-49."""
    storage.sql.exec("INSERT INTO t(v) VALUES (1), (2), (3)")
    cursor = storage.sql.exec("SELECT id FROM t")
    assert next(cursor) == {"id": 1}
    storage.sql.exec("INSERT INTO t(v) VALUES (4)")
    store = storage._store
    store.flushed(store.commit() or 0)
    assert len(cursor.to_array()) in (2, 3)


def test_an_abandoned_cursor_does_not_keep_the_connection(storage: Storage) -> None:
    storage.sql.exec("INSERT INTO t(v) VALUES (1), (2), (3)")
    store = storage._store
    store.flushed(store.commit() or 0)
    cursor = storage.sql.exec("SELECT * FROM t")
    assert not store.release()
    del cursor
    assert store.release()


def test_settings_of_a_connection_keep_it_and_row_ids_outlive_it(storage: Storage) -> None:
    """What a reopened connection would not know is either taken over or prevents the exchange."""
    storage.sql.exec("INSERT INTO t VALUES (41, 0)")
    store = storage._store
    store.flushed(store.commit() or 0)
    assert store.release()
    assert storage.sql.exec("SELECT last_insert_rowid() AS id").one() == {"id": 41}
    storage.sql.exec("PRAGMA case_sensitive_like = 1")
    assert not store.release()


def test_plans_are_forgotten_when_the_schema_changes(storage: Storage) -> None:
    assert storage.sql.exec("SELECT * FROM t").column_names == ["id", "v"]
    storage.sql.exec("ALTER TABLE t ADD COLUMN w")
    assert storage.sql.exec("SELECT * FROM t").column_names == ["id", "v", "w"]
    for number in range(300):
        storage.sql.exec(f"SELECT {number}")
    assert len(storage._store.connect().plans) <= 256


def test_database_size_grows_and_shrinks(storage: Storage) -> None:
    """ST-24: pages that are free do not count."""
    before = storage.sql.database_size
    storage.sql.exec("INSERT INTO t(v) VALUES (zeroblob(100000))")
    assert storage.sql.database_size >= before + 90_000
    storage.sql.exec("DELETE FROM t")
    assert storage.sql.database_size == before


def test_time_and_chance_in_sql_are_those_of_the_object() -> None:
    """A run has to be the same each time: SQLite's clock and generator are not."""

    def run() -> list[Any]:
        sql = opened(now_ms=lambda: 1_700_000_000_123, generator=random.Random(3)).sql
        row = sql.exec("SELECT datetime('now') AS d, random() AS r, hex(randomblob(4)) AS b, CURRENT_DATE AS c").one()
        return list(row.values())

    first = run()
    assert first == run()
    assert first[0] == "2023-11-14 22:13:20"
    assert first[3] == "2023-11-14"
    assert opened().sql.exec("SELECT CURRENT_DATE AS c").one()["c"] != first[3]


def test_a_clause_that_rolls_everything_back_resets_but_keeps_earlier_commits(storage: Storage) -> None:
    """OG-32: SQLite throws the transaction away by itself; commits of earlier turns are not in it."""
    store = storage._store
    storage.kv.put("a", 1)
    storage.sql.exec("INSERT INTO t VALUES (1, 0)")
    first = store.commit()
    storage.kv.put("b", 2)
    store.commit()
    with pytest.raises(StorageResetError):
        storage.sql.exec("INSERT OR ROLLBACK INTO t VALUES (2, 0), (1, 0)")
    with pytest.raises(StorageResetError, match="UNIQUE"):
        storage.kv.get("a")
    assert first == 1
    store.crash(2)
    again = Storage(Store(store.durable, hooks=StoreHooks()), now_ms=lambda: 0)
    assert dict(again.kv.list()) == {"a": 1, "b": 2}
    assert [row["id"] for row in again.sql.exec("SELECT id FROM t")] == [1]


def test_a_rollback_clause_in_the_schema_is_known_after_reopening() -> None:
    storage = opened()
    storage.sql.exec("CREATE TABLE u(x UNIQUE ON CONFLICT ROLLBACK)")
    store = storage._store
    store.flushed(store.commit() or 0)
    store.close()
    store = Store(store.durable, hooks=StoreHooks())
    storage = Storage(store, now_ms=lambda: 0)
    storage.sql.exec("INSERT INTO u VALUES (1)")
    store.commit()
    with pytest.raises(StorageResetError):
        storage.transaction_sync(lambda: storage.sql.exec("INSERT INTO u VALUES (1)"))
    store.crash(0)
    again = Storage(Store(store.durable, hooks=StoreHooks()), now_ms=lambda: 0)
    assert again.sql.exec("SELECT * FROM u").to_array() == []


def test_a_critical_error_that_the_callback_hides_is_told_by_the_transaction() -> None:
    """OG-32."""
    storage = opened()
    storage.sql.exec("CREATE TABLE u(x UNIQUE ON CONFLICT ROLLBACK); INSERT INTO u VALUES (1)")
    storage._store.commit()

    def hiding() -> None:
        with pytest.raises(StorageResetError):
            storage.sql.exec("INSERT INTO u VALUES (1)")

    with pytest.raises(StorageError, match=r"^Cannot commit transaction due to an earlier SQL critical error$"):
        storage.transaction_sync(hiding)


def test_violated_foreign_keys_reset_at_the_local_commit() -> None:
    """OG-31: though SQLite's own commit comes later."""
    storage = opened()
    store = storage._store
    storage.sql.exec("CREATE TABLE p(x PRIMARY KEY); CREATE TABLE c(x REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
    store.commit()
    storage.sql.exec("INSERT INTO c VALUES ('orphan')")
    with pytest.raises(StorageResetError, match="violated: FOREIGN KEY constraint failed: SQLITE_CONSTRAINT"):
        store.commit()
    store.crash(1)
    again = Storage(Store(store.durable, hooks=StoreHooks()), now_ms=lambda: 0)
    assert again.sql.exec("SELECT * FROM c").to_array() == []


def test_deferring_foreign_keys_ends_with_the_turn_and_switching_them_works_between_turns() -> None:
    """Both depend on SQLite's transaction, which may still be open when the application's has ended."""
    storage = opened()
    store = storage._store
    storage.sql.exec("CREATE TABLE p(x PRIMARY KEY); CREATE TABLE c(x REFERENCES p)")
    storage.sql.exec("PRAGMA defer_foreign_keys = ON")
    storage.sql.exec("INSERT INTO c VALUES ('a'); INSERT INTO p VALUES ('a')")
    store.commit()
    with pytest.raises(StorageError, match="FOREIGN KEY"):
        storage.sql.exec("INSERT INTO c VALUES ('b')")
    store.commit()
    storage.sql.exec("PRAGMA foreign_keys = OFF")
    storage.sql.exec("INSERT INTO c VALUES ('b')")
    assert store.commit() is not None
    storage.sql.exec("PRAGMA foreign_keys = yes")
    with pytest.raises(StorageError, match="FOREIGN KEY"):
        storage.sql.exec("INSERT INTO c VALUES ('c')")


# ---------------------------------------------------------------------- what it costs, and how much fits


@pytest.mark.parametrize(
    "query, read, written",
    [
        ("SELECT * FROM n", 100, 0),
        ("SELECT * FROM n WHERE v = 5", 100, 0),
        ("SELECT COUNT(*) FROM n", 100, 0),
        ("SELECT * FROM n WHERE id = 5", 1, 0),
        ("SELECT * FROM n WHERE k = 3", 10, 0),
        ("SELECT * FROM n LIMIT 4", 4, 0),
        ("SELECT * FROM n ORDER BY v DESC LIMIT 4", 100, 0),
        ("SELECT a.id FROM n AS a WHERE a.v > 3", 100, 0),
        ("INSERT INTO n VALUES (1000, 1, 1), (1001, 1, 1)", 0, 4),
        ("UPDATE n SET v = 1 WHERE id < 5", 0, 5),
        ("UPDATE n SET k = 1 WHERE id < 5", 0, 10),
        ("UPDATE n SET v = v + 1", 100, 100),
        ("DELETE FROM n WHERE id IN (1, 2)", 0, 4),
    ],
)
def test_rows_read_and_written(query: str, read: int, written: int) -> None:
    """BL-7: a scan counts with all it walks, a change with every index that follows; both are estimates."""
    counts: dict[str, int] = {}
    storage = opened()
    storage.sql.exec("CREATE TABLE n(id INTEGER PRIMARY KEY, k, v); CREATE INDEX nk ON n(k)")
    for number in range(100):
        storage.sql.exec("INSERT INTO n VALUES (?, ?, ?)", number, number % 10, number)

    def usage(kind: str, amount: int) -> None:
        counts[kind] = counts.get(kind, 0) + amount

    storage._store.hooks.usage = usage
    cursor = storage.sql.exec(query)
    rows = cursor.to_array()
    assert (cursor.rows_read, cursor.rows_written) == (read, written), rows
    assert (counts.get("rows-read", 0), counts.get("rows-written", 0)) == (read, written)


def test_entries_count_as_rows() -> None:
    """BL-7, ST-25: key-value operations are rows of the hidden table; a new alarm is one more."""
    counts: list[tuple[str, int]] = []
    storage = opened()
    storage._store.hooks.usage = lambda kind, amount: counts.append((kind, amount))
    storage.kv.put("a", 1)
    storage.put({"b": 2, "c": 3})
    storage.kv.get("a")
    storage.kv.get("nothing")
    storage.get(["a", "b"])
    list(storage.kv.list())
    storage.list()
    storage.delete(["a", "nothing"])
    storage.set_alarm(5000)
    storage.set_alarm(5000)
    assert counts == [
        *[("rows-written", 1)] * 3,
        *[("rows-read", 1)] * 4,
        *[("rows-read", 1)] * 3,
        ("rows-read", 3),
        *[("rows-written", 1)] * 2,
    ]


def test_a_prepared_statement_closes_the_cursor_before(storage: Storage) -> None:
    """ST-20; a second ``exec`` of the same text has a statement of its own."""
    storage.sql.exec("INSERT INTO t(v) VALUES (1), (2), (3)")
    first, second = (storage.sql.exec("SELECT v FROM t") for _ in range(2))
    assert [next(first)["v"], next(second)["v"], next(first)["v"]] == [1, 1, 2]
    above = storage.sql.prepare("SELECT v FROM t WHERE v > ?")
    one = above(0)
    assert next(one) == {"v": 1}
    assert [row["v"] for row in above(1)] == [2, 3]
    with pytest.raises(StorageError, match=r"^SQL cursor was closed because the same statement was executed again\."):
        next(one)
    del first, second
    assert storage._store.database.reading == {}


def test_a_full_database_breaks_the_store_and_keeps_earlier_commits() -> None:
    """OG-32, section 4.4: here of 20 pages.  SQLite rolls the turn back by itself; commits before it are not in it."""
    storage = opened(limits=Limits(object_bytes=20 * 4096))
    store = storage._store
    storage.kv.put("a", 1)
    store.commit()
    storage.kv.put("b", 2)
    with pytest.raises(StorageResetError, match=r"^database or disk is full: SQLITE_FULL$"):
        storage.kv.put("c", "x" * 100_000)
    with pytest.raises(StorageResetError, match="SQLITE_FULL"):
        storage.kv.get("a")
    assert store.dirty  # so that the machine hears of it at the end of the turn
    with pytest.raises(StorageResetError, match="SQLITE_FULL"):
        store.commit()
    store.crash(1)
    assert dict(Storage(Store(store.durable, hooks=StoreHooks()), now_ms=lambda: 0).kv.list()) == {"a": 1}


def test_the_first_sql_may_run_while_entries_are_read() -> None:
    """ST-13, ST-15: with the generator of a simulated object too; SQLite takes no functions while somebody reads."""
    store = Store(Durable(), hooks=StoreHooks(), generator=random.Random(0))
    storage = Storage(store, now_ms=lambda: 1000)
    storage.put({"a": 1, "b": 2})
    entries = storage.kv.list()
    assert next(entries) == ("a", 1)
    assert storage.sql.exec("SELECT typeof(random()) AS kind").one() == {"kind": "integer"}
    assert next(entries) == ("b", 2)
