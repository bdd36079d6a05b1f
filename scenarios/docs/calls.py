"""The guide to calls: nesting, capabilities, two one-way calls, errors with their class, direct delivery.

A document tells its words to a Worker, which counts them and tells the document's
statistics object: nobody waits, and the author's identity goes all the way.
"""

from __future__ import annotations

from lumenize_sim import (
    RESULT,
    AppError,
    Faults,
    LumenizeClient,
    LumenizeDO,
    LumenizeWorker,
    Mesh,
    World,
    mesh,
    scenario,
)
from lumenize_sim.clone import register_error

GATEWAY = "LUMENIZE_CLIENT_GATEWAY"


class AdminAccessError(AppError):
    """Not an admin; knows whom it was told to."""

    def __init__(self, message: str = "", user_id: str = "") -> None:
        super().__init__(message)
        self.user_id = user_id


register_error(AdminAccessError, properties={"user_id": "userId"})


class Calculator(LumenizeDO):
    """Sums that may be nested into one round trip."""

    @mesh
    def add(self, a: int, b: int) -> int:
        return a + b

    @mesh
    def multiply(self, a: int, b: int) -> int:
        return a * b


class Admin:
    """What only an admin is given."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def force_reset(self) -> str:
        """Empty the document; returns what it was."""
        kv = self.document.ctx.storage.kv
        before: str = kv.get("content", "")
        kv.delete("content")
        return before


class Document(LumenizeDO):
    """A text."""

    @mesh
    def save(self, text: str) -> None:
        self.ctx.storage.kv.put("content", text)
        name = self.lmz.instance_name
        assert name is not None
        self.lmz.call("ANALYTICS", None, self.ctn(Analytics).count(name, text))

    @mesh
    def admin(self) -> Admin:
        auth = self.lmz.call_context.origin_auth
        claims = dict(auth.claims or {}) if auth is not None else {}
        if not claims.get("isAdmin"):
            raise AdminAccessError("Admin access required", auth.sub if auth is not None else "")
        return Admin(self)

    @mesh
    def announce(self, clients: list[str], text: str) -> None:
        """Directly to each client, with this object as origin."""
        for client in clients:
            self.lmz.call(GATEWAY, client, self.ctn(Author).heard(text), new_chain=True)


class Analytics(LumenizeWorker):
    """Counts, and tells the statistics by a call of its own."""

    @mesh
    def count(self, document: str, text: str) -> None:
        words = len(text.split())
        minutes = max(1, round(words / 200))
        self.lmz.call("STATISTICS", document, self.ctn(Statistics).store(words, len(text), minutes))


class Statistics(LumenizeDO):
    """What is known of one document."""

    def on_before_call(self) -> None:
        """The author's identity has come all the way."""
        if self.lmz.call_context.origin_auth is None:
            raise PermissionError("statistics are stored for people only")

    @mesh
    def store(self, words: int, characters: int, minutes: int) -> None:
        auth = self.lmz.call_context.origin_auth
        assert auth is not None
        self.ctx.storage.kv.put("statistics", [words, characters, minutes, auth.sub])


class Author(LumenizeClient):
    """Writes, and notes what comes back."""

    def begin(self) -> None:
        """Nothing has come back yet."""
        self.answers: list[object] = []
        self.told: list[tuple[str, str, bool]] = []

    def compute(self) -> None:
        """Two nested sums, each in one round trip."""
        ctn = self.ctn(Calculator)
        self.lmz.call("CALCULATOR", "c", ctn.add(ctn.add(1, 10), ctn.add(100, 1000)), self.ctn().answered(RESULT))
        self.lmz.call("CALCULATOR", "c", ctn.multiply(5, ctn.add(2, 3)), self.ctn().answered(RESULT))

    def save(self, text: str) -> None:
        """No answer is wanted."""
        self.lmz.call("DOCUMENT", "d", self.ctn(Document).save(text), self.ctn().failed(RESULT), on_error_only=True)

    def reset(self) -> None:
        """A call on what a call returned."""
        self.lmz.call("DOCUMENT", "d", self.ctn(Document).admin().force_reset(), self.ctn().answered(RESULT))

    def answered(self, answer: object) -> None:
        """Needs no ``@mesh``: it is this client's own handler."""
        self.answers.append(answer)

    def failed(self, error: Exception) -> None:
        """It was not saved."""
        self.answers.append(error)

    @mesh
    def heard(self, text: str) -> None:
        context = self.lmz.call_context
        origin = context.call_chain[0]
        self.told.append((text, origin.type, context.origin_auth is None))


TEXT = "The quick brown fox jumps over the lazy dog every day"

app = Mesh(
    bindings={
        "CALCULATOR": Calculator, "DOCUMENT": Document, "ANALYTICS": Analytics, "STATISTICS": Statistics,
    }
)  # fmt: skip


@scenario(app)
async def calls(world: World) -> None:
    """What the guide promises of each kind of call."""
    author = await world.connect(Author, sub="alice")
    admin = await world.connect(Author, sub="root", claims={"isAdmin": True})
    author.begin()
    admin.begin()
    author.compute()
    await world.settle()
    assert sorted(str(answer) for answer in author.answers) == ["1111", "25"]
    author.answers.clear()

    author.save(TEXT)
    await world.settle()
    statistics = world.object("STATISTICS", "d").storage.kv.get("statistics")
    assert statistics == [11, len(TEXT), 1, "alice"], statistics

    author.reset()
    await world.settle()
    (error,) = author.answers
    assert isinstance(error, AdminAccessError), error
    assert (str(error), error.user_id) == ("Admin access required", "alice")
    admin.reset()
    await world.settle()
    assert admin.answers == [TEXT]
    assert world.object("DOCUMENT", "d").storage.kv.get("content") is None

    await world.env.DOCUMENT.get_by_name("d").announce(["alice.tab1", "root.tab1"], "closed")
    await world.settle()
    assert author.told == admin.told == [("closed", "LumenizeDO", True)]


@scenario(app, faults=Faults.all(at_most=3), name="calls_under_faults")
async def calls_under_faults(world: World) -> None:
    """Statistics are never of a text that was not saved, and an answer, where one comes, is right."""
    author = await world.connect(Author, sub="alice", wait=False)
    author.begin()
    author.compute()
    author.save(TEXT)
    await world.settle()
    world.quiet()
    await world.settle()
    for answer in author.answers:
        assert isinstance(answer, Exception) or answer in (1111, 25), answer
    statistics = world.object("STATISTICS", "d").storage.kv.get("statistics")
    assert statistics in (None, [11, len(TEXT), 1, "alice"]), statistics
