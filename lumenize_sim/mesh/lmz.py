"""``self.lmz``: who this node is, and how it calls others (LMZ-, CALL- rules).

What all nodes have in common; `lumenize_sim.mesh.cluster_lmz` and `lumenize_sim.mesh.client_lmz` say where calls of a
node go, and where its identity is kept.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar, cast, overload

from lumenize_sim.errors import AppError
from lumenize_sim.mesh.context import (
    CallContext,
    NodeIdentity,
    call_context_var,
    capture_context,
)
from lumenize_sim.mesh.continuation import RESULT, Continuation, Handler, OperationChain, get_operation_chain
from lumenize_sim.mesh.delivery import Delivery
from lumenize_sim.mesh.errors import MeshError
from lumenize_sim.objects.pending import Pending

__all__ = ["LmzApi", "OnSent"]

T = TypeVar("T")

OnSent = Callable[[str], Any]


class LmzApi:
    """What nodes have in common.

    Attributes:
        type: ``"LumenizeDO"``, ``"LumenizeWorker"`` or ``"LumenizeClient"``, as it stands on the wire.
    """

    type: ClassVar[str]
    _no_binding: ClassVar[str]

    def __init__(self, node: Any) -> None:
        self._node = node
        self._ctx = node.ctx
        self._env = node.env
        self._identity = NodeIdentity(self.type)

    @property
    def binding_name(self) -> str | None:
        """The binding this node was first reached through; ``None`` before."""
        return self._known().binding_name

    @property
    def instance_name(self) -> str | None:
        """The name of the object; ``None`` for Workers, and before the first call."""
        return self._known().instance_name

    @property
    def call_context(self) -> CallContext:
        """The context of the running mesh call (CTX-1).

        Raises:
            MeshError: there is none: constructors, `on_start`, requests, alarms and web sockets have no context.
        """
        context = call_context_var.get()
        if context is None:
            raise MeshError(
                "Cannot access callContext outside of a mesh call. "
                "callContext is only available during @mesh handler execution."
            )
        return context

    @property
    def surroundings(self) -> tuple[Any, Any]:
        """Host and owner of the node; for libraries."""
        return self._ctx.host, self._ctx.owner

    @property
    def compat(self) -> str | None:
        """The release of the original whose quirks the app wants, see `Mesh`."""
        compat: str | None = getattr(self._ctx.host, "compat", None)
        return compat

    def now(self) -> int:
        """Epoch milliseconds, by the node's own clock where it has one; in production it stands still during a turn."""
        now: int = getattr(self._ctx, "now", self._ctx.host.now_ms)()
        return now

    @property
    def random(self) -> random.Random:
        """This node's own generator, part of the replay."""
        generator: random.Random = self._ctx.host.random(self._ctx.owner)
        return generator

    def uuid(self) -> str:
        """A random version-4 UUID as text, from the node's own generator."""
        text: str = self._ctx.host.uuid(self._ctx.owner)
        return text

    def init_identity(self, binding_name: str | None = None, instance_name: str | None = None) -> None:
        """Learn the own names; ``None`` is ignored, and the first write wins (LMZ-3 … LMZ-6).

        Raises:
            MeshError: another name is known already.  A binding name accepted before it stays (LMZ-5).
        """
        raise NotImplementedError

    def _known(self) -> NodeIdentity:
        return self._identity

    @overload
    def call_raw(
        self,
        binding: str,
        instance: str | None,
        remote: Continuation[T],
        *,
        new_chain: bool = ...,
        state: Mapping[str, Any] | None = ...,
        on_sent: OnSent | None = ...,
    ) -> Pending[T]: ...
    @overload
    def call_raw(
        self,
        binding: str,
        instance: str | None,
        remote: OperationChain,
        *,
        new_chain: bool = ...,
        state: Mapping[str, Any] | None = ...,
        on_sent: OnSent | None = ...,
    ) -> Pending[Any]: ...
    def call_raw(
        self,
        binding: str,
        instance: str | None,
        remote: Continuation[Any] | OperationChain,
        *,
        new_chain: bool = False,
        state: Mapping[str, Any] | None = None,
        on_sent: OnSent | None = None,
    ) -> Pending[Any]:
        """Call and get the result: acts at once, awaiting the result opens the gate (CALL-1, CALL-19).

        Args:
            binding: a name in ``env``.
            instance: the object's name, or its id as 64 hex digits; ``None`` for Workers.
            remote: ``self.ctn(Node).method(…)``, or an operation chain.
            new_chain: begin a chain here, without the caller's context (CALL-20).
            state: laid over the inherited state (CALL-21).
            on_sent: at a client, hears the id of the call just before its frame is sent or queued (CL-41);
                other nodes ignore it (CALL-31).

        Returns:
            What the method returned, ``undefined`` as ``None``; or fails with what it raised.  Arguments that
            cannot be encoded fail it too (CALL-11).

        Raises:
            MeshError: no such binding, or it does not go with ``instance`` (CALL-7 … CALL-9).
        """
        chain = get_operation_chain(remote)
        if chain is None:
            if not isinstance(remote, list):
                raise MeshError("Invalid remoteContinuation: must be created with this.ctn()")
            chain = cast(OperationChain, remote)
        elif remote is RESULT:
            raise _result_as_remote()
        return self._send(self._target(binding, instance), binding, instance, chain, new_chain, state, on_sent)

    def call(
        self,
        binding: str,
        instance: str | None,
        remote: Continuation[Any],
        handler: Handler = None,
        *,
        new_chain: bool = False,
        state: Mapping[str, Any] | None = None,
        on_error_only: bool = False,
        on_sent: OnSent | None = None,
    ) -> None:
        """Call without waiting; ``handler`` runs on this node later, with the result or the error (CALL-2, CALL-23 …).

        Args:
            binding: a name in ``env``.
            instance: the object's name, or its id as 64 hex digits; ``None`` for Workers.
            remote: ``self.ctn(Node).method(…)``.
            handler: ``self.ctn().on_done(RESULT)``; needs no ``@mesh``, runs under the context of this call
                (CTX-6), and again with its own error if it raises on a result (CALL-28).
            new_chain: as for `call_raw`.
            state: as for `call_raw`.
            on_error_only: drop a successful result (CALL-26).
            on_sent: as for `call_raw`.

        Raises:
            MeshError: checked here, in this order: CALL-3 … CALL-9.
        """
        chain = get_operation_chain(remote)
        if chain is None:
            raise MeshError("Invalid remoteContinuation: must be created with this.ctn()")
        if remote is RESULT:
            raise _result_as_remote()
        handler_chain = get_operation_chain(handler)
        if handler_chain is None and handler is not None:
            raise MeshError("Invalid handlerContinuation: must be created with this.ctn()")
        if self._known().binding_name is None:
            raise MeshError(self._no_binding)
        target = self._target(binding, instance)
        captured = capture_context(call_context_var.get())
        finished: Pending[None] = Pending("call")
        delivery = Delivery(self, handler_chain, on_error_only, finished)
        token = call_context_var.set(captured)
        try:
            answer = self._send(target, binding, instance, chain, new_chain, state, on_sent)
            self._keep_alive(finished)
            if answer.done:
                # Not inline: a handler never runs inside the call that registers it.
                self._ctx.owner.spawn(delivery.later, answer)
            else:
                answer.when_done(delivery.arrived)
        finally:
            call_context_var.reset(token)

    def _keep_alive(self, finished: Pending[None]) -> None:
        """A background call began; ``finished`` settles when its handler has ended too."""

    def _target(self, binding: str, instance: str | None) -> Any:
        """What a call of ``binding`` goes to.

        Raises:
            MeshError: there is no such binding, or it does not go with ``instance``.
        """
        raise NotImplementedError

    def _send(
        self,
        target: Any,
        binding: str,
        instance: str | None,
        chain: OperationChain,
        new_chain: bool,
        state: Mapping[str, Any] | None,
        on_sent: OnSent | None,
    ) -> Pending[Any]:
        """Send ``chain``, under the present context; whatever goes wrong fails the answer."""
        raise NotImplementedError

    def _log(self, namespace: str, message: str, data: Mapping[str, Any]) -> None:
        self._ctx.host.log(self._ctx.owner, "error", namespace, message, data)


def _result_as_remote() -> AppError:
    return AppError(
        "RESULT is no call: it marks where the result goes in a handler. "
        "Give a remote such as self.ctn(Counter).increment(), and RESULT as an argument of the handler"
    )
