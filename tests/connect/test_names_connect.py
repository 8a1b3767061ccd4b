"""Connecting through names other than the endpoint's own, with every driver, on the emulator."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from families import BOTH, Words
from faults_support import Clock
from patience import SOON, eventually_async
from sqlalchemy import URL, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from worlds import TUNNELLING, WORLDS, Database, on, worlds

from sqlalchemy_rds_iam import ConfigError, RdsIamError, WaitTimeout
from sqlalchemy_rds_iam.testing import RdsEmulator, SignedEndpoint

pytest.importorskip("dns", reason="dnspython is not installed")

from dns_support import ALIAS, MACHINE, DnsServer, aliased

GREEN = "green.abc123.us-east-1.rds.amazonaws.com"
GLOBAL = "app.global-abc123.global.rds.amazonaws.com"
Connect = Callable[..., Database]


@pytest.fixture(params=worlds(TUNNELLING))
def world(request: pytest.FixtureRequest) -> tuple[str, bool]:
    """Each driver that can verify the name of the endpoint though it dials the alias."""
    return WORLDS[request.param]


@pytest.fixture
def server(rds: RdsEmulator) -> Iterator[DnsServer]:
    """DNS, for which the alias stands for the emulator; whose certificate does not name it."""
    with aliased(rds) as server:
        yield server


@pytest.fixture
def url(rds: RdsEmulator) -> Callable[..., URL]:
    """Make a URL of the alias, with more options."""

    def make(drivername: str = "postgresql+psycopg", **options: str) -> URL:
        found = rds.url(drivername, rds_iam_resolve_cname="on")
        found = found.difference_update_query(["rds_iam_host"])
        return found.update_query_dict(options).set(host=ALIAS)

    return make


@pytest.fixture
def through_alias(
    world: tuple[str, bool], url: Callable[..., URL], databases: Connect
) -> Callable[..., Database]:
    """Make a database of this test's driver and world behind the alias, with more options."""
    drivername, is_async = world

    def make(**options: str) -> Database:
        return databases(url(drivername, **options), is_async=is_async, poolclass=NullPool)

    return make


def test_connects(through_alias: Connect, rds: RdsEmulator, server: DnsServer) -> None:
    """The token is signed for the RDS name found, and the certificate has to have that name."""
    server.point(ALIAS, "db.example.com", "primary.example.com", rds.endpoint.host)
    database = through_alias()
    assert server.questions == []
    assert [database.scalar(database.words.user) for _ in range(2)] == ["app", "app"]
    assert [decision.granted for decision in rds.decisions] == [True, True]
    assert server.questions == [ALIAS, "db.example.com", "primary.example.com"]
    rds.gateway.certificate = rds.certificates.other_host(ALIAS)
    note = "\n".join(database.raises(Exception).__notes__)
    assert f"the certificate has to name '{rds.endpoint.host}', for which '{ALIAS}'" in note
    assert len(rds.decisions) == 2


def test_alias_without_an_option(
    through_alias: Connect, rds: RdsEmulator, server: DnsServer
) -> None:
    """An alias that no option explains fails on its certificate, and the error says what to set."""
    database = through_alias(rds_iam_resolve_cname="off")
    for certificate in (rds.gateway.certificate, rds.certificates.unrelated()):
        rds.gateway.certificate = certificate
        [note] = database.raises(Exception).__notes__
        for part in (f"'{ALIAS}', which is no RDS", "rds_iam_host", "rds_iam_resolve_cname=on"):
            assert part in note
    assert rds.decisions == []
    assert server.questions == []


def test_other_errors_get_no_note(through_alias: Connect, rds: RdsEmulator) -> None:
    """An alias is not suspected when something else than a certificate is what has failed."""
    database = through_alias(rds_iam_resolve_cname="off")
    rds.gateway.decline_tls = True
    assert not hasattr(database.raises(Exception), "__notes__")


