"""Values that cross a boundary: in-process copy, ``$lmz`` JSON, CBOR.

How types map is one table, in `lumenize_sim.clone.values`; how exceptions do,
in `lumenize_sim.clone.failures`.
"""

from __future__ import annotations

from lumenize_sim.clone.cbor import canonical_cbor, decode_cbor, encode_cbor
from lumenize_sim.clone.containers import JSMap, JSSet
from lumenize_sim.clone.dates import INVALID_DATE, Date, InvalidDate
from lumenize_sim.clone.decode import parse, postprocess
from lumenize_sim.clone.encode import TRANSFORM_SKIP, preprocess, stringify
from lumenize_sim.clone.failures import (
    AggregateError,
    EvalError,
    RangeError,
    RemoteError,
    URIError,
    error_message,
    error_name,
    error_registry,
    error_stack,
    register_error,
)
from lumenize_sim.clone.native import structured_clone
from lumenize_sim.clone.patch import apply_merge_patch, diff
from lumenize_sim.clone.refusal import MAX_DEPTH, DataCloneError
from lumenize_sim.clone.text import dumps, loads
from lumenize_sim.clone.values import (
    HOLE,
    MAX_SAFE_INTEGER,
    NULL,
    UNDEFINED,
    ArrayBuffer,
    BigInt,
    BigInt64Array,
    BigUint64Array,
    Boxed,
    DataView,
    Float32Array,
    Float64Array,
    Int8Array,
    Int16Array,
    Int32Array,
    RegExp,
    TypedArray,
    Uint8Array,
    Uint8ClampedArray,
    Uint16Array,
    Uint32Array,
)
from lumenize_sim.clone.web import URL, Headers, RequestSync, ResponseSync

__all__ = [
    "HOLE",
    "INVALID_DATE",
    "MAX_DEPTH",
    "MAX_SAFE_INTEGER",
    "NULL",
    "TRANSFORM_SKIP",
    "UNDEFINED",
    "URL",
    "AggregateError",
    "ArrayBuffer",
    "BigInt",
    "BigInt64Array",
    "BigUint64Array",
    "Boxed",
    "DataCloneError",
    "DataView",
    "Date",
    "EvalError",
    "Float32Array",
    "Float64Array",
    "Headers",
    "Int8Array",
    "Int16Array",
    "Int32Array",
    "InvalidDate",
    "JSMap",
    "JSSet",
    "RangeError",
    "RegExp",
    "RemoteError",
    "RequestSync",
    "ResponseSync",
    "TypedArray",
    "URIError",
    "Uint8Array",
    "Uint8ClampedArray",
    "Uint16Array",
    "Uint32Array",
    "apply_merge_patch",
    "canonical_cbor",
    "decode_cbor",
    "diff",
    "dumps",
    "encode_cbor",
    "error_message",
    "error_name",
    "error_registry",
    "error_stack",
    "loads",
    "parse",
    "postprocess",
    "preprocess",
    "register_error",
    "stringify",
    "structured_clone",
]
