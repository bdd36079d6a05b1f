"""The client node: lives outside the mesh and takes part in it through its gateway's web socket.

`ClientConnection` decides (states, back-off, re-authentication); this shell
carries its commands out over the host, matches answers to calls and runs
incoming calls.  Sending and receiving are callbacks of the socket, each one
turn of the client's owner; only async user code gets a task.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from functools import partial
from typing import Any, Self

import attrs
import outcome

from lumenize_sim.clone import UNDEFINED, loads, postprocess, preprocess
from lumenize_sim.errors import UsageError
from lumenize_sim.mesh import client_events as events
from lumenize_sim.mesh import gateway_messages as messages
from lumenize_sim.mesh.chain import execute_operation_chain, is_awaitable
from lumenize_sim.mesh.client_connection import QUEUE_TIMEOUT_S, ClientConnection
from lumenize_sim.mesh.client_events import ConnectionState
from lumenize_sim.mesh.client_lmz import ClientLmz
from lumenize_sim.mesh.client_tokens import TokenSource
from lumenize_sim.mesh.context import CallContext, call_context_var
from lumenize_sim.mesh.envelope import encode_failure
from lumenize_sim.mesh.errors import LoginRequiredError, MeshError
from lumenize_sim.mesh.lmz import encode_chain
from lumenize_sim.mesh.node import MeshNode
from lumenize_sim.mesh.tab_id import BroadcastChannel, SessionStorage, find_tab_id
from lumenize_sim.objects.host import Host, SocketPort, TimerHandle
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.strand import Owner

__all__ = ["ClientConfig", "LumenizeClient"]

_NAMESPACE = "lmz.mesh.LumenizeClient."


@attrs.frozen(kw_only=True)
class ClientConfig:
    """What a client is built from.

    Attributes:
        base_url: ``https://``, ``http://``, ``wss://`` or ``ws://`` and a host.
        host: the surroundings.
        owner: the client's incarnation; all its turns are turns of this owner.
        instance_name: ``{sub}.{tabId}``; generated at the first connection where it is missing.
        access_token: first JWT.
        refresh: where new tokens come from: a function, sync or async, returning ``{"access_token": ...}``, or
            a URL to POST to, absolute or relative to ``base_url``.
        on_connection_state_change, on_login_required, on_subscription_required, on_connection_error: callbacks,
            sync or async.
        heartbeat_interval_s: zero or less sends no pings.
        session_storage, broadcast_channel: the tab's storage and a function that opens a channel by name; with
            both, the tab id survives a reload.
    """

    base_url: str
    host: Host
    owner: Owner
    instance_name: str | None = None
    gateway_binding_name: str = messages.DEFAULT_GATEWAY_BINDING
    access_token: str | None = None
    refresh: str | Callable[[], Any] = "/auth/refresh-token"
    on_connection_state_change: Callable[[ConnectionState], Any] | None = None
    on_login_required: Callable[[LoginRequiredError], Any] | None = None
    on_subscription_required: Callable[[], Any] | None = None
    on_connection_error: Callable[[Exception], Any] | None = None
    heartbeat_interval_s: float = messages.WS_HEARTBEAT_INTERVAL_S
    session_storage: SessionStorage | None = None
    broadcast_channel: Callable[[str], BroadcastChannel] | None = None

    def __attrs_post_init__(self) -> None:
        if not self.base_url.startswith(("https://", "http://", "wss://", "ws://")):
            raise UsageError(f"base_url {self.base_url!r} has no scheme; use for example 'https://example.com'")


@attrs.frozen
class _SocketEvents:
    """The events of one dialled socket, told apart from those of its successors by its number (CL-14)."""

    client: LumenizeClient
    number: int

    def on_open(self) -> None:
        self.client._feed(events.SocketOpened(self.number))

    def on_message(self, data: str | bytes) -> None:
        if self.client._connection.socket == self.number:
            self.client._received(data, self.number)

    def on_close(self, code: int, reason: str, was_clean: bool) -> None:
        self.client._feed(events.SocketClosed(self.number, code, reason))

    def on_error(self, error: Exception) -> None:
        if self.client._connection.socket == self.number:
            self.client._tell("on_connection_error", MeshError("WebSocket error"))


class LumenizeClient(MeshNode):
    """Base class of client nodes.  Connects as soon as it is built (CL-1).

    The four callbacks come from the config, as upstream.  In addition, and unlike upstream, a method of the same
    name defined on the subclass is called, after the one from the config.  What the constructor has to tell is
    told after it, still in the same turn, so that a subclass can finish its own ``__init__`` first (CL-2).
    """

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._host = config.host
        self._owner = config.owner
        self._connection = ClientConnection(
            base_url=config.base_url,
            binding=config.gateway_binding_name,
            instance_name=config.instance_name,
            token=config.access_token,
            revives=getattr(config.host, "compat", None) is not None,
        )
        self._port: SocketPort | None = None
        self._calls: dict[str, Pending[Any]] = {}
        self._queue_timers: dict[str, TimerHandle] = {}
        self._backoff: TimerHandle | None = None
        self._heartbeat: TimerHandle | None = None
        self._tokens = TokenSource(self._connection, config, self._feed)
        self._commands: deque[events.Command] = deque()
        self._draining = False
        self._untold: list[tuple[str, tuple[Any, ...]]] | None = []
        self._lmz = ClientLmz(self, config.gateway_binding_name, config.host, config.owner)
        self._feed(events.ConnectRequested())
        untold, self._untold = self._untold, None
        if any(self._listens(name) for name, _ in untold or ()):
            self._host.spawn(self._owner, self._tell_later, untold)

    # What users call.

    @property
    def lmz(self) -> ClientLmz:
        """Identity, call context and calls of this node."""
        return self._lmz

    @property
    def connection_state(self) -> ConnectionState:
        """``connecting``, ``connected``, ``reconnecting`` or ``disconnected``."""
        return self._connection.state

    @property
    def claims(self) -> Mapping[str, Any] | None:
        """Payload of the current token, unverified and read-only; ``None`` without one (CL-25)."""
        return self._connection.claims

    def connect(self) -> None:
        """Connect now, unless connected or on the way (CL-3)."""
        self._feed(events.ConnectRequested())

    def disconnect(self) -> None:
        """Close, and reject every call without an answer with ``Client disconnected`` (CL-29).  Idempotent."""
        self._feed(events.DisconnectRequested())

    def wake(self, *, online: bool = False) -> None:
        """The page was shown or focused, or (``online``) the network returned: retry now (CL-15)."""
        self._feed(events.WokenUp(online))

    def clear_access_token(self) -> None:
        """Forget token and claims; the connection stays (CL-26)."""
        self._connection.clear_token()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()

    def authed_fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Pending[Any]:
        """An HTTP request with the access token; on 401 a fresh token and one more try (CL-28)."""
        response: Pending[Any] = Pending("authed_fetch")

        def attempt(again: bool, token: Outcome) -> None:
            if isinstance(token, outcome.Error):
                response.settle(token)
                return
            authed = {**(headers or {}), "Authorization": f"Bearer {token.value}"}
            sent = self._host.fetch(self._owner, url, method=method, headers=authed, body=body)
            sent.when_done(partial(answered, again))

        def answered(again: bool, result: Outcome) -> None:
            if again and isinstance(result, outcome.Value) and result.value.status == 401:
                self._connection.drop_token()
                self._tokens.fresh().when_done(partial(attempt, False))
            else:
                response.settle(result)

        self._tokens.fresh().when_done(partial(attempt, True))
        return response

    # What subclasses may override.

    def on_before_call(self) -> None:
        """Judge an incoming call; raising refuses it.  Default: no calls that began at another client (CL-50)."""
        chain = self._lmz.call_context.call_chain
        if chain and chain[0].type == "LumenizeClient" and chain[0].instance_name != self._connection.instance_name:
            raise MeshError("Peer-to-peer client calls are disabled by default. Override onBeforeCall() to allow them.")

    def on_unknown_message(self, frame: Mapping[str, Any]) -> None:
        """A frame of a type this version does not know (CL-40)."""
        self._log("warn", "onUnknownMessage", "Unknown message type", type=frame.get("type"))

    def on_connection_state_change(self, state: ConnectionState) -> Any:
        """The state has changed."""

    def on_login_required(self, error: LoginRequiredError) -> Any:
        """Only a new login helps."""

    def on_subscription_required(self) -> Any:
        """The mesh has forgotten this client: subscribe again (CL-45)."""

    def on_connection_error(self, error: Exception) -> Any:
        """The socket reported an error; a close normally follows (CL-21)."""

    # Calls.

    def _send_call(
        self,
        binding: str,
        instance: str | None,
        chain: Any,
        context: CallContext | None,
        *,
        new_chain: bool,
        state: Mapping[str, Any] | None,
        on_sent: Callable[[str], Any] | None,
    ) -> Pending[Any]:
        """Build the frame now; send it if the socket is open, else queue it (CL-31, CL-35, CL-42)."""
        pending: Pending[Any] = Pending("call")
        call_id = self._host.uuid(self._owner)
        me: dict[str, Any] = {
            "type": "LumenizeClient",
            "bindingName": self._config.gateway_binding_name,
            "instanceName": self._connection.instance_name,
        }
        outgoing: Mapping[str, Any]
        if context is None or new_chain:
            call_chain = [me]
            outgoing = state if state is not None else {}
        else:
            call_chain = [node.to_wire() for node in context.call_chain]
            call_chain.append(me)
            outgoing = context.state if state is None else {**context.state, **state}
        try:
            encoded, encoded_state = encode_chain(chain), preprocess(outgoing)
            text = messages.call_frame(call_id, binding, instance, encoded, call_chain, encoded_state)
            if on_sent is not None:
                on_sent(call_id)
        except Exception as error:
            pending.settle(outcome.Error(error))
            return pending
        port = self._port
        if port is not None and port.ready_state == 1:
            self._calls[call_id] = pending
            port.send(text)
        elif self._connection.enqueue(call_id, text):
            self._calls[call_id] = pending
            self._queue_timers[call_id] = self._host.set_timer(
                self._owner, QUEUE_TIMEOUT_S, partial(self._waited_too_long, call_id)
            )
        else:
            pending.settle(outcome.Error(MeshError("Message queue full")))
        return pending

    def _waited_too_long(self, call_id: str) -> None:
        """CL-34."""
        del self._queue_timers[call_id]
        if self._connection.withdraw(call_id):
            late = MeshError("Call timed out while waiting for connection")
            self._calls.pop(call_id).settle(outcome.Error(late))

    # Frames from the gateway.

    def _received(self, data: str | bytes, socket: int) -> None:
        if data == messages.WS_HEARTBEAT_PONG:
            return
        try:
            if not isinstance(data, str):
                raise ValueError("binary frame")
            frame = loads(data)
        except ValueError as error:
            self._log("error", "#handleMessage", "Failed to parse Gateway message", error=str(error))
            return
        kind = frame.get("type") if isinstance(frame, dict) else None
        if kind == messages.CALL_RESPONSE:
            self._answered(frame)
        elif kind == messages.INCOMING_CALL:
            self._called(frame)
        elif kind == messages.CONNECTION_STATUS:
            self._feed(events.StatusArrived(socket, bool(frame.get("subscriptionRequired"))))
        else:
            self.on_unknown_message(frame if isinstance(frame, dict) else {})

    def _answered(self, frame: dict[str, Any]) -> None:
        """CL-37."""
        call_id = frame.get("callId")
        pending = self._calls.pop(call_id, None) if isinstance(call_id, str) else None
        if pending is None:
            self._log("warn", "#handleCallResponse", "Received response for unknown call", callId=call_id)
            return
        try:
            if frame.get("success"):
                value = postprocess(frame.get("result", UNDEFINED))
                result: Outcome = outcome.Value(None if value is UNDEFINED else value)
            else:
                result = outcome.Error(messages.error_from_wire(frame.get("error", UNDEFINED)))
        except Exception as error:
            result = outcome.Error(error)  # an answer nobody can read is a failure, not silence
        pending.settle(result)

    def _called(self, frame: dict[str, Any]) -> None:
        """CL-38.  The context is current for the call and for everything it awaits (CTX-2, in its better form)."""
        call_id = frame.get("callId", UNDEFINED)
        token: Token[CallContext | None] | None = None
        try:
            chain = postprocess(frame.get("chain", UNDEFINED))
            sent = frame.get("callContext")
            if not isinstance(sent, dict):
                raise TypeError(f"callContext must be an object, got {type(sent).__name__}")
            context = CallContext(
                messages.identities_from_wire(sent.get("callChain")),
                messages.origin_auth_from_wire(sent.get("originAuth")),
                postprocess(sent["state"]) if sent.get("state") else {},
            )
            token = call_context_var.set(context)
            self._run(self.on_before_call)
            result = execute_operation_chain(chain, self)
            if is_awaitable(result):
                self._host.spawn(self._owner, self._finish_called, call_id, result)
            else:
                self._succeed(call_id, result)
        except Exception as error:
            self._reply(messages.incoming_call_failed(call_id, encode_failure(error).error_encoded))
        finally:
            if token is not None:
                call_context_var.reset(token)

    async def _finish_called(self, call_id: Any, result: Any) -> None:
        try:
            self._succeed(call_id, await result)
        except Exception as error:
            self._reply(messages.incoming_call_failed(call_id, encode_failure(error).error_encoded))

    def _succeed(self, call_id: Any, result: Any) -> None:
        self._reply(messages.incoming_call_succeeded(call_id, preprocess(result)))

    def _reply(self, text: str) -> None:
        """An answer that finds no open socket is dropped (CL-38)."""
        if self._port is not None and self._port.ready_state == 1:
            self._port.send(text)

    # The connection.

    def _feed(self, event: events.Input) -> None:
        """Give the machine an input and carry out what it wants.

        A command may run user code that comes back here; its commands queue up behind the ones under way.  All of
        them run even where a callback raises; the first error goes on to the host afterwards.
        """
        self._commands.extend(self._connection.feed(event, self._host.now_ms()))
        if self._draining:
            return
        self._draining = True
        failure: Exception | None = None
        try:
            while self._commands:
                command = self._commands.popleft()
                try:
                    _DO[type(command)](self, command)
                except Exception as error:
                    failure = failure or error
        finally:
            self._draining = False
        if failure is not None:
            raise failure

    def _dial(self, command: events.Dial) -> None:
        self._port = self._host.open_socket(
            self._owner, command.url, command.protocols, _SocketEvents(self, command.socket)
        )

    def _hangup(self, command: events.Hangup) -> None:
        port, self._port = self._port, None
        if port is not None and port.ready_state in (0, 1):
            port.close(command.code, command.reason)

    def _start_backoff(self, command: events.StartBackoff) -> None:
        self._backoff = self._host.set_timer(self._owner, command.delay_s, self._backoff_elapsed)

    def _backoff_elapsed(self) -> None:
        self._backoff = None
        self._feed(events.BackoffElapsed())

    def _stop_backoff(self, _: events.StopBackoff) -> None:
        if self._backoff is not None:
            self._backoff.cancel()
            self._backoff = None

    def _start_heartbeat(self, _: events.StartHeartbeat) -> None:
        if self._config.heartbeat_interval_s > 0:
            self._heartbeat = self._host.set_timer(
                self._owner, self._config.heartbeat_interval_s, self._beat, background=True
            )

    def _beat(self) -> None:
        self._start_heartbeat(events.StartHeartbeat())
        try:
            if self._port is not None:
                self._port.send(messages.WS_HEARTBEAT_PING)
        except Exception as error:
            self._log("debug", "#startHeartbeat", "Ping not sent", error=str(error))

    def _stop_heartbeat(self, _: events.StopHeartbeat) -> None:
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None

    def _send_queue(self, _: events.SendQueue) -> None:
        port = self._port
        if port is None or port.ready_state != 1:
            return  # closing already: what waits goes out over the next socket
        for call_id, text in self._connection.take_queue():
            self._queue_timers.pop(call_id).cancel()
            port.send(text)

    def _reject_calls(self, command: events.RejectCalls) -> None:
        for timer in self._queue_timers.values():
            timer.cancel()
        self._queue_timers.clear()
        calls, self._calls = self._calls, {}
        for pending in calls.values():
            pending.settle(outcome.Error(MeshError(command.message)))

    def _refresh(self, _: events.Refresh) -> None:
        self._tokens.refresh()

    def _find_tab_id(self, _: events.FindTabId) -> None:
        find_tab_id(
            self._host,
            self._owner,
            self._config.session_storage,
            self._config.broadcast_channel,
            lambda tab_id: self._feed(events.TabIdFound(tab_id)),
        )

    # Telling the user.

    def _tell(self, name: str, *args: Any) -> None:
        if self._untold is not None:
            self._untold.append((name, args))
            return
        configured = getattr(self._config, name)
        if configured is not None:
            self._run(configured, *args)
        self._run(getattr(self, name), *args)

    def _listens(self, name: str) -> bool:
        return getattr(self._config, name) is not None or getattr(type(self), name) is not getattr(LumenizeClient, name)

    async def _tell_later(self, untold: Sequence[tuple[str, tuple[Any, ...]]]) -> None:
        """What the constructor had to tell; a state that has passed by now is not mentioned (CL-2)."""
        for name, args in untold:
            if name != "on_connection_state_change" or args[0] == self._connection.state:
                self._tell(name, *args)

    def _run(self, function: Callable[..., Any], *args: Any) -> None:
        """Call user code; what is async goes on in a task of its own and nobody waits for it."""
        result = function(*args)
        if is_awaitable(result):
            self._host.spawn(self._owner, _drive, result)

    def _tell_state(self, command: events.StateChanged) -> None:
        self._tell("on_connection_state_change", command.state)

    def _tell_login(self, command: events.RequireLogin) -> None:
        self._tell("on_login_required", command.error)

    def _tell_subscription(self, _: events.RequireSubscription) -> None:
        self._tell("on_subscription_required")

    def _log(self, level: str, where: str, message: str, **data: Any) -> None:
        self._host.log(self._owner, level, _NAMESPACE + where, message, data)


async def _drive(awaitable: Any) -> None:
    await awaitable


_DO: Mapping[type[events.Command], Callable[[LumenizeClient, Any], None]] = {
    events.FindTabId: LumenizeClient._find_tab_id,
    events.Refresh: LumenizeClient._refresh,
    events.Dial: LumenizeClient._dial,
    events.Hangup: LumenizeClient._hangup,
    events.StartBackoff: LumenizeClient._start_backoff,
    events.StopBackoff: LumenizeClient._stop_backoff,
    events.StartHeartbeat: LumenizeClient._start_heartbeat,
    events.StopHeartbeat: LumenizeClient._stop_heartbeat,
    events.SendQueue: LumenizeClient._send_queue,
    events.RejectCalls: LumenizeClient._reject_calls,
    events.StateChanged: LumenizeClient._tell_state,
    events.RequireLogin: LumenizeClient._tell_login,
    events.RequireSubscription: LumenizeClient._tell_subscription,
}
