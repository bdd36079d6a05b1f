"""Sweeps: many processes, pools and clusters, of which any may be killed, report what one process reports."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import attrs
import pytest

from lumenize_sim import Report, Scenario, UsageError, explore, scenario
from lumenize_sim.errors import AppError
from lumenize_sim.explore import load_scenario
from lumenize_sim.explore.assignment import Assignment
from lumenize_sim.explore.crew import crew_of
from lumenize_sim.explore.hand import Hand, HandLost, answer_of, task_of
from lumenize_sim.explore.report import Progress
from lumenize_sim.explore.strategies import Corpus
from lumenize_sim.explore.unit import Unit

SCENARIOS = Path(__file__).parents[2] / "scenarios"

#: A bug, and a line that is run in each schedule.
APP = """
import os, signal, pathlib
from lumenize_sim import LumenizeClient, LumenizeDO, Mesh, mesh, scenario

HERE = pathlib.Path(__file__).parent

class Board(LumenizeDO):
    @mesh
    def put(self, who: str) -> None:
        self.ctx.storage.kv.put("who", who)

class Tab(LumenizeClient):
    def put(self) -> None:
        self.lmz.call("BOARD", "b", self.ctn(Board).put(self.lmz.instance_name))

def once() -> bool:
    try:
        (HERE / "happened").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True

def trouble():
    LINE

@scenario(Mesh(bindings={"BOARD": Board}))
async def last_wins(world):
    if os.getpid() != HOME:  # whoever hands out also looks whether the world is small; it is to live
        trouble()
    alice, bob = await world.connect(Tab, sub="alice"), await world.connect(Tab, sub="bob")
    alice.put()
    bob.put()
    await world.settle()
    assert world.object("BOARD", "b").storage.kv.get("who") == "bob.tab1"
"""


def app(folder: Path, line: str = "pass") -> Scenario:
    file = folder / "sweep_app.py"
    file.write_text(APP.replace("LINE", line).replace("HOME", str(os.getpid())), encoding="utf-8")
    return load_scenario(file)


def told(report: Report) -> dict[str, Any]:
    """All of a report but the time it took."""
    return {key: value for key, value in report.to_json().items() if key != "wall_s"}


def explored(what: Scenario, folder: Path, **options: Any) -> dict[str, Any]:
    return told(explore(what, schedules=260, max_failures=3, save=folder / "tapes", verify=False, **options))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process reports when nothing happens to it."""
    folder = tmp_path_factory.mktemp("plain")
    report = explored(app(folder), folder)
    assert report["failures"]
    assert report["schedules"] == 260
    return report


def without_paths(report: dict[str, Any]) -> dict[str, Any]:
    """The apps of two tests are two files."""
    return {**report, "failures": [{**failure, "tape": None} for failure in report["failures"]]}


def same(report: dict[str, Any], plain: dict[str, Any]) -> bool:
    return without_paths(report) == without_paths(plain)


# -- whoever runs it ------------------------------------------------------------------------------


def test_three_processes_report_what_one_reports(tmp_path: Path, plain: dict[str, Any]) -> None:
    assert same(explored(app(tmp_path), tmp_path, jobs=3), plain)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["subscribe_race", "collab_editor", "hibernation_loses_reply", "cold_reads"])
def test_scenarios_report_the_same_from_any_number_of_processes(name: str, tmp_path: Path) -> None:
    what = load_scenario(SCENARIOS / f"{name}.py")
    one, three, four = (explored(what, tmp_path, jobs=jobs) for jobs in (1, 3, 4))
    assert one == three == four


@pytest.mark.slow
def test_a_killed_process_takes_nothing_with_it(tmp_path: Path, plain: dict[str, Any]) -> None:
    what = app(tmp_path, "if once(): os.kill(os.getpid(), signal.SIGKILL)")
    assert same(explored(what, tmp_path, jobs=2), plain)
    assert (tmp_path / "happened").exists()


@pytest.mark.slow
def test_what_ends_every_process_is_named(tmp_path: Path) -> None:
    what = app(tmp_path, "os._exit(7)")
    with pytest.raises(AppError, match=r"ran schedules 1 to 64 ended 3 times without a result \(exit code 7\)"):
        explored(what, tmp_path, jobs=2)


@pytest.mark.slow
def test_threads_of_anybody_have_processes_of_their_own(tmp_path: Path, plain: dict[str, Any]) -> None:
    """A run makes the clock of its process virtual; two at a time in one process would see each other's."""
    with ThreadPoolExecutor(2) as executor:
        assert same(explored(app(tmp_path), tmp_path, on=executor), plain)


@pytest.mark.slow
def test_a_pool_whose_process_is_killed_is_made_anew(tmp_path: Path, plain: dict[str, Any]) -> None:
    """`BrokenProcessPool`: all units under way are lost together, and none twice."""
    what = app(tmp_path, "if once(): os.kill(os.getppid(), signal.SIGKILL)")
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        assert same(explored(what, tmp_path, on=executor), plain)
    assert (tmp_path / "happened").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the cluster's own
def test_a_cluster_whose_worker_is_killed_midway_loses_nothing(tmp_path: Path, plain: dict[str, Any]) -> None:
    """Dask on this machine: a scheduler, and workers with nannies, by their address."""
    distributed = pytest.importorskip("distributed")
    # The 100th schedule of one hand or the other: its unit is half done, and others are under way.
    line = "n = globals().setdefault('N', [0]); n[0] += 1; n[0] == 100 and once() and os.kill(os.getppid(), 9)"
    what = app(tmp_path, line)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        address = cluster.scheduler_address.replace("tcp://", "dask://")
        report = explored(what, tmp_path, on=address)
    assert (tmp_path / "happened").exists()
    assert same(report, plain)


