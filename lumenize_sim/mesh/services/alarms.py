"""``svc.alarms``: any number of alarms over the one that the platform gives (AL-1 … AL-21).

Each is a row with a chain to run and a time in whole seconds.  The native alarm is set
to the earliest row; when it fires, everything due runs, one row at a time, earliest
first.  A row is removed (or moved on, for cron) after its handler has run, so a crash in
between runs it again: at least once.
"""

from __future__ import annotations

from typing import Any, Final

from lumenize_sim.clone import stringify
from lumenize_sim.mesh.chain import is_awaitable
from lumenize_sim.mesh.continuation import Handler, get_operation_chain
from lumenize_sim.mesh.errors import MeshError
from lumenize_sim.mesh.services.cron import next_occurrence
from lumenize_sim.mesh.services.registry import NadisPlugin
from lumenize_sim.mesh.services.schedule import Kind, Schedule, Ulids, When, plan

__all__ = ["TABLE", "Alarms", "recover"]

TABLE: Final = "__lmz_alarms"
_NAMESPACE: Final = "lmz.alarms.Alarms"
_CREATE: Final = f"""CREATE TABLE IF NOT EXISTS {TABLE}(
    id TEXT PRIMARY KEY NOT NULL,
    operationChain TEXT NOT NULL,
    type TEXT NOT NULL CHECK(type IN ('scheduled', 'delayed', 'cron')),
    time INTEGER NOT NULL,
    delayInSeconds INTEGER,
    cron TEXT,
    created_at INTEGER DEFAULT (unixepoch())
)"""
_NEXT: Final = f"SELECT * FROM {TABLE} ORDER BY time, id LIMIT 1"


