"""``python -m lumenize_sim`` is ``lumenize-sim``."""

from __future__ import annotations

from lumenize_sim.cli import main

if __name__ == "__main__":
    main()
