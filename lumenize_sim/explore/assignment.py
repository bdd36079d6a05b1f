"""Assignments: what a sweep explores, in words that another process or machine understands."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import attrs

from lumenize_sim.errors import UsageError
from lumenize_sim.explore.loading import load_scenario, scenarios_in, shown_path
from lumenize_sim.explore.shard import Shard
from lumenize_sim.world.faults import Faults
from lumenize_sim.world.options import WorldOptions
from lumenize_sim.world.scenario import Scenario

__all__ = ["Assignment"]

#: Fields that do not say what is explored, but in which version.
_VERSIONS = ("source", "package")


@attrs.frozen(kw_only=True)
class Assignment:
    """What is explored.

    Attributes:
        path: of the scenario's file, relative to the working directory where it lies below it; ``None`` where the
            scenario is in no file, so that only this process can run it.
        absolute: the same from the root.
        name: of the scenario.
        seed, strategy, max_failures: as for `explore`.
        options, faults: as JSON.
        source: fingerprint of the files that define scenario and nodes.
        package: version of this package.
    """

    path: str | None
    absolute: str | None
    name: str
    seed: int
    strategy: str | None
    max_failures: int
    options: dict[str, Any]
    faults: dict[str, Any]
    source: str
    package: str

    @classmethod
    def of(cls, scenario: Scenario, *, seed: int, strategy: str | None, max_failures: int) -> Assignment:
        """The assignment to explore ``scenario``."""
        return cls(
            path=shown_path(scenario.path),
            absolute=None if scenario.path is None else str(Path(scenario.path).resolve()),
            name=scenario.name,
            seed=seed,
            strategy=strategy,
            max_failures=max_failures,
            # As they come back from JSON, where a tuple is a list.
            options=json.loads(json.dumps(scenario.options.to_json())),
            faults=json.loads(json.dumps(scenario.faults.to_json())),
            source=_source(scenario),
            package=_package(),
        )

    @property
    def key(self) -> str:
        """Eight signs that stand for what is explored, whatever its version."""
        data = {name: value for name, value in self.to_json().items() if name not in (*_VERSIONS, "absolute")}
        return blake2b(repr(sorted(data.items())).encode(), digest_size=4).hexdigest()

    def other_than(self, other: Assignment) -> list[str]:
        """What differs, in words."""
        words = {"source": "the app's source", "package": "the version of lumenize_sim"}
        return [
            words.get(name, name)
            for name, value in self.to_json().items()
            if name != "absolute" and value != other.to_json()[name]
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return attrs.asdict(self, recurse=False)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Assignment:
        """The inverse of `to_json`."""
        return cls(**data)

    def check_found_by_others(self, scenario: Scenario) -> None:
        """Raises `UsageError` unless another process finds ``scenario`` by file and name."""
        module = sys.modules.get(scenario.drive.__module__)
        known = {} if module is None else scenarios_in(module)
        found = known.get(scenario.name)
        if self.absolute is None or found is None or found.drive is not scenario.drive:
            raise UsageError(
                f"scenario {scenario.name!r} is no global of a file, so that other processes cannot import it: "
                "define it at the top level of a module, or explore with jobs=1."
            )

    def shard(self) -> Shard:
        """Whoever runs units of it, here.

        Raises:
            UsageError: the scenario is not here, or not in the version that was assigned.
        """
        if self.absolute is None or self.path is None:
            raise UsageError(f"scenario {self.name!r} is in no file: it can only be explored where it was made.")
        path = self.absolute if Path(self.absolute).is_file() else self.path
        scenario = load_scenario(path, self.name)
        options, faults = WorldOptions.from_json(self.options), Faults.from_json(self.faults)
        scenario = attrs.evolve(scenario, options=options, faults=faults)
        here = Assignment.of(scenario, seed=self.seed, strategy=self.strategy, max_failures=self.max_failures)
        for what, name in (("lumenize_sim", "package"), (path, "source")):
            if getattr(here, name) != getattr(self, name):
                raise UsageError(
                    f"{what} is another version where schedules are run ({getattr(here, name)}) than where they were "
                    f"handed out ({getattr(self, name)}): results of both cannot be added. Bring both to one version."
                )
        return Shard(scenario, seed=self.seed, strategy=self.strategy, max_failures=self.max_failures)


def _package() -> str:
    try:
        return version("lumenize-sim")
    except PackageNotFoundError:
        return "unknown"


def _source(scenario: Scenario) -> str:
    """Of the files that driver and nodes are defined in; what those import is not looked at."""
    modules = [scenario.drive.__module__, *(cls.__module__ for cls in scenario.app.bindings.values())]
    hasher = blake2b(digest_size=8)
    for name in dict.fromkeys(modules):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and name.partition(".")[0] != "lumenize_sim":
            try:
                hasher.update(Path(file).read_bytes())
            except OSError:
                continue
    return hasher.hexdigest()
