"""Hooks for routing, limits, proofs against robots, and tokens for tests (AU-31 to AU-36, AU-39, AU-40, T-RF)."""

from __future__ import annotations

import json
import re
from math import inf
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import trio

from lumenize_sim import World
from lumenize_sim.auth import (
    WS_CLOSE_CODES,
    KeyPair,
    RateLimiter,
    TurnstileResult,
    create_auth_routes,
    create_route_do_request_auth_hooks,
    create_test_refresh_function,
    extract_web_socket_token,
    get_token_ttl,
    import_private_key,
    import_public_key,
    login_with_magic_link,
    parse_jwt_unsafe,
    sign_jwt,
    siteverify,
    verify_jwt,
    verify_web_socket_token,
)
from lumenize_sim.errors import AppError, UsageError
from lumenize_sim.mesh.errors import MeshError
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.routing import HookContext, route_do_request
from lumenize_sim.testing import Browser
from tests.auth.auth_world import APP, BLUE, GREEN, SITE, Person, app_of, run_in, said

NOW_MS = 1_767_225_600_000
CONTEXT = HookContext(None, "a")
CLAIMS: dict[str, Any] = {
    "iss": "https://lumenize.local", "aud": "https://lumenize.local", "sub": "u1", "exp": NOW_MS // 1000 + 60,
    "emailVerified": True, "adminApproved": True,
}  # fmt: skip


def token_of(pair: KeyPair = BLUE, **changes: Any) -> str:
    return sign_jwt({**CLAIMS, **changes}, import_private_key(pair.private_key), "BLUE")


def by_http(token: str | None, scheme: str = "Bearer") -> Request:
    return Request("POST", "https://h/page/a", {"Authorization": f"{scheme} {token}"} if token else {}, "body")


def by_socket(token: str | None) -> Request:
    offered = ["lmz", *([f"lmz.access-token.{token}"] if token else [])]
    return Request("GET", "wss://h/page/a", {"Upgrade": "websocket", "Sec-WebSocket-Protocol": ", ".join(offered)})


class Both:
    """The two hooks under one roof."""

    def __init__(self, env: dict[str, Any] | None = None) -> None:
        given = BLUE.vars() if env is None else env
        self.hooks: Any = create_route_do_request_auth_hooks(given, now_ms=lambda: NOW_MS)

    async def request(self, request: httpx.Request) -> Any:
        return await self.hooks["on_before_request"](request, CONTEXT)

    async def connect(self, request: httpx.Request) -> Any:
        return await self.hooks["on_before_connect"](request, CONTEXT)


# -- AU-31, AU-32


@pytest.mark.trio
async def test_a_token_that_holds_is_forwarded_as_a_bearer_token() -> None:
    """AU-31, AU-32: from either place; the request is kept otherwise, and the sender's own is not changed."""
    token, both = token_of(), Both()
    request = by_http(token, "bEaReR")
    passed = await both.request(request)
    assert isinstance(passed, httpx.Request)
    assert (passed.method, passed.content, passed.headers["authorization"]) == ("POST", b"body", f"Bearer {token}")
    assert request.headers["authorization"] == f"bEaReR {token}"
    upgraded = await both.connect(by_socket(token))
    assert upgraded.headers["authorization"] == f"Bearer {token}"
    assert upgraded.headers["upgrade"] == "websocket"


@pytest.mark.trio
async def test_a_missing_token_is_asked_for() -> None:
    """AU-31: JSON with a challenge for HTTP, plain text for a web socket; each looks in its own place only."""
    both = Both()
    missing = "Missing Authorization header with Bearer token"
    for request in (by_http(None), by_http("x", "Basic"), by_http("a b"), by_http(" "), by_socket(token_of())):
        refused = await both.request(request)
        assert said(refused) == (401, "invalid_request", missing)
        assert refused.headers["www-authenticate"] == (
            f'Bearer realm="Lumenize", error="invalid_request", error_description="{missing}"'
        )
    for request in (by_socket(None), by_http(token_of()), by_socket("")):
        refused = await both.connect(request)
        assert (refused.status, refused.text) == (401, "Unauthorized: Missing access token in WebSocket subprotocol")
        assert refused.headers["content-type"] == "text/plain"


