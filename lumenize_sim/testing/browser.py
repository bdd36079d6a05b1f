"""A simulated browser: cookies, tabs, and what a page of one origin may ask another (TS-4 to TS-10).

A `Browser` is one person's, and an actor of the world: it sends all requests of its tabs,
which share its cookies.  A `BrowserContext` is one tab with a page of one origin, an actor
too: its requests carry ``Origin``, are checked as browsers check them, and go to the mesh or
to a simulated server.  Its web sockets are `lumenize_sim.world.raw_socket.RawSocket` with the manners of the
web API, and `BrowserContext.connect` puts a `LumenizeClient` into it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from urllib.parse import urljoin

import attrs
import httpx
import outcome

from lumenize_sim.errors import UsageError
from lumenize_sim.kernel.event import Event
from lumenize_sim.mesh.client import ClientConfig, LumenizeClient
from lumenize_sim.objects.http import Headers, Request, Response
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.testing.cookies import Cookie, CookieJar, checked_domain, header_of
from lumenize_sim.testing.origins import (
    Preflight,
    cors_error,
    needs_preflight,
    origin_of,
    preflight_error,
    preflight_headers,
)
from lumenize_sim.testing.page_socket import Metrics, PageSocket
from lumenize_sim.testing.tab_stores import Channel, Channels, Page, SessionStorage
from lumenize_sim.world.attributes import watched
from lumenize_sim.world.entry import MESH_HOST
from lumenize_sim.world.raw_socket import upgrade_request
from lumenize_sim.world.seats import FreeSeat

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["MAX_REDIRECTS", "Browser", "BrowserContext"]

C = TypeVar("C", bound=LumenizeClient)
Redirect = Literal["follow", "manual", "error"]
Credentials = Literal["omit", "same-origin", "include"]

MAX_REDIRECTS: Final = 20
_HOME: Final = f"https://{MESH_HOST}"
_REDIRECTS: Final = (301, 302, 303, 307, 308)


class Browser:
    """One browser in a simulated world.

    Args:
        world: where.
        name: of the actor; pages are ``alice.page1``, ``alice.page2``, …

    Attributes:
        metrics: what has gone over the network.
        seat: where it runs.  For its pages.
    """

    def __init__(self, world: World, name: str = "browser") -> None:
        self.name = name
        self.metrics = Metrics()
        self._world = world
        self._jar = CookieJar()
        self._host: str | None = None
        self._channels: dict[str, Channels] = {}
        self._pages = 0
        self.seat = FreeSeat(world, name)
        self._bare = _Place(self, self.seat, None, Headers())

    # -- requests ------------------------------------------------------------------------

    def fetch(
        self,
        url: httpx.URL | str,
        *,
        method: str = "GET",
        headers: Any = None,
        body: Any = None,
        redirect: Redirect = "follow",
    ) -> Pending[Response]:
        """Send a request with this browser's cookies, but from no page: no ``Origin``, no checks.  Acts at once.

        Settles with the response, at most 20 redirects later, or with a ConnectionError.

        Args:
            url: relative to the mesh, or a whole one.
            redirect: ``"manual"`` gives the redirect itself, ``"error"`` makes it a TypeError.
        """
        request = Request(method, urljoin(_HOME, str(url)), headers, body)
        return self._bare.ask(request, redirect, "include")

    def web_socket(
        self, url: str, protocols: Sequence[str] = (), *, headers: Mapping[str, str] | None = None
    ) -> PageSocket:
        """Open a web socket with this browser's cookies, but from no page.  It is connecting at first."""
        return self._bare.web_socket(url, protocols, headers, None)

    def context(
        self, origin: str, *, headers: Mapping[str, str] | None = None, max_queue_bytes: int | None = None
    ) -> BrowserContext:
        """A tab with a page of ``origin``.

        Args:
            headers: added to every request and upgrade.
            max_queue_bytes: how much its web sockets keep that is sent before they are open.
        """
        return BrowserContext(self, origin, headers, max_queue_bytes, SessionStorage())

    def duplicate_context(self, context: BrowserContext) -> BrowserContext:
        """A second tab with the same page, as the user duplicates one: the session storage is a copy (TS-7)."""
        return BrowserContext(
            self, context.origin, context._headers, context._max_queue_bytes, context.session_storage.copy()
        )

    # -- cookies -------------------------------------------------------------------------

    def set_cookie(
        self, name: str, value: str, *, domain: str | None = None, path: str = "/", **attributes: Any
    ) -> None:
        """Set a cookie by hand.

        Args:
            domain: by default the host that was asked first.
            attributes: further fields of `Cookie`.

        Raises:
            UsageError: without ``domain``, before anything was asked.
        """
        found = checked_domain(name, domain, self._host)
        self._jar.set(Cookie(name=name, value=value, domain=found, path=path, **attributes), self._now_ms())

    def get_cookie(self, name: str, domain: str | None = None) -> str | None:
        """The value of a cookie, of that domain where one is given; ``None`` where there is none."""
        cookie = self._jar.get(name, domain, self._now_ms())
        return None if cookie is None else cookie.value

    def get_all_cookies(self) -> list[Cookie]:
        """All that have not expired."""
        return self._jar.all(self._now_ms())

    def get_all_cookies_as_dict(self) -> dict[str, str]:
        """Their values by name."""
        return {cookie.name: cookie.value for cookie in self.get_all_cookies()}

    def get_cookies_for_request(self, url: str) -> str:
        """The ``Cookie`` field that a request for ``url`` would carry; ``""`` for none."""
        return header_of(self._jar.for_url(url, self._now_ms()))

    def remove_cookie(self, name: str, domain: str | None = None, path: str | None = None) -> None:
        """Forget a cookie, of that domain and path where they are given."""
        self._jar.remove(name, domain, path)

    # -- for its tabs --------------------------------------------------------------------

    def _now_ms(self) -> int:
        return self._world.host.now_ms()

    def _next_page(self) -> FreeSeat:
        self._pages += 1
        return FreeSeat(self._world, f"{self.name}.page{self._pages}")

    def _add_cookies(self, request: Request) -> None:
        self._host = self._host or request.url.host
        cookies = header_of(self._jar.for_url(request.url, self._now_ms()))
        if cookies:
            given = request.headers.get("cookie")
            request.headers["Cookie"] = cookies if given is None else f"{given}; {cookies}"

    def __repr__(self) -> str:
        return f"<Browser {self.name}>"


