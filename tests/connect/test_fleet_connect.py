"""A shared rate through real engines: kept, and never the reason for a lost connect."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from patience import DEADLINE, eventually
from redis_support import Server, most
from sqlalchemy.pool import NullPool
from worlds import Database, on

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._ratelimit.shared_limiter import SharedRateLimiter
from sqlalchemy_rds_iam.testing import RdsEmulator

Connect = Callable[..., Database]


def _shared(redis_server: Server, rate: int) -> dict[str, str]:
    return {"rds_iam_rate_storage": redis_server.url, "rds_iam_connect_rate": str(rate)}


@pytest.mark.timing
@on("asyncpg", "pymysql")
def test_killed_and_restarted_in_mid_storm(
    connect: Connect, rds: RdsEmulator, patient: Server, said: Any
) -> None:
    """Every connect of a storm gets through while the storage dies and comes back."""
    redis_server = patient
    database = connect(options=_shared(redis_server, 30), poolclass=NullPool)
    assert database.scalar("select 1") == 1

    def fault() -> None:
        eventually(lambda: len(rds.decisions) > 5)
        redis_server.kill()
        eventually(said)
        redis_server.start()

    thread = threading.Thread(target=fault)
    thread.start()
    try:
        assert database.storm(60) == [1] * 60
    finally:
        thread.join(DEADLINE)
    assert all(decision.granted for decision in rds.decisions)
    assert "WARNING" in said()


@pytest.mark.timing
def test_engines_share_the_rate(
    databases: Connect,
    patient: Server,
    said: Any,
    rds: RdsEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Engines that know of one another through the server only keep to the rate together."""
    redis_server, starts = patient, list[float]()

    def watched(method: Callable[..., Any]) -> Callable[..., Any]:
        def watch(limiter: SharedRateLimiter, *given: Any) -> Any:
            ticket = method(limiter, *given)
            if ticket is None:
                starts.append(given[-2])
            return ticket

        return watch

    # When they are told to go; on a busy machine logins arrive in heaps.
    for name in ("enqueue", "poll"):
        monkeypatch.setattr(SharedRateLimiter, name, watched(getattr(SharedRateLimiter, name)))
    urls = [rds.url(driver, **_shared(redis_server, rate)) for driver, rate in _RATES.items()]
    engines = [databases(url, poolclass=NullPool) for url in urls]
    limiters = {engine.inside.plans[-1].limiter for engine in engines}
    assert len(limiters) == len(engines)
    starts.clear()
    threads = [threading.Thread(target=engine.storm, args=(25,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(starts) == 25 * len(engines)
    assert most(starts, window=0.5) <= 50 * 0.6
    assert said() == []


_RATES = {"postgresql+psycopg": 50, "postgresql+psycopg2": 51}
"""Of one rate there would be one queue in this process."""


def test_lazy_engines_start_no_thread(
    databases: Connect, rds: RdsEmulator, redis_server: Server
) -> None:
    """With rds_iam_refresh=lazy the connecting caller asks the storage."""
    database = databases(rds.url(rds_iam_refresh="lazy", **_shared(redis_server, 200)))
    names = set()
    usual = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        names.add(thread.name)
        usual(thread)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert database.scalar("select 1") == 1
    assert names == set()
    assert redis_server.calls("eval") >= 1


def test_no_connection_to_it(
    databases: Connect, rds: RdsEmulator, redis_server: Server, said: Any
) -> None:
    """A storage that was never there costs one warning, and no connect."""
    options = _shared(redis_server, 200) | {"rds_iam_rate_storage": "redis://127.0.0.1:1/0"}
    database = databases(rds.url(**options), poolclass=NullPool)
    assert [database.scalar("select 1") for _ in range(3)] == [1] * 3
    assert said() == ["WARNING"]


def test_its_password_is_nowhere(
    databases: Connect, rds: RdsEmulator, redis_server: Server
) -> None:
    """A URL with a password is best given as a keyword, and then nothing shows it."""
    url = redis_server.url.replace("//", "//:hush-hush@")
    database = databases(rds.url(), rds_iam_rate_storage=url)
    inside = database.inside
    limiter = inside.limiter
    assert isinstance(limiter, SharedRateLimiter)
    shown = f"{database.engine!r}{database.engine.url!r}{inside.config!r}{limiter._storage!r}"
    assert "hush" not in shown


def test_bad_url(databases: Connect, rds: RdsEmulator) -> None:
    """What is no URL of a storage is refused at create_engine."""
    with pytest.raises(ConfigError, match="rds_iam_rate_storage"):
        databases(rds.url(rds_iam_rate_storage="http://cache"))
