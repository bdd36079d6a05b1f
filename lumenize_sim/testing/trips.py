"""Requests of a simulated browser: from where they are asked, and the way of one through redirects (TS-4, TS-6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urljoin

import attrs
import httpx
import outcome

from lumenize_sim.errors import UsageError
from lumenize_sim.kernel.event import Event
from lumenize_sim.objects.http import Headers, Request, Response
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.testing.origins import (
    Preflight,
    cors_error,
    needs_preflight,
    origin_of,
    preflight_error,
    preflight_headers,
)
from lumenize_sim.testing.page_socket import PageSocket
from lumenize_sim.world.entry import MESH_HOST
from lumenize_sim.world.raw_socket import upgrade_request

if TYPE_CHECKING:
    from lumenize_sim.testing.browser import Browser
    from lumenize_sim.world.seats import FreeSeat

__all__ = ["HOME", "MAX_REDIRECTS", "Credentials", "Place", "Redirect", "Trip"]

Redirect = Literal["follow", "manual", "error"]
Credentials = Literal["omit", "same-origin", "include"]

MAX_REDIRECTS: Final = 20
HOME: Final = f"https://{MESH_HOST}"
_REDIRECTS: Final = (301, 302, 303, 307, 308)


@attrs.frozen(eq=False)
class Place:
    """From where a browser asks: a page of an origin, or nowhere in particular.

    Stands behind the seat as its ``visitor``, so that a client in the page asks as the page does.
    """

    browser: Browser
    seat: FreeSeat
    origin: str | None
    headers: Headers
    told: Callable[[Preflight], None] = attrs.field(default=lambda _: None)

    def answers(self, url: httpx.URL) -> bool:
        """All requests of a page are its browser's business."""
        return True

    def ask(self, request: Request, redirect: Redirect, credentials: Credentials) -> Pending[Response]:
        """A request of the driver's, from here."""
        answer: Pending[Response] = Pending(f"{request.method} {request.url}")
        Trip(self, request, redirect, credentials, answer.settle).begin()
        return answer

    def send(self, seat: Any, request: Request) -> Pending[Response]:
        """A request of the code that runs in the page.

        The browser sends it, in turns of its own, and hands the response back: pages share its cookies, and were
        those read and written in turns of the pages, nothing would order them.
        """
        browser, world = self.browser, seat.world
        label = f"{seat.name}>{browser.name}#{seat.next_call(browser.name)}"
        pending, arrived = seat.wait_for(label)

        def back(result: Outcome) -> None:
            cause = world.chronicle.cause

            def fire() -> None:
                world.chronicle.deliver(seat.name, f"{label}/r", cause)
                arrived(f"{label}/r", result)

            world.kernel.post(Event(f"{label}/r", seat, fire, receiver=seat.receiver))

        browser.seat.post(
            label, lambda: Trip(self, request, "follow", "same-origin", back).begin(), cause=world.chronicle.cause
        )
        answer: Pending[Response] = pending
        return answer

    def prepare_upgrade(self, request: Request) -> None:
        """What is added to a request for a web socket of the code in the page.

        No cookies, for the reason of `send`: a client of the mesh has its token.
        """
        self.dress(request)
        self.browser.metrics.ws_upgrade_requests += 1

    def dress(self, request: Request) -> None:
        """Add the page's own headers, where the request has none of that name."""
        for name, value in self.headers.items():
            request.headers.setdefault(name, value)
        if self.origin is not None:
            request.headers.setdefault("Origin", self.origin)

    def web_socket(
        self, url: str, protocols: Sequence[str], headers: Mapping[str, str] | None, max_queue_bytes: int | None
    ) -> PageSocket:
        """Ask for a web socket, for the driver."""
        request = upgrade_request(urljoin(HOME, url), protocols, headers)
        self.prepare_upgrade(request)
        self.browser.add_cookies(request)
        sockets = self.seat.world.sockets
        return sockets.open_url(
            self.seat,
            request,
            make=lambda wires, connection: PageSocket(
                wires, connection, self.seat, request, self.browser.metrics, max_queue_bytes
            ),
        )


