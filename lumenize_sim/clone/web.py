"""Headers, URL, and requests and responses whose body is already in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from lumenize_sim.clone.hrefs import normal_href
from lumenize_sim.clone.text import dumps, loads
from lumenize_sim.clone.values import ArrayBuffer

__all__ = ["URL", "Headers", "RequestSync", "ResponseSync"]


@attrs.frozen
class URL:
    """An absolute URL in its normal form: lower-case scheme and host, no default port, a path.

    Raises:
        TypeError: ``href`` is no absolute URL.
    """

    href: str = attrs.field(converter=normal_href)

    def __str__(self) -> str:
        return self.href


class Headers:
    """Header fields: names without case, iterated sorted, repeated ones joined with ``", "`` except ``set-cookie``."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Headers | Mapping[str, str] | Iterable[Iterable[str]] | None = None) -> None:
        self._fields: dict[str, list[str]] = {}
        if fields is None:
            return
        pairs: Any = fields.items() if isinstance(fields, Mapping) else fields
        for name, value in pairs:
            self.append(name, value)

    def append(self, name: str, value: str) -> None:
        """Add a value to those that ``name`` has."""
        self._fields.setdefault(name.lower(), []).append(str(value).strip(" \t\r\n"))

    def set(self, name: str, value: str) -> None:
        """Replace every value of ``name``."""
        self._fields[name.lower()] = [str(value).strip(" \t\r\n")]

    def get(self, name: str) -> str | None:
        """The values of ``name`` joined, or ``None``."""
        values = self._fields.get(name.lower())
        return None if values is None else ", ".join(values)

    def get_set_cookie(self) -> list[str]:
        """Every ``set-cookie`` value by itself."""
        return list(self._fields.get("set-cookie", ()))

    def delete(self, name: str) -> None:
        """Remove ``name`` if it is there."""
        self._fields.pop(name.lower(), None)

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._fields

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for name in sorted(self._fields):
            values = self._fields[name]
            if name == "set-cookie":
                for value in values:
                    yield name, value
            else:
                yield name, ", ".join(values)

    def copy(self) -> Headers:
        """Independent headers with the same fields."""
        return Headers(self)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Headers) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # mutable, so unhashable

    def __repr__(self) -> str:
        return f"Headers({list(self)!r})"


def _upper(method: str) -> str:
    return method.upper()


def _headers(fields: Any) -> Headers:
    return fields if isinstance(fields, Headers) else Headers(fields)


class _Body:
    """Readers of a body that is kept as it was given: text, bytes, a jsonable value, or ``None``."""

    __slots__ = ()
    body: Any

    def json(self) -> Any:
        """Text and bytes parsed, other bodies as they are, ``None`` without one.

        Raises:
            ValueError: the text is no JSON.
        """
        body = self.body.data if isinstance(self.body, ArrayBuffer) else self.body
        if isinstance(body, (bytes, bytearray)):
            body = bytes(body).decode("utf-8", "replace")
        return loads(body) if isinstance(body, str) else body

    def text(self) -> str:
        """The body as text; JSON text of other bodies, ``""`` without one."""
        body = self.body.data if isinstance(self.body, ArrayBuffer) else self.body
        if body is None:
            return ""
        if isinstance(body, (bytes, bytearray)):
            return bytes(body).decode("utf-8", "replace")
        return body if isinstance(body, str) else dumps(body)

    def array_buffer(self) -> bytes:
        """The body as bytes."""
        body = self.body.data if isinstance(self.body, ArrayBuffer) else self.body
        return bytes(body) if isinstance(body, (bytes, bytearray)) else self.text().encode("utf-8", "replace")

    def form_data(self) -> Any:
        """Not supported, with upstream's text."""
        raise TypeError(f"FormData not supported in {type(self).__name__} - use json() or text() instead")


@attrs.define
class RequestSync(_Body):
    """A request with its body in memory (SC-37); its method in capitals (SC-4)."""

    url: str = attrs.field(converter=normal_href)
    method: str = attrs.field(default="GET", converter=_upper)
    headers: Headers = attrs.field(factory=Headers, converter=_headers)
    body: Any = None

    def clone(self) -> RequestSync:
        """A request of its own headers and the same body."""
        return attrs.evolve(self, headers=self.headers.copy())


@attrs.define
class ResponseSync(_Body):
    """A response with its body in memory (SC-38)."""

    body: Any = None
    status: int = 200
    status_text: str = ""
    headers: Headers = attrs.field(factory=Headers, converter=_headers)

    @property
    def ok(self) -> bool:
        """Whether the status is 200 to 299."""
        return 200 <= self.status <= 299

    def clone(self) -> ResponseSync:
        """A response of its own headers and the same body."""
        return attrs.evolve(self, headers=self.headers.copy())

    @classmethod
    def from_parts(cls, status: int, headers: Headers, body: bytes | None, status_text: str = "") -> ResponseSync:
        """From a response just read: JSON and text by content type are decoded, other bytes kept (SC-38).

        Raises:
            ValueError: the content type promises JSON and the body is none.
        """
        kind = headers.get("content-type") or ""
        content: Any = body
        if body is not None:
            if "application/json" in kind:
                content = json.loads(body)
            elif "text/" in kind or "application/javascript" in kind:
                content = body.decode("utf-8", "replace")
        return cls(content, status, status_text, headers)
