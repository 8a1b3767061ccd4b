"""Servers with bad intentions, of both families: what they ask of clients, and when."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator

Behaviour = Callable[[socket.socket, ssl.SSLContext], None]

_CLIENT_SSL = 0x800
_MYSQL_TLS = 36  # bytes of MySQL's SSLRequest, with its header
_LENGTHS = 0x00200000  # PLUGIN_AUTH_LENENC_CLIENT_DATA: passwords may be long in the first packet
# PROTOCOL_41, CONNECT_WITH_DB, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH: what all drivers need.
_CAPABILITIES = 0x00080000 | 0x8000 | 0x2000 | 0x200 | 0x8 | 0x4 | 0x1


@contextlib.contextmanager
def odd_server(host: str, behave: Behaviour, context: ssl.SSLContext) -> Iterator[int]:
    """A server that treats each client in its own way, and closes; the port where it listens."""
    server = socket.create_server((host, 0))

    def serve() -> None:
        while True:
            try:
                client = server.accept()[0]
            except OSError:
                return
            # It waits no longer for a client than that client for it.
            client.settimeout(10)
            with client, contextlib.suppress(OSError):
                behave(client, context)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


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
