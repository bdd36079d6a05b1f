"""Values that JavaScript has and Python has not, and the one table of how types map.

The same table holds for every boundary: `structured_clone` in process, `$lmz`
JSON on a web socket, CBOR in storage.  Whichever way a value takes, the
receiver sees the same.

Canonical types, for which Python -> wire -> Python is the identity under ``==``:

====================================  ==========================  ===========================================
Python                                wire                        remark
====================================  ==========================  ===========================================
``None``, ``bool``, ``str``           null, boolean, string       a lone surrogate survives
``int`` up to 2**53 - 1               number
``int`` beyond, `BigInt` within       ``bigint``                  `BigInt` is an ``int``; 4300 digits at most
``float``                             number, ``number-special``  integral ones arrive as ``int``; -0.0 as 0
``list``                              array
``dict`` with ``str`` keys            object                      integer-like keys move to the front (SC-10)
``bytes``                             Uint8Array                  a value: never an alias, see `Uint8Array`
`Uint8Array`                          Uint8Array, as an alias     ``bytes`` with an identity
``datetime``, UTC, whole ms           ``date``
`Date`                                ``date`` outside 1..9999
``set`` of values                     ``set``                     written in a canonical order, see `JSSet`
`JSMap`, `JSSet`                      ``map``, ``set``            any keys and members, ordered
`UNDEFINED`                           ``undefined``
`RegExp`, `URL`, `Headers`            ``regexp`` and so on
`ArrayBuffer`, `DataView`,            ``arraybuffer``
`Int8Array` .. `Float64Array`
`Boxed`                               ``boolean-object`` etc.
`RequestSync`, `ResponseSync`         ``request-sync`` etc.       the body as plain JSON (SC-4)
registered exceptions                 ``error``                   see `lumenize_sim.clone.failures`
====================================  ==========================  ===========================================

A wire ``set`` arrives as ``set`` where nothing is lost by it (its members are
values, already in canonical order) and otherwise as `JSSet`, which equals a
``set`` with the same members.

Accepted with a loss; ``strict=True`` refuses them:

====================================  ==========================================================================
Python                                arrives as
====================================  ==========================================================================
``tuple``, other ``list`` subclass    ``list``; tuples are values, never aliases
``frozenset``, ``set`` subclass       ``set``
``dict`` subclass                     ``dict``
``dict`` with other primitive keys    `JSMap` (equal to the dict); composite keys are refused
``Enum`` member                       its value
``str``, ``int``, ``float`` subclass  the plain value
``bytearray``, ``memoryview``         ``bytes``
``datetime`` in another zone, or      the same instant in UTC, cut to milliseconds
with microseconds
attrs or dataclass instance           ``dict`` of its fields; private fields are refused
unregistered exception                `RemoteError` with name, message, properties
function, class                       ``{"name": ...}`` on the wire (SC table); refused in process and in storage
`NULL`, `HOLE`                        ``None``
====================================  ==========================================================================

Refused always, with the path and the reason: other objects, coroutines,
generators, modules, locks, Trio objects, ``Decimal``, ``UUID``, ``date``,
``time``, ``timedelta``, naive ``datetime``, ``complex``, ``re.Pattern``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, ClassVar, Final, final

import attrs

__all__ = [
    "HOLE",
    "MAX_SAFE_INTEGER",
    "NULL",
    "TYPED_ARRAYS",
    "UNDEFINED",
    "ArrayBuffer",
    "BigInt",
    "BigInt64Array",
    "BigUint64Array",
    "Boxed",
    "DataView",
    "Float32Array",
    "Float64Array",
    "Hole",
    "Int8Array",
    "Int16Array",
    "Int32Array",
    "Null",
    "RegExp",
    "TypedArray",
    "Uint8Array",
    "Uint8ClampedArray",
    "Uint16Array",
    "Uint32Array",
    "Undefined",
]

#: The largest integer that a JavaScript number holds exactly together with its neighbours.
MAX_SAFE_INTEGER: Final = 2**53 - 1


class _Singleton:
    """A named value of which there is one; copying and pickling keep it so."""

    __slots__ = ()
    _name: ClassVar[str]

    def __repr__(self) -> str:
        return self._name

    def __reduce__(self) -> str:
        return self._name

    def __bool__(self) -> bool:
        return False


@final
class Undefined(_Singleton):
    """The type of `UNDEFINED`."""

    __slots__ = ()
    _name = "UNDEFINED"


@final
class Null(_Singleton):
    """The type of `NULL`."""

    __slots__ = ()
    _name = "NULL"


@final
class Hole(_Singleton):
    """The type of `HOLE`."""

    __slots__ = ()
    _name = "HOLE"


#: JavaScript's ``undefined``.  Falsy.
UNDEFINED: Final = Undefined()
#: Forces ``null`` where ``None`` would be sent as ``undefined`` (a method annotated ``-> None``).
NULL: Final = Null()
#: A hole of a sparse array; becomes null on the wire.
HOLE: Final = Hole()


class BigInt(int):
    """An integer that is a ``bigint`` on the wire although it would fit a number."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"BigInt({int.__repr__(self)})"

    __str__ = int.__repr__


