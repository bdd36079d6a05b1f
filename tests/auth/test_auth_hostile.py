"""Whatever is sent to the service from outside: no answer says that it broke (section 14.3)."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from lumenize_sim import World
from lumenize_sim.auth import KeyPair, import_private_key, sign_jwt
from lumenize_sim.objects.http import Request
from tests.auth.auth_world import SITE, Person, run_in

PATHS = [
    "email-magic-link", "magic-link", "accept-invite", "refresh-token", "logout", "delegated-token", "approve/{}",
    "subject/{}", "subject/{}/actors", "subject/{}/actors/{}", "subjects", "invite", "test/set-subject-data", "{}", "",
    "../{}", "//{}", "%2e%2e/{}", "email-magic-link/", "x/refresh-token",
]  # fmt: skip
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
SCRAPS: list[Any] = [
    "", "a@b.c", "A@B.C ", "'; DROP TABLE Subjects; --", "%00", "null", "é", "x" * 5000, "../..", "<script>", 0, -1,
    1.5, 1e308,
    True, False, None, [], {}, [None], {"a": 1}, "0", "NaN", "eyJhbGciOiJub25lIn0.e30.", "\u202e", "a b",
]  # fmt: skip
FIELDS = [
    "email", "actFor", "actorSub", "isAdmin", "adminApproved", "authorizedActors", "emails", "sub", "__proto__",
    "one_time_token", "invite_token", "_test", "limit", "offset", "role",
]  # fmt: skip
#: What an endpoint may say.
FINE = {200, 204, 302, 400, 401, 403, 404}


def hostile(draw: random.Random, known: list[str]) -> tuple[str, str, dict[str, str], str | bytes | None]:
    """Method, path, headers and body, made of everything that somebody might try."""

    def scrap() -> Any:
        return draw.choice([*SCRAPS, *known])

    def text() -> str:
        value = scrap()
        return value if isinstance(value, str) else json.dumps(value)

    def ascii_text() -> str:
        return text().encode("ascii", "replace").decode()[:300]

    path = draw.choice(PATHS)
    path = path.format(*[text() for _ in range(path.count("{}"))])
    query = "&".join(f"{draw.choice(FIELDS)}={text()}" for _ in range(draw.randrange(3)))
    headers: dict[str, str] = {}
    if draw.random() < 0.6:
        headers["Authorization"] = draw.choice(["Bearer ", "bearer ", "Basic ", "", "Bearer  "]) + ascii_text()
    if draw.random() < 0.5:
        headers["Cookie"] = draw.choice(["refresh-token=", "refresh-token", "=", ";;refresh-token = "]) + ascii_text()
    kind = draw.randrange(4)
    body: str | bytes | None = None
    if kind == 1:
        body = json.dumps({draw.choice(FIELDS): scrap() for _ in range(draw.randrange(4))})
    elif kind == 2:
        body = json.dumps(scrap())
    elif kind == 3:
        body = draw.randbytes(draw.randrange(30))
    return draw.choice(METHODS), f"/auth/{path}" + (f"?{query}" if query else ""), headers, body


def throw(count: int, seed: int) -> None:
    """Throw ``count`` requests at a service in use, half of them with an administrator's own credentials among them."""

    async def drive(world: World) -> None:
        draw = random.Random(seed)
        root = await Person(world, "root@example.com").login()
        ann = await Person(world, "ann@b.c").login()
        foreign = sign_jwt(
            {**root.claims, "iss": "x"}, import_private_key(KeyPair.from_seed("foreign").private_key), "BLUE"
        )
        known = [root.sub, ann.sub, str(ann.token), str(ann.cookie), foreign]
        for nth in range(count):
            if nth == count // 2:
                known += [str(root.token)] * 5
            method, path, headers, body = hostile(draw, known)
            response = await world.fetch(SITE + path, method=method, headers=headers, body=body)
            assert response.status in FINE, (method, path, headers, body, response.status, response.text)
            if response.status >= 400 and response.text != "Not Found":
                assert list(response.json()) == ["error", "error_description"]
        assert not [line for line in world.errors_logged if "Auth error" in line]
        assert (await root.ask("GET", "/subjects", token=root.token)).status_code == 200
        again = await Person(world, "root@example.com").login()
        assert again.claims["isAdmin"] is True, "nobody has taken the house over"

    run_in(drive)


def test_hostile_requests_get_an_answer_of_their_kind() -> None:
    """AU-6 to AU-24: a few, for every day."""
    throw(150, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 8))
def test_many_hostile_requests_get_an_answer_of_their_kind(seed: int) -> None:
    """The same, by the thousand."""
    throw(1500, seed=seed)


def test_a_request_that_only_looks_like_the_services_stays_outside() -> None:
    """AU-34: paths are compared as they are."""

    async def drive(world: World) -> None:
        for path in ("/authx/logout", "/AUTH/logout", "/%61uth/logout", "/x/../y/auth/logout"):
            assert (await world.fetch(path, method="POST")).status == 404
        inside = await world.fetch("/x/../auth/logout", method="POST")
        assert inside.status == 200, "dots are resolved before anybody compares"
        unsafe = Request("POST", f"{SITE}/auth/logout", {"X-Lumenize-DO-Binding-Name": "PAGE"})
        assert (await world.fetch(str(unsafe.url), method="POST", headers=dict(unsafe.headers))).status == 200

    run_in(drive)