@attrs.frozen(eq=False)
class _Place:
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
        _Trip(self, request, redirect, credentials, answer.settle).begin()
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
            cause = world.cause

            def fire() -> None:
                world.deliver(seat.name, f"{label}/r", cause)
                arrived(f"{label}/r", result)

            world.kernel.post(Event(f"{label}/r", seat, fire, receiver=seat.receiver))

        browser.seat.post(label, lambda: _Trip(self, request, "follow", "same-origin", back).begin(), cause=world.cause)
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
        request = upgrade_request(urljoin(_HOME, url), protocols, headers)
        self.prepare_upgrade(request)
        self.browser._add_cookies(request)
        sockets = self.seat.world.sockets
        return sockets.open_url(
            self.seat,
            request,
            make=lambda wires, connection: PageSocket(
                wires, connection, self.seat, request, self.browser.metrics, max_queue_bytes
            ),
        )


class BrowserContext:
    """One tab.  Made by `Browser.context`.

    Attributes:
        origin: of its page.
        session_storage: its own; a reload keeps it.
        last_preflight: the last question asked before a request to another origin, or ``None``.
    """

    def __init__(
        self,
        browser: Browser,
        origin: str,
        headers: Mapping[str, str] | None,
        max_queue_bytes: int | None,
        session_storage: SessionStorage,
    ) -> None:
        url = httpx.URL(origin)
        if url.scheme not in ("http", "https") or not url.host:
            raise UsageError(f"{origin!r} is no origin: give scheme and host, such as 'https://app.example'")
        self.browser = browser
        self.origin = origin_of(url)
        self.session_storage = session_storage
        self.last_preflight: Preflight | None = None
        self._headers = headers
        self._max_queue_bytes = max_queue_bytes
        self._channels = browser._channels.setdefault(self.origin, Channels())
        self._load()

    def _load(self) -> None:
        seat = self.browser._next_page()
        self._page = Page(seat, self.browser.seat)
        self._place = _Place(self.browser, seat, self.origin, Headers(self._headers), self._asked)
        seat.visitor = self._place

    def _asked(self, preflight: Preflight) -> None:
        self.last_preflight = preflight

    @property
    def name(self) -> str:
        """Of the actor that its page is; another one after a reload."""
        return self._place.seat.name

    # -- what a page can do ----------------------------------------------------------------

    def fetch(
        self,
        url: httpx.URL | str,
        *,
        method: str = "GET",
        headers: Any = None,
        body: Any = None,
        redirect: Redirect = "follow",
        credentials: Credentials = "same-origin",
    ) -> Pending[Response]:
        """Send a request from the page.  Acts at once.  For the driver: a client in the tab fetches by its host.

        Settles with the response; with a TypeError where the page may not read it (``Failed to fetch: CORS error - …``)
        or a redirect was an error; with a ConnectionError where it got lost.

        Args:
            url: relative to the origin, or a whole one.
            redirect: as in `Browser.fetch`.
            credentials: ``"include"`` makes the checks for an answer with credentials; ``"omit"`` sends no cookies.
                Otherwise matching cookies are sent whatever the origin: nobody enforces ``SameSite`` here.
        """
        request = Request(method, urljoin(f"{self.origin}/", str(url)), headers, body)
        return self._place.ask(request, redirect, credentials)

    def web_socket(
        self, url: str, protocols: Sequence[str] = (), *, headers: Mapping[str, str] | None = None
    ) -> PageSocket:
        """Open a web socket from the page.  No origin is checked by the browser: the server has to."""
        return self._place.web_socket(url, protocols, headers, self._max_queue_bytes)

    def broadcast_channel(self, name: str) -> Channel:
        """Open a channel to the other tabs of this origin in this browser (TS-8)."""
        return Channel(self._channels, self._page, name)

    async def connect(
        self,
        client_class: type[C],
        *,
        sub: str | None = None,
        claims: dict[str, Any] | None = None,
        token_life_s: int = 3600,
        wait: bool = True,
        **config: Any,
    ) -> C:
        """A client of the mesh in this tab, connected (a checkpoint) unless ``wait`` is False.

        Its tab id is found as in a browser, with session storage and channels (CL-46), so its instance name is not
        known before.

        Args:
            sub: who logs in, with a token that the world signs; without, the client refreshes at the login service,
                with this browser's cookies.
            config: further fields of `ClientConfig`.
        """
        world, seat = self.browser._world, self._place.seat
        made_of: Any = client_class
        if not (isinstance(made_of, type) and issubclass(made_of, LumenizeClient)):
            raise UsageError(f"connect takes a subclass of LumenizeClient, not {made_of!r}")
        if sub is not None:
            config.setdefault("refresh", lambda: {"access_token": world.entry.mint(seat, sub, claims, token_life_s)})
        told = config.pop("on_connection_state_change", None)
        connected: Pending[None] = Pending("connect")

        def on_state(state: Any) -> Any:
            if state == "connected":
                connected.settle(outcome.Value(None))
            return None if told is None else told(state)

        made = ClientConfig(
            base_url=f"wss://{MESH_HOST}",
            host=world.host,
            owner=seat.owner,
            session_storage=self.session_storage,
            broadcast_channel=self.broadcast_channel,
            on_connection_state_change=on_state,
            **config,
        )
        watch: Any = watched
        cls: Any = watch(made_of) if world.tracing else made_of
        client: C = seat.context(f"{seat.name}!new").run(cls, made)
        world.clients.append(client)
        if wait:
            await connected
            # What the client listens to is known to the browser, as it is in the time that a connection takes.
            known: Pending[None] = Pending("page")
            page = self._page
            page.tell(lambda: page.hear(lambda: known.settle(outcome.Value(None))))
            await known
        return client

    # -- its end ---------------------------------------------------------------------------

    def close_channels(self) -> None:
        """Close all channels of the page, as a reload does."""
        for channel in list(self._page.channels):
            channel.close()

    def reload(self) -> None:
        """The page goes with everything that runs in it, and comes again: session storage and cookies stay."""
        self._leave()
        self._load()

    def close(self) -> None:
        """The tab is closed: its session storage is gone too.  Idempotent."""
        self._leave()
        self.session_storage.clear()

    def _leave(self) -> None:
        self.close_channels()
        seat = self._place.seat
        for connection in self.browser._world.sockets.of(seat.name):
            client = connection.client
            if client is not None:
                client.leave()
        seat.finish()

    def __repr__(self) -> str:
        return f"<BrowserContext {self.name} of {self.origin}>"


class _Trip:
    """One request, with the question before it and all redirects after it; ``done`` hears the outcome."""

    def __init__(
        self,
        place: _Place,
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
            self._browser._add_cookies(sent)
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
            self._browser._jar.store(sent.url, response.headers, self._browser._now_ms())
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
