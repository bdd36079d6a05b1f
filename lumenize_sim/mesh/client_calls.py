"""Calls of one client that have no answer yet: sent, or in the queue until a socket is open (CL-31 to CL-37)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import outcome

from lumenize_sim.clone import UNDEFINED, postprocess, preprocess
from lumenize_sim.mesh import client_events as events
from lumenize_sim.mesh import gateway_messages as messages
from lumenize_sim.mesh.client_config import ClientConfig
from lumenize_sim.mesh.client_connection import QUEUE_TIMEOUT_S, ClientConnection
from lumenize_sim.mesh.client_line import ClientLine
from lumenize_sim.mesh.context import CallContext
from lumenize_sim.mesh.envelope import encode_chain
from lumenize_sim.mesh.errors import MeshError
from lumenize_sim.objects.host import TimerHandle
from lumenize_sim.objects.pending import Outcome, Pending

__all__ = ["ClientCalls"]


class ClientCalls:
    """Sends calls, and matches answers to them."""

    def __init__(self, config: ClientConfig, connection: ClientConnection, line: ClientLine) -> None:
        self._host = config.host
        self._owner = config.owner
        self._binding = config.gateway_binding_name
        self._connection = connection
        self._line = line
        self._waiting: dict[str, Pending[Any]] = {}
        self._queue_timers: dict[str, TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def send(
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
            "bindingName": self._binding,
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
        port = self._line.open_port
        if port is not None:
            self._waiting[call_id] = pending
            port.send(text)
        elif self._connection.enqueue(call_id, text):
            self._waiting[call_id] = pending
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
            self._waiting.pop(call_id).settle(outcome.Error(late))

    def answered(self, frame: dict[str, Any]) -> bool:
        """An answer has come (CL-37); False where nobody waits for it."""
        call_id = frame.get("callId")
        pending = self._waiting.pop(call_id, None) if isinstance(call_id, str) else None
        if pending is None:
            return False
        try:
            if frame.get("success"):
                value = postprocess(frame.get("result", UNDEFINED))
                result: Outcome = outcome.Value(None if value is UNDEFINED else value)
            else:
                result = outcome.Error(messages.error_from_wire(frame.get("error", UNDEFINED)))
        except Exception as error:
            result = outcome.Error(error)  # an answer nobody can read is a failure, not silence
        pending.settle(result)
        return True

    def send_queue(self, _: events.SendQueue) -> None:
        """What has waited for an open socket goes out."""
        port = self._line.open_port
        if port is None:
            return  # closing already: what waits goes out over the next socket
        for call_id, text in self._connection.take_queue():
            self._queue_timers.pop(call_id).cancel()
            port.send(text)

    def reject(self, command: events.RejectCalls) -> None:
        """Nobody will answer any more."""
        for timer in self._queue_timers.values():
            timer.cancel()
        self._queue_timers.clear()
        calls, self._waiting = self._waiting, {}
        for pending in calls.values():
            pending.settle(outcome.Error(MeshError(command.message)))
