"""The gateway answers as the PostgreSQL behind it: the same SQLSTATE and words for every login."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator
from typing import Any

import pytest
from emulator_support import sign

from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.postgresql import wire
from sqlalchemy_rds_iam.testing.postgresql.login import log_in, read_message
from sqlalchemy_rds_iam.testing.postgresql.password_login import scram_verifier

PASSWORD = "sesame"
LONG, CUT_IN_TWO = "l" * 70, "é" * 40
IN = "let in"
DEADLINE = 30.0

# Of each there are two: one with a password, and one that is a member of rds_iam.
USERS = {
    "usual": "LOGIN",
    "no_login": "NOLOGIN",
    "none_at_once": "LOGIN CONNECTION LIMIT 0",
    "past": "LOGIN VALID UNTIL '2001-01-01'",
    "replica": "LOGIN REPLICATION",
    LONG: "LOGIN",
    CUT_IN_TWO: "LOGIN",
    "quo\"te'd": "LOGIN",
}
DATABASES = {
    "closed": "ALLOW_CONNECTIONS false",
    "full": "CONNECTION LIMIT 0",
    "private": "",
    LONG: "",
}


@pytest.fixture(scope="module")
def world(rds_emulator: RdsEmulator) -> Iterator[RdsEmulator]:
    """The emulator with all sorts of users and databases."""
    rds = rds_emulator
    made = []
    for name, options in USERS.items():
        for kind in ("pw", "iam"):
            user = wire.quote_identifier(f"{kind}_{name}")
            grant = " IN ROLE rds_iam" if kind == "iam" else ""
            verifier = wire.quote_literal(scram_verifier(PASSWORD))
            rds.execute(f"CREATE ROLE {user} {options} PASSWORD {verifier}{grant}")
            made.append(f"DROP ROLE {user}")
    for name, options in DATABASES.items():
        rds.execute(f"CREATE DATABASE {wire.quote_identifier(name)} {options}")
        made.append(f"DROP DATABASE {wire.quote_identifier(name)}")
    rds.execute("REVOKE CONNECT ON DATABASE private FROM public")
    yield rds
    for sql in made:
        rds.execute(sql)


async def _answer(
    stream: tuple[StreamReader, StreamWriter], startup: wire.Startup, password: str
) -> Any:
    """SQLSTATE, words and detail of a refusal, or `IN`."""
    reader, writer = stream
    try:
        async with asyncio.timeout(DEADLINE):
            first = await log_in(reader, writer, startup, password)
            kind, body = first[:1], first[5:]
            while kind not in (b"E", b"Z"):
                kind, body = await read_message(reader)
    finally:
        writer.close()
    if kind == b"Z":
        return IN
    error = wire.parse_error(body)
    return error["C"], error["M"], error.get("D")


async def directly(rds: RdsEmulator, startup: wire.Startup, password: str = PASSWORD) -> Any:
    """What the real server says."""
    stream = await asyncio.open_unix_connection(rds._own_server.socket)
    return await _answer(stream, startup, password)


async def through(rds: RdsEmulator, startup: wire.Startup, password: str = PASSWORD) -> Any:
    """What the gateway says, over direct TLS."""
    context = ssl.create_default_context(cafile=str(rds.ca_file))
    context.set_alpn_protocols(["postgresql"])
    stream = await asyncio.open_connection(
        *rds.address, ssl=context, server_hostname=rds.endpoint.host
    )
    return await _answer(stream, startup, password)


def _startup(user: str, database: str = "postgres", version: int = 0, **more: str) -> wire.Startup:
    parameters = {"user": user, "database": database, **more}
    return wire.Startup(wire.PROTOCOL_3_0 + version, parameters)


LOGINS = {
    **{f"user-{name[:12]}": (name, {}) for name in USERS},
    **{f"database-{name[:12]}": ("usual", {"database": name}) for name in DATABASES},
    "user-longer-still": (LONG + "l", {}),
    "user-as-cut": (f"iam_{LONG}"[:63].removeprefix("iam_"), {}),
    "user-in-capitals": ("USUAL", {}),
    "user-of-no-encoding": ("\udcff\udcfe", {}),
    "database-nowhere": ("usual", {"database": "nowhere"}),
    "database-of-the-user": ("usual", {"database": ""}),
    "database-of-a-long-user": (LONG, {"database": ""}),
    "database-too-long": ("usual", {"database": "d" * 100}),
    "template0": ("usual", {"database": "template0"}),
    "option-unknown": ("usual", {"options": "-c nonsense=1"}),
    "option-wrong": ("usual", {"options": "-c work_mem=lots"}),
    "another-role": ("usual", {"options": "-c role=postgres"}),
    "parameter-unknown": ("usual", {"nonsense": "1"}),
    "encoding-unknown": ("usual", {"client_encoding": "nope"}),
    "protocol-option": ("usual", {"_pq_.x": "1"}),
    "protocol-3.1": ("usual", {"version": 1}),
    "protocol-3.2": ("usual", {"version": 2}),
    "protocol-3.9999": ("usual", {"version": 9999}),
    "protocol-4.0": ("usual", {"version": 1 << 16}),
    "no-replication": ("usual", {"replication": "off"}),
}


@pytest.mark.parametrize("name", LOGINS)
@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
async def test_by_password(world: RdsEmulator, name: str, password: str) -> None:
    """Users with a password: whatever they ask for, the answer is the server's own."""
    user, more = LOGINS[name]
    startup = _startup(f"pw_{user}", **more)  # type: ignore[arg-type]
    assert await through(world, startup, password) == await directly(world, startup, password)


