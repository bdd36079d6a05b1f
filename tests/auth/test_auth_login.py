"""Endpoints for everybody, in a simulated world with a clock of its own (AU-6 to AU-15, AU-25, AU-28 to AU-30)."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from lumenize_sim import World
from lumenize_sim.auth import LumenizeAuth, verify_jwt_with_rotation
from lumenize_sim.auth.keys import public_keys
from lumenize_sim.objects.http import Request
from lumenize_sim.routing import route_do_request
from tests.auth.auth_world import APP, GREEN, SITE, Person, app_of, run_in, said

HOME = "https://app.example/home"


async def link_for(person: Person, email: str) -> str:
    answer = await person.ask("POST", "/email-magic-link?_test=true", {"email": email})
    link: str = answer.json()["magic_link"]
    return link


# -- the service as such


def test_paths_that_are_none_are_not_found() -> None:
    """The last row of the table; the method belongs to the path."""

    async def drive(world: World) -> None:
        someone = Person(world)
        for method, path in [
            ("GET", "/unknown"),
            ("GET", ""),
            ("GET", "/email-magic-link"),
            ("POST", "/magic-link"),
            ("PUT", "/subject/x"),
            ("POST", "/approve/x"),
            ("GET", "/refresh-token"),
        ]:
            answer = await someone.ask(method, path)
            assert (answer.status_code, answer.text) == (404, "Not Found"), path

    run_in(drive)


def test_without_a_redirect_nothing_works() -> None:
    """Section 14.1."""

    async def drive(world: World) -> None:
        answer = await Person(world).ask("POST", "/email-magic-link", {"email": "a@b.c"})
        assert said(answer) == (500, "server_error", "LUMENIZE_AUTH_REDIRECT not set")

    run_in(drive, app_of(LUMENIZE_AUTH_REDIRECT=None))


def test_what_nobody_expected_is_logged_and_not_shown() -> None:
    """Section 14.3: 500 `server_error`; here the private key is missing."""

    async def drive(world: World) -> None:
        someone = Person(world, "a@b.c")
        await someone.fetch(await link_for(someone, "a@b.c"))
        answer = await someone.ask("POST", "/refresh-token")
        assert said(answer) == (500, "server_error", "Internal server error")
        assert any("JWT private key not configured for BLUE" in line for line in world.errors_logged)

    run_in(drive, app_of(JWT_PRIVATE_KEY_BLUE=None))


# -- AU-6


def test_a_magic_link_is_mailed_and_the_answer_says_nothing_about_the_address() -> None:
    """AU-6, AU-37: outside test mode the link is in the mail only."""

    async def drive(world: World) -> None:
        answer = await Person(world).ask("POST", "/email-magic-link?_test=true", {"email": " Ann@Example.COM "})
        assert answer.json() == {"message": "Check your email for the magic link", "expires_in": 1800}
        (mail,) = await world.env.EMAIL.get_by_name("ann@example.com").mails()
        assert (mail["to"], mail["subject"], mail["from"]) == ("ann@example.com", "Your login link", "post@app.example")
        assert (mail["replyTo"], mail["appName"], mail["headers"]) == ("no-reply@app.example", "Test <App>", {})
        assert "Sign in to Test &lt;App&gt;" in mail["html"]
        link = re.search(r'href="([^"]+)"', mail["html"])
        assert link is not None
        assert re.fullmatch(rf"{SITE}/auth/magic-link\?one_time_token=[\w-]{{43}}", link[1])
        followed = await Person(world).fetch(link[1])
        assert (followed.status_code, followed.headers["location"]) == (302, HOME)

    run_in(drive, app_of(LUMENIZE_AUTH_TEST_MODE=None))


def test_in_test_mode_the_answer_holds_the_link_if_asked() -> None:
    """AU-6."""

    async def drive(world: World) -> None:
        someone = Person(world)
        answer = await someone.ask("POST", "/email-magic-link?_test=true", {"email": "a@b.c"})
        body = answer.json()
        assert list(body) == ["message", "magic_link", "expires_in"]
        assert (body["message"], body["expires_in"]) == ("Magic link generated (test mode)", 60)
        assert body["magic_link"].startswith(f"{SITE}/auth/magic-link?one_time_token=")
        plain = await someone.ask("POST", "/email-magic-link", {"email": "a@b.c"})
        assert "magic_link" not in plain.json()

    run_in(drive, app_of(LUMENIZE_AUTH_MAGIC_LINK_TTL="60"))


@pytest.mark.parametrize(
    "body, text",
    [
        ("not json", "Invalid JSON body"),
        (None, "Invalid JSON body"),
        ("null", "Invalid JSON body"),
        ('{"email":7}', "Invalid JSON body"),
        ('{"email":false}', "Invalid JSON body"),
        ("[" * 4000, "Invalid JSON body"),
        ("{}", "Valid email required"),
        ("[]", "Valid email required"),
        ('{"email":null}', "Valid email required"),
        ('{"email":""}', "Valid email required"),
        ('{"email":"nobody"}', "Valid email required"),
        ('{"email":"a@b"}', "Valid email required"),
        ('{"email":"a@@b.c"}', "Valid email required"),
        ('{"email":"a b@c.d"}', "Valid email required"),
        ('{"email":"a@b.c\\n"}', None),
        ('{"email":"<i>@b.c"}', None),
    ],
)
def test_an_address_has_one_at_a_dot_and_no_blanks(body: str | None, text: str | None) -> None:
    """AU-6, AU-28."""

    async def drive(world: World) -> None:
        answer = await Person(world).ask("POST", "/email-magic-link", body)
        if text is None:
            assert answer.status_code == 200
        else:
            assert said(answer) == (400, "invalid_request", text)

    run_in(drive)


# -- AU-7 to AU-9


def test_following_a_link_logs_in_once() -> None:
    """AU-7, AU-9, AU-25: a cookie, the flags, and a link that is gone."""

    async def drive(world: World) -> None:
        ann = Person(world, "ann@b.c")
        link = await link_for(ann, "ANN@b.c ")
        before = world.host.now_ms()
        await world.advance(5)
        answer = await ann.fetch(link)
        assert (answer.status_code, answer.headers["location"], answer.content) == (302, HOME, b"")
        cookie = answer.headers["set-cookie"]
        assert re.fullmatch(
            r"refresh-token=[\w-]{43}; Path=/; HttpOnly; Secure; SameSite=Strict; Max-Age=2592000", cookie
        )
        rows = world.object("LUMENIZE_AUTH", "default").storage.sql.exec("SELECT * FROM Subjects")
        (row,) = rows
        assert (row["email"], row["emailVerified"], row["adminApproved"], row["isAdmin"]) == ("ann@b.c", 1, 0, 0)
        assert before + 5000 <= row["lastLoginAt"] <= world.host.now_ms()
        again = await Person(world).fetch(link)
        assert (again.status_code, again.headers["location"]) == (302, f"{HOME}?error=invalid_token")
        assert "set-cookie" not in again.headers

    run_in(drive)


@pytest.mark.parametrize("path", ["/magic-link", "/magic-link?one_time_token=", "/magic-link?token=x"])
def test_a_link_without_token_is_a_bad_request(path: str) -> None:
    """AU-7."""

    async def drive(world: World) -> None:
        assert said(await Person(world).ask("GET", path)) == (400, "invalid_request", "Missing one_time_token")

    run_in(drive)


def test_an_unknown_link_redirects_with_its_error() -> None:
    """AU-8: behind the query that the redirect may have."""

    async def drive(world: World) -> None:
        answer = await Person(world).ask("GET", "/magic-link?one_time_token=x")
        assert answer.headers["location"] == "/app?tab=1&error=invalid_token"

    run_in(drive, app_of(LUMENIZE_AUTH_REDIRECT="/app?tab=1"))


def test_an_expired_link_says_so_until_it_is_swept() -> None:
    """AU-8, AU-30, D-13: the sweep comes with the next start of the object; the clock is the world's."""

    async def drive(world: World) -> None:
        ann = Person(world)
        on_time, late = await link_for(ann, "a@b.c"), await link_for(ann, "a@b.c")
        await world.advance(1800)
        assert (await ann.fetch(on_time)).headers["location"] == HOME, "to the very millisecond"
        await world.advance(0.001)
        assert (await Person(world).fetch(late)).headers["location"] == f"{HOME}?error=token_expired"
        world.object("LUMENIZE_AUTH", "default").evict()
        assert (await Person(world).fetch(late)).headers["location"] == f"{HOME}?error=invalid_token"

    run_in(drive)


