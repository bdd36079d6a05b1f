"""`route_do_request`: hooks, CORS, headers, and the object behind (RT-1, RT-8 to RT-15)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio

from lumenize_sim import DurableObject, LumenizeDO, LumenizeWorker, Mesh, World, scenario, simulate
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.ids import id_from_name
from lumenize_sim.routing import HookContext, MissingInstanceNameError, route_agent_request, route_do_request

Headers = dict[str, str]


class Room:
    """A namespace whose objects keep what they are sent."""

    def __init__(self, answer: Response | None = None) -> None:
        self.names: list[str] = []
        self.seen: list[Request] = []
        self.answer = answer or Response(200, "from the object", {"Content-Type": "text/plain", "X-Kept": "1"})

    def id_from_name(self, name: str) -> str:
        return name

    def id_from_string(self, text: str) -> str:
        return text

    def get(self, object_id: str) -> Room:
        self.names.append(f"id {object_id}")
        return _Stub(self)  # type: ignore[return-value]  # all of a stub that routing asks for

    def get_by_name(self, name: str) -> Room:
        self.names.append(name)
        return _Stub(self)  # type: ignore[return-value]  # all of a stub that routing asks for


class _Stub:
    def __init__(self, room: Room) -> None:
        self.room = room

    async def fetch(self, request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        self.room.seen.append(request)
        return self.room.answer


def asked(url: str, method: str = "GET", headers: Headers | None = None, body: str | None = None) -> Request:
    return Request(method, url, headers, body)


def upgrade(url: str, **headers: str) -> Request:
    return Request("GET", url, {"Upgrade": "websocket", "Connection": "Upgrade", **headers})


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def env(room: Room) -> dict[str, Any]:
    return {"MY_DO": room, "A_VARIABLE": "x"}


# -- which object, with which headers


@pytest.mark.trio
async def test_a_request_reaches_the_object_with_its_address(env: dict[str, Any], room: Room) -> None:
    """RT-1, RT-10: everything of the request is kept; what a client claims about the address is overwritten."""
    request = asked(
        "https://h/my-do/a%20b/path?q=1", "PUT", {"X-Lumenize-DO-Binding-Name": "EVIL", "Accept": "x"}, "body"
    )
    response = await route_do_request(request, env)
    assert response is room.answer
    (seen,) = room.seen
    assert room.names == ["a%20b"]
    assert (seen.method, str(seen.url), seen.body) == ("PUT", "https://h/my-do/a%20b/path?q=1", b"body")
    assert seen.headers["accept"] == "x"
    assert seen.headers["x-lumenize-do-instance-name-or-id"] == "a%20b"
    assert seen.headers["x-lumenize-do-binding-name"] == "MY_DO"
    assert request.headers["x-lumenize-do-binding-name"] == "EVIL", "the request itself is not changed"


@pytest.mark.trio
async def test_agent_mode_names_the_object_in_other_headers(env: dict[str, Any], room: Room) -> None:
    """RT-10, RT-12, RT-3: the prefix is `agents` by default, the namespace is the segment as written."""
    assert await route_agent_request(asked("https://h/my-do/a"), env) is None
    assert await route_agent_request(asked("https://h/agents/my-do/a"), env) is room.answer
    assert await route_agent_request(asked("https://h/my-do/b"), env, prefix="") is room.answer
    first, second = room.seen
    assert (first.headers["x-partykit-room"], first.headers["x-partykit-namespace"]) == ("a", "my-do")
    assert "x-lumenize-do-binding-name" not in first.headers
    assert second.headers["x-partykit-room"] == "b"


@pytest.mark.trio
async def test_an_id_reaches_the_object_by_id(env: dict[str, Any], room: Room) -> None:
    """RT-11."""
    await route_do_request(asked(f"https://h/my-do/{'0f' * 32}"), env)
    await route_do_request(asked(f"https://h/my-do/{'0F' * 32}"), env)
    assert room.names == [f"id {'0f' * 32}", "0F" * 32]


@pytest.mark.trio
@pytest.mark.parametrize(
    "path, prefix", [("/", None), ("/nobody/a", None), ("/my-do/a", "api"), ("/api", "api"), ("/A_VARIABLE/a", None)]
)
async def test_what_names_no_object_is_left_to_others(
    path: str, prefix: str | None, env: dict[str, Any], room: Room
) -> None:
    """RT-1, RT-4, RT-5: `None`; and no policy and no hook is asked (RT-8)."""
    assert (
        await route_do_request(
            asked(f"https://h{path}", headers={"Origin": "https://evil"}),
            env,
            prefix=prefix,
            cors={"origin": []},
            on_before_request=lambda *_: Response(418),
        )
        is None
    )
    assert room.seen == []


@pytest.mark.trio
async def test_a_missing_instance_is_found_before_policy_and_hooks(env: dict[str, Any]) -> None:
    """RT-8: parse, binding, missing instance, CORS, hook, forward."""
    with pytest.raises(MissingInstanceNameError):
        await route_do_request(
            asked("https://h/api/my-do", headers={"Origin": "https://evil"}),
            env,
            prefix="/api",
            cors={"origin": []},
            on_before_request=lambda *_: Response(418),
        )


# -- hooks


@pytest.mark.trio
@pytest.mark.parametrize(
    "method, headers, hook",
    [
        ("GET", {"Upgrade": "websocket", "Connection": "Upgrade"}, "connect"),
        ("GET", {"UPGRADE": "WebSocket"}, "connect"),
        ("POST", {"Upgrade": "websocket"}, "connect"),
        ("GET", {"Upgrade": "websocket", "Connection": "keep-alive"}, "connect"),
        ("GET", {"Connection": "Upgrade"}, "request"),
        ("GET", {"Upgrade": "h2c"}, "request"),
        ("GET", {}, "request"),
        ("DELETE", {}, "request"),
    ],
)
async def test_exactly_one_hook_is_asked(
    method: str, headers: Headers, hook: str, env: dict[str, Any], room: Room
) -> None:
    """RT-9: by the Upgrade field alone."""
    heard: list[tuple[str, HookContext]] = []
    await route_do_request(
        asked("https://h/my-do/a", method, headers),
        env,
        on_before_connect=lambda _, context: heard.append(("connect", context)),
        on_before_request=lambda _, context: heard.append(("request", context)),
    )
    assert heard == [(hook, HookContext(room, "a"))]
    assert len(room.seen) == 1


@pytest.mark.trio
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("kind", ["connect", "request"])
async def test_a_hook_answers_replaces_or_goes_on(
    kind: str, asynchronous: bool, env: dict[str, Any], room: Room
) -> None:
    """RT-9: a Response ends it, a Request goes on in its place, nothing goes on; httpx's own types do as well."""
    request = upgrade("https://h/my-do/a") if kind == "connect" else asked("https://h/my-do/a", "POST", body="old")

    async def run(verdict: Any) -> httpx.Response | None:
        async def later(*_: Any) -> Any:
            await trio.lowlevel.checkpoint()
            return verdict

        hook: Any = later if asynchronous else lambda *_: verdict
        return await route_do_request(request, env, **{f"on_before_{kind}": hook})

    refusal = httpx.Response(403, text="no")
    assert await run(refusal) is refusal
    assert room.seen == []
    assert await run(None) is room.answer
    assert await run(httpx.Request("PATCH", "https://h/elsewhere", content=b"new")) is room.answer
    first, second = room.seen
    assert first.method == request.method
    assert (second.method, second.url.path, second.body) == ("PATCH", "/elsewhere", b"new")
    assert second.headers["x-lumenize-do-instance-name-or-id"] == "a", "the address was decided before"


