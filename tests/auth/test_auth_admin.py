"""Endpoints of administrators (AU-11, AU-16 to AU-24, AU-27, AU-38)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from lumenize_sim import World
from tests.auth.auth_world import Person, app_of, run_in, said

HOME = "https://app.example/home"
ADMIN_ONLY = [
    ("GET", "/subjects"),
    ("GET", "/subject/x"),
    ("PATCH", "/subject/x"),
    ("DELETE", "/subject/x"),
    ("POST", "/subject/x/actors"),
    ("DELETE", "/subject/x/actors/y"),
    ("POST", "/invite"),
]


async def root_of(world: World) -> Person:
    return await Person(world, "root@example.com").login()


def test_administrators_only() -> None:
    """AU-17 to AU-23: 401 without a credential, 403 with that of somebody else; by token or by cookie."""

    async def drive(world: World) -> None:
        ann = await Person(world, "a@b.c").login(adminApproved=True)
        for method, path in ADMIN_ONLY:
            stranger = await Person(world).ask(method, path)
            assert said(stranger) == (401, "invalid_token", "Authentication required"), path
            for token in (ann.token, None):
                assert said(await ann.ask(method, path, token=token)) == (403, "forbidden", "Admin access required")
        assert said(await ann.ask("GET", "/approve/x")) == (403, "forbidden", "Admin access required")

    run_in(drive)


def test_unknown_subjects_are_not_found() -> None:
    """AU-16 to AU-21."""

    async def drive(world: World) -> None:
        root = await root_of(world)
        for method, path in [*ADMIN_ONLY[1:6], ("GET", "/approve/x")]:
            body = {"actorSub": root.sub} if path.endswith("actors") else None
            answer = await root.ask(method, path, body, token=root.token)
            assert said(answer) == (404, "not_found", "Subject not found"), path

    run_in(drive)


# -- AU-16


def test_an_approval_is_followed_from_a_mail() -> None:
    """AU-16: idempotent; a browser that is not logged in is sent to log in."""

    async def drive(world: World) -> None:
        root = await root_of(world)
        ann = await Person(world, "a@b.c").login()
        stranger = await Person(world).ask("GET", f"/approve/{ann.sub}")
        assert (stranger.status_code, stranger.headers["location"]) == (302, f"{HOME}?error=login_required")
        for count in (1, 2):
            answer = await root.ask("GET", f"/approve/{ann.sub}")
            assert (answer.status_code, answer.headers["location"]) == (302, HOME)
            mails = await world.env.EMAIL.get_by_name("a@b.c").mails()
            assert [mail["subject"] for mail in mails] == ["Your account has been approved"] * count
        assert (await ann.login()).claims["adminApproved"] is True
        expired = await Person(world).ask("GET", f"/approve/{ann.sub}", token="x.y.z")
        assert expired.headers["location"].endswith("error=login_required")

    run_in(drive)


# -- AU-17, AU-18


def test_actors_are_added_and_removed_any_number_of_times() -> None:
    """AU-17, AU-18: idempotent, sorted; of an unknown one the id is named."""

    async def drive(world: World) -> None:
        root = await root_of(world)
        ann, bot, other = [await Person(world, f"{name}@b.c").login() for name in ("ann", "bot", "other")]
        for actor in (bot, other, bot):
            answer = await root.ask("POST", f"/subject/{ann.sub}/actors", {"actorSub": actor.sub})
            assert answer.status_code == 200
        assert answer.json()["subject"]["authorizedActors"] == sorted([bot.sub, other.sub])
        for _ in range(2):
            answer = await root.ask("DELETE", f"/subject/{ann.sub}/actors/{bot.sub}")
            assert answer.json()["subject"]["authorizedActors"] == [other.sub]
        unknown = await root.ask("POST", f"/subject/{ann.sub}/actors", {"actorSub": "x"})
        assert said(unknown) == (400, "invalid_request", "Actor ID not found: x")
        for body in ({}, {"actorSub": ""}, {"actorSub": None}, {"actorSub": ["x"]}):
            refused = await root.ask("POST", f"/subject/{ann.sub}/actors", body)
            assert said(refused) == (400, "invalid_request", "actorSub required")
        assert said(await root.ask("POST", f"/subject/{ann.sub}/actors", "{"))[2] == "Invalid JSON body"

    run_in(drive)


# -- AU-19, AU-20, AU-27


def test_a_subject_is_shown_as_the_original_does() -> None:
    """AU-19: fields and their order."""

    async def drive(world: World) -> None:
        root = await root_of(world)
        ann = await Person(world, "a@b.c").login()
        subject = (await root.ask("GET", f"/subject/{ann.sub}")).json()["subject"]
        now_ms = world.host.now_ms()
        assert list(subject.items()) == [
            ("sub", ann.sub),
            ("email", "a@b.c"),
            ("emailVerified", True),
            ("adminApproved", False),
            ("isAdmin", False),
            ("createdAt", now_ms),
            ("lastLoginAt", now_ms),
            ("authorizedActors", []),
        ]

    run_in(drive)


def test_flags_are_changed_and_a_role_implies_approval() -> None:
    """AU-20, AU-27."""

    async def drive(world: World) -> None:
        root = await root_of(world)
        ann = await Person(world, "a@b.c").login()

        async def patch(**fields: Any) -> tuple[bool, bool]:
            answer = await root.ask("PATCH", f"/subject/{ann.sub}", fields, token=root.token)
            assert answer.status_code == 200
            subject = answer.json()["subject"]
            return subject["isAdmin"], subject["adminApproved"]

        assert await patch() == (False, False)
        assert await patch(adminApproved=True) == (False, True)
        assert await patch(adminApproved=False) == (False, False)
        assert await patch(isAdmin=True) == (True, True)
        assert await patch(isAdmin=False) == (False, True)
        assert await patch(isAdmin=True, adminApproved=False) == (True, False)

    run_in(drive)


def test_withdrawn_approval_ends_all_sessions() -> None:
    """AU-27: every refresh token of the subject, and nobody else's."""

    async def drive(world: World) -> None:
        root = await root_of(world)
        phone = await Person(world, "a@b.c").login(adminApproved=True)
        laptop, bob = await Person(world, "a@b.c").login(), await Person(world, "bob@b.c").login()
        await root.ask("PATCH", f"/subject/{phone.sub}", {"adminApproved": False}, token=root.token)
        for session in (phone, laptop):
            assert (await session.ask("POST", "/refresh-token")).json()["error"] == "token_revoked"
        assert (await bob.ask("POST", "/refresh-token")).status_code == 200

    run_in(drive)


