"""The rules of the house, read off the source: who may import whom, and what may never decide an order.

The checks are best effort: they read syntax, not types.  They are here to catch the honest mistake early,
with a message that says where and what instead; the self-check that runs a tape twice, under two hash seeds,
is what proves the absence of the rest.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "lumenize_sim"
NAME = PACKAGE.name

# Which rooms a room may import.  `errors` may be used by all; a room may always use itself.
BRACKETS: dict[str, frozenset[str]] = {
    "clone": frozenset(),
    "objects": frozenset({"clone"}),
    "mesh": frozenset({"clone", "objects"}),
    "routing": frozenset({"clone", "objects", "mesh"}),
    "auth": frozenset({"clone", "objects", "mesh", "routing"}),
    "trace": frozenset({"clone"}),
    "kernel": frozenset({"clone", "trace"}),
    # A scenario's histories, monitors and checks are judged where it runs.
    "world": frozenset({"clone", "objects", "mesh", "auth", "routing", "trace", "kernel", "check"}),
    "live": frozenset({"clone", "objects", "mesh", "auth", "routing", "trace", "kernel"}),
    "check": frozenset({"clone", "trace"}),
    "view": frozenset({"clone", "trace"}),
    # A run judges itself (`explanation`) and shows itself in a notebook.
    "explore": frozenset({"clone", "trace", "kernel", "check", "view", "world"}),
}
ANYTHING = frozenset({"testing", "cli", "__init__", "__main__"})

# What decides an order, or an outcome, differently in another process.
UNSTABLE_BUILTINS = {"hash": "a stable key", "id": "a counter of your own"}
UNSTABLE_CALLS = {
    "datetime.date.today": "the host's clock",
    "datetime.datetime.now": "the host's clock",
    "datetime.datetime.today": "the host's clock",
    "datetime.datetime.utcnow": "the host's clock",
    "os.getrandom": "the owner's generator",
    "os.urandom": "the owner's generator",
    "time.monotonic": "the host's clock",
    "time.monotonic_ns": "the host's clock",
    "time.perf_counter": "the host's clock",
    "time.perf_counter_ns": "the host's clock",
    "time.time": "the host's clock",
    "time.time_ns": "the host's clock",
    "uuid.uuid1": "the host's uuid()",
    "uuid.uuid4": "the host's uuid()",
    "weakref.WeakSet": "a dict",
    "weakref.finalize": "an explicit close",
}
UNSTABLE_MODULES = {"random": "random.Random(seed)", "secrets": "the owner's generator"}
SEEDED = frozenset({"random.Random"})

# Whole rooms that look at the real world on purpose.  `hash`, `id` and sets stay refused there.
REAL_WORLD = {
    "live": "the real host: wall clock and system randomness are its job",
    "cli": "tells a person how long things took",
}

# (file, what) -> why it cannot reach an output.  An entry that is no longer needed fails.
ALLOWED: dict[tuple[str, str], str] = {
    ("clone/containers.py", "id"): "keys of a dict that keeps its objects alive: looked up, never sorted or shown",
    ("clone/cbor.py", "id"): "memo of one call over objects that are alive: looked up, never sorted or shown",
    (
        "clone/encode.py",
        "id",
    ): "counts and ids of one call over objects that are alive: looked up, never sorted or shown",
    ("clone/native.py", "id"): "memo of one call over objects that are alive: looked up, never sorted or shown",
    (
        "objects/message_size.py",
        "id",
    ): "memo of one count over objects that are alive: looked up, never sorted or shown",
    ("clone/plain.py", "id"): "what one walk has met, over objects that are alive: looked up, never sorted or shown",
    ("mesh/debug.py", "id"): "what one entry has shown already, over objects that are alive: looked up, never shown",
    ("mesh/debug.py", "datetime.datetime.now"): "for code outside of nodes; nodes' loggers read the host's clock",
    ("trace/texts.py", "id"): "containers that are being written, and so alive: looked up, never sorted or shown",
    ("world/strays.py", "random.getstate"): "keeps the process's own generator for after the run",
    ("world/strays.py", "random.seed"): "makes references captured before the run follow its seed",
    ("world/strays.py", "random.setstate"): "gives the process its own generator back",
}


@attrs.frozen(order=True)
class Finding:
    """One place that breaks a rule.  ``what`` is the key used in the allow-list."""

    line: int
    what: str
    instead: str


# ------------------------------------------------------------------------------------------- reading


def modules() -> list[Path]:
    """Every Python file of the package, in a stable order."""
    return sorted(PACKAGE.rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room_of(path: str) -> str:
    """The room a file belongs to: its folder, or its own name at the top."""
    head, _, rest = path.partition("/")
    return head if rest else head.removesuffix(".py")


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported_rooms(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, room) of every import of ours, also inside functions, under TYPE_CHECKING, and by string.

    Names taken from the package itself come out as ``__init__``.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _room(node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import; write it out so the direction can be read"
            if node.module == NAME:
                for alias in node.names:
                    known = alias.name in BRACKETS or alias.name in ANYTHING or alias.name == "errors"
                    yield node.lineno, alias.name if known else "__init__"
            else:
                yield from _room(node.lineno, node.module or "")
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            callee = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if callee in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield from _room(node.lineno, node.args[0].value)


def _room(line: int, module: str) -> Iterator[tuple[int, str]]:
    head, _, rest = module.partition(".")
    if head == NAME:
        yield line, rest.partition(".")[0] or "__init__"


# ------------------------------------------------------------------------------------------- order


class Unstable(ast.NodeVisitor):
    """Collects uses of what differs between processes."""

    # Order does not matter to these, so a set may be handed to them.
    ORDERLESS = frozenset({"all", "any", "frozenset", "len", "max", "min", "set", "sorted", "sum"})

    def __init__(self, tree: ast.Module, *, real_world: bool) -> None:
        self.findings: list[Finding] = []
        self.real_world = real_world
        self.aliases: dict[str, str] = {}
        self.bound: list[set[str]] = [_bound(tree.body)]
        self.sets: list[set[str]] = [_set_names(tree.body)]
        self.visit(tree)

    def found(self, node: ast.expr, what: str, instead: str) -> None:
        self.findings.append(Finding(node.lineno, what, instead))

    # -- scopes

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.aliases[alias.asname or alias.name.partition(".")[0]] = (
                alias.name if alias.asname else alias.name.partition(".")[0]
            )

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self.aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        if isinstance(node, ast.FunctionDef) and node.name == "__hash__":
            return  # what a __hash__ returns only ever places a key in a dict
        parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        body = [] if isinstance(node, ast.Lambda) else node.body
        self.bound.append({p.arg for p in parameters} | _bound(body))
        sets = {p.arg for p in parameters if p.annotation is not None and _is_set_type(p.annotation)} | _set_names(body)
        self.sets.append(sets)
        self.generic_visit(node)
        self.sets.pop()
        self.bound.pop()

    visit_AsyncFunctionDef = visit_FunctionDef
    visit_Lambda = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        fields = {
            f"self.{s.target.id}"
            for s in node.body
            if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name) and _is_set_type(s.annotation)
        }
        self.bound.append(set())
        self.sets.append(fields | {n for n in _set_names(node.body, methods=True) if n.startswith("self.")})
        self.generic_visit(node)
        self.sets.pop()
        self.bound.pop()

    # -- names and calls

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and node.id in UNSTABLE_BUILTINS and not self._is_bound(node.id):
            self.found(node, node.id, UNSTABLE_BUILTINS[node.id])

    def visit_Call(self, node: ast.Call) -> None:
        name = self._dotted(node.func)
        if name is not None and not self.real_world:
            module = name.partition(".")[0]
            if name in UNSTABLE_CALLS:
                self.found(node, name, UNSTABLE_CALLS[name])
            elif "." in name and module in UNSTABLE_MODULES and name not in SEEDED:
                self.found(node, name, UNSTABLE_MODULES[module])
        if isinstance(node.func, ast.Name) and node.func.id in self.ORDERLESS:
            for argument in node.args:
                if isinstance(argument, ast.GeneratorExp | ast.ListComp):
                    self._comprehension(argument, ordered=False)
                else:
                    self.visit(argument)
            for keyword in node.keywords:
                self.visit(keyword)
            return
        if isinstance(node.func, ast.Name) and node.func.id in ("list", "tuple", "iter", "enumerate", "zip", "map"):
            for argument in node.args:
                self._iterates(argument)
        elif isinstance(node.func, ast.Attribute):
            if node.func.attr == "pop" and not node.args and self._is_set(node.func.value):
                self.found(node, "set.pop", "a dict, or sorted() before choosing")
            elif node.func.attr in ("join", "extend", "fromkeys"):
                for argument in node.args[:1]:
                    self._iterates(argument)
        self.generic_visit(node)

    # -- iteration

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self._iterates(node.iter)
        self.generic_visit(node)

    visit_AsyncFor = visit_For

    def visit_Starred(self, node: ast.Starred) -> None:
        self._iterates(node.value)
        self.generic_visit(node)

    def visit_Set(self, node: ast.Set) -> None:
        for element in node.elts:
            self.visit(element.value if isinstance(element, ast.Starred) else element)

    def visit_YieldFrom(self, node: ast.YieldFrom) -> None:
        self._iterates(node.value)
        self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp | ast.DictComp | ast.GeneratorExp) -> None:
        self._comprehension(node, ordered=True)

    visit_DictComp = visit_ListComp
    visit_GeneratorExp = visit_ListComp

    def _comprehension(self, node: ast.ListComp | ast.DictComp | ast.GeneratorExp, *, ordered: bool) -> None:
        if ordered:
            for generator in node.generators:
                self._iterates(generator.iter)
        self.generic_visit(node)

    def _iterates(self, node: ast.expr) -> None:
        if self._is_set(node):
            self.found(node, "set iteration", "a dict, or sorted()")

    # -- what is what

    def _is_bound(self, name: str) -> bool:
        return any(name in names for names in self.bound)

    def _is_set(self, node: ast.expr) -> bool:
        if _makes_set(node):
            return True
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
            return self._is_set(node.left) or self._is_set(node.right)
        name = _place(node)
        for sets, bound in zip(reversed(self.sets), reversed(self.bound), strict=True):
            if name in sets:
                return True
            if name in bound:  # the inner name hides an outer one
                return False
        return False

    def _dotted(self, node: ast.expr) -> str | None:
        """``datetime.datetime.now`` for ``dt.now`` after ``from datetime import datetime as dt``."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self.aliases:
            return None
        return ".".join([self.aliases[node.id], *reversed(parts)])


