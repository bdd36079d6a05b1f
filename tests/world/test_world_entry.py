"""Requests from outside a simulated mesh, people with browsers, and their mail (RT-15, AU-34, CL-22)."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from lumenize_sim import (
    RESULT,
    LumenizeClient,
    LumenizeDO,
    Mesh,
    UsageError,
    WorkerEntrypoint,
    World,
    mesh,
    scenario,
    simulate,
)
from lumenize_sim.auth import (
    AuthEmailSender,
    KeyPair,
    LumenizeAuth,
    Mailbox,
    RateLimiter,
    parse_jwt_unsafe,
)
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.routing import route_do_request


class Note(LumenizeDO):
    """Keeps a text."""

    def on_request(self, request: Request) -> Response:
        if request.url.path.endswith("/broken"):
            raise ValueError("broken on purpose")
        if request.method == "PUT":
            self.ctx.storage.kv.put("text", request.text)
        return Response(200, self.ctx.storage.kv.get("text", ""))

    @mesh
    def add(self, text: str) -> str:
        kept: str = self.ctx.storage.kv.get("text", "") + text
        self.ctx.storage.kv.put("text", kept)
        return kept


class Tab(LumenizeClient):
    """A page."""

    heard: Any = None

    def add(self, text: str) -> None:
        self.lmz.call("NOTE", "n1", self.ctn(Note).add(text), self.ctn().on_added(RESULT))

    def on_added(self, text: Any) -> None:
        self.heard = text


VARS = {
    "LUMENIZE_AUTH_REDIRECT": "/home",
    "LUMENIZE_AUTH_TEST_MODE": "true",
    "LUMENIZE_AUTH_BOOTSTRAP_EMAIL": "root@x.y",
    **KeyPair.from_seed("world").vars(),
}
AUTH: dict[str, type] = {"LUMENIZE_AUTH": LumenizeAuth, "AUTH_EMAIL_SENDER": AuthEmailSender, "EMAIL": Mailbox}
APP = Mesh(bindings={"NOTE": Note, **AUTH}, vars=VARS)
PLAIN = Mesh(bindings={"NOTE": Note})


def passes(drive: Any, app: Mesh = APP, **options: Any) -> Any:
    run = simulate(scenario(app)(drive), **options)
    if run.failure is not None:
        raise run.failure
    return run


# -- requests


def test_a_request_from_outside_goes_through_the_entry() -> None:
    """RT-15, AU-31: the service, objects for those with a token, and 404; whatever the host is called."""

    async def drive(world: World) -> None:
        assert (await world.fetch("/nothing")).status == 404
        refused = await world.fetch("/gateway/note/n1")
        assert (refused.status, refused.json()["error"]) == (401, "invalid_request")
        bearer = {"Authorization": f"Bearer {world.entry.mint(world.driver, 'ann')}"}
        put = await world.fetch("https://any.example/gateway/note/n1", method="PUT", headers=bearer, body="héllo")
        assert (put.status, put.text) == (200, "héllo")
        assert world.object("NOTE", "n1").storage.kv.get("text") == "héllo"
        assert (await world.fetch("/gateway/note", headers=bearer)).status == 400
        broken = await world.fetch("/gateway/note/n1/broken", headers=bearer)
        assert (broken.status, broken.text) == (500, "Internal Server Error")

    passes(drive)
    passes(drive, Mesh(bindings={"NOTE": Note}, vars=KeyPair.from_seed("only keys").vars()))
    passes(drive, PLAIN)


def test_a_world_without_keys_signs_tokens_of_its_own() -> None:
    """Expiry is by the clock of the world; the service's endpoints are not there."""

    async def drive(world: World) -> None:
        token = world.entry.mint(world.driver, "ann", life_s=60)
        bearer = {"Authorization": f"Bearer {token}"}
        assert (await world.fetch("/gateway/note/n1", headers=bearer)).status == 200
        assert (await world.fetch("/auth/logout", method="POST")).status == 404
        await world.advance(61)
        assert (await world.fetch("/gateway/note/n1", headers=bearer)).status == 401

    passes(drive, PLAIN)


