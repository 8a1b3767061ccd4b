"""What the cache shows and does besides tokens: its state, its observer, its locks after a fork."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import pytest
from cache_world import ENDPOINT, START, World
from soak.children import Child, held

from sqlalchemy_rds_iam import CredentialsError, SecretError


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


def test_a_first_login_of_the_parent() -> None:
    """In a child no thread of the parent's goes ahead, so none is waited for."""
    world = World()
    entry = world.cache.entry(ENDPOINT)
    entry.first_until, entry.first_refused = START + 9, START
    world.cache.after_fork()
    assert entry.first_until == entry.first_refused == float("-inf")
