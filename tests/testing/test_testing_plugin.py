"""`@pytest.mark.mesh` seen from outside: pytest runs in pytest, the mistakes people make included."""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from lumenize_sim.kernel.tape import Tape
from lumenize_sim.world.scenario import Scenario

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "lumenize_sim.testing.plugin"
INSTALLED = any(entry.value == PLUGIN for entry in entry_points(group="pytest11"))

APP = """
import pytest

from lumenize_sim import RESULT, Faults, LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, WorldOptions, mesh, scenario


class Rates(LumenizeWorker):
    @mesh
    def current(self) -> int:
        return 1


class Counter(LumenizeDO):
    @mesh
    async def increment(self) -> int:
        n = self.ctx.storage.kv.get("n", 0)
        rate = await self.lmz.call_raw("RATES", None, self.ctn(Rates).current())
        self.ctx.storage.kv.put("n", n + rate)  # lost
        return n + rate

    @mesh
    async def add(self) -> int:
        rate = await self.lmz.call_raw("RATES", None, self.ctn(Rates).current())
        n = self.ctx.storage.kv.get("n", 0)
        self.ctx.storage.kv.put("n", n + rate)
        return n + rate


class Tab(LumenizeClient):
    count = None

    def click(self, handle: str) -> None:
        self.lmz.call("COUNTER", handle, self.ctn(Counter).increment(), self.ctn().on_count(RESULT))

    def press(self, handle: str) -> None:
        self.lmz.call("COUNTER", handle, self.ctn(Counter).add(), self.ctn().on_count(RESULT))

    def on_count(self, count) -> None:
        self.count = count


app = Mesh(bindings={"COUNTER": Counter, "RATES": Rates})


async def clicked(world, how="click"):
    alice = await world.connect(Tab, sub="alice")
    bob = await world.connect(Tab, sub="bob")
    getattr(alice, how)("c1")
    getattr(bob, how)("c1")
    await world.settle()
    return world.object("COUNTER", "c1").storage.kv.get("n")
"""

FAILING = """
@pytest.mark.mesh(app, schedules=20, seed=5)
async def test_two_clicks(world):
    n = await clicked(world)
    assert n == 2, f"the counter says {n}"
"""


