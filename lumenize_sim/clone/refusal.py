"""Why a value cannot cross, and where in the value the culprit sits.

Walkers raise `Refusal` at the culprit and every container on the way out adds
its own step, so that a successful walk pays nothing for the path.
"""

from __future__ import annotations

from lumenize_sim.errors import AppError

__all__ = ["MAX_DEPTH", "DataCloneError", "Refusal", "index_step", "key_step", "no_platform_object", "too_deep"]

#: Nesting beyond this is refused.  A fixed number, because a limit that depended on the
#: caller's stack would make the same program fail in one place and pass in another.
MAX_DEPTH = 500


class DataCloneError(AppError):
    """A value that the platform cannot copy or encode.  Blame: the application.

    Attributes:
        path: where the culprit is, for example ``$.items[3].callback``.
        reason: what it is and what to send instead.
        code: 25, as of the platform's exception of that name; alone of these it travels.
    """

    __slots__ = ("path", "reason")  # apart from what travels, which is what an error has in its dict

    def __init__(self, message: str = "", path: str = "$", reason: str = "") -> None:
        super().__init__(message)
        self.code = 25
        self.path = path
        self.reason = reason or message


class Refusal(Exception):
    """A culprit was met; ``steps`` collects its path from the inside out.

    ``exact``: the platform fixes the whole text, so the path is kept beside it.
    """

    def __init__(self, reason: str, *, exact: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.exact = exact
        self.steps: list[str] = []

    def error(self) -> DataCloneError:
        """The error to show, with the path put together."""
        steps = self.steps[::-1]
        if len(steps) > 24:  # a deep chain is better named by its two ends
            steps = [*steps[:12], f" ({len(steps) - 24} more) ", *steps[-12:]]
        path = "$" + "".join(steps)
        if self.exact:
            return DataCloneError(self.reason, path, self.reason)
        return DataCloneError(f"{path}: {self.reason}", path, self.reason)


def no_platform_object(name: str) -> Refusal:
    """The refusal of an object of the platform that is no value, in the platform's words (ST-6, RPC-15)."""
    return Refusal(
        f'Could not serialize object of type "{name}". This type does not support serialization.', exact=True
    )


def key_step(key: object) -> str:
    """The path step into a dict."""
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"


def index_step(index: int) -> str:
    """The path step into a list."""
    return f"[{index}]"


def too_deep() -> Refusal:
    """The refusal of a value nested beyond `MAX_DEPTH`."""
    return Refusal(f"nested deeper than {MAX_DEPTH} levels; send a flatter value, such as a list of nodes with keys")
