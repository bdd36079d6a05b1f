"""What ends a run as failed: monitors, checks of the trace, and errors of the app that nobody could hear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lumenize_sim.check.findings import Check, find
from lumenize_sim.check.monitors import LeadsTo
from lumenize_sim.errors import AppError
from lumenize_sim.kernel.ending import Ending
from lumenize_sim.objects.strand import strand_var

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["Judge"]


class Judge:
    """Of one world.

    Attributes:
        marks: what was worth reaching, name to whether it was reached.
        watched: whether a monitor reads all actors after every turn, so that the order of all events counts.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._always: list[tuple[str, Callable[[], Any]]] = []
        self._eventually: list[tuple[str, Callable[[], Any]]] = []
        self._leads: list[tuple[LeadsTo, Callable[[], Any], Callable[[], Any]]] = []
        self.marks: dict[str, bool] = {}
        self.watched = False

    # -- monitors --------------------------------------------------------------------------

    def always(self, name: str, holds: Callable[[], Any]) -> None:
        """See `World.always`."""
        self._always.append((name, holds))
        self._watch()

    def eventually(self, name: str, holds: Callable[[], Any]) -> None:
        """See `World.eventually`."""
        self._eventually.append((name, holds))

    def leads_to(self, name: str, cause: Callable[[], Any], effect: Callable[[], Any]) -> None:
        """See `World.leads_to`."""
        self._leads.append((LeadsTo(name), cause, effect))
        self._watch()

    def sometimes(self, name: str, happened: Any) -> None:
        """See `World.sometimes`."""
        self.marks[name] = self.marks.get(name, False) or bool(happened)
        if happened:
            self._world.chronicle.mark(name)

    @property
    def of_liveness(self) -> bool:
        """Whether something is to hold at last, so that the run must end in peace."""
        return bool(self._leads or self._eventually)

    def _watch(self) -> None:
        self.watched = True
        self._world.kernel.after_turn = self._turn_over

    def _turn_over(self) -> None:
        try:
            self._judge_always()
            self._observe_leads()
        except Exception as error:
            kind = "failed" if isinstance(error, AssertionError) else "app_error"
            self._world.kernel.finish(Ending(kind, str(error), error))

    def _judge_always(self) -> None:
        for name, holds in self._always:
            if not holds():
                raise AssertionError(f"always {name!r} does not hold")

    def _observe_leads(self) -> None:
        for leads, cause, effect in self._leads:
            leads.observe(bool(cause()), bool(effect()), t_us=self._world.kernel.now_us)

    # -- the end ---------------------------------------------------------------------------

    def at_end(self) -> None:
        """Judge all monitors at the end.

        Raises:
            AssertionError: one does not hold.
        """
        self._judge_always()
        for name, holds in self._eventually:
            if not holds():
                raise AssertionError(f"eventually {name!r} does not hold at the end")
        self._observe_leads()
        for leads, _, _ in self._leads:
            owed = leads.owed
            if owed is not None:
                raise AssertionError(f"{leads.name!r}: what held after {owed[1] / 1000:g} ms has led to nothing")

    def by_trace(self, checks: Sequence[Check]) -> None:
        """Judge by what the trace shows so far.

        Raises:
            AssertionError: the first finding.
        """
        trace = self._world.chronicle.so_far() if checks else None
        if trace is not None:
            for finding in find(trace, checks):
                raise AssertionError(finding.message)

    # -- errors of the app -------------------------------------------------------------------

    def app_error(self, actor: str, label: str, error: BaseException) -> None:
        """Code of the app raised where nobody could hear it: the run has failed."""
        if not self._world.closed:
            self._world.kernel.finish(Ending("app_error", f"{actor}, {label}: {type(error).__name__}: {error}", error))

    def unawaited(self, coroutine: Any) -> None:
        """The app called an async function of its own and awaited nothing: it has not run at all."""
        if self._world.closed:
            return
        code = coroutine.cr_code
        place = f"{code.co_filename.rpartition('/')[2]}:{code.co_firstlineno}"
        error = AppError(
            f"coroutine {coroutine.__qualname__!r} ({place}) was never awaited, so it did nothing: "
            "await it, or drop the call"
        )
        strand = strand_var.get()
        self.app_error(strand.owner.name if strand else "driver", coroutine.__qualname__, error)
