"""An assistant that awaits a slow model: right, and billed for every second of it.

While the object waits for the answer it is active, which is billed by wall-clock time (BL-4),
and so is the gateway that waits for the object.  `slow_two_one_way` asks and answers the same
without waiting.
"""

from __future__ import annotations

from lumenize_sim import LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, Response, World, mesh, scenario

MODEL = "https://model.example"


class Model(LumenizeWorker):
    """Asks the model, which takes its time."""

    @mesh
    async def complete(self, question: str) -> str:
        response = await self.ctx.fetch(MODEL, method="POST", body=question.encode())
        return str(response.text)


class Assistant(LumenizeDO):
    """A conversation."""

    @mesh
    async def ask(self, question: str) -> None:
        answer = await self.lmz.call_raw("MODEL", None, self.ctn(Model).complete(question))  # active all the while
        self.ctx.storage.kv.put(question, answer)


class Person(LumenizeClient):
    """Asks one question."""

    def ask(self, name: str, question: str) -> None:
        self.lmz.call("ASSISTANT", name, self.ctn(Assistant).ask(question))


app = Mesh(bindings={"ASSISTANT": Assistant, "MODEL": Model})


@scenario(app)
async def slow_question(world: World) -> None:
    """A question that was asked is answered when all is quiet."""
    world.server(MODEL, lambda request: Response(200, b"42"), latency_s=20)
    person = await world.connect(Person, sub="alice")
    person.ask("chat", "what is it?")
    await world.settle()
    answer = world.object("ASSISTANT", "chat").storage.kv.get("what is it?")
    assert answer == "42", f"asked, but the answer is {answer!r}"
