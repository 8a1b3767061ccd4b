"""MySQL's packets, as the doctor reads and writes them by hand."""

from __future__ import annotations

import contextlib

import pytest
from doctor_mysql_packets import SHA2, error_of, greeting_of
from hypothesis import example, given
from hypothesis import strategies as st

from sqlalchemy_rds_iam.doctor.mysql import packets


def test_greeting() -> None:
    """Version, capabilities and plugin are read, each from its place."""
    found = packets.greeting(greeting_of()[4:])
    assert isinstance(found, packets.Greeting)
    assert (found.version, found.plugin) == ("8.0.39", SHA2)
    assert found.capabilities & packets.SSL
    without = packets.greeting(greeting_of(tls=False)[4:])
    assert isinstance(without, packets.Greeting)
    assert not without.capabilities & packets.SSL


@given(st.binary(max_size=100))
@example(b"\x0a8.0.39\0")
@example(b"\xff\x10")
@example(greeting_of()[4:40])
def test_any_packet(payload: bytes) -> None:
    """Whatever is in a packet, it is understood or a ValueError."""
    for read in (packets.greeting, packets.answer):
        with contextlib.suppress(ValueError):
            assert isinstance(read(payload), tuple)


@pytest.mark.parametrize("sqlstate", ["", "#08004"])
def test_error(sqlstate: str) -> None:
    """An error has a SQLSTATE, or none before the handshake."""
    found = packets.answer(error_of(1040, "Too many connections", sqlstate))
    assert found == (1040, sqlstate.removeprefix("#"), "Too many connections")


def test_no_password_in_a_login() -> None:
    """The first packet names the user and the database, and has no place for a password."""
    packet = packets.login("app", "orders", SHA2, packets.SSL, 2)
    assert packet[4 + 32 :] == b"app\0" + b"\0" + b"orders\0" + SHA2.encode() + b"\0"
    assert packets.login("app", "", SHA2, 0, 2)[4 + 32 :] == b"app\0\0" + SHA2.encode() + b"\0"
