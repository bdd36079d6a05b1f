"""Draws that strategies share."""

from __future__ import annotations

import random
from collections.abc import Sequence

__all__ = ["weighted"]


def weighted(generator: random.Random, weights: Sequence[float]) -> int:
    """An index, drawn in proportion to ``weights``, of which at least one is positive."""
    left = generator.random() * sum(weights)
    for index, weight in enumerate(weights):
        left -= weight
        if left < 0:
            return index
    return max(index for index, weight in enumerate(weights) if weight > 0)
