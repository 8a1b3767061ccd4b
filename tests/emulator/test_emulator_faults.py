"""The knobs do what they say, and no client, however rude, hangs or harms the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import struct
import time
from collections.abc import AsyncIterator

import asyncpg
import psycopg
import pytest
from emulator_support import libpq, sign, with_context
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import DEADLINE

from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.database.throttle import Ceiling
from sqlalchemy_rds_iam.testing.postgresql import wire
from sqlalchemy_rds_iam.testing.postgresql.login import read_message


@contextlib.asynccontextmanager
async def raw(
    rds: RdsEmulator, *, tls: bool = False, alpn: bool = True
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection, in clear or by direct TLS."""
    context = ssl.create_default_context(cafile=str(rds.ca_file)) if tls else None
    if context is not None and alpn:
        context.set_alpn_protocols(["postgresql"])
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection(*rds.address, ssl=context)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def last_words(reader: asyncio.StreamReader) -> dict[str, str]:
    """The fields of the ErrorResponse that comes next, after which nothing may come."""
    kind, body = await read_message(reader)
    assert kind == b"E"
    assert await reader.read() == b""
    return wire.parse_error(body)


def test_the_next_logins_are_refused(rds: RdsEmulator) -> None:
    """refuse_next counts down, whatever the token, and each refusal is on record."""
    rds.gateway.refuse_next = 2
    for _ in range(2):
        with pytest.raises(psycopg.OperationalError, match="PAM authentication failed"):
            psycopg.connect(**libpq(rds))
    psycopg.connect(**libpq(rds)).close()
    assert [decision.reason for decision in rds.decisions] == ["InternalError"] * 2 + [None]
    assert rds.metrics["IamDbAuthConnectionFailureServerError"] == 2


def test_the_databases_clock_may_be_wrong(rds: RdsEmulator) -> None:
    """An offset ages tokens, and makes those of now come from the future."""
    for offset, reason in ((0, None), (890, None), (960, "ExpiredToken"), (-360, "InvalidToken")):
        rds.clock_offset = offset
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(**libpq(rds)).close()
        assert rds.decisions[-1].reason == reason
    assert rds.metrics["IamDbAuthConnectionFailureInvalidToken"] == 2


def test_a_proxy_may_answer(rds: RdsEmulator) -> None:
    """A proxy's answer goes to each client that shows a token, and IAM is not asked."""
    rds.gateway.answer = "28000", "This RDS proxy has no credentials for the role app."
    with pytest.raises(psycopg.OperationalError, match="no credentials for the role"):
        psycopg.connect(**libpq(rds))
    assert rds.decisions == []
    rds.gateway.reset()
    psycopg.connect(**libpq(rds)).close()


def test_tokens_may_be_cut(rds: RdsEmulator) -> None:
    """Of a token only so much arrives; one that is as long as what is kept arrives whole."""
    token = libpq(rds)["password"]
    for kept, granted in ((len(token) - 1, False), (len(token), True), (None, True)):
        rds.gateway.longest_token = kept
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(**libpq(rds, password=token)).close()
        assert rds.decisions[-1].granted is granted


def test_authentication_may_be_slow(rds: RdsEmulator) -> None:
    """auth_delay delays the answer."""
    rds.gateway.auth_delay = 0.04
    before = time.monotonic()
    psycopg.connect(**libpq(rds)).close()
    assert time.monotonic() - before >= 0.04


async def test_slower_than_the_deadline_is_cancelled(rds: RdsEmulator) -> None:
    """Past login_timeout the server says so itself, as PostgreSQL does."""
    rds.gateway.auth_delay = 600
    # Long enough for what comes before the delay.
    timeout, rds.gateway.login_timeout = rds.gateway.login_timeout, 2.0
    try:
        with pytest.raises(asyncpg.QueryCanceledError, match="authentication due to timeout"):
            await asyncpg.connect(**with_context(rds, "ssl"))
        rds.gateway.login_timeout = 0.2
        for tls in (False, True):
            async with raw(rds, tls=tls) as (reader, _):
                await reader.read()
    finally:
        rds.gateway.login_timeout = timeout


async def test_the_ceiling_throttles(rds: RdsEmulator) -> None:
    """More than the ceiling in a second is refused as PAM failure, recorded as throttling."""
    arguments = with_context(rds, "ssl")
    rds.gateway.ceiling = 1
    try:
        results = await asyncio.gather(
            *(asyncpg.connect(**arguments) for _ in range(12)), return_exceptions=True
        )
    finally:
        rds.gateway.ceiling = None
    granted = [each for each in results if isinstance(each, asyncpg.Connection)]
    for connection in granted:
        await connection.close()
    refused = [each for each in results if isinstance(each, BaseException)]
    assert {type(each) for each in refused} == {asyncpg.InvalidAuthorizationSpecificationError}
    assert rds.metrics["IamDbAuthConnectionFailureThrottling"] == len(refused) >= 1
    assert any(decision.reason == "ThrottlingException" for decision in rds.decisions)


@given(
    rate=st.floats(0.1, 50, allow_nan=False),
    steps=st.lists(st.floats(0, 0.5, allow_nan=False), max_size=200),
)
def test_no_second_holds_more_than_the_ceiling(rate: float, steps: list[float]) -> None:
    """However logins are spread, any window of a second admits no more than the rate."""
    ceiling = Ceiling(rate)
    window = max(1.0, 1 / rate)
    now, admitted = 0.0, list[float]()
    for step in steps:
        now += step
        if ceiling.admit(now):
            admitted.append(now)
    for start in admitted:
        inside = [each for each in admitted if 0 <= each - start < window]
        assert len(inside) <= max(1, rate)


