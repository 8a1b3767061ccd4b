"""Credentials that end while a connect is under way: the token is signed with others."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest
from faults_support import LIFE, Clock, Provider
from sqlalchemy.pool import NullPool
from worlds import on

from sqlalchemy_rds_iam import CredentialsError
from sqlalchemy_rds_iam._access import Access
from sqlalchemy_rds_iam._aws.sigv4 import Credentials, IssuedPassword, sign
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._connecting.acquire import PasswordAcquirer
from sqlalchemy_rds_iam._connecting.reporting import EngineCounters
from sqlalchemy_rds_iam._connecting.runtime import ThreadRuntime
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._passwords.cache import PasswordCache
from sqlalchemy_rds_iam.testing import RdsEmulator


@on("psycopg", "psycopg-async", "psycopg2")
def test_looking_up_the_host_takes_long(
    databases: Any,
    world: tuple[str, bool],
    container: Provider,
    clock: Clock,
    rds: RdsEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the driver is given addresses, the token is taken when they are there."""
    drivername, is_async = world
    url = rds.url(drivername).set(host="localhost")
    database = databases(url, is_async=is_async, poolclass=NullPool)
    assert database.scalar("select 1") == 1
    target = database.inside.plan.target
    assert target.resolve is not None
    look_up = socket.getaddrinfo

    def slowly(*args: Any, **kwargs: Any) -> Any:
        clock.offset = LIFE
        return look_up(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    assert database.scalar("select 1") == 1
    assert [decision.granted for decision in rds.decisions] == [True, True]


def test_the_queue_takes_long(
    connect: Any, container: Provider, clock: Clock, rds: RdsEmulator
) -> None:
    """A connect that has waited for its turn logs in with a token that is good by then."""
    database = connect(options={"rds_iam_connect_rate": "2"}, poolclass=NullPool)
    for _ in range(3):
        assert database.scalar("select 1") == 1

    def age() -> None:
        clock.offset = LIFE

    later = threading.Timer(0.1, age)
    later.start()
    for _ in range(3):
        assert database.scalar("select 1") == 1
    later.join()
    assert all(decision.granted for decision in rds.decisions)


class _Account:
    """A source whose keys live for 10 s, and the clock of the test; the second fetch fails late."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.takes = 0.0

    def fetch(self, *, reload: bool) -> Credentials:
        self.now += self.takes
        if self.takes:
            raise CredentialsError("out of order", retryable=True)
        return Credentials("KEY", "secret", "token", self.now + 10, "test")

    async def fetch_async(self) -> Credentials:
        return self.fetch(reload=False)

    def prepare_async(self, loop: Any, *, reload: bool) -> None: ...

    def reset(self) -> None: ...

    def token(self, credentials: Credentials, endpoint: Endpoint, now: float) -> IssuedPassword:
        return sign(credentials, endpoint, now)


@pytest.mark.parametrize(("takes", "ends"), [(1.0, False), (20.0, True)])
def test_renewing_takes_long_and_fails(takes: float, *, ends: bool) -> None:
    """What was STALE before the wait is used after it only if it still is good."""
    account = _Account()
    tokens = PasswordCache(account, clock=lambda: account.now)
    config: PluginOptions = SecretOptions(refresh="lazy")
    supply = PasswordAcquirer(config, tokens, ThreadRuntime(inline=True), EngineCounters(config))
    entry = tokens.entry(Endpoint("db.abc.us-east-1.rds.amazonaws.com", 5432, "app", "us-east-1"))
    deadline = time.monotonic() + 60
    assert supply.acquire(entry, deadline).expires_at == account.now + 10
    account.now += 7
    account.takes = takes
    if ends:
        with pytest.raises(CredentialsError, match="out of order"):
            supply.acquire(entry, deadline)
    else:
        assert supply.acquire(entry, deadline).expires_at > account.now


def test_without_an_engine(
    container: Provider, clock: Clock, rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token in place of a refused one is signed with credentials that live, too."""
    access = Access(rds.url("postgresql+psycopg"))
    first = access.token()
    first.accepted = True
    # Reloads are spaced out.
    access.provider.caches[0]._reload_pause = 2 * LIFE
    clock.offset = LIFE
    second = access.replaced(first)
    assert second.expires_at > clock() + LIFE / 2
    assert second.password != first.password