def test_a_world_with_keys_signs_with_them() -> None:
    """AU-1, AU-2: and judges by the public keys alone."""

    async def drive(world: World) -> None:
        alice = await world.connect(Tab, sub="alice", claims={"role": "editor"})
        assert alice.claims is not None
        assert (alice.claims["sub"], alice.claims["role"]) == ("alice", "editor")
        token = world.entry.mint(world.driver, "alice")
        parsed = parse_jwt_unsafe(token)
        assert parsed is not None
        assert parsed[0] == {"alg": "EdDSA", "typ": "JWT", "kid": "BLUE"}
        alice.add("x")
        await world.settle()
        assert alice.heard == "x"

    passes(drive)

    async def cannot_sign(world: World) -> None:
        with pytest.raises(UsageError, match="no JWT_PRIVATE_KEY_BLUE to sign with"):
            await world.connect(Tab, sub="alice")

    public_only = {"JWT_PUBLIC_KEY_GREEN": KeyPair.from_seed("world").public_key}
    passes(cannot_sign, Mesh(bindings={"NOTE": Note}, vars=public_only))


# -- an entry of the app's own


class Edge(WorkerEntrypoint):
    """Adds a header, and lets pages of one origin in."""

    async def fetch(self, request: Request) -> httpx.Response:
        if request.url.path == "/who":
            return httpx.Response(200, json={"agent": request.headers.get("User-Agent")})
        response = await route_do_request(
            request,
            self.env,
            prefix="gateway",
            cors={"origin": ["https://app.example"]},
            on_before_connect=self.let_in,
        )
        return response if response is not None else Response(404)

    def let_in(self, request: httpx.Request, context: Any) -> httpx.Request:
        copy = Request.of(request)
        offered: str = request.headers["Sec-WebSocket-Protocol"]
        copy.headers["Authorization"] = f"Bearer {offered.partition('lmz.access-token.')[2]}"
        return copy


def test_an_app_can_have_an_entry_of_its_own() -> None:
    """RT-15: it answers requests and upgrades alike; a foreign origin is refused (T-D6-3)."""

    async def drive(world: World) -> None:
        assert (await world.fetch("/who", headers={"User-Agent": "robot"})).json() == {"agent": "robot"}
        assert (await world.fetch("/gateway/note/n1")).status == 200
        foreign = {"Origin": "https://evil.example", "Upgrade": "websocket"}
        refused = await world.fetch("/gateway/LUMENIZE_CLIENT_GATEWAY/a.b", headers=foreign)
        assert (refused.status, refused.text) == (403, "Forbidden: Origin not allowed")
        alice = await world.connect(Tab, sub="alice")
        alice.add("through the edge")
        await world.settle()
        assert alice.heard == "through the edge"
        world.network.disconnect(alice)
        await world.settle()
        assert alice.connection_state == "connected"

    passes(drive, Mesh(bindings={"NOTE": Note}, main=Edge))


def test_main_is_a_class_that_answers_requests() -> None:
    with pytest.raises(UsageError, match=r"is no class with a fetch\(request\)"):
        Mesh(main=object())  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(UsageError, match=r"is no class with a fetch\(request\)"):
        Mesh(main=int)


class Few(RateLimiter):
    """One in a minute."""

    limit_per_period = 1


def test_upgrades_are_limited_as_requests_are() -> None:
    """AU-33: somebody has to be asked, so a Worker decides."""

    async def drive(world: World) -> None:
        alice = await world.connect(Tab, sub="alice")
        lost: list[Any] = []
        again = await world.connect(Tab, sub="alice", wait=False, on_connection_error=lost.append)
        await world.settle(0.5)
        assert (alice.connection_state, again.connection_state) == ("connected", "reconnecting")
        assert len(lost) == 1
        offered = f"lmz, lmz.access-token.{world.entry.mint(world.driver, 'alice')}"
        upgrade = {"Upgrade": "websocket", "Sec-WebSocket-Protocol": offered}
        refused = await world.fetch("/gateway/LUMENIZE_CLIENT_GATEWAY/alice.tab3", headers=upgrade)
        assert (refused.status, refused.json()["error"]) == (429, "rate_limited")
        bob = await world.connect(Tab, sub="bob")
        assert bob.connection_state == "connected"

    app = Mesh(bindings={"NOTE": Note, "LUMENIZE_AUTH_RATE_LIMITER": Few}, vars=KeyPair.from_seed("world").vars())
    passes(drive, app)


