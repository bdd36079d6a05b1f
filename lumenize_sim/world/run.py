"""One run of one scenario, from the first event to the verdict."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import attrs
import outcome
import trio

from lumenize_sim.errors import LumenizeSimError, UsageError
from lumenize_sim.kernel.chooser import Chooser
from lumenize_sim.kernel.ending import Ending
from lumenize_sim.kernel.event import Event
from lumenize_sim.kernel.kernel import Kernel
from lumenize_sim.kernel.plan import FaultPlan
from lumenize_sim.kernel.watchdog import TurnTimeout
from lumenize_sim.objects.strand import strand_var
from lumenize_sim.trace.event import error_data
from lumenize_sim.trace.recorder import Recorder
from lumenize_sim.trace.trace import Trace
from lumenize_sim.world.cost import CostReport
from lumenize_sim.world.randomness import seed_of
from lumenize_sim.world.scenario import Scenario
from lumenize_sim.world.seats import FreeSeat, ObjectSeat
from lumenize_sim.world.strays import Strays
from lumenize_sim.world.world import World

__all__ = ["Outcome", "run_scenario", "versions"]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"\d")
#: Endings of the kernel that are the app's failures.
_FAILURES = {"deadlock": "deadlock", "step_limit": "step_limit", "cpu_limit": "cpu_limit", "app_error": "app_error"}


def versions() -> dict[str, str]:
    """What a header says about the software."""
    try:
        own = version("lumenize-sim")
    except PackageNotFoundError:
        own = "unknown"
    return {"python": platform.python_version(), "trio": trio.__version__, "lumenize_sim": own}


@attrs.frozen(kw_only=True)
class Outcome:
    """How one run went.

    Attributes:
        kind: ``passed``, ``failed`` (an assertion), ``app_error``, ``deadlock``,
            ``step_limit``, ``cpu_limit`` or ``diverged``.
        message: of a failure, in one line.
        error: the exception behind it.
        trace: what happened, if it was recorded.
        log: arrivals, ``(receiver or None, label)``.
        late: messages that were made late, in microseconds.
        events: how many happened.
        virtual_s: how long it took in virtual time.
        faults: what went wrong, kind to count.
        marks: ``sometimes`` marks, name to whether seen.
        logged: errors that nodes logged; often the first hint.
        steps: for each record of the trace how many events had happened by then.
        looked: what the driver looked at in storage while a trace was kept, object and key, in order.
        watched: whether a monitor read all actors after every turn.
        cost: what the objects used, of a run that was recorded.
    """

    kind: str
    message: str
    error: BaseException | None
    trace: Trace | None
    log: list[tuple[str | None, str]]
    late: dict[str, int]
    events: int
    virtual_s: float
    faults: dict[str, int]
    marks: dict[str, bool]
    logged: list[str]
    watched: bool
    cost: CostReport | None = None
    steps: list[int] = attrs.field(factory=list, repr=False)
    looked: list[tuple[str, str]] = attrs.field(factory=list, repr=False)

    @property
    def failed(self) -> bool:
        """Whether the app broke its property."""
        return self.kind not in ("passed", "diverged")

    @property
    def signature(self) -> tuple[str, str, str]:
        """What makes two failures the same: kind, class of the error, and the line of the app that raised it.

        An error that no line of the app raised, as a monitor's, is known by its text up to the first number.
        """
        error = self.error
        if error is None:
            return (self.kind, "", "")
        place = ""
        if self.kind in ("failed", "app_error"):
            place = raised_at(error) or _NUMBER.split(str(error), maxsplit=1)[0]
        return (self.kind, type(error).__name__, place)


def run_scenario(
    scenario: Scenario,
    chooser: Chooser,
    *,
    plan: FaultPlan | None = None,
    seed: int = 0,
    trace: bool = False,
    tape_flushes: bool = False,
    task_choice: Callable[[str, int], int] | None = None,
    header: dict[str, Any] | None = None,
    prepare: Callable[[World], None] | None = None,
) -> Outcome:
    """Run ``scenario`` once.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        UsageError: the scenario itself was written wrongly.
    """
    plan = FaultPlan() if plan is None else plan  # one that only draws is false
    options = scenario.options.decided(plan)
    recorder = Recorder() if trace or scenario.checks else None
    worlds: list[World] = []
    drive = _Drive(scenario)
    kernel = Kernel(
        chooser,
        strand_var=strand_var,
        on_deadline=lambda due_us, expire: _deadline(worlds[0], due_us, expire),
        step_limit=options.step_limit,
        turn_limit_s=options.turn_limit_s,
        task_choice=task_choice,
    )
    strays = Strays(
        options.epoch_ms,
        seed_of(seed, "strays"),
        lambda: _running_us(worlds[0]) if worlds else 0,
        lambda coroutine: worlds[0].judge.unawaited(coroutine),
    )
    with strays.virtual():
        world = World(scenario.app, kernel, plan, recorder, seed=seed, options=options)
        world.tapes_flushes = tape_flushes
        worlds.append(world)
        if prepare is not None:
            prepare(world)
        ending = kernel.run(lambda: drive.begin(world), lambda ending: drive.verdict(world, ending))
    kind, message, error = drive.judge(ending)
    finished = None
    if recorder is not None:
        finished = drive.trace
    return Outcome(
        kind=kind,
        message=message,
        error=error,
        trace=finished,
        log=chooser.log,
        late=chooser.late,
        events=kernel.steps,
        virtual_s=kernel.now_us / 1_000_000,
        faults=world.fault_counts,
        marks=world.judge.marks,
        logged=world.chronicle.errors_logged,
        watched=world.judge.watched,
        cost=None if world.metering is None else world.metering.report(),
        steps=world.chronicle.steps,
        looked=world.chronicle.looked,
    )


class _Drive:
    """The driver of one run: its task, its end, the verdict."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.result: outcome.Value[None] | outcome.Error | None = None
        self.trace: Trace | None = None

    def begin(self, world: World) -> None:
        seat = world.driver

        def start() -> None:
            seat.spawn(self._drive, (world,))

        world.kernel.post(Event("driver!begin", seat, lambda: seat.run("driver!begin", start), receiver=None))

    async def _drive(self, world: World) -> None:
        try:
            await self.scenario.drive(world)
            await world.settle()
            if world.judge.of_liveness:
                world.quiet()
                await world.settle()
            world.judge.at_end()
            world.judge.by_trace(self.scenario.checks)
        except trio.Cancelled:
            raise
        except (KeyboardInterrupt, GeneratorExit, TurnTimeout):
            raise
        except BaseException as error:
            # Also what is no Exception: sys.exit, and the outcomes of test frameworks.
            self._done(world, outcome.Error(error))
        else:
            self._done(world, outcome.Value(None))

    def _done(self, world: World, result: outcome.Value[None] | outcome.Error) -> None:
        if self.result is None and not world.closed:
            self.result = result
            world.kernel.finish(Ending("done"))

    def verdict(self, world: World, ending: Ending) -> None:
        """The ending is fixed: close the trace, refuse every effect."""
        kind, _, error = self.judge(ending)
        if world.chronicle.tracing:
            data: dict[str, Any] = {"outcome": kind}
            if error is not None:
                data.update(error_data(error))
                if isinstance(error, AssertionError):
                    data["message"] = said_by(error)
            header = {"scenario": self.scenario.name, "seed": world.seed, "versions": versions()}
            self.trace = world.chronicle.close(data, header)
        world.closed = True
        for machine in world.machines:
            if machine.incarnation is not None:
                machine.host.faulty = False
                machine.host.tracing = False
                machine.stop()
        for client in world.clients:
            client._owner.seat.finish()

    def judge(self, ending: Ending) -> tuple[str, str, BaseException | None]:
        """Kind, message and error of the run."""
        if ending.kind == "done":
            result = self.result
            if not isinstance(result, outcome.Error):
                return "passed", "", None
            error = result.error
            if isinstance(error, UsageError):
                raise error
            judged = isinstance(error, AssertionError) or not isinstance(error, Exception | SystemExit)
            kind = "failed" if judged else "app_error"
            return kind, describe_error(error), error
        if ending.kind == "diverged":
            return "diverged", ending.detail, ending.error
        return _FAILURES.get(ending.kind, ending.kind), ending.detail, ending.error