@pytest.mark.trio
async def test_what_a_hook_raises_is_raised(env: dict[str, Any], room: Room) -> None:
    def hook(*_: Any) -> None:
        raise ValueError("hook")

    with pytest.raises(ValueError, match="hook"):
        await route_do_request(asked("https://h/my-do/a"), env, on_before_request=hook)
    assert room.seen == []


# -- CORS

ORIGIN = "https://app.example"
POLICIES: dict[str, Any] = {
    "any": True,
    "list": {"origin": ["https://other.example", ORIGIN]},
    "check": {"origin": lambda origin, request: origin.endswith(".example") and request.method != "DELETE"},
}


@pytest.mark.trio
@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("kind", ["get", "upgrade", "options"])
async def test_an_allowed_origin_gets_its_headers(policy: Any, kind: str, env: dict[str, Any], room: Room) -> None:
    """RT-13: the origin is named, `Vary` is replaced, credentials are never allowed; a preflight goes no further."""
    room.answer.headers["Vary"] = "Accept"
    headers = {"Origin": ORIGIN, **({"Upgrade": "websocket"} if kind == "upgrade" else {})}
    response = await route_do_request(
        asked("https://h/my-do/a", "OPTIONS" if kind == "options" else "GET", headers), env, cors=policy
    )
    assert response is not None
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["vary"] == "Origin"
    assert sorted(name for name in response.headers if name.startswith("access-control-")) == [
        "access-control-allow-origin"
    ]
    if kind == "options":
        assert (response.status_code, response.content, room.seen) == (204, b"", [])
    else:
        assert (response.status_code, response.text, response.headers["x-kept"]) == (200, "from the object", "1")
        assert len(room.seen) == 1


