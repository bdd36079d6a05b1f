"""Tapes: nothing is lost on the way to a file and back, and bad files are refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lumenize_sim.errors import UsageError
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.tape import Tape

words = st.text(max_size=12)
numbers = st.integers(0, 2**70)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    bound = draw(st.integers(1, 2**40))
    value, key = draw(st.integers(0, bound - 1)), draw(st.integers(0, 2**32 - 1))
    return Choice(draw(words), value, bound, key, draw(words), draw(words))


tapes = st.builds(
    Tape,
    scenario=words,
    path=st.none() | words,
    seed=numbers,
    choices=st.lists(choices(), max_size=4).map(tuple),
    options=st.dictionaries(words, json_values, max_size=3),
    outcome=words,
    message=words,
    digest=words,
    log=st.lists(st.tuples(st.none() | words, words), max_size=5).map(tuple),
    versions=st.dictionaries(words, words, max_size=3),
)

TAPE = Tape(
    scenario="two_clicks",
    path="scenarios/lost_update.py",
    seed=7,
    choices=(Choice("C/a#3", 1, 2, 0xDEADBEEF, "p", "q"), Choice("C/a%crash#0", 1, 2, 1, "crash")),
    options={"world": {"step_limit": 5}, "faults": {}},
    outcome="failed",
    message="AssertionError: n",
    digest="00ff",
    log=((None, "driver!begin"), ("C/a", "x>C/a#0")),
    versions={"python": "3.11"},
)


#: What tapes of earlier releases do not have.
LATER = ("left", "causes", "about", "anchors")


def fields() -> dict[str, Any]:
    data: dict[str, Any] = cbor2.loads(TAPE.to_bytes())
    return data


@settings(max_examples=80)
@given(tapes)
def test_a_tape_comes_back_as_it_was(tape: Tape) -> None:
    assert Tape.from_bytes(tape.to_bytes()) == tape


def test_equal_tapes_have_equal_bytes() -> None:
    """Canonical CBOR: a tape under version control changes only when the run does."""
    turned = attrs.evolve(TAPE, options={"faults": {}, "world": {"step_limit": 5}})
    assert turned.to_bytes() == TAPE.to_bytes()


def test_a_file_is_written_whole_with_its_folder_and_read_back(tmp_path: Path) -> None:
    path = TAPE.write(tmp_path / "new" / "a.tape")
    assert Tape.read(path) == TAPE
    assert [p.name for p in path.parent.iterdir()] == ["a.tape"]


def test_a_tape_cut_off_anywhere_is_a_usage_error(tmp_path: Path) -> None:
    """At every byte: never another exception, never a shorter tape."""
    whole = TAPE.to_bytes()
    for size in range(len(whole)):
        with pytest.raises(UsageError, match=r"cut off|no tape"):
            Tape.from_bytes(whole[:size])
    cut = tmp_path / "cut.tape"
    cut.write_bytes(whole[:-1])
    with pytest.raises(UsageError, match=r"cut\.tape is cut off after \d+ bytes: copy it again"):
        Tape.read(cut)


def test_something_behind_the_end_is_a_usage_error() -> None:
    whole = TAPE.to_bytes()
    with pytest.raises(UsageError, match=rf"something behind its end \(byte {len(whole)}\)"):
        Tape.from_bytes(whole + b"\0")


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        Tape.read(tmp_path / "none.tape")


@settings(max_examples=200)
@given(st.binary(max_size=60) | json_values.map(cbor2.dumps))
@example(b"PK\x03\x04")
@example(b"")
@example(cbor2.dumps({"format": "lumenize-trace", "version": 1}))
def test_foreign_bytes_are_a_usage_error(content: bytes) -> None:
    with pytest.raises(UsageError):
        Tape.from_bytes(content)


def test_a_tape_of_an_earlier_release_lacks_what_came_later() -> None:
    data = fields()
    for name in LATER:
        del data[name]
    assert Tape.from_bytes(cbor2.dumps(data)).causes == ()


def test_another_version_says_which_one_is_read() -> None:
    with pytest.raises(UsageError, match="format 2; this release reads format 1"):
        Tape.from_bytes(cbor2.dumps({**fields(), "version": 2}))


@pytest.mark.parametrize("name", [n for n in fields() if n not in ("format", "version", *LATER)])
def test_a_field_that_is_missing_is_a_usage_error(name: str) -> None:
    data = fields()
    del data[name]
    with pytest.raises(UsageError, match=f"damaged tape.*{name}"):
        Tape.from_bytes(cbor2.dumps(data))


DAMAGED = {
    "scenario": [1, None, b"x", ["s"]],
    "path": [1, False],
    "seed": ["7", None, True, 1.5],
    "choices": [
        None,
        3,
        [1],
        [["l"]],
        [["l", 1, 2, 0, "p", "o", "more"]],
        [["l", 2, 2, 0, "p", ""]],
        [["l", -1, 2, 0, "p", ""]],
        [["l", "1", 2, 0, "p", ""]],
        [["l", True, 2, 0, "p", ""]],
        [[1, 1, 2, 0, "p", ""]],
        [["l", 1, 2, "0", "p", ""]],
        [["l", 1, 2, 0, 5, ""]],
        [["l", 1, 2, 0, "p", None]],
    ],
    "options": [3, [1], None],
    "outcome": [None, 1],
    "message": [None],
    "digest": [b"00"],
    "log": [3, [1], [["a"]], [["a", "b", "c"]], [[1, "b"]], [["a", 1]]],
    "versions": [[], {"python": 3}, {1: "x"}, None],
}


@pytest.mark.parametrize("name, value", [(n, v) for n, values in DAMAGED.items() for v in values])
def test_a_damaged_field_is_a_usage_error(name: str, value: object) -> None:
    with pytest.raises(UsageError, match="is a damaged tape"):
        Tape.from_bytes(cbor2.dumps({**fields(), name: value}), "x.tape")


@settings(max_examples=300)
@given(st.data())
def test_flipped_bytes_are_a_tape_or_a_usage_error(data: st.DataObject) -> None:
    """Never a traceback out of the decoder."""
    content = bytearray(TAPE.to_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        Tape.from_bytes(bytes(content))
    except UsageError:
        pass


def test_a_tape_reads_as_a_sentence() -> None:
    assert TAPE.describe() == "in order, except: p comes before q at C/a; crash at C/a, boundary 0"
    assert TAPE.non_default == 2
    assert attrs.evolve(TAPE, choices=()).describe() == "in order (first come, first served, nothing goes wrong)"
