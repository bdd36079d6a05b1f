"""Re-running a tape in a fresh process, before anybody is told of the failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from lumenize_sim.kernel.tape import Tape

__all__ = ["verify_fresh"]


def verify_fresh(path: Path, tape: Tape) -> tuple[bool, str]:
    """Whether the tape fails with the same digest in a process of its own, and what was seen, in words."""
    environment = dict(os.environ)
    environment.pop("PYTHONHASHSEED", None)
    # The child must see the modules that this process sees, also from a checkout that is not installed.
    environment["PYTHONPATH"] = os.pathsep.join(
        [*(p for p in sys.path if p), environment.get("PYTHONPATH", "")]
    ).rstrip(os.pathsep)
    done = subprocess.run(
        [sys.executable, "-m", "lumenize_sim", "replay", str(path), "--json"],
        capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, check=False, timeout=600,
    )  # fmt: skip
    try:
        seen = json.loads(done.stdout)
    except ValueError:
        return (
            False,
            f"the fresh process said: {(done.stderr or done.stdout).strip()[-300:] or f'exit {done.returncode}'}",
        )
    if seen.get("digest") == tape.digest and seen.get("outcome") == tape.outcome:
        return True, "the same failure with the same digest in a fresh process"
    return False, (
        f"in a fresh process it is {seen.get('outcome')!r} with digest {str(seen.get('digest'))[:12]}: "
        "state of a module or class of the app leaked from one run into the next "
        "(a counter, a cache, a list at module level)."
    )
