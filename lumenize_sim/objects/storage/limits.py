"""How much storage and its cache take: production's documented limits and the open runtime's."""

from __future__ import annotations

from typing import Any

import attrs

__all__ = ["Limits"]


@attrs.frozen
class Limits:
    """Limits of one object's storage.

    Attributes:
        object_bytes: of one database; beyond, writes fail with ``SQLITE_FULL`` (section 4.4); ``None`` for no limit.
        row_bytes: key and value of one entry together, or one row, string or blob of SQL (section 4.4, ST-23).
        multi_keys: most keys in one ``get``, ``put`` or ``delete``; ``None`` for no cap (ST-1).
        key_bytes, value_bytes: of one entry of the legacy backend (section 4.4); ``None`` for no limit.
        dirty_bytes: of the legacy backend's entries that are not flushed; beyond, writes wait (ST-9).
        cache_bytes: of its clean entries that are kept in memory (ST-31).
        cache_stale_s: how long one that is not used is kept (ST-31).
        isolate_bytes: of both together; beyond, the object is reset (LC-37).
        statement_bytes, parameters, columns, like_bytes, function_arguments: ST-23.
    """

    object_bytes: int | None = 10_000_000_000
    row_bytes: int = 2 * 1024 * 1024
    multi_keys: int | None = 128
    key_bytes: int | None = 2048
    value_bytes: int | None = 131_072
    dirty_bytes: int = 8 * 1024 * 1024
    cache_bytes: int = 16 * 1024 * 1024
    cache_stale_s: float = 10.0
    isolate_bytes: int = 128 * 1024 * 1024
    statement_bytes: int = 100_000
    parameters: int = 100
    columns: int = 100
    like_bytes: int = 50
    function_arguments: int = 32

    @classmethod
    def workerd(cls, **others: Any) -> Limits:
        """Those of the open source runtime, which are looser."""
        return cls(
            row_bytes=4 * 1024 * 1024,
            multi_keys=None,
            function_arguments=127,
            key_bytes=None,
            value_bytes=None,
            **others,
        )
