"""What a test may look at and do to one object from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lumenize_sim.check.lives import table_of
from lumenize_sim.errors import UsageError
from lumenize_sim.objects.life import Life
from lumenize_sim.objects.rpc_errors import OVERLOADS
from lumenize_sim.objects.storage import StoreHooks, open_store, storage_over
from lumenize_sim.world.deploy import isolate_gone
from lumenize_sim.world.object_host import host_of

if TYPE_CHECKING:
    from lumenize_sim.objects.machine import ObjectMachine
    from lumenize_sim.world.world import World

__all__ = ["ObjectView"]


class _StorageView:
    """Reads of one object's storage, whether an instance is in memory or not.  Leaves no record in the trace."""

    def __init__(self, world: World, machine: ObjectMachine) -> None:
        self._world = world
        self._machine = machine

    def __getattr__(self, name: str) -> Any:
        return _Reader(self, (name,))

    def _read(self, path: tuple[str, ...], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        machine = self._machine
        if self._world.chronicle.tracing and args:
            # Explanations look first at what the driver has judged by.
            key = str(args[0])
            self._world.chronicle.looked.append((machine.name, table_of(key) if path[0] == "sql" else key))
        incarnation = machine.incarnation
        now_ms = machine.host.host.now_ms
        if incarnation is not None:
            with incarnation.store.aside():
                return self._found(incarnation.state.storage, path, args, options)
        store = open_store(machine.cls, machine.options, machine.durable, StoreHooks(), now_ms=now_ms)
        try:
            return self._found(storage_over(store, machine.cls, machine.options, now_ms), path, args, options)
        finally:
            store.commit()
            store.settle()
            store.close()

    def _found(self, storage: Any, path: tuple[str, ...], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        found = storage
        for name in path:
            found = getattr(found, name)
        result = found(*args, **options)
        if path == ("sql", "exec"):
            return result.to_array()
        if path == ("kv", "list"):
            return list(result)
        if hasattr(result, "when_done"):
            values: list[Any] = []
            result.when_done(values.append)
            return values[0].unwrap()
        return result


class _Reader:
    def __init__(self, view: _StorageView, path: tuple[str, ...]) -> None:
        self._view = view
        self._path = path

    def __getattr__(self, name: str) -> Any:
        return _Reader(self._view, (*self._path, name))

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._view._read(self._path, args, options)


class ObjectView:
    """One object, from outside.

    Attributes:
        storage: ``.kv.get(key)``, ``.get(key)``, ``.sql.exec(...)`` (a list of rows), ``.kv.list()``.
    """

    def __init__(self, world: World, machine: ObjectMachine) -> None:
        self._world = world
        self._machine = machine
        self.storage: Any = _StorageView(world, machine)

    @property
    def name(self) -> str:
        """``"BINDING/instance"``."""
        return self._machine.name

    @property
    def instance(self) -> Any:
        """The live instance, or ``None``."""
        incarnation = self._machine.incarnation
        return None if incarnation is None else incarnation.isolate.instance

    @property
    def in_memory(self) -> bool:
        """Whether an instance is alive."""
        return self._machine.incarnation is not None

    @property
    def alarm_ms(self) -> int | None:
        """The alarm time, in epoch milliseconds."""
        incarnation = self._machine.incarnation
        return self._machine.durable.alarm_ms if incarnation is None else incarnation.store.alarm_ms

    @property
    def sockets(self) -> int:
        """How many hibernatable web sockets are attached."""
        return len(self._machine.sockets)

    @property
    def incarnations(self) -> int:
        """How many instances there have been."""
        return self._machine.incarnations

    def evict(self) -> None:
        """Memory and sockets are lost.

        Raises:
            UsageError: the object is busy; settle first.
        """
        self._must(self._machine.evict(), "evict")

    def hibernate(self) -> None:
        """Memory is lost, sockets are kept.

        Raises:
            UsageError: the object is busy, or waits for a call or a timer; settle first.
        """
        self._must(self._machine.hibernate(), "hibernate")

    @property
    def life(self) -> Life:
        """Where it is in its life (1.3)."""
        return self._machine.life

    @property
    def stale(self) -> int:
        """How many instances that were replaced still have something in flight (LC-11)."""
        return len(self._machine.succession.stale)

    def relocate(self) -> None:
        """It goes on elsewhere: sockets are cut, and the next event builds a new instance (LC-10 to LC-12).

        What is in flight here finishes, unless it touches storage.
        """
        self._machine.end("relocate")
        self._world.chronicle.count_fault("relocate")

    def exceed_cpu(self) -> None:
        """It has used up its CPU time, and is reset (LC-36)."""
        self._machine.end("cpu-limit")
        self._world.chronicle.count_fault("cpu-limit")

    def exceed_memory(self) -> None:
        """Its isolate has used up its memory: all objects in it will be reset (LC-37, `WorldOptions.isolates`)."""
        isolate_gone(self._world, self._machine)
        self._world.chronicle.count_fault("memory-limit")

    def refuse_next_call(self, reason: int = 1) -> None:
        """The next call fails as overloaded, and does not run (LC-38).

        Args:
            reason: 1 too many requests queued, 2 too much data queued, 3 requests queued for too long, 4 too many
                requests within ten seconds.
        """
        if not 1 <= reason <= len(OVERLOADS):
            raise UsageError(f"there is no reason {reason!r} to refuse a call; use 1 to {len(OVERLOADS)}")
        host = host_of(self._machine)
        host.refuses_next, host.faulty = reason, True
        self._world.chronicle.count_fault("overload")

    def crash(self) -> None:
        """The process is gone, with every write that is not durable."""
        self._machine.crash()
        self._world.chronicle.count_fault("crash")

    def fail_next_flush(self) -> None:
        """The next commit does not become durable, which resets the object (OG-10)."""
        host_of(self._machine).next_flush_us = -1

    def slow_next_flush(self, seconds: float) -> None:
        """The next commit becomes durable only after ``seconds``; those that follow wait behind it (OG-20)."""
        if not 0 <= seconds < 1e9:
            raise UsageError(f"a flush cannot take {seconds!r} s; use 0 or more, and 1e6 for one that never ends")
        host_of(self._machine).next_flush_us = round(seconds * 1_000_000)

    def slow_next_reads(self, *seconds: float) -> None:
        """The next reads that wait for the disk take so long, in order; of a class on the legacy backend (IG-5)."""
        for one in seconds:
            if not 0 <= one < 1e9:
                raise UsageError(f"a read cannot take {one!r} s; use 0 or more, and 1e6 for one that never ends")
            host_of(self._machine).next_reads_us.append(round(one * 1_000_000))

    def delay_next_alarm(self, seconds: float) -> None:
        """The next alarm to fall due comes that much late (AL-11)."""
        if not 0 <= seconds < 1e9:
            raise UsageError(f"an alarm cannot be {seconds!r} s late; use 0 or more")
        host_of(self._machine).alarms.next_late_us = round(seconds * 1_000_000)

    def fail_next_scheduling(self) -> None:
        """The alarm scheduler cannot be told of the next change: an earlier time resets the object (AL-8)."""
        host_of(self._machine).alarms.fails_next = True

    def _must(self, done: bool, verb: str) -> None:
        if done:
            self._world.chronicle.count_fault(verb)
        elif self._machine.incarnation is not None:
            raise UsageError(f"{self.name} is busy and cannot {verb} now: `await world.settle()` first")

    def __repr__(self) -> str:
        return f"<object {self.name} {'in memory' if self.in_memory else 'not in memory'}>"