def test_the_subject_stays_the_same_from_login_to_login() -> None:
    """AU-9."""

    async def drive(world: World) -> None:
        first, second = await Person(world, "a@b.c").login(), await Person(world, "A@B.C").login()
        assert first.sub == second.sub
        assert first.token != second.token

    run_in(drive)


def test_the_bootstrap_address_is_promoted_at_each_login() -> None:
    """AU-9: whatever became of it meanwhile; nobody else is, and nobody is notified of it."""

    async def drive(world: World) -> None:
        root = await Person(world, "root@example.com").login()
        assert root.claims["isAdmin"] is True
        assert root.claims["adminApproved"] is True
        again = await Person(world, "root@example.com").login(isAdmin=False)
        assert "isAdmin" not in again.claims
        assert (await Person(world, "root@example.com").login()).claims["isAdmin"] is True
        plain = await Person(world, "a@b.c").login()
        assert "isAdmin" not in plain.claims
        assert plain.claims["adminApproved"] is False
        mails = await world.env.EMAIL.get_by_name("root@example.com").mails()
        assert [mail["subject"] for mail in mails] == ["New signup: a@b.c"]

    run_in(drive)


def test_administrators_hear_of_people_who_wait() -> None:
    """AU-9, AU-16: one mail each, with a link that approves; not of people who are approved."""

    async def drive(world: World) -> None:
        root = await Person(world, "root@example.com").login()
        deputy = await Person(world, "deputy@b.c").login(isAdmin=True)
        await Person(world, "a@b.c").login()
        for admin in (root, deputy):
            mails = await world.env.EMAIL.get_by_name(admin.email).mails()
            assert mails[-1]["subject"] == "New signup: a@b.c"
        approve = re.search(r'href="([^"]+)"', mails[-1]["html"])
        assert approve is not None
        assert (await root.fetch(approve[1])).headers["location"] == HOME
        assert (await Person(world, "a@b.c").login()).claims["adminApproved"] is True
        again = await world.env.EMAIL.get_by_name("deputy@b.c").mails()
        assert len(again) == len(mails), "the approved login told nobody"
        (confirmed,) = await world.env.EMAIL.get_by_name("a@b.c").mails()
        assert confirmed["subject"] == "Your account has been approved"

    run_in(drive)


