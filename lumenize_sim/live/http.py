"""HTTP/1.1 on one connection: requests in, responses out, until one asks for a web socket."""

from __future__ import annotations

from typing import Final

import h11
import httpx
import trio

from lumenize_sim.objects.http import Request, Response
from lumenize_sim.routing.route import is_upgrade

__all__ = ["IDLE_S", "MAX_BODY_BYTES", "HttpConnection", "Replayed"]

IDLE_S: Final = 60.0  #: how long a connection is kept for a next request
MAX_BODY_BYTES: Final = 100 * 1024 * 1024  #: the platform's limit of a request
_CHUNK_BYTES: Final = 65536


class HttpConnection:
    """Reads requests from a stream, and writes responses to it.

    Args:
        base: scheme, host and port of URLs where the client names no host: ``http://127.0.0.1:8787``.
    """

    def __init__(self, stream: trio.abc.Stream, base: str) -> None:
        self._stream = stream
        self._base = base
        self._h11 = h11.Connection(h11.SERVER)
        self._raw = b""

    async def next_request(self, within_s: float) -> Request | None:
        """The next request, whole; ``None`` where the client has gone, is silent, or was told that it talks nonsense.

        Of an upgrade only the head is read; then `replayed` is the way on.
        """
        request: Request | None = None
        with trio.move_on_after(within_s):
            try:
                request = await self._read()
            except h11.RemoteProtocolError as error:
                await self._refuse(Response(error.error_status_hint, str(error)))
            except _TooLarge:
                await self._refuse(Response(413, "Content Too Large"))
        return request

    async def _read(self) -> Request | None:
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        fields = [(name.decode("ascii"), value.decode("latin-1")) for name, value in head.headers]
        host = next((value for name, value in fields if name == "host"), None)
        target = head.target.decode("ascii")
        if "://" not in target:
            target = (f"http://{host}" if host else self._base) + target
        try:
            request = Request(head.method.decode("ascii"), target, fields)
        except httpx.InvalidURL as error:
            raise h11.RemoteProtocolError(f"the target of the request is no URL: {error}") from None
        if is_upgrade(request):
            return request
        body = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                raise _TooLarge
        return Request.of(request, body=bytes(body)) if body else request

    async def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while True:
            event = self._h11.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._h11.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            data = bytes(await self._stream.receive_some(_CHUNK_BYTES))
            self._raw += data
            self._h11.receive_data(data)

    async def respond(self, response: httpx.Response) -> bool:
        """Send a response; False where it was the last on this connection."""
        body = b"" if response.status_code in (204, 304) else response.content
        fields = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name not in ("content-length", "transfer-encoding", "connection")
        ]
        if response.status_code not in (204, 304):
            if body and "content-type" not in response.headers:
                fields.append(("content-type", "text/plain;charset=UTF-8"))
            fields.append(("content-length", str(len(body))))
        reason = httpx.codes.get_reason_phrase(response.status_code)
        await self._send(h11.Response(status_code=response.status_code, headers=fields, reason=reason))
        if body and self._h11.our_state is h11.SEND_BODY:
            await self._send(h11.Data(data=body))
        await self._send(h11.EndOfMessage())
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            return False
        self._raw = bytes(self._h11.trailing_data[0])
        self._h11.start_next_cycle()
        return True

    async def _refuse(self, response: Response) -> None:
        if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response.headers["Connection"] = "close"
            await self.respond(response)

    async def _send(self, event: h11.Event) -> None:
        data = self._h11.send(event)
        if data:
            await self._stream.send_all(data)

    def replayed(self) -> Replayed:
        """The stream as it was before the present request was read."""
        return Replayed(self._stream, self._raw)


class _TooLarge(Exception):
    """The body goes on and on."""


class Replayed(trio.abc.Stream):
    """A stream whose first bytes were read already."""

    def __init__(self, stream: trio.abc.Stream, first: bytes) -> None:
        self._stream = stream
        self._first = first

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """What was read already comes first."""
        if self._first:
            await trio.lowlevel.checkpoint()
            size = len(self._first) if max_bytes is None else max_bytes
            data, self._first = self._first[:size], self._first[size:]
            return data
        return await self._stream.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream`."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream`."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource`."""
        await self._stream.aclose()
