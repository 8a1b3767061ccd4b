"""The gateway answers as the MariaDB behind it, also to what is no proper handshake."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mysql_support import BASIC, IN, RawClient, directly, raw, response

from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.mysql import wire

PASSWORD = b"sesame"

# One process's clients, one after the other: what hypothesis tries has to be quick.
MANY = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def keeper(rds_mysql_emulator: RdsEmulator) -> Iterator[RdsEmulator]:
    """The emulator, with a user that has a password."""
    rds = rds_mysql_emulator
    rds.secrets.create("differential", "keeper", password=PASSWORD.decode(), database="test")
    yield rds
    rds.secrets.clear()


async def answer(connected: Any, payload: bytes, number: int = 0) -> Any:
    """Number and SQLSTATE of the refusal, or what else came of a first packet."""
    client: RawClient
    async with connected as client:
        client.number += number
        client.send(payload)
        found = await client.outcome(PASSWORD)
    return found[:2] if isinstance(found, tuple) else found


def compare(rds: RdsEmulator, payload: bytes, number: int = 0) -> Any:
    """What the real server says, which the gateway has to say, too, with TLS and without."""

    async def all_three() -> list[Any]:
        ways = directly(rds), raw(rds), raw(rds, tls=False)
        return [await answer(each, payload, number) for each in ways]

    real, with_tls, without = asyncio.run(all_three())
    assert with_tls == real, payload
    # Without TLS its first bytes may be a request for it.
    assert without == real or wire.is_ssl_request(payload), payload
    return real


USUAL = response("keeper", "test", plugin=b"unheard_of").encode()

RESPONSES = st.builds(
    response,
    st.sampled_from(["keeper", "", "none", "k" * 200]),
    st.sampled_from(["test", "", "mysql", "none", "d" * 200]),
    capabilities=st.integers(0, 2**32 - 1).map(lambda bits: bits & ~wire.ONE_SIDED),
    max_packet=st.integers(0, 2**32 - 1),
    charset=st.integers(0, 255),
    password=st.binary(max_size=40),
    plugin=st.sampled_from([b"unheard_of", b"", b"mysql_clear_password"]),
    rest=st.sampled_from([b"", b"\0", b"\x05\x01a\x02bc", b"\xff"]),
)


def test_the_usual(keeper: RdsEmulator) -> None:
    """What all of this is about: one that is let in."""
    assert compare(keeper, USUAL) == IN


@pytest.mark.parametrize("size", [*range(0, len(USUAL), 3), len(USUAL) - 1])
def test_cut(keeper: RdsEmulator, size: int) -> None:
    """A packet that is cut anywhere."""
    compare(keeper, USUAL[:size])


@pytest.mark.parametrize("number", [1, 2, 100])
def test_out_of_order(keeper: RdsEmulator, number: int) -> None:
    """A packet of another number."""
    assert compare(keeper, USUAL, number) == (1156, "08S01")


@MANY
@given(RESPONSES)
def test_responses(keeper: RdsEmulator, given_response: wire.Response) -> None:
    """A response with any capabilities, users, databases and answers of plugins."""
    if given_response.capabilities & wire.PROTOCOL_41:
        compare(keeper, given_response.encode())


@MANY
@given(st.data())
def test_mangled(keeper: RdsEmulator, data: st.DataObject) -> None:
    """A good packet of which some bytes are others."""
    payload = bytearray(USUAL)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(32, len(payload) - 1))
        payload[at] = data.draw(st.integers(0, 255))
    compare(keeper, bytes(payload))


@MANY
@given(st.binary(max_size=100))
def test_anything(keeper: RdsEmulator, rest: bytes) -> None:
    """Anything behind capabilities that a client of today has."""
    compare(keeper, BASIC.to_bytes(4, "little") + rest)