@pytest.mark.trio
@pytest.mark.parametrize(
    "policy, origin",
    [
        ({"origin": ["https://other.example"]}, ORIGIN),
        ({"origin": [ORIGIN]}, ORIGIN.upper()),
        ({"origin": [ORIGIN]}, f"{ORIGIN}:8443"),
        ({"origin": []}, ORIGIN),
        ({"origin": lambda *_: False}, ORIGIN),
        ({"origin": lambda *_: None}, ORIGIN),
        ({"origin": [ORIGIN]}, "null"),
    ],
)
@pytest.mark.parametrize("kind", ["get", "upgrade", "options"])
async def test_a_refused_origin_hears_so_and_goes_no_further(
    policy: Any, origin: str, kind: str, env: dict[str, Any], room: Room
) -> None:
    """RT-13: 403 without headers, hooks not run; a preflight 204 without headers."""
    hooks: list[Any] = []
    response = await route_do_request(
        asked(
            "https://h/my-do/a",
            "OPTIONS" if kind == "options" else "POST",
            {"Origin": origin, **({"Upgrade": "websocket"} if kind == "upgrade" else {})},
        ),
        env,
        cors=policy,
        on_before_connect=lambda *a: hooks.append(a),
        on_before_request=lambda *a: hooks.append(a),
    )
    assert response is not None
    assert (response.status_code, response.text) == (
        (204, "") if kind == "options" else (403, "Forbidden: Origin not allowed")
    )
    assert list(response.headers) == []
    assert (hooks, room.seen) == ([], [])


@pytest.mark.trio
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_no_origin_or_no_policy_adds_nothing(method: str, env: dict[str, Any], room: Room) -> None:
    """RT-14: also an OPTIONS request is forwarded then."""
    same = await route_do_request(asked("https://h/my-do/a", method), env, cors=True)
    off = await route_do_request(asked("https://h/my-do/a", method, {"Origin": ORIGIN}), env, cors=False)
    default = await route_do_request(asked("https://h/my-do/a", method, {"Origin": ORIGIN}), env)
    assert same is off is default is room.answer
    assert [r.method for r in room.seen] == [method] * 3


@pytest.mark.trio
async def test_the_answer_of_a_hook_gets_the_headers_too(env: dict[str, Any]) -> None:
    """RT-13."""
    refused = Response(401, "no", {"WWW-Authenticate": "Bearer"})
    response = await route_do_request(
        asked("https://h/my-do/a", headers={"Origin": ORIGIN}), env, cors=True, on_before_request=lambda *_: refused
    )
    assert response is not None
    assert (response.status_code, response.text) == (401, "no")
    assert (response.headers["www-authenticate"], response.headers["vary"]) == ("Bearer", "Origin")
    assert "vary" not in refused.headers


@pytest.mark.trio
async def test_the_check_sees_origin_and_request(env: dict[str, Any]) -> None:
    """RT-13."""
    heard: list[tuple[str, str]] = []

    def check(origin: str, request: httpx.Request) -> bool:
        heard.append((origin, request.headers["User-Agent"]))
        return True

    await route_do_request(
        asked("https://h/my-do/a", headers={"Origin": ORIGIN, "User-Agent": "robot"}), env, cors={"origin": check}
    )
    assert heard == [(ORIGIN, "robot")]


# -- in a world


class Page(LumenizeDO):
    """Answers HTTP."""

    def on_request(self, request: Request) -> Response:
        return Response(200, f"{request.method} {request.url.path} {self.lmz.binding_name} {self.lmz.instance_name}")


class Plain(DurableObject):
    """Not of the mesh."""

    def fetch(self, request: Request) -> Response:
        return Response(200, request.headers["X-Lumenize-DO-Instance-Name-Or-Id"])


class Clerk(LumenizeWorker):
    """Cannot be named by a path."""


APP = Mesh(bindings={"PAGE_DO": Page, "PLAIN": Plain, "CLERK": Clerk}, vars={"GREETING": "hello"})


def test_requests_of_a_driver_reach_real_objects() -> None:
    """RT-10, LMZ-8: the object learns its names; LMZ-9: an id is no name for a node of the mesh; RT-5."""
    answers: list[tuple[int, str]] = []

    @scenario(APP)
    async def asks(world: World) -> None:
        for path in ("page-do/home/x", f"page-do/{id_from_name('PAGE_DO', 'home').hex}", "plain/p%20q"):
            response = await route_do_request(httpx.Request("GET", f"https://h/{path}"), world.env)
            assert response is not None
            answers.append((response.status_code, response.text))
        assert await route_do_request(httpx.Request("GET", "https://h/clerk/a"), world.env) is None
        assert await route_do_request(httpx.Request("GET", "https://h/GREETING/a"), world.env) is None

    run = simulate(asks)
    assert run.failure is None
    assert answers == [
        (200, "GET /page-do/home/x PAGE_DO home"),
        (400, "LumenizeDO requires instanceName, not a DO id string."),
        (200, "p%20q"),
    ]