@pytest.mark.parametrize("without", [("AUTH_EMAIL_SENDER",), ("EMAIL",)])
def test_mail_that_cannot_be_sent_blocks_nobody(without: tuple[str, ...]) -> None:
    """AU-9, AU-37: a failure is logged and not shown."""

    async def drive(world: World) -> None:
        await Person(world, "root@example.com").login()
        answer = await Person(world).ask("POST", "/email-magic-link", {"email": "a@b.c"})
        assert answer.json()["message"] == "Check your email for the magic link"
        assert (await Person(world, "a@b.c").login()).token
        failed = [line for line in world.errors_logged if "Failed to send" in line]
        assert len(failed) == (2 if without == ("EMAIL",) else 0)

    run_in(drive, app_of(without=without))


# -- AU-12, AU-13


def test_a_refresh_gives_a_token_and_another_cookie() -> None:
    """AU-12, AU-13, D-5: also to somebody who is not approved; every claim is from the database now."""

    async def drive(world: World) -> None:
        ann = await Person(world, "a@b.c").login()
        body = ann.last.json()
        assert list(body) == ["access_token", "token_type", "expires_in", "sub"]
        assert (body["token_type"], body["expires_in"], body["sub"]) == ("Bearer", 900, ann.sub)
        assert (ann.claims["emailVerified"], ann.claims["adminApproved"]) == (True, False)
        keys = public_keys(world.env)
        assert verify_jwt_with_rotation(body["access_token"], keys, now_ms=world.host.now_ms()) == ann.claims
        first = ann.cookie
        await world.advance(100)
        again = await ann.ask("POST", "/refresh-token")
        assert again.status_code == 200
        assert ann.cookie != first
        assert "Max-Age=2592000" in again.headers["set-cookie"]

    run_in(drive)


