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

import outcome

from lumenize_sim.clone import UNDEFINED, loads, postprocess, preprocess
from lumenize_sim.mesh import client_events as events
from lumenize_sim.mesh import gateway_messages as messages
from lumenize_sim.mesh.chain import execute_operation_chain, is_awaitable
from lumenize_sim.mesh.client_calls import ClientCalls
from lumenize_sim.mesh.client_config import ClientConfig
from lumenize_sim.mesh.client_connection import ClientConnection
from lumenize_sim.mesh.client_events import ConnectionState
from lumenize_sim.mesh.client_line import ClientLine, LineUser
from lumenize_sim.mesh.client_lmz import ClientLmz
from lumenize_sim.mesh.client_tokens import TokenSource
from lumenize_sim.mesh.context import CallContext, call_context_var
from lumenize_sim.mesh.envelope import encode_failure
from lumenize_sim.mesh.errors import LoginRequiredError, MeshError
from lumenize_sim.mesh.node import MeshNode
from lumenize_sim.mesh.tab_id import find_tab_id
from lumenize_sim.objects.pending import Outcome, Pending

__all__ = ["LumenizeClient"]

_NAMESPACE = "lmz.mesh.LumenizeClient."


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
        self._line = ClientLine(
            config,
            self._connection,
            LineUser(
                self._feed,
                self._received,
                lambda: self._tell("on_connection_error", MeshError("WebSocket error")),
                lambda error: self._log("debug", "#startHeartbeat", "Ping not sent", error=str(error)),
            ),
        )
        self._calls = ClientCalls(config, self._connection, self._line)
        self._tokens = TokenSource(self._connection, config, self._feed)
        self._do = self._doers()
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
            if not self._calls.answered(frame):
                self._log(
                    "warn", "#handleCallResponse", "Received response for unknown call", callId=frame.get("callId")
                )
        elif kind == messages.INCOMING_CALL:
            self._called(frame)
        elif kind == messages.CONNECTION_STATUS:
            self._feed(events.StatusArrived(socket, bool(frame.get("subscriptionRequired"))))
        else:
            self.on_unknown_message(frame if isinstance(frame, dict) else {})

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
        port = self._line.open_port
        if port is not None:
            port.send(text)

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
                    self._do[type(command)](command)
                except Exception as error:
                    failure = failure or error
        finally:
            self._draining = False
        if failure is not None:
            raise failure

    def _doers(self) -> Mapping[type[events.Command], Callable[[Any], None]]:
        """Who carries out which command."""
        line, calls = self._line, self._calls
        return {
            events.FindTabId: self._find_tab_id,
            events.Refresh: self._refresh,
            events.Dial: line.dial,
            events.Hangup: line.hangup,
            events.StartBackoff: line.start_backoff,
            events.StopBackoff: line.stop_backoff,
            events.StartHeartbeat: line.start_heartbeat,
            events.StopHeartbeat: line.stop_heartbeat,
            events.SendQueue: calls.send_queue,
            events.RejectCalls: calls.reject,
            events.StateChanged: self._tell_state,
            events.RequireLogin: self._tell_login,
            events.RequireSubscription: self._tell_subscription,
        }

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
