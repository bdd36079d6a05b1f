"""Who may log in, and who may act for whom: the tables of subjects and actors."""

from __future__ import annotations

from typing import Any, Final

import attrs

from lumenize_sim.objects.storage.sql import SqlStorage

__all__ = ["SUBJECTS_SCHEMA", "Subject", "Subjects"]

SUBJECTS_SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS Subjects (
        sub TEXT PRIMARY KEY,
        email TEXT UNIQUE NOT NULL,
        emailVerified INTEGER NOT NULL DEFAULT 0,
        adminApproved INTEGER NOT NULL DEFAULT 0,
        isAdmin INTEGER NOT NULL DEFAULT 0,
        createdAt INTEGER NOT NULL,
        lastLoginAt INTEGER
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS idx_Subjects_isAdmin ON Subjects(sub) WHERE isAdmin = 1",
    """CREATE TABLE IF NOT EXISTS AuthorizedActors (
        principalSub TEXT NOT NULL REFERENCES Subjects(sub) ON DELETE CASCADE,
        actorSub TEXT NOT NULL REFERENCES Subjects(sub) ON DELETE CASCADE,
        PRIMARY KEY (principalSub, actorSub)
    ) WITHOUT ROWID""",
)
_COLUMNS: Final = "sub, email, emailVerified, adminApproved, isAdmin, createdAt, lastLoginAt"


@attrs.frozen
class Subject:
    """Somebody, or something, that logs in.

    Attributes:
        sub: a UUID.
        email: trimmed and in lower case.
        email_verified: a link that was sent there has come back.
        admin_approved: an administrator has let them in.
        is_admin: implies approval.
        created_at, last_login_at: epoch milliseconds.
        authorized_actors: who else may act for them, sorted.
    """

    sub: str
    email: str
    email_verified: bool
    admin_approved: bool
    is_admin: bool
    created_at: int
    last_login_at: int | None
    authorized_actors: tuple[str, ...]

    def to_wire(self) -> dict[str, Any]:
        """As endpoints answer."""
        return {
            "sub": self.sub, "email": self.email, "emailVerified": self.email_verified,
            "adminApproved": self.admin_approved, "isAdmin": self.is_admin, "createdAt": self.created_at,
            "lastLoginAt": self.last_login_at, "authorizedActors": list(self.authorized_actors),
        }  # fmt: skip


class Subjects:
    """The two tables."""

    def __init__(self, sql: SqlStorage) -> None:
        self._sql = sql

    def by_sub(self, sub: str) -> Subject | None:
        """The subject of this id."""
        return self._one(f"SELECT {_COLUMNS} FROM Subjects WHERE sub = ?", sub)

    def by_email(self, email: str) -> Subject | None:
        """The subject of this address, which is normalised already."""
        return self._one(f"SELECT {_COLUMNS} FROM Subjects WHERE email = ?", email)

    def listed(self, *, limit: int, offset: int, role: str | None) -> list[Subject]:
        """Newest first; ``role`` is ``"admin"``, ``"none"`` or anything else for all (AU-22)."""
        where = {"admin": "WHERE isAdmin = 1", "none": "WHERE isAdmin = 0"}.get(role or "", "")
        query = f"SELECT {_COLUMNS} FROM Subjects {where} ORDER BY createdAt DESC, sub LIMIT ? OFFSET ?"
        return [self._subject(row) for row in self._sql.exec(query, limit, offset).to_array()]

    def admin_emails(self) -> list[str]:
        """The addresses of all administrators."""
        return [row["email"] for row in self._sql.exec("SELECT email FROM Subjects WHERE isAdmin = 1 ORDER BY sub")]

    def create(self, sub: str, email: str, *, approved: bool, now_ms: int, last_login_at: int | None) -> None:
        """A new subject, not verified."""
        self._sql.exec(
            "INSERT INTO Subjects (sub, email, emailVerified, adminApproved, isAdmin, createdAt, lastLoginAt) "
            "VALUES (?, ?, 0, ?, 0, ?, ?)",
            sub, email, int(approved), now_ms, last_login_at,
        )  # fmt: skip

    def logged_in(self, sub: str, now_ms: int, *, promote: bool = False) -> None:
        """A link has come back: verified; ``promote`` makes an approved administrator as well (AU-9)."""
        flags = ", adminApproved = 1, isAdmin = 1" if promote else ""
        self._sql.exec(f"UPDATE Subjects SET emailVerified = 1, lastLoginAt = ?{flags} WHERE sub = ?", now_ms, sub)

    def approve(self, sub: str, approved: bool = True) -> None:
        """Let in, or no longer."""
        self._sql.exec("UPDATE Subjects SET adminApproved = ? WHERE sub = ?", int(approved), sub)

    def set_admin(self, sub: str, is_admin: bool) -> None:
        """An administrator is approved, too (AU-27)."""
        if is_admin:
            self._sql.exec("UPDATE Subjects SET isAdmin = 1, adminApproved = 1 WHERE sub = ?", sub)
        else:
            self._sql.exec("UPDATE Subjects SET isAdmin = 0 WHERE sub = ?", sub)

    def delete(self, sub: str) -> None:
        """Gone, with what refers to it in either role (AU-27)."""
        self._sql.exec("DELETE FROM AuthorizedActors WHERE principalSub = ? OR actorSub = ?", sub, sub)
        self._sql.exec("DELETE FROM Subjects WHERE sub = ?", sub)

    def add_actor(self, principal: str, actor: str) -> None:
        """``actor`` may act for ``principal``.  Idempotent."""
        self._sql.exec(
            "INSERT OR IGNORE INTO AuthorizedActors (principalSub, actorSub) VALUES (?, ?)", principal, actor
        )

    def remove_actor(self, principal: str, actor: str) -> None:
        """No longer.  Idempotent."""
        self._sql.exec("DELETE FROM AuthorizedActors WHERE principalSub = ? AND actorSub = ?", principal, actor)

    def may_act_for(self, principal: str, actor: str) -> bool:
        """Whether ``actor`` is among the principal's actors."""
        query = "SELECT 1 FROM AuthorizedActors WHERE principalSub = ? AND actorSub = ?"
        return bool(self._sql.exec(query, principal, actor).to_array())

    def _one(self, query: str, key: str) -> Subject | None:
        rows = self._sql.exec(query, key).to_array()
        return self._subject(rows[0]) if rows else None

    def _subject(self, row: dict[str, Any]) -> Subject:
        query = "SELECT actorSub FROM AuthorizedActors WHERE principalSub = ? ORDER BY actorSub"
        actors = tuple(found["actorSub"] for found in self._sql.exec(query, row["sub"]))
        return Subject(
            row["sub"], row["email"], bool(row["emailVerified"]), bool(row["adminApproved"]), bool(row["isAdmin"]),
            row["createdAt"], row["lastLoginAt"], actors,
        )  # fmt: skip