REFUSALS: list[tuple[str, str, tuple[int, str, str]]] = [
    ("nonsense", "x.y.z", (401, "invalid_token", "Token is invalid or expired")),
    ("foreign key", token_of(KeyPair.from_seed("foreign")), (401, "invalid_token", "Token is invalid or expired")),
    ("expired", token_of(exp=NOW_MS // 1000 - 1), (401, "invalid_token", "Token is invalid or expired")),
    ("audience", token_of(aud="https://other"), (401, "invalid_token", "Token audience mismatch")),
    ("audience list", token_of(aud=["https://lumenize.local"]), (401, "invalid_token", "Token audience mismatch")),
    ("issuer", token_of(iss="https://other"), (401, "invalid_token", "Token issuer mismatch")),
    ("no subject", token_of(sub=""), (401, "invalid_token", "Token missing subject claim")),
    ("odd subject", token_of(sub={"a": 1}), (401, "invalid_token", "Token missing subject claim")),
    ("not approved", token_of(adminApproved=False), (403, "access_denied", "Account not yet approved")),
    ("not verified", token_of(emailVerified=False), (403, "access_denied", "Account not yet approved")),
    # The first check that fails answers.
    ("four", token_of(aud="x", iss="y", sub="", isAdmin=0), (401, "invalid_token", "Token audience mismatch")),
    ("three", token_of(iss="y", sub="", adminApproved=False), (401, "invalid_token", "Token issuer mismatch")),
    ("two", token_of(sub="", adminApproved=False), (401, "invalid_token", "Token missing subject claim")),
]  # fmt: skip


@pytest.mark.trio
@pytest.mark.parametrize("token, refusal", [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
async def test_tokens_are_checked_in_one_order(token: str, refusal: tuple[int, str, str]) -> None:
    """AU-31, AU-4: signature and expiry, audience, issuer, subject, gate; the same answer on both ways."""
    both = Both()
    for refused in (await both.request(by_http(token)), await both.connect(by_socket(token))):
        assert said(refused) == refusal
        challenge = refused.headers.get("www-authenticate")
        assert challenge == (
            f'Bearer realm="Lumenize", error="{refusal[1]}", error_description="{refusal[2]}"'
            if refusal[0] == 401
            else None
        )


@pytest.mark.trio
async def test_an_administrator_passes_the_gate_alone() -> None:
    """AU-4."""
    token = token_of(isAdmin=True, emailVerified=False, adminApproved=False)
    assert isinstance(await Both().request(by_http(token)), httpx.Request)


@pytest.mark.trio
async def test_hooks_know_both_keys_and_the_configured_names() -> None:
    """AU-2, AU-5, section 14.1."""
    both = Both({**BLUE.vars(), **GREEN.vars("GREEN"), "LUMENIZE_AUTH_ISSUER": "i", "LUMENIZE_AUTH_AUDIENCE": "a"})
    for pair in (BLUE, GREEN):
        assert isinstance(await both.request(by_http(token_of(pair, iss="i", aud="a"))), httpx.Request)
        assert said(await both.request(by_http(token_of(pair))))[2] == "Token audience mismatch"


def test_hooks_need_a_public_key_and_complain_where_nobody_limits() -> None:
    """AU-31; section 14.1: the missing limiter is logged always."""
    with pytest.raises(
        AppError, match=r"^No JWT public keys found in env \(JWT_PUBLIC_KEY_BLUE / JWT_PUBLIC_KEY_GREEN\)$"
    ):
        create_route_do_request_auth_hooks({}, now_ms=lambda: 0)
    heard: list[tuple[str, ...]] = []
    create_route_do_request_auth_hooks(BLUE.vars(), now_ms=lambda: 0, log=lambda *line: heard.append(line))
    ((level, namespace, text),) = heard
    assert (level, namespace) == ("error", "auth.createRouteDORequestAuthHooks")
    assert text.startswith("LUMENIZE_AUTH_RATE_LIMITER binding not found")


@pytest.mark.parametrize(
    "header, token",
    [
        ("lmz, lmz.access-token.a.b.c", "a.b.c"),
        ("lmz.access-token.a.b.c", "a.b.c"),
        ("  lmz.access-token.x  ,lmz", "x"),
        ("lmz.access-token.first, lmz.access-token.second", "first"),
        ("lmz.access-token.", ""),
        ("lmz", None),
        ("", None),
        ("LMZ.ACCESS-TOKEN.x", None),
    ],
)
def test_the_token_of_a_web_socket_is_one_of_its_protocols(header: str, token: str | None) -> None:
    """AU-32."""
    assert extract_web_socket_token(Request("GET", "https://h", {"Sec-WebSocket-Protocol": header})) == token
    assert extract_web_socket_token(Request("GET", "https://h")) is None


# -- AU-33


class Strict(RateLimiter):
    """Two in ten seconds."""

    limit_per_period = 2
    period_s = 10


def test_each_subject_is_limited_by_itself() -> None:
    """AU-33: behind the gate, in both hooks, until the next period."""

    async def drive(world: World) -> None:
        hooks = create_route_do_request_auth_hooks(world.env, now_ms=world.host.now_ms)

        async def asks(sub: str, **claims: Any) -> int:
            request = Request("GET", f"{SITE}/page/x", {"Authorization": f"Bearer {token_of(sub=sub, **claims)}"})
            response = await route_do_request(request, world.env, **hooks)
            assert response is not None
            if response.status_code == 429:
                assert said(response) == (429, "rate_limited", "Too many requests. Please try again later.")
            return response.status_code

        assert [await asks("u1") for _ in range(3)] == [200, 200, 429]
        assert [await asks("u2", adminApproved=False) for _ in range(3)] == [403, 403, 403]
        assert await asks("u2") == 200
        await world.advance(10)
        assert await asks("u1") == 200

    run_in(drive, app_of({"LUMENIZE_AUTH_RATE_LIMITER": Strict}))
    assert (RateLimiter.limit_per_period, RateLimiter.period_s) == (100, 60)


@pytest.mark.trio
async def test_any_limiter_will_do() -> None:
    """AU-33: the platform's binding is asked with the subject as key."""
    asked: list[Any] = []

    class Binding:
        async def limit(self, options: Any) -> dict[str, bool]:
            await trio.lowlevel.checkpoint()
            asked.append(options)
            return {"success": False}

    both = Both({**BLUE.vars(), "LUMENIZE_AUTH_RATE_LIMITER": Binding()})
    assert (await both.connect(by_socket(token_of()))).status == 429
    assert asked == [{"key": "u1"}]


# -- AU-34


def test_routes_answer_under_their_prefix_only() -> None:
    """AU-34: `None` elsewhere; what is sent on keeps its query and body, and asks for the one object."""

    async def drive(world: World) -> None:
        handle = create_auth_routes(world.env)
        for path in ("/", "/page/a", "/authority/x", "/AUTH/x", "/x/auth/y"):
            assert await handle(Request("GET", f"{SITE}{path}")) is None
        for path in ("/auth", "/auth/", "/auth/nothing", "/auth/deep/er"):
            response = await handle(Request("GET", f"{SITE}{path}"))
            assert response is not None
            assert response.status_code == 404

    run_in(drive)


def test_routes_obey_a_policy_for_other_origins() -> None:
    """AU-34, RT-13."""

    async def drive(world: World) -> None:
        handle = create_auth_routes(world.env, cors={"origin": ["https://page.example"]})
        fields = {"Origin": "https://page.example"}
        preflight = await handle(Request("OPTIONS", f"{SITE}/auth/logout", fields))
        answer = await handle(Request("POST", f"{SITE}/auth/logout", fields))
        refused = await handle(Request("POST", f"{SITE}/auth/logout", {"Origin": "https://evil.example"}))
        assert preflight is not None
        assert answer is not None
        assert refused is not None
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, fields["Origin"])
        assert (answer.status_code, answer.headers["vary"]) == (200, "Origin")
        assert "refresh-token=;" in answer.headers["set-cookie"]
        assert refused.status_code == 403

    run_in(drive)


# -- AU-35


def turnstile_app(**variables: Any) -> Any:
    return app_of(LUMENIZE_AUTH_TEST_MODE=None, TURNSTILE_SECRET_KEY="secret", **variables)


def test_a_magic_link_wants_a_proof_where_there_is_a_secret() -> None:
    """AU-35: only that endpoint, and only outside test mode."""
    asked: list[tuple[str, str]] = []

    async def judge(secret: str, token: str) -> TurnstileResult:
        asked.append((secret, token))
        return TurnstileResult(token == "good", None if token == "dumb" else ("invalid-input-response",))

    async def drive(world: World) -> None:
        asked.clear()  # a run may be made twice
        handle = create_auth_routes(world.env, turnstile=judge)

        async def ask(body: str, path: str = "email-magic-link") -> httpx.Response:
            answer = await handle(Request("POST", f"{SITE}/auth/{path}", body=body))
            assert answer is not None
            return answer

        assert said(await ask("{")) == (400, "invalid_request", "Invalid JSON body")
        for body in ('{"email":"a@b.c"}', '{"cf-turnstile-response":""}', '{"cf-turnstile-response":7}', "[]"):
            missing = "Missing cf-turnstile-response in request body"
            assert said(await ask(body)) == (403, "turnstile_required", missing)
        assert asked == []
        bad = await ask('{"email":"a@b.c","cf-turnstile-response":"bad"}')
        assert (bad.status_code, bad.json()) == (
            403,
            {
                "error": "turnstile_failed",
                "error_description": "Turnstile verification failed",
                "error_codes": ["invalid-input-response"],
            },
        )
        assert "error_codes" not in (await ask('{"cf-turnstile-response":"dumb"}')).json()
        good = await ask('{"email":"a@b.c","cf-turnstile-response":"good"}')
        assert (good.status_code, good.json()["expires_in"]) == (200, 1800)
        assert (await ask("", "logout")).status_code == 200
        assert asked[-1] == ("secret", "good")

    run_in(drive, turnstile_app())


def test_a_secret_without_a_verifier_is_a_mistake_outside_test_mode() -> None:
    """AU-35, section 14.1: what is missing is logged; nothing of it in test mode."""

    async def drive(world: World) -> None:
        with pytest.raises(UsageError, match="TURNSTILE_SECRET_KEY is set, and nobody verifies"):
            create_auth_routes(world.env)

    run_in(drive, turnstile_app())
    heard: list[str] = []

    def log(level: str, namespace: str, text: str) -> None:
        assert (level, namespace) == ("error", "auth.createAuthRoutes")
        heard.append(text.partition(" ")[0])

    create_auth_routes({"LUMENIZE_AUTH_TEST_MODE": "true", "TURNSTILE_SECRET_KEY": "s"}, log=log)
    assert heard == []
    create_auth_routes({}, log=log)
    assert heard == ["TURNSTILE_SECRET_KEY", "AUTH_EMAIL_SENDER"]


@pytest.mark.trio
@pytest.mark.parametrize(
    "answer, result",
    [
        (Response(200, '{"success":true}'), TurnstileResult(True)),
        (Response(200, '{"success":false,"error-codes":["late"]}'), TurnstileResult(False, ("late",))),
        (Response(500, "oops"), TurnstileResult(False, ("internal-error",))),
        (Response(200, "[]"), TurnstileResult(False, ("internal-error",))),
        (Response(204), TurnstileResult(False, ("internal-error",))),
        (ConnectionError("down"), TurnstileResult(False, ("internal-error",))),
    ],
)  # fmt: skip
async def test_the_verifier_is_asked_over_http(answer: Any, result: TurnstileResult) -> None:
    """AU-35: no answer is no proof."""
    sent: list[Any] = []

    async def fetch(url: str, *, method: str, headers: Any, body: bytes) -> Response:
        await trio.lowlevel.checkpoint()
        sent.append((url, method, parse_qs(body.decode())))
        if isinstance(answer, Exception):
            raise answer
        response: Response = answer
        return response

    assert await siteverify(fetch)("k&y", "t=1") == result
    assert sent == [
        (
            "https://challenges.cloudflare.com/turnstile/v0/siteverify",
            "POST",
            {"secret": ["k&y"], "response": ["t=1"]},
        )
    ]


# -- AU-36


def test_objects_can_judge_the_token_of_each_message() -> None:
    """AU-36: errors in this order; expiry is told apart, also where the signature would not hold."""
    keys = [import_public_key(BLUE.public_key)]
    late = NOW_MS // 1000 - 1
    for token, given, error, expired in [
        ("", keys, "No token provided", False),
        (None, keys, "No token provided", False),
        (token_of(), [], "No public keys configured", False),
        ("a.b", keys, "Malformed token", False),
        (token_of(exp=late), keys, "Token expired", True),
        (token_of(GREEN, exp=late), keys, "Token expired", True),
        (token_of(GREEN), keys, "Invalid signature", False),
        (token_of(sub=""), keys, "Token missing subject claim", False),
    ]:
        result = verify_web_socket_token(token, given, now_ms=NOW_MS)
        assert (result.valid, result.error, result.expired) == (False, error, expired)
        assert (result.sub, result.payload) == (None, None)
    good = verify_web_socket_token(token_of(), keys, now_ms=NOW_MS)
    assert (good.valid, good.sub, good.payload, good.error) == (True, "u1", CLAIMS, None)


def test_time_left_and_close_codes() -> None:
    """AU-36."""
    assert get_token_ttl({"exp": NOW_MS // 1000 + 60}, now_ms=NOW_MS + 999) == 60
    assert get_token_ttl({"exp": NOW_MS // 1000 - 5}, now_ms=NOW_MS) == 0
    assert get_token_ttl({}, now_ms=NOW_MS) == get_token_ttl({"exp": 0}, now_ms=NOW_MS) == inf
    assert WS_CLOSE_CODES == {"TOKEN_EXPIRED": 4401, "UNAUTHORIZED": 4403, "NO_TOKEN": 4400}


# -- AU-39


def test_a_login_in_tests_is_a_real_one() -> None:
    """AU-39: flags on the way, and a delegated token where an actor asks."""

    async def drive(world: World) -> None:
        root = await Person(world, "root@example.com").login()
        ann = Person(world, "ann@b.c")
        result = await login_with_magic_link(
            ann, "ann@b.c", base_url=SITE, subject_data={"adminApproved": True}, actor_access_token=root.token
        )
        parsed = parse_jwt_unsafe(result.access_token)
        assert parsed is not None
        assert (parsed[1]["sub"], parsed[1]["act"], parsed[1]["adminApproved"]) == (result.sub, {"sub": root.sub}, True)
        with pytest.raises(UsageError, match=r"login of bad: the magic link was refused: 400 .*Valid email required"):
            await login_with_magic_link(ann, "bad", base_url=SITE)

    run_in(drive)

    async def without_test_mode(world: World) -> None:
        with pytest.raises(UsageError, match="set LUMENIZE_AUTH_TEST_MODE"):
            await login_with_magic_link(Person(world), "a@b.c", base_url=SITE)

    run_in(without_test_mode, app_of(LUMENIZE_AUTH_TEST_MODE=None))


def test_a_browser_of_the_tests_logs_in_as_well() -> None:
    """AU-39, TS-4: it follows the redirect, and keeps the cookie that came with it."""

    async def drive(world: World) -> None:
        browser = Browser(world, "ann")
        result = await login_with_magic_link(browser, "ann@b.c", base_url="https://mesh.simulated")
        assert list(browser.get_all_cookies_as_dict()) == ["refresh-token"]
        again = await browser.fetch("/auth/refresh-token", method="POST")
        assert again.json()["sub"] == result.sub

    run_in(drive, app_of(LUMENIZE_AUTH_REDIRECT="/home"))


# -- AU-40, T-RF


def refreshed(**options: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Answer, header and claims of one call; the token has been verified."""
    found: list[Any] = []

    async def drive(world: World) -> None:
        options.setdefault("env", world.env)
        refresh = create_test_refresh_function(world.host, world.driver.owner, **options)
        answer = await refresh()
        key = import_public_key(BLUE.public_key)
        claims = verify_jwt(answer["access_token"], key, now_ms=world.host.now_ms())
        parsed = parse_jwt_unsafe(answer["access_token"])
        assert parsed is not None
        again = await refresh()
        assert again["sub"] == answer["sub"]
        assert again["access_token"] != answer["access_token"]
        found.extend([answer, parsed[0], claims])

    run_in(drive)
    return found[0], found[1], found[2]


def test_a_refresh_function_gives_a_token_and_a_subject_of_its_own() -> None:
    """T-RF-1, T-RF-2, T-RF-3, T-RF-4, T-RF-6, T-RF-14, AU-40: defaults, and the same subject at each call."""
    answer, header, claims = refreshed()
    assert list(answer) == ["access_token", "sub"]
    assert header == {"alg": "EdDSA", "typ": "JWT", "kid": "BLUE"}
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", answer["sub"])
    assert claims["sub"] == answer["sub"]
    assert (claims["iss"], claims["aud"]) == ("https://lumenize.local", "https://lumenize.local")
    assert (claims["emailVerified"], claims["adminApproved"], "isAdmin" in claims) == (True, True, False)
    assert claims["exp"] == claims["iat"] + 3600


def test_two_refresh_functions_have_two_subjects() -> None:
    """T-RF-4."""

    async def drive(world: World) -> None:
        made = [create_test_refresh_function(world.host, world.driver.owner, env=world.env) for _ in range(2)]
        assert (await made[0]())["sub"] != (await made[1]())["sub"]

    run_in(drive)


@pytest.mark.parametrize(
    "options, expected",
    [
        pytest.param({"sub": "me"}, {"sub": "me"}, id="T-RF-5"),
        pytest.param({"admin_approved": False}, {"adminApproved": False}, id="T-RF-7"),
        pytest.param({"email_verified": False}, {"emailVerified": False}, id="T-RF-8"),
        pytest.param({"is_admin": True}, {"isAdmin": True}, id="T-RF-9"),
        pytest.param({"iss": "i", "aud": "a"}, {"iss": "i", "aud": "a"}, id="T-RF-10"),
        pytest.param({"private_key": BLUE.private_key, "env": None}, {}, id="T-RF-13"),
    ],
)
def test_a_refresh_function_has_options(options: dict[str, Any], expected: dict[str, Any]) -> None:
    """T-RF-5, T-RF-7 to T-RF-10, T-RF-13."""
    claims = refreshed(**options)[2]
    assert claims.items() >= expected.items()


def test_a_refresh_function_knows_how_long() -> None:
    """T-RF-11."""
    claims = refreshed(ttl_s=7)[2]
    assert claims["exp"] == claims["iat"] + 7


def test_a_refresh_function_may_have_ended_or_have_no_key() -> None:
    """T-RF-12, AU-40."""

    async def drive(world: World) -> None:
        ended = create_test_refresh_function(world.host, world.driver.owner, env=world.env, expired=True)
        with pytest.raises(MeshError, match=r"^Refresh token expired$"):
            await ended()
        for env in (None, {}):
            keyless = create_test_refresh_function(world.host, world.driver.owner, env=env)
            with pytest.raises(UsageError, match="no privateKey provided and JWT_PRIVATE_KEY_BLUE not found"):
                await keyless()

    run_in(drive)


def test_the_house_of_the_hooks_is_the_platforms() -> None:
    """AU-31, AU-34, RT-15: service and hooks together, against real objects."""

    async def drive(world: World) -> None:
        ann = await Person(world, "ann@b.c").login()
        hooks = create_route_do_request_auth_hooks(world.env, now_ms=world.host.now_ms)

        async def asks(token: str | None) -> httpx.Response:
            request = Request("GET", f"{SITE}/gate/page/x", {"Authorization": f"Bearer {token}"})
            response = await route_do_request(request, world.env, prefix="gate", **hooks)
            assert response is not None
            return response

        assert said(await asks(ann.token)) == (403, "access_denied", "Account not yet approved")
        await ann.login(adminApproved=True)
        answer = await asks(ann.token)
        assert (answer.status_code, answer.text) == (200, f"Bearer {ann.token}")
        await world.advance(901)
        assert said(await asks(ann.token))[2] == "Token is invalid or expired"
        assert json.loads((await ann.ask("POST", "/refresh-token")).text)["sub"] == ann.sub

    run_in(drive, APP)