def said_by(error: AssertionError) -> str:
    """What the author of an assertion said, which is what plain Python says.

    pytest rewrites assertions so that values are in the message, with addresses where a
    value has no better representation.  A digest must be the same without pytest, and in
    any process.
    """
    text = str(error)
    return "" if text.startswith("assert ") else text.partition("\nassert ")[0]


def raised_at(error: BaseException) -> str:
    """``file.py:line`` of the innermost frame that is the app's; empty where there is none."""
    place = ""
    traceback = error.__traceback__
    while traceback is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "")
        if not module.startswith(("lumenize_sim.", "trio.", "outcome.")):
            place = f"{traceback.tb_frame.f_code.co_filename.rpartition('/')[2]}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def describe_error(error: BaseException) -> str:
    """One line: class and first line of the text, without addresses, and where it was raised."""
    text = str(error).strip().splitlines()
    line = _ADDRESS.sub("", text[0]) if text else ""
    place = raised_at(error)
    where = f" ({place})" if place else ""
    name = type(error).__name__
    if isinstance(error, LumenizeSimError):
        return f"{line}{where}"
    return f"{name}: {line}{where}" if line else f"{name}{where}"


def _deadline(world: World, due_us: int, expire: Callable[[], None]) -> Any:
    strand = strand_var.get()
    seat = strand.owner.seat if strand is not None else world.driver
    return seat.deadline(due_us, expire)


def _running_us(world: World) -> int:
    """Virtual microseconds as whoever runs now sees them: an object's clock has rules of its own (TM-1, TM-2)."""
    strand = strand_var.get()
    seat = None if strand is None else strand.owner.seat
    if type(seat) is ObjectSeat:
        return seat.incarnation.clock.now_us()
    return world.kernel.agenda.now_us + (seat.skew_us if type(seat) is FreeSeat else 0)
