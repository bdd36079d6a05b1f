"""The collaborative editor of the mesh's getting-started guide, as it stands there.

Two people edit a document; whoever subscribed is told of every change, and the author
of a change hears from the spell checker.  Explored, its design shows a race: the reply
to `subscribe` and a broadcast travel separately, and so do two broadcasts, so that an
old text may arrive last and stay.  `collab_editor` is the same app with that mended.
"""

from __future__ import annotations

from lumenize_sim import RESULT, LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, World, mesh, scenario

GATEWAY = "LUMENIZE_CLIENT_GATEWAY"
MISSPELT = {"teh": ["the"], "recieve": ["receive"], "adn": ["and"]}


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
    """One document: its text, and who has it open."""

    @mesh
    def subscribe(self) -> str:
        subscribers = self.ctx.storage.kv.get("subscribers", [])
        caller = self.lmz.call_context.call_chain[0].instance_name
        if caller not in subscribers:
            self.ctx.storage.kv.put("subscribers", [*subscribers, caller])
        text: str = self.ctx.storage.kv.get("content", "")
        return text

    @mesh(only_subscribers)
    def update(self, text: str) -> None:
        self.ctx.storage.kv.put("content", text)
        name = self.lmz.instance_name
        assert name is not None
        for subscriber in self.ctx.storage.kv.get("subscribers", []):
            self.lmz.call(GATEWAY, subscriber, self.ctn(EditorClient).handle_content_update(name, text), new_chain=True)
        author = self.lmz.call_context.call_chain[0].instance_name
        assert author is not None
        self.lmz.call("SPELLCHECK_WORKER", None, self.ctn(SpellCheckWorker).check(name, text, author))


class EditorClient(LumenizeClient):
    """An open editor."""

    def start(self) -> None:
        """What the editor shows, and what it was told, in order."""
        self.shown: dict[str, str] = getattr(self, "shown", {})
        self.told: list[tuple[str, object]] = getattr(self, "told", [])

    def open(self, document: str) -> None:
        """Subscribe, and show the text that comes back."""
        self.start()
        self.shown.setdefault(document, "")
        self.lmz.call("DOCUMENT_DO", document, self.ctn(DocumentDO).subscribe(), self.ctn().show(document, RESULT))

    def save(self, document: str, text: str) -> None:
        """Send the text; it is shown when it comes back."""
        self.lmz.call("DOCUMENT_DO", document, self.ctn(DocumentDO).update(text))

    def show(self, document: str, text: str | Exception) -> None:
        """The answer to `subscribe`."""
        if isinstance(text, str):
            self.handle_content_update(document, text)

    @mesh
    def handle_content_update(self, document: str, text: str) -> None:
        self.shown = {**self.shown, document: text}
        self.told.append(("content", text))

    @mesh
    def handle_spell_findings(self, document: str, findings: list[dict[str, object]]) -> None:
        self.told.append(("spell", findings))

    def on_subscription_required(self) -> None:
        """The mesh has forgotten this client: open everything again."""
        self.start()
        for document in list(self.shown):
            self.open(document)


app = Mesh(bindings={"DOCUMENT_DO": DocumentDO, "SPELLCHECK_WORKER": SpellCheckWorker})


@scenario(app)
async def collab_editor_tutorial(world: World) -> None:
    """When all is quiet, every open editor shows the document's text."""
    alice = await world.connect(EditorClient, sub="alice")
    alice.open("doc-1")
    await world.settle()
    bob = await world.connect(EditorClient, sub="bob")
    bob.open("doc-1")
    alice.save("doc-1", "The quick brown fox")
    await world.settle()
    document = world.object("DOCUMENT_DO", "doc-1").storage.kv.get("content")
    for name, editor in (("alice", alice), ("bob", bob)):
        shown = editor.shown["doc-1"]
        assert shown == document, f"{name} sees {shown!r}, the document says {document!r}"
