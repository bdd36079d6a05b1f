"""What holds for every test: marks by folder, Hypothesis profiles, the plugin where it is not installed."""

from __future__ import annotations

import importlib.util
import os
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent
MARKED_FOLDERS = {"benchmarks": "benchmark", "live": "live", "quality": "quality"}

# An installed package brings its plugin by entry point; a bare checkout on the path needs it named.
PLUGIN = "lumenize_sim.testing.plugin"
pytest_plugins: list[str] = []
if (
    all(entry.value != PLUGIN for entry in entry_points(group="pytest11"))
    and importlib.util.find_spec("lumenize_sim.testing") is not None
    and importlib.util.find_spec(PLUGIN) is not None
):
    pytest_plugins.append(PLUGIN)

# The output of commands is compared with what is printed at a desk.
os.environ.pop("GITHUB_ACTIONS", None)

# No deadline: what is slow is judged by benchmarks, and a loaded machine is not a failure.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True, database=None)
settings.register_profile(
    "thorough", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test in `tests/live` is marked `live`, and so on for the other groups that are kept apart."""
    for item in items:
        if item.path.is_relative_to(HERE):
            mark = MARKED_FOLDERS.get(item.path.relative_to(HERE).parts[0])
            if mark is not None:
                item.add_marker(mark)
