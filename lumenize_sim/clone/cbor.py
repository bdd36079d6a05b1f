"""CBOR: the compact form for storage, and the canonical form for digests.

Trees of plain values are written as they are.  Anything else is an envelope of
a private tag: the encoded form of `lumenize_sim.clone.encode`, with references
into a table of shared bodies, but with bytes, big integers and non-finite
floats native.
"""

from __future__ import annotations

from typing import Any

import cbor2

from lumenize_sim.clone.decode import Decoder
from lumenize_sim.clone.encode import Encoder
from lumenize_sim.clone.refusal import MAX_DEPTH, Refusal, too_deep
from lumenize_sim.clone.text import dumps, loads

__all__ = ["canonical_cbor", "decode_cbor", "encode_cbor"]

#: Heads of tags with the number "lmz" in ASCII, and the next one, which marks an envelope written as JSON text.
#: Written and read by hand: the decoder makes what is inside an unknown tag immutable.
_ENVELOPE = b"\xda\x00lmz"
_TEXT = b"\xda\x00lm{"
_LIMIT: dict[str, Any] = {"max_depth": 4 * MAX_DEPTH}
try:
    cbor2.loads(b"\x00", **_LIMIT)
except TypeError:  # pragma: no cover - before cbor2 6, which has a lower limit of its own
    _LIMIT = {}
_NATIVE = frozenset({str, int, float, bool, type(None), bytes})
_STRINGS = frozenset({str})


def _is_tree(value: Any, seen: set[int], depth: int) -> bool:
    """Whether a dict or list holds native values only, and nothing twice."""
    if id(value) in seen or depth > MAX_DEPTH:
        return False
    seen.add(id(value))
    items: Any = value
    if type(value) is dict:
        if not _STRINGS.issuperset(map(type, value)):
            return False
        items = value.values()
    for item in items:
        kind = type(item)
        if kind is str or kind in _NATIVE:
            continue
        if (kind is not dict and kind is not list) or not _is_tree(item, seen, depth + 1):
            return False
    return True


def _sorted_tree(value: Any, seen: set[int], depth: int) -> Any:
    """A copy of such a tree with the keys of every dict sorted, or ``None`` where it is not one."""
    if id(value) in seen or depth > MAX_DEPTH:
        return None
    seen.add(id(value))
    out: Any
    if type(value) is dict:
        if not _STRINGS.issuperset(map(type, value)):
            return None
        out = {key: value[key] for key in sorted(value)}
        steps: Any = out.items()
    else:
        out = value.copy()
        steps = enumerate(value)
    for step, item in steps:
        kind = type(item)
        if kind is str or kind in _NATIVE:
            continue
        made = _sorted_tree(item, seen, depth + 1) if kind is dict or kind is list else None
        if made is None:
            return None
        out[step] = made
    return out


def _envelope(value: Any, canonical: bool, stored: bool = False) -> bytes:
    try:
        encoder = Encoder(binary=True, stored=stored, sort=canonical, stack=not canonical)
        body = encoder.encode(value)
        try:
            return _ENVELOPE + cbor2.dumps([body, encoder.aliases])
        except UnicodeEncodeError:
            # A lone surrogate, which CBOR text cannot hold and JSON text can.
            encoder = Encoder(stored=stored, sort=canonical, stack=not canonical)
            body = encoder.encode(value)
            return _TEXT + cbor2.dumps(dumps([body, encoder.aliases]))
    except Refusal as refusal:
        raise refusal.error() from None
    except RecursionError:
        raise too_deep().error() from None


def encode_cbor(value: Any, *, stored: bool = False) -> bytes:
    """``value`` as bytes for storage.  Functions are refused.

    ``stored``: as the platform's own storage has it (ST-6).  URLs and other objects of the platform are refused in
    its words; an instance of a class becomes a dict of its own public fields; an error keeps class, message and cause.

    Raises:
        DataCloneError: something cannot be stored; names its path.  Blame: the application.
    """
    kind = type(value)
    if kind in _NATIVE or ((kind is dict or kind is list) and _is_tree(value, set(), 0)):
        try:
            return cbor2.dumps(value)
        except UnicodeEncodeError:
            pass
    return _envelope(value, False, stored)


def canonical_cbor(value: Any) -> bytes:
    """Bytes that depend on the value alone: not on the insertion order of dicts, not on stacks of errors.

    Raises:
        DataCloneError: as `encode_cbor`.
    """
    # Sorting here is much faster than the encoder's own canonical mode, and just as unambiguous.
    kind = type(value)
    tree = _sorted_tree(value, set(), 0) if kind is dict or kind is list else None
    if tree is not None or kind in _NATIVE:
        try:
            return cbor2.dumps(value if tree is None else tree)
        except UnicodeEncodeError:
            pass
    return _envelope(value, True)


def decode_cbor(data: bytes) -> Any:
    """The value that `encode_cbor` wrote.

    Raises:
        ValueError: ``data`` is not what it writes.
    """
    head = data[:5]
    enveloped = head in (_ENVELOPE, _TEXT)
    try:
        found = cbor2.loads(data[5:] if enveloped else data, **_LIMIT)
    except cbor2.CBORDecodeError as error:
        raise ValueError(f"stored value is not CBOR: {error}") from error
    if not enveloped:
        return found
    exact = head == _ENVELOPE
    body, aliases = found if exact else loads(found)
    return Decoder(aliases, exact=exact).decode(body)
