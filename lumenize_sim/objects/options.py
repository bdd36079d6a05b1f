"""What platforms do differently, and what the sources leave open: one option each, with a default per runtime.

``production`` is the platform as it is documented; ``workerd`` is the open-source
runtime as it was recorded.  Where neither settles a point, the field says which rule
leaves it open; such a field may be set to `EXPLORED`, and then each run draws its value
as it draws its faults, so that it is on the tape and shrinks to the default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, Final, Literal, TypeVar, get_args

import attrs

from lumenize_sim.errors import UsageError

__all__ = ["EXPLORED", "FLAGS", "Explored", "MachineOptions", "Runtime"]

Runtime = Literal["production", "workerd"]
CloseReply = Literal["before", "gated", "after", "never"]
FloatingCalls = Literal["sent", "lost", "by_fetch"]
T = TypeVar("T")


class Explored(Enum):
    """The type of `EXPLORED`."""

    EXPLORED = "explored"

    def __repr__(self) -> str:
        return "EXPLORED"


#: Instead of a value: each run draws one, the default more often than the others.
EXPLORED: Final = Explored.EXPLORED

#: Compatibility flags: name to (date from which it is on, flag that turns it off again).
FLAGS: Final[dict[str, tuple[str, str]]] = {
    "pedantic_wpt": ("9999-12-31", "non_pedantic_wpt"),  # WS-28; on by name only
    "delete_all_deletes_alarm": ("2026-02-24", "delete_all_preserves_alarm"),  # ST-27
    "websocket_close_reason_byte_limit": ("2026-03-03", "no_websocket_close_reason_byte_limit"),  # WS-28
    "web_socket_auto_reply_to_close": ("2026-04-07", "web_socket_manual_reply_to_close"),  # WS-16
    "enhanced_error_serialization": ("2026-04-21", "legacy_error_serialization"),  # RPC-19
    "durable_object_io_tasks_prevent_eviction": (  # LC-18
        "2026-10-01",
        "durable_object_io_tasks_do_not_prevent_eviction",
    ),
}
_KNOWN_FLAGS: Final = frozenset([*FLAGS, *(off for _, off in FLAGS.values())])

#: What a runtime has where the user says nothing: the newest date that a rule knows of, and that of the recording.
_DATES: Final[Mapping[str, str]] = {"production": "2026-10-01", "workerd": "2026-03-12"}


def per_runtime(production: T, workerd: T) -> Any:
    """A default on which the runtimes differ: ``attrs.field(default=per_runtime(1, 2))``."""
    values = {"production": production, "workerd": workerd}
    # A runtime that is none is refused by its validator, which runs after all defaults.
    return attrs.Factory(lambda self: values.get(self.runtime, production), takes_self=True)


def open_to(*others: Any) -> dict[str, Any]:
    """Metadata of a field that may be `EXPLORED`: what it may be besides its default."""
    return {"others": others}


def _known_runtime(_: Any, __: Any, value: str) -> None:
    if value not in _DATES:
        raise UsageError(f"runtime {value!r} is unknown; there is: {', '.join(_DATES)}")


def _known_reply(_: Any, __: Any, value: Any) -> None:
    known = get_args(CloseReply)
    if value is not EXPLORED and value not in known:
        raise UsageError(f"web_socket_close_reply {value!r} is unknown; there is: {', '.join(known)}")


def _date(_: Any, __: Any, value: Any) -> None:
    parts = value.split("-") if isinstance(value, str) else []
    if [len(part) for part in parts] != [4, 2, 2] or not all(part.isdecimal() for part in parts):
        raise UsageError(f"compatibility date {value!r} is none; write it as '2026-03-12'")


def _flags(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise UsageError(f"give compatibility flags as a tuple: ({value!r},)")
    return tuple(value)


def _known_flags(_: Any, __: Any, value: tuple[str, ...]) -> None:
    for flag in value:
        if flag not in _KNOWN_FLAGS:
            raise UsageError(f"compatibility flag {flag!r} is unknown; there is: {', '.join(sorted(_KNOWN_FLAGS))}")


def _known_scheduler(_: Any, __: Any, value: str) -> None:
    if value not in ("service", "in-process"):
        raise UsageError(f"alarm_scheduler {value!r} is unknown; use 'service' or 'in-process'")


def _floating(_: Any, __: Any, value: Any) -> None:
    if value is not EXPLORED and value not in ("sent", "lost", "by_fetch"):
        raise UsageError(f"floating_calls is {value!r}; use 'sent', 'lost', 'by_fetch' or EXPLORED")


def _positive(_: Any, attribute: Any, value: Any) -> None:
    if value is not None and (type(value) is not int or value < 1):
        raise UsageError(f"{attribute.name} is {value!r}; use a number from 1 on, or None for no limit")


def _duration(_: Any, attribute: Any, value: Any) -> None:
    if value is not None and not (type(value) in (int, float) and 0 <= value < 1e9):
        raise UsageError(f"{attribute.name} is {value!r}; use seconds from 0 on, or None for no limit")


def _range(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value  # as a tape has it


def _known_range(_: Any, __: Any, value: Any) -> None:
    if not (isinstance(value, tuple) and len(value) == 2 and 0 <= value[0] <= value[1] < 1e9):
        raise UsageError(f"kv_read_s={value!r} is no pair of seconds, shortest and longest; write (0.005, 0.02)")


@attrs.frozen(kw_only=True, cache_hash=True)
class MachineOptions:
    """Points that differ between platforms, or that the sources leave open.

    Attributes:
        runtime: ``"production"``, as documented, or ``"workerd"``, as recorded; decides the defaults below.
        compatibility_date: from when on which behaviour holds (`FLAGS`); 2026-10-01 in production, and that of
            the recording, 2026-03-12, in workerd.
        compatibility_flags: turned on, or off, whatever the date.
        moving_clock: the clock goes on during a turn, and is not held back by an overdue timer (TM-1, TM-2); off in
            production, on in workerd.
        max_section_depth: how deep `block_concurrency_while` may nest, ``None`` for no limit (IG-27); 64 in
            production, none in workerd, whose recorded version is older than the limit.
        awaited_writes_split: awaiting a write commits what the turn has written so far, as documentation says; off,
            as in workerd, where writes of one turn are one commit whatever is awaited between them (OG-16).  May be
            explored.
        rpc_errors_wait: an error that a method throws waits for the output gate like a
            result (OG-8 says it does not; undocumented).  May be explored.
        reset_on_throw: an uncaught exception resets the instance (LC-30 says it does not; documentation says that
            it may).  May be explored.
        hung_sections_break: a critical section that awaits what can never come breaks its instance at once, with an
            error of its own, instead of after 30 s (IG-24: where the runtime notices).  May be explored.
        flush_survives_reset: a commit whose flush was under way becomes durable although its instance is lost (LC-33:
            it may).  May be explored.
        deploy_grace_s: seconds for which what is in flight may go on beside the new version, as long as it leaves
            storage alone (LC-26; documentation of 2026 grants them at updates of the runtime only).  May be
            explored: 30 or 0.
        alarm_scheduler: a ``"service"`` of its own, which can fail and lag; or ``"in-process"`` (section 11).
        alarm_retries_survive: retry counters of an alarm outlive the process; in workerd a crash loses them
            (section 11).  May be explored.
        alarm_set_restarts_retries: a time set by a handler that then throws takes the place of the retry, and counters
            restart; False: it is the retry (AL-21 leaves production open).  May be explored.
        alarm_set_waits_for_retry: a time set between two tries waits for the next one, as in workerd; False: it
            takes the place of the retry.  May be explored.
        object_bytes: how large one object's database may get; 10 GB in production, no limit in workerd (section 4.4).
        kv_read_s: (shortest, longest) time that a read of the legacy backend waits for the disk, drawn for each; none
            by default, so that only its order counts (IG-5).
        kv_cache_bytes: how much of its entries an object on the legacy backend keeps in memory (ST-31).
        kv_cache_stale_s: how long it keeps one that is not used (ST-31).
        kv_cache_shared: all such objects of a class share that memory, as those of one isolate do, so that one can
            drive out what another has read; off, since then the order of reads at one object depends on others.
        kv_overflow_resets_isolate: an object that has filled the isolate's memory with writes that are not flushed
            takes all objects of its isolate along, as with any memory (LC-37); else it alone is reset.  May be
            explored.
        web_socket_close_reply: how the platform answers a peer's close frame on a hibernatable socket, where the flag
            ``web_socket_auto_reply_to_close`` is on (WS-16): ``"before"`` the handler and past the output gate,
            ``"gated"``: before it, through the gate, ``"after"`` its first turn, unless it has closed the socket
            itself, or ``"never"``, as workerd does.  The order is documented nowhere.  May be explored.
            Sockets of the standard API answer as ``"gated"`` does, in every runtime.
        web_socket_hangs_up: the connection of a hibernatable socket ends, without a close frame, when the handler of
            the peer's close has ended and nobody has answered (WS-16).  Not so in workerd.
        web_sockets_newest_first: the order of ``get_web_sockets()`` without a tag (WS-4: not documented).  May be
            explored.
        web_socket_lost_code: what a client sees where the instance is lost with its sockets (WS-32, LC-27): 1006 is
            the end of the connection without a close frame, any other is sent in one.
        web_socket_max_bytes: a larger message that arrives is an error, and ends the connection with 1009 (WS-30).
        reset_errors_remote: the error of a reset by what user code threw (abort, constructor, section) is ``remote``
            for a caller over RPC: as documented in production, absent in workerd (LC-45, section 11).
        floating_calls: whether a Worker's calls of its last turn still leave, where nothing waits for them (RPC-24):
            ``"sent"``, ``"lost"``, or ``"by_fetch"``, that is sent where it was entered by ``fetch``, which is what was
            recorded in workerd.  Production may do either: the default is ``"sent"``.  May be explored.
        wait_until_limit_s: for how long after its response a Worker's `wait_until` keeps it going (RPC-22).  30 s in
            production, ``None`` (no limit) in workerd (section 11).
        disconnects_break_stubs: a stub whose call failed with a disconnect or an overload stays broken, as after a
            reset; documentation says that many exceptions do it, and not which (RPC-8, open point 4).  Not so in
            workerd.  May be explored.
        error_object_ids: what a method raises carries ``durable_object_id``, the id of its object, as text (newer
            workerd; absent in the recorded version).
        automatic_retries: failed calls that may be retried are, up to 5 times in all within 10 s (RPC-5).
        connection_limit: fetches of one invocation that may wait for a response at the same time; further ones
            queue (RPC-27).  6 in production, ``None`` (no limit) in workerd.
        subrequest_limit: calls and fetches of one invocation, renewed by each event of an object (RPC-26).  ``None``
            for no limit, the default; the documented limits are 50 (free) and 10,000 (paid).
        recursion_limit: how deep Workers may call Workers (RPC-28).  32 in production, ``None`` in workerd.
    """

    runtime: Runtime = attrs.field(default="production", validator=_known_runtime)
    compatibility_date: str = attrs.field(default=per_runtime(_DATES["production"], _DATES["workerd"]), validator=_date)
    compatibility_flags: tuple[str, ...] = attrs.field(default=(), converter=_flags, validator=_known_flags)
    moving_clock: bool = attrs.field(default=per_runtime(False, True))
    max_section_depth: int | None = attrs.field(default=per_runtime(64, None))
    awaited_writes_split: bool | Explored = attrs.field(default=False, metadata=open_to(True))
    rpc_errors_wait: bool | Explored = attrs.field(default=False, metadata=open_to(True))
    reset_on_throw: bool | Explored = attrs.field(default=False, metadata=open_to(True))
    hung_sections_break: bool | Explored = attrs.field(default=False, metadata=open_to(True))
    flush_survives_reset: bool | Explored = attrs.field(default=False, metadata=open_to(True))
    deploy_grace_s: float | Explored = attrs.field(default=30.0, metadata=open_to(0.0))
    alarm_scheduler: Literal["service", "in-process"] = attrs.field(
        default=per_runtime("service", "in-process"), validator=_known_scheduler
    )
    alarm_retries_survive: bool | Explored = attrs.field(default=per_runtime(True, False), metadata=open_to(False))
    alarm_set_restarts_retries: bool | Explored = attrs.field(default=True, metadata=open_to(False))
    alarm_set_waits_for_retry: bool | Explored = attrs.field(default=per_runtime(False, True), metadata=open_to(True))
    object_bytes: int | None = attrs.field(default=per_runtime(10_000_000_000, None))
    kv_read_s: tuple[float, float] = attrs.field(default=(0.0, 0.0), converter=_range, validator=_known_range)
    kv_cache_bytes: int = 16 * 1024 * 1024
    kv_cache_stale_s: float = 10.0
    kv_cache_shared: bool = False
    kv_overflow_resets_isolate: bool | Explored = attrs.field(default=True, metadata=open_to(False))
    web_socket_close_reply: CloseReply | Explored = attrs.field(
        default=per_runtime("before", "never"), metadata=open_to("gated", "after"), validator=_known_reply
    )
    web_socket_hangs_up: bool = attrs.field(default=per_runtime(True, False))
    web_sockets_newest_first: bool | Explored = attrs.field(default=True, metadata=open_to(False))
    web_socket_lost_code: int = 1006
    web_socket_max_bytes: int = 32 * 1024 * 1024
    reset_errors_remote: bool = attrs.field(default=per_runtime(True, False))
    floating_calls: FloatingCalls | Explored = attrs.field(
        default=per_runtime("sent", "by_fetch"), metadata=open_to("lost"), validator=_floating
    )
    wait_until_limit_s: float | None = attrs.field(default=per_runtime(30.0, None), validator=_duration)
    disconnects_break_stubs: bool | Explored = attrs.field(default=False, metadata=open_to(True))
    error_object_ids: bool = False
    automatic_retries: bool = False
    connection_limit: int | None = attrs.field(default=per_runtime(6, None), validator=_positive)
    subrequest_limit: int | None = attrs.field(default=None, validator=_positive)
    recursion_limit: int | None = attrs.field(default=per_runtime(32, None), validator=_positive)

    def flag(self, name: str) -> bool:
        """Whether the compatibility flag ``name`` (of `FLAGS`) is on, by name or by date."""
        since, off = FLAGS[name]
        if name in self.compatibility_flags:
            return True
        return off not in self.compatibility_flags and self.compatibility_date >= since

    @property
    def explored(self) -> dict[str, int]:
        """The fields that are `EXPLORED`, with how many values each may have."""
        return dict(_explored(self))

    def drawn(self, draw: Callable[[str, int], int]) -> MachineOptions:
        """These options with every explored field decided: ``draw(name, bound)`` says the n-th value, 0 the default."""
        decided: dict[str, Any] = {}
        for name, bound in self.explored.items():
            field = getattr(attrs.fields(type(self)), name)
            nth = draw(name, bound)
            default = field.default
            if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # attrs types it as a function
                default = default.factory(self)
            decided[name] = (default, *field.metadata["others"])[nth]
        return attrs.evolve(self, **decided) if decided else self

    def to_json(self) -> dict[str, Any]:
        """For headers."""
        data = attrs.asdict(self)
        data["compatibility_flags"] = list(self.compatibility_flags)
        return {name: "explored" if value is EXPLORED else value for name, value in data.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MachineOptions:
        """The inverse of `to_json`; unknown names are refused by attrs."""
        known: dict[str, Any] = {name: EXPLORED if value == "explored" else value for name, value in data.items()}
        return cls(**known)


@lru_cache(maxsize=64)
def _explored(options: MachineOptions) -> dict[str, int]:
    # Asked at the beginning of every run, and of most schedules the options are the same.
    return {
        field.name: 1 + len(field.metadata["others"])
        for field in attrs.fields(type(options))
        if getattr(options, field.name) is EXPLORED
    }
