"""Access tokens: claims, signature, verification (AU-1 to AU-3).

PyJWT does the signatures and nothing else: it would judge expiry by a clock of its own.  Times are
checked here, against the time that the caller hands in.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NoReturn

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.api_jws import PyJWS

from lumenize_sim.routing.keeper import Claims

__all__ = [
    "ALGORITHM",
    "create_jwt_payload",
    "hash_string",
    "parse_jwt_unsafe",
    "random_string",
    "sign_jwt",
    "verify_jwt",
    "verify_jwt_with_rotation",
]

ALGORITHM: Final = "EdDSA"
_JWS: Final = PyJWS(algorithms=[ALGORITHM])


def create_jwt_payload(
    *,
    issuer: str,
    audience: str,
    subject: str,
    expires_in_s: int,
    now_ms: int,
    token_id: str,
    email_verified: bool,
    admin_approved: bool,
    is_admin: bool = False,
    act: Mapping[str, Any] | None = None,
) -> Claims:
    """Claims in the order of AU-1.  ``isAdmin`` and ``act`` are there only where they say something."""
    now_s = now_ms // 1000
    claims: Claims = {
        "iss": issuer, "aud": audience, "sub": subject, "exp": now_s + expires_in_s, "iat": now_s, "jti": token_id,
        "emailVerified": email_verified, "adminApproved": admin_approved,
    }  # fmt: skip
    if is_admin:
        claims["isAdmin"] = True
    if act:
        claims["act"] = dict(act)
    return claims


def sign_jwt(claims: Mapping[str, Any], private_key: Ed25519PrivateKey, kid: str) -> str:
    """A token (AU-1).  Deterministic: Ed25519 signatures are."""
    payload = json.dumps(dict(claims), separators=(",", ":"), ensure_ascii=False).encode()
    header, body = _to_base64url(_header(kid)), _to_base64url(payload)
    signature = private_key.sign(f"{header}.{body}".encode("ascii"))
    return f"{header}.{body}.{_to_base64url(signature)}"


def _header(kid: str) -> bytes:
    # PyJWT sorts nothing but puts `typ` last where `kid` is given; the order of AU-1 is what peers have seen.
    return json.dumps({"alg": ALGORITHM, "typ": "JWT", "kid": kid}, separators=(",", ":")).encode()


def verify_jwt(token: str, public_key: Ed25519PublicKey, *, now_ms: int) -> Claims | None:
    """The claims of ``token``, or ``None``: malformed, signed otherwise, expired, not valid yet.  Never raises.

    Whatever key the header names (``kid``), only ``public_key`` counts, and only with EdDSA.  An ``exp`` equal to the
    current second is still valid; a token without one does not expire (AU-2).
    """
    return verify_jwt_with_rotation(token, (public_key,), now_ms=now_ms)


def verify_jwt_with_rotation(token: str, public_keys: Sequence[Ed25519PublicKey], *, now_ms: int) -> Claims | None:
    """`verify_jwt` with the first of several keys that fits (AU-2, AU-5)."""
    for key in public_keys:
        payload = _signed_payload(token, key.public_bytes_raw())
        if payload is not None:
            claims = _object(payload)
            return claims if claims is not None and _is_current(claims, now_ms // 1000) else None
    return None


# Pure: the same token and key give the same answer, so nothing of one run reaches another.
@lru_cache(maxsize=1024)
def _signed_payload(token: str, raw_key: bytes) -> bytes | None:
    """The payload, if the signature holds."""
    try:
        key = Ed25519PublicKey.from_public_bytes(raw_key)
        payload: bytes = _JWS.decode_complete(token, key, algorithms=[ALGORITHM])["payload"]
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return None
    return payload


def _is_current(claims: Claims, now_s: int) -> bool:
    expiry, begin = claims.get("exp"), claims.get("nbf")
    for time in (expiry, begin):
        if time is not None and (isinstance(time, bool) or not isinstance(time, int | float)):
            return False
    if expiry and expiry < now_s:
        return False
    return not (begin and begin > now_s)


def parse_jwt_unsafe(token: str) -> tuple[Claims, Claims] | None:
    """Header and payload as they claim to be, or ``None``.  Nothing is verified: to look, not to trust (AU-3)."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    header, payload = (_object(_from_base64url(part)) for part in parts[:2])
    return None if header is None or payload is None else (header, payload)


def random_string(generator: random.Random, length_bytes: int = 32) -> str:
    """Base64url of so many random bytes."""
    return _to_base64url(generator.randbytes(length_bytes))


def hash_string(text: str) -> str:
    """Base64url SHA-256; what storage keeps of a refresh token (AU-25)."""
    return _to_base64url(hashlib.sha256(text.encode("utf-8", "replace")).digest())


def _object(data: bytes | None) -> Claims | None:
    """A JSON object; ``None`` for all else, also for what only Python would read (``NaN``)."""
    if data is None:
        return None
    try:
        value = json.loads(data.decode("utf-8", "replace"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _to_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _from_base64url(text: str) -> bytes | None:
    try:
        plain = text.rstrip("=").replace("-", "+").replace("_", "/")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
