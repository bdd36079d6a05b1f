"""One seed, many generators: each purpose and each actor has its own (never a shared stream)."""

from __future__ import annotations

import random
from hashlib import blake2b

__all__ = ["Generators", "generator", "seed_of"]


def seed_of(seed: int, *labels: str) -> int:
    """A 64-bit seed for the purpose named by ``labels``."""
    text = "\x00".join((str(seed), *labels))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def generator(seed: int, *labels: str) -> random.Random:
    """A generator of its own for the purpose named by ``labels``."""
    return random.Random(seed_of(seed, *labels))


class Generators:
    """Generators of one run, each for one purpose of one actor and used for nothing else."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._made: dict[tuple[str, str], random.Random] = {}

    def __call__(self, what: str, name: str) -> random.Random:
        """The generator of the actor ``name`` for ``what``."""
        found = self._made.get((what, name))
        if found is None:
            found = self._made[what, name] = generator(self._seed, what, name)
        return found