def test_a_refresh_token_works_once_and_a_replay_is_refused() -> None:
    """AU-13: the old one is revoked; the new one is not harmed by the replay."""

    async def drive(world: World) -> None:
        ann = await Person(world, "a@b.c").login()
        stolen = ann.cookie
        assert (await ann.ask("POST", "/refresh-token")).status_code == 200
        thief = Person(world)
        thief.cookie = stolen
        assert said(await thief.ask("POST", "/refresh-token")) == (
            401, "token_revoked", "Refresh token has been revoked",
        )  # fmt: skip
        assert said(await thief.ask("GET", "/subjects")) == (401, "invalid_token", "Authentication required")
        assert (await ann.ask("POST", "/refresh-token")).status_code == 200

    run_in(drive)


def test_refresh_failures_have_their_names() -> None:
    """AU-12: none, unknown, expired by the world's clock, and of a subject that is gone."""

    async def drive(world: World) -> None:
        someone = Person(world, "a@b.c")
        assert said(await someone.ask("POST", "/refresh-token")) == (401, "invalid_token", "No refresh token provided")
        for unknown in ("x", "x=y", "", '"'):
            someone.cookie = unknown
            answer = said(await someone.ask("POST", "/refresh-token"))
            assert answer[:2] == (401, "invalid_token")
        await someone.login()
        await world.advance(6)
        assert said(await someone.ask("POST", "/refresh-token")) == (401, "token_expired", "Refresh token expired")

    run_in(drive, app_of(LUMENIZE_AUTH_REFRESH_TOKEN_TTL=5))


class Forgetful(LumenizeAuth):
    """Its subjects are gone, and their tokens are not: what cascading deletes prevent."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        kept = self.subjects.by_sub
        asked = iter([True])
        self.subjects.by_sub = lambda sub: kept(sub) if next(asked, False) else None  # type: ignore[method-assign]  # finds them once


def test_a_token_without_its_subject_is_refused() -> None:
    """AU-12."""

    async def drive(world: World) -> None:
        ann = Person(world)
        await ann.fetch(await link_for(ann, "a@b.c"))
        refused = (401, "invalid_token", "Subject not found")
        assert said(await ann.ask("POST", "/refresh-token")) == refused

    run_in(drive, app_of({"LUMENIZE_AUTH": Forgetful}))


def test_two_refreshes_at_once_give_one_token() -> None:
    """AU-13: reading and revoking are one turn."""

    async def drive(world: World) -> None:
        ann = await Person(world, "a@b.c").login()
        request = Request(
            "POST", f"{SITE}/auth/LUMENIZE_AUTH/default/refresh-token", {"Cookie": f"refresh-token={ann.cookie}"}
        )
        stub = world.env.LUMENIZE_AUTH.get_by_name("default")
        both = [stub.fetch(request), world.env.LUMENIZE_AUTH.get_by_name("default").fetch(request)]
        assert sorted([(await one).status_code for one in both]) == [200, 401]

    for seed in range(5):
        run_in(drive, seed=seed)


def test_a_cookie_of_somebody_elses_choice_is_not_taken_over() -> None:
    """AU-8, AU-25: a login sets a token of its own, so a planted cookie gives nothing to whoever planted it."""

    async def drive(world: World) -> None:
        attacker = await Person(world, "evil@b.c").login()
        victim = Person(world, "ann@b.c")
        victim.cookie = planted = attacker.cookie
        await victim.login()
        assert victim.cookie != planted
        assert victim.sub != attacker.sub
        free = Person(world)
        free.cookie = "chosen"
        await free.fetch(await link_for(free, "bob@b.c"))
        assert free.cookie != "chosen"
        chosen = Person(world)
        chosen.cookie = "chosen"
        assert (await chosen.ask("POST", "/refresh-token")).status_code == 401

    run_in(drive)


def test_storage_holds_no_refresh_token() -> None:
    """AU-25: only a hash."""

    async def drive(world: World) -> None:
        ann = await Person(world, "a@b.c").login()
        rows = world.object("LUMENIZE_AUTH", "default").storage.sql.exec("SELECT * FROM RefreshTokens")
        assert len(rows) == 2
        assert all(ann.cookie not in str(row) for row in rows)
        assert {len(row["tokenHash"]) for row in rows} == {43}

    run_in(drive)


# -- AU-14


def test_logging_out_revokes_and_clears_the_cookie() -> None:
    """AU-14: with or without a cookie that is known."""

    async def drive(world: World) -> None:
        ann = await Person(world, "a@b.c").login()
        stolen = ann.cookie
        answer = await ann.ask("POST", "/logout")
        assert (answer.status_code, answer.json()) == (200, {"message": "Logged out"})
        assert answer.headers["set-cookie"] == "refresh-token=; Path=/; HttpOnly; Secure; SameSite=Strict; Max-Age=0"
        assert ann.cookie is None
        thief = Person(world)
        thief.cookie = stolen
        assert (await thief.ask("POST", "/refresh-token")).json()["error"] == "token_revoked"
        assert (await Person(world).ask("POST", "/logout")).status_code == 200
        thief.cookie = "unknown"
        assert (await thief.ask("POST", "/logout")).status_code == 200

    run_in(drive)


# -- AU-15, AU-29


def test_delegation_needs_leave_and_says_who_acts() -> None:
    """AU-15, AU-29: administrators for anyone, others by entry; the flags are the principal's; no cookie."""

    async def drive(world: World) -> None:
        root = await Person(world, "root@example.com").login()
        ann = await Person(world, "ann@b.c").login(adminApproved=True)
        bot = await Person(world, "bot@b.c").login()
        refused = await bot.ask("POST", "/delegated-token", {"actFor": ann.sub}, token=bot.token)
        assert said(refused) == (403, "forbidden", "Not authorized to act for this subject")
        await root.ask("POST", f"/subject/{ann.sub}/actors", {"actorSub": bot.sub}, token=root.token)
        for actor in (root, bot):
            answer = await actor.ask("POST", "/delegated-token", {"actFor": ann.sub}, token=actor.token)
            body = answer.json()
            assert list(body) == ["access_token", "token_type", "expires_in"]
            assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
            assert "set-cookie" not in answer.headers
            actor.token = body["access_token"]
            assert (actor.claims["sub"], actor.claims["act"]) == (ann.sub, {"sub": actor.sub})
            assert actor.claims["adminApproved"] is True
            assert "isAdmin" not in actor.claims, "an administrator does not lend the role"
        nested = await root.ask("POST", "/delegated-token", {"actFor": ann.sub}, token=bot.token)
        assert said(nested)[0] == 403, "as the principal one acts for nobody but where she may: chains are not built"

    run_in(drive)


