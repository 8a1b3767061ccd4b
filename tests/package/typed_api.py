"""The public API as an application's type checker sees it. Checked by mypy, and never run."""

from __future__ import annotations

from typing import assert_type

from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from sqlalchemy_rds_iam import (
    AsyncEnginePair,
    AsyncRoutingSession,
    Endpoint,
    EndpointStats,
    EnginePair,
    Event,
    Identity,
    OutageStats,
    RdsIamError,
    RoutingSession,
    Stats,
    async_engine_pair,
    async_token,
    engine_pair,
    rds_iam_stats,
    token,
)
from sqlalchemy_rds_iam.doctor import Finding, Report, examine
from sqlalchemy_rds_iam.otel import instrument
from sqlalchemy_rds_iam.testing import RdsEmulator

URL = "postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam"


def on_event(event: Event) -> None:
    """A hook, as it is handed to ``rds_iam_on_event``."""
    assert_type(event.endpoint, Endpoint | None)
    assert_type(event.identity, Identity)
    assert_type(event.as_dict(), dict[str, str | int | float])
    assert_type(event.as_attributes(), dict[str, str | int | float])


def engines() -> None:
    """Pairs, and sessions that use them."""
    engine: Engine = create_engine(URL, rds_iam_on_event=on_event)
    pair = assert_type(engine_pair(URL), EnginePair)
    assert_type(pair.reader, Engine)
    async_pair = assert_type(async_engine_pair(URL), AsyncEnginePair)
    assert_type(async_pair.writer, AsyncEngine)
    with RoutingSession(pair=pair) as session, session.on_reader():
        assert_type(session.connection(), Connection)
    assert_type(AsyncRoutingSession(pair=async_pair), AsyncRoutingSession)
    instrument(engine, name="app")
    instrument(async_pair.writer)


async def tokens() -> None:
    """Passwords for drivers without SQLAlchemy."""
    assert_type(token(URL), str)
    assert_type(token(make_url(URL), rds_iam_profile="reporting", rds_iam_port=6432), str)
    assert_type(await async_token(URL, rds_iam_on_event=on_event), str)


def numbers(engine: Engine) -> None:
    """What operators read."""
    stats = assert_type(rds_iam_stats(engine), Stats)
    assert_type(stats.endpoints, tuple[EndpointStats, ...])
    assert_type(stats.outage, OutageStats | None)
    assert_type(stats.endpoints[0].endpoint, Endpoint)


def errors(error: RdsIamError) -> None:
    """What a caller may ask an error."""
    assert_type(error.retryable, bool)


def doctor() -> None:
    """What the doctor finds, as data."""
    report = assert_type(examine(URL, timeout=5.0), Report)
    assert_type(report.causes, tuple[Finding, ...])


def emulator() -> None:
    """An RDS for tests."""
    with RdsEmulator() as rds:
        assert_type(rds.environ(), dict[str, str])
        create_engine(rds.url("postgresql+psycopg"))
