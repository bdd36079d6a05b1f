"""Canonical CBOR for records, and what a reader says when bytes are not that."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any

import attrs
import cbor2

from lumenize_sim.errors import SimulatorError, UsageError

__all__ = ["Item", "decode_sequence", "encode", "plain"]

#: Registered tag for text that UTF-8 cannot carry: JavaScript strings may hold half a surrogate pair.
_WTF8 = 273


@attrs.frozen
class Item:
    """One decoded item of a sequence, its position and first byte."""

    value: Any
    index: int
    byte: int

    @property
    def place(self) -> str:
        """For messages."""
        return f"item {self.index} at byte {self.byte}"


def encode(value: Any) -> bytes:
    """Canonical CBOR of plain values.

    Raises:
        SimulatorError: something in ``value`` is no plain value; whoever records must render it first.
    """
    try:
        return cbor2.dumps(value, canonical=True)
    except UnicodeEncodeError:
        return cbor2.dumps(_with_tags(value), canonical=True)
    except (cbor2.CBOREncodeError, RecursionError) as error:
        raise SimulatorError(f"trace data must be plain values: {error} in {value!r:.200}") from error


def _with_tags(value: Any) -> Any:
    if type(value) is str:
        try:
            value.encode()
        except UnicodeEncodeError:
            return cbor2.CBORTag(_WTF8, value.encode("utf-8", "surrogatepass"))
        return value
    if type(value) in (tuple, list):
        return [_with_tags(item) for item in value]
    if type(value) is dict:
        return {_with_tags(key): _with_tags(item) for key, item in value.items()}
    return value


def _untag(*args: Any) -> Any:
    # Releases of cbor2 differ in what else they pass, and where.
    tag = next(arg for arg in args if isinstance(arg, cbor2.CBORTag))
    if tag.tag == _WTF8 and type(tag.value) is bytes:
        return tag.value.decode("utf-8", "surrogatepass")
    raise ValueError(f"tag {tag.tag} has no meaning here")


def _frozen(value: Any) -> Any:
    """``value`` with tuples for lists."""
    if type(value) is list or type(value) is tuple:
        return tuple(map(_frozen, value))
    if type(value) is dict:
        return {key: _frozen(item) for key, item in value.items()}
    return value


def decode_sequence(content: bytes, name: str) -> Iterator[Item]:
    """The items of a CBOR sequence, lists as tuples.

    Raises:
        UsageError: at the first item that is cut off or is no CBOR; ``name`` is the file to blame.
    """
    stream = io.BytesIO(content)
    decoder = cbor2.CBORDecoder(stream, tag_hook=_untag)
    index = 0
    while (byte := stream.tell()) < len(content):
        try:
            value = _frozen(decoder.decode())
        except cbor2.CBORDecodeEOF as error:
            raise UsageError(
                f"trace {name}: item {index}, which begins at byte {byte}, is cut off at byte {len(content)}; "
                "copy the file again, or record the run again"
            ) from error
        # Foreign bytes surface as many classes (bad dates, bad text, absurd sizes): all mean the same here.
        except Exception as error:
            raise UsageError(
                f"trace {name}: item {index} at byte {byte} is not what Trace.write makes ({error}); "
                "pass a trace file, or record the run again"
            ) from error
        yield Item(value, index, byte)
        index += 1


def plain(value: Any) -> Any:
    """``value`` in terms of JSON, for people: bytes as ``{"$bytes": hex}``, non-finite floats as text."""
    if isinstance(value, (bytes, bytearray)):
        return {"$bytes": bytes(value).hex()}
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value
