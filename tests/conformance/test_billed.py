"""What the litmus tests of section 10 say about bills, which no outcome shows."""

from __future__ import annotations

from lumenize_sim import simulate
from tests.conformance.lt_rpc import lt_71b
from tests.conformance.lt_sockets import lt_76, lt_77
from tests.conformance.program import PRODUCTION, Program


def active_s(program: Program) -> float:
    """For how long the object ``D/o`` was billed."""
    run = simulate(program.scenario(PRODUCTION, []))
    assert run.failure is None
    (used,) = [o.used for o in run.cost.objects if o.name == "D/o"]
    return used.active_us / 1_000_000


def test_an_object_whose_stub_is_held_is_billed_all_the_time() -> None:
    """LT-71b, RPC-14b: for the 60 s that somebody could call it, and no longer."""
    assert active_s(lt_71b) == 60


def test_an_object_that_could_hibernate_is_not_billed_for_being_idle() -> None:
    """LT-76, BL-4; and LT-77, LC-17: one with a timer is."""
    assert active_s(lt_76) == 0
    assert active_s(lt_77) == 60
