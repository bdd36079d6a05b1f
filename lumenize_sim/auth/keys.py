"""Ed25519 keys as an environment holds them, in two slots for rotation (AU-5)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, Literal

import attrs
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from lumenize_sim.errors import AppError

__all__ = ["SLOTS", "KeyPair", "Slot", "import_private_key", "import_public_key", "primary_slot", "public_keys"]

Slot = Literal["BLUE", "GREEN"]
#: In the order in which verification tries them (AU-2).
SLOTS: Final[tuple[Slot, ...]] = ("BLUE", "GREEN")


def _der(pem: object, what: str) -> bytes:
    """The bytes between the markers; a literal ``\\n``, as variables often have it, is white space too."""
    if not isinstance(pem, str):
        raise AppError(f"the {what.lower()} is {pem!r}, which is no text: give it as PEM")
    text = pem.replace("\\n", "\n").replace(f"-----BEGIN {what}-----", "").replace(f"-----END {what}-----", "")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise AppError(f"the {what.lower()} is no PEM: it begins with '-----BEGIN {what}-----'") from None


@lru_cache(maxsize=64)
def import_private_key(pem: str) -> Ed25519PrivateKey:
    """An Ed25519 key from PEM (PKCS8).

    Raises:
        AppError: it is none.  Blame: whoever filled the environment.
    """
    key: object
    try:
        key = load_der_private_key(_der(pem, "PRIVATE KEY"), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise AppError("the private key is no Ed25519 key in PKCS8: make one with KeyPair, or openssl genpkey")
    return key


@lru_cache(maxsize=64)
def import_public_key(pem: str) -> Ed25519PublicKey:
    """An Ed25519 key from PEM (SPKI).

    Raises:
        AppError: it is none.  Blame: whoever filled the environment.
    """
    key: object
    try:
        key = load_der_public_key(_der(pem, "PUBLIC KEY"))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise AppError("the public key is no Ed25519 key in SPKI: it belongs to one that KeyPair or openssl made")
    return key


def public_keys(env: Any) -> tuple[Ed25519PublicKey, ...]:
    """The public keys in ``env``, BLUE first (AU-2); empty without any."""
    found: Iterable[Any] = (env.get(f"JWT_PUBLIC_KEY_{slot}") for slot in SLOTS)
    return tuple(import_public_key(pem) for pem in found if pem)


def primary_slot(env: Any) -> Slot:
    """Which private key signs: any value but ``GREEN`` means BLUE."""
    return "GREEN" if env.get("PRIMARY_JWT_KEY") == "GREEN" else "BLUE"


@attrs.frozen
class KeyPair:
    """A pair as PEM, for tests and development.

    Attributes:
        private_key: PKCS8.
        public_key: SPKI.
    """

    private_key: str = attrs.field(repr=False)
    public_key: str

    @classmethod
    def from_seed(cls, seed: str) -> KeyPair:
        """The same pair for the same text, in every process.  Whoever knows the text knows the key."""
        private = Ed25519PrivateKey.from_private_bytes(sha256(seed.encode()).digest())
        return cls(
            private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        )

    def vars(self, slot: Slot = "BLUE") -> dict[str, str]:
        """The two variables of a slot: ``Mesh(vars={**KeyPair.from_seed("dev").vars(), ...})``."""
        return {f"JWT_PRIVATE_KEY_{slot}": self.private_key, f"JWT_PUBLIC_KEY_{slot}": self.public_key}
