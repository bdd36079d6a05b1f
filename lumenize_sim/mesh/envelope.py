"""A call as it crosses from node to node, and its answer (section 2.3 and 2.6 of the protocol)."""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

import attrs

from lumenize_sim.clone import UNDEFINED, postprocess, preprocess, structured_clone
from lumenize_sim.errors import AppError
from lumenize_sim.mesh.chain import Protected, execute_operation_chain, is_awaitable
from lumenize_sim.mesh.context import CallContext, NodeIdentity, call_context_var
from lumenize_sim.mesh.continuation import OperationChain
from lumenize_sim.mesh.errors import MeshError
from lumenize_sim.mesh.walk import js_string
from lumenize_sim.objects.http import crossing
from lumenize_sim.objects.message_size import certainly_small, checked
from lumenize_sim.objects.parcel import SCALARS, Parcel

__all__ = [
    "Envelope",
    "Failure",
    "Metadata",
    "Response",
    "Result",
    "encode_chain",
    "encode_failure",
    "execute_envelope",
]


@attrs.frozen
class Metadata:
    """Who calls whom.

    Attributes:
        caller: the calling node as it knows itself.
        callee: how the caller addressed it; a callee without identity takes it from here (LMZ-7).
    """

    caller: NodeIdentity
    callee: NodeIdentity | None


@attrs.frozen
class Envelope:
    """One call.  It crosses as it is, since its contents are snapshots already (CALL-16, CALL-19).

    Attributes:
        version: 1.
        chain: the encoded operation chain, ``{"json": …, "meta": …}``.
        call_context: with a state of its own.
        metadata: caller and callee.
    """

    version: Any
    chain: Any
    call_context: CallContext | None
    metadata: Metadata | None = None

    def __is_light__(self) -> bool:
        """Whether nothing has to be counted."""
        return certainly_small(self.chain)

    def __by_value__(self, _: Parcel) -> Envelope:
        """As it crosses: itself.

        Raises:
            Error: the chain is larger than a message may be (RPC-16).
        """
        checked(self.chain)
        return self


@attrs.frozen
class Result:
    """The call succeeded.  ``value``, which may be ``UNDEFINED``, crosses by value (RES-1)."""

    value: Any

    def __is_light__(self) -> bool:
        """Whether nothing has to be copied."""
        return self.value is UNDEFINED or type(self.value) in SCALARS

    def __by_value__(self, parcel: Parcel) -> Result:
        """As it crosses: with a copy of the value, whose errors keep what the runtime lets them keep.

        Raises:
            DataCloneError: the value cannot be copied; functions do not become stubs in a mesh.
            Error: it is larger than a message may be (RPC-16).
        """
        inner = self.value
        if inner is UNDEFINED:
            return self
        message = crossing(inner)
        if message is not None:
            return Result(message)
        copy = structured_clone(inner, parcel.refuse, bare_errors=parcel.bare_errors)
        return self if copy is inner else Result(checked(copy))


@attrs.frozen
class Failure:
    """The call raised; the error is encoded, so that class name, properties and causes survive (RES-2)."""

    __by_value__: ClassVar[bool] = True

    error_encoded: Any


Response: TypeAlias = Result | Failure


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


def encode_failure(error: BaseException) -> Failure:
    """``error`` for the caller; if it cannot be encoded (an unencodable cause), the reason why not."""
    try:
        return Failure(preprocess(error))
    except Exception as reason:
        return Failure(preprocess(MeshError(f"{js_string(error)} (this error could not be encoded: {reason})")))


def execute_envelope(envelope: Envelope, node: Any, node_type_name: str) -> Any:
    """Run the envelope's chain on ``node``: a `Response`, or an awaitable of one.  Never raises (CALL-33 … CALL-37).

    Args:
        envelope: as it arrived.
        node: has ``lmz.init_identity``, ``on_before_call`` and the ``@mesh`` methods.
        node_type_name: for the error about the version.
    """
    try:
        if envelope.version != 1:
            raise unsupported_version(envelope.version, node_type_name)
        context = envelope.call_context
        if context is None:
            raise MeshError("Missing callContext in envelope. All mesh calls must include callContext.")
        metadata = envelope.metadata
        if metadata is not None and metadata.callee is not None:
            node.lmz.init_identity(metadata.callee.binding_name, metadata.callee.instance_name)
        chain = _decoded(envelope.chain)
        token = call_context_var.set(context)
        try:
            node.on_before_call()
            value = execute_operation_chain(chain, node)
        finally:
            call_context_var.reset(token)
    except Exception as error:
        return encode_failure(error)
    return _finish(value, context) if is_awaitable(value) else Result(value)


def _decoded(chain: Any) -> Any:
    """The operation chain; what a hostile client sent instead fails with the original's words."""
    if chain is None or chain is UNDEFINED:
        nothing = "null" if chain is None else "undefined"
        raise TypeError(f"Cannot read properties of {nothing} (reading 'meta')")
    if not isinstance(chain, dict):
        raise MeshError("Invalid operation chain: operations must be an array")
    return postprocess(chain)


async def _finish(pending: Any, context: CallContext) -> Response:
    # Set again: the host may run this in a task whose context is not the one the walk began in.
    token = call_context_var.set(context)
    try:
        return Result(await pending)
    except Exception as error:
        return encode_failure(error)
    finally:
        call_context_var.reset(token)


def unsupported_version(version: Any, node_type_name: str) -> MeshError:
    """CALL-33."""
    shown = "undefined" if version is None else js_string(version)
    return MeshError(
        f"Unsupported RPC envelope version: {shown}. This version of {node_type_name} only supports v1 envelopes. "
        f"Old-style calls without envelopes are no longer supported."
    )
