"""MySQL's packets: what is written is read as it was, and nothing that comes breaks the reader."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam.testing.database.streams import ProtocolError
from sqlalchemy_rds_iam.testing.mysql import wire
from sqlalchemy_rds_iam.testing.mysql.cursor import Cursor
from sqlalchemy_rds_iam.testing.mysql.users import _AWS_PLUGIN

TEXT = st.binary(max_size=40).filter(lambda value: b"\0" not in value)
CAPABILITIES = wire.PROTOCOL_41 | wire.SECURE_CONNECTION | wire.PLUGIN_AUTH
RESPONSES = st.builds(
    wire.Response,
    st.just(CAPABILITIES | wire.CONNECT_WITH_DB | wire.CONNECT_ATTRS),
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
    st.binary(min_size=23, max_size=23),
    TEXT,
    st.binary(max_size=250),
    TEXT,
    TEXT,
    st.binary(max_size=40),
)
GREETINGS = st.builds(
    wire.Greeting,
    TEXT,
    st.integers(0, 2**32 - 1),
    st.binary(min_size=20, max_size=20),
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
    st.integers(0, 65535),
    st.binary(min_size=10, max_size=10),
    st.text("abc_", min_size=1, max_size=20),
)


@given(RESPONSES)
def test_a_response_is_read_as_written(response: wire.Response) -> None:
    """Encoding and reading are each other's inverse."""
    assert wire.parse_response(response.encode()) == response


@given(GREETINGS)
def test_a_greeting_is_read_as_written(greeting: wire.Greeting) -> None:
    """Encoding and reading are each other's inverse."""
    assert wire.parse_greeting(greeting.encode()) == greeting


@given(RESPONSES, st.data())
def test_a_response_that_is_cut(response: wire.Response, data: st.DataObject) -> None:
    """What is not whole is a ProtocolError, or is less of the same user's."""
    encoded = response.encode()
    cut = encoded[: data.draw(st.integers(0, len(encoded)))]
    with contextlib.suppress(ProtocolError):
        assert wire.parse_response(cut).user == response.user


@given(st.binary(max_size=200))
def test_anything_else(payload: bytes) -> None:
    """Bytes of any kind are read or are a ProtocolError, and nothing else."""
    for parse in (wire.parse_response, wire.parse_greeting):
        with contextlib.suppress(ProtocolError):
            parse(payload)


@given(RESPONSES)
def test_what_the_real_server_sees(response: wire.Response) -> None:
    """TLS and compression are taken out of a client's answer, and all else stays."""
    asked = replace(response, capabilities=response.capabilities | wire.SSL | wire.COMPRESS)
    assert wire.without_tls(asked.encode()) == response.encode()
    assert wire.parse_response(asked.masked(0xFFFFFFFF).encode()) == response


@pytest.mark.parametrize("sqlstate", ["", "28000"])
def test_errors(sqlstate: str) -> None:
    """An error packet says what was put in, with an SQLSTATE or without."""
    packet = wire.error(1045, sqlstate, "Access denied")
    assert wire.parse_error(packet) == (1045, sqlstate, "Access denied")


@given(st.one_of(st.none(), st.binary(max_size=70000)), st.integers(0, 2**64 - 1))
def test_lengths(value: bytes | None, number: int) -> None:
    """Length-encoded numbers and strings are read in all their sizes."""
    assert Cursor(b"\xfe" + number.to_bytes(8, "little")).number() == number
    if value is None:
        assert Cursor(b"\xfb").value() is None
    else:
        size = b"\xfd" + len(value).to_bytes(3, "little")
        assert Cursor(size + value).value() == value


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("CREATE USER 'jane' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'", "jane"),
        (
            "CREATE USER 'o''n'@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' REQUIRE SSL",
            "o'n",
        ),
        (
            "create user if not exists `a b`@`%`\nidentified with awsauthenticationplugin as 'RDS'",
            "a b",
        ),
        ("ALTER USER jane IDENTIFIED WITH 'AWSAuthenticationPlugin' AS \"RDS\"", "jane"),
    ],
)
def test_statements_of_aws(sql: str, name: str) -> None:
    """What AWS's page and `rds-iam grant` say is known, with whatever quotes."""
    found = _AWS_PLUGIN.search(sql)
    assert found is not None
    named = next(filter(None, found.group("single", "double", "back", "bare")))
    assert named.replace("''", "'") == name
    assert found.end() == len(sql)