@pytest.mark.parametrize("name", LOGINS)
async def test_by_token(world: RdsEmulator, name: str) -> None:
    """Users with a token: after a good one, the answer is the server's own.

    A good one is signed for the name that the server knows, which it cuts to 63 bytes.
    """
    user, more = LOGINS[name]
    startup = _startup(f"iam_{user}", **more)  # type: ignore[arg-type]
    kept = startup.user.encode(errors="surrogateescape")[:63].decode(errors="replace")
    token = sign(world.key, world.endpoint, kept)
    assert await through(world, startup, token) == await directly(world, startup)


async def test_who_is_let_in(world: RdsEmulator) -> None:
    """PAM does not look at VALID UNTIL, and all else that keeps a user out does so with a token."""
    expected = {
        "usual": IN,
        "past": IN,
        "no_login": ("28000", 'role "iam_no_login" is not permitted to log in', None),
        "none_at_once": ("53300", 'too many connections for role "iam_none_at_once"', None),
    }
    for name, answer in expected.items():
        token = sign(world.key, world.endpoint, f"iam_{name}")
        assert await through(world, _startup(f"iam_{name}"), token) == answer
    assert (await through(world, _startup("pw_past")))[0] == "28P01"


@pytest.mark.parametrize("name", [LONG, "é" * 31 + "xy", "u" * 64])
async def test_names_that_are_cut(world: RdsEmulator, name: str) -> None:
    """A token that is signed for more than the server keeps of a name is for another user."""
    world.create_user(name)
    try:
        refused = ("28000", f'PAM authentication failed for user "{name.encode()[:63].decode()}"')
        for database in ("postgres", name):
            token = sign(world.key, world.endpoint, name)
            assert (await through(world, _startup(name, database), token))[:2] == refused
        detail = world.decisions[-1].detail
        assert detail.startswith("signed for user")
        token = sign(world.key, world.endpoint, name.encode()[:63].decode())
        assert await through(world, _startup(name), token) == IN
    finally:
        world.execute(f"DROP ROLE {wire.quote_identifier(name)}")


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b"\0", ("28P01", "empty password returned by client")),
        (b"", ("08P01", "invalid password packet size")),
        (b"no end", ("08P01", "invalid password packet size")),
        (b"two\0ends\0", ("08P01", "invalid password packet size")),
        (b"two\0\0", ("08P01", "invalid password packet size")),
    ],
)
async def test_password_messages(world: RdsEmulator, body: bytes, answer: tuple[str, str]) -> None:
    """What is no password is refused as the server does (recv_password_packet), IAM not asked."""
    token = sign(world.key, world.endpoint, "iam_usual").encode()
    before = len(world.decisions)
    for each in {body, body.replace(b"two", token)}:
        assert (await _raw(world, wire.message(b"p", each)))[:2] == answer
    other = ("08P01", "expected password response, got message type 81")
    assert (await _raw(world, wire.query("select 1")))[:2] == other
    assert len(world.decisions) == before


async def _raw(rds: RdsEmulator, message: bytes) -> tuple[str, str]:
    context = ssl.create_default_context(cafile=str(rds.ca_file))
    context.set_alpn_protocols(["postgresql"])
    reader, writer = await asyncio.open_connection(
        *rds.address, ssl=context, server_hostname=rds.endpoint.host
    )
    async with asyncio.timeout(DEADLINE):
        writer.write(_startup("iam_usual").encode())
        assert (await read_message(reader))[0] == b"R"
        writer.write(message)
        kind, body = await read_message(reader)
    writer.close()
    assert kind == b"E"
    error = wire.parse_error(body)
    return error["C"], error["M"]


@pytest.mark.parametrize("value", ["true", "on", "1", "database", "y"])
async def test_replication(world: RdsEmulator, value: str) -> None:
    """IAM authentication takes no part in replication, whatever the token."""
    token = sign(world.key, world.endpoint, "iam_replica")
    found = await through(world, _startup("iam_replica", replication=value), token)
    assert found[0] == "28000"
    assert found[1].startswith("no pg_hba.conf entry for replication connection from host")


@pytest.mark.parametrize("end", [b"", b"xy", b"\0\0", b"name\0"])
async def test_startup_packets(world: RdsEmulator, end: bytes) -> None:
    """A start-up packet that is laid out otherwise is refused in the server's words."""
    body = b"\0\3\0\0user\0iam_usual\0" + end
    answers = []
    context = ssl.create_default_context(cafile=str(world.ca_file))
    context.set_alpn_protocols(["postgresql"])
    for stream in (
        await asyncio.open_unix_connection(world._own_server.socket),
        await asyncio.open_connection(
            *world.address, ssl=context, server_hostname=world.endpoint.host
        ),
    ):
        reader, writer = stream
        writer.write(wire.packet(body))
        async with asyncio.timeout(DEADLINE):
            kind, answer = await read_message(reader)
        writer.close()
        error = wire.parse_error(answer)
        answers.append((kind, error.get("C"), error.get("M")))
    assert answers[0] == answers[1]