def _bound(body: list[ast.stmt]) -> set[str]:
    return {
        node.id
        for statement in body
        if not isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _makes_set(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Set | ast.SetComp) or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset")
    )


def _is_set_type(node: ast.expr) -> bool:
    head = ast.unparse(node).partition("[")[0].rpartition(".")[2]
    return head in ("set", "frozenset", "Set", "FrozenSet", "AbstractSet", "MutableSet")


def _place(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return f"self.{node.attr}"
    return None


def _set_names(body: list[ast.stmt], *, methods: bool = False) -> set[str]:
    """Places that hold a set for certain, judged by what is assigned or annotated in this scope.

    A place that also holds something else does not count.  With ``methods`` inner functions are read too,
    which is where a class assigns to ``self``.
    """
    sets: set[str] = set()
    others: set[str] = set()
    todo: list[ast.AST] = [*body]
    while todo:
        node = todo.pop()
        if methods or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)
        if isinstance(node, ast.AnnAssign):
            place = _place(node.target)
            if place is not None:
                (sets if _is_set_type(node.annotation) else others).add(place)
        elif isinstance(node, ast.Assign):
            for place in map(_place, node.targets):
                if place is not None:
                    (sets if _makes_set(node.value) else others).add(place)
    return sets - others


def unstable(path: str, tree: ast.Module) -> list[Finding]:
    return sorted(Unstable(tree, real_world=room_of(path) in REAL_WORLD).findings)


