"""Absolute URLs in their normal form, as the ``href`` of JavaScript has them (SC-4, the table of types).

The parser of the WHATWG standard without base URLs and without drive letters,
with the sets of characters that Node 20 escapes.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

__all__ = ["normal_href"]

_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21, "file": None}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_STRIPPED = "".join(map(chr, range(0x21)))
_IGNORED = str.maketrans("", "", "\t\n\r")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SINGLE_DOT = frozenset({".", "%2e"})
_DOUBLE_DOT = frozenset({"..", ".%2e", "%2e.", "%2e%2e"})
_FORBIDDEN = frozenset("\0\t\n\r #/:<>?@[\\]^|")
_FORBIDDEN_DOMAIN = _FORBIDDEN | {"%", "\x7f", *map(chr, range(0x20))}
_PRINTABLE = frozenset(map(chr, range(0x21, 0x7F)))
# What may stand unescaped, per part.
_OPAQUE = "".join(sorted(_PRINTABLE | {" "}))
_IN_FRAGMENT = "".join(sorted(_PRINTABLE - set('"<>`')))
_IN_QUERY = "".join(sorted(_PRINTABLE - set('"#<>')))
_IN_SPECIAL_QUERY = _IN_QUERY.replace("'", "")
_IN_PATH = "".join(sorted(_PRINTABLE - set('"#<>?`{}')))
_IN_USERINFO = "".join(sorted(_PRINTABLE - set('"#<>?`{}/:;=@[\\]^|')))


def _escaped(text: str, safe: str) -> str:
    return quote_from_bytes(text.encode("utf-8"), safe=safe)


def _refused(href: str, why: str) -> TypeError:
    return TypeError(f"Invalid URL string: {href!r} {why}")


def normal_href(href: str) -> str:
    """The normal form of ``href``.

    Raises:
        TypeError: it is no absolute URL; with the reason.
    """
    text = _SURROGATE.sub("\ufffd", href).strip(_STRIPPED).translate(_IGNORED)
    match = _SCHEME.match(text)
    if match is None:
        raise _refused(href, "has no scheme")
    scheme = match[1].lower()
    special = scheme in _PORTS
    rest, hash_sign, fragment = text[match.end() :].partition("#")
    rest, question_mark, query = rest.partition("?")
    authority: str | None = None
    if special:
        rest = rest.replace("\\", "/")
        if scheme != "file":
            rest = f"//{rest.lstrip('/')}"
    if rest[:2] == "//":
        authority, slash, rest = rest[2:].partition("/")
        rest = slash + rest
    if authority is None and rest[:1] != "/" and not special:
        path = _escaped(rest, _OPAQUE)
    else:
        path = "/".join(_segments(rest)) if rest or special else ""
    if authority is not None:
        authority = _authority(href, authority, scheme, special)
    elif scheme == "file":
        authority = ""
    elif path[:2] == "//":
        path = f"/.{path}"
    out = f"{scheme}:" + (path if authority is None else f"//{authority}{path}")
    if question_mark:
        out += f"?{_escaped(query, _IN_SPECIAL_QUERY if special else _IN_QUERY)}"
    return f"{out}#{_escaped(fragment, _IN_FRAGMENT)}" if hash_sign else out


def _segments(path: str) -> list[str]:
    """The segments of a path that begins with a slash, dots resolved; the first is empty."""
    out: list[str] = []
    parts = path[path[:1] == "/" :].split("/")
    for position, part in enumerate(parts):
        dots = part.lower()
        if dots in _DOUBLE_DOT or dots in _SINGLE_DOT:
            if dots in _DOUBLE_DOT and out:
                out.pop()
            if position == len(parts) - 1:
                out.append("")
        else:
            out.append(_escaped(part, _IN_PATH))
    return ["", *out]


def _authority(href: str, text: str, scheme: str, special: bool) -> str:
    userinfo, at_sign, place = text.rpartition("@")
    bracket = place.find("]") if place[:1] == "[" else 0
    if bracket < 0:
        raise _refused(href, "has an unfinished IPv6 address")
    colon = place.find(":", bracket)
    name, port = (place, "") if colon < 0 else (place[:colon], place[colon + 1 :])
    if (special and scheme != "file" and not name) or (not name and (at_sign or colon >= 0)):
        raise _refused(href, "has no host")
    if scheme == "file" and (at_sign or colon >= 0):
        raise _refused(href, "is a file with more than a host")
    if port and not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise _refused(href, f"has the port {port!r}")
    host = _host(href, name, special)
    if scheme == "file" and host == "localhost":
        host = ""
    if port and int(port) != _PORTS.get(scheme):
        host += f":{int(port)}"
    user, _, password = userinfo.partition(":")
    if password:
        return f"{_escaped(user, _IN_USERINFO)}:{_escaped(password, _IN_USERINFO)}@{host}"
    return f"{_escaped(user, _IN_USERINFO)}@{host}" if user else host


def _host(href: str, name: str, special: bool) -> str:
    if name[:1] == "[":
        try:
            return f"[{_compressed(ipaddress.IPv6Address(name[1:-1]))}]" if name[-1] == "]" else _bad(href, name)
        except ValueError:
            _bad(href, name)
    if not special:
        if not _FORBIDDEN.isdisjoint(name):
            _bad(href, name)
        return _escaped(name, _OPAQUE)
    name = unquote_to_bytes(name).decode("utf-8", "replace")
    try:
        name = name.lower() if name.isascii() else name.encode("idna").decode("ascii").lower()
    except UnicodeError:
        _bad(href, name)
    if not _FORBIDDEN_DOMAIN.isdisjoint(name) or (not name and href[:5].lower() != "file:"):
        _bad(href, name)
    labels = name.split(".")
    if len(labels) > 1 and not labels[-1]:
        labels.pop()
    last = labels[-1]
    if last.isdigit() or re.fullmatch("0x[0-9a-f]*", last):
        return _ipv4(href, labels)
    return name


def _ipv4(href: str, labels: list[str]) -> str:
    numbers: list[int] = []
    for label in labels:
        base = 16 if label[:2] == "0x" else 8 if len(label) > 1 and label[0] == "0" else 10
        digits = label[2:] if base == 16 else label
        try:
            numbers.append(0 if base == 16 and not digits else int(digits, base))
        except ValueError:
            _bad(href, ".".join(labels))
    *heads, tail = numbers
    if len(numbers) > 4 or any(not 0 <= head < 256 for head in heads) or not 0 <= tail < 256 ** (4 - len(heads)):
        _bad(href, ".".join(labels))
    value = tail + sum(head << (8 * (3 - index)) for index, head in enumerate(heads))
    return str(ipaddress.IPv4Address(value))


def _compressed(address: ipaddress.IPv6Address) -> str:
    """Eight groups in hexadecimal, the first longest run of zeros left out; never with an IPv4 tail."""
    groups = [int.from_bytes(address.packed[at : at + 2], "big") for at in range(0, 16, 2)]
    texts = ":".join(f"{group:x}" for group in groups)
    runs = sorted(re.finditer(r"(?:^|:)0(?::0)+(?=:|$)", texts), key=lambda run: (-len(run[0].strip(":")), run.start()))
    if not runs:
        return texts
    before, after = texts[: runs[0].start()], texts[runs[0].end() :]
    return f"{before}::{after.lstrip(':')}"


def _bad(href: str, name: str) -> str:
    raise _refused(href, f"has the host {name!r}")
