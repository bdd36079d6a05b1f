"""``self.lmz``: who this node is, and how it calls others (LMZ-, CALL- rules).

A node that lives in the cluster hands an `Envelope` to a stub.  What differs
between Durable Objects and Workers is only where the identity is kept.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar, cast, overload

import outcome

from lumenize_sim.clone import UNDEFINED, postprocess, preprocess, structured_clone
from lumenize_sim.errors import AppError
from lumenize_sim.mesh.chain import Protected
from lumenize_sim.mesh.context import (
    CallContext,
    NodeIdentity,
    OriginAuth,
    call_context_var,
    capture_context,
    outgoing_context,
)
from lumenize_sim.mesh.continuation import RESULT, Continuation, Handler, OperationChain, get_operation_chain
from lumenize_sim.mesh.delivery import Delivery
from lumenize_sim.mesh.envelope import Envelope, Failure, Metadata
from lumenize_sim.mesh.errors import MeshError
from lumenize_sim.mesh.walk import js_string
from lumenize_sim.objects.pending import Outcome, Pending

__all__ = ["DurableObjectLmz", "LmzApi", "OnSent", "WorkerLmz", "encode_chain"]

T = TypeVar("T")

OnSent = Callable[[str], Any]

BINDING_KEY = "__lmz_do_binding_name"
INSTANCE_KEY = "__lmz_do_instance_name"

_OBJECT_ID = re.compile(r"[a-f0-9]{64}")


class LmzApi:
    """What nodes in the cluster have in common.

    Attributes:
        type: ``"LumenizeDO"`` or ``"LumenizeWorker"``, as it stands on the wire.
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
        """The object behind a binding name, checked against ``instance`` (CALL-7 … CALL-9).

        An empty name counts as none where the original lets it pass and fails later (CALL-13), unless the app
        wants its quirks.
        """
        try:
            target = self._env[binding]
        except (KeyError, AttributeError):
            raise MeshError(f"lmz.call: no binding named '{binding}' in env.") from None
        if _is_namespace(target):
            if instance == "" and self.compat is not None:
                return target  # as the original: taken for a Worker, and found out later (CALL-13)
            if not instance:
                raise MeshError(
                    f"lmz.call: binding '{binding}' is a Durable Object namespace and requires an instance name."
                )
        elif instance is not None:
            raise MeshError(
                f"lmz.call: binding '{binding}' is a Worker/service binding but an instance name ('{instance}') "
                f"was supplied. Pass undefined for Worker calls; put trace metadata in CallOptions."
            )
        return target

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
        try:
            me = self._known()
            context = _by_value(outgoing_context(call_context_var.get(), me, new_chain=new_chain, state=state))
            if instance == "":
                raise TypeError("stub.__executeOperation is not a function")
            callee = NodeIdentity("LumenizeWorker" if instance is None else "LumenizeDO", binding, instance)
            envelope = Envelope(1, encode_chain(chain), context, Metadata(me, callee))
            if instance is None:
                stub = target
            elif len(instance) == 64 and _OBJECT_ID.fullmatch(instance):
                stub = target.get(target.id_from_string(instance))
            else:
                stub = target.get_by_name(instance)
            response = stub.call("_execute_operation", envelope)
        except Exception as error:
            return Pending.failed(error)
        answer: Pending[Any] = Pending("call_raw")
        response.when_done(lambda result: answer.settle(_unpack(result)))
        return answer

    def _log(self, namespace: str, message: str, data: Mapping[str, Any]) -> None:
        self._ctx.host.log(self._ctx.owner, "error", namespace, message, data)


