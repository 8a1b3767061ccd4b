"""The first login of a user is refused: it may be throttled, so it is tried again for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from events_support import Seen
from inside import Inside
from patience import DEADLINE, eventually_async
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from worlds import WORLDS, Database, worlds

from sqlalchemy_rds_iam._ratelimit import retry_policy
from sqlalchemy_rds_iam.testing import RdsEmulator

pytestmark = pytest.mark.usefixtures("own_turns")

Connect = Callable[..., Database]
ON = {"rds_iam_throttle_retry": "on"}
# As short as shows that something is tried again.
SOON = ON | {"rds_iam_timeout": "0.9"}


@pytest.fixture(params=worlds(("psycopg", "asyncpg", "pg8000", "pymysql")))
def world(request: pytest.FixtureRequest) -> tuple[str, bool]:
    """Some drivers stand for all of them here, where tests take a part of a second."""
    return WORLDS[request.param]


def _logins(seen: Seen) -> list[str]:
    """What became of logins, without what became of tokens."""
    return [kind for kind in seen.kinds if kind in {"refused", "throttled", "retried"}]


@pytest.fixture(autouse=True)
def _as_before(rds: RdsEmulator) -> Iterator[None]:
    yield
    rds.gateway.reset()


def test_never_let_in(rds: RdsEmulator, connect: Connect, seen: Seen) -> None:
    """It ends within the connect's own time, and the note says for how long it was tried."""
    database = connect(rds_iam_on_event=seen, options=SOON, poolclass=NullPool)
    rds.gateway.refuse_next = 1000
    error = database.raises(Exception)
    tries = seen.kinds.count("retried")
    assert tries >= 1
    assert _logins(seen) == [*["refused", "throttled", "retried"] * tries, "refused"]
    assert len(rds.decisions) == tries + 1
    note = error.__notes__[0]
    assert "no login of this user was accepted before, nor in 0." in note
    # Of the five lines that MySQL's causes have, a tunnel takes one.
    assert ("rds_iam_throttle_retry=patient" in note) == (database.words.family == "postgresql")
    assert database.inside.limiter.cuts == 0


def test_let_in_at_last(
    rds: RdsEmulator, connect: Connect, seen: Seen, hasty: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Of many that a process begins at once one tries for all, as often as it takes."""
    database = connect(rds_iam_on_event=seen, options=ON, poolclass=NullPool)
    rds.gateway.refuse_next = 3
    assert database.storm(6) == [1] * 6
    assert [decision.granted for decision in rds.decisions] == [False] * 3 + [True] * 6
    assert [event.attempt for event in seen if event.kind == "retried"] == [2, 3, 4]
    said = [each.getMessage() for each in caplog.records if "a first login" in each.getMessage()]
    assert len([line for line in said if line.endswith("trying again for up to 3 s")]) == 1
    assert database.inside.limiter.cuts == 0


def test_many_that_are_never_let_in(rds: RdsEmulator, connect: Connect) -> None:
    """Each of them gets the server's words, in its own time."""
    database = connect(options=SOON, poolclass=NullPool)
    rds.gateway.refuse_next = 1000
    results = database.storm(6)
    assert len([each for each in results if database.words.refused in str(each)]) == 6
    assert len(rds.decisions) <= 6 + 3


@pytest.mark.parametrize("retry", ["on", "patient"])
def test_a_missing_role(rds: RdsEmulator, connect: Connect, seen: Seen, retry: str) -> None:
    """The server that asks for a password has not asked IAM: that is told at once."""
    options = {"rds_iam_throttle_retry": retry}
    database = connect(rds_iam_on_event=seen, options=options, poolclass=NullPool)
    if database.words.family != "postgresql":
        pytest.skip("MySQL says the same in both cases")
    rds.gateway.answer = "28P01", 'password authentication failed for user "app"'
    database.raises(Exception)
    assert _logins(seen) == ["refused"]


def test_switched_off(rds: RdsEmulator, connect: Connect, seen: Seen) -> None:
    """With rds_iam_throttle_retry=off the first refusal is the answer."""
    options = {"rds_iam_throttle_retry": "off"}
    database = connect(rds_iam_on_event=seen, options=options, poolclass=NullPool)
    rds.gateway.refuse_next = 1000
    error = database.raises(Exception)
    assert _logins(seen) == ["refused"]
    assert "nor in" not in error.__notes__[0]


async def test_cancelled(rds: RdsEmulator, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the one that tries for all is cancelled, another one does."""
    monkeypatch.setattr(retry_policy, "SHORTEST_PAUSE", 1000.0)
    monkeypatch.setattr(retry_policy, "WIDEST_PAUSE", 1000.0)
    monkeypatch.setitem(retry_policy.WINDOWS, "patient", 1000.0)
    options = {"rds_iam_throttle_retry": "patient", "rds_iam_timeout": "1000"}
    url = rds.url("postgresql+asyncpg", **options)
    engine = create_async_engine(url, poolclass=NullPool, rds_iam_on_event=seen)
    rds.gateway.refuse_next = 1
    first = asyncio.create_task(engine.connect().start())
    await eventually_async(lambda: "throttled" in seen.kinds)
    runtime, waits = Inside(engine.sync_engine).runtime, list[float]()
    sleep = runtime.sleep
    monkeypatch.setattr(runtime, "sleep", lambda seconds: (waits.append(seconds), sleep(seconds)))
    second = asyncio.create_task(engine.connect().start())
    await eventually_async(lambda: bool(waits))
    assert not second.done()
    first.cancel()
    connection = await asyncio.wait_for(second, DEADLINE)
    await connection.close()
    assert Inside(engine.sync_engine).entry.accepted_at > 0
    await engine.dispose()
