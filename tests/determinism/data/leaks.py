"""Apps that read what is not virtual, each in one way.  `LEAKS` says what the check must answer."""

from __future__ import annotations

import functools
import gc
import glob
import itertools
import locale
import os
import random
import secrets
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from os import urandom
from pathlib import Path
from typing import Any, ClassVar

import attrs

from lumenize_sim import DurableObject, Mesh, World, scenario

HERE = Path(__file__).parent
LATE = random.Random()  # unseeded, and long before any run
WORDS = ("amber", "birch", "cedar", "dahlia", "elder", "fern", "ginkgo", "hazel", "iris", "juniper")
served = itertools.count()


@attrs.frozen
class Leak:
    """One leak.

    Attributes:
        piece: of the line that must be named.
        reason: what must be said about it; empty where it is refused or virtual.
        virtual: the simulator makes it harmless, so nothing may be found.
        refused: a text of the refusal, where it is refused by name.
    """

    piece: str = ""
    reason: str = ""
    virtual: bool = False
    refused: str = ""


LEAKS: dict[str, Leak] = {}


def leak(name: str, tell: Callable[[Any], Any], **expected: Any) -> Any:
    """A scenario whose object tells something that it should not know."""
    LEAKS[name] = Leak(**expected)

    class Teller(DurableObject):
        """Tells."""

        async def tell(self) -> Any:
            return tell(self)

    @scenario(Mesh(bindings={"TELLER": Teller}), name=name)
    async def told(world: World) -> None:
        stub: Any = world.env.TELLER.get_by_name("t")
        await stub.tell()

    return told


class Thing:
    """Compares by identity, as most things do."""

    def __init__(self, name: str) -> None:
        self.name = name


def hashed(_: Any) -> int:
    return hash("amber")


def in_set_order(_: Any) -> list[str]:
    return list(set(WORDS))


def by_identity(_: Any) -> list[str]:
    return [thing.name for thing in {Thing(word) for word in WORDS}]


def by_address(_: Any) -> list[str]:
    things = [(Thing(word), bytearray(len(word) * 97)) for word in WORDS]
    return [str(id(thing)) for thing, _ in things]


def weak_order(_: Any) -> list[str]:
    things = [Thing(word) for word in WORDS]
    return [thing.name for thing in weakref.WeakSet(things)]


def summed(_: Any) -> str:
    """Addition of floats depends on the order, and the order on hashes of texts."""
    prices = dict(zip(WORDS, (1e16, 1.0, -1e16, 3.3, 1e15, -1e15, 7.7, 1e14, -1e14, 0.1), strict=True))
    total = 0.0
    for word in set(WORDS):
        total += prices[word]
    return repr(total)


def in_a_thread(_: Any) -> str:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    return "started"


@functools.cache
def expensive(seed: str) -> list[str]:
    return []


def cached(_: Any) -> int:
    expensive("once").append("asked")
    return len(expensive("once"))


def numbered(_: Any) -> int:
    return next(served)


class Pool:
    """State of a class."""

    taken: ClassVar[list[str]] = []


def pooled(_: Any) -> int:
    Pool.taken.append("one")
    return len(Pool.taken)


def collected(_: Any) -> tuple[int, ...]:
    return tuple(gc.get_count())


def printed(self: Any) -> str:
    return str(Thing("amber"))


def listed(_: Any) -> str:
    return os.listdir(HERE)[0]


def globbed(_: Any) -> str:
    return Path(glob.glob(str(HERE / "*.py"))[0]).name


def rated(_: Any) -> str:
    return os.environ.get("TELLER_RATE", "1")


def stored(self: Any) -> None:
    """Nobody is told; it is only stored."""
    self.ctx.storage.kv.put("token", time.monotonic())


def on_disk(_: Any) -> int:
    """A file is left behind, and found by the next run."""
    file = Path(tempfile.gettempdir()) / f"lumenize-leak-{os.environ.get('LEAK_FILE', '0')}"
    with file.open("a") as stream:
        stream.write("x")
    return file.stat().st_size


ENTROPY = "from outside of the run"
hash_text = leak("hash_text", hashed, piece="async def tell", reason="hash seed")
set_order = leak("set_order", in_set_order, piece="async def tell", reason="hash seed")
float_repr = leak("float_repr", summed, piece="async def tell", reason="hash seed")
identity_set = leak("identity_set", by_identity, piece="async def tell", reason=ENTROPY)
id_value = leak("id_value", by_address, piece="async def tell", reason=ENTROPY)
default_repr = leak("default_repr", printed, piece="async def tell", reason=ENTROPY)
weak_set = leak("weak_set", weak_order, piece="async def tell", reason=ENTROPY)
monotonic = leak("monotonic", lambda _: time.monotonic_ns(), piece="async def tell", reason=ENTROPY)
perf_counter = leak("perf_counter", lambda _: time.perf_counter(), piece="async def tell", reason=ENTROPY)
uuid_of_host = leak("uuid_of_host", lambda _: uuid.uuid1().hex, piece="async def tell", reason="network address")
process_id = leak("process_id", lambda _: os.getpid(), piece="async def tell", reason=ENTROPY)
unseeded = leak("unseeded", lambda _: random.Random().random(), piece="async def tell", reason=ENTROPY)
late_seeding = leak("late_seeding", lambda _: LATE.random(), piece="async def tell", reason=ENTROPY)
captured_urandom = leak("captured_urandom", lambda _: urandom(8).hex(), piece="async def tell", reason=ENTROPY)
temporary_name = leak("temporary_name", lambda _: tempfile.mktemp(), piece="async def tell", reason=ENTROPY)
environment = leak("environment", rated, piece="async def tell", reason="environment variables")
locale_of_process = leak(
    "locale_of_process", lambda _: locale.getpreferredencoding(False), piece="async def tell", reason="locale"
)
time_zone = leak("time_zone", lambda _: time.strftime("%Z"), piece="async def tell", reason="time zone")
directory_order = leak("directory_order", listed, piece="async def tell", reason="order of a directory")
glob_order = leak("glob_order", globbed, piece="async def tell", reason="order of a directory")
module_counter = leak("module_counter", numbered, piece="async def tell", reason="kept something")
module_cache = leak("module_cache", cached, piece="async def tell", reason="kept something")
class_state = leak("class_state", pooled, piece="async def tell", reason="kept something")
file_left_behind = leak("file_left_behind", on_disk, piece="async def tell", reason=ENTROPY)
stored_only = leak("stored_only", stored, piece='kv.put("token"', reason=ENTROPY)
thread = leak("thread", in_a_thread, refused="was started in simulated code")
collector = leak("collector", collected, piece="async def tell", reason="")  # depends on what was allocated
wall_clock = leak("wall_clock", lambda _: time.time(), virtual=True)
random_uuid = leak("random_uuid", lambda _: uuid.uuid4().hex, virtual=True)
global_random = leak("global_random", lambda _: random.random(), virtual=True)
secret = leak("secret", lambda _: secrets.token_hex(8), virtual=True)
