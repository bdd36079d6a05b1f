"""Mechanical edits of a scenario's source, of the kinds that people make every day and that mend nothing.

Each takes the syntax tree of a module, and changes it: whether a tape still leads to the same failure afterwards is
what `survival` asks.  Those of methods change every class of nodes in the file, the one with the bug too.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

from lumenize_sim import DurableObject, LumenizeDO, Scenario
from lumenize_sim.explore import load_scenario
from lumenize_sim.explore.loading import load_module

__all__ = ["EDITS", "edited"]

Method = ast.FunctionDef | ast.AsyncFunctionDef
Edit = Callable[[ast.Module, ModuleType], None]

#: What the edits that add an object add.
_UNRELATED = """
class UnrelatedObject(DurableObject):
    async def ping(self):
        self.ctx.storage.kv.put("pings", self.ctx.storage.kv.get("pings", 0) + 1)
        self.ctx.set_timeout(lambda: None, 500)

    async def relay(self):
        await self.env.UNRELATED.get_by_name("b").ping()
"""


def edited(path: Path, name: str, edit: str, folder: Path) -> Scenario:
    """The scenario ``name`` of the file ``path`` after the edit so called; the new file lies in ``folder``."""
    source = path.read_text(encoding="utf-8")
    if edit == "comments":
        text = _commented(source)
    else:
        tree = ast.parse(source)
        EDITS[edit](tree, load_module(path))
        text = ast.unparse(ast.fix_missing_locations(tree))
    folder.mkdir(parents=True, exist_ok=True)
    changed = folder / path.name
    changed.write_text(text, encoding="utf-8")
    return load_scenario(changed, name)


# -- where -----------------------------------------------------------------------------


def _classes(tree: ast.Module, module: ModuleType, *, objects: bool = False) -> Iterator[ast.ClassDef]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            cls = getattr(module, node.name, None)
            if not objects or (isinstance(cls, type) and issubclass(cls, (DurableObject, LumenizeDO))):
                yield node


def _methods(cls: ast.ClassDef) -> Iterator[Method]:
    for node in cls.body:
        if isinstance(node, Method) and not node.name.startswith("__"):
            yield node


def _drivers(tree: ast.Module) -> Iterator[ast.AsyncFunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.AsyncFunctionDef) and any(_is_scenario(decorator) for decorator in node.decorator_list):
            yield node


def _is_scenario(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "scenario"


def _begin(method: Method, statements: str) -> None:
    """Put ``statements`` first, behind the docstring."""
    at = 1 if ast.get_docstring(method) is not None else 0
    method.body[at:at] = ast.parse(statements).body


def _import(tree: ast.Module, statement: str) -> None:
    """Behind the docstring and what comes from the future."""
    last = max((n for n, node in enumerate(tree.body) if isinstance(node, ast.ImportFrom)), default=0)
    tree.body[last + 1 : last + 1] = ast.parse(statement).body


# -- what ------------------------------------------------------------------------------


def _commented(source: str) -> str:
    """A line of comment above each function and class: all lines move."""
    lines: list[str] = []
    for line in source.splitlines():
        bare = line.lstrip()
        if bare.startswith(("def ", "async def ", "class ")) and not (lines and lines[-1].lstrip().startswith("@")):
            lines.append(f"{line[: len(line) - len(bare)]}# edited")
        lines.append(line)
    return "\n".join([*lines, ""])


def _log(tree: ast.Module, module: ModuleType) -> None:
    """Every method logs that it was called."""
    _import(tree, "import logging")
    for cls in _classes(tree, module):
        for method in _methods(cls):
            _begin(method, f"logging.getLogger('edited').debug({method.name!r})")


def _read(tree: ast.Module, module: ModuleType) -> None:
    """Every method of an object reads a key that nobody writes."""
    for cls in _classes(tree, module, objects=True):
        for method in _methods(cls):
            _begin(method, "self.ctx.storage.kv.get('unrelated')")


def _attribute(tree: ast.Module, module: ModuleType) -> None:
    """Every method of an object notes in memory that it was called."""
    for cls in _classes(tree, module, objects=True):
        for method in _methods(cls):
            _begin(method, f"self.edited = {method.name!r}")


def _rename(tree: ast.Module, module: ModuleType) -> None:
    """Local variables have other names."""
    for cls in _classes(tree, module):
        for method in _methods(cls):
            arguments = {arg.arg for node in ast.walk(method) if isinstance(node, ast.arguments) for arg in _all(node)}
            stored = {n.id for n in ast.walk(method) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            for node in ast.walk(method):
                if isinstance(node, ast.Name) and node.id in stored - arguments:
                    node.id = f"{node.id}_edited"


def _all(arguments: ast.arguments) -> list[ast.arg]:
    rest = [arg for arg in (arguments.vararg, arguments.kwarg) if arg is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *rest]


def _reorder(tree: ast.Module, module: ModuleType) -> None:
    """Methods stand in the opposite order."""
    for cls in _classes(tree, module):
        methods = list(_methods(cls))
        cls.body = [node for node in cls.body if node not in methods] + methods[::-1]


def _helper(tree: ast.Module, module: ModuleType) -> None:
    """Async methods of objects and Workers have moved into helpers, which they await."""
    for cls in _classes(tree, module):
        for method in list(_methods(cls)):
            given = method.args
            if not isinstance(method, ast.AsyncFunctionDef) or given.kwonlyargs or given.vararg or given.kwarg:
                continue
            names = [arg.arg for arg in (*given.posonlyargs, *given.args)][1:]
            helper = ast.AsyncFunctionDef(
                name=f"_{method.name}_edited", args=given, body=method.body, decorator_list=[], returns=None
            )
            method.body = (
                ast.parse(f"async def _():\n    return await self._{method.name}_edited({', '.join(names)})")
                .body[0]
                .body
            )  # type: ignore[attr-defined]  # it is a function
            cls.body.append(helper)


def _wait(tree: ast.Module, module: ModuleType) -> None:
    """Every async method waits for a moment that takes no time, and the driver for one that does."""
    _import(tree, "import trio")
    for cls in _classes(tree, module):
        for method in _methods(cls):
            if isinstance(method, ast.AsyncFunctionDef):
                _begin(method, "await trio.lowlevel.checkpoint()")
    for driver in _drivers(tree):
        _begin(driver, "await world.advance(0.25)")


def _with_object(tree: ast.Module, statements: str) -> None:
    """A class more, bound in every mesh, and what the driver does with it first."""
    _import(tree, "from lumenize_sim import DurableObject")
    first = next(n for n, node in enumerate(tree.body) if isinstance(node, ast.ClassDef))
    tree.body[first:first] = ast.parse(_UNRELATED).body
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Mesh":
            for keyword in node.keywords:
                if keyword.arg == "bindings" and isinstance(keyword.value, ast.Dict):
                    keyword.value.keys.append(ast.Constant("UNRELATED"))
                    keyword.value.values.append(ast.Name("UnrelatedObject", ast.Load()))
    for driver in _drivers(tree):
        _begin(driver, statements)


def _call(tree: ast.Module, module: ModuleType) -> None:
    """The driver calls an object that has nothing to do with the rest, and waits for it."""
    _with_object(tree, "await world.env.UNRELATED.get_by_name('a').relay()")


def _beside(tree: ast.Module, module: ModuleType) -> None:
    """Objects that have nothing to do with the rest call each other while it goes on, with a timer."""
    _with_object(tree, "world.env.UNRELATED.get_by_name('a').relay()")


#: The edits by name; ``comments`` is one of text.
EDITS: Final[dict[str, Edit]] = {
    "comments": lambda tree, module: None,
    "log": _log,
    "read": _read,
    "attribute": _attribute,
    "rename": _rename,
    "reorder": _reorder,
    "helper": _helper,
    "wait": _wait,
    "call": _call,
    "beside": _beside,
}
