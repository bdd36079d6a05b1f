"""One record of what happened, and the closed vocabulary of kinds."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = ["KINDS", "TraceEvent", "error_data"]

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "start": "an instance was constructed",
        "deliver": "an event arrives at an actor; its label names the event, and from here on its strand",
        "turn": "a turn of the actor begins; the label is the strand's",
        "resume": "an await resumes, which begins a turn; the label is the strand's",
        "end": "a handler finished; data has {'ok': True} or error data",
        "send": "a call leaves; data has from, to, method, args (rendered), context",
        "reply": "the answer to a call leaves; data has from, to and value (rendered) or error data",
        "frame": "a web socket frame was sent; data has from, to, text",
        "connect": "a web socket is dialled or opens; data has from, to",
        "close": "a web socket closes; data has from, to, code, reason",
        "read": "storage, attribute or hibernatable socket read; data has key, store, op, strand",
        "write": "write to the same; data has key, store, op, strand and maybe value (rendered)",
        "delete": "storage delete; data has key, store, op, strand",
        "commit": "the writes of a turn became one local transaction; data has {'durable': False} until a flush",
        "flush": "commits became durable",
        "output-held": "an outgoing effect waits for a flush",
        "output-released": "an outgoing effect was let go",
        "timer": "a timer fired; the label names the event",
        "alarm": "an alarm fired; the label names the event",
        "fault": "a fault was injected",
        "reset": "an instance lost its memory, tasks and sockets",
        "evict": "an idle instance left memory",
        "hibernate": "an instance left memory and kept its sockets",
        "wake": "a hibernated instance came back",
        "log": "one line of debug output",
        "mark": "a monitor observed something, or the driver left a remark",
        "verdict": "how the run ended",
    }
)
"""Kind to meaning.  Nothing else may be recorded."""


class TraceEvent(NamedTuple):
    """One record.

    A named tuple and not an attrs class: one is made for every step of a traced
    run, and a tuple costs a fifth of a frozen attrs instance.

    Attributes:
        n: position in the trace, from 0.
        t_us: virtual time in microseconds.
        kind: a key of `KINDS`.
        actor: stable name of who acted, for example ``"COUNTER/c1"``.
        label: stable name of the event (see `KINDS`), never a global step number.
        cause: ``n`` of the record that brought this one about, or -1.
        data: plain values (``None``, bool, int, float, str, bytes, tuples, dicts with
            text keys); must not be changed once recorded.
        where: ``"file.py:line"`` in the app; never part of the digest.
    """

    n: int
    t_us: int
    kind: str
    actor: str
    label: str
    cause: int = -1
    data: tuple[Any, ...] | dict[str, Any] | None = None
    where: str | None = None

    def get(self, name: str, default: Any = None) -> Any:
        """Entry ``name`` of ``data`` where that is a dict and has it, else ``default``."""
        data = self.data
        return data.get(name, default) if type(data) is dict else default


def error_data(exc: BaseException, *, text: bool | None = None) -> dict[str, str]:
    """The part of an error that a digest may contain: ``{"error": class name}`` and maybe ``"message"``.

    The interpreter and libraries reword their messages between versions, and a
    digest must not notice.  So the message enters only where somebody stands for it:

    * ``text=True``: the caller knows that the app raised it on purpose; ``text=False``: never;
    * otherwise: the class is the app's own or this package's, that is, defined neither in
      ``builtins`` nor in the standard library nor below a ``site-packages`` directory.
    """
    kind = type(exc)
    keep = _is_own(kind) if text is None else text
    return {"error": kind.__name__, "message": str(exc)} if keep else {"error": kind.__name__}


def _is_own(kind: type[BaseException]) -> bool:
    root = kind.__module__.partition(".")[0]
    if root == __name__.partition(".")[0] or root == "__main__":
        # `__main__` is listed among the standard library's names, yet holds the app's classes.
        return True
    if root in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(kind.__module__), "__file__", None) or ""
    parts = file.replace("\\", "/").split("/")
    return "site-packages" not in parts and "dist-packages" not in parts
