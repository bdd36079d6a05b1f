"""The optional libraries of this room, and the error that names the extra which brings them."""

from __future__ import annotations

from importlib.util import find_spec

from lumenize_sim.errors import UsageError

__all__ = ["MissingExtraError"]


class MissingExtraError(UsageError, ImportError):
    """A library is not installed that an optional part of this package stands on."""


def _missing(name: str) -> bool:
    try:
        return find_spec(name) is None
    except ValueError:  # a module that was taken out of sys.modules by hand
        return True


_absent = [name for name in ("jwt", "cryptography") if _missing(name)]
if _absent:
    raise MissingExtraError(f"lumenize_sim.auth needs {' and '.join(_absent)}: install lumenize-sim[auth]")
