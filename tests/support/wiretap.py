"""What clients send over the wire: a relay that keeps it, and what is looked for in it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self
from urllib.parse import quote, unquote

PIECE = 16
"""Bytes of a token that give it away."""

_POSTGRESQL_TLS = struct.pack("!II", 8, 80877103)  # SSLRequest, in "Message Formats"
_CLIENT_SSL = 0x800
_MYSQL_TLS = 36  # bytes of MySQL's SSLRequest, with its header
_TLS_RECORDS = range(20, 24)


class Wiretap:
    """Passes connections on to a server, and keeps every byte that the clients have sent.

    Attributes:
        port: where it listens, at the server's own address.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._sent: list[bytearray] = []
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        while self._threads:
            self._threads.pop().join()
        for each in (self._listener, *self._open):
            each.close()

    @property
    def sent(self) -> list[bytes]:
        """What each client has sent so far."""
        return [bytes(each) for each in self._sent]

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._open += [client, server]
            self._sent.append(bytearray())
            self._start(_pass_on, client, server, self._sent[-1])
            self._start(_pass_on, server, client, bytearray())


def _pass_on(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            kept += chunk  # before it is passed on, so that what has arrived is kept
            target.sendall(chunk)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def in_clear(stream: bytes) -> bytes:
    """What a client has sent outside of TLS, but for the request for it.

    All of it where the rest is not one TLS record after the other to its end.
    """
    starts = {0: b"", len(_POSTGRESQL_TLS): _POSTGRESQL_TLS}
    if stream[:4] == b"\x20\0\0\1" and int.from_bytes(stream[4:6], "little") & _CLIENT_SSL:
        starts[_MYSQL_TLS] = stream[:_MYSQL_TLS]
    for start, request in starts.items():
        if stream[:start] == request and _is_tls(stream[start:]):
            return b""
    return stream


def _is_tls(stream: bytes) -> bool:
    at = 0
    while at < len(stream):
        head = stream[at : at + 5].ljust(5, b"\x03")
        if head[0] not in _TLS_RECORDS or head[1] != 3:
            return False
        at += 5 + int.from_bytes(head[3:5], "big")
    return True


def pieces(tokens: set[str]) -> set[bytes]:
    """Every piece of what tokens hold beside a name that is no secret, as written and decoded."""
    found: set[bytes] = set()
    for token in tokens:
        query = token.partition("?")[2]  # what comes before is in every ClientHello, for SNI
        for text in (query, unquote(query), quote(query, safe="")):
            raw = text.encode()
            found |= {raw[at : at + PIECE] for at in range(len(raw) - PIECE + 1)}
    return found


def leaked(stream: bytes, tokens: set[str]) -> list[bytes]:
    """The pieces of tokens that are in a stream."""
    return sorted(piece for piece in pieces(tokens) if piece in stream)
