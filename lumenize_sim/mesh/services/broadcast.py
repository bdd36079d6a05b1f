"""``svc.broadcast``: one call to many targets, directly or through a tree of Workers (BC-1 … BC-10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs

from lumenize_sim.clone import UNDEFINED
from lumenize_sim.mesh.chain import replace_nested_operation_markers
from lumenize_sim.mesh.continuation import (
    Continuation,
    Handler,
    OperationChain,
    continuation_from_chain,
    get_operation_chain,
)
from lumenize_sim.mesh.errors import MeshError
from lumenize_sim.mesh.services.registry import NadisPlugin

__all__ = [
    "BROADCAST_TIER_BINDING",
    "Broadcast",
    "Target",
    "fanning_out",
    "forward",
    "groups",
    "pass_on",
    "send_tier",
    "target_of",
]

#: The Worker that passes calls on where there are too many for one node.
BROADCAST_TIER_BINDING: Final = "LUMENIZE_BROADCAST_TIER"


@attrs.frozen
class Target:
    """Who is to be called; ``instance_name`` is ``None`` for a Worker."""

    binding_name: str
    instance_name: str | None = None

    def to_wire(self) -> dict[str, Any]:
        """As it travels, in the original's spelling."""
        wire: dict[str, Any] = {"bindingName": self.binding_name}
        if self.instance_name is not None:
            wire["instanceName"] = self.instance_name
        return wire


def target_of(value: Any) -> Target:
    """A target from what an app or a frame gives: a `Target`, a node's identity, or a dict in either spelling.

    Raises:
        MeshError: it is none of these.
    """
    if isinstance(value, Target):
        return value
    if isinstance(value, dict):
        binding = value.get("binding_name", value.get("bindingName"))
        instance = value.get("instance_name", value.get("instanceName"))
    else:
        binding, instance = getattr(value, "binding_name", None), getattr(value, "instance_name", None)
    if not isinstance(binding, str) or not (instance is None or isinstance(instance, str)):
        raise MeshError(f"svc.broadcast: {value!r} is no target: give Target('BINDING', 'instance')")
    return Target(binding, instance)


def groups(targets: Sequence[Any], branch: int) -> list[Sequence[Any]]:
    """Consecutive groups of equal size, but for the last; at most ``branch`` of them (BC-4, BC-5)."""
    size = -(-len(targets) // branch)
    return [targets[at : at + size] for at in range(0, len(targets), size)]


def fanning_out(branch: Any) -> int:
    """``branch`` itself.

    Raises:
        MeshError: a tree would have no end: its only branch is as large as itself.  Blame: whoever calls, which
            may be anybody, since the method of the Worker is open to all.
    """
    if type(branch) is not int or branch < 2:
        raise MeshError(f"svc.broadcast: branch is {branch!r}, and a tree needs at least 2")
    return branch


class Broadcast(NadisPlugin):
    """See the module."""

    def __call__(
        self,
        targets: Sequence[Any],
        remote: Continuation[Any],
        *,
        branch: int = 6,
        direct_threshold: int = 100,
        on_result: Handler = None,
    ) -> None:
        """Call ``remote`` at every target, without waiting.

        Args:
            targets: `Target`, node identities, or dicts with ``bindingName`` and ``instanceName``.
            remote: ``self.ctn(Node).method(…)``.
            branch: into how many a Worker of the tree splits what it is given.
            direct_threshold: up to so many targets this object calls itself; beyond, Workers of the binding
                ``LUMENIZE_BROADCAST_TIER`` do.
            on_result: a handler for failures, and for nothing else (BC-7).  Directly it runs here and needs no
                ``@mesh``; from the tree it is a call to the origin of the call chain, and needs it (BC-9).

        Raises:
            MeshError: no continuation, no target, no such binding; a tree with less than 2 branches.
        """
        if not targets:
            return
        checked = [target_of(target) for target in targets]
        lmz = self.do_instance.lmz
        if len(checked) <= direct_threshold:
            for target in checked:
                lmz.call(
                    target.binding_name, target.instance_name, remote, on_result, on_error_only=on_result is not None
                )
            return
        remote_chain = get_operation_chain(remote)
        if remote_chain is None:
            raise MeshError("svc.broadcast: remote must be a continuation (this.ctn<T>().method(...))")
        result_chain = get_operation_chain(on_result)
        if result_chain is None and on_result is not None:
            raise MeshError("svc.broadcast: opts.onResult must be a continuation")
        send_tier(lmz, checked, remote_chain, fanning_out(branch), result_chain)


def send_tier(
    lmz: Any, targets: Sequence[Target], remote: OperationChain, branch: int, on_result: OperationChain | None
) -> None:
    """Give ``targets`` to a Worker of the tree."""
    chain: OperationChain = [
        {"type": "get", "key": "__broadcastTier"},
        {
            "type": "apply",
            "args": [
                [target.to_wire() for target in targets],
                remote,
                branch,
                UNDEFINED if on_result is None else on_result,
            ],
        },
    ]
    lmz.call(BROADCAST_TIER_BINDING, None, continuation_from_chain(chain))


def pass_on(worker: Any, targets: Sequence[Any], remote: OperationChain, branch: int, on_result: Any) -> None:
    """One Worker of the tree: call its targets, or split them (BC-4)."""
    checked = [target_of(target) for target in targets]
    branch = fanning_out(branch)
    results = on_result if isinstance(on_result, list) else None
    if len(checked) > branch:
        for group in groups(checked, branch):
            send_tier(worker.lmz, group, remote, branch, results)
        return
    for target in checked:
        handler = None if results is None else worker.ctn().forward_broadcast_result(results)
        worker.lmz.call(
            target.binding_name,
            target.instance_name,
            continuation_from_chain(remote),
            handler,
            on_error_only=handler is not None,
        )


def forward(lmz: Any, chain: OperationChain, result: Any) -> None:
    """Tell a failure to the origin of the call chain; anything else is dropped (BC-8)."""
    if not isinstance(result, BaseException):
        return
    origin = lmz.call_context.call_chain[0]
    told = continuation_from_chain(replace_nested_operation_markers(chain, result))
    lmz.call(origin.binding_name, origin.instance_name, told)


NadisPlugin.register("broadcast", Broadcast)
