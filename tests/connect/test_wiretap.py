"""Not a byte of a token goes over the wire outside of TLS, whatever any driver is answered."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote, unquote

import frames_support
import pytest
import wiretap
from families import Words
from odd_servers import ODD, odd_server
from sqlalchemy.pool import NullPool
from wiretap import PIECE, Wiretap
from worlds import EVERY, Database, on

from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam.testing import RdsEmulator

FAULTS = ["healthy", "wrong-ca", "wrong-name", "refused", *ODD["mysql"]]

TOKEN = (
    "db.example.com:3306/?Action=connect&X-Amz-Credential=AKIA%2Frds-db&X-Amz-Signature=0f1e2d3c4b"
)


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """All tokens that are made, also those that are gone."""
    made: set[str] = set()
    usual = IssuedPassword.__init__

    def note(token: IssuedPassword, *args: Any, **kwargs: Any) -> None:
        usual(token, *args, **kwargs)
        made.add(str.__str__(token.password))

    monkeypatch.setattr(IssuedPassword, "__init__", note)
    return made


@pytest.fixture
def tapped(
    rds: RdsEmulator, world: tuple[str, bool], words: Words, databases: Any
) -> Iterator[Callable[..., tuple[Database, Wiretap]]]:
    """Make a database, and a wire tap on its way to a server with a fault."""
    with ExitStack() as undo:

        def make(fault: str, level: str = "verify-full") -> tuple[Database, Wiretap]:
            options = {"rds_iam_throttle_retry": "off", "rds_iam_port": str(rds.endpoint.port)}
            url = rds.url(world[0], rds_iam_tls=level, **options)
            assert url.host is not None
            assert url.port is not None
            port, gateway, bad = url.port, rds.gateway, rds.certificates
            if fault in ODD[words.family]:
                server = odd_server(url.host, ODD[words.family][fault], bad.valid())
                port = undo.enter_context(server)
            elif fault == "refused":
                frames_support.refuse(rds)
            elif fault != "healthy":
                spoilt = {"wrong-ca": bad.unrelated, "wrong-name": bad.other_host}
                gateway.certificate = spoilt[fault]()
            tap = undo.enter_context(Wiretap(url.host, port))
            made = databases(url.set(port=tap.port), is_async=world[1], poolclass=NullPool)
            return made, tap

        yield make


@on(*EVERY)
@pytest.mark.parametrize("fault", FAULTS)
def test_tokens(tapped: Any, tokens: set[str], fault: str) -> None:
    """In clear there is the request for TLS, and nothing else."""
    database, tap = tapped(fault)
    if fault == "healthy":
        assert database.scalar("select 1") == 1
    else:
        database.raises(Exception)
    assert tokens
    assert tap.sent
    for stream in tap.sent:
        assert wiretap.in_clear(stream) == b""
        assert wiretap.leaked(stream, tokens) == []


@on(*EVERY)
@pytest.mark.parametrize("level", ["verify-ca", "require"])
@pytest.mark.parametrize("fault", ["no-tls", "asks-before-tls"])
def test_lower_levels(tapped: Any, tokens: set[str], fault: str, level: str) -> None:
    """The same where less is verified: TLS is insisted on by every driver, on every level."""
    database, tap = tapped(fault, level)
    database.raises(Exception)
    assert tokens
    for stream in tap.sent:
        assert wiretap.in_clear(stream) == b""
        assert wiretap.leaked(stream, tokens) == []


async def _aiomysql(port: int, context: ssl.SSLContext) -> None:
    import aiomysql

    await aiomysql.connect(host="127.0.0.1", port=port, password=TOKEN, ssl=context)


def test_the_tap_sees_what_a_driver_gives_away() -> None:
    """By itself aiomysql sends a token in clear, though it was given a context."""
    pytest.importorskip("aiomysql", reason="aiomysql is not installed")
    context = ssl.create_default_context()
    with ExitStack() as undo:
        port = undo.enter_context(odd_server("127.0.0.1", ODD["mysql"]["no-tls"], context))
        tap = undo.enter_context(Wiretap("127.0.0.1", port))
        with pytest.raises(Exception, match="Lost connection"):
            asyncio.run(_aiomysql(tap.port, context))
        [stream] = tap.sent
    assert wiretap.in_clear(stream) == stream
    assert wiretap.leaked(stream, {TOKEN})


@pytest.mark.parametrize("shape", [quote, unquote, lambda token: f"x{token[-PIECE:]}x"])
def test_the_tap_knows_a_token_in_any_shape(shape: Callable[[str], str]) -> None:
    """Quoted, decoded, or a piece of it."""
    assert wiretap.leaked(shape(TOKEN).encode(), {TOKEN})
    assert not wiretap.leaked(b"db.example.com:3306", {TOKEN})


CLIENT_HELLO = b"\x16\x03\x01\x00\x02hi"
MYSQL_REQUEST = b"\x20\0\0\1" + b"\x85\xae" + bytes(30)


@pytest.mark.parametrize(
    ("stream", "clear"),
    [
        (b"", False),
        (CLIENT_HELLO, False),
        (MYSQL_REQUEST + CLIENT_HELLO * 2, False),
        (MYSQL_REQUEST + CLIENT_HELLO[:-1], False),
        (MYSQL_REQUEST + b"password", True),
        (MYSQL_REQUEST + CLIENT_HELLO + b"password", True),
        (MYSQL_REQUEST[:5] + b"\0" + bytes(30) + CLIENT_HELLO, True),
        (b"\0\0\0\x08\x04\xd2\x16\x2f" + CLIENT_HELLO, False),
        (b"\0\0\0\x08\x04\xd2\x16\x30" + CLIENT_HELLO, True),
    ],
)
def test_the_tap_tells_tls_from_what_is_in_clear(stream: bytes, clear: bool) -> None:
    """All but the one request, and records to the end."""
    assert bool(wiretap.in_clear(stream)) == clear
