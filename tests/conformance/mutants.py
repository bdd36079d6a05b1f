"""The rules that `tests.conformance.mutations` flips, one at a time: which text, what instead, who must notice."""

from __future__ import annotations

from typing import Final

import attrs

__all__ = ["MUTANTS", "Mutant"]


@attrs.frozen
class Mutant:
    """One rule, flipped.

    Attributes:
        name: what the package does then.
        rules: of the reference, which that breaks.
        file: in the package.
        old: text that stands there exactly once.
        new: what stands there instead.
        tests: pytest's names of those of which one must fail; as few as will do.
    """

    name: str
    rules: tuple[str, ...]
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def litmus(program: str, runtime: str = "production") -> str:
    """The test of one litmus program in a few schedules."""
    where = "tests/conformance/test_conformance.py::test_nothing_comes_out_that_must_not"
    return f"{where}[{program}-{runtime}]"


MUTANTS: Final = (
    # -- input gate
    Mutant(
        "the gate never closes: a section keeps nothing out",
        ("IG-2", "IG-22"),
        "objects/incarnation.py",
        "            gate = arrival.gate = self.gate\n",
        "            gate = self.gate\n"
        "            while gate._inner is not None:\n"
        "                gate = gate._inner\n"
        "            arrival.gate = gate\n",
        (litmus("LT-16"),),
    ),
    Mutant(
        "the last waiter is granted first",
        ("IG-3",),
        "objects/gate.py",
        "item = waiters.popleft()",
        "item = waiters.pop()",
        ("tests/objects/test_gate.py::test_waiters_are_granted_one_by_one_in_the_order_they_came",),
    ),
    Mutant(
        "events are granted before sections",
        ("IG-3", "IG-18"),
        "objects/gate.py",
        "        if gate._children:\n",
        "        if gate._children and not gate._waiters:\n",
        (litmus("LT-13"),),
    ),
    Mutant(
        "a section has no timeout",
        ("IG-21",),
        "objects/sections.py",
        "SECTION_TIMEOUT_S * 1_000_000\n",
        "SECTION_TIMEOUT_S * 1_000_000_000\n",
        (litmus("LT-20"),),
    ),
    Mutant(
        "a failing section resets nothing",
        ("IG-20",),
        "objects/sections.py",
        "if type(result) is outcome.Error and resets:",
        "if type(result) is outcome.Error and not resets:",
        (litmus("LT-18"),),
    ),
    Mutant(
        "a failing transaction resets",
        ("IG-30",),
        "objects/sections.py",
        "return self.block(body, resets=False)",
        "return self.block(body)",
        (litmus("LT-39"),),
    ),
    Mutant(
        "events overtake the continuation of a section",
        ("IG-25",),
        "objects/sections.py",
        "            incarnation.following.append(after)\n",
        '            waiters: Any = adopter._waiters or __import__("collections").deque()\n'
        "            waiters.append(after)\n"
        "            adopter._waiters = waiters\n"
        "            granted = adopter.release()\n"
        "            if granted is not None:\n"
        "                incarnation.following.append(granted)\n",
        (litmus("LT-17"),),
    ),
    Mutant(
        "sections nest without limit",
        ("IG-27",),
        "objects/gate.py",
        "if gate.max_depth is not None and gate.depth >= gate.max_depth:",
        "if gate.max_depth is not None and gate.depth > 10 * gate.max_depth:",
        (litmus("LT-22"),),
    ),
    Mutant(
        "a read that waits does not hold the gate",
        ("IG-5", "IG-7"),
        "objects/incarnation.py",
        "        if turn is None:\n            return self.wait_for(label)\n        gate = turn.gate\n",
        "        if turn is None or turn.gate is not None:\n"
        "            return self.wait_for(label)\n"
        "        gate = turn.gate\n",
        (litmus("LT-8"),),
    ),
    # -- output gate, commits
    Mutant(
        "output is not held",
        ("OG-1", "OG-10"),
        "objects/commits.py",
        "self._leave(effect, number if wrote and confirmed else before)",
        "self._leave(effect, before)",
        (litmus("LT-25"),),
    ),
    Mutant(
        "output waits for writes that come after it",
        ("OG-9",),
        "objects/commits.py",
        "self._leave(effect, number if wrote and confirmed else before)",
        "self._leave(effect, number if confirmed else before)",
        (litmus("LT-28"),),
    ),
    Mutant(
        "an unconfirmed write locks the gate",
        ("OG-23",),
        "objects/storage/store.py",
        "        if confirmed:\n            for frame",
        "        if True:\n            for frame",
        (litmus("LT-31 slow"),),
    ),
    Mutant(
        "a failed flush resets nothing",
        ("OG-10", "LC-35"),
        "objects/commits.py",
        '            incarnation.machine.reset(reset_error(FLUSH_FAILED), kind="flush-failed")\n',
        "",
        (litmus("LT-31"),),
    ),
    Mutant(
        "a lock of the output gate lasts for ever",
        ("OG-5",),
        "objects/output_gate.py",
        "LOCK_TIMEOUT_S: Final = 30\n",
        "LOCK_TIMEOUT_S: Final = 30_000_000_000\n",
        (litmus("LT-44"),),
    ),
    Mutant(
        "sync does not end the turn",
        ("IG-12",),
        "objects/commits.py",
        'return self.when_durable("sync", lambda: None, True)',
        "return Pending.of(None)",
        (litmus("LT-33"),),
    ),
    Mutant(
        "each asynchronous put is durable by itself",
        ("OG-15",),
        "objects/storage/async_kv.py",
        "        self._kv.write(key, encode_cbor(value, stored=True), confirmed)\n",
        "        self._kv.write(key, encode_cbor(value, stored=True), confirmed)\n"
        "        self._store.flushed(self._store.commit() or 0)\n",
        (litmus("LT-34"),),
    ),
    Mutant(
        "the error of a method waits for the output gate",
        ("OG-8",),
        "objects/options.py",
        "rpc_errors_wait: bool | Explored = attrs.field(default=False",
        "rpc_errors_wait: bool | Explored = attrs.field(default=True",
        (litmus("LT-40 RPC"),),
    ),
    Mutant(
        "an awaited write is a commit of its own",
        ("OG-16",),
        "objects/options.py",
        "awaited_writes_split: bool | Explored = attrs.field(default=False",
        "awaited_writes_split: bool | Explored = attrs.field(default=True",
        ("tests/objects/test_storage_splitting.py::test_without_the_option_and_without_an_await_they_are_one_commit",),
    ),
    # -- resets
    Mutant(
        "a crash keeps unflushed commits",
        ("OG-14", "OG-20"),
        "objects/life.py",
        "_BREAKS = Kept()",
        "_BREAKS = Kept(unflushed=True)",
        (litmus("LT-25"),),
    ),
    Mutant(
        "abort commits the turn",
        ("LC-32",),
        "objects/machine.py",
        '        self.broken(incarnation, error, "abort")\n',
        "        incarnation.store.flushed(incarnation.store.commit() or 0)\n"
        '        self.broken(incarnation, error, "abort")\n',
        (litmus("LT-42"),),
    ),
    Mutant(
        "abort is an exception that can be caught",
        ("LC-32",),
        "objects/isolate.py",
        "class InstanceGone(BaseException):",
        "class InstanceGone(Exception):",
        (litmus("LT-42"),),
    ),
    Mutant(
        "a throw rolls the writes before it back",
        ("OG-18",),
        "objects/isolate.py",
        "            result = context.run(function, *args)\n",
        "            storage = self.instance.ctx.storage\n"
        "            result = context.run(storage.transaction_sync, lambda: function(*args))\n",
        (litmus("LT-37"),),
    ),
    Mutant(
        "a throw resets",
        ("LC-30",),
        "objects/options.py",
        "reset_on_throw: bool | Explored = attrs.field(default=False",
        "reset_on_throw: bool | Explored = attrs.field(default=True",
        (litmus("LT-88"),),
    ),
    Mutant(
        "a reset keeps memory",
        ("LC-32", "IG-20"),
        "objects/birth.py",
        '        after = getattr(instance, "_after_construct", None)\n',
        '        kept: Any = machine.calls_made.setdefault("memory", {})\n'
        '        instance.__dict__.update({k: v for k, v in kept.items() if k not in ("ctx", "env")})\n'
        '        machine.calls_made["memory"] = instance.__dict__\n'
        '        after = getattr(instance, "_after_construct", None)\n',
        (litmus("LT-18"),),
    ),
    Mutant(
        "a stub outlives the reset of what it is bound to",
        ("RPC-8",),
        "objects/ending.py",
        "breaks_stubs: bool = True",
        "breaks_stubs: bool = False",
        (litmus("LT-69"),),
    ),
    Mutant(
        "hibernation breaks stubs",
        ("RPC-8", "LC-21"),
        "objects/ending.py",
        'Ending("hibernate", "hibernate", breaks_stubs=False, counted=False)',
        'Ending("hibernate", "hibernate", counted=False)',
        (litmus("LT-69 hibernate"),),
    ),
    # -- calls
    Mutant(
        "calls of one stub overtake each other",
        ("RPC-1",),
        "world/network.py",
        "        self.world.kernel.post_on(link, event)\n",
        "        self.world.kernel.post(event)\n",
        (litmus("LT-66"),),
    ),
    Mutant(
        "arguments are not snapshots",
        ("RPC-6",),
        "objects/parcel.py",
        "return tuple([snapshot(arg, parcel) for arg in args])",
        "return args",
        (litmus("LT-67"),),
    ),
    Mutant(
        "what a method raises is not remote",
        ("RPC-19", "LC-40"),
        "objects/rpc_errors.py",
        "_plain(error)\n    copy.remote = True\n",
        "_plain(error)\n",
        (litmus("LT-68"),),
    ),
    Mutant(
        "fetch and RPC share one channel of a stub",
        ("RPC-1a",),
        "world/network.py",
        'if call.method == "fetch" and type(target) is not RpcStub:',
        "if False:",
        ("tests/objects/test_machine_calls.py::test_requests_keep_their_order_and_calls_do_but_not_both_together",),
    ),
    Mutant(
        "requests overtake each other at the gates of their sender",
        ("RPC-1", "IG-14"),
        "world/object_host.py",
        "self.kernel.post_on(self._hops, Event(",
        "self.kernel.post(Event(",
        (litmus("LT-66 both kinds"),),
    ),
    Mutant(
        "a held stub does not keep its object in memory",
        ("RPC-14b",),
        "objects/incarnation.py",
        "            or self.work.clients\n",
        "",
        (litmus("LT-71b"),),
    ),
    Mutant(
        "a held call does not wake its target",
        ("RPC-14a",),
        "world/network.py",
        "        if type(call.target) is not Stub:\n            return\n",
        "        if call is not None:\n            return\n",
        (litmus("LT-71a"),),
    ),
    # -- storage
    Mutant(
        "two reads give one object",
        ("ST-6",),
        "objects/storage/kv.py",
        "        value = decode_cbor(data)\n",
        "        value = decode_cbor.__dict__.setdefault(data, decode_cbor(data))\n",
        (litmus("LT-45"),),
    ),
    Mutant(
        "keys are listed in UTF-16 order",
        ("ST-5", "ST-10"),
        "objects/storage/async_kv.py",
        "for key, data in self._kv.rows(**bounds)}",
        'for key, data in sorted(self._kv.rows(**bounds), key=lambda row: row[0].encode("utf-16-be"))}',
        (litmus("LT-46"),),
    ),
    Mutant(
        "put(entries) keeps what went well",
        ("ST-3",),
        "objects/storage/async_kv.py",
        "            self._store.transaction_sync(write)\n",
        "            write()\n",
        (litmus("LT-47"),),
    ),
    Mutant(
        "deleteAll keeps the alarm",
        ("ST-27",),
        "objects/storage/store.py",
        "        if alarm:\n            self.set_alarm(None, True)\n",
        "",
        (litmus("LT-48"),),
    ),
    # -- alarms
    Mutant(
        "one retry too many",
        ("AL-23",),
        "objects/alarm.py",
        "MAX_COUNTED_RETRIES: Final = 6\n",
        "MAX_COUNTED_RETRIES: Final = 7\n",
        (litmus("LT-55"),),
    ),
    Mutant(
        "the delay of retries is not doubled",
        ("AL-22",),
        "objects/alarm.py",
        "return (_FIRST_DELAY_MS << min(backoff, _MAX_BACKOFF)) + jitter_ms",
        "return _FIRST_DELAY_MS + jitter_ms",
        (litmus("LT-55"),),
    ),
    Mutant(
        "the deletion of an alarm is not confirmed",
        ("AL-17",),
        "objects/storage/object_store.py",
        "        if self.armed and succeeded:\n            self.set_alarm(None, True)\n",
        "        if self.armed and succeeded:\n            self.set_alarm(None, False)\n",
        (litmus("LT-60 gate"),),
    ),
    Mutant(
        "abort always retries the alarm",
        ("AL-26",),
        "objects/machine.py",
        "self.alarms.gives_up = not retry_alarm",
        "self.alarms.gives_up = False",
        (litmus("LT-64"),),
    ),
    Mutant(
        "an alarm's handler has a minute more",
        ("AL-16",),
        "objects/alarm.py",
        "HANDLER_TIMEOUT_S: Final = 15 * 60\n",
        "HANDLER_TIMEOUT_S: Final = 16 * 60\n",
        (litmus("LT-65"),),
    ),
    Mutant(
        "what the alarm's handler sets is deleted with its success",
        ("AL-17",),
        "objects/storage/object_store.py",
        "if self.armed and succeeded:",
        "if succeeded:",
        (litmus("LT-57"),),
    ),
    Mutant(
        "a rolled back transaction keeps the alarm it has set",
        ("AL-4",),
        "objects/storage/store.py",
        "            self.alarm_ms = frame.alarm_ms\n",
        "",
        (litmus("LT-61"),),
    ),
    Mutant(
        "an alarm may be set in the past",
        ("AL-2",),
        "objects/storage/operations.py",
        "max(alarm_ms, self._now_ms())",
        "alarm_ms",
        (litmus("LT-54"),),
    ),
    # -- bills
    Mutant(
        "each message is a request",
        ("BL-1",),
        "objects/billing.py",
        "MESSAGES_PER_REQUEST: Final = 20",
        "MESSAGES_PER_REQUEST: Final = 1",
        ("tests/world/test_cost.py::test_twenty_messages_are_a_request_and_answers_and_pings_are_free",),
    ),
    Mutant(
        "an object that cannot hibernate costs nothing while it is idle",
        ("BL-4",),
        "world/metering.py",
        "_BILLED = (Life.CONSTRUCTING, Life.ACTIVE, Life.IDLE_NON_HIBERNATEABLE)",
        "_BILLED = (Life.CONSTRUCTING, Life.ACTIVE)",
        ("tests/conformance/test_billed.py::test_an_object_that_could_hibernate_is_not_billed_for_being_idle",),
    ),
    Mutant(
        "an object that could hibernate is billed while it is idle",
        ("BL-4",),
        "world/metering.py",
        "_BILLED = (Life.CONSTRUCTING, Life.ACTIVE, Life.IDLE_NON_HIBERNATEABLE)",
        "_BILLED = (*Life,)",
        ("tests/conformance/test_billed.py::test_an_object_that_could_hibernate_is_not_billed_for_being_idle",),
    ),
    # -- sockets, life cycle
    Mutant(
        "attachments are lost on hibernation",
        ("WS-9",),
        "objects/hibernation.py",
        'gone, the sockets are not."""\n        self._wrappers.clear()\n',
        'gone, the sockets are not."""\n        self._wrappers.clear()\n'
        "        for record in self._records.values():\n            record.attachment = None\n",
        (litmus("LT-76"),),
    ),
    Mutant(
        "tags are lost on hibernation",
        ("WS-9",),
        "objects/hibernation.py",
        'gone, the sockets are not."""\n        self._wrappers.clear()\n',
        'gone, the sockets are not."""\n        self._wrappers.clear()\n'
        "        for record in self._records.values():\n            record.tags = ()\n",
        (litmus("LT-76"),),
    ),
    Mutant(
        "hibernation cuts sockets",
        ("LC-14",),
        "objects/life.py",
        "_SLEEPS = Kept(unflushed=True, sockets=True)",
        "_SLEEPS = Kept(unflushed=True)",
        (litmus("LT-76"),),
    ),
    Mutant(
        "a reset keeps sockets",
        ("WS-32",),
        "objects/life.py",
        "_BREAKS = Kept()",
        "_BREAKS = Kept(sockets=True)",
        (litmus("LT-27"),),
    ),
    Mutant(
        "an object hibernates with a timer pending",
        ("LC-17",),
        "objects/incarnation.py",
        "len(self.timers)",
        "0",
        (litmus("LT-77"),),
    ),
    Mutant(
        "an auto-response wakes",
        ("WS-20",),
        "objects/frames.py",
        '                self.by_itself(record, "message", answer)\n                return False\n',
        '                self.by_itself(record, "message", answer)\n',
        (litmus("LT-79"),),
    ),
    Mutant(
        "a close is not dispatched",
        ("WS-14",),
        "objects/frames.py",
        "        elif incarnation.isolate.handles(_HANDLERS[kind]):\n",
        '        elif kind != "close" and incarnation.isolate.handles(_HANDLERS[kind]):\n',
        (litmus("LT-83"),),
    ),
    Mutant(
        "sockets are listed oldest first",
        ("WS-4",),
        "objects/hibernation.py",
        "(reversed(records) if self._newest_first else records)",
        "records",
        (litmus("LT-90"),),
    ),
    Mutant(
        "a stale instance may write",
        ("LC-11", "LC-12"),
        "objects/incarnation.py",
        "        self.store.crash(error=Inaccessible(INACCESSIBLE))\n",
        "        self.store.crash()\n        self.store.broken = None\n",
        (litmus("LT-87"),),
    ),
    Mutant(
        "a stale instance answers although nobody looked at its write",
        ("LC-11", "LC-26"),
        "objects/commits.py",
        "            if not error.heard:\n",
        "            if not error:\n",
        (litmus("LT-87 unawaited"),),
    ),
    Mutant(
        "pending work never prevents eviction",
        ("LC-18",),
        "objects/options.py",
        '"durable_object_io_tasks_prevent_eviction": (  # LC-18\n        "2026-10-01"',
        '"durable_object_io_tasks_prevent_eviction": (  # LC-18\n        "2036-10-01"',
        (litmus("LT-86 after"),),
    ),
    Mutant(
        "objects hibernate after five seconds",
        ("LC-14", "LC-16"),
        "world/options.py",
        "hibernate_after_s: float = 10.0",
        "hibernate_after_s: float = 5.0",
        (litmus("LT-76 before"),),
    ),
    Mutant(
        "handlers of one socket run one after another",
        ("WS-11",),
        "objects/frames.py",
        "        if inbox is None:\n            take()\n        else:\n",
        "        running = self._machine.running\n"
        "        if running is not None and running.handling:\n"
        "            later_us = self._machine.host.now_us() + 100_000\n"
        "            self._machine.host.post_at(label, lambda: self._read(record, label, take), later_us)\n"
        "        elif inbox is None:\n            take()\n        else:\n",
        (litmus("LT-74"),),
    ),
    Mutant(
        "an auto-response overtakes what the gate holds",
        ("OG-7",),
        "objects/frames.py",
        "        stalled = self._stalled.get(record)\n",
        "        stalled = None\n",
        (litmus("LT-80 queued"),),
    ),
    Mutant(
        "the platform never answers a close frame",
        ("WS-16",),
        "objects/options.py",
        'default=per_runtime("before", "never")',
        'default=per_runtime("never", "never")',
        (litmus("LT-84"),),
    ),
    # -- time
    Mutant(
        "timers fire in the order of their creation",
        ("TM-4",),
        "objects/timers.py",
        "heappush(self._heap, (timer.due_us, self._next, timer))",
        "heappush(self._heap, (0, self._next, timer))",
        (litmus("LT-92"),),
    ),
    Mutant(
        "the clock moves in a turn",
        ("TM-1",),
        "objects/clock.py",
        "        if machine.options.moving_clock:\n            drawn_us",
        "        if machine.options.runtime:\n            drawn_us",
        (litmus("LT-91"),),
    ),
    # -- the legacy backend, and the past
    Mutant(
        "a read shows what is written while it waits",
        ("ST-7",),
        "objects/storage/legacy/entries.py",
        "                data = values[keys[0]]\n",
        "                data = self._store.view(keys[0])\n",
        ("tests/objects/test_legacy_machine.py::test_a_read_shows_the_moment_of_its_call",),
    ),
    Mutant(
        "a flush begins before the one under way has ended",
        ("OG-21",),
        "objects/storage/legacy/store.py",
        "        if self._flushing is not None or waiting is None or not waiting.number:\n",
        "        if waiting is None or not waiting.number:\n",
        ("tests/objects/test_legacy_machine.py::test_turns_that_end_during_a_flush_share_the_next",),
    ),
    Mutant(
        "a flush that has lost its connection is not tried again",
        ("OG-11",),
        "objects/storage/legacy/store.py",
        "    flush_retries: ClassVar[int] = 4\n",
        "    flush_retries: ClassVar[int] = 1\n",
        ("tests/objects/test_legacy_machine.py::test_a_flush_is_tried_four_times_again[4]",),
    ),
    Mutant(
        "writes never wait, however much is not flushed",
        ("ST-9",),
        "objects/storage/legacy/store.py",
        "        return self.dirty_bytes > self.limits.dirty_bytes\n",
        "        return False\n",
        ("tests/objects/test_legacy_machine.py::test_puts_wait_above_the_limit_of_what_is_not_flushed",),
    ),
    Mutant(
        "a bookmark brings entries back, and leaves the alarm",
        ("ST-30",),
        "objects/storage/durable.py",
        "        self.image, self.alarm_ms = moment.image, moment.alarm_ms\n",
        "        self.image = moment.image\n",
        ("tests/objects/test_storage_recovery.py::test_the_next_instance_finds_the_state_of_the_bookmark",),
    ),
    Mutant(
        "a critical error of SQLite leaves the object as it is",
        ("OG-32",),
        "objects/storage/store.py",
        "        self.dirty = True  # so that the end of the turn finds out, and resets the object\n",
        "",
        ("tests/objects/test_machine_storage.py::test_a_critical_error_of_sqlite_resets_the_object[True]",),
    ),
)