class DurableObjectLmz(LmzApi):
    """Identity kept in storage, so that it survives eviction (LMZ-2).

    It is written only when it changes, where the original writes the same value again: a write would hold back
    every answer until it is durable.  It is read again only when ``storage.wipes`` has moved, the number of times
    that ``delete_all`` took it away; storage that does not count them is asked each time.
    """

    type = "LumenizeDO"
    _no_binding = (
        "Cannot use call() from a DO that doesn't know its own binding name. "
        "Ensure routeDORequest routes to this DO or incoming calls include metadata."
    )
    _wipes: int | None = None

    def _known(self) -> NodeIdentity:
        storage = self._ctx.storage
        known = self._identity
        wipes = getattr(storage, "wipes", None)
        if wipes is None or wipes != self._wipes:
            kv = storage.kv
            binding, instance = kv.get(BINDING_KEY), kv.get(INSTANCE_KEY)
            self._wipes = wipes
            if binding != known.binding_name or instance != known.instance_name:
                known = self._identity = NodeIdentity(self.type, binding, instance)
        return known

    def init_identity(self, binding_name: str | None = None, instance_name: str | None = None) -> None:
        """See `LmzApi.init_identity`."""
        known = self._known()
        kv = self._ctx.storage.kv
        if binding_name is not None and binding_name != known.binding_name:
            if known.binding_name is not None:
                raise MeshError(
                    f"DO binding name mismatch: stored '{known.binding_name}' but received '{binding_name}'. "
                    f"A DO instance cannot change its binding name."
                )
            kv.put(BINDING_KEY, binding_name)
            known = self._identity = NodeIdentity(self.type, binding_name, known.instance_name)
        if instance_name is not None and instance_name != known.instance_name:
            if known.instance_name is not None:
                raise MeshError(
                    f"DO instance name mismatch: stored '{known.instance_name}' but received '{instance_name}'. "
                    f"A DO instance cannot change its name."
                )
            kv.put(INSTANCE_KEY, instance_name)
            self._identity = NodeIdentity(self.type, known.binding_name, instance_name)


class WorkerLmz(LmzApi):
    """Identity for the life of one invocation; background calls keep that invocation alive (CALL-30)."""

    type = "LumenizeWorker"
    _no_binding = (
        "Cannot use call() from a Worker that doesn't know its own binding name. "
        "Ensure incoming calls include metadata or call this.lmz.__init() first."
    )

    def init_identity(self, binding_name: str | None = None, instance_name: str | None = None) -> None:
        """See `LmzApi.init_identity`; an instance name is ignored (LMZ-6)."""
        stored = self._identity.binding_name
        if binding_name is None or stored == binding_name:
            return
        if stored is not None:
            raise MeshError(
                f"Worker binding name mismatch: stored '{stored}' but received '{binding_name}'. "
                f"A Worker instance cannot change its binding name."
            )
        self._identity = NodeIdentity(self.type, binding_name)

    def _keep_alive(self, finished: Pending[None]) -> None:
        self._ctx.wait_until(finished)


def _is_namespace(target: object) -> bool:
    # Stubs answer to any method name, so only the absence of fetch tells (CALL-12).
    return not hasattr(target, "fetch") and hasattr(target, "id_from_name") and hasattr(target, "get_by_name")


def _by_value(context: CallContext) -> CallContext:
    auth = context.origin_auth
    if auth is not None and auth.claims is not None:
        auth = OriginAuth(auth.sub, structured_clone(dict(auth.claims)))
    return CallContext(context.call_chain, auth, structured_clone(context.state) if context.state else {})


def encode_chain(chain: OperationChain) -> Any:
    """An operation chain as it is sent.

    Raises:
        AppError: an argument that the receiver would run.
        DataCloneError: an argument that cannot be encoded (CALL-11).
    """
    if chain and chain[-1].get("type") == "apply":
        for arg in chain[-1]["args"]:
            if type(arg) is Protected:
                raise AppError(
                    "the result looks like a nested operation ('__isNestedOperation' is true) and was to be passed on "
                    "as an argument: the receiver would run it. Pass it inside a list"
                )
    return preprocess(chain)


def _unpack(result: Outcome) -> Outcome:
    if isinstance(result, outcome.Error):
        return result
    response = result.value
    if isinstance(response, Failure):
        try:
            error = postprocess(response.error_encoded)
        except Exception as reason:
            error = reason
        if not isinstance(error, BaseException):
            error = MeshError(js_string(error), error)  # CALL-24; Python raises nothing else
        return outcome.Error(error)
    value = None if response is None else response.value
    return outcome.Value(None if value is UNDEFINED else value)


def _result_as_remote() -> AppError:
    return AppError(
        "RESULT is no call: it marks where the result goes in a handler. "
        "Give a remote such as self.ctn(Counter).increment(), and RESULT as an argument of the handler"
    )