# -- visitors


def test_a_visitor_logs_in_and_is_a_page_in_the_mesh() -> None:
    """AU-39, CL-22, CL-28: cookie and token are the browser's; the page refreshes by itself when the token runs out."""

    async def drive(world: World) -> None:
        ann = world.visitor("ann")
        assert world.visitor("ann") is ann
        with pytest.raises(UsageError, match="ann has not logged in"):
            await world.connect(Tab, visitor=ann)
        token = await ann.login("ann@x.y", adminApproved=True)
        tab = await world.connect(Tab, visitor=ann)
        assert tab.lmz.instance_name == f"{ann.sub}.tab1"
        tab.add("a")
        await world.settle()
        await world.advance(1000)
        tab.add("b")
        await world.settle()
        assert tab.claims is not None
        parsed = parse_jwt_unsafe(token)
        assert parsed is not None
        assert tab.claims["exp"] > parsed[1]["exp"], "the gateway said 4401, and the page has asked for a new token"
        assert world.object("NOTE", "n1").storage.kv.get("text") in ("a", "ab")
        answer = await tab.authed_fetch("https://mesh.simulated/gateway/note/n1")
        assert answer.status == 200

    passes(drive)


def test_cookies_are_kept_as_a_browser_does() -> None:
    """AU-25, TS-5: by name, over https only, until they expire by the world's clock; each visitor has their own."""

    async def drive(world: World) -> None:
        ann, bob = world.visitor("ann"), world.visitor("bob")
        link = (await ann.fetch("/auth/email-magic-link?_test=true", "POST", body='{"email":"a@x.y"}')).json()
        followed = await ann.fetch(link["magic_link"])
        assert (followed.status, followed.headers["location"]) == (302, "/home")
        assert list(ann.cookies) == ["refresh-token"]
        assert (await bob.fetch("/auth/refresh-token", "POST")).status == 401
        insecure = await ann.fetch("http://mesh.simulated/auth/refresh-token", "POST")
        assert insecure.json()["error_description"] == "No refresh token provided"
        assert (await ann.fetch("/auth/refresh-token", "POST")).status == 200
        await world.advance(31 * 24 * 3600)
        late = await ann.fetch("/auth/refresh-token", "POST")
        assert late.json()["error_description"] == "No refresh token provided"
        await ann.fetch("/auth/logout", "POST")
        assert list(ann.cookies) == []

    passes(drive)


def test_mail_arrives_in_letter_boxes() -> None:
    """AU-37: a link that was mailed is followed."""

    async def drive(world: World) -> None:
        ann = world.visitor("ann")
        assert world.mailbox("a@x.y") == []
        await ann.fetch("/auth/email-magic-link", "POST", body='{"email":"a@x.y"}')
        await world.settle()
        (mail,) = world.mailbox("a@x.y")
        found = re.search(r'href="([^"]+)"', mail["html"])
        assert found is not None
        assert (await ann.fetch(found[1])).headers["location"] == "/home"

    passes(drive)


def test_names_are_somebodys() -> None:
    async def drive(world: World) -> None:
        await world.connect(Tab, instance_name="ann.tab1")
        with pytest.raises(UsageError, match="is the name of somebody else"):
            world.visitor("ann.tab1")
        for name in ("ann lee.tab1", "ann/lee.tab1", "ånn.tab1", "ann?.tab1"):
            with pytest.raises(UsageError, match="cannot be the name of a client"):
                await world.connect(Tab, instance_name=name)

    passes(drive, PLAIN)
