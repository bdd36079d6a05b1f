"""Containers in the mesh (CO-1 … CO-5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lumenize_sim import RESULT, LumenizeClient, LumenizeDO, Mesh, World, mesh, scenario, simulate
from lumenize_sim.clone import register_error
from lumenize_sim.errors import AppError
from lumenize_sim.mesh.container import Container, LumenizeContainer, strip_container_target_port
from lumenize_sim.objects import Request, Response


class RenderError(AppError):
    """An error with a property of its own."""

    def __init__(self, message: str = "", page: int = 0) -> None:
        super().__init__(message)
        self.page = page


register_error(RenderError)


class Base(Container):
    """A container class of the platform."""

    def alarm(self, info: Any) -> None:
        """Its own."""
        self.ctx.storage.kv.put("alarm", "of the base")

    def on_start(self) -> None:
        """Its own."""

    def serve(self, request: Request) -> Response:
        """The program: says what reached it."""
        return Response(200, ", ".join(sorted(name for name in request.headers if not name.startswith("x-lumenize"))))


class Renderer(LumenizeContainer, Base):
    """A node of the mesh with a container."""

    calls = 0

    def on_before_call(self) -> None:
        self.calls += 1

    @mesh
    def render(self, text: str) -> str:
        return f"<{text}>"

    @mesh
    def counted(self) -> int:
        return self.calls

    def hidden(self) -> str:
        return "hidden"

    @mesh
    def fails(self) -> None:
        raise RenderError("cannot", 7)

    @mesh
    async def ask(self) -> str:
        return await self.lmz.call_raw("OTHER", "o", self.ctn(Other).hello())

    @mesh
    def me(self) -> list[Any]:
        return [self.lmz.type, self.lmz.binding_name, self.lmz.instance_name]

    def call_other(self) -> None:
        self.lmz.call("OTHER", "o", self.ctn(Other).hello(), self.ctn().heard(RESULT))

    def heard(self, result: Any) -> None:
        """Nothing to do."""


class Other(LumenizeDO):
    """Somebody to call."""

    @mesh
    def hello(self) -> str:
        return f"hello {self.lmz.call_context.call_chain[-1].binding_name}"


class Tab(LumenizeClient):
    """A client."""


def passes(test: Callable[[World, Any], Awaitable[None]]) -> None:
    @scenario(Mesh(bindings={"RENDERER": Renderer, "OTHER": Other}))
    async def driven(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        await test(world, lambda make: tab.lmz.call_raw("RENDERER", "r", make(tab.ctn(Renderer))))

    run = simulate(driven)
    if run.failure is not None:
        raise run.failure


def test_alarm_and_start_are_those_of_the_class_behind_and_the_mesh_is_added() -> None:
    """T-CP 1 to 4, CO-1, CO-2, CO-4."""
    assert Renderer.alarm is Base.alarm
    assert Renderer.on_start is Base.on_start
    assert all(hasattr(Renderer, name) for name in ("ctn", "on_before_call", "_execute_operation"))
    assert Renderer.fetch is LumenizeContainer.fetch
    assert Renderer.fetch is not Base.fetch
    assert not hasattr(Renderer, "svc")
    assert Renderer.enable_internet is False


def test_a_request_loses_the_port_and_keeps_everything_else() -> None:
    """T-CP 5, 6, CO-5."""
    request = Request("POST", "https://x/y", {"cf-container-target-port": "22", "accept": "z"}, b"body")
    stripped = strip_container_target_port(request)
    assert dict(stripped.headers) == {"accept": "z"}
    assert (stripped.method, str(stripped.url), stripped.body) == ("POST", "https://x/y", b"body")
    assert request.headers["cf-container-target-port"] == "22"
    assert strip_container_target_port(stripped) is stripped


def test_a_call_reaches_a_marked_method_and_no_other() -> None:
    """T-CS 1 to 4: `on_before_call` once a call, errors with class and property."""

    async def drive(world: World, ask: Any) -> None:
        assert await ask(lambda ctn: ctn.render("page")) == "<page>"
        assert await ask(lambda ctn: ctn.counted()) == 2
        with pytest.raises(Exception, match="Method 'hidden' is not mesh-callable"):
            await ask(lambda ctn: ctn.hidden())
        with pytest.raises(RenderError, match="cannot") as raised:
            await ask(lambda ctn: ctn.fails())
        assert raised.value.page == 7

    passes(drive)


def test_one_call_stamps_the_identity_and_then_it_can_call_others() -> None:
    """T-CS 5, 6, LMZ-1, LMZ-7."""

    async def drive(world: World, ask: Any) -> None:
        assert await ask(lambda ctn: ctn.me()) == ["LumenizeDO", "RENDERER", "r"]
        assert await ask(lambda ctn: ctn.ask()) == "hello RENDERER"

    passes(drive)


def test_one_that_was_never_called_does_not_know_its_binding() -> None:
    """T-CS 7, CALL-5."""

    async def drive(world: World, ask: Any) -> None:
        with pytest.raises(Exception, match="Cannot use call\\(\\) from a DO that doesn't know its own binding name"):
            await world.env.RENDERER.get_by_name("fresh").call_other()

    passes(drive)


def test_a_request_stamps_the_identity_and_reaches_the_program_without_a_port() -> None:
    """CO-3, LMZ-9, LMZ-10."""

    async def drive(world: World, ask: Any) -> None:
        stub = world.env.RENDERER.get_by_name("web")
        headers = {
            "x-lumenize-do-binding-name": "RENDERER", "x-lumenize-do-instance-name-or-id": "web",
            "cf-container-target-port": "22", "accept": "z",
        }  # fmt: skip
        response = await stub.fetch("https://x/", headers=headers)
        assert response.text == "accept"
        assert await stub.me() == ["LumenizeDO", "RENDERER", "web"]
        refused = await stub.fetch("https://x/", headers={"x-lumenize-do-instance-name-or-id": "ab" * 32})
        assert (refused.status, refused.text) == (400, "LumenizeContainer requires instanceName, not a DO id string.")
        refused = await stub.fetch("https://x/", headers={"x-lumenize-do-binding-name": "OTHER"})
        assert refused.status == 500

    passes(drive)