@pytest.mark.parametrize("body", [{}, {"actFor": ""}, {"actFor": None}, {"actFor": 7}, {"actFor": {"sub": "x"}}, []])
def test_delegation_wants_a_principal(body: Any) -> None:
    """AU-15."""

    async def drive(world: World) -> None:
        ann = await Person(world, "a@b.c").login()
        answer = await ann.ask("POST", "/delegated-token", body, token=ann.token)
        assert said(answer) == (400, "invalid_request", "actFor required")
        nobody = await ann.ask("POST", "/delegated-token", {"actFor": "nobody"}, token=ann.token)
        assert said(nobody) == (404, "not_found", "Subject not found")
        stranger = await Person(world).ask("POST", "/delegated-token", body)
        assert said(stranger) == (401, "invalid_token", "Authentication required")

    run_in(drive)


# -- AU-26, AU-5, AU-30


def test_a_bad_bearer_token_is_not_saved_by_a_good_cookie() -> None:
    """AU-26: and an expired one is bad; another scheme is no bearer token; the cookie is not rotated."""

    async def drive(world: World) -> None:
        root = await Person(world, "root@example.com").login()
        cookie = root.cookie
        assert (await root.ask("GET", "/subjects")).status_code == 200
        assert root.cookie == cookie
        bad = await root.ask("GET", "/subjects", token="x.y.z")
        assert said(bad) == (401, "invalid_token", "Invalid or expired access token")
        basic = await root.fetch(f"{SITE}/auth/subjects", headers={"Authorization": "Basic eA=="})
        assert basic.status_code == 200, "the cookie counts"
        lower = await Person(world).fetch(f"{SITE}/auth/subjects", headers={"Authorization": f"bearer {root.token}"})
        assert lower.status_code == 200
        await world.advance(901)
        late = await root.ask("GET", "/subjects", token=root.token)
        assert said(late) == (401, "invalid_token", "Invalid or expired access token")

    run_in(drive)


