"""Finding a scenario again: by file and name."""

from __future__ import annotations

import importlib.util
import os
import sys
from hashlib import blake2b
from pathlib import Path
from types import ModuleType

from lumenize_sim.errors import UsageError
from lumenize_sim.world.scenario import Scenario

__all__ = ["load_module", "load_scenario", "scenarios_in", "shown_path"]


def shown_path(path: str | None) -> str | None:
    """``path`` relative to the working directory where it lies below it."""
    if path is None:
        return None
    absolute = Path(path).resolve()
    try:
        return str(absolute.relative_to(Path.cwd()))
    except ValueError:
        return str(absolute)


def load_module(path: str | os.PathLike[str]) -> ModuleType:
    """Import a file by its path; its folder's parent is importable meanwhile and afterwards.

    Raises:
        UsageError: it does not exist, or does not import.
    """
    source = Path(path).resolve()
    if not source.is_file():
        raise UsageError(
            f"scenario file {path} does not exist: give the path of a Python file with an @scenario in it."
        )
    name = f"lumenize_scenario_{blake2b(str(source).encode(), digest_size=4).hexdigest()}_{source.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, source)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file: give one that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    for folder in (str(source.parent.parent), str(source.parent)):
        if folder not in sys.path:
            sys.path.append(folder)
    try:
        spec.loader.exec_module(module)
    except UsageError:
        del sys.modules[name]
        raise
    except (KeyboardInterrupt, SystemExit):
        del sys.modules[name]
        raise
    except BaseException as error:
        del sys.modules[name]
        raise UsageError(
            f"scenario file {path} does not import: {_reason(error, str(source))}. Mend the file and try again."
        ) from None
    return module


def _reason(error: BaseException, source: str) -> str:
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == source:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    place = f" at line {line}" if line else ""
    return f"{type(error).__name__}: {error}{place}".replace("\n", " ")


def scenarios_in(module: ModuleType) -> dict[str, Scenario]:
    """Scenarios that a module defines, by name, in order of definition."""
    found: dict[str, Scenario] = {}
    for value in vars(module).values():
        if isinstance(value, Scenario) and value.drive.__module__ == module.__name__:
            found.setdefault(value.name, value)
    return found


def load_scenario(where: str | os.PathLike[str], name: str | None = None) -> Scenario:
    """The scenario in a file; ``path.py::name`` or ``name`` chooses among several.

    Raises:
        UsageError: no such file, no such scenario, or several and no name.
    """
    text = os.fspath(where)
    path, separator, wanted = text.partition("::")
    name = wanted if separator else name
    found = scenarios_in(load_module(path))
    if name is not None:
        if name not in found:
            known = ", ".join(found) or "none"
            raise UsageError(f"{path} defines no scenario {name!r}; there is: {known}.")
        return found[name]
    if len(found) != 1:
        if not found:
            raise UsageError(f"{path} defines no scenario: decorate an `async def name(world)` with @scenario(app).")
        raise UsageError(
            f"{path} defines several scenarios ({', '.join(found)}): choose one with {path}::{next(iter(found))}."
        )
    return next(iter(found.values()))
