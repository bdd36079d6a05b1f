"""What a client node finds under ``self.lmz``: who it is, who is calling, and how to call others.

A client knows no bindings, so nothing about them is checked here (CALL-14); a
wrong name comes back as a failed answer.  Handlers of `call` run as those of
other nodes do, under the context captured at the call (CL-43).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from lumenize_sim.mesh.context import NodeIdentity, call_context_var
from lumenize_sim.mesh.continuation import OperationChain
from lumenize_sim.mesh.errors import MeshError
from lumenize_sim.mesh.lmz import LmzApi, OnSent
from lumenize_sim.objects.host import Host
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.strand import Owner

if TYPE_CHECKING:
    from lumenize_sim.mesh.client import LumenizeClient

__all__ = ["ClientLmz"]


@attrs.frozen
class _Surroundings:
    """As much of an object's ``ctx`` as `LmzApi` asks for."""

    host: Host
    owner: Owner


class ClientLmz(LmzApi):
    """The ``lmz`` of a `LumenizeClient`."""

    type: ClassVar[str] = "LumenizeClient"

    def __init__(self, client: LumenizeClient, binding: str, host: Host, owner: Owner) -> None:
        self._node = client
        self._client = client
        self._ctx = _Surroundings(host, owner)
        self._env = None
        self._identity = NodeIdentity(self.type, binding, client._connection.instance_name)

    @property
    def binding_name(self) -> str:
        """The binding of the gateway."""
        return self._identity.binding_name or ""

    @property
    def instance_name(self) -> str:
        """The client's name, ``{sub}.{tabId}`` (LMZ-13).

        Raises:
            MeshError: it is generated, and the first connection has not got that far.
        """
        name = self._known().instance_name
        if name is None:
            raise MeshError(
                "instanceName is only available after connected state. "
                "When instanceName is auto-generated, it is constructed during the first connection."
            )
        return name

    def init_identity(self, binding_name: str | None = None, instance_name: str | None = None) -> None:
        """A client's identity is configured; what a call says about it is ignored."""

    def _known(self) -> NodeIdentity:
        known = self._identity
        name = self._client._connection.instance_name
        if known.instance_name != name:
            known = self._identity = NodeIdentity(self.type, known.binding_name, name)
        return known

    def _target(self, binding: str, instance: str | None) -> Any:
        return None

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
        return self._client._calls.send(
            binding, instance, chain, call_context_var.get(), new_chain=new_chain, state=state, on_sent=on_sent
        )