# ------------------------------------------------------------------------------------------- the rules


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_imports_run_only_as_the_brackets_say(path: Path) -> None:
    """A room imports the rooms in its brackets, `errors`, and itself; nobody but the outermost imports the top."""
    room = room_of(relative(path))
    if room in ANYTHING:
        return
    allowed = frozenset() if room == "errors" else BRACKETS[room] | {"errors", room}
    wrong = [
        f"{relative(path)}:{line}: {room} imports {other}"
        for line, other in imported_rooms(parse(path))
        if other not in allowed
    ]
    assert not wrong, "\n".join([*wrong, f"{room} may import only: {', '.join(sorted(allowed)) or 'nothing of ours'}"])


def test_every_room_has_its_brackets() -> None:
    """A new room is a decision: it gets a line in the table before it gets code."""
    rooms = {room_of(relative(path)) for path in modules()}
    assert sorted(rooms - BRACKETS.keys() - ANYTHING - {"errors"}) == []


def test_every_folder_is_a_package() -> None:
    """A folder without `__init__.py` imports from a checkout all the same, but type checkers and docs pass it by."""
    folders = {path.parent for path in modules()}
    assert sorted(relative(folder) for folder in folders if not (folder / "__init__.py").exists()) == []


def test_the_brackets_have_no_circle() -> None:
    """Taken together the brackets order the rooms."""
    left = dict(BRACKETS)
    while left:
        free = [room for room, needs in left.items() if not needs & left.keys()]
        assert free, f"these rooms import each other in a circle: {sorted(left)}"
        for room in free:
            del left[room]


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_nothing_unstable_can_decide_an_order(path: Path) -> None:
    """No `hash`, `id`, set order, wall clock or global randomness, unless the allow-list says why it is harmless."""
    name = relative(path)
    wrong = [
        f"{name}:{finding.line}: {finding.what} differs between processes; use {finding.instead}"
        for finding in unstable(name, parse(path))
        if (name, finding.what) not in ALLOWED
    ]
    assert not wrong, "\n".join([*wrong, "or, if it cannot reach an output, say why in ALLOWED in tests/test_house.py"])


