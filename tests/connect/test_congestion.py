"""Throttling: what the rate falls to and how it comes back, and what a refusal is taken for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from families import Words
from hypothesis import given
from hypothesis import strategies as st
from patience import DEADLINE
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam._databases.postgresql import is_throttled
from sqlalchemy_rds_iam._ratelimit.limiter import (
    CUT,
    CUT_PAUSE,
    LOWEST,
    LULL,
    REGAIN,
    QueueTimeout,
    RateLimiter,
)
from sqlalchemy_rds_iam._ratelimit.retry_policy import (
    CURRENT,
    FIRST,
    LONGEST_PAUSE,
    NEVER,
    NO_TIME,
    SHORTEST_PAUSE,
    RetryState,
)
from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.database.streams import RefusedError

Connect = Callable[..., Database]
NOW = 1000.0
FOREVER = float("inf")


class Login:
    """A place to log in, with the time at which a login was accepted there."""

    def __init__(self, accepted_at: float = NEVER) -> None:
        self.accepted_at = accepted_at
        self.first_until = self.first_refused = self.accepted_before = NEVER
        self.lock = threading.Lock()


def _take_all(limiter: RateLimiter, now: float, timeout: float = 0.0) -> int:
    """Take turns until there is none in time; how many there were."""
    for number in range(100_000):
        try:
            limiter.enqueue(now, now + timeout)
        except QueueTimeout:
            return number
    raise AssertionError


@given(let_in=st.integers(0, 200), old=st.integers(0, 200))
def test_a_cut_goes_to_what_was_let_in(let_in: int, old: int) -> None:
    """One throttled login is enough to find the share of the ceiling, whatever the rate was."""
    limiter = RateLimiter(200)
    for number in range(old):
        limiter.accepted(NOW - 3 + number / 200)
    for number in range(let_in):
        limiter.accepted(NOW + number / 1000)
    assert limiter.throttled(NOW + 0.5)
    expected = max(CUT * let_in, LOWEST)
    assert limiter.current_rate == pytest.approx(expected, rel=0.04, abs=0.04)
    assert (limiter.cuts, limiter.throttles) == (1, 1)


def test_one_cut_a_second() -> None:
    """Logins that were under way when the first was throttled are counted, and cut nothing."""
    limiter = RateLimiter(200)
    assert limiter.throttled(NOW)
    rate = limiter.current_rate
    assert not limiter.throttled(NOW + 0.9 * CUT_PAUSE)
    assert limiter.current_rate > rate
    assert not limiter.throttled(NOW + CUT_PAUSE)  # not the first one
    assert limiter.current_rate == pytest.approx(rate)
    assert (limiter.cuts, limiter.throttles) == (2, 3)


def test_a_cut_ends_a_burst() -> None:
    """What was saved up for a burst is not spent on a server that throttles."""
    limiter = RateLimiter(200)
    assert limiter.enqueue(NOW, NOW + 1) is None
    limiter.throttled(NOW)
    ticket = limiter.enqueue(NOW, NOW + 1)
    assert ticket is not None
    assert ticket.wait > 0.2


@given(later=st.floats(0, 30))
def test_a_connect_comes_after_a_cut(later: float) -> None:
    """A connect that comes any time after a cut has a turn, at once if enough time has passed."""
    limiter = RateLimiter(200)
    limiter.throttled(NOW)
    ticket = limiter.enqueue(NOW + later, FOREVER)
    assert (ticket is None) == (later > 0.4) or 0.3 < later <= 0.4


def test_what_is_let_in_may_go_on() -> None:
    """A cut that came before the answers to most logins is put right by them."""
    limiter = RateLimiter(200)
    limiter.throttled(NOW)
    assert limiter.current_rate < 2
    for number in range(50):
        limiter.accepted(NOW + 0.01 + number / 1000)
    limiter.enqueue(NOW + 0.06, FOREVER)
    assert limiter.current_rate == pytest.approx(CUT * 50, rel=0.05)


def test_the_rate_comes_back_evenly() -> None:
    """So much of the full rate each second, and no more than the full rate."""
    limiter = RateLimiter(200)
    limiter.throttled(NOW)
    rates = []
    for second in range(1, 31):
        _take_all(limiter, NOW + second)
        rates.append(limiter.current_rate)
    gains = [after - before for before, after in pairwise(rates)]
    assert gains[:10] == pytest.approx([REGAIN * 200] * 10)
    assert rates[-1] == 200


@given(queue=st.integers(1, 3000), rate=st.integers(1, 400))
def test_waits_count_on_the_rate_coming_back(queue: int, rate: int) -> None:
    """A connect that waits after a cut is told when its turn comes if nothing else is throttled."""
    limiter = RateLimiter(rate)
    _take_all(limiter, NOW)
    limiter.throttled(NOW)
    turns = [limiter.enqueue(NOW, FOREVER) for _ in range(queue)]
    runtime = [ticket.wait for ticket in turns if ticket is not None]
    assert len(runtime) == queue
    assert runtime == sorted(runtime)
    now = NOW
    for ticket in turns:
        assert ticket is not None
        now = max(now, NOW + ticket.wait)
        while (later := limiter.poll(ticket, now, FOREVER)) is not None:
            assert later.wait < 1.05 * LULL + 0.02 / rate
            now += later.wait


def test_no_turn_even_at_best() -> None:
    """A cut alone turns away no connect that has a turn in time once the rate is back."""
    limiter = RateLimiter(200)
    limiter.throttled(NOW)
    back = (200 - limiter.current_rate) / (REGAIN * 200)
    expected = back * 200 / 2 + (30 - back) * 200
    assert _take_all(limiter, NOW, 30.0) == pytest.approx(expected, rel=0.05)


def test_threads_note_what_they_saw() -> None:
    """Accepted and throttled logins may be noted from any thread."""
    limiter = RateLimiter(1000)

    def note(which: int) -> None:
        for number in range(300):
            limiter.accepted(NOW + number / 1000)
            if which:
                limiter.throttled(NOW + number / 1000)

    threads = [threading.Thread(target=note, args=(which,)) for which in (0, 1, 0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert (limiter.throttles, limiter.cuts) == (600, 1)


def test_the_server_says_so() -> None:
    """Even a login that was never let in cuts the rate if the server says that it throttles."""
    attempts, limiter = RetryState(NOW, NOW + 30), RateLimiter(200)
    assert attempts.pause(Login(), limiter, NOW, certain=True, window=0.0) is not None
    assert (limiter.cuts, limiter.throttles, attempts.throttled) == (1, 1, 1)


def test_let_in_long_ago() -> None:
    """A login that was let in long ago is tried again, but slows down no other login."""
    attempts, limiter = RetryState(NOW, NOW + 30), RateLimiter(200)
    retry = attempts.pause(Login(NOW - 2 * CURRENT), limiter, NOW, certain=False, window=0.0)
    assert retry is not None
    assert not retry.slowed
    assert limiter.cuts == 0
    retry = attempts.pause(Login(NOW - CURRENT / 2), limiter, NOW, certain=False, window=0.0)
    assert retry is not None
    assert retry.slowed
    assert limiter.cuts == 1


@given(timeout=st.floats(0.01, 60))
def test_tried_until_the_deadline(timeout: float) -> None:
    """Pauses grow, are spread, never reach the deadline, and leave few attempts."""
    attempts, login, now, pauses = RetryState(NOW, NOW + timeout), Login(NOW - 1), NOW, []
    while (
        retry := attempts.pause(login, RateLimiter(200), now, certain=False, window=0.0)
    ) is not None:
        now += retry.pause
        pauses.append(retry.pause)
        assert now < NOW + timeout
    assert NOW + timeout - now < NO_TIME
    assert len(pauses) <= timeout / (SHORTEST_PAUSE / 2) + 8
    assert max(pauses, default=0.0) <= LONGEST_PAUSE
    if timeout > 10:
        assert SHORTEST_PAUSE / 2 <= pauses[0] <= SHORTEST_PAUSE
        assert pauses[2] >= LONGEST_PAUSE / 2
    assert len(set(pauses)) == len(pauses)


def test_no_login_accepted_all_the_while() -> None:
    """The past is worth nothing any more only if no login was let in from beginning to end."""
    for accepted_at, forgotten in ((NOW - 5, True), (NOW, False), (NOW + 5, False)):
        attempts, login = RetryState(NOW, NOW + 10), Login(accepted_at)
        attempts.throttled = 1
        attempts.give_up(login)
        assert (login.accepted_at == NEVER) is forgotten
    login = Login(NOW - 5)
    RetryState(NOW, NOW + 10).give_up(login)  # it was the queue
    assert login.accepted_at == NOW - 5


def test_the_first_goes_ahead() -> None:
    """The others wait for the first login of all, not for ever, and the first not for itself."""
    login = Login()
    first, second = RetryState(NOW, NOW + 30), RetryState(NOW, NOW + 30)
    assert first.wait_for_first(login, NOW) == 0
    assert 0 < second.wait_for_first(login, NOW) < 0.1
    assert first.wait_for_first(login, NOW + 0.1) == 0
    assert second.wait_for_first(login, NOW + FIRST) == 0
    login.accepted_at = NOW
    assert second.wait_for_first(login, NOW + 0.1) == 0


@pytest.mark.parametrize(
    ("text", "throttled"),
    [
        ("FATAL:  The IAM authentication failed because of too many competing requests.", True),
        ("Rate of connection to proxy exceeded 100.", True),
        ('FATAL:  PAM authentication failed for user "app"', False),
        ("FATAL:  sorry, too many clients already", False),
    ],
)
def test_what_rds_proxy_says(text: str, throttled: bool) -> None:
    """The words of RDS Proxy are known, also below SQLAlchemy's own error."""
    error = RuntimeError("(driver) it failed")
    error.__cause__ = RuntimeError(text)
    assert is_throttled(error) is throttled


