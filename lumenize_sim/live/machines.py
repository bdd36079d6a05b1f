"""The objects of one server: a machine and a file for each, found by name or id."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextvars import Context
from typing import Any, Final

import trio

from lumenize_sim.live.calls import NO_SOCKETS_BETWEEN_NODES, Calls
from lumenize_sim.live.files import Files
from lumenize_sim.live.loop import NOBODY, Loop
from lumenize_sim.live.seats import ObjectSeat
from lumenize_sim.mesh.app import Mesh
from lumenize_sim.objects.host import Host, TimerHandle
from lumenize_sim.objects.ids import DurableObjectId, id_from_name
from lumenize_sim.objects.machine import ObjectMachine
from lumenize_sim.objects.storage import ConnectionPool
from lumenize_sim.objects.strand import Owner, strand_var

__all__ = ["EVICT_AFTER_S", "HIBERNATE_AFTER_S", "MachineHost", "Machines"]

HIBERNATE_AFTER_S: Final = 10.0  #: LC-14
EVICT_AFTER_S: Final = 140.0  #: LC-15
_OPEN_FILES: Final = 256

SendFrame = Callable[[Any, str, Any], None]
CutSocket = Callable[[Any], None]


class Machines:
    """All objects that were ever addressed.

    Attributes:
        by_key: by binding and id.
        on_frame, on_cut: where frames of objects go, and the loss of their sockets.
        stopped: nothing happens here any more.
    """

    def __init__(
        self,
        loop: Loop,
        host: Host,
        app: Mesh,
        files: Files,
        *,
        hibernate_after_s: float = HIBERNATE_AFTER_S,
        evict_after_s: float = EVICT_AFTER_S,
    ) -> None:
        self.loop = loop
        self.host = host
        self.app = app
        self.files = files
        self.calls = Calls(loop, host, app, self)
        self.by_key: dict[tuple[str, str], ObjectMachine] = {}
        self.on_frame: SendFrame = _nowhere
        self.on_cut: CutSocket = _nowhere
        self._pool = ConnectionPool(_OPEN_FILES)
        self._idle: dict[ObjectMachine, int] = {}
        self._watching = False
        self.stopped = False
        self._hibernate_us = round(hibernate_after_s * 1_000_000)
        self._evict_us = round(evict_after_s * 1_000_000)

    def named(self, binding: str, name: str) -> ObjectMachine:
        """The machine behind a name."""
        return self.machine(binding, id_from_name(binding, name))

    def machine(self, binding: str, object_id: DurableObjectId, alarm_ms: int | None = None) -> ObjectMachine:
        """The machine behind an id; made at first use, which creates no instance (LC-6).

        ``alarm_ms`` is the alarm that its file holds.
        """
        key = (binding, object_id.hex)
        found = self.by_key.get(key)
        if found is None:
            name = f"{binding}/{object_id.name if object_id.name is not None else object_id.hex[:12]}"
            host = MachineHost(self, name)
            found = host.machine = self.by_key[key] = ObjectMachine(
                host, name, self.app.bindings[binding], object_id,
                lambda incarnation: self.calls.env_for(ObjectSeat(self.loop, incarnation)),
                durable=self.files.durable(binding, object_id, alarm_ms), pool=self._pool,
            )  # fmt: skip
        elif object_id.name is not None and found.id.name is None and found.incarnation is None:
            # The id of an instance is that of the stub which builds it (LC-5).
            found.id = object_id
        return found

    def wake_alarms(self) -> None:
        """Set the alarms that an earlier process left behind."""
        for binding, object_id, alarm_ms in self.files.alarms(self.app):
            self.machine(binding, object_id, alarm_ms)

    def idle(self, machine: ObjectMachine) -> None:
        """``machine`` has nothing to do from now on."""
        self._idle.pop(machine, None)
        self._idle[machine] = self.loop.now_us()
        self._watch()

    def _watch(self) -> None:
        if not self._watching and self._idle:
            self._watching = True
            since = next(iter(self._idle.values()))
            due_us = max(since + self._hibernate_us, self.loop.now_us() + min(1_000_000, self._hibernate_us))
            self.loop.post_at(NOBODY, self._sweep, due_us)

    def _sweep(self) -> None:
        self._watching = False
        if self.stopped:
            return
        now_us = self.loop.now_us()
        for machine, since in list(self._idle.items()):
            if now_us - since < self._hibernate_us:
                break
            evicts = now_us - since >= self._evict_us and not machine.succession.protected_us()
            if machine.incarnation is None or machine.hibernate() or (evicts and machine.evict()):
                del self._idle[machine]
        self._watch()

    def stop(self) -> None:
        """Close every store; nobody is told, and nothing arrives any more."""
        self.stopped = True
        for machine in self.by_key.values():
            machine.stop()
        self.loop.reap()


def _nowhere(*_: Any) -> None:
    pass


class _PromptAlarms:
    """The alarm scheduler of this process: nothing of it can fail but the process itself (section 11)."""

    def told_after_us(self) -> int:
        """At once."""
        return 0

    def late_us(self) -> int:
        """In time."""
        return 0

    def reaches(self) -> bool:
        """Always."""
        return True

    def comes_twice(self) -> bool:
        """Never."""
        return False

    def jitter_ms(self, bound: int) -> int:
        """Uniform (AL-22)."""
        return random.randrange(bound)


class MachineHost:
    """What one machine asks; also the loop's actor for it.  Nothing goes wrong on purpose, nothing is traced."""

    tracing = False
    faulty = False
    alarms = _PromptAlarms()
    machine: ObjectMachine

    def __init__(self, machines: Machines, name: str) -> None:
        self.name = name
        self.host = machines.host
        self.loop = machines.loop
        self._machines = machines
        self._tasks = 0

    # -- the loop's actor ------------------------------------------------------------

    @property
    def gone(self) -> bool:
        """Nothing arrives here any more."""
        return self._machines.stopped

    def end_turn(self) -> bool:
        """See `ObjectMachine.end_turn`."""
        return self.machine.end_turn()

    def break_off(self, error: Exception) -> None:
        """The instance is reset."""
        self.machine.reset(error)

    # -- what the machine asks ---------------------------------------------------------

    def now_us(self) -> int:
        """Microseconds since the loop began."""
        return self.loop.now_us()

    def elapsed_us(self) -> int:
        """The clock stands still during a turn."""
        return 0

    def begin_turn(self, owner: Owner) -> None:
        """See `RunQueue.begin_turn`."""
        self.loop.queue.begin_turn(owner)

    def class_of(self, cls: type) -> type:
        """Nobody watches."""
        return cls

    def start(self, context: Context, async_fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Begin a task."""
        self._tasks += 1
        self.loop.start(context, self._counted, (async_fn, args))

    async def _counted(self, async_fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        strand = strand_var.get()
        try:
            with trio.CancelScope() as scope:
                if strand is not None and strand.owner.dead:
                    scope.cancel()
                await async_fn(*args)
        except BaseException as error:
            self.loop.let_end(error)
        finally:
            self._tasks -= 1

    def admit(self, task: Any) -> None:
        """See `RunQueue.admit`."""
        self.loop.queue.admit(task)

    def drop_ready(self) -> None:
        """An instance has died: its tasks end."""
        if self._tasks:
            self.loop.reap()

    def interrupt(self, error: BaseException) -> None:
        """See `Loop.interrupt`."""
        self.loop.interrupt(error)

    def wake_label(self, owner: Owner) -> str:
        """Nobody reads it."""
        return f"{owner.name}!wake"

    def cause(self) -> int:
        """Nothing is traced."""
        return -1

    def caused(self, effect: Callable[[], None]) -> Callable[[], None]:
        """Nothing is traced."""
        return effect

    def post(self, label: str, fire: Callable[[], None], *, cause: int = -1) -> None:
        """An event of this object."""
        self.loop.post(self, fire)

    def post_hop(self, label: str, fire: Callable[[], None]) -> None:
        """Events happen in order here."""
        self.loop.post(self, fire)

    def post_read(self, label: str, fire: Callable[[], None]) -> None:
        """Only classes of the legacy backend wait, and only without a data folder."""
        self.loop.post(self, fire)

    def post_flush(self, label: str, fire: Callable[[], None], after_us: int) -> None:
        """Not reached: a commit is durable when it returns."""
        self.loop.post_at(self, fire, self.loop.now_us() + after_us)

    def post_at(self, label: str, fire: Callable[[], None], due_us: int, *, background: bool = False) -> TimerHandle:
        """A later event of this object."""
        return self.loop.post_at(self, fire, due_us)

    def flush_after_us(self, commit: int) -> int | None:
        """A commit to a file with ``synchronous=FULL`` is durable at once."""
        return None

    def fault(self, kind: str, bound: int = 2, *, possible: bool = True) -> int:
        """Nothing goes wrong on purpose."""
        return 0

    def overload(self) -> int:
        """Nothing is refused on purpose."""
        return 0

    def isolate_gone(self, *, spared: bool = False) -> None:
        """The others live on: they share a process, and what one of them has written does not fill its memory."""

    def record(self, kind: str, label: str, data: Any = None, cause: int = -1, where: str | None = None) -> int:
        """Nothing is traced."""
        return -1

    def record_end(self, label: str, result: Any) -> None:
        """Nothing is traced."""

    def record_access(self, kind: str, key: str, strand: Any) -> None:
        """Nothing is traced."""

    def socket_send(self, record: Any, kind: str, payload: Any) -> None:
        """A frame or close leaves."""
        if kind == "dial":
            frames, error = self.machine.frames, ConnectionError(NO_SOCKETS_BETWEEN_NODES)
            self._machines.loop.post(self, lambda: frames.answered(f"{self.name}!dial", record, error))
            return
        self._machines.on_frame(record, kind, payload)

    def socket_cut(self, record: Any) -> None:
        """The object's end is gone."""
        self._machines.on_cut(record)

    def idle(self) -> None:
        """Watch how long."""
        self._machines.idle(self.machine)
