"""Tab ids: kept over a reload, never shared by a duplicated tab."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lumenize_sim.mesh.tab_id import find_tab_id

fakes = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("client_fakes.py"))))


class Storage(dict[str, str]):
    def get_item(self, key: str) -> str | None:
        return self.get(key)

    def set_item(self, key: str, value: str) -> None:
        self[key] = value


class Channel:
    def __init__(self, browser: Browser, name: str) -> None:
        self.browser = browser
        self.name = name
        self.on_message: Any = None
        self.closed = False

    def post_message(self, data: Any) -> None:
        assert not self.closed
        for other in list(self.browser.channels):
            if other is not self and other.name == self.name:
                self.browser.in_flight.append((other, data))

    def close(self) -> None:
        self.closed = True
        self.browser.channels.remove(self)


class Browser:
    """Channels between tabs; a message arrives in a later turn, and never at its sender."""

    def __init__(self) -> None:
        self.host = fakes.FakeHost()
        self.channels: list[Channel] = []
        self.in_flight: list[tuple[Channel, Any]] = []

    def open(self, name: str) -> Channel:
        self.channels.append(Channel(self, name))
        return self.channels[-1]

    def deliver(self) -> None:
        while self.in_flight:
            channel, data = self.in_flight.pop(0)
            if not channel.closed and channel.on_message is not None:
                channel.on_message(data)

    def tab(self, storage: Storage | None) -> list[str]:
        """What a new tab with this storage finds, once it has."""
        found: list[str] = []
        find_tab_id(self.host, fakes.owner(self.host), storage, self.open, found.append)
        return found


def test_a_new_tab_makes_an_id_and_stores_it() -> None:
    """T-TI 1, 2; CL-46."""
    browser = Browser()
    first, second = Storage(), Storage()
    (a,), (b,) = browser.tab(first), browser.tab(second)
    assert (first, second) == ({"lmz_tab": a}, {"lmz_tab": b})
    assert len(a) == 8
    assert a != b
    assert browser.host.timers() == []


def test_a_reloaded_tab_keeps_its_id_after_fifty_milliseconds_of_silence() -> None:
    """T-TI 3; CL-47, CL-48."""
    browser = Browser()
    storage = Storage()
    (before,) = browser.tab(storage)
    browser.channels.clear()  # the page that listened is gone
    found = browser.tab(storage)
    browser.deliver()
    browser.host.advance(0.049)
    assert found == []
    browser.host.advance(0.001)
    assert found == [before]
    assert [channel.name for channel in browser.channels] == [before], "the probe is closed, the listener open"


def test_duplicated_tabs_get_ids_of_their_own() -> None:
    """T-TI 4, 5."""
    browser = Browser()
    original = Storage()
    (first,) = browser.tab(original)
    copies = [Storage(original), Storage(original)]
    found = [browser.tab(copy) for copy in copies]
    browser.deliver()
    assert sorted(len(f) for f in found) == [1, 1]
    assert len({first, found[0][0], found[1][0]}) == 3
    assert [copy["lmz_tab"] for copy in copies] == [found[0][0], found[1][0]]
    assert original["lmz_tab"] == first
    assert browser.host.timers() == []
    browser.host.advance(1)
    assert [len(f) for f in found] == [1, 1], "each answer comes once"


def test_without_storage_or_channels_the_id_is_random_and_not_kept() -> None:
    """CL-49."""
    browser = Browser()
    assert len(browser.tab(None)[0]) == 8
    found: list[str] = []
    storage = Storage()
    find_tab_id(browser.host, fakes.owner(browser.host), storage, None, found.append)
    assert len(found[0]) == 8
    assert storage == {}
