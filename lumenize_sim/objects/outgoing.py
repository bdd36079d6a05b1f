"""Requests of nodes to the outside: what ``ctx.fetch`` does (IG-8, IG-14, 3.1)."""

from __future__ import annotations

from typing import Any

from lumenize_sim.objects.host import Host
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.strand import Owner

__all__ = ["fetch"]


def fetch(host: Host, owner: Owner, request: Request | str, options: dict[str, Any]) -> Pending[Response]:
    """Send ``request`` on behalf of ``owner``; what it holds is a snapshot when this returns.

    Raises:
        TypeError: the URL is not absolute, or neither http: nor https:.
    """
    made = Request.of(request, **options)
    if made.url.scheme not in ("http", "https") or not made.url.host:
        raise TypeError(f"Fetch API cannot load: {made.url}; give an absolute URL such as 'https://api.example/'")
    return host.fetch(owner, str(made.url), method=made.method, headers=made.headers, body=made.body)
