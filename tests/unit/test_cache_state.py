"""What the cache shows and does besides tokens: its state, its observer, its locks after a fork."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import pytest
from soak.children import Child, held

from sqlalchemy_rds_iam import CredentialsError, Endpoint, SecretError
from sqlalchemy_rds_iam._aws.sigv4 import Credentials, sign
from sqlalchemy_rds_iam._passwords.cache import PasswordCache
from sqlalchemy_rds_iam._passwords.expiry import SHORTEST_PAUSE, Cached, Outage
from sqlalchemy_rds_iam._passwords.fetch import Fetch
from sqlalchemy_rds_iam._passwords.password import IssuedPassword

START = 1_000_000.0
ENDPOINT = Endpoint("db.abc.us-east-1.rds.amazonaws.com", 5432, "app", "us-east-1")


class World:
    """A source, an observer, and the clock of the test."""

    def __init__(self, **options: Any) -> None:
        self.now = START
        self.fault: Exception | None = None
        self.life = 3600.0
        self.resets = 0
        self.reloads: list[bool] = []
        self.seen: list[Any] = []
        self.observer_fault: Exception | None = None
        self.cache = PasswordCache(self, lambda: self.now, **options)
        self.entry = self.cache.entry(ENDPOINT)

    def fetch(self, *, reload: bool) -> Credentials:
        self.reloads.append(reload)
        if self.fault is not None:
            raise self.fault
        return Credentials("KEY", "secret", "session", self.now + self.life, "test")

    async def fetch_async(self) -> Credentials:
        return self.fetch(reload=False)

    def prepare_async(self, loop: Any, *, reload: bool) -> None: ...

    def reset(self) -> None:
        self.resets += 1

    def token(self, credentials: Credentials, endpoint: Any, now: float) -> IssuedPassword:
        return sign(credentials, endpoint, now)

    # As an observer.

    def subscribe(self, subscriber: Any) -> None: ...

    def fetched(self, now: float, cached: Cached, ended: Outage | None) -> None:
        self.seen.append(("fetched", now, cached, ended))
        if self.observer_fault is not None:
            raise self.observer_fault

    def failed(self, now: float, cached: Cached | None, outage: Outage) -> None:
        self.seen.append(("failed", now, cached, outage))
        if self.observer_fault is not None:
            raise self.observer_fault

    def look_up(self, *, ahead: bool = True, failure_ttl: float = 1.0) -> Any:
        """Look up without doing anything about it."""
        return self.cache.lookup(self.entry, ahead=ahead, failure_ttl=failure_ttl)

    def fetch_now(self) -> Fetch:
        """Look up, and run the fetch that this asks for."""
        fetch: Fetch = self.look_up().fetch
        fetch.run()
        return fetch


def test_what_it_shows() -> None:
    """What is in hand and since when, and the failures since; nothing before the first fetch."""
    world = World()
    assert (world.cache.credentials, world.cache.cached, world.cache.outage) == (None, None, None)
    world.fault = OSError("no route")
    world.fetch_now()
    assert world.cache.cached is None
    assert world.cache.outage is not None
    assert world.cache.outage.failures == 1
    world.now += 5
    world.fault = None
    world.fetch_now()
    assert world.cache.outage is None
    assert world.cache.cached is not None
    assert world.cache.cached.fetched_at == START + 5
    assert world.cache.credentials is world.cache.cached.fetched


def test_its_observer() -> None:
    """It is told of each end of a fetch: what is in hand, and the outage that goes on or ends."""
    world = World()
    world.cache.observer = world
    world.fetch_now()
    first = world.cache.cached
    world.now += 3500
    world.fault = OSError("no route")
    world.look_up().fetch.run()
    outage = world.cache.outage
    world.now += 65
    world.fault = None
    world.look_up().fetch.run()
    assert world.seen == [
        ("fetched", START, first, None),
        ("failed", START + 3500, first, outage),
        ("fetched", START + 3565, world.cache.cached, outage),
    ]


@pytest.mark.parametrize("fault", [None, OSError("no route")])
def test_an_observer_that_fails(fault: Exception | None) -> None:
    """An error of the observer leaves no caller waiting."""
    world = World()
    world.cache.observer = world
    world.fault, world.observer_fault = fault, ValueError("a bug")
    fetch = world.look_up().fetch
    with contextlib.suppress(ValueError):
        fetch.run()
    assert fetch.future.done()
    assert len(world.seen) == 1


@pytest.mark.parametrize("fault", [SecretError("gone", retryable=True), OSError("no route")])
def test_what_is_said_of_a_failure(fault: Exception) -> None:
    """An error of ours stays as it is; of another one, the kind and the first line are told."""
    world = World(what="the secret")
    world.fault = fault
    error: Any = world.fetch_now().future.exception(0)
    if isinstance(fault, SecretError):
        assert error is fault
        return
    assert type(error) is CredentialsError
    assert str(error) == "fetching the secret failed: OSError: no route"
    assert str(error.__cause__) == "no route"
    world = World()
    world.fault = fault
    world.fetch_now()
    with pytest.raises(CredentialsError, match="fetching AWS credentials failed: OSError"):
        world.look_up()


def test_the_warm_path() -> None:
    """A token is fresh for two thirds of its life, or until its credentials have to be renewed."""
    world = World()
    world.fetch_now()
    found = world.look_up()
    assert (found.fetch, found.must_fetch, found.minted) == (None, False, True)
    assert world.entry.token is found.token
    assert world.entry.signer is world.cache.cached
    assert world.entry.fresh(START + 599) is found.token
    assert world.entry.fresh(START + 600) is None
    again = world.look_up()
    assert (again.token, again.fetch, again.must_fetch, again.minted) == (
        *(found.token, None, False, False),
    )
    world.now += 3600 - 540 - 100
    token = world.look_up().token
    assert world.entry.fresh(world.now + 99) is token
    assert world.entry.fresh(world.now + 100) is None


@pytest.mark.parametrize(
    ("age", "ahead", "fetches"),
    [(3059.0, True, False), (3060.0, True, True), (3060.0, False, False), (3569.0, True, True)],
)
def test_when_credentials_are_renewed(age: float, ahead: bool, fetches: bool) -> None:
    """From the moment on that they are stale, by who renews ahead, and the old ones still sign."""
    world = World()
    world.fetch_now()
    world.now += age
    found = world.look_up(ahead=ahead)
    assert found.token is not None
    assert (found.fetch is not None) == found.must_fetch == fetches


def test_the_end_of_credentials() -> None:
    """At the moment at which they end, nothing is signed with them, however fresh the token is."""
    world = World()
    world.fetch_now()
    world.now += 3570 - 0.001
    assert world.look_up(ahead=False).token is not None
    world.now = START + 3570
    found = world.look_up()
    assert found.token is None
    assert found.must_fetch


def test_a_failed_renewal_is_spaced_out() -> None:
    """While an outage is waited out, the old token is used, and after that one caller tries."""
    world = World()
    world.fetch_now()
    world.now += 3100
    world.fault = OSError("no route")
    world.look_up().fetch.run()
    outage = world.cache.outage
    assert outage is not None
    world.now = outage.retry_at - 0.001
    assert world.look_up().fetch is None
    world.now = outage.retry_at
    assert world.look_up().must_fetch


@pytest.mark.parametrize(
    ("passed", "remembered"), [(-0.5, False), (0.0, True), (0.999, True), (1.0, False)]
)
def test_how_long_a_failure_stands(passed: float, remembered: bool) -> None:
    """For `failure_ttl`, from its moment on; not before it, by a clock that was set back."""
    world = World()
    world.fault = OSError("no route")
    world.fetch_now()
    world.now += passed
    if remembered:
        with pytest.raises(CredentialsError):
            world.look_up()
    else:
        assert world.look_up().must_fetch
    # Zero seconds are none.
    world.now = START
    assert world.look_up(failure_ttl=0.0).fetch is not None


def test_forgetting() -> None:
    """Only the token that was refused is dropped, and not one that has taken its place."""
    world = World()
    world.fetch_now()
    first = world.look_up().token
    world.now += 700
    second = world.look_up().token
    world.cache.forget(world.entry, first)
    assert world.entry.token is second
    world.cache.forget(world.entry, second)
    assert world.entry.token is None


def test_acceptance() -> None:
    """A login that succeeds is noted on its token, and ends the pauses between reloads."""
    world = World()
    world.fetch_now()
    token = world.look_up().token
    assert not token.accepted
    world.cache.accept(token)
    assert token.accepted
    assert [_pause(world) for _ in range(3)] == [1.0, 2.0, 4.0]
    world.cache.accept(token)
    assert _pause(world) == 1.0


def _pause(world: World) -> float:
    """Have credentials reloaded as soon as that is possible; the seconds that it took."""
    begun = world.now
    while not (found := world.cache.force_refresh(world.entry)).must_fetch:
        world.now += 0.25
    assert found.fetch is not None
    found.fetch.run()
    return world.now - begun


@pytest.mark.parametrize(
    ("age", "accepted", "expected"),
    [(0.0, False, None), (SHORTEST_PAUSE, False, "signed"), (0.0, True, "signed")],
)
def test_after_a_refusal(age: float, accepted: bool, expected: str | None) -> None:
    """What was in the cache may have been out of date, and is signed anew; what was new may not."""
    world = World()
    world.fetch_now()
    token = world.look_up().token
    token.accepted = accepted
    found = world.cache.on_refused(world.entry, token, age=age)
    assert (found is None) == (expected is None)
    if found is not None:
        assert found.token is not None
        assert found.token is not token
        assert found.minted


def test_what_is_taken_for_granted() -> None:
    """Only after a refusal, or when that is asked for, all is found out anew."""
    world = World()
    world.fetch_now()
    token = world.look_up().token
    world.now += 3100
    world.look_up().fetch.run()
    world.now += 10
    refused: Any = world.cache.on_refused(world.entry, token, age=0.0)
    refused.fetch.run()
    world.now += 10
    forced: Any = world.cache.force_refresh(world.entry)
    forced.fetch.run()
    assert world.reloads == [False, False, True, True]


@pytest.mark.parametrize("passed", [-SHORTEST_PAUSE, -0.999, 0.999, SHORTEST_PAUSE])
def test_when_credentials_are_reloaded(passed: float) -> None:
    """Not within a pause of the last fetch, which way the clock may have been set."""
    world = World()
    world.fetch_now()
    token = world.look_up().token
    world.now += passed
    found = world.cache.on_refused(world.entry, token, age=0.0)
    assert (found is not None and found.must_fetch) == (abs(passed) >= SHORTEST_PAUSE)


def test_a_refresh_that_is_asked_for() -> None:
    """It joins the fetch that is under way, and else is as after a refusal."""
    world = World()
    first = world.look_up().fetch
    found = world.cache.force_refresh(world.entry)
    assert (found.fetch, found.must_fetch, found.token) == (first, False, None)
    first.run()
    found = world.cache.force_refresh(world.entry)
    assert found.fetch is None
    assert found.token is not None
    world.now += SHORTEST_PAUSE
    assert world.cache.force_refresh(world.entry).must_fetch


def test_the_longest_pause() -> None:
    """Whichever is less: the cache's own, or that of what was fetched."""
    for longest, provider, expected in ((8.0, "iam-role", 8.0), (8.0, "env", 5.0)):
        world = World(longest_pause=longest)
        world.fetch = lambda *, reload, provider=provider: Credentials(  # type: ignore[method-assign,misc]
            "KEY", "secret", provider=provider
        )
        world.fetch_now()
        assert [_pause(world) for _ in range(6)][-1] == expected


