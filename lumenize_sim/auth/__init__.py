"""Logins and tokens: the service, the hooks that check tokens, and what tests need.  Needs ``lumenize-sim[auth]``."""

from __future__ import annotations

from lumenize_sim.auth import extra as _extra  # first: says which extra is missing
from lumenize_sim.auth.hooks import WS_CLOSE_CODES as WS_CLOSE_CODES
from lumenize_sim.auth.hooks import Gatekeeper as Gatekeeper
from lumenize_sim.auth.hooks import create_route_do_request_auth_hooks as create_route_do_request_auth_hooks
from lumenize_sim.auth.hooks import get_token_ttl as get_token_ttl
from lumenize_sim.auth.hooks import verify_web_socket_token as verify_web_socket_token
from lumenize_sim.auth.keys import KeyPair as KeyPair
from lumenize_sim.auth.keys import import_private_key as import_private_key
from lumenize_sim.auth.keys import import_public_key as import_public_key
from lumenize_sim.auth.limits import RateLimiter as RateLimiter
from lumenize_sim.auth.mail import AuthEmailSender as AuthEmailSender
from lumenize_sim.auth.mail import Mailbox as Mailbox
from lumenize_sim.auth.mail import ResolvedEmail as ResolvedEmail
from lumenize_sim.auth.refresh import create_test_refresh_function as create_test_refresh_function
from lumenize_sim.auth.refresh import login_with_magic_link as login_with_magic_link
from lumenize_sim.auth.routes import create_auth_routes as create_auth_routes
from lumenize_sim.auth.service import LumenizeAuth as LumenizeAuth
from lumenize_sim.auth.subjects import Subject as Subject
from lumenize_sim.auth.tokens import create_jwt_payload as create_jwt_payload
from lumenize_sim.auth.tokens import parse_jwt_unsafe as parse_jwt_unsafe
from lumenize_sim.auth.tokens import sign_jwt as sign_jwt
from lumenize_sim.auth.tokens import verify_jwt as verify_jwt
from lumenize_sim.auth.tokens import verify_jwt_with_rotation as verify_jwt_with_rotation
from lumenize_sim.auth.turnstile import TurnstileResult as TurnstileResult
from lumenize_sim.auth.turnstile import siteverify as siteverify
from lumenize_sim.routing.keeper import extract_web_socket_token as extract_web_socket_token

__all__ = [
    "WS_CLOSE_CODES",
    "AuthEmailSender",
    "Gatekeeper",
    "KeyPair",
    "LumenizeAuth",
    "Mailbox",
    "RateLimiter",
    "ResolvedEmail",
    "Subject",
    "TurnstileResult",
    "create_auth_routes",
    "create_jwt_payload",
    "create_route_do_request_auth_hooks",
    "create_test_refresh_function",
    "extract_web_socket_token",
    "get_token_ttl",
    "import_private_key",
    "import_public_key",
    "login_with_magic_link",
    "parse_jwt_unsafe",
    "sign_jwt",
    "siteverify",
    "verify_jwt",
    "verify_jwt_with_rotation",
    "verify_web_socket_token",
]

del _extra
