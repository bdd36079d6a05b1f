"""The hibernatable sockets of one object: which there are, their tags, and the answers that wake nobody.

`HibernationRegistry` keeps the records, which survive hibernation, and makes the wrappers
that user code holds, which do not (WS-7).  Like `lumenize_sim.objects.websocket` it sends
nothing itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from lumenize_sim.clone import RangeError
from lumenize_sim.objects.refusal import Error
from lumenize_sim.objects.socket_home import SocketHome
from lumenize_sim.objects.socket_record import Acceptance, SocketRecord
from lumenize_sim.objects.websocket import WebSocket

__all__ = [
    "MAX_AUTO_RESPONSE_BYTES",
    "MAX_EVENT_TIMEOUT_MS",
    "MAX_SOCKETS",
    "MAX_TAGS",
    "MAX_TAG_LENGTH",
    "HibernationRegistry",
    "WebSocketRequestResponsePair",
]

MAX_AUTO_RESPONSE_BYTES: Final = 2_048  #: each of request and response (WS-20)
MAX_EVENT_TIMEOUT_MS: Final = 604_800_000  #: WS-17
MAX_SOCKETS: Final = 32_768  #: WS-3
MAX_TAGS: Final = 10  #: WS-3
MAX_TAG_LENGTH: Final = 256  #: WS-3

_ALREADY_ACCEPTED: Final = "Cannot call `acceptWebSocket()` if the WebSocket was already accepted via `accept()`"
_PAIR_USED: Final = (
    "Cannot call `acceptWebSocket()` on this WebSocket because its pair has already been "
    "accepted or used in a Response."
)


@attrs.frozen
class WebSocketRequestResponsePair:
    """A text message and the answer that the platform gives by itself (WS-20)."""

    request: str
    response: str


class HibernationRegistry:
    """The hibernatable sockets of one object.

    Survives hibernation; a reset empties it (1.4 of the life-cycle rules): see `disconnect`.

    Args:
        home: where their frames leave.
        newest_first: the order of `get_web_sockets` without a tag (WS-4).

    Attributes:
        auto_response: the pair that answers without waking the object; one per object (WS-22).
        event_timeout_ms: limit for a handler, ``None`` for none (WS-17).
    """

    def __init__(self, home: SocketHome, *, newest_first: bool = True) -> None:
        self.auto_response: WebSocketRequestResponsePair | None = None
        self.event_timeout_ms: int | None = None
        self._home = home
        self._newest_first = newest_first
        self._serial = 0
        # By number, which is the order of acceptance.  Dictionaries, so that removal does not cost a walk.
        self._records: dict[int, SocketRecord] = {}
        self._tagged: dict[str, dict[int, SocketRecord]] = {}
        self._wrappers: dict[int, WebSocket] = {}

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, record: SocketRecord) -> bool:
        return self._records.get(record.id) is record

    def accept_web_socket(self, ws: WebSocket, tags: Sequence[str] = ()) -> SocketRecord:
        """Make ``ws`` hibernatable.

        Raises:
            Error: it was accepted before, its pair was (WS-2), or a limit is exceeded (WS-3).  Nothing changes then.
            TypeError: ``tags`` is a single text or holds something else.
        """
        record = ws.record
        if record.acceptance is Acceptance.COUPLED:
            raise Error(_PAIR_USED)
        if record.acceptance is not Acceptance.NONE:
            raise Error(_ALREADY_ACCEPTED)
        if ws.peer is not None and ws.peer.record.acceptance is not Acceptance.NONE:
            raise Error(_PAIR_USED)
        distinct = _check_tags(tags)
        if len(self._records) >= MAX_SOCKETS:
            raise Error(f"only {MAX_SOCKETS} websockets can be accepted on a single Durable Object instance")
        self._serial += 1
        record.id = self._serial
        record.tags = distinct
        record.acceptance = Acceptance.HIBERNATABLE
        ws.belong(self._home)
        self._records[record.id] = record
        for tag in distinct:
            self._tagged.setdefault(tag, {})[record.id] = record
        self._wrappers[record.id] = ws
        if self._home.access is not None:
            for key in ("web sockets", *map(_tagged, distinct)):
                self._home.access("accept", key)
        if ws.peer is None:
            # The answer to a request of its own; with a peer the connection is made when that goes out.
            self._home.emit(record, "accept", ws)
        return record

    def get_web_sockets(self, tag: str | None = None) -> list[WebSocket]:
        """All attached sockets: newest first, or those with ``tag``, oldest first (WS-4)."""
        if self._home.access is not None:
            self._home.access("sockets", "web sockets" if tag is None else _tagged(tag))
        if tag is None:
            records = self._records.values()
            return [self.wrapper(record) for record in (reversed(records) if self._newest_first else records)]
        return [self.wrapper(record) for record in self._tagged.get(tag, {}).values()]

    def get_tags(self, ws: WebSocket) -> list[str]:
        """The tags of a hibernatable socket (WS-6).

        Raises:
            Error: it is not one.
        """
        if ws.record.acceptance is Acceptance.STANDARD:
            raise Error("only hibernatable websockets can have tags.")
        if ws.record.acceptance is not Acceptance.HIBERNATABLE:
            raise Error("you must call 'acceptWebSocket()' before attempting to access the tags of a WebSocket.")
        return list(ws.record.tags)

    def records(self) -> list[SocketRecord]:
        """All attached sockets, oldest first.  For the machine; makes no wrappers."""
        return list(self._records.values())

    def wrapper(self, record: SocketRecord) -> WebSocket:
        """The object that stands for ``record`` in this incarnation, always the same one (WS-7)."""
        ws = self._wrappers.get(record.id)
        if ws is None:
            ws = self._wrappers[record.id] = WebSocket(record, self._home)
        return ws

    def hibernate(self) -> None:
        """The incarnation is gone, the sockets are not."""
        self._wrappers.clear()

    def remove(self, record: SocketRecord) -> None:
        """The dispatch of its close or error event has returned: it is not listed any more (WS-5, WS-19)."""
        if self._records.pop(record.id, None) is None:
            return
        self._wrappers.pop(record.id, None)
        for tag in record.tags:
            tagged = self._tagged[tag]
            del tagged[record.id]
            if not tagged:
                del self._tagged[tag]

    def disconnect(self) -> list[SocketRecord]:
        """The instance was reset, evicted or replaced: all sockets are cut without a close frame (WS-32).

        Returns:
            The records, oldest first; each is released.
        """
        records = list(self._records.values())
        self._records.clear()
        self._tagged.clear()
        self._wrappers.clear()
        self.auto_response = None
        self.event_timeout_ms = None
        for record in records:
            record.apply("release")
        return records

    def set_web_socket_auto_response(self, pair: WebSocketRequestResponsePair | None = None) -> None:
        """Answer messages equal to ``pair.request`` by ``pair.response``; without a pair, stop doing so (WS-20, WS-21).

        Raises:
            RangeError: either is longer than 2048 bytes.  The pair before stays.
        """
        if pair is not None:
            for what, text in (("request", pair.request), ("response", pair.response)):
                size = len(text.encode("utf-8", "surrogatepass"))
                if size > MAX_AUTO_RESPONSE_BYTES:
                    raise RangeError(
                        f"{what.capitalize()} cannot be larger than {MAX_AUTO_RESPONSE_BYTES} bytes. "
                        f"A {what} of size {size} was provided."
                    )
        self.auto_response = pair

    def get_web_socket_auto_response(self) -> WebSocketRequestResponsePair | None:
        """The pair that is set."""
        return self.auto_response

    def get_web_socket_auto_response_timestamp(self, ws: WebSocket) -> int | None:
        """When ``ws`` got its last auto-response, in ms, or ``None``; survives hibernation (WS-21)."""
        return ws.record.auto_response_ms

    def set_event_timeout(self, timeout_ms: int | None = None) -> None:
        """Limit handlers to ``timeout_ms``; 0 or ``None`` for no limit (WS-17).

        Raises:
            RangeError: negative, or more than seven days.
        """
        if timeout_ms is not None and not 0 <= timeout_ms <= MAX_EVENT_TIMEOUT_MS:
            raise RangeError(f"event timeout is {timeout_ms} ms; must be from 0 to {MAX_EVENT_TIMEOUT_MS}")
        self.event_timeout_ms = timeout_ms or None

    def answer(self, record: SocketRecord, message: str | bytes, now_ms: int) -> str | None:
        """The auto-response to ``message``, if there is one: send it at once, and wake nobody (WS-20, OG-7).

        Not after the object closed its side (WS-23).  Binary messages never match.
        """
        pair = self.auto_response
        if pair is None or message != pair.request or not record.writable:
            return None
        record.auto_response_ms = now_ms
        return pair.response


def _tagged(tag: str) -> str:
    """What traces call the sockets that have it."""
    return f"web sockets {tag!r}"


def _check_tags(tags: Sequence[str]) -> tuple[str, ...]:
    if isinstance(tags, str):
        raise TypeError(f"tags must be a sequence of texts, not the text {tags!r}; write [{tags!r}]")
    distinct = tuple(dict.fromkeys(tags))
    if len(distinct) > MAX_TAGS:
        raise Error(f"a Hibernatable WebSocket cannot have more than {MAX_TAGS} tags")
    for tag in distinct:
        if not isinstance(tag, str):
            raise TypeError(f"tags must be texts, not {tag!r}")
        if len(tag) > MAX_TAG_LENGTH:
            raise Error(f'"{tag}" is longer than the max tag length ({MAX_TAG_LENGTH} characters).')
    return distinct
