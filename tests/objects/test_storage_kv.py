"""Key-value entries, synchronous and asynchronous (ST-1 to ST-14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim.clone import UNDEFINED, URL, DataCloneError, Headers, RangeError
from lumenize_sim.objects.namespace import Stub
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.storage import Durable, Limits, Storage, StorageError, StorageResetError, Store, StoreHooks
from lumenize_sim.objects.storage.legacy import LegacyStorage, LegacyStore

NO_BOUNDS: dict[str, Any] = {}


def opened(**options: Any) -> Storage:
    return Storage(Store(Durable(), hooks=StoreHooks(), **options), now_ms=lambda: 1000)


def legacy() -> LegacyStorage:
    return LegacyStorage(LegacyStore(Durable(), hooks=StoreHooks(), now_ms=lambda: 1000), now_ms=lambda: 1000)


#: What is said of the asynchronous operations holds on either backend.
either = pytest.mark.parametrize("make", [opened, legacy])


def got(pending: Pending[Any]) -> Any:
    """The outcome of what is settled already (IG-10)."""
    assert pending.done
    try:
        pending.__await__().send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it would have waited")


def test_reading_an_empty_object_opens_no_connection() -> None:
    """A store connects at first use; nothing has to be looked up where nothing was ever written."""
    storage = opened()
    assert storage.kv.get("a") is None
    assert storage.kv.get("a", 7) == 7
    assert not storage.kv.delete("a")
    assert list(storage.kv.list()) == []
    assert got(storage.get(["a"])) == {}
    assert storage._store.database.connection is None
    assert not storage._store.dirty


def test_a_value_is_a_snapshot_and_every_get_is_a_new_copy() -> None:
    """ST-6, LT-45."""
    storage = opened()
    value = {"x": 1}
    storage.kv.put("k", value)
    storage.put("j", value)
    value["x"] = 2
    first = storage.kv.get("k")
    first["x"] = 3
    assert storage.kv.get("k") == {"x": 1}
    assert got(storage.get("j")) == {"x": 1}


@either
def test_stored_none_is_not_a_missing_entry(make: Callable[[], Storage]) -> None:
    storage = make()
    storage.put("n", None)
    assert got(storage.get("n", "default")) is None
    assert got(storage.get(["n", "m"])) == {"n": None}
    assert got(storage.get("m", 5)) == 5


@either
def test_operations_act_when_called_and_not_when_awaited(make: Callable[[], Storage]) -> None:
    storage = make()
    storage.put("a", 1)
    assert got(storage.get("a")) == 1
    read = storage.get("a")
    storage.put("a", 2)
    assert got(read) == 1


@either
def test_delete_tells_whether_and_how_many_existed(make: Callable[[], Storage]) -> None:
    """ST-4; after Appendix C's recorded ``store-list-order``."""
    storage = make()
    storage.put({"a": 1, "b": 2, "c": 3})
    assert got(storage.delete("a")) is True
    assert got(storage.delete("a")) is False
    assert got(storage.delete(["b", "c", "x"])) == 2
    assert got(storage.delete("b")) is False
    assert got(storage.delete([])) == 0


@either
def test_list_is_in_order_of_utf8_and_not_of_utf16(make: Callable[[], Storage]) -> None:
    """ST-10, LT-46."""
    storage = make()
    for key in ["a", "B", "é", "\U0001f600", "\ufffd", ""]:
        storage.put(key, key)
    order = ["", "B", "a", "é", "\ufffd", "\U0001f600"]
    assert list(got(storage.list())) == order
    assert list(got(storage.list(reverse=True, limit=2))) == order[:-3:-1]
    assert list(got(storage.get(order[::-1]))) == order


TEXT = st.text(st.sampled_from("ab\x00\ud7ff\ue000\uffff\U00010000\U0010ffff"), max_size=3)