def test_switch(
    through_alias: Connect, rds: RdsEmulator, server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blue/green switch by CNAME is followed when its TTL is over."""
    database, clock = through_alias(), Clock()
    database.inside.provider._aliases._names.clock = clock
    assert database.scalar("select 1") == 1
    server.point(ALIAS, GREEN)
    monkeypatch.setattr(
        rds.gateway, "_endpoint", SignedEndpoint(GREEN, rds.endpoint.port, "us-east-1")
    )
    rds.gateway.certificate = rds.certificates.other_host(GREEN)
    clock.offset = 61
    assert database.scalar("select 1") == 1
    assert [decision.granted for decision in rds.decisions] == [True, True]
    assert len(server.questions) == 2


def test_switch_before_its_time(
    through_alias: Connect, rds: RdsEmulator, server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A switch that the TTL hides costs failed connects for 5 s, and no token to a wrong server."""
    database, clock = through_alias(), Clock()
    database.inside.provider._aliases._names.clock = clock
    assert database.scalar("select 1") == 1
    server.point(ALIAS, GREEN)
    monkeypatch.setattr(
        rds.gateway, "_endpoint", SignedEndpoint(GREEN, rds.endpoint.port, "us-east-1")
    )
    rds.gateway.certificate = rds.certificates.other_host(GREEN)
    database.raises(Exception)
    assert len(rds.decisions) == 1
    clock.offset = 6
    assert database.scalar("select 1") == 1


@pytest.mark.parametrize("fault", ["servfail", "silence"])
def test_outage(
    through_alias: Connect,
    server: DnsServer,
    fault: str,
    caplog: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While DNS is out, connects go on with what it said last, in time; there is one warning."""
    database, clock = through_alias(), Clock()
    database.inside.provider._aliases._names.clock = clock
    assert database.scalar("select 1") == 1
    server.fault = fault
    clock.offset = 61
    monkeypatch.setattr("sqlalchemy_rds_iam._endpoints.cname.PATIENCE", 0.3)
    assert [database.scalar("select 1") for _ in range(3)] == [1, 1, 1]
    ours = [record for record in caplog.records if record.name == "sqlalchemy_rds_iam"]
    assert [record.levelname for record in ours] == ["WARNING"]


@pytest.mark.parametrize(
    ("chain", "says"),
    [
        ((ALIAS, "a.example.com", ALIAS), "circle"),
        ((ALIAS, *(f"hop{n}.example.com" for n in range(9)), GREEN), "within 8 records"),
        ((ALIAS, MACHINE), f"{ALIAS} → {MACHINE}). Set rds_iam_host"),
        ((ALIAS, "a.invalid"), "rds_iam_host"),
        ((ALIAS, GLOBAL), "set rds_iam_region"),
    ],
    ids=["loop", "long", "no-rds-name", "dead-end", "global"],
)
def test_no_endpoint(
    through_alias: Connect,
    server: DnsServer,
    monkeypatch: pytest.MonkeyPatch,
    chain: tuple[str, ...],
    says: str,
) -> None:
    """An alias that leads to nothing to sign for is an error that says so; then it is looked at."""
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    server.point(*chain)
    database = through_alias()
    assert says in str(database.raises(RdsIamError))


def test_global_writer(through_alias: Connect, server: DnsServer, rds: RdsEmulator) -> None:
    """A global writer's name is signed for as it is, in the region that an option says."""
    server.point(ALIAS, GLOBAL)
    rds.gateway.certificate = rds.certificates.other_host(GLOBAL)
    database = through_alias(rds_iam_region="us-east-1")
    assert f"signed for app@{GLOBAL}:{rds.endpoint.port}" in database.raises(Exception).__notes__[0]


def test_nxdomain(through_alias: Connect, server: DnsServer) -> None:
    """An alias that DNS does not know is an error, which is remembered."""
    server.remove(ALIAS)
    database = through_alias(rds_iam_failure_ttl="30")
    for _ in range(3):
        assert "NXDOMAIN" in str(database.raises(RdsIamError))
    assert server.questions == [ALIAS]


def test_deadline(through_alias: Connect, server: DnsServer) -> None:
    """DNS that does not answer costs a connect no more than rds_iam_timeout."""
    server.fault = "silence"
    database = through_alias(rds_iam_timeout="0.05")
    began = time.monotonic()
    database.raises(WaitTimeout)
    assert time.monotonic() - began < SOON


@on("psycopg-async", "asyncpg", "asyncmy")
async def test_event_loop_goes_on(url: Any, server: DnsServer, world: tuple[str, bool]) -> None:
    """DNS is not asked on the event loop, which is free to do what the answer is waiting for."""
    engine = create_async_engine(url(world[0]))
    server.gate.clear()
    connecting = asyncio.create_task(_scalar(engine))
    await eventually_async(lambda: server.questions)
    server.gate.set()
    assert await connecting == 1
    await engine.dispose()


@BOTH
async def test_cancelled(url: Any, server: DnsServer, words: Words) -> None:
    """A task that is cancelled while DNS is asked leaves the answer to the next one."""
    engine = create_async_engine(url(words.asynchronous))
    server.gate.clear()
    connecting = asyncio.create_task(_scalar(engine))
    await eventually_async(lambda: server.questions)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    server.gate.set()
    assert await _scalar(engine) == 1
    await engine.dispose()


def test_endpoint_names_are_left_alone(
    rds: RdsEmulator, server: DnsServer, url: Any, databases: Connect
) -> None:
    """For an RDS endpoint name the option does nothing, and a bad certificate is just that."""
    database = databases(
        url().set(host=rds.endpoint.host),
        connect_args={"hostaddr": "127.0.0.1"},
        poolclass=NullPool,
    )
    assert database.scalar("select 1") == 1
    rds.gateway.certificate = rds.certificates.unrelated()
    (note,) = database.raises(Exception).__notes__
    assert f"the server's certificate was not accepted for '{rds.endpoint.host}'" in note
    assert server.questions == []


@pytest.mark.parametrize(
    ("options", "host", "says"),
    [
        ({"rds_iam_host": GREEN}, ALIAS, "give one"),
        ({}, "10.0.0.1", "IP address"),
        ({"rds_iam_region": "Frankfurt"}, ALIAS, "expected a region"),
        ({"sslmode": "prefer"}, ALIAS, "weaker"),
        ({"rds_iam_ca": "/nonexistent.pem"}, ALIAS, "cannot read the CA file"),
    ],
)
@pytest.mark.parametrize("create", [create_engine, create_async_engine])
def test_rehearsal(
    url: Any, server: DnsServer, create: Any, options: dict[str, str], host: str, says: str
) -> None:
    """create_engine() finds all that is wrong but where the alias leads; it asks no server."""
    create(url())
    with pytest.raises(ConfigError, match=says):
        create(url(**options).set(host=host))
    with pytest.raises(ConfigError, match="no database user"):
        create(url().set(username=""))
    assert server.questions == []


def test_without_dnspython(url: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without dnspython the option is refused with what to install; nothing else needs it."""
    monkeypatch.setitem(sys.modules, "dns", None)
    with pytest.raises(ConfigError, match="pip install 'dnspython>="):
        create_engine(url())
    create_engine(url(rds_iam_resolve_cname="off"))


async def _scalar(engine: Any) -> Any:
    async with engine.connect() as connection:
        return (await connection.exec_driver_sql("select 1")).scalar()
