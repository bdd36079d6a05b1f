"""What is outside the process cannot be replayed: threads, subprocesses and real sockets are refused by name."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable

import pytest

from lumenize_sim import LumenizeClient, LumenizeDO, Mesh, World, mesh, scenario, simulate


def thread() -> None:
    threading.Thread(target=print, name="mine").start()


def connect() -> None:
    with socket.socket() as plug:
        plug.connect(("127.0.0.1", 9))


WAYS: dict[str, tuple[Callable[[], object], str]] = {
    "thread": (thread, "thread 'mine'"),
    "subprocess": (lambda: subprocess.run(["true"], check=True), "a subprocess"),
    "system": (lambda: os.system("true"), "os.system"),
    "fork": (lambda: os.fork(), "os.fork"),  # looked up when called: a reference taken before the run is the real one
    "connect": (connect, "a real socket"),
}


class Leaver(LumenizeDO):
    """Tries to get out."""

    @mesh
    def leave(self, way: str) -> str:
        WAYS[way][0]()
        return "out"


class Tab(LumenizeClient):
    """A page."""


@pytest.mark.parametrize("way", list(WAYS))
def test_a_way_out_is_refused_by_name(way: str) -> None:
    said: list[str] = []

    @scenario(Mesh(bindings={"L": Leaver}))
    async def leaving(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        try:
            said.append(await tab.lmz.call_raw("L", "l", tab.ctn(Leaver).leave(way)))
        except Exception as error:
            said.append(str(error))

    simulate(leaving)
    assert WAYS[way][1] in said[0]
    assert "cannot be replayed" in said[0]


def test_after_a_run_every_way_is_open_again() -> None:
    assert subprocess.run(["true"], check=True).returncode == 0
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
