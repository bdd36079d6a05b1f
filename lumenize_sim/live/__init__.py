"""The real host: the same nodes, gateways and clients over trio-websocket, the wall clock and SQLite files."""

from __future__ import annotations

from lumenize_sim.live.clients import connect_client as connect_client
from lumenize_sim.live.server import LiveServer as LiveServer
from lumenize_sim.live.server import serve_app as serve_app

__all__ = ["LiveServer", "connect_client", "serve_app"]
