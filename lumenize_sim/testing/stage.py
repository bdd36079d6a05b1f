"""A stage: a simulated world that stands still between two steps of somebody else's program.

Whoever decides what happens next (Hypothesis, say) runs in its own thread and is not
simulated.  The world runs in another, in the driver of a scenario without a script: it
asks for a step, does it, answers, and waits again.  One of the two threads always waits for the
other, so that nothing depends on their timing; while the world waits its clock stands still.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

import attrs
from hypothesis.control import _current_build_context

from lumenize_sim.check.finding import Finding
from lumenize_sim.errors import SimulatorError
from lumenize_sim.explore.explain import explain
from lumenize_sim.kernel.chooser import FreeChooser
from lumenize_sim.kernel.event import Event
from lumenize_sim.mesh.app import Mesh
from lumenize_sim.world.faults import Faults
from lumenize_sim.world.options import WorldOptions
from lumenize_sim.world.run import Outcome, run_scenario
from lumenize_sim.world.scenario import Scenario
from lumenize_sim.world.world import World

__all__ = ["Deviation", "Stage"]

#: Which time that there is a choice, from 0, and what happens instead: 1, the second event goes before the first;
#: 2, the first is put off until nothing else can happen.
Deviation = tuple[int, int]
#: Real seconds without an event after which a turn is said to spin.  The other thread may take its time.
_PATIENCE_S = 120.0


class _Curtain(BaseException):
    """The end of a stage on which nothing failed."""


class _Deviating:
    """First come, first served, with a few deviations that are counted from `deviate`."""

    def __init__(self) -> None:
        self._deviations: dict[int, int] = {}
        self._nth = 0

    def deviate(self, deviations: Sequence[Deviation]) -> None:
        self._deviations = dict(deviations)
        self._nth = 0

    def created(self, event: Event) -> None:
        """On time."""
        event.priority = 0.0

    def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
        if len(enabled) < 2:
            return 0
        nth = self._nth
        self._nth = nth + 1
        order = sorted(range(len(enabled)), key=lambda index: enabled[index].priority)
        how = self._deviations.get(nth, 0)
        if how == 2:
            enabled[order[0]].priority = 1.0 + nth
        return order[how > 0]


class Stage:
    """A world, and steps in it.

    Args:
        app, options, seed: of the world.
        name: in traces.
    """

    def __init__(self, app: Mesh, *, options: WorldOptions, seed: int, name: str) -> None:
        options = attrs.evolve(options, turn_limit_s=max(options.turn_limit_s, _PATIENCE_S))
        self._scenario = Scenario(name, app, self._drive, Faults(), options, None)
        self._seed = seed
        self._strategy = _Deviating()
        self._steps: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._answers: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._context: Any = None
        self._last: BaseException | None = None
        self._outcome: Outcome | None = None
        self._thread = threading.Thread(target=self._run, name="lumenize-sim-stage", daemon=True)
        self._thread.start()
        self.world: World = self._answer()

    # -- the side that decides ------------------------------------------------------------

    def do(self, step: Callable[[], Any], deviations: Sequence[Deviation] = ()) -> Any:
        """Have ``step`` done in the driver, awaited if it is async, and return what it returned.

        Args:
            deviations: from first come, first served, while it lasts.

        Raises:
            BaseException: what the step raised; or, where the run ended in it, what it ended with.
        """
        if self._outcome is not None:
            raise _error_of(self._outcome)
        self._strategy.deviate(deviations)
        # Hypothesis keeps by thread which example it is at; a step may `note` and `assume` in ours, too.
        self._context = _current_build_context.value
        self._steps.put(step)
        return self._answer()

    def _answer(self) -> Any:
        kind, value = self._answers.get()
        if kind == "done":
            return value
        if kind == "ended":
            self._outcome = value
            raise _error_of(value)
        raise value

    def end(self) -> Finding | None:
        """End the run; returns the racing pair if its last step failed.  May be called twice."""
        outcome = self._outcome
        if outcome is None:
            self._steps.put(None)
            kind, value = self._answers.get()
            if kind != "ended":
                raise value
            outcome = self._outcome = value
        self._thread.join()
        failed = self._last is not None or not isinstance(outcome.error, _Curtain)
        return explain(outcome.trace, ()) if failed and outcome.trace is not None else None

    # -- the side that is simulated ------------------------------------------------------

    def _run(self) -> None:
        try:
            outcome = run_scenario(self._scenario, FreeChooser(self._strategy), seed=self._seed, trace=True)
        except BaseException as error:
            self._answers.put(("error", error))
        else:
            self._answers.put(("ended", outcome))

    async def _drive(self, world: World) -> None:
        self._answers.put(("done", world))
        while True:
            step = self._steps.get()
            if step is None:
                raise self._last or _Curtain()
            try:
                with _current_build_context.with_value(self._context):
                    result = step()
                    if inspect.isawaitable(result):
                        result = await result
            except Exception as error:
                self._last = error
                self._answers.put(("error", error))
            except BaseException as error:
                if not is_verdict(error):
                    raise  # the run's own: it is torn down
                self._last = error
                self._answers.put(("error", error))
            else:
                self._last = None
                self._answers.put(("done", result))


def is_verdict(error: BaseException) -> bool:
    """Whether a test framework says something with it: pytest's skip and fail, Hypothesis's rejections."""
    return type(error).__module__.partition(".")[0] in ("_pytest", "hypothesis")


def _error_of(outcome: Outcome) -> BaseException:
    if isinstance(outcome.error, _Curtain):
        return SimulatorError("a step was asked for after the end of its stage")
    return outcome.error or AssertionError(f"{outcome.kind}: {outcome.message}")
