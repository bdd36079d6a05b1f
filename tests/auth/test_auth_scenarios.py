"""The scenarios with logins: one survives what may go wrong, a planted bug is found, its twin survives (AU-13)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lumenize_sim import Mesh, World, explore, replay, scenario, simulate
from lumenize_sim.auth import KeyPair, LumenizeAuth, login_with_magic_link
from lumenize_sim.explore import load_scenario
from lumenize_sim.explore.loading import load_module
from lumenize_sim.testing import Browser
from lumenize_sim.world.entry import MESH_HOST

ROOT = Path(__file__).parents[2]
DIARY, BUG, TWIN = (
    load_scenario(ROOT / "scenarios" / f"{name}.py") for name in ("login", "shared_login", "shared_login_fixed")
)
_DIGEST = "import sys, lumenize_sim; print(lumenize_sim.replay(sys.argv[1]).digest)"


def test_a_login_and_a_call_survive_what_may_go_wrong() -> None:
    """LC-43, CL-20, AU-13: lost requests and answers, crashes, evictions, broken sockets."""
    assert not explore(DIARY, schedules=60).failures


@pytest.mark.slow
def test_a_login_and_a_call_survive_it_in_thousands_of_schedules() -> None:
    """The same; and every kind of fault happened."""
    report = explore(DIARY, schedules=3000)
    assert not report.failures
    assert report.coverage["faults_never"] == []


def test_runs_with_logins_and_faults_replay_to_the_same_digest() -> None:
    """Keys, cookies, ids and times are all the world's."""
    faults = 0
    for seed in range(12):
        run = simulate(DIARY, seed=seed)
        again = replay(run.tape, scenario=DIARY)
        assert (again.outcome.kind, again.digest) == ("passed", run.digest)
        faults += len(run.outcome.faults)
    assert faults >= 5


def test_two_pages_that_refresh_at_once_lose_a_login(tmp_path: Path) -> None:
    """First come, first served shows it; the tape has the same digest here and in processes with other hash seeds."""
    report = explore(BUG, schedules=20, save=tmp_path, verify=False)
    (failure,) = report.failures
    assert "has lost its login" in str(failure.run.failure)
    assert failure.run.tape.non_default == 0
    assert failure.run.path is not None
    assert replay(failure.run.path).digest == failure.run.digest
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", _DIGEST, str(failure.run.path)],
            capture_output=True, text=True, env=environment, cwd=ROOT, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == failure.run.digest


@pytest.mark.slow
def test_patient_pages_keep_their_login() -> None:
    """In every order that was tried."""
    assert not explore(TWIN, schedules=300).failures


def test_patient_pages_keep_their_login_in_a_few_orders() -> None:
    """The same, for every day."""
    assert not explore(TWIN, schedules=25).failures


def test_an_editor_in_a_browser_logs_in_by_magic_link_and_hears_of_its_changes() -> None:
    """T-BR-4: log in, connect with the cookie, subscribe, save; the text and the findings come back."""
    guide = load_module(ROOT / "scenarios" / "collab_editor_tutorial.py")
    app = Mesh(
        bindings={
            "DOCUMENT_DO": guide.DocumentDO,
            "SPELLCHECK_WORKER": guide.SpellCheckWorker,
            "LUMENIZE_AUTH": LumenizeAuth,
        },
        vars={
            "LUMENIZE_AUTH_REDIRECT": "/",
            "LUMENIZE_AUTH_TEST_MODE": "true",
            **KeyPair.from_seed("a key for tests").vars(),
        },
    )

    @scenario(app)
    async def drive(world: World) -> None:
        browser = Browser(world, "ann")
        login = await login_with_magic_link(
            browser, "ann@example.com", base_url=f"https://{MESH_HOST}", subject_data={"adminApproved": True}
        )
        page = browser.context(f"https://{MESH_HOST}")
        editor = await page.connect(guide.EditorClient)
        tab = page.session_storage.get_item("lmz_tab")
        assert editor.lmz.instance_name == f"{login.sub}.{tab}"
        editor.open("doc-1")
        await world.settle()
        assert editor.told == [("content", "")]
        editor.save("doc-1", "I recieve mail")
        await world.settle()
        found = [{"word": "recieve", "position": 2, "suggestions": ["receive"]}]
        assert editor.told == [("content", ""), ("content", "I recieve mail"), ("spell", found)]
        assert editor.shown == {"doc-1": "I recieve mail"}

    run = simulate(drive)
    assert run.failure is None, run.outcome.message
