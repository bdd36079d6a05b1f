"""A test's own way into one live object: any path, any method, no ``@mesh`` (TS-2).

``client = create_testing_client(world, "COUNTER", "c1")`` records what is done to it as
the mesh does, and awaiting runs it in one turn of the object, through its input gate like
any other event and held by its output gate like any other answer::

    await client.increment(2)
    await client.ctx.storage.kv.get("n")
    await client.ctx.get_web_sockets()[0].close(4403, "revoked")

There is no call context, no guard, no identity; names with an underscore are reached too.
It wakes an object that is not in memory.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import outcome

from lumenize_sim.clone import structured_clone
from lumenize_sim.errors import UsageError
from lumenize_sim.kernel.event import Event
from lumenize_sim.objects.arrival import Arrival
from lumenize_sim.objects.isolate import is_awaitable
from lumenize_sim.objects.pending import Outcome, Pending

if TYPE_CHECKING:
    from lumenize_sim.objects.incarnation import Incarnation
    from lumenize_sim.world.world import World

__all__ = ["TestingClient", "as_object", "create_testing_client"]

#: ``("get", name)``, ``("item", key)``, ``("apply", args, kwargs)`` or ``("members",)``.
Step = tuple[Any, ...]


class TestingClient:
    """What `create_testing_client` gives: a path into one object, longer with every step, and run by awaiting."""

    __test__ = False  # pytest: the name is no test's
    __slots__ = ("_run", "_steps")

    def __init__(self, run: Callable[[tuple[Step, ...]], Pending[Any]], steps: tuple[Step, ...] = ()) -> None:
        self._run = run
        self._steps = steps

    def __getattr__(self, name: str) -> TestingClient:
        if name[:2] == "__":
            raise AttributeError(name)
        return TestingClient(self._run, (*self._steps, ("get", name)))

    def __getitem__(self, key: Any) -> TestingClient:
        return TestingClient(self._run, (*self._steps, ("item", key)))

    def __call__(self, *args: Any, **kwargs: Any) -> TestingClient:
        # Snapshots of this moment, as of any call.
        copied = structured_clone(list(args)), structured_clone(kwargs)
        return TestingClient(self._run, (*self._steps, ("apply", *copied)))

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._run(self._steps).__await__()

    def __iter__(self) -> Any:
        raise TypeError("a path into an object is awaited as a whole, not iterated")

    def __repr__(self) -> str:
        return f"<testing client of {len(self._steps)} steps>"


def create_testing_client(world: World, binding: str, name: str) -> Any:
    """A client of one object of ``world``, for its driver.

    Results are copies where they can be copied, else the objects themselves; errors are raised as they are.

    Raises:
        UsageError: there is no such binding.
    """
    world.object(binding, name)  # refuses what is no object's binding
    machine = world.machines.named(binding, name)
    host: Any = machine.host
    seat = world.driver

    def run(steps: tuple[Step, ...]) -> Pending[Any]:
        label = f"driver?{machine.name}#{seat.next_call(f'?{machine.name}')}"
        pending: Pending[Any] = Pending(label)

        def reply(result: Outcome) -> None:
            world.kernel.post(seat.event(f"{label}/r", pending.settle, result))

        def turn(incarnation: Incarnation) -> None:
            instance = incarnation.isolate.instance
            incarnation.invoke(label, lambda: _judged(instance, steps), (), lambda result: reply(_told(result)))

        def fire() -> None:
            world.chronicle.deliver(machine.name, label, -1)
            machine.arrive(
                Arrival("call", label, None, turn, lambda error: reply(outcome.Error(error)), world.chronicle.cause)
            )

        world.kernel.post(Event(label, host, fire, receiver=machine.name))
        return pending

    return TestingClient(run)


def follow(instance: Any, steps: tuple[Step, ...]) -> Any:
    """Take ``steps`` from ``instance``: what is there at the end, or an awaitable of it."""
    current: Any = instance
    path = "instance"
    for nth, step in enumerate(steps):
        if is_awaitable(current):
            return _later(current, steps[nth:])
        kind, *operands = step
        try:
            if kind == "get":
                current = getattr(current, operands[0])
                path = f"{path}.{operands[0]}"
            elif kind == "members":
                current = members(current)
            elif kind == "item":
                current = current[operands[0]]
                path = f"{path}[{operands[0]!r}]"
            else:
                args, kwargs = operands
                if not callable(current):
                    raise UsageError(f"{path} is {current!r}, which cannot be called; read it without brackets")
                current = current(*args, **kwargs)
                path = f"{path}(…)"
        except AttributeError as error:
            if kind == "get" and error.name == operands[0]:
                raise UsageError(f"{path} has no {operands[0]!r}; as_object(client) lists what there is") from None
            raise
    return current


def members(instance: Any) -> dict[str, Any]:
    """What `as_object` shows."""
    shown: dict[str, Any] = {}
    for name in sorted({*dir(type(instance)), *vars(instance)}):
        if name[:1] == "_":
            continue
        static = inspect.getattr_static(instance, name, None)
        if callable(static) or isinstance(static, (staticmethod, classmethod)):
            shown[name] = f"{name} [Function]"
        elif name in vars(instance):
            value = vars(instance)[name]
            shown[name] = (
                value if isinstance(value, (str, int, float, bool, list, dict, type(None))) else repr(type(value))
            )
    return shown


async def _later(awaitable: Any, rest: tuple[Step, ...]) -> Any:
    result = follow(await awaitable, rest)
    return await result if is_awaitable(result) else result


def _judged(instance: Any, steps: tuple[Step, ...]) -> Any:
    """The outcome as a value: what a method raises would cross as a remote error, and is wanted as it is."""
    try:
        result = follow(instance, steps)
    except Exception as error:
        return outcome.Error(error)
    return _judged_later(result) if is_awaitable(result) else outcome.Value(result)


async def _judged_later(awaitable: Any) -> Outcome:
    try:
        return outcome.Value(await awaitable)
    except Exception as error:
        return outcome.Error(error)


def _told(result: Outcome) -> Outcome:
    if type(result) is outcome.Error:
        return result  # the instance has ended
    inner: Outcome = result.value
    if type(inner) is outcome.Error:
        return inner
    try:
        return outcome.Value(structured_clone(inner.value))
    except Exception:
        return inner  # a live object: of use for what it says of itself


async def as_object(client: Any) -> dict[str, Any]:
    """The public members of a client's object: values, and functions as ``"name [Function]"`` (TS-2)."""
    run = object.__getattribute__(client, "_run")
    listed: dict[str, Any] = await run((("members",),))
    return listed
