"""What lets somebody in: magic links, invitations, refresh tokens (AU-8 to AU-13)."""

from __future__ import annotations

from typing import Final

import attrs

from lumenize_sim.auth.tokens import hash_string
from lumenize_sim.objects.storage.sql import SqlStorage

__all__ = ["GRANTS_SCHEMA", "Grants", "Link", "RefreshToken"]

GRANTS_SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS MagicLinks (
        token TEXT PRIMARY KEY,
        email TEXT NOT NULL,
        expiresAt INTEGER NOT NULL,
        used INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS idx_MagicLinks_email ON MagicLinks(email)",
    """CREATE TABLE IF NOT EXISTS InviteTokens (
        token TEXT PRIMARY KEY,
        email TEXT NOT NULL,
        expiresAt INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS idx_InviteTokens_email ON InviteTokens(email)",
    """CREATE TABLE IF NOT EXISTS RefreshTokens (
        tokenHash TEXT PRIMARY KEY,
        subjectId TEXT NOT NULL REFERENCES Subjects(sub) ON DELETE CASCADE,
        expiresAt INTEGER NOT NULL,
        createdAt INTEGER NOT NULL,
        revoked INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS idx_RefreshTokens_subjectId ON RefreshTokens(subjectId)",
    "CREATE INDEX IF NOT EXISTS idx_RefreshTokens_expiresAt ON RefreshTokens(expiresAt)",
)


@attrs.frozen
class Link:
    """A magic link or an invitation that is there.

    Attributes:
        expires_at: epoch milliseconds; valid up to and including then.
    """

    email: str
    expires_at: int

    def expired(self, now_ms: int) -> bool:
        """Whether it is too late."""
        return now_ms > self.expires_at


@attrs.frozen
class RefreshToken:
    """What is kept of a refresh token; of the token itself only the hash is (AU-25)."""

    token_hash: str
    subject_id: str
    expires_at: int
    revoked: bool

    def expired(self, now_ms: int) -> bool:
        """Whether it is too late."""
        return now_ms > self.expires_at


class Grants:
    """The three tables."""

    def __init__(self, sql: SqlStorage) -> None:
        self._sql = sql

    def sweep(self, now_ms: int) -> None:
        """Forget what has expired (AU-30)."""
        for table in ("RefreshTokens", "MagicLinks", "InviteTokens"):
            self._sql.exec(f"DELETE FROM {table} WHERE expiresAt < ?", now_ms)

    def forget(self, sub: str, email: str) -> None:
        """All of a subject that is deleted (AU-27)."""
        self._sql.exec("DELETE FROM RefreshTokens WHERE subjectId = ?", sub)
        self._sql.exec("DELETE FROM MagicLinks WHERE email = ?", email)
        self._sql.exec("DELETE FROM InviteTokens WHERE email = ?", email)

    # -- links ---------------------------------------------------------------------------

    def add_magic_link(self, token: str, email: str, expires_at: int) -> None:
        """Valid once."""
        self._sql.exec("INSERT INTO MagicLinks (token, email, expiresAt) VALUES (?, ?, ?)", token, email, expires_at)

    def magic_link(self, token: str) -> Link | None:
        """The link of this token."""
        return self._link("MagicLinks", token)

    def spend_magic_link(self, token: str) -> None:
        """It was used: there is no such link any more (AU-9)."""
        self._sql.exec("DELETE FROM MagicLinks WHERE token = ?", token)

    def add_invitation(self, token: str, email: str, expires_at: int) -> None:
        """Valid until it expires, however often (AU-11)."""
        self._sql.exec("INSERT INTO InviteTokens (token, email, expiresAt) VALUES (?, ?, ?)", token, email, expires_at)

    def invitation(self, token: str) -> Link | None:
        """The invitation of this token."""
        return self._link("InviteTokens", token)

    def _link(self, table: str, token: str) -> Link | None:
        rows = self._sql.exec(f"SELECT email, expiresAt FROM {table} WHERE token = ?", token).to_array()
        return Link(rows[0]["email"], rows[0]["expiresAt"]) if rows else None

    # -- refresh tokens ------------------------------------------------------------------

    def add_refresh_token(self, token: str, sub: str, *, now_ms: int, ttl_s: int) -> None:
        """Valid once; only its hash is kept (AU-25)."""
        self._sql.exec(
            "INSERT INTO RefreshTokens (tokenHash, subjectId, expiresAt, createdAt) VALUES (?, ?, ?, ?)",
            hash_string(token), sub, now_ms + ttl_s * 1000, now_ms,
        )  # fmt: skip

    def refresh_token(self, token: str) -> RefreshToken | None:
        """What is kept of this token, revoked or not."""
        query = "SELECT tokenHash, subjectId, expiresAt, revoked FROM RefreshTokens WHERE tokenHash = ?"
        rows = self._sql.exec(query, hash_string(token)).to_array()
        if not rows:
            return None
        row = rows[0]
        return RefreshToken(row["tokenHash"], row["subjectId"], row["expiresAt"], bool(row["revoked"]))

    def revoke(self, token_hash: str) -> None:
        """It does not let anybody in any more."""
        self._sql.exec("UPDATE RefreshTokens SET revoked = 1 WHERE tokenHash = ?", token_hash)

    def revoke_all(self, sub: str) -> None:
        """No token of this subject does (AU-27)."""
        self._sql.exec("UPDATE RefreshTokens SET revoked = 1 WHERE subjectId = ?", sub)
