"""What a driver can do to the network, in pairs that undo each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lumenize_sim.errors import UsageError
from lumenize_sim.world.connection import DOWN, UP
from lumenize_sim.world.raw_socket import RawSocket

if TYPE_CHECKING:
    from lumenize_sim.world.connection import Connection
    from lumenize_sim.world.world import World

__all__ = ["NetworkVerbs"]


class NetworkVerbs:
    """Verbs on the web sockets of one client.

    It is given as the client, its instance name, the name of a browser, or one `RawSocket`.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._held: list[Connection] = []

    def partition(self, client: Any) -> None:
        """Nothing passes between ``client`` and the mesh until `heal`."""
        for connection in self._open(client):
            for way in connection.ways.values():
                self._world.kernel.hold(way.link)
            self._held.append(connection)
        self._world.chronicle.count_fault("partition")

    def heal(self, client: Any) -> None:
        """What was held arrives now."""
        for connection in [c for c in self._held if _meant(client, c)]:
            self._release(connection)
            self._world.chronicle.count_fault("heal")

    #: Holding is what a partition of one client is; both words are in use.
    hold = partition
    release = heal

    def heal_all(self) -> None:
        """Everything that is held arrives now, and everybody reads."""
        for connection in list(self._held):
            self._release(connection)
        wires = self._world.sockets.wires
        for connection in self._world.sockets.connections:
            wires.resume(connection, DOWN)

    def _release(self, connection: Connection) -> None:
        self._held.remove(connection)
        for way in connection.ways.values():
            self._world.kernel.release(way.link)

    def latency(self, client: Any, seconds: float) -> None:
        """Frames of ``client`` take this long from now on, both ways; 0 undoes it."""
        if not seconds >= 0:
            raise UsageError(f"latency is {seconds!r} s; must be 0 or more")
        for connection in self._open(client):
            for end in connection.ways.values():
                end.latency_us = round(seconds * 1_000_000)

    def clog(self, client: Any, seconds: float) -> None:
        """The same as `latency`: frames of ``client`` take long until `unclog`."""
        self.latency(client, seconds)

    def unclog(self, client: Any) -> None:
        """Frames of ``client`` take no time of their own any more."""
        self.latency(client, 0)

    def stall(self, client: Any) -> None:
        """``client`` does not read: what objects send to it stays with them, and is lost with them (WS-31)."""
        for connection in self._open(client):
            self._world.sockets.wires.stall(connection, DOWN)

    def resume(self, client: Any) -> None:
        """``client`` reads again; what is still there arrives."""
        for connection in self._open(client):
            self._world.sockets.wires.resume(connection, DOWN)

    def disconnect(self, client: Any) -> None:
        """Cut the sockets of ``client``; it will reconnect by itself after its back-off."""
        for connection in self._open(client):
            for end in connection.ways.values():
                end.silent = True
            self._world.sockets.wires.cut(connection)
        self._world.chronicle.count_fault("disconnect")

    def reconnect(self, client: Any) -> None:
        """Do not wait for the back-off."""
        if isinstance(client, RawSocket):
            raise UsageError("a raw socket does not reconnect; open another one")
        if isinstance(client, str):
            client = next((c for c in self._world.clients if c.lmz.instance_name == client), client)
        if isinstance(client, str):
            raise UsageError(f"no client {client!r} in this world")
        client.connect()

    def _open(self, client: Any) -> list[Connection]:
        name = _name(client)
        found = [connection for connection in self._world.sockets.of(name) if _meant(client, connection)]
        if not found:
            raise UsageError(f"client {name!r} has no open web socket")
        return found


def _meant(client: Any, connection: Connection) -> bool:
    if isinstance(client, RawSocket):
        return client.connection is connection
    return connection.ends[UP].name == _name(client)


def _name(client: Any) -> str:
    """Of the actor: that of a page where the client is in a tab, else its instance name."""
    if isinstance(client, str):
        return client
    name: str = client.name if isinstance(client, RawSocket) else client._owner.name
    return name
