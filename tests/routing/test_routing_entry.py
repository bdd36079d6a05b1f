"""The entry answers as the original does, for whoever stands behind it (WIRE-1, WIRE-2, AU-31)."""

from __future__ import annotations

from typing import Any

import pytest

from lumenize_sim import LumenizeDO, Mesh, World, scenario, simulate
from lumenize_sim.mesh import LumenizeWorker
from lumenize_sim.mesh.tokens import mint_hs256
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.routing import LocalDoor


class Memo(LumenizeDO):
    """An object with a binding of two words."""


class Clerk(LumenizeWorker):
    """Has no path of its own."""


APP = Mesh(bindings={"MEMO_PAD": Memo, "CLERK": Clerk})
UNAPPROVED = '{"error":"access_denied","error_description":"Account not yet approved"}'
INVALID = '{"error":"invalid_token","error_description":"Token is invalid or expired"}'


def asked(path: str, *tokens: str, secret: str = "k") -> Request | Response:
    offered = ", ".join(["lmz", *(f"lmz.access-token.{t}" for t in tokens)])
    request = Request("GET", f"ws://mesh{path}", {"Upgrade": "websocket", "Sec-WebSocket-Protocol": offered})
    return LocalDoor(APP, secret, lambda: 1_000_000).admit(request)


def token(secret: str = "k", life_s: int = 60, **claims: Any) -> str:
    door = LocalDoor(APP, secret, lambda: 1_000_000)
    return door.mint("u1", now_ms=1_000_000, token_id="t", life_s=life_s, claims=claims)


@pytest.mark.parametrize(
    "segments, binding, name",
    [
        ("MEMO_PAD/u1.t", "MEMO_PAD", "u1.t"),
        ("memo-pad/u1.t", "MEMO_PAD", "u1.t"),
        ("MEMO_PAD/a%20b", "MEMO_PAD", "a%20b"),
        ("MEMO_PAD/u1.t/and/more?x=1", "MEMO_PAD", "u1.t"),
    ],
)
def test_an_upgrade_reaches_the_object_that_its_path_names(segments: str, binding: str, name: str) -> None:
    """WIRE-2: the gateway reads who it is and who asks from three headers."""
    secret = token()
    request = asked(f"/gateway/{segments}", secret)
    assert isinstance(request, Request)
    assert request.headers["X-Lumenize-DO-Binding-Name"] == binding
    assert request.headers["X-Lumenize-DO-Instance-Name-Or-Id"] == name
    assert request.headers["Authorization"] == f"Bearer {secret}"
    assert request.is_web_socket_upgrade


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/gateway",
        "/gateway/CLERK/a",
        "/gateway/NO/a",
        "/x/MEMO_PAD/a",
        "/gatewayMEMO_PAD/a",
    ],
)
def test_a_path_that_names_no_object_is_not_found(path: str) -> None:
    """Workers have no path either.  Nobody looks at the token first."""
    refused = asked(path)
    assert isinstance(refused, Response)
    assert (refused.status, refused.text) == (404, "Not Found")


def test_the_quirk_of_prefixes_can_be_had_back() -> None:
    """RT-3: `Mesh(compat="0.26")` lets the prefix end in the middle of a segment."""
    request = Request("GET", "ws://mesh/gatewayMEMO_PAD/a", {"Upgrade": "websocket"})
    for compat, status in [("0.26", 401), (None, 404)]:
        app = Mesh(bindings={"MEMO_PAD": Memo}, compat=compat)
        refused = LocalDoor(app, "k", lambda: 0).admit(request)
        assert isinstance(refused, Response)
        assert refused.status == status


def test_a_path_that_names_a_binding_only_is_a_bad_request() -> None:
    """RT-4, RT-8."""
    refused = asked("/gateway/MEMO_PAD")
    assert isinstance(refused, Response)
    assert refused.status == 400
    assert refused.text.startswith("doBindingName found but doInstanceNameOrId missing.")


@pytest.mark.parametrize(
    "tokens, status, text, kind",
    [
        ([], 401, "Unauthorized: Missing access token in WebSocket subprotocol", "text/plain"),
        (["nonsense"], 401, INVALID, "application/json"),
        ([token("another")], 401, INVALID, "application/json"),
        ([token(life_s=-60)], 401, INVALID, "application/json"),
        (
            [token(adminApproved=False)],
            403,
            UNAPPROVED,
            "application/json",
        ),
    ],
    ids=["none", "nonsense", "signature", "expired", "unapproved"],
)
def test_a_token_that_does_not_hold_is_refused_with_the_words_of_the_original(
    tokens: list[str], status: int, text: str, kind: str
) -> None:
    """Status, body and type; the gateway is never reached (T-D6-4)."""
    refused = asked("/gateway/MEMO_PAD/u1.t", *tokens)
    assert isinstance(refused, Response)
    assert (refused.status, refused.text, refused.headers["content-type"]) == (status, text, kind)


def test_an_administrator_needs_nobodys_approval() -> None:
    """AU-31."""
    assert isinstance(asked("/gateway/MEMO_PAD/u1.t", token(adminApproved=False, isAdmin=True)), Request)


def test_a_simulated_world_refuses_as_a_server_does() -> None:
    """The world adds nothing but its secret and its clock."""
    answers: list[tuple[int, str]] = []

    @scenario(APP)
    async def dials(world: World) -> None:
        unapproved = world.entry.mint(world.driver, "u1", {"adminApproved": False})
        expired = world.entry.mint(world.driver, "u1", life_s=-1)
        for path, given in [
            ("NO/a", []),
            ("MEMO_PAD/a", []),
            ("MEMO_PAD/a", [expired]),
            ("MEMO_PAD/a", [mint_hs256({"exp": 4e9}, "k")]),
            ("MEMO_PAD/a", [unapproved]),
        ]:
            refused = world.entry.admit(f"ws://mesh/gateway/{path}", [f"lmz.access-token.{t}" for t in given])
            assert isinstance(refused, Response)
            answers.append((refused.status, refused.text))

    assert simulate(dials).failure is None
    assert [status for status, _ in answers] == [404, 401, 401, 401, 403]
    assert answers[2] == answers[3] == (401, INVALID)
