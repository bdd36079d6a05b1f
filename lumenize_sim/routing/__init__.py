"""What stands before the mesh, without I/O: which request goes where, and which is refused."""

from __future__ import annotations

from lumenize_sim.routing.entry import TOKEN_LIFE_S as TOKEN_LIFE_S
from lumenize_sim.routing.entry import admit as admit
from lumenize_sim.routing.entry import mint as mint

__all__ = ["TOKEN_LIFE_S", "admit", "mint"]
