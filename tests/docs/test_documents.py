"""What the documentation shows is what happens: its code runs, and its commands print what stands there.

``LUMENIZE_UPDATE_DOCS=1 pytest tests/docs`` brings the outputs up to date.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

_spec = importlib.util.spec_from_file_location("lumenize_sim_documents", HERE / "documents.py")
assert _spec is not None
assert _spec.loader is not None
documents = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = documents
_spec.loader.exec_module(documents)

#: Documents with code; those longer than a few seconds are told apart.
QUICK = ["README.md"]
SLOW = ["docs/tutorial.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("howto/*.md"))]
SLOW += sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("reference/*.md"))


def _runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    known = set(sys.modules)
    try:
        wrong = documents.Document(ROOT / name, folder).run(update=bool(os.environ.get("LUMENIZE_UPDATE_DOCS")))
    finally:
        for module in [name for name in sys.modules if name not in known]:
            if str(getattr(sys.modules[module], "__file__", None)).startswith(str(folder)):
                del sys.modules[module]
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("name", QUICK)
def test_what_the_readme_shows_happens(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _runs(name, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_what_a_document_shows_happens(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _runs(name, tmp_path, monkeypatch)


def test_an_output_that_differs_is_noticed() -> None:
    assert documents.alike("one\n...\nfour\n", "one\ntwo\nthree\nfour\n")
    assert documents.alike("8 schedules, 17 schedules/s\n", "8 schedules, 21 schedules/s\n")
    assert not documents.alike("one\n", "two\n")
    assert not documents.alike("one\n...\nfive\n", "one\ntwo\n")


def test_every_fault_kind_and_every_trace_kind_stands_in_the_reference() -> None:
    """The tables are written by hand, and the code is what they must say."""
    from lumenize_sim.cli.exits import Exit
    from lumenize_sim.explore.strategies import NAMES
    from lumenize_sim.trace.event import KINDS as TRACE_KINDS
    from lumenize_sim.world.faults import KINDS as FAULT_KINDS

    faults = (ROOT / "docs/reference/faults.md").read_text(encoding="utf-8")
    for kind, (bound, meaning) in FAULT_KINDS.items():
        assert f"| `{kind}` | {meaning} | {bound - 1} |" in faults
    traces = (ROOT / "docs/reference/traces-and-tapes.md").read_text(encoding="utf-8")
    for kind, meaning in TRACE_KINDS.items():
        assert f"| `{kind}` | {meaning} |" in traces
    commands = (ROOT / "docs/reference/command-line.md").read_text(encoding="utf-8")
    for code in Exit:
        assert f"| {code.value} |" in commands
    for name in NAMES:
        assert f"`{name}`" in commands


def test_every_public_name_stands_in_the_reference() -> None:
    import lumenize_sim

    pages = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs/reference").glob("*.md"))
    missing = [name for name in lumenize_sim.__all__ if re.search(rf"\b{name}\b", pages) is None]
    assert not missing
