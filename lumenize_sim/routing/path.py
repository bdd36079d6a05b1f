"""The grammar of paths: ``[/prefix]/binding/instance[/...]`` (RT-2 to RT-4)."""

from __future__ import annotations

import attrs
import httpx

from lumenize_sim.objects.http import parsed

__all__ = ["PathNames", "parse_pathname", "path_of"]


@attrs.frozen
class PathNames:
    """What a path names, as written in it: nothing is percent-decoded (RT-2)."""

    binding_segment: str
    instance: str | None


def path_of(url: httpx.URL | str) -> str:
    """The path of ``url`` as it was sent: neither query nor percent-decoding."""
    return parsed(url).raw_path.partition(b"?")[0].decode("ascii")


def parse_pathname(pathname: str, prefix: str | None = None, *, compat: str | None = None) -> PathNames | None:
    """The names in ``pathname``; ``None`` where the prefix does not match or nothing follows it.

    Args:
        pathname: not decoded.
        prefix: with or without slashes at its ends; ``None`` and ``""`` are no prefix.
        compat: ``"0.26"`` lets a prefix end in the middle of a segment, as the original does (RT-3); else it ends
            where one does.
    """
    if prefix:
        stem = (prefix if prefix.startswith("/") else f"/{prefix}").removesuffix("/")
        if not pathname.startswith(stem):
            return None
        rest = pathname[len(stem) :]
        if compat is None and rest[:1] not in ("", "/"):
            return None
        pathname = rest
    segments = [segment for segment in pathname.split("/") if segment]
    if not segments:
        return None
    return PathNames(segments[0], segments[1] if len(segments) > 1 else None)
