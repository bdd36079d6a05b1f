"""How much storage takes: production's documented limits and the open runtime's."""

from __future__ import annotations

import attrs

__all__ = ["Limits"]


@attrs.frozen
class Limits:
    """Limits of one object's storage.

    Attributes:
        row_bytes: key and value of one entry together, or one row, string or blob of SQL (section 4.4, ST-23).
        multi_keys: most keys in one ``get``, ``put`` or ``delete``; ``None`` for no cap (ST-1).
        statement_bytes, parameters, columns, like_bytes, function_arguments: ST-23.
    """

    row_bytes: int = 2 * 1024 * 1024
    multi_keys: int | None = 128
    statement_bytes: int = 100_000
    parameters: int = 100
    columns: int = 100
    like_bytes: int = 50
    function_arguments: int = 32

    @classmethod
    def workerd(cls) -> Limits:
        """Those of the open source runtime, which are looser."""
        return cls(row_bytes=4 * 1024 * 1024, multi_keys=None, function_arguments=127)
