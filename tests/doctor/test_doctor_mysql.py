"""MySQL's handshake by hand: what a door makes of it, and how it takes its leave."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import trustme
from doctor_catalogue import FAULTS
from doctor_mysql_packets import SHA2, error_of, greeting_of
from doctor_support import Ward, assert_healthy
from hypothesis import example, given
from hypothesis import strategies as st
from patience import DEADLINE, SOON

from sqlalchemy_rds_iam.doctor.mysql import packets
from sqlalchemy_rds_iam.doctor.mysql.wire import MysqlDoor
from sqlalchemy_rds_iam.doctor.wire import (
    DeclinedError,
    EarlyError,
    OtherServerError,
    ServerReply,
)

NAME = "db.example.com"
CA = trustme.CA()


# A door.


class Said(list[bytes]):
    """What a client says to a server, packet by packet, until it goes away."""

    def read(self, stream: socket.socket) -> bytes:
        """The next packet; empty at the end."""
        head = _exactly(stream, 4)
        length, _ = packets.length_of(head or bytes(4))
        payload = _exactly(stream, length)
        if head:
            self.append(payload)
        return payload


def _exactly(stream: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        chunk = stream.recv(count - len(received))
        if not chunk:
            return b""
        received += chunk
    return received


@contextlib.contextmanager
def _server(serve: Callable[[socket.socket], object]) -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):
                serve(client)
                client.shutdown(socket.SHUT_WR)
                while client.recv(1 << 16):
                    pass

        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()
        thread.join(DEADLINE)


@contextlib.contextmanager
def _answering(
    *answers: bytes, greeting: bytes | None = None
) -> Iterator[tuple[tuple[str, int], Said]]:
    """A server with TLS that answers the login and what follows with these, one after the other."""
    said, own = Said(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert(NAME).configure_cert(own)

    def serve(client: socket.socket) -> None:
        client.sendall(greeting or greeting_of())
        _exactly(client, 36)
        with own.wrap_socket(client, server_side=True) as encrypted:
            for number, answer in enumerate(answers):
                said.read(encrypted)
                encrypted.sendall(packets.framed(answer, 3 + 2 * number))
            with contextlib.suppress(OSError):
                while said.read(encrypted):
                    pass

    with _server(serve) as address:
        yield address, said


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.configure_trust(context)
    return context


@contextlib.contextmanager
def _door(address: tuple[str, int]) -> Iterator[MysqlDoor]:
    with MysqlDoor(address, DEADLINE) as door:
        door.encrypt(_trusting(), NAME)
        yield door


SWITCH = b"\xfe%s\0"
TOKENS = SWITCH % packets.CLEAR.encode()


def test_an_account_of_iam() -> None:
    """The server asks for the token, which is sent whole, and accepts it; then the client quits."""
    with _answering(TOKENS, b"\0\0\0\x02\0\0\0") as (address, said), _door(address) as door:
        asked = door.ask("app", "orders")
        assert asked.wants_token
        answered = door.answer("t" * 1000)
        assert answered.accepted
        assert answered.ready
    assert said[1:] == [b"t" * 1000 + b"\0", b"\x01"]


@pytest.mark.parametrize(
    ("number", "accepted"), [(1045, False), (1698, False), (1044, True), (1049, True), (1226, True)]
)
def test_after_the_token(number: int, accepted: bool) -> None:
    """A database or a limit is looked at when the token was right, and so it was accepted."""
    with _answering(TOKENS, error_of(number, "no")) as (address, _), _door(address) as door:
        door.ask("app", "orders")
        answered = door.answer("token")
    assert (answered.code, answered.accepted) == (str(number), accepted)


@pytest.mark.parametrize(
    ("plugin", "end"), [(SHA2, b""), ("client_ed25519", b""), (packets.CLEAR, b"\0")]
)
def test_a_question_is_brought_to_its_end(plugin: str, end: bytes) -> None:
    """A client that leaves has the server refuse it: to go away would count against the host."""
    switch = SWITCH % plugin.encode()
    with _answering(switch, error_of(1045, "denied")) as (address, said), _door(address) as door:
        assert plugin in door.ask("app", "orders").asks
    assert said[1:] == [end]


@pytest.mark.parametrize(("offered", "named"), [(SHA2, SHA2), (packets.CLEAR, packets.NATIVE)])
def test_the_empty_password_is_no_token(offered: str, named: str) -> None:
    """A server that offers the plugin for tokens at once is not given an empty one."""
    greeting, denied = greeting_of(offered), error_of(1045, "denied")
    with _answering(denied, greeting=greeting) as (address, said), _door(address) as door:
        reply = door.ask("app", "")
    assert said[0].endswith(b"\0" + named.encode() + b"\0")
    assert not reply.wants_token
    assert named in reply.asks


def test_no_tls() -> None:
    """Nothing at all is said to a server that leaves TLS out of its greeting."""
    said: list[bytes] = []

    def serve(client: socket.socket) -> None:
        client.sendall(greeting_of(tls=False))
        said.append(client.recv(100))

    with (
        _server(serve) as address,
        pytest.raises(DeclinedError, match=r"8\.0\.39"),
        MysqlDoor(address, DEADLINE) as door,
    ):
        door.encrypt(_trusting(), NAME)
    assert said == [b""]


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        (packets.framed(error_of(1129, "Host is blocked", ""), 0), EarlyError, "Host is blocked"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", OtherServerError, "SSH"),
        (b"\x05\0\0\0\x093.20", OtherServerError, "answers"),
        (b"\0\0\0\0\xff", OtherServerError, "no greeting"),
        (b"\xff\xff\xff\0\x0a", OtherServerError, "not a packet"),
        (b"\x0a\0\0\0\x0a", ConnectionResetError, "closed"),
        (b"", ConnectionResetError, "closed"),
    ],
)
def test_no_greeting(said: bytes, error: type[Exception], words: str) -> None:
    """What comes in place of a greeting is told apart."""
    with (
        _server(lambda client: client.sendall(said)) as address,
        MysqlDoor(address, DEADLINE) as door,
        pytest.raises(error, match=words),
    ):
        door.encrypt(_trusting(), NAME)


@pytest.mark.parametrize("answer", [b"N", b"S"])
def test_postgresql(answer: bytes) -> None:
    """A server that waits for the client to speak first is asked whether it is PostgreSQL."""

    def serve(client: socket.socket) -> None:
        assert len(client.recv(8)) == 8
        client.sendall(answer)

    with (
        _server(serve) as address,
        MysqlDoor(address, 5.0) as door,
        pytest.raises(OtherServerError) as caught,
    ):
        door.encrypt(_trusting(), NAME)
    assert caught.value.backend == "postgresql"


@pytest.mark.parametrize("plugin", ["mysql_native_password", "n" * 25, "s" * 30])
def test_a_greeting_that_comes_late(plugin: str) -> None:
    """Its length may be the letter by which PostgreSQL answers: it is no other server for that."""

    def serve(client: socket.socket) -> None:
        assert len(client.recv(8)) == 8
        client.sendall(greeting_of(plugin))

    with (
        _server(serve) as address,
        MysqlDoor(address, 3.0) as door,
        pytest.raises(TimeoutError),
    ):
        door.encrypt(_trusting(), NAME)


@given(st.binary(max_size=60))
@example(greeting_of())
@example(greeting_of() + packets.framed(b"\xfe", 2))
@example(greeting_of() + packets.framed(b"\x01", 2))
def test_any_answer(said: bytes) -> None:
    """Whatever a server says is an answer or an OSError, and never a crash or a hang."""
    with (
        _server(lambda client: client.sendall(said)) as address,
        contextlib.suppress(OSError),
        MysqlDoor(address, 5) as door,
    ):
        assert isinstance(door.ask("app", "app"), ServerReply)


def test_deadline() -> None:
    """All of a conversation has one deadline, however slowly the server speaks."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        with MysqlDoor(listener.getsockname(), 0.05) as door, pytest.raises(TimeoutError):
            door.ask("app", "app")
        assert time.monotonic() - began < SOON


# On a server.


def _broken_off(ward: Ward) -> int:
    """Connects that MariaDB has seen go away before they were let in or refused."""
    [(_, count)] = ward.rds.execute("SHOW GLOBAL STATUS LIKE 'Aborted_connects_preauth'")
    return int(str(count))


@pytest.mark.parametrize("family", ["mysql"])
def test_no_connect_is_broken_off(family: str, ward: Ward) -> None:
    """Every connection of an examination is one that the server lets in."""
    assert ward.driver.startswith(family)
    before = _broken_off(ward)
    assert_healthy(ward.examine(), ward)
    assert _broken_off(ward) == before


@pytest.mark.parametrize("name", ["account with a password", "account that does not exist"])
def test_no_connect_is_broken_off_of_others(name: str, ward: Ward) -> None:
    """Nor is one of a user who is asked for no token, in whatever spelling."""
    FAULTS[name].inject(ward)
    before = _broken_off(ward)
    assert ward.examine().causes[0].code == "account-not-iam"
    assert _broken_off(ward) == before