def test_a_role_is_read_from_the_database_and_not_from_the_token() -> None:
    """AU-26: a token outlives the role that it speaks of."""

    async def drive(world: World) -> None:
        root = await Person(world, "root@example.com").login()
        deputy = await Person(world, "deputy@b.c").login(isAdmin=True)
        assert (await deputy.ask("GET", "/subjects", token=deputy.token)).status_code == 200
        await root.ask("PATCH", f"/subject/{deputy.sub}", {"isAdmin": False}, token=root.token)
        refused = await deputy.ask("GET", "/subjects", token=deputy.token)
        assert said(refused) == (403, "forbidden", "Admin access required")
        assert deputy.claims["isAdmin"] is True

    run_in(drive)


def test_the_service_signs_with_the_primary_key_and_accepts_both() -> None:
    """AU-2, AU-5."""

    async def drive(world: World) -> None:
        root = await Person(world, "root@example.com").login()
        assert root.token is not None
        assert httpx.Response(200, content=root.token).text.startswith(
            "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCIsImtpZCI6IkdSRUVOIn0."
        )
        assert (await root.ask("GET", "/subjects", token=root.token)).status_code == 200

    run_in(drive, app_of(**GREEN.vars("GREEN"), PRIMARY_JWT_KEY="GREEN"))


def test_expired_rows_are_swept_when_the_object_starts() -> None:
    """AU-30: all three kinds."""

    async def drive(world: World) -> None:
        root = await Person(world, "root@example.com").login()
        await link_for(root, "a@b.c")
        await root.ask("POST", "/invite", {"emails": ["b@b.c"]}, token=root.token)
        await world.advance(31 * 24 * 3600)
        view = world.object("LUMENIZE_AUTH", "default")
        view.evict()
        await Person(world).ask("GET", "/nothing")
        for table in ("RefreshTokens", "MagicLinks", "InviteTokens"):
            assert view.storage.sql.exec(f"SELECT count(*) AS n FROM {table}")[0]["n"] == 0
        assert view.storage.sql.exec("SELECT count(*) AS n FROM Subjects")[0]["n"] == 2

    run_in(drive)


@pytest.mark.parametrize(
    "value, ttl", [("120", 120), (120, 120), ("1.9", 1), ("0", 900), ("soon", 900), ("", 900), ("nan", 900)]
)
def test_lifetimes_are_numbers_or_the_default(value: Any, ttl: int) -> None:
    """Section 14.1."""

    async def drive(world: World) -> None:
        ann = await Person(world, "a@b.c").login()
        assert ann.last.json()["expires_in"] == ttl
        assert ann.claims["exp"] - ann.claims["iat"] == ttl

    run_in(drive, app_of(LUMENIZE_AUTH_ACCESS_TOKEN_TTL=value))


def test_issuer_audience_and_prefix_are_configured() -> None:
    """Section 14.1, AU-34: links and routes follow the prefix."""

    async def drive(world: World) -> None:
        someone = Person(world)
        url = f"{SITE}/api/login/email-magic-link?_test=true"
        link = (await someone.fetch(url, "POST", body='{"email":"a@b.c"}')).json()["magic_link"]
        assert link.startswith(f"{SITE}/api/login/magic-link?")
        assert (await someone.fetch(link)).headers["location"] == HOME
        someone.token = (await someone.fetch(f"{SITE}/api/login/refresh-token", "POST")).json()["access_token"]
        assert (someone.claims["iss"], someone.claims["aud"]) == ("https://iss", "https://aud")

    run_in(
        drive,
        app_of(
            LUMENIZE_AUTH_PREFIX="api/login/",
            LUMENIZE_AUTH_ISSUER="https://iss",
            LUMENIZE_AUTH_AUDIENCE="https://aud",
        ),
    )


def test_the_service_is_reached_by_its_own_path_too() -> None:
    """AU-34: it is an object like others, so routes that lead to it are the app's to protect."""

    async def drive(world: World) -> None:
        response = await route_do_request(
            Request("GET", f"{SITE}/x/lumenize-auth/default/nothing"), world.env, prefix="x"
        )
        assert response is not None
        assert response.status_code == 404

    run_in(drive, APP)
