"""What stands before the mesh: which request goes where, and which is refused."""

from __future__ import annotations

from lumenize_sim.routing.bindings import binding_variants as binding_variants
from lumenize_sim.routing.bindings import find_binding as find_binding
from lumenize_sim.routing.bindings import get_do_stub as get_do_stub
from lumenize_sim.routing.bindings import is_do_namespace as is_do_namespace
from lumenize_sim.routing.bindings import is_durable_object_id as is_durable_object_id
from lumenize_sim.routing.cors import Cors as Cors
from lumenize_sim.routing.cors import add_cors_headers as add_cors_headers
from lumenize_sim.routing.cors import apply_cors_policy as apply_cors_policy
from lumenize_sim.routing.cors import is_origin_allowed as is_origin_allowed
from lumenize_sim.routing.door import Door as Door
from lumenize_sim.routing.door import EntryWorker as EntryWorker
from lumenize_sim.routing.door import LocalDoor as LocalDoor
from lumenize_sim.routing.errors import MissingInstanceNameError as MissingInstanceNameError
from lumenize_sim.routing.errors import MultipleBindingsFoundError as MultipleBindingsFoundError
from lumenize_sim.routing.errors import RoutingError as RoutingError
from lumenize_sim.routing.path import parse_pathname as parse_pathname
from lumenize_sim.routing.route import HookContext as HookContext
from lumenize_sim.routing.route import route_agent_request as route_agent_request
from lumenize_sim.routing.route import route_do_request as route_do_request

__all__ = [
    "Cors",
    "Door",
    "EntryWorker",
    "HookContext",
    "LocalDoor",
    "MissingInstanceNameError",
    "MultipleBindingsFoundError",
    "RoutingError",
    "add_cors_headers",
    "apply_cors_policy",
    "binding_variants",
    "find_binding",
    "get_do_stub",
    "is_do_namespace",
    "is_durable_object_id",
    "is_origin_allowed",
    "parse_pathname",
    "route_agent_request",
    "route_do_request",
]
