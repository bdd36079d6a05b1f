"""Names and ids of objects: 32 bytes, half base, half proof that the id is of this namespace.

The base is an HMAC of the name or random; the proof is an HMAC of the base, both under a
key derived from what tells the namespace from all others.  So ids are pure functions of namespace and name, and an
id of another namespace is recognised without a registry (LC-2, LC-3).
"""

from __future__ import annotations

import hmac
import re
from functools import lru_cache
from hashlib import sha256
from typing import Final

import attrs

from lumenize_sim.errors import SimulatorError

__all__ = ["RANDOM_BYTES", "DurableObjectId", "id_from_name", "id_from_string", "new_unique_id"]

#: How many random bytes `new_unique_id` takes; half of an id.
RANDOM_BYTES: Final = 16

_HEX_ID: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


@attrs.frozen
class DurableObjectId:
    """An object's id.  Equal if the hex text is; prints as it.

    Attributes:
        hex: 64 lower-case hex digits.
        name: the name it was made from, ``None`` for unique ids and ids read from text (LC-5).  ``""`` is a name.
    """

    hex: str
    name: str | None = attrs.field(default=None, eq=False)

    def equals(self, other: DurableObjectId) -> bool:
        """Whether both are ids of one object; the names do not matter."""
        return self.hex == other.hex

    def __str__(self) -> str:
        return self.hex


def id_from_name(unique_key: str, name: str) -> DurableObjectId:
    """The id that belongs to ``name`` in a namespace, always the same one (LC-3).

    Args:
        unique_key: what tells the namespace from all others.
        name: any text; the empty one as well (LC-5).
    """
    return _named(unique_key, name)


def new_unique_id(unique_key: str, random: bytes) -> DurableObjectId:
    """An id without a name, from `RANDOM_BYTES` random bytes drawn by the caller.

    Raises:
        SimulatorError: another number of bytes.
    """
    if len(random) != RANDOM_BYTES:
        raise SimulatorError(f"new_unique_id() got {len(random)} random bytes; it takes {RANDOM_BYTES}")
    return DurableObjectId(_seal(_key(unique_key), random))


def id_from_string(unique_key: str, text: str) -> DurableObjectId:
    """The id that prints as ``text``, in either case; it has no name (LC-5).

    Raises:
        TypeError: not 64 hex digits, or an id of another namespace (LC-4).
    """
    if _HEX_ID.fullmatch(text) is None:
        raise TypeError("Invalid Durable Object ID: must be 64 hex digits")
    text = text.lower()
    if _seal(_key(unique_key), bytes.fromhex(text[: 2 * RANDOM_BYTES])) != text:
        raise TypeError("Durable Object ID is not valid for this namespace.")
    return DurableObjectId(text)


# A mesh call makes a stub by name each time, for few names; the ids are values, so they can be shared.
@lru_cache(maxsize=4096)
def _named(unique_key: str, name: str) -> DurableObjectId:
    key = _key(unique_key)
    return DurableObjectId(_seal(key, _mac(key, name.encode("utf-8", "surrogatepass"))), name)


@lru_cache(maxsize=256)
def _key(unique_key: str) -> bytes:
    return sha256(unique_key.encode()).digest()


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")[:RANDOM_BYTES]


def _seal(key: bytes, base: bytes) -> str:
    return (base + _mac(key, base)).hex()
