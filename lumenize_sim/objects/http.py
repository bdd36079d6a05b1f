"""Requests and responses as ``fetch`` handlers see them.  Bodies are whole, not streams."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, cast

import attrs

from lumenize_sim.clone import RangeError

if TYPE_CHECKING:
    from lumenize_sim.objects.websocket import WebSocket

__all__ = ["Headers", "Request", "Response"]

#: Statuses whose responses cannot have a body.
_NULL_BODY = (101, 204, 205, 304)


class Headers(MutableMapping[str, str]):
    """Header fields.  Names are case-insensitive, shown in lower case and sorted, as the platform does."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self._fields: dict[str, str] = {}
        pairs = fields.items() if isinstance(fields, Mapping) else fields
        for name, value in cast("Iterable[tuple[str, str]]", pairs):
            self.append(name, value)

    def append(self, name: str, value: str) -> None:
        """Add ``value`` to what the field has, after a comma."""
        name = name.lower()
        before = self._fields.get(name)
        self._fields[name] = value.strip() if before is None else f"{before}, {value.strip()}"

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __setitem__(self, name: str, value: str) -> None:
        self._fields[name.lower()] = value.strip()

    def __delitem__(self, name: str) -> None:
        del self._fields[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._fields))

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Headers({dict(self)!r})"


def _headers(fields: Headers | Mapping[str, str] | Iterable[tuple[str, str]] | None) -> Headers:
    # A copy in every case: a request that was sent does not change with its sender's headers.
    return Headers(() if fields is None else fields)


def _upper(method: str) -> str:
    return method.upper()


def _body(body: bytes | bytearray | memoryview | str | None) -> bytes | None:
    if body is None:
        return None
    return body.encode() if isinstance(body, str) else bytes(body)


@attrs.frozen(eq=False)
class _Message:
    """What requests and responses have in common."""

    #: Calls pass them as they are: their body is bytes, and whoever sends one keeps no copy of its headers.
    __by_value__ = True

    def text(self) -> str:
        """The body as text; ``""`` without a body."""
        body: bytes | None = getattr(self, "body", None)
        return "" if body is None else body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body parsed as JSON.

        Raises:
            ValueError: it is none.
        """
        return json.loads(self.text())


@attrs.frozen(eq=False)
class Request(_Message):
    """An HTTP request.

    Attributes:
        method: in upper case.
        url: absolute.
        headers: a copy of what was given.
        body: bytes; text is encoded as UTF-8.
    """

    method: str = attrs.field(converter=_upper)
    url: str
    headers: Headers = attrs.field(default=None, converter=_headers)
    body: bytes | None = attrs.field(default=None, converter=_body)

    @classmethod
    def of(cls, request: Request | str, **options: Any) -> Request:
        """A copy of ``request``, or a request for a URL, as `fetch` sends it."""
        if isinstance(request, str):
            return cls(options.pop("method", "GET"), request, **options)
        return cls(request.method, request.url, request.headers, request.body)

    @property
    def is_web_socket_upgrade(self) -> bool:
        """Whether the sender asks for a web socket."""
        return self.headers.get("upgrade", "").lower() == "websocket"


@attrs.frozen(eq=False)
class Response(_Message):
    """An HTTP response.

    Attributes:
        status: 200 to 599, or 101 with a web socket.
        body: bytes; text is encoded as UTF-8.
        headers: a copy of what was given.
        web_socket: the client's end of a `WebSocketPair`, to complete an upgrade (WS-1).

    Raises:
        RangeError: the status is none, or does not fit the web socket.
        TypeError: a body where the status allows none.
    """

    status: int = 200
    body: bytes | None = attrs.field(default=None, converter=_body)
    headers: Headers = attrs.field(default=None, converter=_headers)
    web_socket: WebSocket | None = None

    def __attrs_post_init__(self) -> None:
        if self.web_socket is not None:
            if self.status != 101:
                raise RangeError("Responses with a WebSocket must have status code 101.")
        elif not 200 <= self.status <= 599:
            raise RangeError(f"The status provided ({self.status}) must be 101 or in the range [200, 599].")
        if self.body is not None and self.status in _NULL_BODY:
            raise TypeError("Response with null body status (101, 204, 205, or 304) cannot have a body.")

    @property
    def ok(self) -> bool:
        """Whether the status says success."""
        return 200 <= self.status <= 299
