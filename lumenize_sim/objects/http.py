"""Requests and responses as ``fetch`` handlers see them: httpx's, with what the platform adds.

httpx knows nothing of web sockets that complete an upgrade, fills in fields that only a real
connection has, and takes any status; that is what the two subclasses are for.  Bodies are whole,
not streams.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import httpx
import outcome

from lumenize_sim.clone import RangeError

if TYPE_CHECKING:
    from lumenize_sim.objects.websocket import WebSocket

__all__ = ["Headers", "Request", "Response", "answered", "crossing", "parsed"]

#: Header fields: names without case, repeated fields kept apart (``get_list``).
Headers = httpx.Headers

_Fields = httpx.Headers | Mapping[str, str] | Iterable[tuple[str, str]] | None
_Body = bytes | bytearray | memoryview | str | None
_M = TypeVar("_M", "Request", "Response")

#: Statuses whose responses cannot have a body.
_NULL_BODY: Final = (101, 204, 205, 304)


def _bytes(body: _Body) -> bytes | None:
    if body is None:
        return None
    return body.encode() if isinstance(body, str) else bytes(body)


def _headers(fields: _Fields) -> httpx.Headers:
    # A copy in every case: a request that was sent does not change with its sender's headers.
    if fields is None or isinstance(fields, httpx.Headers):
        return httpx.Headers(fields)
    # The type checkers take a mapping for an iterable of pairs, too.
    pairs = cast("Iterable[tuple[str, str]]", fields.items() if isinstance(fields, Mapping) else fields)
    return httpx.Headers([(name, value.strip()) for name, value in pairs])


@lru_cache(maxsize=512)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


def parsed(url: httpx.URL | str) -> httpx.URL:
    """``url`` as an object, which nobody can change; few of them are asked for again and again, so each is parsed once.

    Raises:
        httpx.InvalidURL: it is none.
        TypeError: it is neither text nor a URL.
    """
    if type(url) is str:
        return _parsed(url)
    return url if isinstance(url, httpx.URL) else httpx.URL(url)


class Request(httpx.Request):
    """An HTTP request.

    Args:
        method: any case.
        url: absolute.
        headers: copied, without white space around values.  Nothing is added: ``Host`` and the like are for whoever
            sends it over a real connection.
        body: text is encoded as UTF-8; ``None`` differs from an empty one.

    Attributes:
        method: in upper case.
        url: an `httpx.URL`; ``str(request.url)`` is the text.
        headers: an `httpx.Headers`.
        body: bytes, or ``None``.
    """

    def __init__(self, method: str, url: httpx.URL | str, headers: _Fields = None, body: _Body = None) -> None:
        content = _bytes(body)
        if content is None:
            self.__dict__.update(_NO_REQUEST.__dict__)
            self.url = parsed(url)
            self.extensions = {}
        else:
            super().__init__(method, parsed(url), content=content)
        self.method = method.upper()
        self.headers = _headers(headers)
        self.body = content

    @classmethod
    def of(cls, request: httpx.Request | httpx.URL | str, **options: Any) -> Request:
        """A copy of ``request``, or a request for a URL, as `fetch` sends it.

        ``options``: ``method``, ``headers``, ``body``; of a request they replace what it has.
        """
        if not isinstance(request, httpx.Request):
            return cls(options.pop("method", "GET"), request, **options)
        if type(request) is cls and not options:
            return _twin(request)
        body = request.body if isinstance(request, Request) else request.read() or None
        given: dict[str, Any] = {"headers": request.headers, "body": body, **options}
        return cls(given.pop("method", request.method), given.pop("url", request.url), **given)

    @property
    def text(self) -> str:
        """The body as text; ``""`` without a body."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body parsed as JSON.

        Raises:
            ValueError: it is none.
        """
        return json.loads(self.text)

    @property
    def is_web_socket_upgrade(self) -> bool:
        """Whether the sender asks for a web socket."""
        upgrade: str = self.headers.get("upgrade", "")
        return upgrade.lower() == "websocket"


class Response(httpx.Response):
    """An HTTP response.

    Args:
        status: 200 to 599, or 101 with a web socket.
        body: text is encoded as UTF-8.
        headers: copied; nothing is added.
        web_socket: the client's end of a `WebSocketPair`, to complete an upgrade (WS-1).

    Attributes:
        status: also as ``status_code``.
        body: bytes, or ``None``.
        web_socket: see above.

    Raises:
        RangeError: the status is none, or does not fit the web socket.
        TypeError: a body where the status allows none.
    """

    def __init__(
        self, status: int = 200, body: _Body = None, headers: _Fields = None, web_socket: WebSocket | None = None
    ) -> None:
        content = _bytes(body)
        if web_socket is not None:
            if status != 101:
                raise RangeError("Responses with a WebSocket must have status code 101.")
        elif not 200 <= status <= 599:
            raise RangeError(f"The status provided ({status}) must be 101 or in the range [200, 599].")
        if content is not None and status in _NULL_BODY:
            raise TypeError("Response with null body status (101, 204, 205, or 304) cannot have a body.")
        if content is None:
            self.__dict__.update(_NO_RESPONSE.__dict__)
            self.status_code = status
            self.extensions = {}
            self.history = []
        else:
            super().__init__(status, content=content)
        self.headers = _headers(headers)
        self.body = content
        self.web_socket = web_socket

    @classmethod
    def of(cls, response: httpx.Response) -> Response:
        """A copy of ``response``, which has been read.

        Raises:
            TypeError: it is none.
        """
        if isinstance(response, Response):
            return _twin(response)
        given: object = response  # users without a type checker give a body
        if isinstance(given, httpx.Response):
            return cls(response.status_code, response.content or None, response.headers)
        kind = type(given).__name__
        raise TypeError(f"Response.of() copies a response, not {kind}; write Response(200, body) for a new one")

    @property
    def status(self) -> int:
        """The status code."""
        return self.status_code

    @property
    def ok(self) -> bool:
        """Whether the status says success."""
        return self.is_success


#: What httpx has of a message without a body before anybody says more; making that anew is most of the work.
_NO_REQUEST: Final = httpx.Request("GET", "http://localhost/")
_NO_RESPONSE: Final = httpx.Response(200)


def _twin(message: _M) -> _M:
    """A copy of what was checked when it was made; only its headers can be changed."""
    twin = object.__new__(type(message))
    twin.__dict__.update(message.__dict__)
    twin.headers = httpx.Headers(message.headers)
    return twin


def answered(result: outcome.Value[Any]) -> outcome.Value[Any] | outcome.Error:
    """What a ``fetch`` handler has returned, or the error where that is no response (RPC-20)."""
    if isinstance(result.value, httpx.Response):
        return result
    error: Any = TypeError("Incorrect type for Promise: the Promise did not resolve to 'Response'.")
    error.remote = True
    return outcome.Error(error)


def crossing(value: Any) -> Request | Response | None:
    """A request or response as the receiver of a call gets it: a copy; ``None`` for any other value."""
    if isinstance(value, httpx.Request):
        return Request.of(value)
    return Response.of(value) if isinstance(value, httpx.Response) else None
