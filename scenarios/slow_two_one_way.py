"""The assistant of `slow_round_trip`, by two one-way calls: one asks, another brings the answer.

Nobody waits for the model but a Worker, whose waiting is not billed by duration.  The
object is idle and hibernateable meanwhile, which is free (BL-4); the price is a request more.
"""

from __future__ import annotations

from lumenize_sim import LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, Response, World, mesh, scenario

MODEL = "https://model.example"


class Model(LumenizeWorker):
    """Takes a question, and brings the answer when it has come."""

    @mesh
    def complete(self, name: str, question: str) -> None:
        self.ctx.wait_until(self._complete(name, question))  # and the call is over

    async def _complete(self, name: str, question: str) -> None:
        response = await self.ctx.fetch(MODEL, method="POST", body=question.encode())
        await self.lmz.call_raw("ASSISTANT", name, self.ctn(Assistant).answered(question, str(response.text)))


class Assistant(LumenizeDO):
    """A conversation."""

    @mesh
    def ask(self, question: str) -> None:
        name = self.lmz.instance_name
        assert name is not None
        self.lmz.call("MODEL", None, self.ctn(Model).complete(name, question))

    @mesh
    def answered(self, question: str, answer: str) -> None:
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
