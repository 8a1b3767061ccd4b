"""Ports without a server, and servers that treat their clients in odd ways, of both families."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

Behaviour = Callable[[socket.socket, Any], None]

_REQUEST = b"\x04\xd2"  # where a login has its version, a request for encryption has 1234
_CLIENT_SSL = 0x800
_MYSQL_TLS = 36  # bytes of MySQL's SSLRequest, with its header
_LENGTHS = 0x00200000  # PLUGIN_AUTH_LENENC_CLIENT_DATA: passwords may be long in the first packet
# PROTOCOL_41, CONNECT_WITH_DB, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH: what all drivers need.
_CAPABILITIES = 0x00080000 | 0x8000 | 0x2000 | 0x200 | 0x8 | 0x4 | 0x1


def closed_port() -> int:
    """A port on which nothing listens."""
    with silent_server() as port:
        return port


@contextlib.contextmanager
def silent_server(host: str = "127.0.0.1") -> Iterator[int]:
    """A port where the kernel accepts connections, and nothing is ever said."""
    with socket.create_server((host, 0)) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def accepting(
    server: socket.socket, serve: Callable[[socket.socket], object], seconds: float = 10
) -> Iterator[None]:
    """Serve each client of a listening socket, one after the other, and close what is left of it.

    Args:
        server: where they come from; it is closed in the end.
        serve: what is done with each; a client that goes, or sends what is none, ends that.
        seconds: for how long a client is waited for: no longer than that client waits.
    """

    def run() -> None:
        while True:
            try:
                client = server.accept()[0]
            except OSError:
                return
            client.settimeout(seconds)
            with client, contextlib.suppress(OSError, struct.error):
                serve(client)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        # Closing alone does not wake a thread that accepts.
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


@contextlib.contextmanager
def odd_server(
    host: str, behave: Behaviour, context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """A server that treats each client in its own way, and closes; the port where it listens."""
    server = socket.create_server((host, 0))
    with accepting(server, lambda client: behave(client, context)):
        yield server.getsockname()[1]


def hangs_up(client: socket.socket, _context: ssl.SSLContext | None) -> None:
    """It closes at once, as one that is being stopped."""


def hangs_up_on_logins(client: socket.socket, _context: ssl.SSLContext | None) -> None:
    """One of PostgreSQL's that has no TLS, and closes when it has read a login to its end.

    What it left unread would reset the connection: pg8000 then keeps bytes that it could not send,
    and Python reports them when the collector finds them, in a test that has nothing to do with it.
    """
    while (head := client.recv(8, socket.MSG_WAITALL))[4:6] == _REQUEST:
        client.sendall(b"N")
    client.recv(int.from_bytes(head[:4]) - len(head), socket.MSG_WAITALL)


def _packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


def _greeting(plugin: str, capabilities: int) -> bytes:
    return _packet(
        0,
        b"\x0a8.0.39\0\x01\0\0\0saltsalt\0"
        + struct.pack("<HBHH", capabilities & 0xFFFF, 45, 2, capabilities >> 16)
        + b"\x15"
        + bytes(10)
        + b"saltsaltsalt\0"
        + plugin.encode()
        + b"\0",
    )


def _switch(number: int, plugin: str) -> bytes:
    return _packet(number, b"\xfe" + plugin.encode() + b"\0" + b"saltsaltsaltsaltsalt\0")


def _mysql_offers_no_tls(client: socket.socket, _context: ssl.SSLContext) -> None:
    """It has never heard of TLS, and asks for the password in clear as RDS does: by a switch."""
    client.sendall(_greeting("mysql_native_password", _CAPABILITIES))
    client.recv(65536)
    client.sendall(_switch(2, "mysql_clear_password"))
    client.recv(65536)


def _mysql_wants_it_at_once(client: socket.socket, _context: ssl.SSLContext) -> None:
    """It has never heard of TLS either, and its greeting asks for the password in clear."""
    client.sendall(_greeting("mysql_clear_password", _CAPABILITIES | _LENGTHS))
    client.recv(65536)


def _mysql_asks_before_tls(client: socket.socket, _context: ssl.SSLContext) -> None:
    """It offers TLS, and answers the request for it by asking for the password."""
    client.sendall(_greeting("mysql_native_password", _CAPABILITIES | _CLIENT_SSL))
    client.recv(65536)
    client.sendall(_switch(2, "mysql_clear_password"))
    client.recv(65536)


def _mysql_switches(client: socket.socket, context: ssl.SSLContext) -> None:
    """Within TLS it asks for something else than tokens."""
    client.sendall(_greeting("caching_sha2_password", _CAPABILITIES | _CLIENT_SSL))
    client.recv(_MYSQL_TLS, socket.MSG_WAITALL)
    with context.wrap_socket(client, server_side=True) as tls:
        tls.recv(65536)
        tls.sendall(_switch(3, "mysql_native_password"))
        tls.recv(65536)
        tls.sendall(_packet(5, b"\xff\x15\x04#28000Access denied for user 'app'@'%'"))


def _postgresql_offers_no_tls(client: socket.socket, _context: ssl.SSLContext) -> None:
    client.recv(8)
    client.sendall(b"N")
    client.recv(65536)
    client.sendall(b"R\0\0\0\x08\0\0\0\x03")  # AuthenticationCleartextPassword
    client.recv(65536)


def _postgresql_asks_before_tls(client: socket.socket, _context: ssl.SSLContext) -> None:
    client.recv(8)
    client.sendall(b"R\0\0\0\x08\0\0\0\x03")
    client.recv(65536)


def _postgresql_switches(client: socket.socket, context: ssl.SSLContext) -> None:
    client.recv(8)
    client.sendall(b"S")
    with context.wrap_socket(client, server_side=True) as tls:
        tls.recv(65536)
        tls.sendall(b"R\0\0\0\x0c\0\0\0\x05salt")  # AuthenticationMD5Password
        tls.recv(65536)
        error = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0"
        tls.sendall(b"E" + struct.pack("!I", len(error) + 4) + error)


ODD: dict[str, dict[str, Behaviour]] = {
    "postgresql": {
        "no-tls": _postgresql_offers_no_tls,
        "no-tls-at-once": _postgresql_offers_no_tls,
        "asks-before-tls": _postgresql_asks_before_tls,
        "other-plugin": _postgresql_switches,
    },
    "mysql": {
        "no-tls": _mysql_offers_no_tls,
        "no-tls-at-once": _mysql_wants_it_at_once,
        "asks-before-tls": _mysql_asks_before_tls,
        "other-plugin": _mysql_switches,
    },
}
"""By family and by what is odd about it."""