class Uint8Array(bytes):
    """Bytes with an identity.

    Plain ``bytes`` are values: the interpreter shares small and literal ones as it
    likes, so their identity means nothing.  Where identity counts on the wire (the
    same array in two places, a key of a map) bytes arrive as this class.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Uint8Array({bytes.__repr__(self)})"


@attrs.frozen
class RegExp:
    """A regular expression of JavaScript, as text; ``lastIndex`` is not kept."""

    source: str
    flags: str = ""

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "source", _escape_source(self.source))
        if len(self.flags) > 1:
            object.__setattr__(self, "flags", "".join(sorted(self.flags)))


_LINE_ENDS = {"\n": "n", "\r": "r", "\u2028": "u2028", "\u2029": "u2029"}


def _escape_source(source: str) -> str:
    """``/`` outside classes and line ends escaped, ``(?:)`` for nothing, as the ``source`` property has them."""
    if not source:
        return "(?:)"
    if "/" not in source and _LINE_ENDS.keys().isdisjoint(source):
        return source
    out: list[str] = []
    in_class = escaped = False
    for char in source:
        if char in _LINE_ENDS:
            out.append(_LINE_ENDS[char] if escaped else f"\\{_LINE_ENDS[char]}")
            escaped = False
            continue
        if char == "/" and not escaped and not in_class:
            out.append("\\")
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == "[":
            in_class = True
        elif char == "]":
            in_class = False
        out.append(char)
    return "".join(out)


@attrs.frozen
class Boxed:
    """A boxed primitive: ``new Number(1)``, ``new String("a")``, ``new Boolean(true)``, ``Object(1n)``."""

    value: bool | int | float | str


@attrs.frozen
class ArrayBuffer:
    """Raw bytes without a view."""

    data: bytes = attrs.field(converter=bytes)


@attrs.frozen
class DataView:
    """A window of ``byte_length`` bytes (by default the rest) at ``byte_offset`` into ``data``, the whole buffer."""

    data: bytes = attrs.field(converter=bytes)
    byte_offset: int = 0
    byte_length: int = -1

    def __attrs_post_init__(self) -> None:
        if self.byte_length < 0:
            object.__setattr__(self, "byte_length", len(self.data) - self.byte_offset)


class TypedArray:
    """The elements of one typed array, coerced as JavaScript does on assignment.  Immutable here."""

    __slots__ = ("data",)
    data: tuple[Any, ...]

    def __init__(self, elements: Iterable[Any] = ()) -> None:
        object.__setattr__(self, "data", tuple(map(self._coerce, elements)))

    @staticmethod
    def _coerce(element: Any) -> Any:
        raise NotImplementedError

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; build a new one")

    def __eq__(self, other: object) -> bool:
        return self.data == other.data if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        return self.data[index]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.data,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.data)!r})"


def _number(element: Any) -> int | float:
    """Null counts as 0, as it does after a non-finite float has been through JSON."""
    if element is None:
        return 0
    return element if isinstance(element, (int, float)) else float("nan")


def _integer(element: Any) -> int:
    number = _number(element)
    return int(number) if abs(number) < float("inf") else 0  # NaN compares false


def _wrapped(bits: int, signed: bool) -> Any:
    top, half = 1 << bits, 1 << (bits - 1)

    def coerce(element: Any) -> int:
        value = _integer(element) % top
        return value - top if signed and value >= half else value

    return staticmethod(coerce)


class Int8Array(TypedArray):
    __slots__ = ()
    _coerce = _wrapped(8, True)


class Uint8ClampedArray(TypedArray):
    __slots__ = ()

    @staticmethod
    def _coerce(element: Any) -> int:
        number = _number(element)
        return round(min(max(number, 0), 255)) if number == number else 0


class Int16Array(TypedArray):
    __slots__ = ()
    _coerce = _wrapped(16, True)


class Uint16Array(TypedArray):
    __slots__ = ()
    _coerce = _wrapped(16, False)


class Int32Array(TypedArray):
    __slots__ = ()
    _coerce = _wrapped(32, True)


class Uint32Array(TypedArray):
    __slots__ = ()
    _coerce = _wrapped(32, False)


class Float32Array(TypedArray):
    __slots__ = ()

    @staticmethod
    def _coerce(element: Any) -> float:
        number = float(_number(element))
        try:
            rounded: float = struct.unpack("<f", struct.pack("<f", number))[0]
        except OverflowError:
            return float("inf") if number > 0 else float("-inf")
        return rounded


class Float64Array(TypedArray):
    __slots__ = ()

    @staticmethod
    def _coerce(element: Any) -> float:
        return float(_number(element))


class BigInt64Array(TypedArray):
    """Can be cloned and stored, but not written as JSON text, as upstream."""

    __slots__ = ()

    @staticmethod
    def _coerce(element: Any) -> BigInt:
        value = int(element) % (1 << 64)
        return BigInt(value - (1 << 64) if value >= 1 << 63 else value)


class BigUint64Array(TypedArray):
    """Can be cloned and stored, but not written as JSON text, as upstream."""

    __slots__ = ()

    @staticmethod
    def _coerce(element: Any) -> BigInt:
        return BigInt(int(element) % (1 << 64))


TYPED_ARRAYS: Final[dict[str, type[TypedArray]]] = {
    cls.__name__: cls
    for cls in (
        Int8Array,
        Uint8ClampedArray,
        Int16Array,
        Uint16Array,
        Int32Array,
        Uint32Array,
        Float32Array,
        Float64Array,
        BigInt64Array,
        BigUint64Array,
    )
}
