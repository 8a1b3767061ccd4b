"""What our SSL contexts say hello with: no key exchange less than Python itself offers.

A server may insist on one that a client does not bet on, which takes a round trip; to leave the
others out would save that, and break with servers that insist on those.
"""

from __future__ import annotations

import ssl
import struct
from collections.abc import Iterator

import pytest

from sqlalchemy_rds_iam._databases.family import Family
from sqlalchemy_rds_iam._databases.mysql import MYSQL
from sqlalchemy_rds_iam._databases.postgresql import POSTGRESQL
from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._tls import contexts

HOST = parse_host("db.abc123.us-east-1.rds.amazonaws.com")
SUPPORTED_GROUPS, KEY_SHARE = 10, 51  # RFC 8446, section 4.2


def hello(context: ssl.SSLContext) -> bytes:
    """The ClientHello that a context begins with, without the headers of record and message."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_hostname=HOST.host)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()[5 + 4 :]


def extensions(said: bytes) -> dict[int, bytes]:
    """The extensions of a ClientHello by their number (RFC 8446, section 4.1.2)."""
    at = 2 + 32
    for size in (1, 2, 1):  # of session id, cipher suites, compression methods
        at += size + int.from_bytes(said[at : at + size], "big")
    return dict(_extensions(said[at + 2 :]))


def _extensions(rest: bytes) -> Iterator[tuple[int, bytes]]:
    while rest:
        number, size = struct.unpack_from("!HH", rest)
        yield number, rest[4 : 4 + size]
        rest = rest[4 + size :]


def shares(said: bytes) -> list[int]:
    """The groups of a ClientHello's key shares."""
    entries, found = extensions(said)[KEY_SHARE][2:], []
    while entries:
        group, size = struct.unpack_from("!HH", entries)
        found.append(group)
        entries = entries[4 + size :]
    return found


@pytest.mark.parametrize("check_name", [True, False])
@pytest.mark.parametrize("family", [POSTGRESQL, MYSQL], ids=["postgresql", "mysql"])
@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_all_that_python_offers(mode: str, family: Family, check_name: bool, ca: str) -> None:
    """The same groups in the same order, and key shares for as many of them."""
    file = None if mode == "require" else ca
    made = contexts.context(mode, file, HOST, check_name=check_name, alpn=family.alpn)
    ours = hello(made)
    usual = hello(ssl.create_default_context())
    assert extensions(ours)[SUPPORTED_GROUPS] == extensions(usual)[SUPPORTED_GROUPS]
    assert shares(ours) == shares(usual) != []


def test_what_offers_less_is_seen() -> None:
    """A context with one curve, as ``set_ecdh_curve()`` makes it, says something else."""
    one = ssl.create_default_context()
    one.set_ecdh_curve("prime256v1")
    usual = hello(ssl.create_default_context())
    assert extensions(hello(one))[SUPPORTED_GROUPS] != extensions(usual)[SUPPORTED_GROUPS]
    assert shares(hello(one)) == [0x17]
