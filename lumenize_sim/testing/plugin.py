"""The pytest plugin.

A reader of ``@pytest.mark.mesh(app) async def test_x(world): ...`` expects it to be an
ordinary test that happens to run many times.  It nearly is.  pytest collects it, resolves
its fixtures once, and we call the function once per schedule, each time with a fresh world.

Two complications.  The world is no fixture: it exists only while the function runs, and
there are as many as there are schedules.  So ``world`` is registered as a fixture whose
value cannot be used, to give pytest something to resolve and people a message.  And the
function is async, which other plugins take for an invitation.  pytest-trio, in its trio
mode, marks every async test at the end of collection, and wraps whatever is marked just
before it is called.  So we keep the function from before anybody could wrap it, and come
first when it is called.

Two limitations, accepted.  Fixtures are shared by all schedules: a list that the test
appends to has the marks of earlier schedules in it.  Fixtures of pytest-trio cannot be
used, since they live in a Trio run that is not ours.

Everything but pytest is imported at first use.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lumenize_sim.testing.by_hand import MeshRun

__all__: list[str] = []

#: The function of a marked test, as it was before other plugins could wrap it.
#: Written by `pytest_runtest_call`, read by `pytest_pyfunc_call` of the same item.
_FUNCTION = pytest.StashKey[Any]()

################################################################
# Setup
################################################################

#: Folders for tapes of the sessions under way, innermost last.  Read by `lumenize_sim.testing.strategies`.
tape_folders: list[Path] = []


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_count.__name__ = "number of schedules"  # what argparse prints about a wrong value


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lumenize_sim", "simulated meshes")
    group.addoption(
        "--mesh-schedules",
        type=_count,
        metavar="N",
        help="schedules of each @pytest.mark.mesh test, whatever its mark says",
    )
    group.addoption(
        "--mesh-seed", type=int, metavar="N", help="seed of each @pytest.mark.mesh test, whatever its mark says"
    )
    group.addoption("--mesh-replay", metavar="TAPE", help="run the chosen test once, exactly as recorded on TAPE")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "mesh(app_or_scenario, schedules=100, seed=0, faults=None, strategy=None, options=None, checks=None): "
        "run `async def test(world)` under many schedules of a simulated mesh",
    )
    tape_folders.append(config.rootpath / ".lumenize")


def pytest_unconfigure() -> None:
    if tape_folders:
        tape_folders.pop()


################################################################
# Collecting
################################################################


def _is_ours(item: pytest.Item) -> bool:
    """Whether we run ``item``: it is marked, and async, or at least asks for it."""
    if not isinstance(item, pytest.Function) or item.get_closest_marker("mesh") is None:
        return False
    # A plain function in a marked module or class is left alone, unless it wants a world.
    own = any(mark.name == "mesh" for mark in item.own_markers)
    return own or inspect.iscoroutinefunction(item.function) or "world" in item.fixturenames


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: Any) -> pytest.Item | None:
    """A scenario called ``test_...`` is a test."""
    known = sys.modules.get("lumenize_sim.world.scenario")
    if known is None or not isinstance(obj, known.Scenario) or not name.startswith("test_"):
        return None
    item: pytest.Function = pytest.Function.from_parent(collector, name=name, callobj=obj.drive)
    item.add_marker(pytest.mark.mesh(obj))
    return item


################################################################
# Running
################################################################


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    __tracebackhide__ = True
    if _is_ours(item):
        assert isinstance(item, pytest.Function)
        if hasattr(item.obj, "hypothesis"):
            # Here and not later, because Hypothesis comes between with complaints about our fixture.
            pytest.fail(
                f"{item.name} has both @given and @pytest.mark.mesh: two engines cannot draw one run. "
                "Write @given(simulations(scenario)), from lumenize_sim.testing.",
                pytrace=False,
            )
        item.stash[_FUNCTION] = item.obj
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    __tracebackhide__ = True
    function = pyfuncitem.stash.get(_FUNCTION, None)
    if function is None:
        return None
    del pyfuncitem.stash[_FUNCTION]
    from lumenize_sim.testing.marked import run_marked

    run_marked(pyfuncitem, function)
    return True


################################################################
# Fixtures
################################################################


class _NoWorld:
    """Stands for the world while fixtures are resolved."""

    def __getattr__(self, name: str) -> Any:
        from lumenize_sim.errors import UsageError

        raise UsageError(
            f"world.{name}: a fixture cannot use the world, which exists only while the test's own body runs"
        )


@pytest.fixture
def world(request: pytest.FixtureRequest) -> object:
    """The simulated world, in a test with @pytest.mark.mesh(app)."""
    if request.node.get_closest_marker("mesh") is None:
        pytest.fail(
            f"{request.node.name} asks for `world` and has no mark: put @pytest.mark.mesh(app) above it, "
            "or use the fixture mesh_run.",
            pytrace=False,
        )
    return _NoWorld()


@pytest.fixture
def mesh_run(request: pytest.FixtureRequest) -> MeshRun:
    """``mesh_run(app, drive)`` runs ``async def drive(world)`` once; what it failed with is raised, explained."""
    from lumenize_sim.testing.by_hand import MeshRun

    return MeshRun(request.node)