class Alarms(NadisPlugin):
    """See the module.  All methods but `trigger_alarms` act at once."""

    def __init__(self, do_instance: Any) -> None:
        super().__init__(do_instance)
        self._sql = self.svc.sql
        self._ulids = Ulids()
        self._renewed: dict[str, int] = {}  # how often each given id was scheduled
        self._sql(_CREATE)

    def schedule(self, when: When, continuation: Handler, *, id: str | None = None) -> Schedule:
        """Run ``self.ctn().handler(…)`` later; it needs no ``@mesh`` and has no call context (AL-19).

        Args:
            when: an aware ``datetime``; seconds from now, or a ``timedelta``; or a cron expression (AL-8).
            continuation: its arguments may be anything that can be stored, and survive eviction (AL-21).
            id: by default one that sorts in order of creation; a row of the same id is replaced (AL-7).

        Raises:
            MeshError: no continuation, no such ``when``, or a cron expression that is none.
            AppError: a ``datetime`` without a time zone.
            DataCloneError: an argument that cannot be stored.
        """
        chain = get_operation_chain(continuation)
        if chain is None:
            text = "Invalid continuation: must be created with newContinuation() or this.ctn()"
            self._log(text, {})
            raise MeshError(text)
        kind, time, delay, cron = plan(when, self._now_ms())
        if id is not None:
            self._renewed[id] = self._renewed.get(id, 0) + 1
        else:
            id = self._ulids.next(self._now_ms(), self.do_instance.lmz.random)
        self._sql(
            f"INSERT OR REPLACE INTO {TABLE}(id, operationChain, type, time, delayInSeconds, cron, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(id, stringify(chain), kind, time, delay, cron, self._now_s()),
        )
        self._arm()
        return Schedule(id=id, operation_chain=chain, type=kind, time=time, delay_in_seconds=delay, cron=cron)

    def get_schedule(self, id: str) -> Schedule | None:
        """The schedule of that id, or ``None`` (AL-9)."""
        rows = self._sql(f"SELECT * FROM {TABLE} WHERE id = ?", id)
        return Schedule.of_row(rows[0]) if rows else None

    def get_schedules(
        self,
        *,
        id: str | None = None,
        type: Kind | None = None,
        start: int | None = None,
        end: int | None = None,
    ) -> list[Schedule]:
        """All schedules that meet every condition given, in order of time (AL-10).

        Args:
            id: of this id.
            type: of this kind.
            start, end: due from and up to these epoch seconds, both included.
        """
        conditions = {"id = ?": id, "type = ?": type, "time >= ?": start, "time <= ?": end}
        given = {text: value for text, value in conditions.items() if value is not None}
        where = f" WHERE {' AND '.join(given)}" if given else ""
        rows = self._sql(f"SELECT * FROM {TABLE}{where} ORDER BY time, id", *given.values())
        return [Schedule.of_row(row) for row in rows]

    def cancel_schedule(self, id: str) -> Schedule | None:
        """Remove a schedule and return it; ``None`` for whoever comes second (AL-11)."""
        found = self.get_schedule(id)
        if found is not None:
            self._sql(f"DELETE FROM {TABLE} WHERE id = ?", id)
            self._arm()
        return found

    async def alarm(self, info: Any = None) -> None:
        """The native alarm fired: everything due runs (AL-14).  For `LumenizeDO`."""
        due = self._due()
        if due:
            await self.trigger_alarms(due)
        else:
            # The original leaves the native alarm unset here.  It has fired too early only where the clock
            # went back, and then all schedules would stop until the next one is made.
            self._arm()

    async def trigger_alarms(self, count: int | None = None) -> list[str]:
        """Run the ``count`` earliest schedules, due or not; without a count all that are due (AL-15, AL-16).

        A handler that raises is logged, and its row is removed or moved on all the same (AL-17).

        Returns:
            The ids of those that ran to their end.
        """
        if count is None:
            count = self._due()
        done: list[str] = []
        for _ in range(count):
            rows = self._sql(_NEXT)
            if not rows:
                break
            row = rows[0]
            renewed = self._renewed.get(row["id"], 0)
            if await self._run(row):
                done.append(row["id"])
            # A handler that schedules its own id again keeps the new row, where the original deletes it (AL-18).
            if self._compat or self._renewed.get(row["id"], 0) == renewed:
                self._move_on(row)
        self._arm()
        return done

    async def _run(self, row: dict[str, Any]) -> bool:
        try:
            schedule = Schedule.of_row(row)
            result = self.do_instance._local_chain_executor(schedule.operation_chain, require_mesh_decorator=False)
            if is_awaitable(result):
                await result
        except Exception as error:
            self._log("Error executing alarm", {"id": row["id"], "error": str(error)})
            return False
        return True

    def _move_on(self, row: dict[str, Any]) -> None:
        if row["type"] == "cron":
            time = next_occurrence(row["cron"], self._now_ms())
            self._sql(f"UPDATE {TABLE} SET time = ? WHERE id = ?", time, row["id"])
        else:
            self._sql(f"DELETE FROM {TABLE} WHERE id = ?", row["id"])

    def _arm(self) -> None:
        """Set the native alarm to the earliest schedule (AL-12), also where that is due already (AL-13)."""
        now_s = self._now_s()
        after = now_s if self._compat else -1
        rows = self._sql(f"SELECT min(time) AS time FROM {TABLE} WHERE time > ?", after)
        if rows[0]["time"] is not None:
            self.ctx.storage.set_alarm(max(rows[0]["time"] * 1000, 1))

    def _due(self) -> int:
        count: int = self._sql(f"SELECT count(*) AS n FROM {TABLE} WHERE time <= ?", self._now_s())[0]["n"]
        return count

    def _now_ms(self) -> int:
        now: int = self.do_instance.lmz.now()
        return now

    def _now_s(self) -> int:
        return self._now_ms() // 1000

    @property
    def _compat(self) -> bool:
        return bool(self.do_instance.lmz.compat == "0.26")

    def _log(self, message: str, data: dict[str, Any]) -> None:
        self.do_instance.lmz._log(_NAMESPACE, message, data)


def recover(do_instance: Any) -> None:
    """An object was constructed: what fell due meanwhile runs now (AL-20).

    The native alarm is never lost, so this concerns rows that had none (AL-13).
    """
    storage = do_instance.ctx.storage
    if storage.sql.has_table(TABLE):
        now_ms = do_instance.lmz.now()
        if storage.sql.exec(f"SELECT 1 FROM {TABLE} WHERE time <= ? LIMIT 1", now_ms // 1000).to_array():
            storage.set_alarm(now_ms)


NadisPlugin.register("alarms", Alarms)
