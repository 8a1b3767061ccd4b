"""Where a standby reaches its primary: MariaDB follows by TCP only, and the servers have none."""

from __future__ import annotations

import asyncio
import logging
import socket
from asyncio import StreamWriter

from sqlalchemy_rds_iam.testing.database.listener import Listener
from sqlalchemy_rds_iam.testing.database.relay import relay
from sqlalchemy_rds_iam.testing.database.streams import (
    FAILURES,
    close,
    closed_on_failure,
    streams,
)

logger = logging.getLogger("sqlalchemy_rds_iam.testing")


class ReplicationPort:
    """A port on loopback that leads to a server's private socket. For one event loop.

    The server asks all users that come from there for a password.

    Args:
        path: The server's socket.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._listener = Listener(self._accepted)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> tuple[str, int]:
        """Take connections from now on; the IP address and port."""
        self._listener.bind()
        self._listener.open()
        return self._listener.address

    async def stop(self) -> None:
        """End the connections, and give the port back."""
        self._listener.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accepted(self, sock: socket.socket) -> None:
        task = asyncio.create_task(self._serve(sock))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, sock: socket.socket) -> None:
        writers: list[StreamWriter] = []
        try:
            with closed_on_failure(sock):
                standby = await streams(sock, None)
            writers.append(standby[1])
            primary = await asyncio.open_unix_connection(self._path)
            writers.append(primary[1])
            await relay(standby, primary)
        except FAILURES as failure:
            logger.debug("a standby cannot follow: %r", failure)
        finally:
            # First of all, as a cancellation that comes now ends what gather() has not begun.
            for writer in writers:
                writer.close()
            await asyncio.gather(*map(close, writers))
