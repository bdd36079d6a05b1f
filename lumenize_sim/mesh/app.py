"""A mesh app, described: which names reach which classes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from lumenize_sim.errors import UsageError
from lumenize_sim.objects.worker import WorkerEntrypoint

__all__ = ["GATEWAY_BINDING", "Mesh"]

#: The binding that clients connect through unless they are told otherwise.
GATEWAY_BINDING = "LUMENIZE_CLIENT_GATEWAY"

#: Releases of the original whose quirks can be asked for.
COMPATIBLE = ("0.26",)


def _bindings(given: Mapping[str, type]) -> Mapping[str, type]:
    if not isinstance(given, Mapping):
        raise UsageError(f"bindings={given!r} is no mapping: give Mesh(bindings={{'COUNTER': Counter}})")
    # They stand on this package's core, and are not needed before somebody describes an app.
    from lumenize_sim.mesh.client import LumenizeClient
    from lumenize_sim.mesh.gateway import LumenizeClientGateway

    checked: dict[str, type] = {}
    for name, cls in given.items():
        _check_name(name, "binding")
        if not inspect.isclass(cls):
            raise UsageError(
                f"binding {name!r} is bound to {cls!r}, which is no class: give the class itself, "
                f"the mesh makes the instances"
            )
        if issubclass(cls, LumenizeClient):
            raise UsageError(
                f"binding {name!r} is bound to {cls.__qualname__}, which is a client: clients have no binding, "
                f"they connect through {GATEWAY_BINDING}"
            )
        checked[name] = cls
    checked.setdefault(GATEWAY_BINDING, LumenizeClientGateway)
    return MappingProxyType(checked)


def _vars(given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise UsageError(f"vars={given!r} is no mapping: give Mesh(vars={{'LUMENIZE_MESH_GRACE_PERIOD_MS': '5000'}})")
    checked = dict(given or {})
    for name in checked:
        _check_name(name, "variable")
    return MappingProxyType(checked)


def _check_name(name: object, what: str) -> None:
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
        raise UsageError(
            f"{what} name {name!r} cannot be a name in env: use letters, digits and underscores, such as 'COUNTER'"
        )


@attrs.frozen(eq=False, kw_only=True)
class Mesh:
    """What an app consists of.  A description: nothing runs, and one may serve many runs.

    Attributes:
        bindings: name to class.  ``LUMENIZE_CLIENT_GATEWAY`` is there by default.
        vars: plain values in ``env``, such as ``LUMENIZE_MESH_GRACE_PERIOD_MS`` (milliseconds).
        compat: a release of the original (``"0.26"``) whose quirks are wanted as they were; ``None`` for the mended
            behaviour.
        main: the Worker whose ``fetch`` answers requests from outside; by default routes of the login service, and
            objects under ``/gateway`` for those who have a token.

    Raises:
        UsageError: a name is no identifier or is both binding and variable, a class is none or is a client's, the
            release is not known, or ``main`` is no class with a ``fetch``.
    """

    bindings: Mapping[str, type] = attrs.field(factory=dict, converter=_bindings)
    vars: Mapping[str, Any] = attrs.field(default=None, converter=_vars)
    compat: str | None = None
    main: type | None = None

    def __attrs_post_init__(self) -> None:
        main: object = self.main
        if main is not None and not (inspect.isclass(main) and callable(getattr(main, "fetch", None))):
            raise UsageError(f"main={main!r} is no class with a fetch(request): give the Worker that answers requests")
        for name in self.vars:
            if name in self.bindings:
                raise UsageError(f"{name!r} is a binding and a variable: env can have one of them, so rename one")
        if self.compat is not None and self.compat not in COMPATIBLE:
            raise UsageError(
                f"compat={self.compat!r} is not known: choose one of {', '.join(map(repr, COMPATIBLE))}, or none"
            )

    def is_worker(self, binding: str) -> bool:
        """Whether the name reaches a Worker; otherwise it is a namespace of Durable Objects."""
        return issubclass(self.bindings[binding], WorkerEntrypoint)
