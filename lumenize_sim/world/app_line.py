"""Which line of the app asked for something."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["app_line"]


def app_line() -> str | None:
    """``file.py:line`` of the innermost frame that is the app's; ``None`` where the app asked for nothing."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("lumenize_sim.kernel."):
            return None  # whoever called `simulate` has nothing to do with it
        if not module.startswith(("lumenize_sim.", "trio.", "contextvars")):
            return f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return None
