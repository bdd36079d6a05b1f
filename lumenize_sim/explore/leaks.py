"""State that outlives a run: what a module or a class of the app kept from one run to the next."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from lumenize_sim.world.scenario import Scenario

__all__ = ["leaked", "remembered"]

_PLAIN = (bool, int, float, str, bytes, list, dict, set, tuple, frozenset, type(None))


def remembered(scenario: Scenario) -> dict[str, str]:
    """What the app's modules and classes hold now: ``"module.NAME"`` and ``"Class.NAME"`` to its text."""
    classes = list(scenario.app.bindings.values())
    names = dict.fromkeys([scenario.drive.__module__, *(cls.__module__ for cls in classes)])
    held: dict[str, str] = {}
    for name in names:
        module = sys.modules.get(name)
        if module is None or name.partition(".")[0] == "lumenize_sim":
            continue
        short = name.rpartition("_")[2] if name.startswith("lumenize_scenario_") else name
        for key, value in list(vars(module).items()):
            if isinstance(value, type) and value.__module__ == name:
                _note(held, value.__name__, vars(value))
            elif not isinstance(value, ModuleType):
                _note(held, short, {key: value})
    return held


def _note(held: dict[str, str], owner: str, members: Any) -> None:
    for key, value in list(members.items()):
        if not key.startswith("__"):
            counter = type(value).__module__ in ("itertools", "collections")
            if isinstance(value, _PLAIN) or counter:
                held[f"{owner}.{key}"] = repr(value)


def leaked(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Names whose value is another one now, in order of definition."""
    return [name for name in after if before.get(name) != after[name]]
