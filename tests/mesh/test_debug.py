"""Debug output (DB-1 … DB-8)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumenize_sim import LumenizeDO, LumenizeWorker, Mesh, World, scenario, simulate
from lumenize_sim.clone import BigInt
from lumenize_sim.mesh.debug import Filter, clear_debug_sink, debug, entry_of, set_debug_sink, text_of


@pytest.fixture
def sink() -> Iterator[list[dict[str, Any]]]:
    heard: list[dict[str, Any]] = []
    set_debug_sink(heard.append)
    yield heard
    clear_debug_sink()


@pytest.mark.parametrize(
    "text, namespace, says",
    [
        (None, "app", ["error"]),
        ("", "app", ["error"]),
        ("app", "app", ["debug", "info", "warn", "error"]),
        ("app", "app.orders", ["debug", "info", "warn", "error"]),
        ("app", "apple", ["error"]),
        ("app.*", "app", ["debug", "info", "warn", "error"]),
        ("app.*", "app.orders.new", ["debug", "info", "warn", "error"]),
        ("app*", "apple", ["debug", "info", "warn", "error"]),
        ("*", "anything.at.all", ["debug", "info", "warn", "error"]),
        ("app:warn", "app", ["warn", "error"]),
        ("app:info other", "app.orders", ["info", "warn", "error"]),
        ("app:loud", "app", ["debug", "info", "warn", "error"]),
        ("*,-app", "app.orders", ["error"]),
        ("-app *", "app", ["error"]),
        ("*:error,app:warn", "app", ["warn", "error"]),
    ],
)
def test_the_filter_decides_by_namespace_and_level(text: str | None, namespace: str, says: list[str]) -> None:
    """DB-2, DB-3, DB-4: exclusion wins, unknown levels mean all, errors are never filtered."""
    levels = ["debug", "info", "warn", "error"]
    assert levels[Filter.of(text).lowest(namespace) :] == says


@given(st.text(alphabet="ab.*-:, warn", max_size=20), st.text(alphabet="ab.", max_size=6))
def test_no_filter_hides_errors(text: str, namespace: str) -> None:
    assert 0 <= Filter.of(text).lowest(namespace) <= 3


def test_an_entry_is_structured_and_survives_cycles_and_big_integers() -> None:
    """DB-6."""
    data: dict[str, Any] = {"n": BigInt(123), "big": 2**60, "list": [1]}
    data["self"], data["again"] = data, data["list"]
    entry = entry_of("info", "app", "hello", datetime(2026, 1, 1, tzinfo=UTC), data)
    assert json.loads(text_of(entry)) == {
        "type": "debug",
        "level": "info",
        "namespace": "app",
        "message": "hello",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "data": {"n": "123n", "big": f"{2**60}n", "list": [1], "self": "[Circular]", "again": "[Circular]"},
    }
    assert text_of(entry).startswith('{\n  "type": "debug",\n  "level": "info"')
    assert "data" not in entry_of("info", "app", "hello", datetime(2026, 1, 1, tzinfo=UTC), None)


def test_code_outside_of_nodes_is_filtered_by_the_process_and_writes_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """DB-1, DB-2, DB-5: the filter is that of the moment when the logger was made."""
    monkeypatch.setenv("DEBUG", "app:info")
    logger = debug("app.x")
    monkeypatch.setenv("DEBUG", "")
    debug.reset()
    later = debug("app.x")
    logger.debug("no")
    logger.info("yes", {"a": 1})
    later.info("no")
    later.error("always")
    written = capsys.readouterr().err
    assert [json.loads(part + "}")["message"] for part in written.split("\n}\n")[:-1]] == ["yes", "always"]
    assert (logger.namespace, logger.enabled, later.enabled) == ("app.x", True, False)


def test_a_sink_hears_everything_and_nothing_else_is_written(
    sink: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """DB-7."""
    logger = debug("quiet")
    assert logger.enabled
    logger.debug("psst", {"a": 1})
    assert [(entry["level"], entry["message"], entry["data"]) for entry in sink] == [("debug", "psst", {"a": 1})]
    assert capsys.readouterr().err == ""
    clear_debug_sink()
    assert not debug("quiet").enabled


class Node(LumenizeDO):
    """Says what it does."""

    def work(self) -> bool:
        logger = self.debug("app.node")
        logger.debug("working", {"n": 1})
        logger.info("worked")
        self.debug("other").info("hidden")
        self.debug("other").error("broken")
        return logger.enabled


class Helper(LumenizeWorker):
    """A Worker may say something too."""

    def work(self) -> None:
        self.debug("app.worker").warn("careful")


def test_what_a_node_says_stands_in_the_trace_at_virtual_time() -> None:
    """DB-1, DB-2: by the app's own variable; a sink hears virtual time."""

    @scenario(Mesh(bindings={"NODE": Node, "HELPER": Helper}, vars={"DEBUG": "app"}))
    async def driven(world: World) -> None:
        assert await world.env.NODE.get_by_name("n").work()
        await world.env.HELPER.work()

    run = simulate(driven)
    said = [
        (event.label, event.get("level"), event.get("message")) for event in run.trace.events if event.kind == "log"
    ]
    assert said == [
        ("app.node", "debug", "working"),
        ("app.node", "info", "worked"),
        ("other", "error", "broken"),
        ("app.worker", "warn", "careful"),
    ]
    heard: list[dict[str, Any]] = []
    set_debug_sink(heard.append)
    try:
        simulate(driven)
    finally:
        clear_debug_sink()
    assert [entry["message"] for entry in heard] == ["working", "worked", "hidden", "broken", "careful"]
    assert heard[0]["timestamp"] == "2026-01-01T00:00:00.000Z"
    assert "lumenize_sim.mesh.debug" in sys.modules