@given(
    keys=st.lists(TEXT, max_size=12),
    start=st.none() | TEXT,
    after=st.none() | TEXT,
    end=st.none() | TEXT,
    prefix=st.none() | TEXT,
    reverse=st.booleans(),
    limit=st.none() | st.integers(1, 5),
)
@settings(max_examples=300, deadline=None)
def test_list_ranges_agree_with_a_sorted_dictionary(
    keys: list[str],
    start: str | None,
    after: str | None,
    end: str | None,
    prefix: str | None,
    reverse: bool,
    limit: int | None,
) -> None:
    """ST-5: start is the smallest in both directions, prefix and range are intersected."""
    if start is not None:
        after = None
    storage, other = opened(), legacy()
    for number, key in enumerate(keys):
        storage.kv.put(key, number)
        other.put(key, number)
        if number % 3 == 1:  # so that some entries are on the disk, some under way and some not yet
            other._store.commit()
            other._store.settle()
    expected = sorted(
        (
            key
            for key in dict.fromkeys(keys)
            if (start is None or key >= start)
            and (after is None or key > after)
            and (end is None or key < end)
            and key.startswith(prefix or "")
        ),
        key=str.encode,
        reverse=reverse,
    )[:limit]
    bounds: dict[str, Any] = {
        "start": start, "start_after": after, "end": end, "prefix": prefix, "reverse": reverse, "limit": limit
    }  # fmt: skip
    assert [key for key, _ in storage.kv.list(**bounds)] == expected
    assert list(got(storage.list(**bounds))) == expected
    assert list(got(other.list(**bounds))) == expected


@pytest.mark.parametrize(
    "bounds, message",
    [
        ({"start": "a", "start_after": "b"}, "list() cannot be called with both start and startAfter values."),
        ({"limit": 0}, "List limit must be positive."),
        ({"limit": -1}, "List limit must be positive."),
    ],
)
def test_impossible_ranges_are_type_errors(bounds: dict[str, Any], message: str) -> None:
    """ST-5."""
    storage = opened()
    with pytest.raises(TypeError) as sync:
        storage.kv.list(**bounds)
    for one in (storage, legacy()):
        with pytest.raises(TypeError) as later:
            got(one.list(**bounds))
        assert str(sync.value) == str(later.value) == message


def test_a_new_list_invalidates_the_one_before() -> None:
    """ST-13, LT-50."""
    storage = opened()
    storage.put({"a": 1, "b": 2})
    first = storage.kv.list()
    assert next(first) == ("a", 1)
    second = storage.kv.list()
    with pytest.raises(StorageError) as error:
        next(first)
    assert str(error.value) == (
        "kv.list() iterator was invalidated because a new call to kv.list() was started. "
        "Only one kv.list() iterator can exist at a time."
    )
    assert list(second) == [("a", 1), ("b", 2)]
    assert storage._store.database.reading == {}


def test_list_is_lazy_and_goes_on_after_writes_and_commits() -> None:
    """ST-19 holds for both kinds of cursor."""
    storage = opened()
    storage.put({"a": 1, "b": 2, "d": 4})
    rows = storage.kv.list()
    assert next(rows) == ("a", 1)
    storage.kv.put("c", 3)
    storage._store.commit()
    assert list(rows) in ([("b", 2), ("d", 4)], [("b", 2), ("c", 3), ("d", 4)])


def test_dropped_iterators_do_not_hold_the_connection() -> None:
    storage = opened()
    storage.put({"a": 1, "b": 2})
    store = storage._store
    store.flushed(store.commit() or 0)
    rows = storage.kv.list()
    next(rows)
    assert not store.release()
    storage.kv._iterator = None
    del rows
    assert store.release()
    assert storage.kv.get("b") == 2


def test_put_of_undefined_is_refused_skipped_or_stored() -> None:
    """ST-2 and ST-12: three spellings, three behaviours."""
    storage = opened()
    with pytest.raises(TypeError, match=r"^put\(\) called with undefined value\.$"):
        got(storage.put("a", UNDEFINED))
    with pytest.raises(TypeError, match=r"^put\(\) called with undefined value\.$"):
        got(storage.put("a"))
    got(storage.put({"a": UNDEFINED, "b": 1}))
    assert list(got(storage.list())) == ["b"]
    storage.kv.put("u", UNDEFINED)
    assert [key for key, _ in storage.kv.list(prefix="u")] == ["u"]
    assert storage.kv.get("u", "default") is None
    assert got(storage.get("u")) is None
    assert storage.kv.delete("u") is True


