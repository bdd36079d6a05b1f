"""Requests to objects by path: ``route_do_request`` (RT-1, RT-8 to RT-12).

`find_route` and `forwarded` decide, without I/O; `route_do_request` asks the hooks and
sends, which is where code of the app and the network come in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, Final

import attrs
import httpx

from lumenize_sim.objects.http import Request
from lumenize_sim.routing.bindings import find_binding, get_do_stub, is_do_namespace
from lumenize_sim.routing.cors import Cors, add_cors_headers, apply_cors_policy
from lumenize_sim.routing.errors import MissingInstanceNameError
from lumenize_sim.routing.path import parse_pathname, path_of

__all__ = [
    "BINDING_HEADER",
    "INSTANCE_HEADER",
    "HookContext",
    "HookResult",
    "Route",
    "RouteHook",
    "find_route",
    "forwarded",
    "is_upgrade",
    "route_agent_request",
    "route_do_request",
]

INSTANCE_HEADER: Final = "X-Lumenize-DO-Instance-Name-Or-Id"
BINDING_HEADER: Final = "X-Lumenize-DO-Binding-Name"


@attrs.frozen
class HookContext:
    """Where the request goes.

    Attributes:
        do_namespace: the binding.
        do_instance_name_or_id: as written in the path.
    """

    do_namespace: Any
    do_instance_name_or_id: str


#: A response ends it, a request replaces the present one, ``None`` goes on.
HookResult = httpx.Response | httpx.Request | None
#: ``hook(request, context)``, sync or async.
RouteHook = Callable[[httpx.Request, HookContext], "HookResult | Awaitable[HookResult]"]


@attrs.frozen
class Route:
    """The object that a path names.

    Attributes:
        binding: the name in ``env``.
        segment: how the path spells it.
        instance: a name or an id, as written.
    """

    binding: str
    segment: str
    instance: str


def find_route(
    url: httpx.URL | str, bindings: Any, prefix: str | None = None, *, compat: str | None = None
) -> Route | None:
    """The object that ``url`` names among ``bindings`` (names of those that reach objects), or ``None``.

    Raises:
        MissingInstanceNameError: a binding, and no instance (RT-4).
        MultipleBindingsFoundError: several bindings (RT-7).
    """
    names = parse_pathname(path_of(url), prefix, compat=compat)
    if names is None:
        return None
    binding = find_binding(names.binding_segment, bindings)
    if binding is None:
        return None
    if names.instance is None:
        raise MissingInstanceNameError
    return Route(binding, names.binding_segment, names.instance)


def forwarded(request: httpx.Request, route: Route, *, agent_compatibility: bool = False) -> Request:
    """The request as the object gets it: what the client claimed about its address is overwritten (RT-10)."""
    copy = Request.of(request)
    if agent_compatibility:
        copy.headers["x-partykit-room"] = route.instance
        copy.headers["x-partykit-namespace"] = route.segment
    else:
        copy.headers[INSTANCE_HEADER] = route.instance
        copy.headers[BINDING_HEADER] = route.binding
    return copy


def is_upgrade(request: httpx.Request) -> bool:
    """Whether a web socket is asked for: by its ``Upgrade`` field alone (RT-9)."""
    upgrade: str = request.headers.get("Upgrade", "")
    return upgrade.lower() == "websocket"


async def route_do_request(
    request: httpx.Request,
    env: Any,
    *,
    prefix: str | None = None,
    on_before_connect: RouteHook | None = None,
    on_before_request: RouteHook | None = None,
    cors: Cors = False,
    agent_compatibility: bool = False,
    compat: str | None = None,
) -> httpx.Response | None:
    """Send ``request`` to the object that its path names; ``None`` where it names none.  A checkpoint if it is sent.

    Args:
        env: bindings by name; a mapping, or what a Worker has.
        prefix: what the path begins with; in agent mode ``agents`` unless given.
        on_before_connect: asked before web sockets, and nobody else then (RT-9).
        on_before_request: asked before all other requests.
        cors: which other origins may ask.
        agent_compatibility: name the object in the headers of PartyKit instead (RT-10).
        compat: ``"0.26"``: see `parse_pathname`.

    Raises:
        RoutingError: see `find_route`.
        Exception: what a hook or the object raises.
    """
    if prefix is None and agent_compatibility:
        prefix = "agents"
    names = [name for name in env.keys() if is_do_namespace(env[name])]  # noqa: SIM118  # Env is no mapping
    route = find_route(request.url, names, prefix, compat=compat)
    if route is None:
        return None
    decision = apply_cors_policy(request, cors)
    if decision.early is not None:
        return decision.early
    namespace = env[route.binding]
    response: httpx.Response | None = None
    hook = on_before_connect if is_upgrade(request) else on_before_request
    if hook is not None:
        verdict = hook(request, HookContext(namespace, route.instance))
        if isawaitable(verdict):
            verdict = await verdict
        if isinstance(verdict, httpx.Response):
            response = verdict
        elif isinstance(verdict, httpx.Request):
            request = verdict
    if response is None:
        stub = get_do_stub(namespace, route.instance)
        answer: httpx.Response = await stub.fetch(forwarded(request, route, agent_compatibility=agent_compatibility))
        response = answer
    origin = decision.allowed_origin
    return response if origin is None else add_cors_headers(response, origin)


async def route_agent_request(request: httpx.Request, env: Any, **options: Any) -> httpx.Response | None:
    """`route_do_request` in agent mode (RT-12)."""
    return await route_do_request(request, env, agent_compatibility=True, **options)