class Trip:
    """One request, with the question before it and all redirects after it; ``done`` hears the outcome."""

    def __init__(
        self,
        place: Place,
        request: Request,
        redirect: Redirect,
        credentials: Credentials,
        done: Callable[[Outcome], None],
    ) -> None:
        if redirect not in ("follow", "manual", "error"):
            raise UsageError(f"redirect {redirect!r} is unknown; there is: follow, manual, error")
        if credentials not in ("omit", "same-origin", "include"):
            raise UsageError(f"credentials {credentials!r} is unknown; there is: omit, same-origin, include")
        self._place = place
        self._browser = place.browser
        self._request = request
        self._redirect = redirect
        self._credentials = credentials
        self._hops = 0
        self._done = done

    def begin(self) -> None:
        """Send it, in a turn of the browser or of the driver; the rest is in turns of the browser."""
        place, request = self._place, self._request
        place.dress(request)
        # A page that gives its own Origin is taken at its word.
        self._origin: str | None = request.headers.get("origin") if place.origin is not None else None
        self._hop()

    @property
    def _crosses(self) -> bool:
        return self._origin is not None and origin_of(self._request.url) != self._origin

    def _hop(self) -> None:
        if self._crosses and needs_preflight(self._request):
            self._ask_first()
        else:
            self._send()

    def _ask_first(self) -> None:
        request = self._request
        names = preflight_headers(request.headers)
        asked = Request("OPTIONS", request.url, {"Origin": str(self._origin)})
        asked.headers["Access-Control-Request-Method"] = request.method
        if names:
            asked.headers["Access-Control-Request-Headers"] = ", ".join(names)

        def answered(result: Outcome) -> None:
            error: str | None = "the preflight got lost"
            if type(result) is outcome.Value:
                error = preflight_error(
                    str(self._origin), request.method, names, result.value,
                    credentials=self._credentials == "include",
                )  # fmt: skip
            self._place.told(
                Preflight(url=str(request.url), method=request.method, headers=names, success=error is None)
            )
            if error is None:
                self._send()
            elif type(result) is outcome.Error:
                self._done(result)
            else:
                self._fail(error)

        self._post(asked, answered)

    def _send(self) -> None:
        sent = Request.of(self._request)
        if self._credentials != "omit":
            self._browser.add_cookies(sent)
        self._post(sent, lambda result: self._answered(sent, result))

    def _post(self, request: Request, answered: Callable[[Outcome], None]) -> None:
        metrics = self._browser.metrics
        metrics.http_requests += 1
        metrics.payload_bytes_sent += len(request.content)

        def counted(result: Outcome) -> None:
            metrics.round_trips += 1
            if type(result) is outcome.Value:
                metrics.payload_bytes_received += len(result.value.content)
            answered(result)

        seat = self._browser.seat
        seat.world.send(seat, request).when_done(counted)

    def _answered(self, sent: Request, result: Outcome) -> None:
        if type(result) is outcome.Error:
            self._done(result)
            return
        response: Response = result.value
        response.request = sent
        if self._credentials != "omit":
            self._browser.keep_cookies(response)
        if self._crosses:
            error = cors_error(str(self._origin), response, credentials=self._credentials == "include")
            if error is not None:
                self._fail(error)
                return
        location = response.headers.get("location")
        if response.status_code not in _REDIRECTS or location is None or self._redirect == "manual":
            self._done(outcome.Value(response))
        elif self._redirect == "error":
            self._done(outcome.Error(TypeError(f"Failed to fetch: redirected to {location}")))
        elif self._hops >= MAX_REDIRECTS:
            self._done(outcome.Error(TypeError(f"Failed to fetch: more than {MAX_REDIRECTS} redirects")))
        else:
            self._follow(response.status_code, location)

    def _follow(self, status: int, location: str) -> None:
        self._hops += 1
        before = self._request
        method, body = before.method, before.body
        headers = Headers(before.headers)
        if (status in (301, 302) and method == "POST") or (status == 303 and method not in ("GET", "HEAD")):
            method, body = "GET", None
            for name in ("content-type", "content-length"):
                headers.pop(name, None)
        self._request = Request(method, urljoin(str(before.url), location), headers, body)
        self._hop()

    def _fail(self, error: str) -> None:
        self._done(outcome.Error(TypeError(f"Failed to fetch: CORS error - {error}")))