def test_a_ceiling_of_nothing_is_an_error() -> None:
    """Zero would refuse every login and None is no limit: the message says which to use."""
    with pytest.raises(ValueError, match="above zero or None, not 0"):
        Ceiling(0)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=st.binary(min_size=1, max_size=64), tls=st.booleans())
async def test_garbage_ends_the_connection(rds: RdsEmulator, garbage: bytes, tls: bool) -> None:
    """Any first bytes, then silence from us: the gateway answers or hangs up, and lives on."""
    async with raw(rds, tls=tls) as (reader, writer):
        writer.write(garbage)
        # TLS has no half-close: there the end of the block is the client's end.
        with contextlib.suppress(OSError):
            if writer.can_write_eof():
                writer.write_eof()
                await reader.read()
    assert rds.gateway._listener is not None


async def test_a_packet_too_long_is_not_waited_for(rds: RdsEmulator) -> None:
    """A length above what a server takes ends the connection at once, in clear and over TLS."""
    for tls in (False, True):
        async with raw(rds, tls=tls) as (reader, writer):
            writer.write(struct.pack("!I", 0x01000000))
            assert await reader.read() == b""


@pytest.mark.parametrize("tls", [False, True])
async def test_a_startup_without_user_or_of_another_protocol(rds: RdsEmulator, tls: bool) -> None:
    """What the real server would say to such a startup packet."""
    async with raw(rds, tls=tls) as (reader, writer):
        writer.write(wire.Startup().encode())
        fields = await last_words(reader)
        assert fields["M"] == "no PostgreSQL user name specified in startup packet"
    async with raw(rds, tls=tls) as (reader, writer):
        writer.write(wire.Startup(2 << 16, {"user": "app"}).encode())
        fields = await last_words(reader)
        assert fields["C"] == "0A000"
        assert fields["M"].startswith("unsupported frontend protocol 2.0: server supports 3.0 to 3")


async def test_unknown_protocol_options_are_negotiated(rds: RdsEmulator) -> None:
    """A future client learns what is not known here before it is asked for its token."""
    async with raw(rds, tls=True) as (reader, writer):
        parameters = {"user": "app", "_pq_.novelty": "1"}
        writer.write(wire.Startup(wire.PROTOCOL_3_0 + 77, parameters).encode())
        kind, body = await read_message(reader)
        assert (kind, body[4:]) == (b"v", b"\0\0\0\1_pq_.novelty\0")
        assert await read_message(reader) == (b"R", b"\0\0\0\3")
        writer.write(wire.password(sign(rds.key, rds.endpoint).encode()))
        assert await read_message(reader) == (b"R", b"\0\0\0\0")


async def test_something_else_than_a_password(rds: RdsEmulator) -> None:
    """A query before the token is a protocol violation, and no decision."""
    async with raw(rds, tls=True) as (reader, writer):
        writer.write(wire.Startup(parameters={"user": "app"}).encode() + wire.query("SELECT 1"))
        assert (await read_message(reader))[0] == b"R"
        fields = await last_words(reader)
        assert fields["C"] == "08P01"
    assert rds.decisions == []


async def test_gss_encryption_is_declined_once(rds: RdsEmulator) -> None:
    """GSSENCRequest gets an N, TLS may follow; asking twice is an error."""
    request = wire.packet(struct.pack("!I", wire.GSSENC_REQUEST))
    async with raw(rds) as (reader, writer):
        writer.write(request)
        assert await reader.readexactly(1) == b"N"
        writer.write(wire.packet(struct.pack("!I", wire.SSL_REQUEST)))
        assert await reader.readexactly(1) == b"S"
    async with raw(rds) as (reader, writer):
        writer.write(request)
        assert await reader.readexactly(1) == b"N"
        writer.write(request)
        assert (await last_words(reader))["C"] == "0A000"


async def test_nothing_sent_before_tls_counts_as_sent_through_it(rds: RdsEmulator) -> None:
    """Bytes stuffed behind SSLRequest break the handshake (CVE-2021-23214)."""
    async with raw(rds) as (reader, writer):
        request = wire.packet(struct.pack("!I", wire.SSL_REQUEST))
        writer.write(request + wire.Startup(parameters={"user": "app"}).encode())
        assert await reader.readexactly(1) == b"S"
        with contextlib.suppress(ConnectionError):
            assert b"PAM" not in await reader.read()
    assert rds.decisions == []


async def test_direct_tls_needs_alpn(rds: RdsEmulator) -> None:
    """As in PostgreSQL 17, which so keeps other TLS protocols from being relayed to it."""
    async with raw(rds, tls=True, alpn=False) as (reader, writer):
        writer.write(wire.Startup(parameters={"user": "app"}).encode())
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""


def test_the_log_tells_decisions_and_no_secrets(
    rds: RdsEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    """One INFO line for each decision, with neither token nor signature nor password."""
    caplog.set_level(logging.DEBUG, logger="sqlalchemy_rds_iam")
    token = sign(rds.key, rds.endpoint)
    psycopg.connect(**libpq(rds, password=token)).close()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(**libpq(rds, password="my-secret"))
    lines = [each.getMessage() for each in caplog.records if each.levelno == logging.INFO]
    assert lines[0] == f"granted: user 'app': signed by {rds.key.access_key}"
    assert lines[1].startswith("InvalidToken: user 'app': ")
    assert token.rpartition("=")[2] not in caplog.text
    assert "my-secret" not in caplog.text
