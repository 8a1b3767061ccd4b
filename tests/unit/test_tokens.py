"""The cache: states, the one fetch, failures remembered, refusals; with a clock of its own."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import DEADLINE

from sqlalchemy_rds_iam import CredentialsError
from sqlalchemy_rds_iam._aws.sigv4 import Credentials, IssuedPassword, sign
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._connecting.reporting import Dispatcher
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._passwords.cache import PasswordCache
from sqlalchemy_rds_iam._passwords.fetch import FETCH_LIMIT, START_LIMIT

ENDPOINT = Endpoint("db.abc.us-east-1.rds.amazonaws.com", 5432, "app", "us-east-1")
START = 1_000_000.0


class Account:
    """A source of credentials that live `life` seconds, and the clock of the test."""

    def __init__(self, life: float | None = 3600.0) -> None:
        self.now = START
        self.life = life
        self.fetches: list[bool] = []
        self.signatures = 0
        self.resets = 0
        self.fault: Exception | None = None
        observer = Dispatcher(IamOptions())
        self.tokens = PasswordCache(self, clock=lambda: self.now, observer=observer)
        self.entry = self.tokens.entry(ENDPOINT)

    def fetch(self, *, reload: bool) -> Credentials:
        self.fetches.append(reload)
        if self.fault is not None:
            raise self.fault
        expires = None if self.life is None else self.now + self.life
        return Credentials(f"KEY{len(self.fetches)}", "secret", "session", expires, "test")

    async def fetch_async(self) -> Credentials:
        return self.fetch(reload=False)

    def prepare_async(self, loop: Any, *, reload: bool) -> None: ...

    def reset(self) -> None:
        self.resets += 1

    def token(self, credentials: Credentials, endpoint: Endpoint, now: float) -> IssuedPassword:
        self.signatures += 1
        return sign(credentials, endpoint, now)

    def connect(self, *, ahead: bool = True, failure_ttl: float = 1.0) -> IssuedPassword:
        """Get a token as a connect does, with fetches that land at once."""
        while True:
            if (token := self.entry.fresh(self.now)) is not None:
                return token
            answer = self.tokens.lookup(self.entry, ahead=ahead, failure_ttl=failure_ttl)
            if answer.fetch is not None:
                answer.fetch.run()
            if answer.token is not None:
                return answer.token
            assert answer.fetch is not None
            answer.fetch.future.result()


@pytest.fixture
def account() -> Account:
    """An account whose credentials live an hour."""
    return Account()


def test_fresh_is_reused(account: Account) -> None:
    """A token is signed once and used until the last third of its life."""
    first = account.connect()
    account.now += 599
    assert account.connect() is first
    account.now += 2
    assert account.connect() is not first
    assert (len(account.fetches), account.signatures) == (1, 2)


def test_stale_credentials_are_renewed_by_one(account: Account) -> None:
    """With STALE credentials every caller is served at once, and one caller renews them."""
    account.connect()
    account.now += 3600 - 539
    first, second = (
        account.tokens.lookup(account.entry, ahead=True, failure_ttl=1.0) for _ in range(2)
    )
    assert first.token is not None
    assert second.token is not None
    assert (first.must_fetch, second.must_fetch, second.fetch) == (True, False, None)
    assert first.fetch is not None
    first.fetch.run()
    assert account.connect().expires_at == account.now + 900
    assert len(account.fetches) == 2


def test_lazy_waits_for_the_end(account: Account) -> None:
    """A lazy engine leaves STALE credentials alone and renews them when they are EXPIRED."""
    account.connect(ahead=False)
    account.now += 3600 - 31
    account.connect(ahead=False)
    assert len(account.fetches) == 1
    account.now += 2
    account.connect(ahead=False)
    assert len(account.fetches) == 2


def test_expired_joins_the_flight(account: Account) -> None:
    """Without credentials there is one fetch: the first caller leads, the others join."""
    answers = [account.tokens.lookup(account.entry, ahead=True, failure_ttl=1.0) for _ in range(5)]
    assert len({id(answer.fetch) for answer in answers}) == 1
    assert [answer.must_fetch for answer in answers] == [True, False, False, False, False]


@given(
    life=st.floats(1, 7 * 3600),
    steps=st.lists(st.floats(0, 4000), min_size=1, max_size=20),
    ahead=st.booleans(),
)
def test_never_a_dead_token(life: float, steps: list[float], ahead: bool) -> None:
    """Whatever the life of the credentials and the gaps between connects, tokens live on.

    Not only past now: past a margin of a tenth of their credentials' life, or 30 s.
    """
    account = Account(life)
    for step in steps:
        account.now += step
        token = account.connect(ahead=ahead)
        assert token.signed_at <= account.now
        assert token.expires_at - account.now > 0
        assert token.expires_at <= token.signed_at + 900
        credentials = account.tokens.credentials
        assert credentials is not None
        assert credentials.expires_at is not None
        assert account.now <= credentials.expires_at - min(30.0, life / 10)


def test_900_second_sessions_are_not_fetched_on_every_connect() -> None:
    """A role session of 15 minutes is renewed once in its last third, not on every connect."""
    account = Account(life=900.0)
    for _ in range(90):
        account.connect()
        account.now += 10
    assert len(account.fetches) == 2


def test_long_credentials_are_renewed_late() -> None:
    """Credentials of six hours are renewed in their last nine minutes, when botocore has to."""
    account = Account(life=6 * 3600.0)
    account.connect()
    account.now += 6 * 3600 - 541
    account.connect()
    assert len(account.fetches) == 1
    account.now += 2
    account.connect()
    assert len(account.fetches) == 2


def test_short_credentials_bound_the_token() -> None:
    """Credentials with 90 s left never yield a token that is believed for longer."""
    account = Account(life=90.0)
    assert account.connect().expires_at == START + 90
    account.now += 61
    account.connect()
    assert len(account.fetches) == 2


def test_failures_are_remembered(account: Account) -> None:
    """A failed fetch stands for the next ones during failure_ttl, then one caller tries again."""
    account.fault = OSError("no route")
    with pytest.raises(CredentialsError, match="no route"):
        account.connect()
    account.now += 0.9
    with pytest.raises(CredentialsError, match="no route") as caught:
        account.connect()
    assert isinstance(caught.value.__cause__, CredentialsError)
    assert len(account.fetches) == 1
    account.now += 0.2
    account.fault = None
    assert account.connect()
    assert len(account.fetches) == 2


def test_shared_errors_do_not_grow(account: Account) -> None:
    """Each waiter raises an error of its own, so that tracebacks do not pile up on a shared one."""
    account.fault = OSError("no route")
    caught = []
    for _ in range(3):
        with pytest.raises(CredentialsError) as info:
            account.connect(failure_ttl=10)
        caught.append(info.value)
    assert len({id(error) for error in caught}) == 3


def test_outage_while_the_token_lives(account: Account, caplog: pytest.LogCaptureFixture) -> None:
    """A failed renewal is one warning, is spaced out, and connects go on until the very end."""
    caplog.set_level("INFO", "sqlalchemy_rds_iam")
    account.connect()
    account.now += 3600 - 539
    account.fault = OSError("no route")
    for _ in range(500):
        account.connect()
        account.now += 1
    assert 5 <= len(account.fetches) < 20
    ours = [record for record in caplog.records if record.name == "sqlalchemy_rds_iam"]
    assert [record.levelname for record in ours].count("WARNING") == 1
    account.fault = None
    account.now += 9
    account.connect()
    assert "after" in caplog.records[-1].message


def test_frozen_process(account: Account) -> None:
    """After a sleep longer than any life, the first connect gets a new token."""
    first = account.connect()
    account.now += 86400
    token = account.connect()
    assert token is not first
    assert token.signed_at == account.now


def test_clock_set_back(account: Account) -> None:
    """When the clock is set back by an hour, a token from the future is not used."""
    account.now += 3600
    account.connect()
    account.now -= 3600
    assert account.connect().signed_at == account.now


def test_expired_on_arrival(account: Account) -> None:
    """Credentials that have expired before they arrive are an error; the clock is a suspect."""
    account.life = -5
    with pytest.raises(CredentialsError, match="clock"):
        account.connect()


def test_refused_new_token_is_final(account: Account) -> None:
    """A token that was refused when it was new is forgotten, and there is nothing else to try."""
    token = account.connect()
    assert account.tokens.on_refused(account.entry, token, age=0) is None
    assert account.entry.token is None


def test_refused_accepted_token_is_replaced(account: Account) -> None:
    """A token that was good is signed anew, once the credentials are known to be new as well."""
    token = account.connect()
    account.tokens.accept(token)
    answer = account.tokens.on_refused(account.entry, token, age=0)
    assert answer is not None
    assert answer.token is not None
    assert answer.token is not token


def test_refusal_reloads_old_credentials(account: Account) -> None:
    """Credentials that were loaded a while ago may have been replaced, so they are loaded anew."""
    token = account.connect()
    account.now += 300
    answer = account.tokens.on_refused(account.entry, token, age=300)
    assert answer is not None
    assert answer.fetch is not None
    answer.fetch.run()
    assert account.fetches == [False, True]
    assert account.connect().password.count("KEY2") == 1


def test_reload_replaces_what_others_signed_meanwhile(account: Account) -> None:
    """A token signed during the reload, with the old credentials, does not outlive it."""
    token = account.connect()
    account.now += 300
    answer = account.tokens.on_refused(account.entry, token, age=300)
    meanwhile = account.tokens.lookup(account.entry, ahead=True, failure_ttl=1).token
    assert meanwhile is not None
    assert answer is not None
    assert answer.fetch is not None
    answer.fetch.run()
    found = account.tokens.lookup(account.entry, ahead=True, failure_ttl=1).token
    assert found is not None
    assert "KEY2" in found.password


def test_failed_reload_keeps_the_old_credentials(account: Account) -> None:
    """An outage during a reload takes nothing away from connects that still work."""
    token = account.connect()
    account.now += 300
    answer = account.tokens.on_refused(account.entry, token, age=300)
    account.fault = OSError("no route")
    assert answer is not None
    assert answer.fetch is not None
    answer.fetch.run()
    assert account.connect().password.count("KEY1") == 1


def test_a_missing_grant_is_no_stream_of_calls(account: Account) -> None:
    """While every login is refused, reloads are spaced out, up to a minute apart."""
    for _ in range(600):
        token = account.connect()
        answer = account.tokens.on_refused(account.entry, token, age=0)
        if answer is not None and answer.fetch is not None:
            answer.fetch.run()
        account.now += 1
    assert len(account.fetches) < 20


def test_an_abandoned_fetch_is_handed_on(account: Account) -> None:
    """A fetch whose leader is interrupted ends for those who wait, and the next one leads."""
    answer = account.tokens.lookup(account.entry, ahead=True, failure_ttl=1)
    account.fault = KeyboardInterrupt()  # type: ignore[assignment]
    assert answer.fetch is not None
    with pytest.raises(KeyboardInterrupt):
        answer.fetch.run()
    assert answer.fetch.future.result(0) is None
    assert account.tokens.lookup(account.entry, ahead=True, failure_ttl=1).must_fetch
    account.fault = None
    assert account.connect()


def test_lost_flight_is_given_up(account: Account) -> None:
    """A fetch that never comes back keeps no caller from starting another."""
    lost = account.tokens.lookup(account.entry, ahead=True, failure_ttl=1)
    account.now += FETCH_LIMIT
    answer = account.tokens.lookup(account.entry, ahead=True, failure_ttl=1)
    assert answer.must_fetch
    assert answer.fetch is not lost.fetch
    assert lost.fetch is not None
    assert lost.fetch.future.result(0) is None
    assert account.resets == 1  # or the next would wait for the lock that the lost one holds
    assert account.connect()
    lost.fetch.run()  # comes back after all: too late to matter
    assert account.tokens.credentials is not None
    assert account.tokens.credentials.access_key == "KEY1"
    assert account.connect().password.count("KEY1") == 1


def test_a_fetch_that_is_never_launched(account: Account) -> None:
    """Ctrl-C in the wrong moment leaves a fetch that never begins; seconds later it is lost."""
    lost = account.tokens.lookup(account.entry, ahead=True, failure_ttl=1)
    account.now += START_LIMIT - 0.1
    assert not account.tokens.lookup(account.entry, ahead=True, failure_ttl=1).must_fetch
    account.now += 0.1
    assert account.tokens.lookup(account.entry, ahead=True, failure_ttl=1).must_fetch
    assert lost.fetch is not None
    assert lost.fetch.future.done()


def test_a_clock_that_is_set_back_a_little(account: Account) -> None:
    """A fetch from the near future is not lost: there is never a second fetch because of it."""
    account.tokens.lookup(account.entry, ahead=True, failure_ttl=1)
    account.now -= 1
    assert not account.tokens.lookup(account.entry, ahead=True, failure_ttl=1).must_fetch


def test_time_is_read_when_its_turn_comes(account: Account) -> None:
    """Who had to wait for the lock does not judge by the time at which waiting began."""
    account.tokens.clock = lambda: pytest.fail("told too early")
    told = threading.Event()

    def connect() -> None:
        account.tokens.lookup(account.entry, ahead=True, failure_ttl=1)
        told.set()

    with account.tokens._lock:
        thread = threading.Thread(target=connect)
        thread.start()
        thread.join(0.02)
        account.tokens.clock = lambda: account.now
    assert told.wait(DEADLINE)


def test_one_slot_for_each_endpoint(account: Account) -> None:
    """Engines of one endpoint share a slot; when the last is gone, nothing of it stays."""
    other = account.tokens.entry(ENDPOINT._replace(user="other"))
    assert account.tokens.entry(ENDPOINT) is account.entry
    assert other is not account.entry
    del other
    gc.collect()
    assert len(account.tokens._entries) == 1


def test_threads(account: Account) -> None:
    """However many threads start cold, there is one fetch and one signature."""
    slow = threading.Event()
    fetch = account.fetch

    def fetch_slowly(*, reload: bool) -> Credentials:
        slow.wait(DEADLINE)
        return fetch(reload=reload)

    account.fetch = fetch_slowly  # type: ignore[method-assign]
    barrier = threading.Barrier(50)
    seen: list[Any] = []

    def connect() -> None:
        barrier.wait(DEADLINE)
        answer = account.tokens.lookup(account.entry, ahead=True, failure_ttl=1)
        if answer.fetch is not None and answer.must_fetch:
            slow.set()
            answer.fetch.run()
        if answer.fetch is not None:
            answer.fetch.future.result(DEADLINE)
        seen.append(account.tokens.lookup(account.entry, ahead=True, failure_ttl=1).token)

    _in_threads(connect, 50)
    assert len({id(token) for token in seen}) == 1
    assert (len(account.fetches), account.signatures) == (1, 1)


def _in_threads(work: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_fork_with_the_lock_held_and_a_flight_under_way(account: Account) -> None:
    """A forked child neither hangs on the parent's lock nor waits for the parent's fetch."""
    account.tokens.lookup(account.entry, ahead=True, failure_ttl=1)  # a fetch that never ends
    with account.tokens._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # rather than hang
            status = 1
            try:
                status = 0 if account.connect() else 1
            finally:
                os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
