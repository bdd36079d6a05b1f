"""What a frame between a client and its gateway says, in words."""

from __future__ import annotations

import json
import re
from typing import Any

import attrs

__all__ = ["Frame", "frame"]

_BEATS = {"lmz:ping": "ping", "lmz:pong": "pong"}
_TYPE = re.compile(r'\{"type":"(\w+)"')
_METHOD = re.compile(r'"type":"get","key":"((?:[^"\\]|\\.)*)"')


@attrs.frozen
class Frame:
    """One frame.

    Attributes:
        kind: its type on the wire (``call_response``), or ``beat`` for a heartbeat.
        text: what it says: ``call post("hello")``, ``response []``, ``ping``.
        failed: whether it brings an error.
    """

    kind: str
    text: str
    failed: bool = False


def frame(text: str) -> Frame | None:
    """``text`` as a frame of the mesh, or ``None`` where it is none.

    A long frame was cut when it was recorded; of that the type and the method are read, as they stand in front.
    """
    if text in _BEATS:
        return Frame("beat", _BEATS[text])
    if not text.startswith("{"):
        return None
    try:
        message = json.loads(text)
        kind = message["type"]
    except (ValueError, KeyError, RecursionError):
        return _front(text)
    words = str(kind).replace("_", " ").removesuffix(" response")
    if "chain" in message:
        return Frame(str(kind), f"{words} {_chain(message['chain'])}")
    if not str(kind).endswith("_response"):
        return Frame(str(kind), words)
    answer = "response" if kind == "call_response" else "response to incoming call"
    if message.get("success") is False:
        return Frame(str(kind), f"{answer} {_shown(_inner(message.get('error')))}", failed=True)
    result = _shown(_inner(message.get("result", {"$type": "undefined"})))
    return Frame(str(kind), f"{answer} {'ok' if result == 'undefined' else result}")


def _front(text: str) -> Frame | None:
    kind = _TYPE.match(text)
    if kind is None:
        return None
    method = _METHOD.search(text)
    words = kind[1].replace("_", " ")
    return Frame(kind[1], f"{words} {method[1]}(…)" if method is not None else f"{words} …")


def _inner(encoded: Any) -> Any:
    return encoded["json"] if isinstance(encoded, dict) and "json" in encoded else encoded


def _chain(encoded: Any) -> str:
    """``get`` and ``apply`` operations as an expression."""
    text = ""
    operations = _inner(encoded)
    for operation in operations if isinstance(operations, list) else ():
        if not isinstance(operation, dict):
            continue
        if operation.get("type") == "apply":
            args = operation.get("args")
            text += f"({', '.join(map(_shown, args if isinstance(args, list) else ()))})"
        else:
            text += f"{'.' if text else ''}{operation.get('key', '?')}"
    return text


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    tag = value.get("$type")
    if tag is None:
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) + "}"
    if tag == "error":
        return f"{value.get('name', 'Error')}: {value.get('message', '')}"
    return str(tag)
