"""The example apps of the guides: each does what it says, and keeps its promise under faults."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from lumenize_sim import Mesh, World, explore, scenario, simulate
from lumenize_sim.explore import load_scenario

DOCS = Path(__file__).parents[2] / "scenarios" / "docs"
APPS = ("alarms", "broadcast_room", "calls", "manual_persistence", "plugin", "security")


def run(name: str) -> None:
    result = simulate(load_scenario(f"{DOCS / name}.py::{name}"))
    if result.failure is not None:
        raise result.failure


def test_alarms_are_as_the_guide_says() -> None:
    """T-D3-1: follow-up by delay, three kinds beside each other, rich arguments, cancelling, growing retries."""
    run("alarms")


def test_calls_are_as_the_guide_says() -> None:
    """T-D5 2 to 8: nesting, new chain, capability, registered error, handlers, two one-way calls for the author."""
    run("calls")


def test_a_continuation_is_kept_by_hand() -> None:
    """T-D5-9."""
    run("manual_persistence")


@pytest.mark.parametrize("name", ["broadcast_room", "plugin", "security"])
def test_the_other_guides_hold(name: str) -> None:
    run(name)


def module(name: str) -> Any:
    """What a scenario file defines."""
    return sys.modules[load_scenario(f"{DOCS / name}.py::{name}").drive.__module__]


def drive(app: Mesh, test: Callable[[World], Awaitable[None]]) -> None:
    @scenario(app)
    async def driven(world: World) -> None:
        await test(world)

    result = simulate(driven)
    if result.failure is not None:
        raise result.failure


def test_two_editors_share_one_document_as_in_getting_started() -> None:
    """T-D4-1, T-D5-1: opened empty, saved for all, guarded, findings for the author only, subscribers stored."""
    editor = load_scenario(DOCS.parent / "collab_editor.py")
    code: Any = sys.modules[editor.drive.__module__]

    async def story(world: World) -> None:
        alice = await world.connect(code.EditorClient, sub="alice")
        bob = await world.connect(code.EditorClient, sub="bob", instance_name="bob.desk")
        bob.start()
        alice.open("d")
        await world.settle()
        assert alice.shown["d"] == (0, "")
        alice.save("d", "teh fox")
        bob.save("d", "not opened yet")
        await world.settle()
        assert alice.shown["d"] == (1, "teh fox")
        assert [finding["word"] for finding in alice.findings] == ["teh"]
        bob.open("d")
        await world.settle()
        assert bob.shown["d"] == (1, "teh fox")
        assert bob.findings == []
        bob.save("d", "the fox")
        await world.settle()
        assert alice.shown["d"] == bob.shown["d"] == (2, "the fox")
        stored = world.object("DOCUMENT_DO", "d").storage.kv
        assert stored.get("subscribers") == ["alice.tab1", "bob.desk"]
        assert stored.get("content") == "the fox"

    drive(editor.app, story)


def test_a_forced_close_asks_for_a_login_once() -> None:
    """T-D6-1: 4403 with its reason, and no reconnect."""
    code = module("security")

    async def story(world: World) -> None:
        reader = await world.connect(code.Reader, sub="olga")
        await world.env.LUMENIZE_CLIENT_GATEWAY.get_by_name("olga.tab1").close_all(4403, "revoked")
        await world.advance(60)
        assert reader.logins == [("Authentication failed: revoked", 4403, "revoked")]
        assert reader.connection_state == "disconnected"

    drive(code.app, story)


def test_an_expired_session_whose_refresh_fails_asks_for_a_login() -> None:
    """T-D6-2: exactly one refresh beside the token that it began with."""
    code = module("security")
    asked: list[int] = []

    async def story(world: World) -> None:
        asked.clear()

        def refresh() -> dict[str, str]:
            asked.append(1)
            raise RuntimeError("the session is over")

        reader = await world.connect(code.Reader, sub="olga", refresh=refresh)
        await world.env.LUMENIZE_CLIENT_GATEWAY.get_by_name("olga.tab1").close_all(4401, "Token expired")
        await world.advance(60)
        assert reader.logins == [("Token refresh failed", 401, "Refresh token expired or invalid")]
        assert reader.connection_state == "disconnected"
        assert len(asked) == 1

    drive(code.app, story)


@pytest.mark.parametrize("name", APPS)
def test_each_keeps_its_promise_under_faults(name: str, tmp_path: Path) -> None:
    chosen = load_scenario(f"{DOCS / name}.py::{name}_under_faults")
    report = explore(chosen, schedules=60, save=tmp_path, verify=False)
    assert report.failures == [], report.failures[0].message
    assert sum(report.faults.values()) > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", APPS)
def test_each_keeps_its_promise_in_thousands_of_schedules(name: str, tmp_path: Path) -> None:
    chosen = load_scenario(f"{DOCS / name}.py::{name}_under_faults")
    assert explore(chosen, schedules=3000, save=tmp_path, verify=False).failures == []
