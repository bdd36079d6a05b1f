"""What the litmus tests of the reference's section 10 have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import trio

from lumenize_sim import DurableObject, LumenizeWorker, Network, World
from tests.conformance.errors import PROPERTIES
from tests.conformance.program import BOTH, ISOLATE, PRODUCTION, WORKERD, Program, program

__all__ = [
    "EPOCH_MS",
    "EXACT",
    "F_S",
    "Keeper",
    "Logging",
    "Outside",
    "log",
    "lt",
    "outcome_of",
    "said",
    "seconds",
    "thrown",
]

#: Messages take no time, so that what arrives at an instant has arrived when the clock moves.
EXACT: Final[dict[str, Any]] = {"network": Network(max_delay_s=0.0)}
#: How long ``F`` takes, an awaited external fetch.
F_S: Final = 0.1
EPOCH_MS: Final = 1_767_225_600_000


class Outside(LumenizeWorker):
    """Whatever is beyond the object: ``F`` of the conventions."""

    async def f(self, seconds: float = F_S) -> str:
        await trio.sleep(seconds)
        return "F"

    def hear(self, what: Any) -> None:
        """Something got out."""
        log(what)


class Keeper(DurableObject):
    """Keeps nothing in memory; answers what is stored."""

    async def stored(self) -> dict[str, Any]:
        return dict(await self.ctx.storage.list())


class Logging(DurableObject):
    """An object whose memory tells incarnations apart."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.m: Any = None
        ISOLATE["constructed"] = ISOLATE.get("constructed", 0) + 1

    def memory(self) -> Any:
        return self.m

    async def f(self, seconds: float = F_S) -> Any:
        return await self.env.OUT.f(seconds)


def log(what: Any) -> None:
    """A line of the log of this isolate, which no reset takes away (LC-13)."""
    ISOLATE.setdefault("log", []).append(what)


def logged() -> list[Any]:
    """The lines so far."""
    return list(ISOLATE.get("log", ()))


def said(error: BaseException) -> str:
    """Class, message and the properties that are set: ``"TypeError: t [remote]"``."""
    name = getattr(error, "name", None) or type(error).__name__
    name = {"Exception": "Error", "StorageError": "Error", "StorageResetError": "Error"}.get(name, name)
    flags = " ".join(wire for attribute, wire in PROPERTIES.items() if getattr(error, attribute, None))
    return f"{name}: {error}" + (f" [{flags}]" if flags else "")


async def outcome_of(awaitable: Awaitable[Any]) -> Any:
    """The value, or what the error says."""
    try:
        return await awaitable
    except Exception as error:
        return said(error)


def seconds(world: World) -> float:
    """Virtual time, in milliseconds' precision."""
    return round(world.now(), 3)


def thrown(*outcomes: Any) -> dict[str, list[Any]]:
    """Outcomes in which user code has reset the object: production makes such errors ``remote`` too (section 11)."""

    def marked(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(" [durableObjectReset]", " [remote durableObjectReset]")
        if isinstance(value, dict):
            return {key: marked(item) for key, item in value.items()}
        return [marked(item) for item in value] if isinstance(value, list) else value

    return {WORKERD: list(outcomes), PRODUCTION: [marked(outcome) for outcome in outcomes]}


def lt(
    name: str,
    *rules: str,
    bindings: Mapping[str, type],
    allowed: Sequence[Any] | Mapping[str, Sequence[Any]],
    group: str,
    runtime: Iterable[str] = BOTH,
    options: Mapping[str, Any] | None = None,
    never: Mapping[str, Callable[[Any], bool]] | None = None,
    **more: Any,
) -> Callable[[Callable[[World], Awaitable[Any]]], Program]:
    """A litmus test: exactly the ``allowed`` outcomes come out, each of them somewhere.

    ``never``: what the reference forbids by name, in words, to who recognises it.
    """

    def forbidden(outcome: Any) -> str | None:
        for reason, is_so in (never or {}).items():
            if is_so(outcome):
                return f"{name}: {reason}"
        return None

    # Nearly all of them are small; what is drawn for each run is not enumerated.
    drawn = any(more.get(what) for what in ("seeds", "every", "faults", "plan", "at_most"))
    more.setdefault("exhaustive", not drawn)
    return program(
        name,
        rules=rules,
        bindings={"OUT": Outside, **bindings},
        expected=allowed,
        group=group,
        runtime=tuple(runtime),
        options=options,
        forbidden=forbidden if never else None,
        **more,
    )
