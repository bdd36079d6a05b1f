"""Tapes: the file from which a run is replayed exactly.

A tape is the sparse list of choices with all that they depend on: scenario, seed,
options.  It also carries the full order of arrivals; the replay does not need it, but
compares with it, so that the first difference can be named.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import attrs
import cbor2

from lumenize_sim.errors import UsageError
from lumenize_sim.kernel.choice import Choice

__all__ = ["Tape"]

_FORMAT = "lumenize-tape"
_VERSION = 1


@attrs.frozen(kw_only=True)
class Tape:
    """One recorded run.

    Attributes:
        scenario: name of the scenario.
        path: file that defines it, relative to the working directory where possible.
        seed: of application randomness.
        choices: what is not the default.
        options: of the world, as JSON.
        outcome, message, digest: what the run came to.
        log: arrivals, ``(receiver or None, label)``.
        versions: of Python, Trio and this package; informative.
        left: what was made and had not arrived when the run ended, ``(receiver or None, label)``.
        causes: for each of ``log`` and ``left`` the position of the arrival during which it was made, or -1.
        about: for each of them what it carries, in a word: the method of a call, what a frame is for.
        anchors: for each fault the arrival that it followed, as a position, and how many boundaries lay between.
    """

    scenario: str
    path: str | None
    seed: int
    choices: tuple[Choice, ...]
    options: dict[str, Any]
    outcome: str
    message: str
    digest: str
    log: tuple[tuple[str | None, str], ...]
    versions: dict[str, str]
    left: tuple[tuple[str | None, str], ...] = ()
    causes: tuple[int, ...] = ()
    about: tuple[str, ...] = ()
    anchors: dict[str, tuple[int, int]] = attrs.field(factory=dict)

    @property
    def non_default(self) -> int:
        """How many choices differ from the default."""
        return sum(1 for choice in self.choices if choice.value)

    def describe(self) -> str:
        """The tape in a sentence."""
        if not self.choices:
            return "in order (first come, first served, nothing goes wrong)"
        return "in order, except: " + "; ".join(choice.describe() for choice in self.choices)

    def to_bytes(self) -> bytes:
        """The file's contents."""
        data = {
            "format": _FORMAT,
            "version": _VERSION,
            "scenario": self.scenario,
            "path": self.path,
            "seed": self.seed,
            "choices": [choice.to_list() for choice in self.choices],
            "options": self.options,
            "outcome": self.outcome,
            "message": self.message,
            "digest": self.digest,
            "log": [list(entry) for entry in self.log],
            "versions": self.versions,
            "left": [list(entry) for entry in self.left],
            "causes": list(self.causes),
            "about": list(self.about),
            "anchors": {label: list(place) for label, place in self.anchors.items()},
        }
        return cbor2.dumps(data, canonical=True)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the file; makes its folder."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(target.name + ".part")
        aside.write_bytes(self.to_bytes())
        aside.replace(target)
        return target

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Tape:
        """Read a file.

        Raises:
            UsageError: there is none, it is cut off, or it is something else.
        """
        source = Path(path)
        try:
            content = source.read_bytes()
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(f"tape {source} cannot be read: {reason}. Give the path that `explore` printed.") from None
        return cls.from_bytes(content, str(source))

    @classmethod
    def from_bytes(cls, content: bytes, name: str = "tape") -> Tape:
        """Decode a file's contents.

        Raises:
            UsageError: they are cut off, or something else.
        """
        stream = io.BytesIO(content)
        try:
            data = cbor2.load(stream)
        except cbor2.CBORDecodeEOF:
            raise UsageError(f"{name} is cut off after {len(content)} bytes: copy it again, or explore anew.") from None
        except Exception:
            data = None
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            raise UsageError(f"{name} is no tape of this package: give the .tape file that `explore` or `run` printed.")
        if data.get("version") != _VERSION:
            raise UsageError(
                f"{name} is a tape of format {data.get('version')!r}; this release reads format {_VERSION}. "
                "Record it anew."
            )
        if stream.read(1):
            raise UsageError(
                f"{name} has something behind its end (byte {stream.tell() - 1}): copy it again, or explore anew."
            )
        try:
            return cls(
                scenario=_text(data["scenario"]),
                path=None if data["path"] is None else _text(data["path"]),
                seed=_number(data["seed"]),
                choices=tuple(_choice(entry) for entry in data["choices"]),
                options=dict(data["options"]),
                outcome=_text(data["outcome"]),
                message=_text(data["message"]),
                digest=_text(data["digest"]),
                log=_arrivals(data["log"]),
                versions={_text(k): _text(v) for k, v in data["versions"].items()},
                # Tapes of earlier releases have none of these, and are matched by labels alone.
                left=_arrivals(data.get("left", [])),
                causes=tuple(_number(cause) for cause in data.get("causes", [])),
                about=tuple(_text(word) for word in data.get("about", [])),
                anchors={
                    _text(label): (_number(at), _number(since))
                    for label, (at, since) in data.get("anchors", {}).items()
                },
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            what = f"{type(error).__name__}: {error}"
            raise UsageError(f"{name} is a damaged tape ({what}): copy it again, or explore anew.") from None


def _choice(entry: list[Any]) -> Choice:
    label, value, bound, key, pick, over, *more = entry
    value, bound = _number(value), _number(bound)
    if not 0 <= value < bound:
        raise ValueError(f"choice {label!r} has value {value} of {bound}")
    (spans,) = more or (1,)
    if _number(spans) < 1:
        raise ValueError(f"choice {label!r} spans {spans} arrivals")
    return Choice(_text(label), value, bound, _number(key), _text(pick), _text(over), spans)


def _arrivals(entries: list[Any]) -> tuple[tuple[str | None, str], ...]:
    return tuple((None if actor is None else _text(actor), _text(label)) for actor, label in entries)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no number")
    return value
