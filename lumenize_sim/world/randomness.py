"""One seed, many generators: each purpose and each actor has its own (never a shared stream)."""

from __future__ import annotations

import random
from hashlib import blake2b

__all__ = ["generator", "seed_of"]


def seed_of(seed: int, *labels: str) -> int:
    """A 64-bit seed for the purpose named by ``labels``."""
    text = "\x00".join((str(seed), *labels))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def generator(seed: int, *labels: str) -> random.Random:
    """A generator of its own for the purpose named by ``labels``."""
    return random.Random(seed_of(seed, *labels))
