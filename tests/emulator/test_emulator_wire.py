"""PostgreSQL messages survive a round trip, and no bytes make the parsers fail but as they say."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam.testing.database.streams import ProtocolError
from sqlalchemy_rds_iam.testing.postgresql import wire

TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=30)


@given(st.dictionaries(TEXT, TEXT), st.integers(0, 0xFFFFFFFF))
def test_startup_survives_a_round_trip(parameters: dict[str, str], version: int) -> None:
    """Every version and every set of parameters reads back as it was written."""
    packet = wire.Startup(version, parameters).encode()
    assert wire.packet_length(struct.pack("!I", 8)) == 4
    assert len(packet) == struct.unpack("!I", packet[:4])[0]
    assert wire.parse_startup(packet[4:]) == wire.Startup(version, parameters)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_startup_or_a_protocol_error(body: bytes) -> None:
    """Garbage is refused by the one error the gateway handles; what parses can be passed on."""
    with contextlib.suppress(ProtocolError):
        startup = wire.parse_startup(b"\0\3\0\0" + body)
        assert wire.parse_startup(startup.encode()[4:]) == startup


@given(st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name))
def test_names_in_any_encoding_pass_through_unchanged(name: bytes) -> None:
    """A user name that is not UTF-8 reaches the real server byte for byte."""
    body = b"\0\3\0\0user\0" + name + b"\0\0"
    assert wire.parse_startup(body).encode()[4:] == body


@given(st.integers(0, 0xFFFFFFFF))
def test_only_lengths_the_server_takes_are_read(length: int) -> None:
    """No client makes the gateway read more than a startup packet may hold."""
    header = struct.pack("!I", length)
    if 8 <= length <= wire.MAX_STARTUP:
        assert wire.packet_length(header) == length - 4
    else:
        with pytest.raises(ProtocolError, match="invalid length"):
            wire.packet_length(header)


@given(TEXT, st.sampled_from(["28000", "28P01", "57014"]))
def test_errors_have_both_severities_code_and_text(text: str, sqlstate: str) -> None:
    """An ErrorResponse reads back field by field; "V" is what drivers of today look at."""
    response = wire.error(sqlstate, text)
    assert response[:1] == b"E"
    assert struct.unpack("!I", response[1:5])[0] == len(response) - 1
    assert wire.parse_error(response[5:]) == {
        "S": "FATAL",
        "V": "FATAL",
        "C": sqlstate,
        "M": text,
    }


@given(st.lists(st.none() | st.text()))
def test_rows_read_back(columns: list[str | None]) -> None:
    """A DataRow's columns, NULL and the empty string told apart."""
    encoded = [None if column is None else column.encode() for column in columns]
    body = struct.pack("!H", len(columns)) + b"".join(
        struct.pack("!i", -1) if column is None else struct.pack("!i", len(column)) + column
        for column in encoded
    )
    if all("\ud800" not in (column or "") for column in columns):
        assert wire.parse_row(body) == tuple(columns)


def test_the_database_is_the_user_when_none_is_named() -> None:
    """As the protocol has it."""
    assert wire.Startup(parameters={"user": "app"}).database == "app"
    assert wire.Startup(parameters={"user": "app", "database": "other"}).database == "other"
    assert wire.Startup().user == ""
