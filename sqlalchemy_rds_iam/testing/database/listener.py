"""Ports on which connections are accepted; they can be shut, and opened again."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Sequence

# As many as Linux allows. A client that the kernel has greeted but has no room for waits for
# retransmissions, some minutes at worst.
_BACKLOG = 4096
_ACCEPT_PAUSE = 0.05
_ATTEMPTS = 100


class Listener:
    """Hands each accepted socket on. For one event loop.

    While it is shut the port is still taken, and the kernel refuses connections to it.
    """

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        """Give each accepted, non-blocking socket to `serve`, which owns it from then on."""
        self._serve = serve
        self._place: socket.socket | None = None
        self._open: socket.socket | None = None

    @property
    def address(self) -> tuple[str, int]:
        """The IP address and port."""
        assert self._place is not None
        host, port = self._place.getsockname()[:2]
        return str(host), int(port)

    @property
    def is_open(self) -> bool:
        """Whether connections are accepted."""
        return self._open is not None

    def bind(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Take `port` (0: any free one), shut as yet.

        Raises:
            OSError: The port cannot be bound.
        """
        place = _socket()
        try:
            place.bind((host, port))
        except OSError:
            place.close()
            raise
        # Not before: bind() would share its choice of a port with others that allow it.
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._place = place

    def open(self) -> None:
        """Accept connections from now on. Harmless when it is open."""
        if self._open is None:
            sock = _socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(self.address)
            sock.listen(_BACKLOG)
            self._open = sock
            self._watch()

    def shut(self) -> None:
        """Refuse connections from now on. Harmless when it is shut."""
        if self._open is not None:
            asyncio.get_running_loop().remove_reader(self._open)
            self._open.close()
            self._open = None

    def close(self) -> None:
        """Give the port back."""
        self.shut()
        if self._place is not None:
            self._place.close()
            self._place = None

    def _watch(self) -> None:
        if self._open is not None:
            asyncio.get_running_loop().add_reader(self._open, self._accept, self._open)

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:
            # Out of file descriptors, most likely: some session will give one back.
            loop = asyncio.get_running_loop()
            loop.remove_reader(listener)
            loop.call_later(_ACCEPT_PAUSE, self._watch)
            return
        sock.setblocking(False)
        self._serve(sock)


class Listeners:
    """One port on several addresses. For one event loop."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        """Give each accepted, non-blocking socket to `serve`, which owns it from then on."""
        self._serve = serve
        self._listeners: list[Listener] = []

    @property
    def address(self) -> tuple[str, int]:
        """The first IP address, and the port."""
        return self._listeners[0].address

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Every IP address, with the port."""
        return [listener.address for listener in self._listeners]

    @property
    def is_open(self) -> bool:
        """Whether connections are accepted."""
        return self._listeners[0].is_open

    def bind(self, hosts: Sequence[str], port: int = 0) -> None:
        """Take `port` (0: any that is free on all of them), shut as yet.

        Args:
            hosts: IP addresses; all but the first are left out where the system lacks them.
            port: The same for each.

        Raises:
            OSError: The port cannot be bound.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._bind(hosts, port)
            except OSError as error:
                self.close()
                # What is free on the one may be taken on the other.
                if port or error.errno != errno.EADDRINUSE or attempt == _ATTEMPTS:
                    raise
            else:
                return

    def open(self) -> None:
        """Accept connections from now on. Harmless when it is open."""
        for listener in self._listeners:
            listener.open()

    def shut(self) -> None:
        """Refuse connections from now on. Harmless when it is shut."""
        for listener in self._listeners:
            listener.shut()

    def close(self) -> None:
        """Give the port back."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def _bind(self, hosts: Sequence[str], port: int) -> None:
        for host in hosts:
            listener = Listener(self._serve)
            try:
                listener.bind(host, self.address[1] if self._listeners else port)
            except OSError as error:
                if self._listeners and error.errno == errno.EADDRNOTAVAIL:
                    continue
                raise
            self._listeners.append(listener)


def _socket() -> socket.socket:
    sock = socket.socket()
    with contextlib.ExitStack() as undo:
        undo.callback(sock.close)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        undo.pop_all()
    return sock
