"""Three blames, so that a reader knows at once whose turn it is to act.

``AppError``: the application under test did something the platform refuses or a
check forbids.  ``UsageError``: whoever wrote the test, the command line or the
tape asked for something that cannot be done.  ``SimulatorError``: an invariant
of this package does not hold, which is a bug here.  The base class cannot be
raised itself.
"""

from __future__ import annotations

__all__ = ["AppError", "LumenizeSimError", "SimulatorError", "UsageError"]


class LumenizeSimError(Exception):
    """Base of every error that this package raises on purpose."""

    def __init__(self, message: str) -> None:
        if type(self) is LumenizeSimError:
            raise TypeError("LumenizeSimError is abstract: raise AppError, UsageError or SimulatorError")
        super().__init__(message)


class AppError(LumenizeSimError):
    """Blame: the application under test."""


class UsageError(LumenizeSimError):
    """Blame: the author of the test, tape or command.  Says the value, the reason and the next step."""


class SimulatorError(LumenizeSimError):
    """Blame: this package.  Please report it with the tape."""
