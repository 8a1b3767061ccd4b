"""The delay proxy passes on what comes, in its order and late, and counts what clients wait for."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from patience import DEADLINE, eventually

from benchmarks.lib.delay_proxy import DelayProxy, Passage

ROUND_TRIP = 0.05
QUESTIONS = 3
HELLO_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


@contextlib.contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that serves one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)

        def run() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(DEADLINE)
                serve(sock)

        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@contextlib.contextmanager
def client(proxy: DelayProxy) -> Iterator[socket.socket]:
    """A connection through the proxy, which from now on has a round trip."""
    proxy.start_over(ROUND_TRIP)
    with socket.create_connection(("127.0.0.1", proxy.port), DEADLINE) as sock:
        yield sock


def echo(sock: socket.socket) -> None:
    """Send back whatever comes."""
    while data := sock.recv(65536):
        sock.sendall(data)


def receive(sock: socket.socket, count: int) -> bytes:
    """Take so many bytes off a connection."""
    found = bytearray()
    while len(found) < count:
        chunk = sock.recv(count - len(found))
        assert chunk, "the other side has ended"
        found += chunk
    return bytes(found)


def test_what_is_asked_one_after_the_other() -> None:
    """Each question is a round trip, which takes its time, and so is TCP's handshake."""
    with server(echo) as port, DelayProxy("127.0.0.1", port) as proxy:
        began = time.monotonic()
        with client(proxy) as sock:
            for number in range(QUESTIONS):
                sock.sendall(b"%d" % number)
                assert receive(sock, 1) == b"%d" % number
            # No less, however fast the machine is.
            assert time.monotonic() - began >= ROUND_TRIP * (1 + QUESTIONS)
            assert proxy.seen() == [Passage(1 + QUESTIONS, 0)]


def test_a_server_that_speaks_first() -> None:
    """Its greeting is waited for as well."""

    def greet(sock: socket.socket) -> None:
        sock.sendall(b"hello")
        echo(sock)

    with server(greet) as port, DelayProxy("127.0.0.1", port) as proxy, client(proxy) as sock:
        assert receive(sock, 5) == b"hello"
        assert proxy.round_trips() == 2
        sock.sendall(b"?")
        receive(sock, 1)
        assert proxy.round_trips() == 3


def test_order() -> None:
    """Megabytes in one go are one question, and come back as they were."""
    sent = b"".join(number.to_bytes(4, "big") for number in range(1 << 18))
    with server(echo) as port, DelayProxy("127.0.0.1", port) as proxy, client(proxy) as sock:
        sender = threading.Thread(target=sock.sendall, args=(sent,))
        sender.start()
        assert receive(sock, len(sent)) == sent
        sender.join()


@pytest.mark.parametrize("cut", [0, 20])
def test_a_second_hello_that_is_asked_for(cut: int) -> None:
    """It is seen wherever TCP cuts the record."""

    def ask(sock: socket.socket) -> None:
        for part in (b"\x16\x03\x03" + HELLO_RETRY[:cut], HELLO_RETRY[cut:] + b"rest"):
            sock.sendall(part)
            sock.recv(1)

    with server(ask) as port, DelayProxy("127.0.0.1", port) as proxy, client(proxy) as sock:
        for size in (3 + cut, len(HELLO_RETRY) - cut + 4):
            receive(sock, size)
            sock.sendall(b"!")
        assert proxy.seen() == [Passage(3, 1)]


def test_the_end() -> None:
    """A server that leaves, and one that is not there, end the client's connection."""
    with (
        server(lambda sock: sock.sendall(b"bye")) as port,
        DelayProxy("127.0.0.1", port) as proxy,
    ):
        with client(proxy) as sock:
            assert receive(sock, 3) == b"bye"
            assert sock.recv(1) == b""
        eventually(lambda: proxy.round_trips() == 2)
    with DelayProxy("127.0.0.1", port) as proxy, client(proxy) as sock:
        assert sock.recv(1) == b""
        assert proxy.seen() == [Passage(1, 0)]
