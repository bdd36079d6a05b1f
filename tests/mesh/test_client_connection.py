"""The client's connection as a table: what each input leads to, and what never happens in any order of them."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim.mesh import client_connection as m
from lumenize_sim.mesh import client_events as e
from lumenize_sim.mesh.errors import LoginRequiredError
from lumenize_sim.mesh.tokens import mint_hs256

NOW_MS = 1_700_000_000_000
NOW_S = NOW_MS // 1000


def token(sub: str = "alice", exp: float | None = NOW_S + 3600, **more: Any) -> str:
    claims: dict[str, Any] = {"sub": sub, **more}
    if exp is not None:
        claims["exp"] = exp
    return mint_hs256(claims, "k")


def connection(**options: Any) -> m.ClientConnection:
    defaults: dict[str, Any] = {
        "base_url": "https://example.com",
        "binding": "GW",
        "instance_name": "alice.tab1",
        "token": token(),
    }
    return m.ClientConnection(**{**defaults, **options})


def feed(c: m.ClientConnection, *events: e.Input, now_ms: int = NOW_MS) -> list[e.Command]:
    """The commands of the last of several inputs."""
    out: list[e.Command] = []
    for event in events:
        out = c.feed(event, now_ms)
    return out


def online(c: m.ClientConnection, socket: int = 1) -> m.ClientConnection:
    feed(c, e.ConnectRequested(), e.SocketOpened(socket), e.StatusArrived(socket, False))
    assert c.state == "connected"
    return c


@pytest.mark.parametrize(
    "base,shown",
    [("https://h", "wss://h"), ("http://h:1", "ws://h:1"), ("ws://h", "ws://h"), ("wss://h", "wss://h")],
)
def test_url_holds_binding_and_instance_and_a_web_socket_scheme(base: str, shown: str) -> None:
    """CL-9; T-CL 12 to 16."""
    c = connection(base_url=base, token=token())
    assert feed(c, e.ConnectRequested()) == [
        e.Dial(1, f"{shown}/gateway/GW/alice.tab1", ("lmz", f"lmz.access-token.{c.token}")),
        e.StateChanged("connecting"),
    ]


def test_state_is_connected_only_after_the_status_frame() -> None:
    """CL-5, CL-36: state, then queue, then subscription."""
    c = connection()
    feed(c, e.ConnectRequested())
    assert feed(c, e.SocketOpened(1)) == [e.StartHeartbeat()]
    assert c.state == "connecting"
    assert feed(c, e.StatusArrived(1, True)) == [e.StateChanged("connected"), e.SendQueue(), e.RequireSubscription()]
    assert feed(c, e.StatusArrived(1, False)) == [e.SendQueue()]


def test_connect_while_connected_or_on_the_way_does_nothing() -> None:
    """CL-3; T-CL 43."""
    c = connection()
    feed(c, e.ConnectRequested())
    assert feed(c, e.ConnectRequested()) == []
    assert feed(online(connection()), e.ConnectRequested()) == []


def test_connect_cuts_the_back_off_short() -> None:
    """CL-3."""
    c = online(connection())
    assert feed(c, e.SocketClosed(1, 1006, "")) == [
        e.StopHeartbeat(),
        e.StartBackoff(1.0),
        e.StateChanged("reconnecting"),
    ]
    out = feed(c, e.ConnectRequested())
    assert out[0] == e.StopBackoff()
    assert isinstance(out[1], e.Dial)
    assert c.state == "reconnecting"


def test_back_off_doubles_to_a_cap_and_starts_over_when_a_socket_opens() -> None:
    """CL-12."""
    c = connection(token=token(exp=None))
    feed(c, e.ConnectRequested())
    delays = []
    for _ in range(8):
        assert c.socket is not None
        out = feed(c, e.SocketClosed(c.socket, 1006, ""))
        delays += [o.delay_s for o in out if isinstance(o, e.StartBackoff)]
        out = feed(c, e.BackoffElapsed())
        if e.Refresh() in out:
            feed(c, e.TokenArrived(token()))
    assert delays == [1, 2, 4, 8, 16, 30, 30, 30]
    assert c.socket is not None
    out = feed(c, e.SocketOpened(c.socket), e.SocketClosed(c.socket, 1006, ""))
    assert e.StartBackoff(1.0) in out


def test_first_drop_reuses_the_token_and_the_second_failure_in_a_row_refreshes_once() -> None:
    """CL-13; T-CL 39."""
    c = online(connection())
    assert e.Refresh() not in feed(c, e.SocketClosed(1, 1006, ""), e.BackoffElapsed())
    feed(c, e.SocketClosed(2, 1006, ""))
    assert c.token is None
    assert c.claims is not None
    assert e.Refresh() in feed(c, e.BackoffElapsed())
    feed(c, e.TokenArrived(token()))
    feed(c, e.SocketClosed(3, 1006, ""))
    assert c.token is not None, "once per cycle"
    assert e.Refresh() not in feed(c, e.BackoffElapsed())


@pytest.mark.parametrize("code", [4400, 4403])
def test_refused_authentication_asks_for_login_and_tries_no_more(code: int) -> None:
    """CL-17; T-CL 23, 24."""
    c = online(connection())
    stop, changed, login = feed(c, e.SocketClosed(1, code, "no"))
    assert (stop, changed) == (e.StopHeartbeat(), e.StateChanged("disconnected"))
    assert isinstance(login, e.RequireLogin)
    assert (str(login.error), login.error.code, login.error.reason) == ("Authentication failed: no", code, "no")
    assert c.phase == "idle"


def test_expired_token_is_renewed_before_the_state_changes() -> None:
    """CL-18; T-CL 37."""
    c = online(connection())
    assert feed(c, e.SocketClosed(1, 4401, "Token expired")) == [e.StopHeartbeat(), e.Refresh()]
    assert c.state == "connected"
    assert feed(c, e.ConnectRequested()) == []
    new = token(jti="2")
    dial, changed = feed(c, e.TokenArrived(new))
    assert isinstance(dial, e.Dial)
    assert dial.protocols[1].endswith(new)
    assert changed == e.StateChanged("reconnecting")


@pytest.mark.parametrize(
    "failure", [e.RefreshFailed(RuntimeError("boom")), e.TokenArrived(None), e.TokenArrived("no token at all")]
)
def test_any_failed_renewal_asks_for_login(failure: e.Input) -> None:
    """CL-18; T-CL 40."""
    c = online(connection())
    feed(c, e.SocketClosed(1, 4401, ""))
    changed, login = feed(c, failure)
    assert changed == e.StateChanged("disconnected")
    assert isinstance(login, e.RequireLogin)
    assert (str(login.error), login.error.code) == ("Token refresh failed", 401)


def test_renewal_while_reconnecting_does_not_announce_that_state_again() -> None:
    c = online(connection())
    feed(c, e.SocketClosed(1, 1006, ""), e.BackoffElapsed(), e.SocketClosed(2, 4401, ""))
    assert [type(o) for o in feed(c, e.TokenArrived(token()))] == [e.Dial]


def test_without_name_and_token_tab_id_and_refresh_run_together() -> None:
    """CL-6; T-CL 35."""
    c = connection(instance_name=None, token=None)
    assert feed(c, e.ConnectRequested()) == [e.FindTabId(), e.Refresh(), e.StateChanged("connecting")]
    assert feed(c, e.TokenArrived(token("bob"))) == []
    (dial,) = feed(c, e.TabIdFound("0a1b2c3d"))
    assert isinstance(dial, e.Dial)
    assert dial.url.endswith("/GW/bob.0a1b2c3d")
    assert c.instance_name == "bob.0a1b2c3d"


def test_without_name_but_with_token_only_the_tab_id_is_found() -> None:
    """CL-7, also where the token has run out."""
    c = connection(instance_name=None, token=token("bob", exp=1))
    assert feed(c, e.ConnectRequested())[0] == e.FindTabId()
    (dial,) = feed(c, e.TabIdFound("t"))
    assert isinstance(dial, e.Dial)
    assert c.instance_name == "bob.t"


@pytest.mark.parametrize("bad", ["x", "a.%%%.c", mint_hs256({}, "k")])
def test_a_token_without_readable_subject_names_the_client_undefined(bad: str) -> None:
    """CL-7."""
    c = connection(instance_name=None, token=bad)
    feed(c, e.ConnectRequested(), e.TabIdFound("t"))
    assert c.instance_name == "undefined.t"


@pytest.mark.parametrize(
    "exp,wanted",
    [(NOW_S + 31, False), (NOW_S + 30, True), (NOW_S - 1, True), (None, False), ("soon", False), (True, False)],
)
def test_token_is_refreshed_within_thirty_seconds_of_its_expiry(exp: Any, wanted: bool) -> None:
    """CL-8; T-CL 38."""
    c = connection(token=token(exp=exp))
    assert (e.Refresh() in feed(c, e.ConnectRequested(), now_ms=NOW_MS + 999)) is wanted


def test_a_missing_token_is_refreshed() -> None:
    """CL-8."""
    assert e.Refresh() in feed(connection(token=None), e.ConnectRequested())


def test_login_error_before_the_socket_ends_the_attempt_for_good() -> None:
    """CL-10; T-CL 55, 56: never `reconnecting`, no socket."""
    c = connection(token=None)
    feed(c, e.ConnectRequested())
    error = LoginRequiredError("Token refresh failed: 401", 401, "r")
    assert feed(c, e.RefreshFailed(error)) == [e.StateChanged("disconnected"), e.RequireLogin(error)]


@pytest.mark.parametrize("failure", [e.RefreshFailed(OSError("down")), e.TokenArrived(""), e.TokenArrived("junk")])
def test_other_failures_before_the_socket_back_off(failure: e.Input) -> None:
    """CL-10, CL-24; T-CL 57, 58.  What was unreadable is not kept."""
    c = connection(token=None)
    feed(c, e.ConnectRequested())
    assert feed(c, failure) == [e.StartBackoff(1.0), e.StateChanged("reconnecting")]
    assert c.token is None


def test_a_tab_id_once_found_is_kept_over_a_failed_attempt() -> None:
    c = connection(instance_name=None, token=None)
    feed(c, e.ConnectRequested(), e.TabIdFound("t"), e.RefreshFailed(OSError("down")))
    assert feed(c, e.BackoffElapsed()) == [e.Refresh()]
    feed(c, e.TokenArrived(token()))
    assert c.instance_name == "alice.t"


def test_a_refresh_that_nobody_waits_for_only_leaves_its_token() -> None:
    c = connection(instance_name=None, token=token())
    feed(c, e.ConnectRequested())
    assert feed(c, e.RefreshFailed(OSError("down"))) == []
    new = token(jti="2")
    assert feed(c, e.TokenArrived(new)) == []
    assert c.token == new
    assert feed(online(connection()), e.TokenArrived("junk")) == []


def test_claims_are_the_payload_and_cannot_be_changed() -> None:
    """CL-25; T-CL 8 to 11, 28."""
    c = connection(token=None)
    assert c.claims is None
    c = connection()
    assert isinstance(c.claims, MappingProxyType)
    assert c.claims["sub"] == "alice"
    c.clear_token()
    assert (c.token, c.claims) == (None, None)
    assert connection(token="x").claims is None
    assert connection(token="a.WzFd.c").claims is None, "a payload that is no object"


def test_disconnect_hangs_up_rejects_and_can_be_repeated() -> None:
    """CL-29; T-CL 20, 60."""
    c = online(connection())
    assert feed(c, e.DisconnectRequested()) == [
        e.StopHeartbeat(),
        e.Hangup(1, 1000, "Client disconnect"),
        e.RejectCalls("Client disconnected"),
        e.StateChanged("disconnected"),
    ]
    assert feed(c, e.DisconnectRequested()) == [e.StopHeartbeat(), e.RejectCalls("Client disconnected")]
    assert feed(c, e.SocketClosed(1, 1000, "")) == []
    assert isinstance(feed(c, e.ConnectRequested())[0], e.Dial)
    feed(c, e.SocketClosed(2, 1006, ""))
    assert e.StopBackoff() in feed(c, e.DisconnectRequested())


def test_disconnect_cancels_an_attempt_that_waits_for_its_token() -> None:
    """CL-30, mended: no socket opens afterwards, but the token is kept."""
    c = connection(token=None)
    feed(c, e.ConnectRequested(), e.DisconnectRequested())
    assert feed(c, e.TokenArrived(token())) == []
    assert c.token is not None
    assert c.state == "disconnected"


def test_tab_id_found_after_disconnect_serves_the_next_connect() -> None:
    c = connection(instance_name=None)
    feed(c, e.ConnectRequested(), e.DisconnectRequested())
    assert e.FindTabId() not in feed(c, e.ConnectRequested()), "the search is still under way"
    (dial,) = feed(c, e.TabIdFound("t"))
    assert isinstance(dial, e.Dial)


def test_waking_up_retries_at_once_and_forgets_failures() -> None:
    """CL-15."""
    c = online(connection(token=token(exp=None)))
    feed(c, e.SocketClosed(1, 1006, ""))
    stop, dial = feed(c, e.WokenUp())
    assert (stop, type(dial)) == (e.StopBackoff(), e.Dial)
    assert e.StartBackoff(1.0) in feed(c, e.SocketClosed(2, 1006, ""))


def test_waking_up_replaces_a_dial_that_may_hang_but_not_an_open_socket() -> None:
    c = online(connection())
    feed(c, e.SocketClosed(1, 1006, ""), e.BackoffElapsed())
    hangup, dial = feed(c, e.WokenUp())
    assert (hangup, type(dial)) == (e.Hangup(2, 1000, "Client disconnect"), e.Dial)
    feed(c, e.SocketOpened(3))
    assert feed(c, e.WokenUp()) == []


def test_waking_up_means_nothing_while_connected_and_after_disconnect() -> None:
    """CL-15; unlike upstream, `online` does not revive what was told to disconnect."""
    c = online(connection())
    assert feed(c, e.WokenUp(online=True)) == []
    feed(c, e.DisconnectRequested())
    assert feed(c, e.WokenUp(online=True)) == []
    feed(c, e.ConnectRequested(), e.SocketClosed(2, 4403, ""))
    assert feed(c, e.WokenUp()) == []
    assert isinstance(feed(c, e.WokenUp(online=True))[0], e.Dial)


def test_queue_takes_a_hundred_and_gives_them_back_in_order() -> None:
    """CL-33; T-CL 46."""
    c = connection()
    assert all(c.enqueue(str(i), f"f{i}") for i in range(100))
    assert not c.enqueue("100", "f100")
    assert c.withdraw("3")
    assert not c.withdraw("3")
    assert c.take_queue() == [(str(i), f"f{i}") for i in range(100) if i != 3]
    assert c.take_queue() == []


def test_events_of_a_given_up_socket_are_ignored() -> None:
    """CL-14; T-CL 32."""
    c = online(connection())
    feed(c, e.SocketClosed(1, 1006, ""), e.BackoffElapsed(), e.SocketOpened(2), e.StatusArrived(2, False))
    for stale in (e.SocketClosed(1, 4409, ""), e.SocketOpened(1), e.StatusArrived(1, True)):
        assert feed(c, stale) == []
    assert c.state == "connected"


# Any order of inputs.

ACTIONS = st.sampled_from(
    ["connect", "disconnect", "wake", "online", "tab", "token", "junk", "no-token", "refuse", "fail"]
    + 2 * ["open", "status", "timer"]
    + ["drop", "expire", "login", "supersede", "stale", "call", "clear", "later"]
)


class Surroundings:
    """Carries commands out as far as it takes to judge them."""

    def __init__(self, c: m.ClientConnection) -> None:
        self.c = c
        self.now_ms = NOW_MS
        self.live: dict[int, str] = {}
        self.gone: list[int] = []
        self.backoff = False
        self.refreshing = False
        self.searching = False
        self.heartbeat = False
        self.announced: str = "disconnected"
        self.failures = 0
        self.told_to_leave = False
        self.queued: list[str] = []
        self.calls = 0

    def feed(self, event: e.Input) -> None:
        if isinstance(event, e.SocketOpened | e.WokenUp):
            woken = isinstance(event, e.WokenUp) and (
                self.c.state == "reconnecting"
                or (event.online and self.c.state == "disconnected" and not self.told_to_leave)
            )
            if isinstance(event, e.SocketOpened) or woken:
                self.failures = 0
        if isinstance(event, e.DisconnectRequested):
            self.queued.clear()
            self.told_to_leave = True
        elif isinstance(event, e.ConnectRequested):
            self.told_to_leave = False
        for command in self.c.feed(event, self.now_ms):
            self.carry_out(command)

    def carry_out(self, command: e.Command) -> None:
        match command:
            case e.Dial(socket=socket, protocols=protocols):
                assert not self.live, "two sockets"
                assert socket not in self.gone
                assert self.c.token is None or protocols[1] == f"lmz.access-token.{self.c.token}"
                self.live[socket] = "dialling"
            case e.Hangup(socket=socket):
                del self.live[socket]
                self.gone.append(socket)
            case e.StartBackoff(delay_s=delay_s):
                assert not self.backoff, "two timers"
                assert delay_s == min(2**self.failures, 30)
                self.failures += 1
                self.backoff = True
            case e.StopBackoff():
                assert self.backoff
                self.backoff = False
            case e.StartHeartbeat():
                assert not self.heartbeat
                self.heartbeat = True
            case e.StopHeartbeat():
                self.heartbeat = False
            case e.Refresh():
                self.refreshing = True
            case e.FindTabId():
                assert not self.searching, "two searches"
                self.searching = True
            case e.SendQueue():
                assert [text for _, text in self.c.take_queue()] == self.queued
                self.queued.clear()
            case e.StateChanged(state=state):
                assert state != self.announced
                self.announced = state

    def act(self, action: str) -> None:
        c = self.c
        dialling = next((n for n, s in self.live.items() if s == "dialling"), None)
        opened = next((n for n, s in self.live.items() if s == "open"), None)
        closes = {"drop": 1006, "expire": 4401, "login": 4403, "supersede": 4409}
        if action == "connect":
            self.feed(e.ConnectRequested())
        elif action == "disconnect":
            self.feed(e.DisconnectRequested())
        elif action in ("wake", "online"):
            self.feed(e.WokenUp(online=action == "online"))
        elif action == "tab" and self.searching:
            self.searching = False
            self.feed(e.TabIdFound("t"))
        elif action in ("token", "junk", "no-token", "refuse", "fail") and self.refreshing:
            self.refreshing = False
            answers: dict[str, e.Input] = {
                "token": e.TokenArrived(token(exp=self.now_ms // 1000 + 60)),
                "junk": e.TokenArrived("junk"),
                "no-token": e.TokenArrived(None),
                "refuse": e.RefreshFailed(LoginRequiredError("no", 401, "no")),
                "fail": e.RefreshFailed(OSError("down")),
            }
            self.feed(answers[action])
        elif action == "open" and dialling is not None:
            self.live[dialling] = "open"
            self.feed(e.SocketOpened(dialling))
        elif action == "status" and opened is not None:
            self.feed(e.StatusArrived(opened, True))
        elif action in closes and self.live:
            ((socket, _),) = self.live.items()
            del self.live[socket]
            self.gone.append(socket)
            self.feed(e.SocketClosed(socket, closes[action], ""))
        elif action == "stale" and self.gone:
            before = c.state
            for event in (e.SocketClosed(self.gone[-1], 1006, ""), e.StatusArrived(self.gone[-1], True)):
                assert c.feed(event, self.now_ms) == []
            assert c.state == before
        elif action == "timer" and self.backoff:
            self.backoff = False
            self.feed(e.BackoffElapsed())
        elif action == "call":
            self.calls += 1
            if opened is None and c.enqueue(str(self.calls), f"f{self.calls}"):
                self.queued.append(f"f{self.calls}")
        elif action == "clear":
            c.clear_token()
        elif action == "later":
            self.now_ms += 40_000

    def check(self) -> None:
        c = self.c
        assert self.announced == c.state
        assert (c.socket is not None) == bool(self.live)
        assert self.heartbeat == (c.phase in ("open", "online"))
        assert self.backoff == (c.phase == "backing_off")
        assert (c.state == "disconnected") == (c.phase == "idle")
        if c.state == "connected":
            assert c.phase in ("online", "renewing")
        if c.state in ("connecting", "reconnecting"):
            assert self.live or self.backoff or self.refreshing or self.searching, "stuck"


@settings(max_examples=300, deadline=None)
@given(named=st.booleans(), with_token=st.booleans(), actions=st.lists(ACTIONS, max_size=60))
def test_no_order_of_inputs_gives_two_sockets_a_wrong_delay_or_a_stuck_client(
    named: bool, with_token: bool, actions: list[str]
) -> None:
    """Never two sockets, timers or searches; the queue keeps its order; n of CL-12 is what it should be; every
    change of state is announced once; whoever is on the way is waiting for something."""
    around = Surroundings(
        connection(instance_name="alice.t" if named else None, token=token(exp=NOW_S + 60) if with_token else None)
    )
    for action in ["connect", *actions]:
        around.act(action)
        around.check()
