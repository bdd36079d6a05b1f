"""Hands: processes of our own that run units for whoever is asked to.

Not the processes or threads of an executor themselves.  A run makes the clock, the
randomness and the collector of its whole process virtual, which a worker of a cluster with
an event loop of its own does not survive; a new process is also the only one that surely
has not imported an older version of the app.  And a hand that dies takes one unit with
it, which is then known by number.

The two sides speak lines of JSON over pipes.  Standard output of the app goes to standard
error meanwhile.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from typing import IO, Any

from lumenize_sim.errors import AppError, LumenizeSimError, SimulatorError, UsageError
from lumenize_sim.explore.assignment import Assignment
from lumenize_sim.explore.shard import Shard
from lumenize_sim.explore.strategies import Corpus
from lumenize_sim.explore.tally import Tally
from lumenize_sim.explore.unit import Unit

__all__ = ["Hand", "HandLost", "answer_of", "main", "run_apart", "task_of"]

_ERRORS: dict[str, type[LumenizeSimError]] = {error.__name__: error for error in (AppError, SimulatorError, UsageError)}


class HandLost(Exception):
    """The process that ran a unit ended without an answer; the text says how."""


def task_of(assignment: Assignment, unit: Unit, corpus: Corpus) -> str:
    """What a hand is asked."""
    return json.dumps(
        {"assignment": assignment.to_json(), "unit": [unit.index, unit.first, unit.count], "corpus": corpus.to_json()}
    )


def answer_of(text: str) -> Tally | LumenizeSimError:
    """What a hand answered."""
    answer = json.loads(text)
    if "error" in answer:
        name, message = answer["error"]
        return _ERRORS[name](message)
    return Tally.from_json(answer["tally"])


class Hand:
    """One process, started when it is first asked, and anew for another assignment.

    A hand may be asked by one thread at a time, and killed by any.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._assigned: Any = None
        self._dead = False

    def run(self, task: str) -> str:
        """Ask.

        Raises:
            HandLost: the process ended without an answer.
        """
        assigned = json.loads(task)["assignment"]
        if assigned != self._assigned:
            self._end()
        self._assigned = assigned
        process = self._process = self._process or _started()
        assert process.stdin is not None
        assert process.stdout is not None
        if self._dead:  # killed while it was being started
            self._end()
            raise HandLost("it was stopped")
        try:
            # Past the buffer: what is left in one when the process dies cannot be got rid of quietly.
            left = memoryview(task.encode() + b"\n")
            while left:
                left = left[os.write(process.stdin.fileno(), left) :]
            answer = process.stdout.readline().decode()
        except (BrokenPipeError, ValueError):
            answer = ""
        if not answer.endswith("\n"):
            code = self._end()
            raise HandLost(f"signal {-code}" if code < 0 else f"exit code {code}")
        return answer

    def kill(self) -> None:
        """End it now, and whatever it does."""
        self._dead = True
        if self._process is not None:
            self._process.kill()

    def _end(self) -> int:
        """Close the pipes, and wait for the end."""
        process, self._process = self._process, None
        if process is None:
            return 0
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            return process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def close(self) -> None:
        """End it and wait."""
        self.kill()
        self._end()


def _started() -> subprocess.Popen[bytes]:
    environment = dict(os.environ)
    # It must see the modules that this process sees, also from a checkout that is not installed.
    environment["PYTHONPATH"] = os.pathsep.join(
        [*(p for p in sys.path if p), environment.get("PYTHONPATH", "")]
    ).rstrip(os.pathsep)
    return subprocess.Popen(
        [sys.executable, "-c", "from lumenize_sim.explore.hand import main; main()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
        start_new_session=True,  # Ctrl-C is for whoever reads the answers
    )  # fmt: skip


# -- in threads of somebody else ------------------------------------------------------------

_local = threading.local()
_hands: list[Hand] = []


def run_apart(task: str) -> str:
    """Run a task in the hand of this thread: what executors are given."""
    hand: Hand | None = getattr(_local, "hand", None)
    if hand is None:
        hand = _local.hand = Hand()
        _hands.append(hand)
    return hand.run(task)


@atexit.register
def _close_all() -> None:
    for hand in _hands:
        hand.close()


# -- the other side -----------------------------------------------------------------------


def main() -> None:
    """Answer tasks until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _answer_all(os.fdopen(os.dup(0), encoding="utf-8"), answers)


def _answer_all(tasks: IO[str], answers: IO[str]) -> None:
    shard: Shard | None = None
    for line in tasks:
        task = json.loads(line)
        try:
            if shard is None:  # one assignment is all that a process ever gets
                shard = Assignment.from_json(task["assignment"]).shard()
            tally = shard.run(Unit(*task["unit"]), Corpus.from_json(task["corpus"]))
            answer: dict[str, Any] = {"tally": tally.to_json()}
        except LumenizeSimError as error:
            answer = {"error": [type(error).__name__, str(error)]}
        except Exception as error:
            answer = {"error": ["SimulatorError", f"{type(error).__name__}: {error}"]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
