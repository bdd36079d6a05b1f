"""The world that a scenario drives: actors, network, time, faults, and what happened.

The driver is an actor too.  Its events may touch anything (it calls methods of clients
directly and looks into objects), so they stand in the order of every receiver.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from typing import Any, TypeVar
from urllib.parse import urljoin

import outcome

from lumenize_sim.check.history import History
from lumenize_sim.check.model import Model
from lumenize_sim.errors import UsageError
from lumenize_sim.kernel.kernel import Kernel
from lumenize_sim.kernel.plan import FaultPlan
from lumenize_sim.mesh.app import Mesh
from lumenize_sim.mesh.client import LumenizeClient
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.namespace import Env
from lumenize_sim.objects.pending import Pending
from lumenize_sim.trace.recorder import Recorder
from lumenize_sim.world.app_line import app_line
from lumenize_sim.world.bindings import Bindings
from lumenize_sim.world.chronicle import Chronicle
from lumenize_sim.world.clients import connect_client, open_raw
from lumenize_sim.world.deploy import deploy
from lumenize_sim.world.entry import MESH_HOST, Entry
from lumenize_sim.world.host import SimHost
from lumenize_sim.world.idleness import Idleness
from lumenize_sim.world.inspect import ObjectView
from lumenize_sim.world.judge import Judge
from lumenize_sim.world.machines import Machines
from lumenize_sim.world.metering import Metering
from lumenize_sim.world.network import CallNetwork
from lumenize_sim.world.options import WorldOptions
from lumenize_sim.world.randomness import Generators
from lumenize_sim.world.raw_socket import RawSocket, upgrade_request
from lumenize_sim.world.seats import FreeSeat
from lumenize_sim.world.servers import Server, Servers
from lumenize_sim.world.sockets import Sockets
from lumenize_sim.world.verbs import NetworkVerbs
from lumenize_sim.world.visitor import Visitor
from lumenize_sim.world.wake_labels import WakeLabels
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
        errors_logged: errors that nodes logged, in order.
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
        self.closed = False
        self.chronicle = Chronicle(kernel, recorder)
        self.fault_counts = self.chronicle.fault_counts
        self.errors_logged = self.chronicle.errors_logged
        self.metering = Metering() if self.chronicle.tracing else None
        self.drawn = Generators(seed)
        self.wake_label = WakeLabels(kernel.queue)
        self.host = SimHost(self)
        self.bindings = Bindings(self)
        self.machines = Machines(self)
        self.calls = CallNetwork(self)
        self.sockets = Sockets(self)
        self.workers = Workers(self)
        self.entry = Entry(self)
        self.servers = Servers(self)
        self.network = NetworkVerbs(self)
        self.judge = Judge(self)
        self.driver = FreeSeat(self, "driver", everything=True)
        self.clients: list[LumenizeClient] = []
        self.tabs: dict[str, int] = {}
        self.browsers: dict[str, FreeSeat] = {}
        self.visitors: dict[str, Visitor] = {}
        self._env: Env | None = None
        self.idleness = Idleness(self)
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
        if within_s is None:
            within_s = self.options.settle_s
        pending: Pending[None] = Pending("settle")
        seat = self.driver
        label = f"driver!settle#{seat.next_call('settle')}"
        self.kernel.when_quiet(seat.event(label, pending.settle, outcome.Value(None)), round(within_s * 1_000_000))
        await pending

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
        return ObjectView(self, self.machines.named(self.bindings.of_objects(binding), name))

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
            self._env = self.bindings.env_for(self.driver)
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
        self.judge.always(name, holds)

    def eventually(self, name: str, holds: Callable[[], Any]) -> None:
        """``holds()`` must be true when the run ends, and what was broken has healed (see `quiet`)."""
        self.judge.eventually(name, holds)

    def leads_to(self, name: str, cause: Callable[[], Any], effect: Callable[[], Any]) -> None:
        """Whenever ``cause()`` is true after a turn, ``effect()`` must be true then or after a later turn.

        Judged when the run has ended, and what was broken has healed (see `quiet`).  Like `always` it reads any actor,
        so the order of all events is recorded.
        """
        self.judge.leads_to(name, cause, effect)

    def history(self, model: Model) -> History:
        """A record of who asks what and is answered what, judged against ``model`` by its `check`."""
        chronicle = self.chronicle
        return History(model, note=lambda text: chronicle.mark("history", {"said": text}), line=app_line)

    def sometimes(self, name: str, happened: Any = True) -> None:
        """Note that something worth reaching was reached; a sweep reports marks never seen."""
        self.judge.sometimes(name, happened)

    # -- time ----------------------------------------------------------------------------

    def _time_moved(self, now_us: int) -> None:
        self.chronicle.time_moved(now_us)
        if self.metering is not None:
            self.metering.time_moves(now_us)
        self.idleness.time_moved(now_us)
