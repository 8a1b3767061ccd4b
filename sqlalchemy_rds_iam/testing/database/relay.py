"""Pass the bytes of an established session both ways until either side is gone."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from typing import Protocol

from sqlalchemy_rds_iam.testing.database.streams import FAILURES, Stream

_CHUNK = 1 << 16


class Tap(Protocol):
    """Sees and changes what passes."""

    def said(self, chunk: bytes) -> bytes:
        """What to pass on of a client's `chunk`."""

    def heard(self, chunk: bytes) -> bytes:
        """What to pass on of the server's `chunk`."""


async def relay(
    client: Stream, server: Stream, tap: Tap | None = None, path: asyncio.Event | None = None
) -> None:
    """Copy between `client` and `server`; return when one of them has ended.

    The caller closes both. Neither is read faster than the other takes it.

    Args:
        client: One side.
        server: The other.
        tap: Sees and changes what passes.
        path: While it is not set nothing passes, not even that one side has ended.
    """
    path = path or _always()
    said, heard = (tap.said, tap.heard) if tap else (_unchanged, _unchanged)
    copies = [
        asyncio.create_task(_copy(client[0], server[1], said, path)),
        asyncio.create_task(_copy(server[0], client[1], heard, path)),
    ]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)


async def _copy(
    reader: StreamReader,
    writer: StreamWriter,
    change: Callable[[bytes], bytes],
    path: asyncio.Event,
) -> None:
    with contextlib.suppress(*FAILURES):
        while chunk := await reader.read(_CHUNK):
            await path.wait()
            writer.write(change(chunk))
            await writer.drain()
    await path.wait()


def _always() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


def _unchanged(chunk: bytes) -> bytes:
    return chunk