class Inner:
    """pytest with our plugin, once."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        pytester.makeini("[pytest]\nxfail_strict = true\nfilterwarnings = error\nmarkers = slow: slow\n")

    def run(self, *args: str, subprocess: bool = False) -> pytest.RunResult:
        plugin = () if INSTALLED else ("-p", PLUGIN)
        run = self.pytester.runpytest_subprocess if subprocess else self.pytester.runpytest_inprocess
        return run("--strict-markers", "-p", "no:cacheprovider", "-p", "no:benchmark", *plugin, *args)

    def test(self, text: str, *args: str, subprocess: bool = False, ini: str = "") -> pytest.RunResult:
        if ini:
            self.pytester.makeini(f"[pytest]\n{ini}\n")
        self.pytester.makepyfile(test_it=APP + text)
        return self.run(*args, subprocess=subprocess)

    def tapes(self) -> list[Path]:
        return sorted(Path(self.pytester.path, ".lumenize").glob("*.tape"))


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Inner:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Inner(pytester)


def line_after(result: pytest.RunResult, start: str) -> str:
    """The rest of the first line of the report that begins with ``start``."""
    for line in result.outlines:
        found = re.match(rf"E?\s*{re.escape(start)}(.*)", line)
        if found:
            return found[1].strip()
    raise AssertionError(f"no line begins with {start!r} in\n{result.stdout.str()}")


# -- a failing test, and its passing twin --------------------------------------------------


def test_a_failing_test_shows_its_own_assertion_the_racing_pair_the_choices_and_the_way_back(inner: Inner) -> None:
    result = inner.test(FAILING)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            '>       assert n == 2, f"the counter says {n}"',
            "E       AssertionError: the counter says 1",
            "E       assert 1 == 2",
            "E       failed on schedule 1 of 20 (fifo), seed 5",
            "E       racing pair: COUNTER/c1 *increment (alice) ran between read and write of *",
            'E         test_it.py:*    n = self.ctx.storage.kv.get("n", 0)',
            'E         test_it.py:*    self.ctx.storage.kv.put("n", n + rate)  # lost',
            "E       in order (first come, first served, nothing goes wrong)",
            "E       tape: .lumenize/test_two_clicks-*.tape",
            "E       replay: pytest test_it.py::test_two_clicks --mesh-replay .lumenize/test_two_clicks-*.tape",
            "test_it.py:*: AssertionError",
            "FAILED test_it.py::test_two_clicks - AssertionError: the counter says 1",
        ]
    )


def test_no_frame_of_the_machinery_is_in_the_traceback(inner: Inner) -> None:
    text = inner.test(FAILING).stdout.str()
    for foreign in ("lumenize_sim/", "trio/", "pluggy/", "world/run.py", "marked.py"):
        assert foreign not in text


def test_the_printed_replay_command_fails_the_same_way(inner: Inner) -> None:
    first = inner.test(FAILING)
    command = line_after(first, "replay: pytest ").split()
    again = inner.run(*command)
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(
        ["E       AssertionError: the counter says 1", "E       replayed from .lumenize/*, seed 5: the same run *"]
    )
    digest = Tape.read(inner.tapes()[0]).digest
    assert digest[:12] in again.stdout.str()


def test_the_printed_replay_command_works_from_another_directory(inner: Inner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are those of the directory where pytest was started, not of the root directory."""
    sub = inner.pytester.mkdir("sub")
    Path(sub, "test_it.py").write_text(APP + FAILING)
    monkeypatch.chdir(sub)
    command = line_after(inner.run(), "replay: pytest ").split()
    assert command[0] == "test_it.py::test_two_clicks"
    assert len(inner.tapes()) == 1, "tapes go below the root directory"
    inner.run(*command).stdout.fnmatch_lines(["E       AssertionError: the counter says 1"])


def test_the_mended_twin_passes_and_leaves_no_tape(inner: Inner) -> None:
    result = inner.test(FAILING.replace("clicked(world)", 'clicked(world, "press")'))
    result.assert_outcomes(passed=1)
    assert inner.tapes() == []


def test_a_replay_after_a_change_says_that_it_is_another_run(inner: Inner) -> None:
    command = line_after(inner.test(FAILING), "replay: pytest ").split()
    inner.pytester.makepyfile(test_it=APP + FAILING.replace("clicked(world)", 'clicked(world, "press")'))
    again = inner.run(*command)
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["replay diverged at *", "*has changed since*run the test without --mesh-replay*"])


def test_a_tape_of_another_test_is_refused_by_name(inner: Inner) -> None:
    inner.test(FAILING + FAILING.replace("test_two_clicks", "test_other"))
    tape = next(path for path in inner.tapes() if "two_clicks" in path.name)
    result = inner.run("test_it.py::test_other", "--mesh-replay", str(tape))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*recorded from 'test_two_clicks', and this is 'test_other'*"])


def test_a_missing_tape_is_refused_with_its_path(inner: Inner) -> None:
    inner.test(FAILING, "--mesh-replay", "nowhere.tape").stdout.fnmatch_lines(["tape *nowhere.tape cannot be read*"])


