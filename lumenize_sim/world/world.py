"""The world that a scenario drives: actors, network, time, faults, and what happened.

The driver is an actor too.  Its events may touch anything (it calls methods of clients
directly and looks into objects), so they stand in the order of every receiver.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from typing import Any, TypeVar
from urllib.parse import urljoin

import outcome

from lumenize_sim.check.findings import Check, find
from lumenize_sim.check.history import History
from lumenize_sim.check.model import Model
from lumenize_sim.check.monitors import LeadsTo
from lumenize_sim.errors import AppError, UsageError
from lumenize_sim.kernel.kernel import Ending, Kernel
from lumenize_sim.kernel.plan import FaultPlan
from lumenize_sim.mesh.app import Mesh
from lumenize_sim.mesh.client import LumenizeClient
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.ids import DurableObjectId, id_from_name
from lumenize_sim.objects.machine import ObjectMachine
from lumenize_sim.objects.namespace import DurableObjectNamespace, Env, ServiceBinding
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.storage import ConnectionPool
from lumenize_sim.objects.strand import Owner, strand_var
from lumenize_sim.objects.worker import WorkerEntrypoint
from lumenize_sim.routing.door import ENTRY
from lumenize_sim.trace.recorder import Recorder
from lumenize_sim.world.attributes import PendingReads
from lumenize_sim.world.clients import connect_client, open_raw
from lumenize_sim.world.deploy import deploy, isolate_gone
from lumenize_sim.world.entry import MESH_HOST, Entry
from lumenize_sim.world.host import ObjectHostOf, SimHost, app_line
from lumenize_sim.world.idleness import Idleness
from lumenize_sim.world.inspect import ObjectView
from lumenize_sim.world.metering import Metering
from lumenize_sim.world.network import CallNetwork, SimDispatcher
from lumenize_sim.world.options import WorldOptions
from lumenize_sim.world.randomness import generator
from lumenize_sim.world.raw_socket import RawSocket, upgrade_request
from lumenize_sim.world.seats import FreeSeat, ObjectSeat
from lumenize_sim.world.servers import Server, Servers
from lumenize_sim.world.sockets import Sockets
from lumenize_sim.world.verbs import NetworkVerbs
from lumenize_sim.world.visitor import Visitor
from lumenize_sim.world.workers import Workers

__all__ = ["World"]

C = TypeVar("C", bound=LumenizeClient)


class World:
    """What a scenario is given.

    Attributes:
        app: the mesh.
        network: verbs in undoing pairs: `partition`/`heal`, `hold`/`release`, `disconnect`/`reconnect`.
        seed: of this run.
        fault_counts: what has gone wrong so far, by kind.
        looked: what the driver looked at in storage while a trace was kept, object and key, in order.
        steps: for each record of the trace how many events had happened by then.
    """

    def __init__(
        self,
        app: Mesh,
        kernel: Kernel,
        plan: FaultPlan,
        recorder: Recorder | None,
        *,
        seed: int,
        options: WorldOptions,
    ) -> None:
        self.app = app
        self.kernel = kernel
        self.plan = plan
        self.seed = seed
        self.options = options
        self.enhanced_errors = options.objects.flag("enhanced_error_serialization")
        self.blank = copy_context()  # what events begin with: nothing of whoever sent them
        self.tapes_flushes = False
        self.tracing = recorder is not None
        self.metering = Metering() if self.tracing else None
        self._recorder = recorder
        self.steps: list[int] = []
        self.looked: list[tuple[str, str]] = []
        self.closed = False
        self.cause = -1
        self.fault_counts: dict[str, int] = {}
        self.errors_logged: list[str] = []
        self.app_failure: BaseException | None = None
        self.marks: dict[str, bool] = {}
        self.watched = False
        self.reads = PendingReads()
        self.host = SimHost(self)
        self.calls = CallNetwork(self)
        self.sockets = Sockets(self)
        self.workers = Workers(self)
        self.entry = Entry(self)
        self.servers = Servers(self)
        self.network = NetworkVerbs(self)
        self.driver = FreeSeat(self, "driver", everything=True)
        self.clients: list[LumenizeClient] = []
        self.tabs: dict[str, int] = {}
        self.browsers: dict[str, FreeSeat] = {}
        self.visitors: dict[str, Visitor] = {}
        self._env: Env | None = None
        self._pool = ConnectionPool(256)
        self._machines: dict[tuple[str, str], ObjectMachine] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._wakes: dict[str, int] = {}
        self.idleness = Idleness(self)
        self._deployed: dict[str, type] = {}
        self._draws: dict[tuple[str, str], random.Random] = {}
        self._monitors: list[tuple[str, str, Callable[[], Any]]] = []
        self._leads: list[tuple[LeadsTo, Callable[[], Any], Callable[[], Any]]] = []
        kernel.on_advance = self._time_moved
        kernel.stop_at = self.idleness.stop_at

    # -- driving -------------------------------------------------------------------------

    async def connect(
        self,
        client_class: type[C],
        *,
        sub: str | None = None,
        instance_name: str | None = None,
        claims: dict[str, Any] | None = None,
        token_life_s: int = 3600,
        visitor: Visitor | None = None,
        wait: bool = True,
        clock_skew_s: float = 0.0,
        **config: Any,
    ) -> C:
        """A client of ``client_class``, connected (a checkpoint) unless ``wait`` is False.

        Args:
            sub: who logs in; required without ``instance_name`` or ``visitor``.
            instance_name: ``{sub}.{tab}``; by default ``alice.tab1``, ``alice.tab2``, …
            claims: added to the token's claims.
            token_life_s: until the token expires.
            visitor: who has logged in already: the client is a page in that browser, with its token and its cookies,
                and refreshes at the login service.
            clock_skew_s: how far the client's clock is fast (slow, where negative), in what it reads and in what it
                judges tokens by; the fault ``clock-skew`` plans the same.
            config: further fields of `ClientConfig`, such as ``heartbeat_interval_s``.
        """
        client: C = await connect_client(
            self,
            client_class,
            sub=sub,
            instance_name=instance_name,
            claims=claims,
            token_life_s=token_life_s,
            visitor=visitor,
            wait=wait,
            clock_skew_s=clock_skew_s,
            config=config,
        )
        return client

    async def open_socket(
        self,
        binding: str,
        name: str | None,
        path: str = "/",
        *,
        protocols: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        client: str | None = None,
        auto_reply: bool = True,
        wait: bool = True,
    ) -> RawSocket:
        """A browser's web socket to an object or Worker of any class, whose ``fetch`` answers with a 101 (WS-1).

        A checkpoint unless ``wait`` is False: it returns when the upgrade is answered.

        Args:
            binding, name: the object; the name is ``None`` for a Worker.
            path: of the request, or a whole URL.
            protocols: offered in ``Sec-WebSocket-Protocol``.
            headers: of the request, beside the upgrade's own.
            client: the browser's name; several sockets of one browser share it, and are one actor.  By default
                each has a browser of its own: ``browser1``, ``browser2``, …
            auto_reply: see `RawSocket`.

        Raises:
            UpgradeRefusedError: the answer was something else; only with ``wait``.
            UsageError: there is no such binding, or a mesh client has that name.
        """
        socket = open_raw(self, binding, name, upgrade_request(path, protocols, headers), client, auto_reply)
        if wait:
            await socket.opened()
        return socket

    def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
    ) -> Pending[Response]:
        """A request from outside, without cookies: awaited, the response of the app's entry.  No redirect is followed.

        The entry is the app's ``main`` Worker; without one, the login service, objects under ``/gateway``, then 404.

        Args:
            url: a path, or a whole URL; the host does not matter.

        Fails with a ConnectionError where request or answer is lost.
        """
        return self.entry.fetch(self.driver, Request(method, urljoin(f"https://{MESH_HOST}", url), headers, body))

    def visitor(self, name: str) -> Visitor:
        """Somebody with a browser, who keeps cookies; the same one for the same name.

        Raises:
            UsageError: a mesh client or a raw socket's browser has that name.
        """
        found = self.visitors.get(name)
        if found is None:
            if name in self.browsers or any(client._owner.name == name for client in self.clients):
                raise UsageError(f"{name!r} is the name of somebody else in this world; choose another")
            found = self.visitors[name] = Visitor(self, name)
        return found

    def mailbox(self, address: str) -> list[dict[str, Any]]:
        """The mails that have arrived for ``address``, oldest first; needs the binding ``EMAIL``."""
        mails: list[dict[str, Any]] = self.object("EMAIL", address).storage.kv.get("mails") or []
        return mails

    async def settle(self, within_s: float | None = None) -> None:
        """Let everything happen that will: until nothing is under way and no timer is due ``within_s`` from now.

        Housekeeping (heartbeats) is not waited for.
        """
        await self._quiet(self.options.settle_s if within_s is None else within_s)

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` of virtual time pass."""
        pending: Pending[None] = Pending("advance")
        seat = self.driver
        label = f"driver!advance#{seat.next_call('advance')}"
        event = seat.event(label, pending.settle, outcome.Value(None))
        self.kernel.post_at(event, self.kernel.now_us + max(0, round(seconds * 1_000_000)))
        await pending

    def object(self, binding: str, name: str) -> ObjectView:
        """One object: look at it, or do something to it."""
        return ObjectView(self, self.object_of(binding, name))

    def deploy(self, binding: str, cls: type | None = None, *, within_s: float = 0.0) -> None:
        """New code for ``binding``: ``cls``, or the same class once more (LC-25 to LC-29).

        Every instance is replaced: its web sockets are cut, and the next event builds a new one.  What is in
        flight may finish within `MachineOptions.deploy_grace_s`, as long as it leaves storage alone.  Calls of a
        Worker that have begun go on.

        Args:
            within_s: the new version reaches each object at a drawn time until then, so that both versions live
                side by side (LC-25); 0 for all at once.

        Raises:
            UsageError: there is no such binding, or one is a Worker and the other a Durable Object.
        """
        deploy(self, binding, cls, within_s)

    @property
    def env(self) -> Env:
        """The app's bindings, for the driver: ``await world.env.COUNTER.get_by_name("c1").increment(1)``."""
        if self._env is None:
            self._env = self.env_for(self.driver)
        return self._env

    def send(self, seat: Any, request: Request) -> Pending[Any]:
        """Send a request of the owner of ``seat`` where its URL leads to: the mesh, or a simulated server."""
        return (self.entry if self.entry.answers(request.url) else self.servers).fetch(seat, request)

    def server(self, origin: str, handler: Callable[[Request], Any], *, latency_s: float = 0.1) -> Server:
        """A server beyond the mesh: ``fetch`` of ``https://api.example/…`` reaches the handler of ``https://api.example``.

        Args:
            origin: scheme, host and perhaps port.
            handler: given the request, answers with a `Response`, text, bytes, or a dict or list that becomes JSON;
                may be async.  ConnectionError breaks the connection; any other exception fails the run.
            latency_s: from when a request leaves until its response arrives, besides the handler's own time.

        Returns:
            The server, with a log of the requests it has seen.  The fault ``bad-fetch`` plans trouble for the n-th
            request of a node; `Server.trouble_next` makes some by hand.
        """
        return self.servers.add(origin, handler, latency_s)

    def quiet(self) -> None:
        """No more faults from here on; what is broken heals."""
        self.plan.quiet = True
        self.network.heal_all()

    def now(self) -> float:
        """Virtual seconds since the run began."""
        return self.kernel.now_us / 1_000_000

    def always(self, name: str, holds: Callable[[], Any]) -> None:
        """``holds()`` must be true after every turn of every actor.

        It may read any of them, so such a run is recorded with the order of all events
        and not only of those that race.
        """
        self._monitors.append(("always", name, holds))
        self.watched = True
        self.kernel.after_turn = self._watch

    def eventually(self, name: str, holds: Callable[[], Any]) -> None:
        """``holds()`` must be true when the run ends, and what was broken has healed (see `quiet`)."""
        self._monitors.append(("eventually", name, holds))

    def leads_to(self, name: str, cause: Callable[[], Any], effect: Callable[[], Any]) -> None:
        """Whenever ``cause()`` is true after a turn, ``effect()`` must be true then or after a later turn.

        Judged when the run has ended, and what was broken has healed (see `quiet`).  Like `always` it reads any actor,
        so the order of all events is recorded.
        """
        self._leads.append((LeadsTo(name), cause, effect))
        self.watched = True
        self.kernel.after_turn = self._watch

    @property
    def judges_liveness(self) -> bool:
        """Whether something is to hold at last, so that the run must end in peace."""
        return bool(self._leads) or any(mode == "eventually" for mode, _, _ in self._monitors)

    def history(self, model: Model) -> History:
        """A record of who asks what and is answered what, judged against ``model`` by its `check`."""

        def note(text: str) -> None:
            if self.tracing:
                self.record("mark", "driver", "history", {"said": text})

        return History(model, note=note, line=app_line)

    def sometimes(self, name: str, happened: Any = True) -> None:
        """Note that something worth reaching was reached; a sweep reports marks never seen."""
        self.marks[name] = self.marks.get(name, False) or bool(happened)
        if happened and self.tracing:
            self.record("mark", "driver", name)

    async def _quiet(self, within_s: float) -> None:
        pending: Pending[None] = Pending("settle")
        seat = self.driver
        label = f"driver!settle#{seat.next_call('settle')}"
        self.kernel.when_quiet(seat.event(label, pending.settle, outcome.Value(None)), round(within_s * 1_000_000))
        await pending

    # -- actors --------------------------------------------------------------------------

    def seat(self, owner: Owner) -> Any:
        """Where ``owner`` sits."""
        return owner.seat

    def env_for(self, seat: Any) -> Env:
        """Bindings and variables for one owner; calls made through it are that owner's."""
        dispatcher = seat.dispatcher = SimDispatcher(self.calls, seat)
        bindings, variables = self.app.bindings, self.app.vars
        workerd = self.options.runtime == "workerd"

        def draw(length: int) -> bytes:
            return self.host.random(seat.owner).randbytes(length)

        def make(name: str) -> Any:
            if name in bindings:
                if _is_object(bindings[name]):
                    return DurableObjectNamespace(dispatcher, name, name, draw, jurisdictions=not workerd)
                return ServiceBinding(dispatcher, name)
            return variables[name]

        return Env(make, (*bindings, *variables))

    def class_of(self, binding: str) -> type:
        """The class that is deployed under ``binding`` now."""
        if binding == ENTRY:
            return self.entry.door.worker
        deployed = self._deployed.get(binding)
        return self.app.bindings[binding] if deployed is None else deployed

    def redirect(self, binding: str, cls: type) -> None:
        """From now on ``binding`` means ``cls``."""
        self._deployed[binding] = cls

    def object_name(self, binding: str, object_id: DurableObjectId) -> str:
        """The stable name of an object: by name where it has one, else by the beginning of its id."""
        name = object_id.name
        if name is None:
            name = self._names.get((binding, object_id.hex), object_id.hex[:12])
        return f"{binding}/{name}"

    def object_of(self, binding: str, name: str) -> ObjectMachine:
        """The machine behind a name that the driver gives.

        Raises:
            UsageError: the binding is unknown, or one of a Worker.
        """
        cls = self.app.bindings.get(binding)
        if cls is None or not _is_object(cls):
            known = ", ".join(b for b, c in self.app.bindings.items() if _is_object(c))
            raise UsageError(f"{binding!r} is no binding of a Durable Object class; there is: {known}")
        return self.machine_named(binding, name)

    def worker_of(self, binding: str) -> str:
        """The binding of a Worker that the driver gives.

        Raises:
            UsageError: it is unknown, or one of objects.
        """
        cls = self.app.bindings.get(binding)
        if cls is None or _is_object(cls):
            raise UsageError(f"{binding!r} is no binding of a Worker; to reach an object, give its name as well")
        return binding

    def machine_named(self, binding: str, name: str) -> ObjectMachine:
        """The machine behind a name."""
        return self.machine(binding, id_from_name(binding, name))

    def machine(self, binding: str, object_id: DurableObjectId) -> ObjectMachine:
        """The machine behind an id; made at first use, which creates no instance (LC-6)."""
        key = (binding, object_id.hex)
        found = self._machines.get(key)
        if found is None:
            if object_id.name is not None:
                self._names[key] = object_id.name
            host = ObjectHostOf(self, self.object_name(binding, object_id))
            found = self._machines[key] = ObjectMachine(
                host,
                host.name,
                self.class_of(binding),
                object_id,
                lambda incarnation: self.env_for(ObjectSeat(self, incarnation)),
                options=self.options.objects,
                pool=self._pool,
            )
            host.machine = found
            if self.metering is not None:
                found.meter = self.metering.meter(found)
        return found

    def object_host(self, machine: ObjectMachine) -> ObjectHostOf:
        """The host of a machine."""
        host: Any = machine.host
        assert isinstance(host, ObjectHostOf)
        return host

    def machines_of(self, binding: str) -> list[ObjectMachine]:
        """All objects of a class that were ever addressed, in that order."""
        return [machine for (of, _), machine in self._machines.items() if of == binding]

    def isolate_gone(self, machine: ObjectMachine, *, spared: bool = False) -> None:
        """The isolate of ``machine`` has used too much memory (LC-37); see `lumenize_sim.world.deploy`."""
        isolate_gone(self, machine, spared=spared)

    @property
    def machines(self) -> list[ObjectMachine]:
        """All objects that were ever addressed, in that order."""
        return list(self._machines.values())

    def wake_label(self, owner: Owner) -> str:
        """A label for a wake-up of ``owner``, made from who woke it: that order is the same in every schedule."""
        current = self.kernel.queue.current
        pair = f"{owner.name}!wake<{current.name if current is not None else 'kernel'}"
        nth = self._wakes.get(pair, -1) + 1
        self._wakes[pair] = nth
        return f"{pair}#{nth}"

    def running_us(self) -> int:
        """Virtual microseconds as whoever runs now sees them: an object's clock has rules of its own (TM-1, TM-2)."""
        strand = strand_var.get()
        seat = None if strand is None else strand.owner.seat
        if type(seat) is ObjectSeat:
            return seat.incarnation.clock.now_us()
        return self.kernel.agenda.now_us + (seat.skew_us if type(seat) is FreeSeat else 0)

    def drawn(self, what: str, name: str) -> random.Random:
        """The generator of the actor ``name`` for ``what``, used for nothing else."""
        found = self._draws.get((what, name))
        if found is None:
            found = self._draws[what, name] = generator(self.seed, what, name)
        return found

    # -- time ----------------------------------------------------------------------------

    def _time_moved(self, now_us: int) -> None:
        if self._recorder is not None:
            self._recorder.t_us = now_us
        if self.metering is not None:
            self.metering.time_moves(now_us)
        self.idleness.time_moved(now_us)

    # -- what happened ---------------------------------------------------------------------

    def record(
        self, kind: str, actor: str, label: str, data: Any = None, cause: int = -1, where: str | None = None
    ) -> int:
        """One line of the trace; without a cause it belongs to the event that happens now."""
        recorder = self._recorder
        if recorder is None:
            return -1
        turns = kind in ("deliver", "turn", "resume", "verdict")
        if turns:
            self.note_changes()  # of code that ran outside every turn: a driver's own
        n = recorder.add(kind, actor, label, self.cause if cause < 0 else cause, data, where)
        while len(self.steps) <= n:
            self.steps.append(self.kernel.steps)
        if turns:
            self.cause = n
        return n

    def note_changes(self) -> None:
        """A turn is over: note which containers, read from attributes in it, look different now.

        At once, because with the next record it would stand where some other actor's event has put that.
        """
        recorder = self._recorder
        if recorder is not None:
            for by, name, strand, line in self.reads.changed():
                written = {"key": f"attr:{name}", "op": "attr-change", "store": "attr", "strand": strand}
                recorder.add("write", by, strand, self.cause, written, line)

    def deliver(self, actor: str, label: str, cause: int) -> None:
        """An event arrives."""
        if self.tracing:
            self.cause = cause
            self.record("deliver", actor, label, None, cause)

    def fault_fired(self, kind: str, target: str, value: int) -> None:
        """Something went wrong as planned."""
        self.count_fault(kind)
        if self.tracing:
            self.record("fault", target, f"{target}%{kind}", {"kind": kind, "value": value})

    def count_fault(self, kind: str) -> None:
        """One more of ``kind``."""
        self.fault_counts[kind] = self.fault_counts.get(kind, 0) + 1

    def app_error(self, actor: str, label: str, error: BaseException) -> None:
        """Code of the app raised where nobody could hear it: the run has failed."""
        if self.closed:
            return
        if self.app_failure is None:
            self.app_failure = error
        self.kernel.finish(Ending("app_error", f"{actor}, {label}: {type(error).__name__}: {error}", error))

    def unawaited(self, coroutine: Any) -> None:
        """The app called an async function of its own and awaited nothing: it has not run at all."""
        if self.closed:
            return
        code = coroutine.cr_code
        place = f"{code.co_filename.rpartition('/')[2]}:{code.co_firstlineno}"
        error = AppError(
            f"coroutine {coroutine.__qualname__!r} ({place}) was never awaited, so it did nothing: "
            "await it, or drop the call"
        )
        strand = strand_var.get()
        self.app_error(strand.owner.name if strand else "driver", coroutine.__qualname__, error)

    def check_always(self) -> None:
        """Judge the ``always`` monitors."""
        for mode, name, holds in self._monitors:
            if mode == "always" and not holds():
                raise AssertionError(f"always {name!r} does not hold")

    def check_end(self) -> None:
        """Judge all monitors at the end."""
        self.check_always()
        for mode, name, holds in self._monitors:
            if mode == "eventually" and not holds():
                raise AssertionError(f"eventually {name!r} does not hold at the end")
        self._observe_leads()
        for leads, _, _ in self._leads:
            owed = leads.owed
            if owed is not None:
                raise AssertionError(f"{leads.name!r}: what held after {owed[1] / 1000:g} ms has led to nothing")

    def check_trace(self, checks: Sequence[Check]) -> None:
        """Judge by what the trace shows so far; the first finding fails the run."""
        if checks and self._recorder is not None:
            for finding in find(self._recorder.so_far(), checks):
                raise AssertionError(finding.message)

    def _observe_leads(self) -> None:
        for leads, cause, effect in self._leads:
            leads.observe(bool(cause()), bool(effect()), t_us=self.kernel.now_us)

    def _watch(self) -> None:
        try:
            self.check_always()
            self._observe_leads()
        except Exception as error:
            self.app_failure = error
            kind = "failed" if isinstance(error, AssertionError) else "app_error"
            self.kernel.finish(Ending(kind, str(error), error))


def _is_object(cls: type) -> bool:
    """Whether a class is one of objects rather than of Workers."""
    return not issubclass(cls, WorkerEntrypoint)
