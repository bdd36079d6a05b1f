"""Judges what came out of a program against what was recorded and what the reference says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from tests.conformance.program import Allowed, Program
from tests.conformance.reach import Reached, plain

__all__ = ["Verdict", "judge"]


@attrs.frozen
class Verdict:
    """How a program fares under one runtime.

    Attributes:
        program, runtime, reached: what was judged.
        missing: expected outcomes that never came out.
        forbidden: outcomes that must not come out, with the reason.
        unexplained: outcomes that nobody expects and no rule allows.
        reasons: why the others that came out are allowed, in the order of the program.
    """

    program: Program
    runtime: str
    reached: Reached
    missing: tuple[str, ...]
    forbidden: tuple[tuple[str, str], ...]
    unexplained: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def word(self) -> str:
        """``conforms``, or what is wrong first."""
        if self.forbidden:
            return "forbidden"
        if self.unexplained:
            return "unexplained"
        return "missing" if self.missing else "conforms"

    def complaint(self) -> str:
        """What is wrong, for whoever has to mend it."""
        lines = [f"{self.program.id} under {self.runtime} ({self.reached.runs} runs): {self.word}"]
        lines += [f"  must never come out ({reason}): {text}" for text, reason in self.forbidden]
        lines += [f"  came out and nobody knows why: {text}" for text in self.unexplained]
        lines += [f"  never came out:                {text}" for text in self.missing]
        return "\n".join(lines)


def judge(program: Program, runtime: str, reached: Reached) -> Verdict:
    """Judge what came out."""
    expected = [plain(outcome) for outcome in program.expected.get(runtime, ())]
    forbidden: list[tuple[str, str]] = []
    unexplained: list[str] = []
    reasons: dict[str, None] = {}
    for text in reached.counts:
        outcome = json.loads(text)
        broken = isinstance(outcome, dict) and outcome.keys() == {"run", "message"}
        reason = program.forbidden(outcome) if program.forbidden is not None and not broken else None
        if reason is not None:
            forbidden.append((text, reason))
        elif text not in expected:
            allowed = None if broken else _reason(program.also, runtime, outcome)
            if allowed is None:
                unexplained.append(text)
            else:
                reasons[allowed] = None
    return Verdict(
        program=program,
        runtime=runtime,
        reached=reached,
        missing=tuple(text for text in expected if text not in reached.counts),
        forbidden=tuple(forbidden),
        unexplained=tuple(unexplained),
        reasons=tuple(reason for reason in program.also if reason in reasons),
    )


def _reason(also: Mapping[str, Allowed], runtime: str, outcome: Any) -> str | None:
    for reason, allowed in also.items():
        here: Any = allowed.get(runtime, ()) if isinstance(allowed, Mapping) else allowed
        if _matches(here, outcome):
            return reason
    return None


def _matches(allowed: Callable[[Any], bool] | Any, outcome: Any) -> bool:
    if callable(allowed):
        try:
            return bool(allowed(outcome))
        except (KeyError, TypeError, IndexError, AttributeError):
            return False  # of another shape altogether
    return plain(outcome) in [plain(other) for other in allowed]
