"""How a run ended, in the kernel's words."""

from __future__ import annotations

import attrs

__all__ = ["Ending"]


@attrs.frozen(slots=True)
class Ending:
    """How a run ended.

    Attributes:
        kind: ``done``, ``deadlock``, ``step_limit``, ``cpu_limit``, ``diverged`` or ``crashed``.
        detail: in words.
        error: the exception behind it, if any.
    """

    kind: str
    detail: str = ""
    error: BaseException | None = None
