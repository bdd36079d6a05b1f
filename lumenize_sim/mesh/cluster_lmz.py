"""The ``lmz`` of nodes that live in the cluster: they hand an `Envelope` to a stub.

What differs between Durable Objects and Workers is only where the identity is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import outcome

from lumenize_sim.clone import UNDEFINED, postprocess, structured_clone
from lumenize_sim.mesh.context import CallContext, NodeIdentity, OriginAuth, call_context_var, outgoing_context
from lumenize_sim.mesh.continuation import OperationChain
from lumenize_sim.mesh.envelope import Envelope, Failure, Metadata, encode_chain
from lumenize_sim.mesh.errors import MeshError
from lumenize_sim.mesh.lmz import LmzApi, OnSent
from lumenize_sim.mesh.walk import js_string
from lumenize_sim.objects.pending import Outcome, Pending

__all__ = ["ClusterLmz", "DurableObjectLmz", "WorkerLmz"]

BINDING_KEY = "__lmz_do_binding_name"
INSTANCE_KEY = "__lmz_do_instance_name"

_OBJECT_ID = re.compile(r"[a-f0-9]{64}")


class ClusterLmz(LmzApi):
    """What nodes in the cluster have in common."""

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


class DurableObjectLmz(ClusterLmz):
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


class WorkerLmz(ClusterLmz):
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
