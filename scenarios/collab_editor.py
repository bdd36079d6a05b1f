"""The collaborative editor of the getting-started guide, with its race mended.

The document numbers its texts, and an editor shows only what is newer than what it
has: so it does not matter that the reply to `subscribe` and a broadcast, or two
broadcasts, may overtake each other.  An editor subscribes again whenever it is
connected again, because a frame may have been lost with the old socket, and again
after a while when the answer is an error.
"""

from __future__ import annotations

import trio

from lumenize_sim import RESULT, Faults, LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, World, mesh, scenario

GATEWAY = "LUMENIZE_CLIENT_GATEWAY"
MISSPELT = {"teh": ["the"], "recieve": ["receive"], "adn": ["and"]}
RETRY_S = 2.0


class SpellCheckWorker(LumenizeWorker):
    """Checks a text and sends what it finds straight to the author, not back to the document."""

    @mesh
    def check(self, document: str, text: str, author: str) -> None:
        findings = []
        position = 0
        for word in text.split(" "):
            bare = word.strip(".,!?").lower()
            if bare in MISSPELT:
                findings.append({"word": bare, "position": position, "suggestions": MISSPELT[bare]})
            position += len(word) + 1
        if findings:
            self.lmz.call(GATEWAY, author, self.ctn(EditorClient).handle_spell_findings(document, findings))


def only_subscribers(document: DocumentDO) -> None:
    """Guard: whoever changes a document must have opened it."""
    caller = document.lmz.call_context.call_chain[0].instance_name
    if caller not in document.ctx.storage.kv.get("subscribers", []):
        raise PermissionError(f"{caller} has not opened this document")


class DocumentDO(LumenizeDO):
    """One document: its text, the number of that text, and who has it open."""

    @mesh
    def subscribe(self) -> list[object]:
        kv = self.ctx.storage.kv
        subscribers = kv.get("subscribers", [])
        caller = self.lmz.call_context.call_chain[0].instance_name
        if caller not in subscribers:
            kv.put("subscribers", [*subscribers, caller])
        return [kv.get("number", 0), kv.get("content", "")]

    @mesh(only_subscribers)
    def update(self, text: str) -> None:
        kv = self.ctx.storage.kv
        number = kv.get("number", 0) + 1
        kv.put("number", number)
        kv.put("content", text)
        name = self.lmz.instance_name
        author = self.lmz.call_context.call_chain[0].instance_name
        assert name is not None
        assert author is not None
        for subscriber in kv.get("subscribers", []):
            update = self.ctn(EditorClient).handle_content_update(name, number, text)
            # An editor that cannot be reached subscribes again when it is back.
            self.lmz.call(
                GATEWAY, subscriber, update, self.ctn().not_reached(RESULT), new_chain=True, on_error_only=True
            )
        self.lmz.call("SPELLCHECK_WORKER", None, self.ctn(SpellCheckWorker).check(name, text, author))

    def not_reached(self, error: Exception) -> None:
        """A broadcast failed."""


class EditorClient(LumenizeClient):
    """An open editor."""

    def start(self) -> None:
        """What the editor shows, by document: number and text."""
        self.shown: dict[str, tuple[int, str]] = getattr(self, "shown", {})
        self.findings: list[dict[str, object]] = getattr(self, "findings", [])

    def open(self, document: str) -> None:
        """Subscribe, and show the text that comes back."""
        self.start()
        self.shown.setdefault(document, (-1, ""))
        self.subscribe(document)

    def save(self, document: str, text: str) -> None:
        """Send the text; it is shown when it comes back."""
        self.lmz.call("DOCUMENT_DO", document, self.ctn(DocumentDO).update(text), self.ctn().saved(RESULT))

    def saved(self, result: object) -> None:
        """The answer to `update`: an error is the author's to see, and changes nothing."""

    def subscribe(self, document: str) -> None:
        self.lmz.call(
            "DOCUMENT_DO", document, self.ctn(DocumentDO).subscribe(), self.ctn().subscribed(document, RESULT)
        )

    async def subscribed(self, document: str, answer: list[object] | Exception) -> None:
        """The answer to `subscribe`; after an error, try again in a while."""
        if isinstance(answer, Exception):
            await trio.sleep(RETRY_S)
            self.subscribe(document)
        else:
            number, text = answer
            assert isinstance(number, int)
            assert isinstance(text, str)
            self.handle_content_update(document, number, text)

    @mesh
    def handle_content_update(self, document: str, number: int, text: str) -> None:
        if number > self.shown[document][0]:
            self.shown = {**self.shown, document: (number, text)}

    @mesh
    def handle_spell_findings(self, document: str, findings: list[dict[str, object]]) -> None:
        self.findings.extend(findings)

    def on_connection_state_change(self, state: str) -> None:
        """Connected again: what was sent meanwhile may be lost, so ask for it."""
        self.start()
        if state == "connected":
            for document in list(self.shown):
                self.subscribe(document)


app = Mesh(bindings={"DOCUMENT_DO": DocumentDO, "SPELLCHECK_WORKER": SpellCheckWorker})
faults = Faults(
    kinds=("hibernate", "evict", "slow-flush", "partition", "disconnect", "half-open", "failed-flush", "crash"),
    at_most=4,
)


@scenario(app, faults=faults)
async def collab_editor(world: World) -> None:
    """When all is quiet, every open editor shows the document's text."""
    alice = await world.connect(EditorClient, sub="alice")
    alice.open("doc-1")
    bob = await world.connect(EditorClient, sub="bob")
    bob.open("doc-1")
    alice.save("doc-1", "The quick brown fox")
    await world.settle()
    bob.save("doc-1", "The quick brown fox jumps over teh lazy dog.")
    alice.save("doc-1", "The quick red fox")
    await world.settle()
    document = world.object("DOCUMENT_DO", "doc-1").storage.kv.get("content", "")
    for name, editor in (("alice", alice), ("bob", bob)):
        shown = editor.shown["doc-1"][1]
        assert shown == document, f"{name} sees {shown!r}, the document says {document!r}"
