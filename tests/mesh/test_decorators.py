"""The mark that lets the mesh call a method (OC-29)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from lumenize_sim.errors import AppError
from lumenize_sim.mesh import LumenizeDO, get_mesh_guard, is_mesh_callable, mesh, mesh_fn
from lumenize_sim.mesh.names import wire_names


def module_guard(node: Any) -> None: ...


@mesh
def marked_in_module(node: Any) -> None: ...


def role(name: str) -> Callable[[Any], None]:
    def check(node: Any) -> None:
        assert name

    return check


def traced(method: Callable[..., Any]) -> Any:
    def wrapper(*args: Any) -> Any:
        return method(*args)

    return wrapper


def tidy(method: Callable[..., Any]) -> Any:
    @functools.wraps(method)
    def wrapper(self: Any) -> Any:
        return method(self)

    return wrapper


class Partial:
    def __call__(self, node: Any) -> None: ...


class Everything(LumenizeDO):
    def class_guard(self) -> None: ...

    @mesh
    def bare(self) -> int:
        return 1

    @mesh
    def bare_with_argument(self, x: int) -> int:
        return x

    @mesh
    async def bare_async(self) -> int:
        return 1

    @mesh()
    def brackets(self) -> int:
        return 1

    @mesh(module_guard)
    def guarded_by_module(self) -> int:
        return 1

    @mesh(class_guard)
    def guarded_by_class(self) -> int:
        return 1

    @mesh(lambda node: None)
    def guarded_by_lambda(self) -> int:
        return 1

    @mesh(role("admin"))
    def guarded_by_closure(self) -> int:
        return 1

    @mesh(functools.partial(module_guard))
    def guarded_by_partial(self) -> int:
        return 1

    @mesh(Partial())
    def guarded_by_object(self) -> int:
        return 1

    @mesh(module_guard, name="getURL")
    def get_url(self) -> str:
        return ""

    @mesh
    @traced
    def wrapped_untidily(self) -> int:
        return 1

    @mesh
    @tidy
    def wrapped(self) -> int:
        return 1

    @mesh  # type: ignore[arg-type]  # the mistake under test
    @staticmethod
    def static() -> int:
        return 1

    @classmethod
    @mesh
    def klass(cls) -> int:
        return 1


@pytest.mark.parametrize(
    "name", ["bare", "bare_with_argument", "bare_async", "brackets", "wrapped", "wrapped_untidily", "static", "klass"]
)
def test_a_method_is_marked_without_a_guard(name: str) -> None:
    member = vars(Everything)[name]
    assert is_mesh_callable(member)
    assert get_mesh_guard(member) is None


@pytest.mark.parametrize("name", ["module", "class", "lambda", "closure", "partial", "object"])
def test_a_guard_is_told_from_the_method_it_stands_above(name: str) -> None:
    method = getattr(Everything, f"guarded_by_{name}")
    assert is_mesh_callable(method)
    assert callable(get_mesh_guard(method))


def test_a_guard_inside_a_function_is_told_too() -> None:
    def guard(node: Any) -> None: ...

    class Local(LumenizeDO):
        @mesh(guard)
        def act(self) -> None: ...

    assert get_mesh_guard(Local.act) is guard


def test_name_and_guard_go_together() -> None:
    assert get_mesh_guard(Everything.get_url) is module_guard
    assert wire_names(Everything).to_wire["get_url"] == "getURL"


def test_a_guard_is_not_marked_itself() -> None:
    assert not is_mesh_callable(module_guard)
    assert not is_mesh_callable(Everything.class_guard)


def test_a_decorator_may_be_kept_for_many_methods() -> None:
    guarded = mesh(module_guard)

    class Local(LumenizeDO):
        @guarded
        def act(self) -> None: ...

    assert get_mesh_guard(Local.act) is module_guard


def test_functions_outside_classes_can_be_marked() -> None:
    assert is_mesh_callable(marked_in_module)
    assert is_mesh_callable(mesh_fn(lambda: 1))


def test_overriding_without_decorating_loses_the_mark() -> None:
    class Sub(Everything):
        def bare(self) -> int:
            return 2

    assert not is_mesh_callable(Sub.bare)


def test_a_property_cannot_be_marked() -> None:
    with pytest.raises(AppError, match="marks methods"):
        mesh(property(lambda self: 1))  # type: ignore[call-overload]  # the mistake under test
    with pytest.raises(AppError, match="marks methods"):
        mesh()(property(lambda self: 1))  # type: ignore[arg-type]  # the mistake under test


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(AppError, match="expected the method to mark or a guard"):
        mesh("admin")  # type: ignore[call-overload]  # the mistake under test


def test_a_method_taken_for_a_guard_is_noticed_when_the_class_is_created() -> None:
    def wrap(method: Any) -> Any:
        def wrapper(self: Any) -> Any:
            return method(self)

        return wrapper

    with pytest.raises(AppError, match=r"Odd.act became a decorator"):

        class Odd(LumenizeDO):
            @mesh
            @wrap
            def act(self) -> None: ...