def test_what_a_patch_may_not_do() -> None:
    """AU-20, in this order: oneself, unknown, bootstrap, JSON, actors."""

    async def drive(world: World) -> None:
        deputy = await Person(world, "deputy@b.c").login(isAdmin=True)
        root = await root_of(world)
        ann = await Person(world, "a@b.c").login()
        actors = "Use POST /subject/:id/actors and DELETE /subject/:id/actors/:actorId to manage authorized actors"
        for sub, body, answer in [
            (deputy.sub, "{", (403, "forbidden", "Cannot modify own admin status")),
            ("x", "{", (404, "not_found", "Subject not found")),
            (root.sub, "{", (403, "forbidden", "Cannot modify bootstrap admin")),
            (ann.sub, "{", (400, "invalid_request", "Invalid JSON body")),
            (ann.sub, "null", (400, "invalid_request", "Invalid JSON body")),
            (ann.sub, {"isAdmin": True, "authorizedActors": []}, (400, "invalid_request", actors)),
        ]:
            assert said(await deputy.ask("PATCH", f"/subject/{sub}", body, token=deputy.token)) == answer
        assert (await ann.login()).claims["adminApproved"] is False, "nothing of it was done"

    run_in(drive)


# -- AU-21, AU-27


def test_a_deleted_subject_leaves_nothing_behind() -> None:
    """AU-21, AU-27: tokens, delegations in either role, links, invitations; a later login is somebody new."""

    async def drive(world: World) -> None:
        root = await root_of(world)
        ann, bot = await Person(world, "ann@b.c").login(), await Person(world, "bot@b.c").login()
        for principal, actor in ((ann, bot), (bot, ann)):
            await root.ask("POST", f"/subject/{principal.sub}/actors", {"actorSub": actor.sub}, token=root.token)
        link = (await Person(world).ask("POST", "/email-magic-link?_test=true", {"email": "ann@b.c"})).json()
        await root.ask("POST", "/invite", {"emails": ["ann@b.c"]}, token=root.token)
        answer = await root.ask("DELETE", f"/subject/{ann.sub}", token=root.token)
        assert (answer.status_code, answer.content) == (204, b"")
        assert said(await ann.ask("POST", "/refresh-token"))[2] == "Invalid refresh token"
        assert said(await ann.ask("GET", "/subjects", token=ann.token))[2] == "Invalid or expired access token"
        left = (await root.ask("GET", f"/subject/{bot.sub}", token=root.token)).json()["subject"]
        assert left["authorizedActors"] == []
        gone = await Person(world).fetch(link["magic_link"])
        assert gone.headers["location"] == f"{HOME}?error=invalid_token"
        sql = world.object("LUMENIZE_AUTH", "default").storage.sql
        assert sql.exec("SELECT count(*) AS n FROM AuthorizedActors")[0]["n"] == 0
        assert sql.exec("SELECT count(*) AS n FROM InviteTokens")[0]["n"] == 0
        assert (await Person(world, "ann@b.c").login()).sub != ann.sub

    run_in(drive)


