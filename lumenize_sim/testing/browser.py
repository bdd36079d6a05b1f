"""A simulated browser: cookies, tabs, and what a page of one origin may ask another (TS-4 to TS-10).

A `Browser` is one person's, and an actor of the world: it sends all requests of its tabs,
which share its cookies.  A `BrowserContext` is one tab with a page of one origin, an actor
too: its requests carry ``Origin``, are checked as browsers check them, and go to the mesh or
to a simulated server.  Its web sockets are `lumenize_sim.world.raw_socket.RawSocket` with the manners of the
web API, and `BrowserContext.connect` puts a `LumenizeClient` into it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin

import httpx
import outcome

from lumenize_sim.errors import UsageError
from lumenize_sim.mesh.client import LumenizeClient
from lumenize_sim.mesh.client_config import ClientConfig
from lumenize_sim.objects.http import Headers, Request, Response
from lumenize_sim.objects.pending import Pending
from lumenize_sim.testing.cookies import Cookie, CookieJar, checked_domain, header_of
from lumenize_sim.testing.origins import Preflight, origin_of
from lumenize_sim.testing.page_socket import Metrics, PageSocket
from lumenize_sim.testing.tab_stores import Channel, Channels, Page, SessionStorage
from lumenize_sim.testing.trips import HOME, Credentials, Place, Redirect
from lumenize_sim.world.attributes import watched
from lumenize_sim.world.client_end import ClientEnd
from lumenize_sim.world.connection import UP
from lumenize_sim.world.entry import MESH_HOST
from lumenize_sim.world.seats import FreeSeat

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["Browser", "BrowserContext"]

C = TypeVar("C", bound=LumenizeClient)


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
        self._bare = Place(self, self.seat, None, Headers())

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
        request = Request(method, urljoin(HOME, str(url)), headers, body)
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

    def keep_cookies(self, response: Response) -> None:
        """Keep what an answer sets.  In a turn of the browser or of the driver."""
        self._jar.store(response.request.url, response.headers, self._now_ms())

    def add_cookies(self, request: Request) -> None:
        """Add what a request carries.  In a turn of the browser or of the driver."""
        self._host = self._host or request.url.host
        cookies = header_of(self._jar.for_url(request.url, self._now_ms()))
        if cookies:
            given = request.headers.get("cookie")
            request.headers["Cookie"] = cookies if given is None else f"{given}; {cookies}"

    def __repr__(self) -> str:
        return f"<Browser {self.name}>"


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
        self._place = Place(self.browser, seat, self.origin, Headers(self._headers), self._asked)
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
        cls: Any = watch(made_of) if world.chronicle.tracing else made_of
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
            end = connection.ends[UP]
            if isinstance(end, ClientEnd):
                end.leave()
        seat.finish()

    def __repr__(self) -> str:
        return f"<BrowserContext {self.name} of {self.origin}>"
