"""What somebody outside sees of a Worker that fails (RPC-21)."""

from __future__ import annotations

import pytest

from lumenize_sim import DurableObject, Mesh, WorkerEntrypoint, World, scenario, simulate
from lumenize_sim.objects import Request, Response


class Busy(DurableObject):
    def fetch(self, request: Request) -> Response:
        return Response(200, "fine")


class Door(WorkerEntrypoint):
    async def fetch(self, request: Request) -> Response:
        if request.url.path == "/broken":
            raise ValueError("broken on purpose")
        answer: Response = await self.env.BUSY.get_by_name("b").fetch(request)
        return answer


@pytest.mark.parametrize("path, overload, status", [("/", False, 200), ("/broken", False, 500), ("/", True, 503)])
def test_a_failing_worker_answers_with_a_status(path: str, overload: bool, status: int) -> None:
    """RPC-21: 500, or 503 where the error is one of overload."""

    @scenario(Mesh(bindings={"BUSY": Busy}, main=Door))
    async def drive(world: World) -> None:
        if overload:
            world.object("BUSY", "b").refuse_next_call()
        assert (await world.fetch(path)).status == status

    run = simulate(drive)
    assert run.failure is None, run.outcome.message
    # Whoever asked does not learn why, and whoever wrote the app must.
    said = [line for line in run.outcome.logged if "is answered with status 500" in line]
    assert len(said) == (status == 500)
    assert all("GET https://mesh.simulated/broken" in line and "ValueError: broken on purpose" in line for line in said)
