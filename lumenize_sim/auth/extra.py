"""The optional libraries of this room, and the error that names the extra which brings them."""

from __future__ import annotations

from lumenize_sim.errors import UsageError

__all__ = ["MissingExtraError"]


class MissingExtraError(UsageError, ImportError):
    """A library is not installed that an optional part of this package stands on."""


try:
    import cryptography  # noqa: F401  # asked for here, so that one place says what is missing
    import jwt  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        f"lumenize_sim.auth needs PyJWT and cryptography ({error}): install lumenize-sim[auth]"
    ) from None