@pytest.fixture
def competing(
    rds: RdsEmulator, words: Words, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[float]]:
    """Refuse two logins as RDS Proxy does when it throttles; when it did so."""
    rds.gateway.ceiling = 1000
    judge, times = rds.gateway._authenticate, list[float]()

    def throttle(client: object, user: str, password: bytes) -> None:
        if len(times) < 2:
            times.append(time.monotonic())
            raise RefusedError(*words.throttled)
        judge(client, user, password)

    monkeypatch.setattr(rds.gateway, "_authenticate", throttle)
    yield times
    rds.gateway.ceiling = None


def test_rds_proxy_throttles(
    connect: Connect, competing: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """Where the server says so, even the first login of all is tried again, after a pause."""
    database = connect(poolclass=NullPool)
    database.inside.reload_at_once()
    assert database.scalar("select 1") == 1
    first, second = competing
    assert second - first >= SHORTEST_PAUSE / 2
    assert "reloading AWS credentials" not in caplog.text
    limiter = database.inside.limiter
    assert limiter.cuts >= 1
    assert limiter.throttles >= 2


def test_rds_proxy_throttles_with_retries_off(connect: Connect, competing: list[float]) -> None:
    """With rds_iam_throttle_retry=off its words reach the application, with what to do."""
    database = connect(options={"rds_iam_throttle_retry": "off"}, poolclass=NullPool)
    error = database.raises(Exception)
    assert str(database.words.throttled[-1]) in str(error)
    assert "the proxy throttles logins" in error.__notes__[0]
    assert len(competing) == 1


@pytest.mark.timing
def test_a_cold_start_sends_one_ahead(rds: RdsEmulator, databases: Connect) -> None:
    """Of many connects that a new process begins at once, all but one wait for its answer."""
    rds.gateway.ceiling = 1000
    rds.gateway.auth_delay = 0.2
    try:
        database = databases(rds.url(), poolclass=NullPool)
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda _: database.scalar("select 1"), range(8))) == [1] * 8
    finally:
        rds.gateway.reset()
        rds.gateway.ceiling = None
    first, second, *_ = sorted(decision.time for decision in rds.decisions)
    assert second - first >= 0.2
    limiter = database.inside.limiter
    assert len(limiter._let_in) >= 8
