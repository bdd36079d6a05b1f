"""Names on the wire: snake_case here, camelCase there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumenize_sim.errors import AppError
from lumenize_sim.mesh import LumenizeDO, mesh, to_python, to_wire, wire
from lumenize_sim.mesh.names import wire_names

WORDS = st.from_regex(r"[a-z][a-z]{0,6}", fullmatch=True)


@pytest.mark.parametrize(
    "python, wire_name",
    [
        ("handle_content_update", "handleContentUpdate"),
        ("update", "update"),
        ("getURL", "getURL"),
        ("step_2_done", "step2Done"),
        ("import_", "import"),
        ("_private_name", "_privateName"),
        ("a__b", "aB"),
    ],
)
def test_attribute_names_become_camel_case(python: str, wire_name: str) -> None:
    assert to_wire(python) == wire_name
    assert to_wire(python) == wire_name  # from memory too


@pytest.mark.parametrize("wire_name, python", [("handleContentUpdate", "handle_content_update"), ("getURL", "get_url")])
def test_wire_names_have_a_python_guess(wire_name: str, python: str) -> None:
    assert to_python(wire_name) == python


@given(st.lists(WORDS, min_size=1, max_size=5))
def test_words_survive_there_and_back(words: list[str]) -> None:
    name = "_".join(words)
    if any(len(word) == 1 for word in words):
        return  # "a_b_c" is "aBC", where no guess is right: that is what the class tables are for
    assert to_python(to_wire(name)) == name


def test_two_names_for_one_wire_name_are_refused_when_the_class_is_created() -> None:
    with pytest.raises(AppError, match=r"do_it and .*doIt would both be 'doIt' on the wire"):

        class Clash(LumenizeDO):
            def do_it(self) -> None: ...
            def doIt(self) -> None: ...

    with pytest.raises(AppError, match="would both be 'load'"):

        class Other(LumenizeDO):
            @mesh(name="load")
            def load_all(self) -> None: ...
            def load(self) -> None: ...


def test_explicit_wire_names_come_from_mesh_or_from_wire_and_are_inherited() -> None:
    class Base(LumenizeDO):
        @wire("getURL")
        def get_url(self) -> str:
            return ""

        @mesh(name="fetchHTML")
        def fetch_html(self) -> str:
            return ""

        @wire("theSize")  # type: ignore[prop-decorator]  # mypy knows no decorated properties
        @property
        def size(self) -> int:
            return 0

        @wire("make")
        @staticmethod
        def build() -> int:
            return 0

    class Sub(Base):
        def get_url(self) -> str:
            return "sub"

    table = wire_names(Sub)
    assert table.to_wire["get_url"] == "getURL"
    assert table.to_python["fetchHTML"] == "fetch_html"
    assert table.to_python["theSize"] == "size"
    assert table.to_python["make"] == "build"
    assert wire_names(Sub) is table


def test_an_override_may_change_the_wire_name() -> None:
    class Base(LumenizeDO):
        @wire("first")
        def act(self) -> None: ...

    class Sub(Base):
        @wire("second")
        def act(self) -> None: ...

    assert wire_names(Sub).to_wire["act"] == "second"
    assert "first" not in wire_names(Sub).to_python


@pytest.mark.parametrize("bad", ["", None, 7])
def test_a_wire_name_is_a_non_empty_string(bad: object) -> None:
    with pytest.raises(AppError, match="is not a non-empty string"):
        wire(bad)  # type: ignore[arg-type]  # the mistake under test