def test_the_allow_list_has_reasons_and_no_dead_entries() -> None:
    """What was allowed once and is gone must not cover the next mistake."""
    needed = {(relative(path), finding.what) for path in modules() for finding in unstable(relative(path), parse(path))}
    assert sorted(ALLOWED.keys() - needed) == []
    assert [key for key, reason in ALLOWED.items() if len(reason.split()) < 4] == []


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_every_module_says_what_it_is_and_what_it_offers(path: Path) -> None:
    """A docstring, and an `__all__` whose names exist; `__init__` and `__main__` need no `__all__`."""
    tree = parse(path)
    assert (ast.get_docstring(tree) or "").strip(), f"{relative(path)} has no docstring"
    if path.name in ("__init__.py", "__main__.py"):
        return
    exported = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id == "__all__"
    ]
    assert len(exported) == 1, f"{relative(path)} has no __all__ (or several)"
    assert exported[0] is not None
    offered = ast.literal_eval(exported[0])
    missing = [name for name in offered if name not in _defined(tree)]
    assert not missing, f"{relative(path)}: in __all__ but not defined: {missing}"
    twice = [name for name, count in Counter(offered).items() if count > 1]
    assert not twice, f"{relative(path)}: twice in __all__: {twice}"


def _defined(tree: ast.Module) -> set[str]:
    names = _bound(tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_only_the_command_line_prints(path: Path) -> None:
    """A library that prints spoils the output of whoever uses it."""
    if room_of(relative(path)) in ("cli", "__main__"):
        return
    lines = [
        node.lineno
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not lines, f"{relative(path)} prints on line {lines}; return the text, or use the host's log"


# What switches off a checker on one line, and what should come after it.
SILENCED = re.compile(r"#\s*(?:type: ignore|pyright: ignore|noqa)(?:\[[^]]*\]|: [A-Z0-9]+(?:, ?[A-Z0-9]+)*)?(.*)")


def unexplained(text: str) -> list[int]:
    """Lines that switch off a checker without saying why; only comments count, not what is in texts."""
    comments = (
        token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.COMMENT
    )
    found = ((comment.start[0], SILENCED.search(comment.string)) for comment in comments)
    return [line for line, said in found if said is not None and not re.fullmatch(r"\s+# \S.*", said[1])]


@pytest.mark.parametrize("folder", ["lumenize_sim", "scenarios", "tests"])
def test_whoever_silences_a_checker_says_why(folder: str) -> None:
    """`# type: ignore[misc]  # a class of the app, known at run time only`."""
    wrong = [
        f"{path.relative_to(ROOT).as_posix()}:{line}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in unexplained(path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join([*wrong, "say after a second `#` why the checker is wrong here, or satisfy it"])


def test_test_files_have_names_of_their_own() -> None:
    """Two `test_gate.py` would be told apart by folder only, in reports and under `--import-mode=importlib`."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


# ------------------------------------------------------------------------------------------- the checks are checked


@pytest.mark.parametrize(
    "source, rooms",
    [
        ("import lumenize_sim.mesh.node", ["mesh"]),
        ("from lumenize_sim.mesh import node", ["mesh"]),
        ("from lumenize_sim import mesh, errors", ["mesh", "errors"]),
        ("from lumenize_sim import LumenizeDO", ["__init__"]),
        ("import lumenize_sim", ["__init__"]),
        ("def f():\n    import lumenize_sim.world", ["world"]),
        ("if TYPE_CHECKING:\n    from lumenize_sim.world.host import Host", ["world"]),
        ("importlib.import_module('lumenize_sim.live.host')", ["live"]),
        ("import lumenize_simulator, trio", []),
    ],
)
def test_imports_are_seen_in_every_spelling(source: str, rooms: list[str]) -> None:
    """Lazy and type-only imports show knowledge just as well."""
    assert [room for _, room in imported_rooms(ast.parse(source))] == rooms


@pytest.mark.parametrize(
    "source, what",
    [
        ("x = hash(y)", ["hash"]),
        ("x.sort(key=id)", ["id"]),
        ("def f(id): return id", []),
        ("class A:\n    def __hash__(self): return hash(self.key)", []),
        ("for x in {1, 2}: pass", ["set iteration"]),
        ("for x in sorted({1, 2}): pass", []),
        ("x = list(set(y))", ["set iteration"]),
        ("def f(names: set[str]):\n    return [n for n in names]", ["set iteration"]),
        ("def f(names: set[str]):\n    return sorted(n for n in names)", []),
        ("def f(names: set[str]):\n    return sorted(names), len(names), 3 in names", []),
        ("def f():\n    a = set()\n    for x in a | b: pass", ["set iteration"]),
        ("def f():\n    a = set()\n    a = sorted(a)\n    for x in a: pass", []),
        ("def f():\n    a = set()\ndef g(a):\n    for x in a: pass", []),
        (
            "class A:\n    def __init__(self): self.s = set()\n    def f(self): return ','.join(self.s)",
            ["set iteration"],
        ),
        ("class A:\n    s: set[int]\n    def f(self): return self.s.pop()", ["set.pop"]),
        ("class A:\n    s: dict[int, None]\n    def f(self): return list(self.s)", []),
        ("x = [*{1, 2}]", ["set iteration"]),
        ("x = {*a, *{1, 2}}", []),
        ("import time\nx = time.time()", ["time.time"]),
        ("from time import monotonic as m\nx = m()", ["time.monotonic"]),
        ("from datetime import datetime\nx = datetime.now()", ["datetime.datetime.now"]),
        ("import random\nx = random.choice(y)", ["random.choice"]),
        ("import random\nx = random.Random(7).choice(y)", []),
        ("from random import shuffle\nshuffle(y)", ["random.shuffle"]),
        ("import os\nx = os.urandom(3)", ["os.urandom"]),
        ("def f(random): return random.random()", []),
        ("names = {1, 2}\ndef f():\n    return list(names)", ["set iteration"]),
        ("names = {1, 2}\ndef f(names):\n    return list(names)", []),
    ],
)
def test_what_is_unstable_is_seen(source: str, what: list[str]) -> None:
    """The checker finds the usual spellings and leaves the harmless ones alone."""
    assert [finding.what for finding in unstable("kernel/x.py", ast.parse(source))] == what


@pytest.mark.parametrize(
    "source, lines",
    [
        ("x = f()  # type: ignore[misc]", [1]),
        ("x = f()  # noqa", [1]),
        ("x = f()  # noqa: B019, UP033 - it is so", [1]),
        ("x = f()  # pyright: ignore[reportUnused]  #", [1]),
        ("x = f()  # type: ignore[misc, arg-type]  # of any type", []),
        ("x = f()  # noqa: B019  # it is so", []),
        ("x = '# type: ignore[misc]'", []),
        ("x = f()  # a comment", []),
    ],
)
def test_a_silenced_checker_is_seen(source: str, lines: list[int]) -> None:
    """With the reason in one form only, or nobody could hold it."""
    assert unexplained(source) == lines


def test_the_real_host_may_look_at_the_clock_but_not_at_set_order() -> None:
    """Rooms of the real world are exempt from clocks and randomness only."""
    tree = ast.parse("import time\nx = time.time()\ny = list({1, 2})")
    assert [finding.what for finding in unstable("live/host.py", tree)] == ["set iteration"]