def test_put_of_undefined_on_the_legacy_backend() -> None:
    """ST-2."""
    storage = legacy()
    for pending in (storage.put("a", UNDEFINED), storage.put("a")):
        with pytest.raises(TypeError, match=r"^put\(\) called with undefined value\.$"):
            got(pending)
    got(storage.put({"a": UNDEFINED, "b": 1}))
    assert got(storage.list()) == {"b": 1}
    with pytest.raises(DataCloneError):
        got(storage.put({"c": 1, "d": lambda: 1}))
    assert got(storage.list()) == {"b": 1}


def test_put_of_many_stores_all_or_nothing() -> None:
    """ST-3, LT-47; and what was written before in the turn stays."""
    storage = opened()
    storage.kv.put("before", 1)
    with pytest.raises(StorageError, match=r"^string or blob too big: SQLITE_TOOBIG$"):
        got(storage.put({"a": 1, "b": "x" * 2_200_000}))
    with pytest.raises(DataCloneError):
        got(storage.put({"a": 1, "b": lambda: 1}))
    assert got(storage.list()) == {"before": 1}


def test_values_up_to_the_limit_are_stored() -> None:
    """Section 4.4, and the looser limits of the open runtime (Appendix C)."""
    storage = opened()
    storage.kv.put("a", "x" * 2_000_000)
    with pytest.raises(StorageError, match="SQLITE_TOOBIG"):
        storage.kv.put("b", "x" * 2_200_000)
    loose = opened(limits=Limits.workerd())
    loose.kv.put("b", "x" * 2_200_000)
    keys = {str(number): number for number in range(129)}
    assert got(loose.put(keys)) is None
    assert len(got(loose.get(list(keys)))) == 129


@pytest.mark.parametrize("operation", ["get", "put", "delete"])
def test_more_than_128_keys_at_once_are_refused(operation: str) -> None:
    """ST-1, ST-2, ST-4."""
    storage = opened()
    keys = [str(number) for number in range(129)]
    argument: Any = dict.fromkeys(keys, 1) if operation == "put" else keys
    with pytest.raises(RangeError, match=r"^Maximum number of (pairs|keys) is 128\.$"):
        got(getattr(storage, operation)(argument))


def test_keys_have_to_be_text() -> None:
    storage = opened()
    for act in (storage.kv.get, storage.kv.delete, lambda key: storage.kv.put(key, 1)):
        with pytest.raises(TypeError, match="has to be a str, not int: 5"):
            act(5)  # type: ignore[arg-type]  # the mistake under test


def test_a_lone_surrogate_in_a_key_becomes_the_replacement_character() -> None:
    """A JavaScript string without UTF-8 form is converted as the platform does for every text of its API."""
    storage = opened()
    storage.kv.put("x\ud800", 1)
    assert storage.kv.get("x\ufffd") == storage.kv.get("x\ud800") == 1
    assert list(storage.kv.list(start="x\udfff")) == [("x\ufffd", 1)]
    assert storage.kv.delete("x\ud801") is True

    class Key(str):
        __slots__ = ()

    storage.kv.put(Key("sub"), 2)
    assert storage.kv.get(Key("sub")) == 2


def test_accesses_are_reported_only_to_a_tracer() -> None:
    seen: list[tuple[str, str]] = []
    store = Store(Durable(), hooks=StoreHooks(access=lambda kind, key: seen.append((kind, key))))
    storage = Storage(store, now_ms=lambda: 1000)
    storage.kv.put("a", 1)
    storage.kv.get("a")
    storage.kv.delete("b")
    list(storage.kv.list(prefix="a", end="b"))
    storage.sql.exec("CREATE TABLE t(x)")
    storage.sql.exec("SELECT * FROM t")
    assert seen == [
        ("put", "a"),
        ("get", "a"),
        ("delete", "b"),
        ("list", "end='b' prefix='a'"),
        ("sql-write", "CREATE TABLE t(x)"),
        ("sql-read", "SELECT * FROM t"),
    ]


