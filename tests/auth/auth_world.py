"""A simulated app with the service, and people with cookies who use its endpoints."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from lumenize_sim import LumenizeDO, Mesh, World, WorldOptions, scenario, simulate
from lumenize_sim.auth import (
    AuthEmailSender,
    KeyPair,
    LumenizeAuth,
    Mailbox,
    create_auth_routes,
    login_with_magic_link,
    parse_jwt_unsafe,
)
from lumenize_sim.objects.http import Request, Response

BLUE, GREEN = KeyPair.from_seed("blue"), KeyPair.from_seed("green")
SITE = "https://app.example"
VARS: dict[str, Any] = {
    "LUMENIZE_AUTH_REDIRECT": "https://app.example/home",
    "LUMENIZE_AUTH_TEST_MODE": "true",
    "LUMENIZE_AUTH_BOOTSTRAP_EMAIL": "Root@Example.com",
    **BLUE.vars("BLUE"),
}


class Page(LumenizeDO):
    """Says what reached it."""

    def on_request(self, request: Request) -> Response:
        return Response(200, request.headers.get("Authorization", "nobody"))


class Postman(AuthEmailSender):
    """Words the mail of the tests."""

    from_address = "post@app.example"
    app_name = "Test <App>"


BINDINGS: dict[str, type] = {
    "LUMENIZE_AUTH": LumenizeAuth,
    "AUTH_EMAIL_SENDER": Postman,
    "EMAIL": Mailbox,
    "PAGE": Page,
}


def app_of(bindings: dict[str, type] | None = None, without: tuple[str, ...] = (), **variables: Any) -> Mesh:
    """The app with other variables (``None`` takes one away), more bindings, or fewer."""
    made = {name: value for name, value in {**VARS, **variables}.items() if value is not None}
    bound = {name: cls for name, cls in {**BINDINGS, **(bindings or {})}.items() if name not in without}
    return Mesh(bindings=bound, vars=made)


APP = app_of()


class Person:
    """Keeps cookies, as a browser does, and follows no redirect.

    Attributes:
        cookie: the refresh token.
        token: the access token.
        last: the latest answer.
    """

    last: httpx.Response

    def __init__(self, world: World, email: str = "", site: str = SITE) -> None:
        self.world = world
        self.email = email
        self.site = site
        self.cookie: str | None = None
        self.token: str | None = None
        self.sub = ""
        self._handle = create_auth_routes(world.env)

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> httpx.Response:
        fields = dict(headers or {})
        if self.cookie is not None:
            fields["Cookie"] = f"theme=dark; refresh-token={self.cookie}; x=y"
        response = await self._handle(Request(method, url, fields, body))
        assert response is not None, f"{url} is no path of the service"
        self.last = response
        for cookie in response.headers.get_list("Set-Cookie"):
            self.cookie = cookie.partition(";")[0].partition("=")[2] or None
        return response

    async def ask(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> httpx.Response:
        """Ask an endpoint, with a bearer token if there is one."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        return await self.fetch(f"{self.site}/auth{path}", method, headers, text)

    async def login(self, **subject_data: bool) -> Person:
        """Log in by magic link, with flags set on the way."""
        result = await login_with_magic_link(self, self.email, base_url=self.site, subject_data=subject_data or None)
        self.token, self.sub = result.access_token, result.sub
        return self

    @property
    def claims(self) -> dict[str, Any]:
        assert self.token is not None
        parsed = parse_jwt_unsafe(self.token)
        assert parsed is not None
        return parsed[1]


def said(response: httpx.Response) -> tuple[int, str, str]:
    """Status, error and description of a refusal."""
    body = response.json()
    assert list(body) == ["error", "error_description"]
    assert response.headers["content-type"] == "application/json"
    return (response.status_code, body["error"], body["error_description"])


def run_in(
    drive: Callable[[World], Awaitable[Any]], app: Mesh = APP, *, seed: int = 0, options: WorldOptions | None = None
) -> Any:
    """Run ``drive`` in a world of its own; returns the run, and raises where it failed."""

    @scenario(app, options=options)
    async def drives(world: World) -> None:
        await drive(world)

    run = simulate(drives, seed=seed)
    if run.failure is not None:
        raise run.failure
    return run