def test_what_a_deletion_may_not_do() -> None:
    """AU-21."""

    async def drive(world: World) -> None:
        deputy = await Person(world, "deputy@b.c").login(isAdmin=True)
        root = await root_of(world)
        for sub, text in [(deputy.sub, "Cannot delete yourself"), (root.sub, "Cannot modify bootstrap admin")]:
            answer = await deputy.ask("DELETE", f"/subject/{sub}", token=deputy.token)
            assert said(answer) == (403, "forbidden", text)

    run_in(drive)


# -- AU-22


def test_subjects_are_listed_newest_first_in_pages() -> None:
    """AU-22: 50 unless told otherwise, 1 to 200; by role."""

    async def drive(world: World) -> None:
        root = await root_of(world)
        for nth in range(3):
            await world.advance(1)
            await Person(world, f"u{nth}@b.c").login()

        async def listed(query: str = "") -> list[str]:
            answer = await root.ask("GET", f"/subjects{query}", token=root.token)
            assert answer.status_code == 200
            return [subject["email"] for subject in answer.json()["subjects"]]

        everybody = ["u2@b.c", "u1@b.c", "u0@b.c", "root@example.com"]
        assert await listed() == await listed("?role=somebody") == everybody
        assert await listed("?limit=2") == everybody[:2]
        assert await listed("?limit=2&offset=1") == await listed("?limit=2.9&offset=1.5") == everybody[1:3]
        assert await listed("?limit=-5") == everybody[:1]
        assert await listed("?limit=0") == await listed("?limit=x") == await listed("?limit=9999") == everybody
        assert await listed("?offset=-1&limit=inf") == everybody
        assert await listed("?offset=99") == []
        assert await listed("?role=admin") == ["root@example.com"]
        assert await listed("?role=none") == everybody[:3]

    run_in(drive)


# -- AU-10, AU-11, AU-23


def test_people_are_invited_and_approved_at_once() -> None:
    """AU-23, AU-11, AU-10, AU-28: a link per address; it verifies, logs in, and may be used again."""

    async def drive(world: World) -> None:
        root = await root_of(world)
        given = [" New@B.C", "bad", 7, None, "other@b.c"]
        answer = await root.ask("POST", "/invite?_test=true", {"emails": given}, token=root.token)
        body = answer.json()
        assert list(body) == ["invited", "errors", "links"]
        assert body["invited"] == ["new@b.c", "other@b.c"]
        assert body["errors"] == [{"email": email, "error": "Invalid email format"} for email in given[1:4]]
        link = body["links"]["new@b.c"]
        assert re.fullmatch(r"https://app\.example/auth/accept-invite\?invite_token=[\w-]{43}", link)
        listed = (await root.ask("GET", "/subjects?role=none", token=root.token)).json()["subjects"]
        assert [(s["emailVerified"], s["adminApproved"], s["lastLoginAt"]) for s in listed] == [(False, True, None)] * 2
        for _ in range(2):
            new = Person(world)
            followed = await new.fetch(link)
            assert (followed.status_code, followed.headers["location"]) == (302, HOME)
            token = (await new.ask("POST", "/refresh-token")).json()["access_token"]
            new.token = token
            assert (new.claims["emailVerified"], new.claims["adminApproved"]) == (True, True)

    run_in(drive)


def test_invited_people_who_are_known_already() -> None:
    """AU-11, AU-37: the verified are told and approved; the others get one more link."""

    async def drive(world: World) -> None:
        root = await root_of(world)
        ann = await Person(world, "ann@b.c").login()
        asked = {"emails": ["ann@b.c", "new@b.c"]}
        first = (await root.ask("POST", "/invite?_test=true", asked, token=root.token)).json()["links"]
        second = (await root.ask("POST", "/invite?_test=true", asked, token=root.token)).json()["links"]
        assert first["ann@b.c"] == second["ann@b.c"] == "(already verified)"
        assert first["new@b.c"] != second["new@b.c"]
        mailed = (await root.ask("POST", "/invite", asked, token=root.token)).json()
        assert list(mailed) == ["invited", "errors"]
        (known,) = await world.env.EMAIL.get_by_name("ann@b.c").mails()
        (new,) = await world.env.EMAIL.get_by_name("new@b.c").mails()
        assert f'href="{HOME}"' in known["html"]
        assert "/auth/accept-invite?invite_token=" in new["html"]
        assert (await ann.login()).claims["adminApproved"] is True
        assert (await Person(world).fetch(first["new@b.c"])).headers["location"] == HOME, "the first still holds"

    run_in(drive)


