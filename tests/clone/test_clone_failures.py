"""Exceptions as data (SC-19 to SC-30)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from lumenize_sim.clone import (
    UNDEFINED,
    DataCloneError,
    RangeError,
    RemoteError,
    error_message,
    error_name,
    error_registry,
    error_stack,
    parse,
    postprocess,
    preprocess,
    register_error,
    stringify,
    structured_clone,
)
from lumenize_sim.errors import UsageError


@register_error
class QuotaExceeded(Exception):
    def __init__(self, message: str, limit: int = 0) -> None:
        super().__init__(message)
        self.limit = limit


@register_error
class Picky(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")
        self.a = a
        self.b = b


@register_error
class Decorating(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(f"cannot find {key}")


class Disconnected(Exception):
    def __init__(self, message: str = "", client_instance_name: Any = UNDEFINED) -> None:
        super().__init__(message)
        self.client_instance_name = client_instance_name


register_error(Disconnected, "ClientGone", properties={"client_instance_name": "clientInstanceName"})


@register_error
@attrs.define(auto_exc=True)
class Slotted(Exception):
    message: str
    code: int = 0
    _secret: int = 1


def hop(value: Any) -> Any:
    return parse(stringify(value))


def encoded(exc: BaseException) -> dict[str, Any]:
    body: dict[str, Any] = preprocess(exc, stack=False)["json"]
    return body


@pytest.mark.parametrize(
    "exc",
    [ValueError("v"), TypeError("t"), KeyError("k"), NameError("n"), RangeError("r"), OSError("o"),
     QuotaExceeded("q", 3),
     ZeroDivisionError("z"), RecursionError("deep")],
)  # fmt: skip
@pytest.mark.parametrize("boundary", [hop, structured_clone])
def test_known_classes_arrive_as_themselves(exc: Exception, boundary: Any) -> None:
    """SC-27; a KeyError does not gain quotes with every hop."""
    arrived = boundary(boundary(exc))
    assert type(arrived) is type(exc)
    assert str(arrived) == str(exc)
    assert arrived.args == exc.args[:1]
    assert getattr(arrived, "limit", None) == getattr(exc, "limit", None)


def test_an_unregistered_class_keeps_name_message_and_properties() -> None:
    class Unknown(Exception):
        pass

    exc = Unknown("why")
    exc.code = 7  # type: ignore[attr-defined]  # errors take any attribute
    arrived = hop(exc)
    assert isinstance(arrived, RemoteError)
    assert (arrived.name, arrived.message, arrived.code) == ("Unknown", "why", 7)  # type: ignore[attr-defined]  # errors take any attribute
    assert error_name(arrived) == "Unknown"
    with pytest.raises(RemoteError, match="why"):
        raise arrived


def test_names_follow_the_table() -> None:
    assert error_name(Exception("x")) == "Error"
    assert error_name(NameError("x")) == "ReferenceError"
    assert error_name(ExceptionGroup("g", [ValueError("v")])) == "AggregateError"
    assert error_name(RemoteError("m", name="")) == "Error"
    assert type(hop(Exception("x"))) is RemoteError


def test_constructors_get_the_message_only_and_the_message_stays() -> None:
    """SC-30."""
    arrived = hop(Picky(1, 2))
    assert isinstance(arrived, Picky)
    assert (str(arrived), arrived.a, arrived.b) == ("1 and 2", 1, 2)
    assert str(hop(Decorating("x"))) == "cannot find x"


def test_attrs_errors_send_their_public_fields() -> None:
    exc = Slotted("m", 4)
    assert encoded(exc)["code"] == 4
    assert "_secret" not in encoded(exc)
    assert hop(exc).code == 4


def test_registered_spellings_of_properties() -> None:
    exc = Disconnected("gone")
    assert list(encoded(exc)) == ["$type", "name", "message", "clientInstanceName"]
    assert encoded(exc)["clientInstanceName"] == {"$type": "undefined"}
    arrived = hop(Disconnected("gone", "alice.tab1"))
    assert type(arrived) is Disconnected
    assert arrived.client_instance_name == "alice.tab1"


def test_causes_arrive_as_causes() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error
    except ValueError as error:
        outer = error
    for arrived in (hop(outer), structured_clone(outer)):
        assert isinstance(arrived.__cause__, KeyError)
        assert error_message(arrived.__cause__) == "inner"


def test_an_explicit_null_cause_differs_from_none() -> None:
    """SC-20."""
    text = '{"json":{"$type":"error","name":"Error","message":"m","cause":null},"meta":{}}'
    assert stringify(parse(text)) == text
    assert stringify(structured_clone(parse(text))) == text


def test_groups_arrive_with_their_errors() -> None:
    arrived = structured_clone(ExceptionGroup("many", [ValueError("v"), TypeError("t")]))
    assert [type(part) for part in arrived.errors] == [ValueError, TypeError]
    assert [body["name"] for body in encoded(ExceptionGroup("many", [ValueError("v")]))["errors"]] == ["ValueError"]


def test_a_property_that_cannot_be_sent_is_left_out_whole() -> None:
    """SC-21: also what was shared inside it, which must leave no dangling reference."""
    exc = ValueError("v")
    part, broken = {"n": 1}, [1, object()]
    exc.worse = [part, part, broken]  # type: ignore[attr-defined]  # errors take any attribute
    exc.again = [broken]  # type: ignore[attr-defined]  # errors take any attribute
    exc.good = part  # type: ignore[attr-defined]  # errors take any attribute
    exc.more = [part]  # type: ignore[attr-defined]  # errors take any attribute
    assert set(preprocess(exc)["meta"]["aliases"]) == {"0"}
    for arrived in (hop(exc), structured_clone(exc)):
        assert not hasattr(arrived, "worse")
        assert not hasattr(arrived, "again")
        assert arrived.good == {"n": 1}
        assert arrived.more[0] is arrived.good
    exc = ValueError("v")
    exc.bad = [1, 2, open]  # type: ignore[attr-defined]  # errors take any attribute
    with pytest.raises(DataCloneError, match=r"\$\.bad\[2\]: .*strict"):
        preprocess(exc, strict=True)


def test_a_cause_that_cannot_be_sent_is_refused() -> None:
    exc = RemoteError("m")
    exc.__dict__["cause"] = object()
    with pytest.raises(DataCloneError, match=r"\$\.cause: object cannot be copied"):
        preprocess(exc)
    with pytest.raises(DataCloneError, match=r"\$\.cause: object cannot be copied"):
        structured_clone(exc)


@pytest.mark.parametrize("exc", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_signals_are_not_errors(exc: BaseException) -> None:
    with pytest.raises(DataCloneError, match="is a signal"):
        preprocess([exc])
    with pytest.raises(DataCloneError, match="is a signal"):
        structured_clone([exc])


def test_senders_cannot_reach_python_attributes() -> None:
    """Names that Python gives a meaning are kept aside and sent on."""
    names = ["__class__", "__cause__", "args", "with_traceback", "_private", "name2", "__dict__"]
    fields = ",".join(f'"{name}":1' for name in names)
    text = f'{{"json":{{"$type":"error","name":"ValueError","message":"m",{fields}}},"meta":{{}}}}'
    arrived = parse(text)
    assert type(arrived) is ValueError
    assert arrived.args == ("m",)
    assert arrived.__cause__ is None
    assert arrived.name2 == 1
    assert arrived.with_traceback(None) is arrived
    assert stringify(arrived) == text
    arrived.name3 = 2
    del arrived.name2
    assert '"name3":2' in stringify(arrived)
    assert "name2" not in stringify(arrived)


def test_stack_names_base_names_and_lines_innermost_first() -> None:
    def inner() -> None:
        raise ValueError("deep")

    def outer(depth: int) -> None:
        inner() if depth == 0 else outer(depth - 1)

    with pytest.raises(ValueError, match="deep") as caught:
        outer(20)
    stack = error_stack(caught.value)
    assert stack is not None
    lines = stack.split("\n")
    assert lines[0] == "ValueError: deep"
    assert re.fullmatch(r"    at test_clone_failures.py:\d+ \(.*inner\)", lines[1])
    assert len(lines) == 11  # as many as V8 keeps
    assert error_stack(ValueError()) == "ValueError"
    assert "stack" not in preprocess(caught.value, stack=False)["json"]
    arrived = hop(caught.value)
    assert error_stack(arrived) == stack
    assert stringify(arrived) == stringify(caught.value)


def test_a_removed_stack_stays_removed() -> None:
    """SC-28: also when the error was raised here in the meantime."""
    for name in ("Error", "TypeError"):
        text = f'{{"json":{{"$type":"error","name":"{name}","message":"m"}},"meta":{{}}}}'
        try:
            raise parse(text)
        except Exception as error:
            again = stringify(error)
        assert again == text


def test_odd_errors_from_outside() -> None:
    """SC-28: a name that is no string, a message that is none."""
    arrived = postprocess({"json": {"$type": "error", "name": 3, "message": 5, "stack": 7, "$$x": 1}})
    assert (error_name(arrived), error_message(arrived), error_stack(arrived)) == ("Error", "5", None)
    assert vars(arrived)["$x"] == 1
    assert str(postprocess({"json": {"$type": "error"}})) == ""


def test_a_taken_name_is_refused() -> None:
    class Imposter(Exception):
        pass

    with pytest.raises(UsageError, match="'QuotaExceeded' is registered"):
        register_error(Imposter, "QuotaExceeded")
    assert error_registry.lookup("QuotaExceeded") is QuotaExceeded
    assert "QuotaExceeded" in error_registry
    assert register_error(QuotaExceeded) is QuotaExceeded  # again is fine


def test_rich_properties_and_sharing_between_errors() -> None:
    shared = ValueError("c")
    a, b = TypeError("a"), TypeError("b")
    a.__cause__ = b.__cause__ = shared
    a.at = datetime(2025, 1, 1, tzinfo=UTC)  # type: ignore[attr-defined]  # errors take any attribute
    first, second = hop([a, b])
    assert first.__cause__ is second.__cause__
    assert first.at == datetime(2025, 1, 1, tzinfo=UTC)
    first, second = structured_clone([a, b])
    assert first.__cause__ is second.__cause__


def test_remote_errors_can_be_pickled() -> None:
    import pickle

    exc = RemoteError("m", name="N", stack="S")
    again = pickle.loads(pickle.dumps(exc))
    assert (again.name, again.message, again.stack) == ("N", "m", "S")
