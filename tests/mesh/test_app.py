"""The description of an app, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from lumenize_sim.errors import UsageError
from lumenize_sim.mesh import LumenizeClient, LumenizeClientGateway, LumenizeDO, LumenizeWorker, Mesh


class Counter(LumenizeDO):
    pass


class Rates(LumenizeWorker):
    pass


class Tab(LumenizeClient):
    pass


def test_the_gateway_is_there_by_default() -> None:
    app = Mesh(bindings={"COUNTER": Counter, "RATES": Rates}, vars={"LUMENIZE_MESH_GRACE_PERIOD_MS": "10"})
    assert dict(app.bindings) == {
        "COUNTER": Counter,
        "RATES": Rates,
        "LUMENIZE_CLIENT_GATEWAY": LumenizeClientGateway,
    }
    assert dict(app.vars) == {"LUMENIZE_MESH_GRACE_PERIOD_MS": "10"}
    assert app.is_worker("RATES")
    assert not app.is_worker("COUNTER")
    assert list(Mesh().bindings) == ["LUMENIZE_CLIENT_GATEWAY"]


def test_the_gateway_can_be_ones_own() -> None:
    class Own(LumenizeClientGateway):
        pass

    assert Mesh(bindings={"LUMENIZE_CLIENT_GATEWAY": Own}).bindings["LUMENIZE_CLIENT_GATEWAY"] is Own


def test_a_description_does_not_change() -> None:
    given: dict[str, type] = {"COUNTER": Counter}
    app = Mesh(bindings=given)
    given["OTHER"] = Counter
    assert "OTHER" not in app.bindings
    with pytest.raises(TypeError):
        app.bindings["OTHER"] = Counter  # type: ignore[index]  # the mistake under test
    with pytest.raises(AttributeError):
        app.compat = "0.26"  # type: ignore[misc]  # the mistake under test


@pytest.mark.parametrize(
    "options, text",
    [
        ({"bindings": [Counter]}, "is no mapping"),
        ({"bindings": {"": Counter}}, "binding name '' cannot be a name in env"),
        ({"bindings": {"A-B": Counter}}, "binding name 'A-B'"),
        ({"bindings": {"_A": Counter}}, "binding name '_A'"),
        ({"bindings": {7: Counter}}, "binding name 7"),
        ({"bindings": {"A": "Counter"}}, "is no class"),
        ({"bindings": {"A": Tab}}, "which is a client"),
        ({"vars": ["x"]}, "is no mapping"),
        ({"vars": {"a b": 1}}, "variable name 'a b'"),
        ({"bindings": {"A": Counter}, "vars": {"A": 1}}, "is a binding and a variable"),
        ({"compat": "0.25"}, "compat='0.25' is not known: choose one of '0.26'"),
    ],
)
def test_what_cannot_be_is_refused_with_a_next_step(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Mesh(**options)


def test_the_known_release_is_accepted() -> None:
    assert Mesh(compat="0.26").compat == "0.26"
