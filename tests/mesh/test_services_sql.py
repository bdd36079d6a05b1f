"""``svc.sql``: values by position, by name, or in a template (SQL-1)."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumenize_sim.errors import AppError
from lumenize_sim.mesh import MeshError
from lumenize_sim.mesh.services import sql
from lumenize_sim.objects.storage import Durable, Storage, Store, StoreHooks


@pytest.fixture
def run() -> Any:
    storage = Storage(Store(Durable(), hooks=StoreHooks()), now_ms=lambda: 0)
    storage.sql.exec("CREATE TABLE t(id INTEGER, name TEXT)")
    return sql(SimpleNamespace(ctx=SimpleNamespace(storage=storage)))


def test_rows_are_a_list_of_dicts(run: Any) -> None:
    assert run("INSERT INTO t VALUES (?, ?)", 1, "a") == []
    assert run("SELECT * FROM t") == [{"id": 1, "name": "a"}]


def test_names_may_stand_many_times_and_in_any_order(run: Any) -> None:
    run("INSERT INTO t VALUES (:id, :name), (:id, 'x')", name="b", id=2)
    assert run("SELECT count(*) AS n FROM t WHERE id = :id AND :id = :id", id=2) == [{"n": 2}]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT ':id' AS v",
        'SELECT 1 AS ":id"',
        "SELECT 1 AS v -- :id\n",
        "SELECT 1 /* :id */ AS v",
        "SELECT 1 AS [:id]",
    ],
)
def test_a_name_in_a_text_or_a_comment_is_none(run: Any, query: str) -> None:
    assert len(run(query)) == 1
    with pytest.raises(AppError, match="has no :id"):
        run(query, id=1)


def test_a_template_binds_what_stands_in_its_braces(run: Any) -> None:
    """Python 3.14's ``t"…"`` has these two attributes."""
    name = "'; DROP TABLE t; --"
    run(SimpleNamespace(strings=("INSERT INTO t VALUES (", ", ", ")"), values=(3, name)))
    assert run("SELECT name FROM t WHERE id = ?", 3) == [{"name": name}]


def test_what_stands_behind_a_value_in_its_braces_shapes_it(run: Any) -> None:
    """As in an f-string: left out in silence, it would store something else."""
    parts = [
        SimpleNamespace(value=value, conversion=conversion, format_spec=spec)
        for value, conversion, spec in (
            ("x", "r", ""),
            ("x", None, ">3"),
            (7, None, ""),
            ("é", "a", ""),
            (7, "s", ">2"),
        )
    ]
    template = SimpleNamespace(
        strings=("SELECT ", " a, ", " b, ", " c, ", " d, ", " e"), values=(), interpolations=parts
    )
    assert run(template) == [{"a": "'x'", "b": "  x", "c": 7, "d": "'\\xe9'", "e": " 7"}]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="template strings are of Python 3.14")
def test_a_template_string_is_such_a_template(run: Any) -> None:
    """Compiled here, since older versions could not read this file otherwise."""
    name = "'; DROP TABLE t; --"
    template = eval(compile('t"INSERT INTO t VALUES ({4}, {name})"', "<template>", "eval"), {"name": name})
    run(template)
    assert run("SELECT name FROM t WHERE id = ?", 4) == [{"name": name}]
    shaped = compile('t"SELECT {name!r} AS n, {name:>3} AS m, {7} AS k"', "<template>", "eval")
    assert run(eval(shaped, {"name": "x"})) == [{"n": "'x'", "m": "  x", "k": 7}]


@pytest.mark.parametrize(
    "given, says",
    [
        (lambda run: run("SELECT :a", b=1), "no value for :a"),
        (lambda run: run("SELECT :a"), "no value for :a"),
        (lambda run: run("SELECT 1", b=1), "has no :b"),
        (lambda run: run("SELECT ?, :a", 1, a=1), "do not mix"),
        (lambda run: run("SELECT ?, :a", a=1), "do not mix"),
        (lambda run: run(SimpleNamespace(strings=("",), values=()), 1), "holds its values itself"),
        (lambda run: run(7), "not 7"),
    ],
)
def test_values_that_do_not_fit_are_refused(run: Any, given: Any, says: str) -> None:
    with pytest.raises(AppError, match=says):
        given(run)


def test_an_object_without_sql_is_refused_in_the_original_s_words() -> None:
    with pytest.raises(MeshError, match=r"sql\(\) requires a Durable Object instance with ctx\.storage\.sql"):
        sql(SimpleNamespace())


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-9, 9)), min_size=1, max_size=6))
def test_names_mean_the_same_as_positions(pairs: list[tuple[str, int]]) -> None:
    storage = Storage(Store(Durable(), hooks=StoreHooks()), now_ms=lambda: 0)
    run = sql(SimpleNamespace(ctx=SimpleNamespace(storage=storage)))
    values = dict(pairs)
    named = ", ".join(f":{name} AS c{n}" for n, (name, _) in enumerate(pairs))
    placed = ", ".join(f"? AS c{n}" for n in range(len(pairs)))
    assert run(f"SELECT {named}", **values) == run(f"SELECT {placed}", *(values[name] for name, _ in pairs))