def test_a_schedule_that_is_not_the_default_is_told_in_words(inner: Inner) -> None:
    result = inner.test(
        """
class Last(LumenizeDO):
    @mesh
    def put(self, who: str) -> None:
        self.ctx.storage.kv.put("who", who)


class Writer(LumenizeClient):
    def write(self) -> None:
        self.lmz.call("LAST", "x", self.ctn(Last).put(self.lmz.instance_name))


@pytest.mark.mesh(Mesh(bindings={"LAST": Last}), schedules=100)
async def test_last(world):
    alice = await world.connect(Writer, sub="alice")
    bob = await world.connect(Writer, sub="bob")
    alice.write()
    bob.write()
    await world.settle()
    assert world.object("LAST", "x").storage.kv.get("who") == "bob.tab1"
""",
        "-k",
        "test_last",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E       AssertionError: assert 'alice.tab1' == 'bob.tab1'",
            "E       failed on schedule * of 100 (*), seed 0*",
            "E       racing pair: *LAST/x*who*",
            "E       in order, except: *bob.tab1*comes before*alice.tab1*",
        ]
    )


# -- what a test may be ----------------------------------------------------------------------


def test_other_fixtures_and_parameters_reach_every_schedule(inner: Inner) -> None:
    result = inner.test(
        """
runs = []


@pytest.fixture(scope="module")
def who():
    yield "alice"
    assert runs == [("alice", 1)] * 7 + [("alice", 2)] * 7


@pytest.fixture
def unused(monkeypatch):
    monkeypatch.setenv("SEEN", "yes")


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.usefixtures("unused")
@pytest.mark.mesh(app, schedules=7)
async def test_fixtures(who, world, number):
    import os

    assert os.environ["SEEN"] == "yes"
    await world.connect(Tab, sub=who)
    runs.append((who, number))
"""
    )
    result.assert_outcomes(passed=2)


def test_methods_of_classes_are_tests_and_take_the_mark_of_class_and_module(inner: Inner) -> None:
    result = inner.test(
        '''
pytestmark = pytest.mark.mesh(app, schedules=3)
runs = []


@pytest.mark.mesh(seed=4)
class TestAll:
    async def test_one(self, world):
        assert world.app is app
        runs.append(1)

    @pytest.mark.mesh(schedules=5)
    async def test_more(self, world):
        runs.append(2)

    def test_plain(self):
        """A plain function in a marked module is none of ours."""
        assert runs == [1] * 3 + [2] * 5

    async def test_fails(self, world):
        assert world.now() < 0
'''
    )
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        ["E*failed on schedule 1 of 3 (fifo), seed 4", "E*replay: pytest test_it.py::TestAll::test_fails *"]
    )


def test_the_command_line_overrides_the_mark(inner: Inner) -> None:
    text = """
runs = []


@pytest.mark.mesh(app, schedules=20)
async def test_it(world):
    runs.append(world.seed)


def test_count():
    assert runs == [9, 9, 9]
"""
    inner.test(text, "--mesh-schedules", "3", "--mesh-seed=9").assert_outcomes(passed=2)
    refused = inner.run("--mesh-schedules", "0")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*--mesh-schedules: invalid number of schedules value: '0'"])


def test_xfail_skip_and_raises_mean_what_they_mean_elsewhere(inner: Inner) -> None:
    result = inner.test(
        """
@pytest.mark.xfail(raises=AssertionError)
@pytest.mark.mesh(app, schedules=2)
async def test_xfailed(world):
    assert await clicked(world) == 2


@pytest.mark.mesh(app, schedules=2)
async def test_skipped(world):
    await world.connect(Tab, sub="alice")
    pytest.skip("not here")


@pytest.mark.mesh(app, schedules=2)
async def test_xfailed_inside(world):
    pytest.xfail("known")


@pytest.mark.mesh(app, schedules=2)
async def test_raises(world):
    with pytest.raises(KeyError):
        await world.settle()


@pytest.mark.mesh(app, schedules=2)
async def test_fail(world):
    pytest.fail("on purpose")
"""
    )
    result.assert_outcomes(xfailed=2, skipped=1, failed=2)
    result.stdout.fnmatch_lines(["*test_raises*", "E*DID NOT RAISE*KeyError*", "*test_fail*", "E*on purpose*"])