# -- interrupted ------------------------------------------------------------------------------------


def stopping_at(schedule: int) -> Callable[[Progress], None]:
    def progress(now: Progress) -> None:
        if now.done >= schedule:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_interrupted_sweep_goes_on_where_it_was(jobs: int, tmp_path: Path, plain: dict[str, Any]) -> None:
    what = app(tmp_path)
    journal = tmp_path / "sweep.journal"
    with pytest.raises(KeyboardInterrupt):
        explored(what, tmp_path, jobs=jobs, journal=journal, progress=stopping_at(150))
    units = journal.read_bytes().count(b"\n") - 1
    assert units >= 2
    seen: list[Progress] = []
    report = explored(what, tmp_path, jobs=jobs, journal=journal, resume=True, progress=seen.append)
    assert same(report, plain)
    assert not [now for now in seen if now.phase == "exploring" and 0 < now.done < 64], "what is in the journal is done"
    assert not journal.exists(), "nobody needs it any more"


@pytest.mark.slow
def test_a_journal_serves_more_schedules_too(tmp_path: Path) -> None:
    what = app(tmp_path)
    options: dict[str, Any] = {"journal": tmp_path / "j", "save": None, "max_failures": 9}
    with pytest.raises(KeyboardInterrupt):
        explore(what, schedules=200, progress=stopping_at(100), **options)
    seen: list[int] = []
    report = explore(what, schedules=260, resume=True, progress=lambda now: seen.append(now.done), **options)
    assert seen[0] >= 64
    assert told(report) == told(explore(what, schedules=260, save=None, max_failures=9))


def test_without_resuming_it_begins_anew(tmp_path: Path) -> None:
    what = app(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        explore(what, schedules=200, journal=tmp_path, max_failures=9, progress=stopping_at(64), save=None)
    [journal] = tmp_path.glob("last_wins-*.journal")
    seen: list[int] = []
    explore(what, schedules=65, journal=tmp_path, max_failures=9, progress=lambda now: seen.append(now.done), save=None)
    assert seen[0] == 0
    assert not journal.exists()


# -- refusals -----------------------------------------------------------------------------------------


def test_a_scenario_in_no_file_stays_in_this_process(tmp_path: Path) -> None:
    made = app(tmp_path)

    @scenario(made.app)
    async def local(world: Any) -> None: ...

    assert explore(local, schedules=3, save=None).schedules == 3
    with pytest.raises(UsageError, match=r"'local' is no global of a file.*top level of a module, or .* jobs=1"):
        explore(local, schedules=3, save=None, jobs=2)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"jobs": 0}, "jobs=0: give at least 1"),
        ({"jobs": 2, "on": "dask://a:1"}, "jobs=2 and on='dask://a:1'.*give one"),
        ({"on": "spark://a:1"}, "on='spark://a:1' is no address of a cluster: write dask://host:port"),
        ({"on": "dask://"}, "is no address of a cluster"),
        ({"on": 7}, "on=7: give an executor"),
        ({"resume": True}, "resume=True continues from a journal: say which"),
    ],
)
def test_wrong_arguments_are_told_before_anything_runs(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        explore(app(tmp_path, "raise ZeroDivisionError"), save=None, **options)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(UsageError, match=r"needs the library distributed.*pip install 'lumenize_sim\[dask\]'"):
        crew_of(1, "dask://127.0.0.1:1")


def test_two_versions_of_an_app_are_not_added_up(tmp_path: Path) -> None:
    """A cluster with an old checkout would report on another app."""
    what = app(tmp_path)
    assignment = Assignment.of(what, seed=0, strategy=None, max_failures=1)
    assignment.shard()
    other = attrs.evolve(assignment, source="0" * 16)
    with pytest.raises(UsageError, match="is another version where schedules are run"):
        other.shard()
    with pytest.raises(UsageError, match="lumenize_sim is another version"):
        attrs.evolve(assignment, package="0.0").shard()


def test_errors_cross_from_a_hand_with_their_blame(tmp_path: Path) -> None:
    assignment = attrs.evolve(Assignment.of(app(tmp_path), seed=0, strategy=None, max_failures=1), source="elsewhere")
    hand = Hand()
    try:
        answer = answer_of(hand.run(task_of(assignment, Unit(0, 0, 2), Corpus())))
        assert isinstance(answer, UsageError)
        assert "another version" in str(answer)
        process = hand._process
        assert process is not None
        process.kill()
        with pytest.raises(HandLost, match="signal 9"):
            hand.run(task_of(assignment, Unit(0, 0, 2), Corpus()))
        assert isinstance(answer_of(hand.run(task_of(assignment, Unit(0, 0, 2), Corpus()))), UsageError)
    finally:
        hand.close()


def test_hands_end_with_whoever_asked_them(tmp_path: Path) -> None:
    """No process is left behind."""
    hand = Hand()
    hand.run(task_of(Assignment.of(app(tmp_path), seed=0, strategy=None, max_failures=1), Unit(0, 0, 2), Corpus()))
    process = hand._process
    assert process is not None
    hand.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