def test_after_a_fork() -> None:
    """A child has no fetch of its parent, a lock of its own, and what is in hand."""
    world = World()
    world.fetch_now()
    token = world.look_up().token
    world.now += 3100
    assert world.look_up().must_fetch
    lock = world.cache._lock
    world.cache.after_fork()
    assert world.resets == 1
    assert world.cache._lock is not lock
    assert world.entry.token is not None
    assert world.look_up().must_fetch
    assert token is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_child() -> None:
    """It hangs on no lock that another thread held, and fetches what its parent was fetching."""
    world = World()
    assert world.look_up().must_fetch
    with held(world.cache._lock):
        child = Child(lambda: world.look_up().must_fetch)
    assert child.result() is True


def test_a_lost_fetch() -> None:
    """Those who wait for it look up again, and what its source holds is let go; another begins."""
    world = World()
    lost = world.look_up().fetch
    world.now += 1000
    found = world.look_up()
    assert found.must_fetch
    assert found.fetch is not lost
    assert lost.future.result(0) is None
    assert world.resets == 1
    # What it has fetched after all, or how it failed, is not of interest any more.
    lost.run()
    assert world.cache.cached is None
    world.fault = OSError("no route")
    lost.run()
    assert world.cache.outage is None
    world.cache.abandon(lost)
    assert world.look_up().fetch is found.fetch


def test_entries() -> None:
    """One for each endpoint, or name."""
    world = World()
    assert world.cache.entry(ENDPOINT) is world.entry
    other = world.cache.entry("a secret")
    assert other is world.cache.entry("a secret")
    assert other is not world.entry