@pytest.mark.parametrize("body", [{}, {"emails": "a@b.c"}, {"emails": None}, {"emails": {"a": 1}}, []])
def test_an_invitation_wants_a_list(body: Any) -> None:
    """AU-23; an empty one is one."""

    async def drive(world: World) -> None:
        root = await root_of(world)
        answer = await root.ask("POST", "/invite", body, token=root.token)
        assert said(answer) == (400, "invalid_request", "emails array required")
        empty = await root.ask("POST", "/invite", {"emails": []}, token=root.token)
        assert (empty.status_code, empty.json()) == (200, {"invited": [], "errors": []})
        assert said(await root.ask("POST", "/invite", "{", token=root.token))[2] == "Invalid JSON body"

    run_in(drive)


def test_invitations_that_do_not_hold() -> None:
    """AU-10: missing, unknown, expired."""

    async def drive(world: World) -> None:
        someone = Person(world)
        assert said(await someone.ask("GET", "/accept-invite")) == (400, "invalid_request", "Missing invite_token")
        unknown = await someone.ask("GET", "/accept-invite?invite_token=x")
        assert unknown.headers["location"] == f"{HOME}?error=invalid_token"
        root = await root_of(world)
        links = (await root.ask("POST", "/invite?_test=true", {"emails": ["a@b.c"]}, token=root.token)).json()["links"]
        await world.advance(6)
        late = await someone.fetch(links["a@b.c"])
        assert late.headers["location"] == f"{HOME}?error=token_expired"
        assert someone.cookie is None

    run_in(drive, app_of(LUMENIZE_AUTH_INVITE_TTL=5))


# -- AU-24


def test_flags_can_be_set_in_tests_only() -> None:
    """AU-24."""

    async def drive(world: World) -> None:
        someone = Person(world)
        answer = await someone.ask("POST", "/test/set-subject-data", {"email": "a@b.c"})
        assert said(answer) == (404, "not_found", "Subject not found")
        await Person(world, "a@b.c").login()
        for body, text in [("{", "Invalid JSON body"), ({}, "Email required"), ({"email": 7}, "Email required")]:
            assert said(await someone.ask("POST", "/test/set-subject-data", body)) == (400, "invalid_request", text)
        done = await someone.ask("POST", "/test/set-subject-data", {"email": " A@b.c", "isAdmin": True})
        assert (done.status_code, done.content) == (204, b"")
        assert (await Person(world, "a@b.c").login()).claims["isAdmin"] is True
        await someone.ask("POST", "/test/set-subject-data", {"email": "a@b.c", "adminApproved": False})
        assert (await Person(world, "a@b.c").login()).claims["adminApproved"] is False

    run_in(drive)

    async def refused(world: World) -> None:
        answer = await Person(world).ask("POST", "/test/set-subject-data", "{")
        assert said(answer) == (403, "forbidden", "Test mode not enabled")

    run_in(refused, app_of(LUMENIZE_AUTH_TEST_MODE=None))


# -- AU-38


def test_the_audit_log_has_a_namespace_for_each_kind_of_event() -> None:
    """AU-38: level, namespace, and who did it to whom."""

    async def drive(world: World) -> None:
        root = await root_of(world)
        ann = await Person(world, "ann@b.c").login()
        await Person(world).ask("GET", "/magic-link?one_time_token=x")
        await Person(world).ask("GET", "/subjects")
        await root.ask("POST", f"/subject/{ann.sub}/actors", {"actorSub": root.sub}, token=root.token)
        await root.ask("POST", "/delegated-token", {"actFor": ann.sub}, token=root.token)
        await root.ask("DELETE", f"/subject/{ann.sub}/actors/{root.sub}", token=root.token)
        await root.ask("POST", "/invite", {"emails": ["b@b.c"]}, token=root.token)
        await root.ask("PATCH", f"/subject/{ann.sub}", {"adminApproved": False}, token=root.token)
        await root.ask("DELETE", f"/subject/{ann.sub}", token=root.token)
        await root.ask("POST", "/logout")

    run = run_in(drive)
    heard: dict[str, dict[str, Any]] = {}
    for event in run.trace.events:
        if event.kind == "log" and event.label.startswith("auth.LumenizeAuth."):
            heard.setdefault(event.label.removeprefix("auth.LumenizeAuth."), event.data)
    assert sorted(heard) == [
        "access.denied", "actor.added", "actor.removed", "invite.sent", "login.failed", "login.succeeded",
        "subject.created", "subject.deleted", "subject.updated", "token.delegated", "token.revoked",
    ]  # fmt: skip
    assert heard["login.succeeded"]["data"]["actorSub"] == "system"
    assert heard["access.denied"]["level"] == "warn"
    assert heard["subject.updated"]["data"].keys() >= {"targetSub", "actorSub", "field", "from", "to"}
