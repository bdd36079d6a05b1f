"""Access tokens as the mesh itself reads them: payload only, signature unchecked.

Whoever stands before the gateway has verified the token already (GW-12), and a
client only wants its own claims (CL-25).  The HS256 half mints and checks local
throw-away tokens for tests and simulated logins; it judges expiry by a time
that is handed in, never by a clock of its own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["decode_payload", "mint_hs256", "verify_hs256"]


def decode_payload(token: str) -> Any:
    """The payload of a JWT, unverified.  Normally a dict; whatever JSON value was there.

    Raises:
        ValueError: not three-part-like, not base64url, not UTF-8 JSON.  Blame: whoever made the token.
    """
    parts = token.split(".")
    if len(parts) < 2:
        raise ValueError(f"not a JWT: {_shown(token)} has no payload part; expected header.payload.signature")
    try:
        return json.loads(_from_base64url(parts[1]))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a JWT: the payload of {_shown(token)} is not base64url JSON ({error})") from None


def mint_hs256(claims: Mapping[str, Any], secret: str | bytes, *, header: Mapping[str, Any] | None = None) -> str:
    """A token signed with a shared secret.  Claims keep their order; nothing is added.

    For tests and simulated logins only: the real service signs with Ed25519 (AU-1).
    """
    head = {"alg": "HS256", "typ": "JWT", **(header or {})}
    signed = f"{_to_base64url(_compact(head))}.{_to_base64url(_compact(dict(claims)))}"
    return f"{signed}.{_to_base64url(_signature(signed, secret))}"


def verify_hs256(token: str, secret: str | bytes, *, now_s: float) -> dict[str, Any]:
    """The claims of a token from `mint_hs256`, checked.

    An ``exp`` equal to the current second is still valid (AU-2).

    Args:
        now_s: epoch seconds of the caller's clock.

    Raises:
        ValueError: malformed, signed otherwise, or expired.
    """
    signed, _, signature = token.rpartition(".")
    try:
        given = _from_base64url(signature)
        head = json.loads(_from_base64url(signed.split(".")[0]))
    except (ValueError, RecursionError):
        raise ValueError(f"not a JWT: {_shown(token)}; expected header.payload.signature") from None
    if not isinstance(head, dict) or head.get("alg") != "HS256":
        raise ValueError(f"token {_shown(token)} is not signed with HS256; mint it with mint_hs256")
    if not hmac.compare_digest(given, _signature(signed, secret)):
        raise ValueError(f"token {_shown(token)} was signed with another secret")
    claims = decode_payload(token)
    if not isinstance(claims, dict):
        raise ValueError(f"the payload of token {_shown(token)} is not an object")
    expiry = claims.get("exp")
    if isinstance(expiry, int | float) and expiry < int(now_s):
        raise ValueError(f"token {_shown(token)} expired at {expiry}, now is {int(now_s)}")
    return claims


def _signature(signed: str, secret: str | bytes) -> bytes:
    key = secret.encode() if isinstance(secret, str) else secret
    if not key:
        raise ValueError("the secret is empty; give any non-empty text")
    return hmac.new(key, signed.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def _compact(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _to_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _from_base64url(text: str) -> bytes:
    try:
        plain = text.rstrip("=").replace("-", "+").replace("_", "/")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(str(error)) from None


def _shown(token: str) -> str:
    return repr(token if len(token) <= 24 else f"{token[:20]}...")
