"""The finished trace: its digest and its place on disk."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import attrs

from lumenize_sim.errors import UsageError
from lumenize_sim.trace import codec
from lumenize_sim.trace.event import KINDS, TraceEvent

__all__ = ["FORMAT", "VERSION", "Trace", "digest_of"]

FORMAT = "lumenize-trace"
VERSION = 1

_STACK: Final = '"stack":"'
_STACK_TEXT: Final = re.compile(r'"stack":"(?:[^"\\]|\\.)*"?')  # long frames are cut, perhaps within one


def digest_of(events: Iterable[TraceEvent]) -> str:
    """BLAKE2b-128, in hex, of what each actor did.

    First a digest per actor over (kind, label, data) of its records in its own order, then one over the actors
    by name.  So it does not change when records of different actors swap places: it identifies a behaviour and
    not one of the many ways to interleave it.  Position, time, cause, source line and header stay out, and so do
    stacks of errors in frames: a line that moves in a file is no other behaviour.
    """
    hashes: dict[str, Any] = {}
    for event in events:
        if event.kind == "read" and event.get("default"):
            continue  # of a default of the class: recorded for those who look for races, and no behaviour
        own = hashes.get(event.actor)
        if own is None:
            own = hashes[event.actor] = blake2b(digest_size=16)
        # Items of CBOR end by themselves, so the concatenation cannot be read in two ways.
        data = _without_stacks(event.data) if event.kind == "frame" else event.data
        own.update(codec.encode((event.kind, event.label, data)))
    whole = blake2b(digest_size=16)
    for actor in sorted(hashes):
        whole.update(codec.encode((actor, hashes[actor].digest())))
    return str(whole.hexdigest())


def _without_stacks(data: Any) -> Any:
    text = data.get("text") if type(data) is dict else None
    return {**data, "text": _STACK_TEXT.sub(f'{_STACK}"', text)} if type(text) is str and _STACK in text else data


@attrs.frozen(hash=False)
class Trace:
    """What happened in one run.

    Attributes:
        events: all records; ``events[i].n == i``.
        header: plain values about the run (format, version, level, scenario, seed, ...).
    """

    events: tuple[TraceEvent, ...]
    header: Mapping[str, Any] = attrs.field(factory=lambda: {"format": FORMAT, "version": VERSION})

    @cached_property
    def digest(self) -> str:
        """See `digest_of`."""
        return digest_of(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[TraceEvent]:
        return iter(self.events)

    def by_actor(self) -> dict[str, tuple[TraceEvent, ...]]:
        """Records of each actor in its own order, actors by name."""
        lists: dict[str, list[TraceEvent]] = {}
        for event in self.events:
            lists.setdefault(event.actor, []).append(event)
        return {actor: tuple(lists[actor]) for actor in sorted(lists)}

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the CBOR sequence: header, one array per record, footer.

        The file appears whole or not at all: a trace half written when the machine stops would cost
        somebody an hour.
        """
        chunks = [codec.encode({**self.header, "format": FORMAT, "version": VERSION})]
        chunks += [codec.encode(tuple(event)) for event in self.events]
        chunks.append(codec.encode(self._footer()))
        _replace(Path(path), b"".join(chunks))

    def to_jsonl(self, path: str | os.PathLike[str]) -> None:
        """Write the twin for people: a JSON object per line; bytes are hex, and never read back."""
        rows: list[Any] = [self.header, *(event._asdict() for event in self.events), self._footer()]
        text = "".join(json.dumps(codec.plain(row), ensure_ascii=True) + "\n" for row in rows)
        _replace(Path(path), text.encode())

    def _footer(self) -> dict[str, Any]:
        return {"digest": self.digest, "events": len(self.events)}

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Trace:
        """Read what `write` wrote.

        Lists inside ``data`` come back as tuples.

        Raises:
            UsageError: the file is missing, truncated, foreign, of a later version or changed by hand;
                the message names file, item and byte.
        """
        name = os.fspath(path)
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise UsageError(f"trace {name}: cannot be read ({error.strerror}); check the path") from error
        items = codec.decode_sequence(content, name)
        header = next(items, None)
        if header is None:
            raise UsageError(f"trace {name}: the file is empty; record the run again")
        if type(header.value) is not dict or header.value.get("format") != FORMAT:
            raise UsageError(
                f"trace {name}: item 0 at byte 0 is not a {FORMAT} header; pass a file that Trace.write made"
            )
        version = header.value.get("version")
        if version != VERSION:
            raise UsageError(
                f"trace {name}: version {version!r}, and this release reads {VERSION}; "
                "use the release that wrote it, or record the run again"
            )
        events: list[TraceEvent] = []
        for item in items:
            if type(item.value) is dict:
                return cls._finish(name, header.value, events, item, items)
            fields = item.value
            reason = _wrong(fields, len(events))
            if reason:
                raise UsageError(f"trace {name}: {item.place}: {reason}; record the run again")
            events.append(TraceEvent._make(fields))
        raise UsageError(
            f"trace {name}: ends at byte {len(content)} after {len(events)} records without a footer, "
            "so its tail is missing; copy the file again, or record the run again"
        )

    @classmethod
    def _finish(
        cls,
        name: str,
        header: dict[str, Any],
        events: list[TraceEvent],
        footer: codec.Item,
        rest: Iterator[codec.Item],
    ) -> Trace:
        trace = cls(events=tuple(events), header=header)
        if footer.value.get("events") != len(events):
            raise UsageError(
                f"trace {name}: {footer.place}: the footer counts {footer.value.get('events')!r} records, "
                f"the file has {len(events)}; record the run again"
            )
        if footer.value.get("digest") != trace.digest:
            raise UsageError(
                f"trace {name}: {footer.place}: digest {footer.value.get('digest')!r} does not fit the records "
                f"({trace.digest}), so the file was changed; record the run again"
            )
        extra = next(rest, None)
        if extra is not None:
            raise UsageError(f"trace {name}: {extra.place}: something follows the footer; cut it off there")
        return trace


def _wrong(fields: Any, n: int) -> str | None:
    """Why ``fields`` are not record ``n``, or ``None``."""
    if type(fields) is not tuple or len(fields) != 8:
        return "not an array of 8 fields"
    number, t_us, kind, actor, label, cause, data, where = fields
    if type(number) is not int or number != n:
        return f"record {number!r} where {n} is due"
    if type(kind) is not str or kind not in KINDS:
        return f"kind {kind!r} is unknown"
    if type(t_us) is not int or type(actor) is not str or type(label) is not str:
        return "time, actor or label has the wrong type"
    if type(cause) is not int or not -1 <= cause < n:
        return f"cause {cause!r} is not an earlier record"
    if not (data is None or type(data) in (dict, tuple)) or not (where is None or type(where) is str):
        return "data or source line has the wrong type"
    return None


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)