def test_everything_raises_once_the_store_is_gone() -> None:
    """OG-13, LC-39."""
    storage = opened()
    storage.put({"a": 1, "b": 2})
    rows = storage.kv.list()
    cursor = storage.sql.exec("SELECT 1 UNION SELECT 2")
    next(rows), next(cursor)
    storage._store.crash()
    for act in (
        lambda: storage.kv.get("a"),
        lambda: storage.kv.put("a", 1),
        lambda: storage.kv.delete("a"),
        lambda: storage.kv.list(),
        lambda: next(rows),
        lambda: next(cursor),
        lambda: storage.sql.exec("SELECT 1"),
        lambda: storage.sql.database_size,
        lambda: storage.transaction_sync(lambda: 1),
        lambda: got(storage.get("a")),
        lambda: got(storage.put("a", 1)),
        lambda: got(storage.delete_all()),
        lambda: got(storage.get_alarm()),
        lambda: got(storage.set_alarm(5000)),
        lambda: got(storage.sync()),
        lambda: got(storage.transaction(lambda txn: txn)),
    ):
        with pytest.raises(StorageResetError, match=r"^Durable Object storage is no longer accessible\.$"):
            act()


class Thing:
    """A class of the app, neither attrs nor dataclass."""

    def __init__(self) -> None:
        self.a = 1
        self._own = 1


def test_storage_takes_instances_apart_and_refuses_what_belongs_to_the_platform() -> None:
    """ST-6: own fields of an instance; class, message and cause of an error; the platform's words for the others."""
    storage = opened()
    storage.kv.put("k", {"thing": Thing()})
    assert storage.kv.get("k") == {"thing": {"a": 1}}
    failure = ValueError("m")
    failure.cause = "c"  # type: ignore[attr-defined]  # kept
    failure.extra = 1  # type: ignore[attr-defined]  # lost
    storage.kv.put("e", [failure, failure])
    back, again = storage.kv.get("e")
    assert (type(back), str(back), back.cause, hasattr(back, "extra"), back is again) == (
        ValueError, "m", "c", False, True,
    )  # fmt: skip
    for value, name in ((URL("https://example.com/"), "URL"), (Stub(None, "D", None), "DurableObject")):  # type: ignore[arg-type]  # it is refused before anything is asked of it
        text = f'Could not serialize object of type "{name}". This type does not support serialization.'
        for put in (lambda v: storage.kv.put("k", [v]), lambda v: got(storage.put("k", {"v": v}))):
            with pytest.raises(DataCloneError) as caught:
                put(value)
            assert str(caught.value) == text
            assert caught.value.path != "$"


def test_headers_are_stored_and_live_capabilities_are_not() -> None:
    """ST-6, ST-11: headers of a request too; a stub of a function or target only with flags that are not offered."""
    storage = opened()
    storage.kv.put("h", httpx.Headers([("A", "1"), ("a", "2")]))
    assert storage.kv.get("h") == Headers([("A", "1"), ("a", "2")])
    for value in (lambda: None, print, object()):
        with pytest.raises(DataCloneError):
            storage.kv.put("f", value)
    assert storage.kv.get("f") is None


@either
def test_options_that_are_hints_change_nothing(make: Callable[[], Storage]) -> None:
    """ST-8, IG-10: every operation takes them on either backend."""
    storage = make()
    hints: dict[str, Any] = {"allow_concurrency": True, "no_cache": True}
    got(storage.put("a", 1, **hints, allow_unconfirmed=True))
    got(storage.put({"b": 2, "c": 3}, **hints, allow_unconfirmed=True))
    assert got(storage.get("a", **hints)) == 1
    assert got(storage.get(["a", "b"], **hints)) == {"a": 1, "b": 2}
    assert got(storage.list(**hints, reverse=True, limit=2)) == {"c": 3, "b": 2}
    assert got(storage.delete("a", **hints, allow_unconfirmed=True)) is True
    got(storage.set_alarm(5000, allow_concurrency=True, allow_unconfirmed=True))
    assert got(storage.get_alarm(allow_concurrency=True)) == 5000
    got(storage.delete_alarm(allow_concurrency=True, allow_unconfirmed=True))
    got(storage.delete_all(allow_concurrency=True, allow_unconfirmed=True))
    assert got(storage.list()) == {}
