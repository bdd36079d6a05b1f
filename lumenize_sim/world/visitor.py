"""Somebody with a browser: an actor of its own that sends requests and keeps cookies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import httpx
import outcome

from lumenize_sim.kernel.event import Event
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.strand import strand_var
from lumenize_sim.world.entry import MESH_HOST
from lumenize_sim.world.seats import FreeSeat

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["Visitor"]


class Visitor:
    """See `World.visitor`.

    Attributes:
        name: of the actor.
        sub: who has logged in; ``""`` before.
        access_token: of the last login.
        cookies: kept over requests; those that are ``Secure`` are sent over https only, which is what paths mean.
    """

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.sub = ""
        self.access_token: str | None = None
        self.cookies = httpx.Cookies()
        self._world = world
        self._seat = FreeSeat(world, name)

    def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Pending[Response]:
        """Send a request to the mesh and settle with the response; no redirect is followed.  Acts at once.

        For the driver, and for code of a page in this browser.

        Args:
            url: a path, or a whole URL; whatever the host, the app's entry answers.

        Settles with a ConnectionError where request or answer is lost.
        """
        request = Request(method, urljoin(f"https://{MESH_HOST}", url), headers, body)
        strand = strand_var.get()
        seat = None if strand is None else strand.owner.seat
        return self.send(seat, request) if getattr(seat, "visitor", None) is self else self._send(request)

    def answers(self, url: httpx.URL) -> bool:
        """Whether requests of its pages for ``url`` are its business."""
        return self._world.entry.answers(url)

    def prepare_upgrade(self, request: Request) -> None:
        """A page asks for a web socket: without cookies, which only the browser reads; its token is enough."""

    def send(self, seat: Any, request: Request) -> Pending[Response]:
        """A request of a page in this browser.  Acts at once.

        The browser sends it, in a turn of its own, and hands the response back: several pages share its cookies, and
        were those read and written in turns of the pages, nothing would order them.
        """
        page = seat
        label = f"{page.name}>{self.name}#{page.next_call(self.name)}"
        pending, arrived = page.wait_for(label)
        world = self._world

        def back(result: Outcome) -> None:
            cause = world.chronicle.cause

            def fire() -> None:
                world.chronicle.deliver(page.name, f"{label}/r", cause)
                arrived(f"{label}/r", result)

            world.kernel.post(Event(f"{label}/r", page, fire, receiver=page.receiver))

        self._seat.post(label, lambda: self._send(request).when_done(back), cause=world.chronicle.cause)
        answer: Pending[Response] = pending
        return answer

    def _send(self, request: Request) -> Pending[Response]:
        self.cookies.set_cookie_header(request)
        sent = self._world.entry.fetch(self._seat, request)
        answer: Pending[Response] = Pending(sent.label)

        def answered(result: Outcome) -> None:
            if type(result) is outcome.Value:
                result.value.request = request
                self.cookies.extract_cookies(result.value)
            answer.settle(result)

        sent.when_done(answered)
        return answer

    async def login(self, email: str, **subject_data: bool) -> str:
        """Log in by magic link, where the app has the login service in test mode; returns the access token.

        Args:
            subject_data: flags to set on the way: ``adminApproved``, ``isAdmin``.

        Raises:
            UsageError: a step was refused.
        """
        from lumenize_sim.auth import login_with_magic_link  # needs the extra `auth`

        result = await login_with_magic_link(
            self, email, base_url=f"https://{MESH_HOST}", subject_data=subject_data or None
        )
        self.sub, self.access_token = result.sub, result.access_token
        return result.access_token
