"""The gateway: a Durable Object that bridges one client's web socket into the mesh.

One instance per client, named like it.  Whether the client is connected, in its
grace period or gone is never stored: sockets, alarm and attachments are read on
each use, so that the answer is right after hibernation too (GW-2)::

    open socket        connected      a call from the mesh is forwarded
    alarm is near      grace period   it waits for the client to come back
    neither            disconnected   it fails at once

Only two things live in memory: calls forwarded to the client and still
unanswered, and calls that wait for a reconnect.  Every handler is synchronous;
what has to wait is a `Pending` with a callback, so no call costs a task.

The client decides what is called.  Who calls (index 0 of the call chain,
``originAuth``, ``metadata.caller``) is always what the gateway itself verified
at the upgrade (GW-39).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import attrs
import outcome

from lumenize_sim.clone import UNDEFINED, postprocess, preprocess
from lumenize_sim.mesh import gateway_messages as messages
from lumenize_sim.mesh.client_upgrade import ConnectionInfo, UpgradeRefused
from lumenize_sim.mesh.context import CallContext, NodeIdentity, OriginAuth
from lumenize_sim.mesh.envelope import Envelope, Failure, Metadata, encode_failure
from lumenize_sim.mesh.errors import ClientDisconnectedError, MeshError
from lumenize_sim.mesh.forwarded_calls import Answer, ForwardedCalls
from lumenize_sim.mesh.grace_period import GracePeriod
from lumenize_sim.mesh.walk import js_string
from lumenize_sim.objects.context import DurableObject
from lumenize_sim.objects.hibernation import WebSocketRequestResponsePair
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.websocket import WebSocket, WebSocketPair

__all__ = ["LumenizeClientGateway"]

_NAMESPACE = "lmz.mesh.LumenizeClientGateway."
_OBJECT_ID = re.compile(r"[a-f0-9]{64}")
_NO_NAMESPACE = (
    "getDOStub expected a DurableObjectNamespace but received a binding without idFromName/getByName "
    "(likely a Worker/service binding). Check the binding name."
)


class LumenizeClientGateway(DurableObject):
    """Bridge between one client's socket and the mesh.  Subclass it to override the three hooks."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self._forwarded = ForwardedCalls(ctx, self._client_name)
        self._grace = GracePeriod(ctx, env)
        self._waiters: list[Pending[None]] = []

    # Hooks (GW section 8.6).

    def on_before_accept(
        self, instance_name: str, sub: str, jwt_payload: Mapping[str, Any]
    ) -> Response | Mapping[str, Any] | None:
        """Judge an upgrade: a Response refuses it, a mapping is merged over the claims (GW-10, GW-11).

        Overriding it replaces the identity check completely.
        """
        owner, dot, _ = instance_name.partition(".")
        if not dot:
            return _refusal(403, "Forbidden: invalid instance name format (expected sub.tabId)")
        if owner != sub:
            return _refusal(403, "Forbidden: identity mismatch")
        return None

    def on_before_call_to_mesh(
        self, base_context: CallContext, connection_info: ConnectionInfo, call_id: str
    ) -> CallContext:
        """The context a call from the client goes out with.  Raising fails the call."""
        return base_context

    def on_before_call_to_client(self, envelope: Envelope, connection_info: ConnectionInfo) -> None:
        """Judge a call from the mesh.  Raising fails it with that error."""

    # Upgrade (GW section 8.2).

    def fetch(self, request: Request) -> Response:
        """Accept the client's web socket, or say why not.  The token's signature was verified before (GW-12)."""
        if (request.headers.get("Upgrade") or "").lower() != "websocket":
            return _refusal(426, "Expected WebSocket upgrade")
        try:
            info = ConnectionInfo.asked_for(request)
        except UpgradeRefused as refused:
            self._log("warn", "fetch", "WebSocket upgrade rejected", reason=refused.text)
            return _refusal(refused.status, refused.text)
        verdict = self.on_before_accept(info.instance_name, info.sub, info.claims)
        if isinstance(verdict, Response):
            return verdict
        return self._accept(attrs.evolve(info, claims={**info.claims, **(verdict or {})}))

    def _accept(self, info: ConnectionInfo) -> Response:
        """The sequence of GW-13."""
        sockets = self.ctx.get_web_sockets()
        subscription_required = not sockets and not self._grace.running
        pair = WebSocketPair()
        server = pair[1]
        for old in sockets:
            old.close(messages.WS_CLOSE_SUPERSEDED, "Superseded by new connection")
        self.ctx.accept_web_socket(server)
        self.ctx.set_web_socket_auto_response(
            WebSocketRequestResponsePair(messages.WS_HEARTBEAT_PING, messages.WS_HEARTBEAT_PONG)
        )
        server.serialize_attachment(info.to_attachment())
        # Calls that waited go out before connection_status does (GW-15).
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.settle(outcome.Value(None))
        if self._grace.ends_ms is not None:
            self._grace.end()
        if server.ready_state == 1:  # a call that had waited may have found the token expired and closed it
            server.send(messages.connection_status(subscription_required))
        self._log(
            "info",
            "fetch",
            "WebSocket connection accepted",
            sub=info.sub,
            instanceName=info.instance_name,
            subscriptionRequired=subscription_required,
        )
        return Response(101, headers={"Sec-WebSocket-Protocol": "lmz"}, web_socket=pair[0])

    # Frames from the client (GW section 8.3).

    def web_socket_message(self, ws: WebSocket, message: str | bytes) -> None:
        """One frame.  Whatever it is, the connection stays usable unless the token has expired (GW-18 to GW-20)."""
        if not isinstance(message, str):
            self._log("warn", "webSocketMessage", "Received non-string message, ignoring")
            return
        info = ConnectionInfo.of(ws)
        if info is not None and info.expired(self.ctx.host.now_ms()):
            self._log("warn", "webSocketMessage", "Token expired, closing connection")
            ws.close(messages.WS_CLOSE_TOKEN_EXPIRED, "Token expired")
            return
        try:
            frame = messages.parse_frame(message)
        except ValueError as error:
            self._log("error", "webSocketMessage", "Failed to parse message", error=str(error))
            return
        kind = frame.get("type")
        if kind == messages.CALL:
            self._call_to_mesh(ws, frame, info)
        elif kind == messages.INCOMING_CALL_RESPONSE:
            if not self._forwarded.answered(frame):
                self._log(
                    "warn",
                    "#handleIncomingCallResponse",
                    "Received response for unknown call",
                    callId=frame.get("callId"),
                )
        else:
            self._log("warn", "webSocketMessage", "Unknown message type", type=kind)

    def _call_to_mesh(self, ws: WebSocket, frame: dict[str, Any], info: ConnectionInfo | None) -> None:
        """GW-21, GW-22."""
        if info is None:
            self._log("error", "#handleClientCall", "Null attachment, closing WebSocket")
            ws.close(messages.WS_CLOSE_NOT_INITIALIZED, "Connection not properly initialized")
            return
        call_id = frame.get("callId", UNDEFINED)
        try:
            pending = self._dispatch(frame, info)
        except Exception as error:
            self._call_failed(ws, call_id, error)
            return
        pending.when_done(partial(self._mesh_answered, ws, call_id))

    def _dispatch(self, frame: dict[str, Any], info: ConnectionInfo) -> Pending[Any]:
        binding: Any = frame.get("binding")
        instance: Any = frame.get("instance") or None
        caller = NodeIdentity("LumenizeClient", info.binding_name, info.instance_name)
        sent = frame.get("callContext")
        chain, state = [caller], {}
        if isinstance(sent, dict):  # what is none has neither member
            if sent.get("callChain") is not None:
                chain += messages.identities_from_wire(sent["callChain"], 1)  # whatever stands first is the gateway's
            if sent.get("state"):
                state = postprocess(sent["state"])
        context = CallContext(chain, OriginAuth(info.sub, info.claims), state)
        context = self.on_before_call_to_mesh(context, info, frame.get("callId", ""))
        callee = NodeIdentity("LumenizeDO" if instance else "LumenizeWorker", binding, instance)
        envelope = Envelope(1, frame.get("chain", UNDEFINED), context, Metadata(caller, callee))
        pending: Pending[Any] = self._stub(binding, instance).call("_execute_operation", envelope)
        return pending

    def _stub(self, binding: Any, instance: Any) -> Any:
        target = self._env(binding)
        if instance is not None:
            if not _is_namespace(target):
                raise MeshError(_NO_NAMESPACE)
            if not isinstance(instance, str):
                raise TypeError(f"instance must be a string, got {js_string(instance)}")
            if _OBJECT_ID.fullmatch(instance):
                return target.get(target.id_from_string(instance))
            return target.get_by_name(instance)
        if target is None:
            raise TypeError("Cannot read properties of undefined (reading '__executeOperation')")
        if _is_namespace(target) or not hasattr(target, "call"):
            raise TypeError("stub.__executeOperation is not a function")
        return target

    def _mesh_answered(self, ws: WebSocket, call_id: Any, result: Outcome) -> None:
        """GW-23.  The outcome is either an answer or a failure of the transport."""
        if isinstance(result, outcome.Error):
            self._call_failed(ws, call_id, result.error)
            return
        answer = result.value
        if isinstance(answer, Failure):
            self._send(ws, messages.call_failed(call_id, answer.error_encoded))
            return
        try:
            text = messages.call_succeeded(call_id, preprocess(UNDEFINED if answer is None else answer.value))
        except Exception as error:
            self._call_failed(ws, call_id, error)
            return
        self._send(ws, text)

    def _call_failed(self, ws: WebSocket, call_id: Any, error: BaseException) -> None:
        self._log("error", "#handleClientCall", "Call failed", callId=call_id, error=str(error))
        self._send(ws, messages.call_failed(call_id, encode_failure(error).error_encoded))

    def _send(self, ws: WebSocket, text: str) -> None:
        """A reply for a socket that has gone by now is lost, not kept for the next one (GW-24)."""
        try:
            ws.send(text)
        except Exception as error:
            self._log("warn", "#handleClientCall", "Reply lost: the socket is closed", error=str(error))

    # Mesh to client (GW section 8.4).

    def _execute_operation(self, envelope: Envelope) -> Answer | Pending[Answer]:
        """Forward one call to the client.  Never raises; failures are a `Failure` (GW-26 to GW-33)."""
        if envelope.version != 1:
            version = "undefined" if envelope.version is None else envelope.version
            return encode_failure(MeshError(f"Unsupported RPC envelope version: {version}"))
        metadata = envelope.metadata
        callee = metadata.callee if metadata is not None else None
        name = (callee.instance_name if callee is not None else None) or self._client_name()
        ws = self._open_socket()
        if ws is not None:
            return self._hand_over(ws, envelope, name)
        if not self._grace.running:
            return encode_failure(ClientDisconnectedError("Client is not connected", name))
        if self._grace.overdue:
            return encode_failure(ClientDisconnectedError("Client grace period has expired", name))
        waiter: Pending[None] = Pending("reconnect")
        answer: Pending[Answer] = Pending("client call")
        self._waiters.append(waiter)
        waiter.when_done(partial(self._waited, envelope, name, answer))
        return answer

    def _waited(self, envelope: Envelope, name: str | None, answer: Pending[Answer], result: Outcome) -> None:
        if isinstance(result, outcome.Error):
            answer.settle(outcome.Value(encode_failure(ClientDisconnectedError(str(result.error), name))))
            return
        ws = self._open_socket()
        if ws is None:
            lost = ClientDisconnectedError("Client did not reconnect in time", name)
            answer.settle(outcome.Value(encode_failure(lost)))
            return
        handed = self._hand_over(ws, envelope, name)
        if isinstance(handed, Pending):
            handed.when_done(answer.settle)
        else:
            answer.settle(outcome.Value(handed))

    def _hand_over(self, ws: WebSocket, envelope: Envelope, name: str | None) -> Answer | Pending[Answer]:
        info = ConnectionInfo.of(ws)
        if info is None:
            self._log("error", "__executeOperation", "Null attachment, closing WebSocket")
            ws.close(messages.WS_CLOSE_NOT_INITIALIZED, "Connection not properly initialized")
            return encode_failure(ClientDisconnectedError("Connection not properly initialized", name))
        host = self.ctx.host
        if info.expired(host.now_ms()):
            self._log("warn", "__executeOperation", "Token expired, closing connection")
            ws.close(messages.WS_CLOSE_TOKEN_EXPIRED, "Token expired")
            return encode_failure(ClientDisconnectedError("Client token expired", name))
        try:
            self.on_before_call_to_client(envelope, info)
            call_id = host.uuid(self.ctx.owner)
            context = envelope.call_context
            if context is None:
                raise TypeError("Cannot read properties of undefined (reading 'callChain')")
            ws.send(
                messages.incoming_call(
                    call_id, envelope.chain, context.call_chain, context.origin_auth, preprocess(context.state)
                )
            )
        except Exception as error:
            return encode_failure(error)
        return self._forwarded.add(call_id)

    # Close, error, alarm (GW section 8.5).

    def web_socket_close(self, ws: WebSocket, code: int, reason: str, was_clean: bool) -> None:
        """Begin the grace period, unless the socket was superseded (GW-36).  Forwarded calls go on (GW-34)."""
        self._log("info", "webSocketClose", "WebSocket closed", code=code, reason=reason)
        if code != messages.WS_CLOSE_SUPERSEDED:
            self._grace.begin()

    def web_socket_error(self, ws: WebSocket, error: Any) -> None:
        """Logged only (GW-37)."""
        self._log("error", "webSocketError", "WebSocket error", error=str(error))

    def alarm(self, info: Any = None) -> None:
        """The grace period is over (GW-38)."""
        self._log("info", "alarm", "Grace period expired")
        self._grace.end()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.settle(outcome.Error(ClientDisconnectedError("Client did not reconnect within grace period", None)))

    def _open_socket(self) -> WebSocket | None:
        for socket in self.ctx.get_web_sockets():
            if socket.ready_state == 1:
                return socket
        return None

    def _client_name(self) -> str | None:
        socket = self._open_socket()
        info = ConnectionInfo.of(socket) if socket is not None else None
        return info.instance_name if info is not None else None

    def _env(self, name: Any) -> Any:
        try:
            return self.env[name]
        except (KeyError, TypeError):  # TypeError: a frame may name its binding by something unhashable
            return None

    def _log(self, level: str, where: str, message: str, **data: Any) -> None:
        self.ctx.host.log(self.ctx.owner, level, _NAMESPACE + where, message, data)


def _is_namespace(target: object) -> bool:
    # A service binding answers to any method name, so only its `fetch` tells it from a namespace (CALL-12).
    return hasattr(target, "get_by_name") and not hasattr(target, "fetch")


def _refusal(status: int, text: str) -> Response:
    return Response(status, text)
