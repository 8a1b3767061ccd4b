"""AWS down, slow, broken or lying: connects go on as long as they can, fail fast, and recover."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import botocore.retries.standard
import botocore.utils
import pytest
from aiohttp import web
from faults_support import FAULTS, LIFE, Clock, Provider, Way, settle
from patience import DEADLINE
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import CredentialsError
from sqlalchemy_rds_iam.testing import RdsEmulator

TTL = {"rds_iam_failure_ttl": "30"}
WAYS = ["botocore", pytest.param("aiobotocore", marks=pytest.mark.aiobotocore)]


def _logged(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """What our logger has said at this level."""
    records = [record for record in caplog.records if record.name == "sqlalchemy_rds_iam"]
    return [record.getMessage() for record in records if record.levelno == level]


@pytest.mark.parametrize("fault", FAULTS)
def test_outage_from_first_to_last(
    open_database: Callable[..., Database],
    provider: Provider,
    clock: Clock,
    impatient: None,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    rds: RdsEmulator,
    way: Way,
) -> None:
    """While the token lives connects go on, then they fail with the cause; then all is well again.

    One warning begins the outage and one line with a count ends it, and during the failure's life
    AWS is not asked.
    """
    if fault == "tls" and provider.name != "assume-role":
        pytest.skip("this provider keeps the address it had when it was well")
    if (way.is_async, way.credentials) == (True, "botocore") and provider.name != "container-role":
        pytest.skip("the sync engine's thread asks it; how a loop waits for one, one of them shows")
    caplog.set_level(logging.INFO, "sqlalchemy_rds_iam")
    database = open_database(poolclass=NullPool, options=TTL)
    assert database.scalar("select 1") == 1

    provider.fail(fault, monkeypatch)
    clock.offset += LIFE * 2 / 3 + 1
    for _ in range(3):
        assert database.scalar("select 1") == 1
        settle(database)
        clock.offset += 3
    assert database.inside.cache._outage.failures == 3

    clock.offset += LIFE / 3
    error = str(database.raises(CredentialsError))
    who, _, cause = error.partition(": ")
    assert provider.name in who
    assert cause
    asked = provider.calls
    assert str(database.raises(CredentialsError)) == error
    assert provider.calls == asked
    assert len(_logged(caplog, logging.WARNING)) == 1
    assert not _logged(caplog, logging.INFO)

    provider.recover(monkeypatch)
    clock.offset += 30
    assert database.scalar("select 1") == 1
    assert _logged(caplog, logging.INFO) == ["AWS credentials renewed after 4 failed fetches"]
    assert len(_logged(caplog, logging.WARNING)) == 1
    assert all(decision.granted for decision in rds.decisions)


@pytest.mark.parametrize("fault", ["reset", "refused", "tls"])
def test_started_during_an_outage(
    open_database: Callable[..., Database],
    provider: Provider,
    clock: Clock,
    impatient: None,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that starts while AWS is down fails to connect, and does so no longer than that."""
    provider.fail(fault, monkeypatch)
    database = open_database(options=TTL)
    database.raises(CredentialsError)
    provider.recover(monkeypatch)
    clock.offset += 30
    assert database.scalar("select 1") == 1


@pytest.mark.parametrize("fault", ["reset", "tls"])
def test_the_error_names_the_provider(
    open_database: Callable[..., Database],
    provider: Provider,
    clock: Clock,
    impatient: None,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error tells which provider failed, or else at which address."""
    database = open_database(poolclass=NullPool)
    if fault != "tls":
        database.scalar("select 1")
    provider.fail(fault, monkeypatch)
    clock.offset += LIFE
    named = provider.url.split("/")[2] if fault == "tls" else provider.name
    assert named in str(database.raises(CredentialsError))


def test_an_incomplete_answer_is_not_quoted(
    open_database: Callable[..., Database],
    sts: Provider,
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
    rds: RdsEmulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An answer with keys in it that ends in the middle gets into no message and no log."""
    answer = sts.service.answer

    def cut(call: Any) -> web.Response:
        whole = answer(call).text
        return web.Response(text=whole[: whole.index("</Credentials>")], content_type="text/xml")

    monkeypatch.setattr(sts.service, "answer", cut)
    database = open_database()
    errors: list[BaseException | None] = [database.raises(CredentialsError)]
    [*_, key] = rds.identities._keys.values()
    assert key.session_token is not None
    for error in errors:
        if error is not None:
            assert key.secret_key not in str(error)
            assert key.session_token not in str(error)
            errors += [error.__cause__, error.__context__]
    assert key.secret_key not in " ".join(_logged(caplog, logging.WARNING))


def test_hiccups_are_no_outage(
    open_database: Callable[..., Database],
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What goes away within botocore's own retries is neither an error nor a warning."""
    if provider.name == "iam-role":
        pytest.skip("botocore asks the metadata service once")
    monkeypatch.setattr(botocore.utils.ContainerMetadataFetcher, "SLEEP_TIME", 0)
    backoff = botocore.retries.standard.ExponentialBackoff
    monkeypatch.setattr(backoff, "delay_amount", lambda *_: 0)
    monkeypatch.setattr(provider.service, "lifetime", 3600.0)
    provider.service.fail("reset", times=2)
    before = provider.calls
    assert open_database().scalar("select 1") == 1
    assert provider.calls - before == 3
    assert not _logged(caplog, logging.WARNING)


class Storm:
    """Twenty threads and twenty tasks that connect at the same moment, again and again."""

    def __init__(self, rds: RdsEmulator, way: str) -> None:
        self.engine = create_engine(rds.url(**TTL), poolclass=NullPool)
        url = rds.url("postgresql+asyncpg", rds_iam_credentials=way, **TTL)
        self.async_engine = create_async_engine(url, poolclass=NullPool)

    def blow(self) -> list[BaseException | None]:
        """Connect forty times at once, and say how that went."""
        start = threading.Barrier(21)
        results: list[BaseException | None] = []

        def in_thread() -> None:
            start.wait(DEADLINE)
            try:
                with self.engine.connect() as connection:
                    connection.execute(text("select 1"))
            except CredentialsError as error:
                results.append(error)
            else:
                results.append(None)

        async def connect() -> None:
            async with self.async_engine.connect() as connection:
                await connection.execute(text("select 1"))

        async def in_tasks() -> None:
            start.wait(DEADLINE)
            work = (connect() for _ in range(20))
            results.extend(await asyncio.gather(*work, return_exceptions=True))

        threads = [threading.Thread(target=in_thread) for _ in range(20)]
        for thread in threads:
            thread.start()
        asyncio.run(in_tasks())
        for thread in threads:
            thread.join(DEADLINE)
        assert len(results) == 40
        return results


@pytest.mark.parametrize("way", WAYS)
def test_a_storm_asks_once(
    rds: RdsEmulator,
    container: Provider,
    clock: Clock,
    impatient: None,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In an outage all connects together ask AWS once in failure_ttl, and so they do at its end."""
    storm = Storm(rds, way)
    monkeypatch.setattr(container.service, "lifetime", 3600.0)
    container.service.latency = 0.04
    container.fail("500", monkeypatch)
    before = container.calls
    for calls in (1, 1):
        errors = storm.blow()
        assert {type(error) for error in errors} == {CredentialsError}
        assert len({id(error) for error in errors}) == 40
        assert container.calls - before == calls
    clock.offset += 30
    assert None not in storm.blow()
    assert container.calls - before == 2
    container.recover(monkeypatch)
    clock.offset += 30
    assert set(storm.blow()) == {None}
    assert container.calls - before == 3
