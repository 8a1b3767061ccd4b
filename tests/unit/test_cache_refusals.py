"""What the cache does after refusals: what it forgets, and when it fetches anew."""

from __future__ import annotations

from typing import Any

import pytest
from cache_world import World

from sqlalchemy_rds_iam._aws.sigv4 import Credentials
from sqlalchemy_rds_iam._passwords.expiry import SHORTEST_PAUSE


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
    assert [world.pause() for _ in range(3)] == [1.0, 2.0, 4.0]
    world.cache.accept(token)
    assert world.pause() == 1.0


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
        assert [world.pause() for _ in range(6)][-1] == expected