def test_an_error_of_the_app_is_shown_where_it_was_raised(inner: Inner) -> None:
    result = inner.test(
        """
class Breaks(LumenizeClient):
    def on_tick(self):
        raise ValueError("broken inside")


@pytest.mark.mesh(app, schedules=2)
async def test_breaks(world):
    client = await world.connect(Breaks, sub="alice")
    client.on_tick()
"""
    )
    result.stdout.fnmatch_lines(
        ['>*raise ValueError("broken inside")', "E*ValueError: broken inside", "E*failed on schedule 1 of 2*"]
    )


def test_a_group_of_errors_is_shown_as_one(inner: Inner) -> None:
    """Each error of a nursery keeps the frames of the test only."""
    result = inner.test(
        """
import trio


async def breaks():
    raise ValueError("broken inside")


@pytest.mark.mesh(app, schedules=2)
async def test_group(world):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(breaks)
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ValueError: broken inside*"])
    result.stdout.fnmatch_lines(["*failed on schedule 1 of 2*"])
    assert "lumenize_sim/" not in result.stdout.str()


def test_a_deadlock_is_a_failure_with_a_name(inner: Inner) -> None:
    result = inner.test(
        """
import trio


@pytest.mark.mesh(app, schedules=2)
async def test_hangs(world):
    await trio.Event().wait()
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*deadlock: nothing can happen any more; *test_it.py*", "*replay: pytest *"])


def test_addresses_in_messages_do_not_reach_the_tape(inner: Inner) -> None:
    """pytest writes representations into messages; the digest must be that of any other process."""
    inner.test("\n\n@pytest.mark.mesh(app)\nasync def test_it(world):\n    assert world.app.bindings is object()\n")
    assert "0x" not in Tape.read(inner.tapes()[0]).message


# -- mistakes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, message",
    [
        ("@pytest.mark.mesh(app)\ndef test_it(world): pass", "test_it has @pytest.mark.mesh and is not async: write *"),
        ("@pytest.mark.mesh(app)\ndef test_it(): pass", "test_it has @pytest.mark.mesh and is not async: write *"),
        ("@pytest.mark.mesh(app)\nasync def test_it(): pass", "test_it has @pytest.mark.mesh and takes no `world`*"),
        ("@pytest.mark.mesh\nasync def test_it(world): pass", "*missing 1 required*write @pytest.mark.mesh(app)*"),
        ("@pytest.mark.mesh(3)\nasync def test_it(world): pass", "*the app is 3; write @pytest.mark.mesh(app)*"),
        ("@pytest.mark.mesh(app, schedule=3)\nasync def test_it(world): pass", "*unexpected keyword*'schedule'*"),
        ("@pytest.mark.mesh(app, schedules='3')\nasync def test_it(world): pass", "*schedules='3' is no number*"),
        ("@pytest.mark.mesh(app, faults='crash')\nasync def test_it(world): pass", "*faults='crash' is no Faults*"),
        ("@pytest.mark.mesh(app, schedules=0)\nasync def test_it(world): pass", "schedules=0: explore at least 1"),
        ("@pytest.mark.mesh(app, strategy='luck')\nasync def test_it(world): pass", "strategy 'luck' is unknown; *"),
        ("async def test_it(world): pass", "test_it asks for `world` and has no mark: put @pytest.mark.mesh(app)*"),
        ("def test_it(world): pass", "test_it asks for `world` and has no mark: put @pytest.mark.mesh(app)*"),
        (
            "import hypothesis\n@pytest.mark.mesh(app)\n@hypothesis.given(...)\nasync def test_it(world, n: int): 0",
            "test_it has both @given and @pytest.mark.mesh*simulations*",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_one_line_and_without_a_traceback(inner: Inner, text: str, message: str) -> None:
    result = inner.test(f"\n\n{text}\n")
    outcome = result.parseoutcomes()
    assert outcome.get("failed", 0) + outcome.get("errors", 0) == 1
    result.stdout.fnmatch_lines([message])
    assert "Traceback" not in result.stdout.str()
    assert "lumenize_sim/" not in result.stdout.str()


def test_a_fixture_that_uses_the_world_is_told_when_the_world_exists(inner: Inner) -> None:
    result = inner.test(
        """
@pytest.fixture
def tab(world):
    return world.connect(Tab, sub="alice")


@pytest.mark.mesh(app)
async def test_it(world, tab):
    pass
"""
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E*UsageError: world.connect: a fixture cannot use the world*"])


def test_wrong_use_of_the_world_points_at_the_line_of_the_test(inner: Inner) -> None:
    result = inner.test('\n\n@pytest.mark.mesh(app)\nasync def test_it(world):\n    world.object("CLOCK", "x")\n')
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(['>       world.object("CLOCK", "x")', "E*UsageError: 'CLOCK' is no binding*"])
    assert "lumenize_sim/" not in result.stdout.str()


# -- scenarios as tests ------------------------------------------------------------------------


SCENARIOS = """
@scenario(app)
async def test_clicks(world):
    n = await clicked(world)
    assert n == 2, f"the counter says {n}"


@scenario(app, options=WorldOptions(step_limit=7_000))
async def test_presses(world):
    assert world.options.step_limit == 7_000
    assert await clicked(world, "press") == 2


@scenario(app)
async def not_a_test(world):
    raise AssertionError
"""


def test_scenarios_called_test_are_tests(inner: Inner) -> None:
    result = inner.test(SCENARIOS, "--mesh-schedules=5", "-v")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["test_it.py::test_clicks FAILED*", "test_it.py::test_presses PASSED*"])
    result.stdout.fnmatch_lines(
        [
            "E*the counter says 1",
            "E*tape: .lumenize/test_clicks-*",
            "E*replay: pytest test_it.py::test_clicks --mesh-replay *",
            "E*or: lumenize-sim replay .lumenize/*",
        ]
    )


def test_a_tape_of_a_scenario_names_the_file_that_defines_it(inner: Inner) -> None:
    inner.test(SCENARIOS)
    assert Tape.read(inner.tapes()[0]).path == "test_it.py"


def test_a_tape_of_a_scenario_replays_without_pytest(inner: Inner) -> None:
    """Plain Python says less in a failed assertion, and the digest is the same all the same."""
    result = inner.test(SCENARIOS.replace(', f"the counter says {n}"', ""))
    tape = line_after(result, "or: lumenize-sim replay ")
    again = inner.pytester.run(sys.executable, "-m", "lumenize_sim", "replay", tape, "--json")
    assert again.ret == 1
    said = json.loads(again.stdout.str())
    assert (said["outcome"], said["digest"]) == ("failed", Tape.read(inner.tapes()[0]).digest)


def test_a_mark_may_borrow_app_faults_and_options_from_a_scenario(inner: Inner) -> None:
    inner.test(
        """
@scenario(app, faults=Faults(kinds=("evict",)), options=WorldOptions(step_limit=7_000))
async def base(world):
    assert await clicked(world, "press") == 2


@pytest.mark.mesh(base, schedules=3)
async def test_it(world):
    await base(world)
    assert world.options.step_limit == 7_000


@pytest.mark.mesh(base, schedules=3, options=WorldOptions(step_limit=8_000))
async def test_other(world):
    assert world.options.step_limit == 8_000
"""
    ).assert_outcomes(passed=2)


CHECKED = """
@scenario(app, checks=["stale-write"])
async def test_clicks(world):
    await clicked(world)


@scenario(app)
async def unchecked(world):
    await clicked(world)


@pytest.mark.mesh(test_clicks, schedules=20)
async def test_lent(world):
    await clicked(world)


@pytest.mark.mesh(test_clicks, schedules=20, checks=[])
async def test_none(world):
    await clicked(world)


@pytest.mark.mesh(app, schedules=20, checks=["stale-write"])
async def test_given(world):
    await clicked(world)


@pytest.mark.mesh(app, checks=["stale-writes"])
async def test_unknown(world):
    await clicked(world)


def test_by_hand(mesh_run):
    mesh_run(unchecked, seed=0, strategy="random")
    assert mesh_run(test_clicks, must_pass=False).outcome.failed
    assert mesh_run(unchecked, checks=["stale-write"], must_pass=False).outcome.failed
"""


def test_a_failed_test_names_what_was_logged(inner: Inner) -> None:
    """A call that nobody waits for fails without failing the run, and is often the reason."""
    result = inner.test(
        """
@pytest.mark.mesh(app, schedules=3)
async def test_it(world):
    tab = await world.connect(Tab, sub="alice")
    tab.lmz.call("NOWHERE", "x", tab.ctn(Counter).increment())
    await world.settle()
    assert False
"""
    )
    result.stdout.fnmatch_lines(["*logged: *alice.tab1: Call failed*getDOStub expected*(and 1 more)"])


def test_checks_of_scenario_mark_and_hand_judge(inner: Inner) -> None:
    """They once fell by the wayside: a scenario with checks passed as a test."""
    result = inner.test(CHECKED, "-v")
    for name, outcome in (
        ("clicks", "FAILED"), ("lent", "FAILED"), ("none", "PASSED"), ("given", "FAILED"), ("unknown", "FAILED"),
        ("by_hand", "PASSED"),
    ):  # fmt: skip
        result.stdout.fnmatch_lines([f"test_it.py::test_{name} {outcome}*"])
    result.stdout.fnmatch_lines(["*there is no check 'stale-writes'*"])


# -- other plugins -----------------------------------------------------------------------------


TRIO = """
import trio

runs = []


@pytest.mark.mesh(app, schedules=3)
async def test_ours(world):
    runs.append(1)
    await clicked(world, "press")


@pytest.mark.trio
async def test_theirs(autojump_clock):
    await trio.sleep(1)


def test_count():
    assert len(runs) == 3
"""


@pytest.mark.parametrize("ini", ["trio_mode = true", "trio_mode = false"])
def test_pytest_trio_runs_its_tests_and_we_run_ours(inner: Inner, ini: str) -> None:
    inner.test(TRIO, ini=ini).assert_outcomes(passed=3)


def test_a_mark_of_pytest_trio_on_the_module_does_not_take_our_tests(inner: Inner) -> None:
    inner.test(
        TRIO.replace("runs = []", "runs = []\npytestmark = pytest.mark.trio").replace(
            "def test_count", "async def test_count"
        )
    ).assert_outcomes(passed=3)


@pytest.mark.parametrize("ini", ["trio_mode = true", "trio_mode = false"])
def test_a_failure_looks_the_same_in_trio_mode(inner: Inner, ini: str) -> None:
    result = inner.test(FAILING, ini=ini)
    assert "pytest_trio" not in result.stdout.str()
    assert "lumenize_sim/" not in result.stdout.str()
    result.stdout.fnmatch_lines(
        ['>       assert n == 2, f"the counter says {n}"', "E       AssertionError: the counter says 1"]
    )


@pytest.mark.parametrize("module_mark", ["", "pytestmark = pytest.mark.trio"])
def test_a_fixture_of_pytest_trio_is_refused_by_name(inner: Inner, module_mark: str) -> None:
    text = """


@pytest.fixture
async def tab():
    return 1


@pytest.mark.mesh(app)
async def test_it(world, tab):
    pass
"""
    inner.test(module_mark + text, ini="trio_mode = true").stdout.fnmatch_lines(
        ["fixture 'tab' of test_it is async, and lives in no simulated world*"]
    )


def test_workers_of_xdist_report_the_same(inner: Inner) -> None:
    result = inner.test(FAILING + SCENARIOS, "-n", "2", "--mesh-schedules=4", subprocess=True)
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        ["E*failed on schedule 1 of 4 (fifo), seed 5", "E*replay: pytest test_it.py::test_two_clicks --mesh-replay *"]
    )


# -- across processes ----------------------------------------------------------------------------


def test_two_processes_with_different_hash_seeds_write_the_same_tape(
    inner: Inner, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        inner.test(FAILING.replace("n == 2,", "n is world and n == 2,"), subprocess=True).assert_outcomes(failed=1)
        [path] = inner.tapes()
        tape = Tape.read(path)
        found.append((path.name, tape.digest, tape.log, tape.choices, tape.message))
        path.unlink()
    assert found[0] == found[1]


# -- mesh_run --------------------------------------------------------------------------------------


def test_mesh_run_runs_once_without_surprises_and_returns_the_run(inner: Inner) -> None:
    inner.test(
        """
times = []


async def drive(world):
    times.append(world.seed)
    assert await clicked(world, "press") == 2


@scenario(app, options=WorldOptions(step_limit=7_000))
async def whole(world):
    assert world.options.step_limit == 7_000


def test_it(mesh_run):
    run = mesh_run(app, drive)
    assert times == [0]
    assert run.failure is None and run.tape.choices == () and run.outcome.kind == "passed"
    assert mesh_run(app, drive, seed=3).seed == 3
    assert mesh_run(whole).scenario.name == "whole"
    assert mesh_run(app, whole, options=WorldOptions(step_limit=7_000)).scenario.name == "whole"


def test_must_pass(mesh_run):
    async def fails(world):
        assert await clicked(world) == 2

    run = mesh_run(app, fails, must_pass=False)
    assert isinstance(run.failure, AssertionError)
    with pytest.raises(AssertionError):
        mesh_run(app, fails)


def test_skips(mesh_run):
    async def skips(world):
        pytest.skip("later")

    mesh_run(app, skips)
"""
    ).assert_outcomes(passed=2, skipped=1)


BY_HAND = """
async def drive(world):
    assert await clicked(world) == 2


def test_it(mesh_run):
    mesh_run(app, drive)
"""


def test_a_failed_mesh_run_raises_explained_and_replays(inner: Inner) -> None:
    first = inner.test(BY_HAND)
    first.stdout.fnmatch_lines(
        [
            ">       mesh_run(app, drive)",
            ">       assert await clicked(world) == 2",
            "E*assert 1 == 2",
            "E*racing pair: *",
            "E*tape: .lumenize/drive-*.tape",
            "E*replay: pytest test_it.py::test_it --mesh-replay *",
        ]
    )
    assert "lumenize_sim/" not in first.stdout.str()
    again = inner.run(*line_after(first, "replay: pytest ").split())
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["E*assert 1 == 2"])


def test_mesh_run_says_that_a_replay_diverged(inner: Inner) -> None:
    command = line_after(inner.test(BY_HAND), "replay: pytest ").split()
    inner.pytester.makepyfile(test_it=APP + BY_HAND.replace("clicked(world)", 'clicked(world, "press")'))
    inner.run(*command).stdout.fnmatch_lines(["E*replay diverged at *"])


@pytest.mark.parametrize(
    "call, message",
    [
        ("mesh_run(3)", "*takes the app first, a Mesh or a Scenario, not 3"),
        ("mesh_run(app)", "*mesh_run needs to know what to do with the app*"),
        ("mesh_run(app, lambda world: None)", "*mesh_run runs an `async def drive(world)`, not *"),
    ],
)
def test_mistakes_with_mesh_run_are_told(inner: Inner, call: str, message: str) -> None:
    result = inner.test(f"\n\ndef test_it(mesh_run):\n    {call}\n")
    result.stdout.fnmatch_lines([f">       {call}", f"E*UsageError: {message}"])


def test_the_plugin_knows_its_own_marker_and_options(inner: Inner) -> None:
    inner.run("--markers").stdout.fnmatch_lines(["@pytest.mark.mesh(app_or_scenario, schedules=100, *"])
    inner.run("--help").stdout.fnmatch_lines(["*--mesh-replay=TAPE*"])
    assert Scenario  # loaded before any inner run, as an isinstance check across reloads would not hold
