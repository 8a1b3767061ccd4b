"""What is on the wire when a login is refused: one TLS connection, no token in clear.

With the drivers of PostgreSQL; `connect/test_both_families.py` looks at those of both families.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from patience import DEADLINE
from worlds import POSTGRESQL, on

from sqlalchemy_rds_iam.testing import RdsEmulator

pytestmark = on(*POSTGRESQL)

SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class Tap:
    """A TCP relay that keeps what each client connection sent."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.sent: list[bytearray] = []
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target, timeout=DEADLINE)
            self.sent.append(bytearray())
            self._threads.append(threading.Thread(target=self._relay, args=(client, server)))
            self._threads[-1].start()

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        keep = self.sent[-1]
        with (
            client,
            server,
            selectors.DefaultSelector() as selector,
            contextlib.suppress(ConnectionError),
        ):
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select(10):
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        return
                    if key.fileobj is client:
                        keep += data
                    key.data.sendall(data)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(DEADLINE)


@pytest.fixture
def tap(rds: RdsEmulator) -> Iterator[Tap]:
    """A tap on the wire to the emulator."""
    tap = Tap(rds.address)
    yield tap
    tap.close()


@pytest.mark.parametrize("mode", ["verify-full", "require"])
def test_refused_login(connect: Any, rds: RdsEmulator, tap: Tap, mode: str) -> None:
    """A refused login is one connection, TLS from its first byte after the request for it."""
    database = connect(options={"port": str(tap.port), "rds_iam_tls": mode})
    rds.gateway.refuse_next = 1
    error = database.raises(Exception)
    assert "authentication failed" in str(error)
    [sent] = tap.sent
    assert sent[:8] == SSL_REQUEST
    assert sent[8] == 0x16  # a TLS handshake record
    for clear in (b"X-Amz", b"Action=connect", b"DBUser", rds.key.access_key.encode()):
        assert clear not in sent


def test_declined_tls(connect: Any, rds: RdsEmulator, tap: Tap) -> None:
    """When the server has no TLS, nothing but the request for it is ever sent."""
    database = connect(options={"port": str(tap.port)})
    rds.gateway.decline_tls = True
    database.raises(Exception)
    assert [bytes(sent) for sent in tap.sent] == [SSL_REQUEST]
