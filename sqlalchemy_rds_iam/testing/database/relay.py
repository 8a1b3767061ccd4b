"""Pass the bytes of an established session both ways until either side is gone."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter

from sqlalchemy_rds_iam.testing.database.startup import FAILURES

_CHUNK = 1 << 16


async def relay(
    client: tuple[StreamReader, StreamWriter], server: tuple[StreamReader, StreamWriter]
) -> None:
    """Copy between `client` and `server`; return when one of them has ended.

    The caller closes both. Neither is read faster than the other takes it.
    """
    copies = [
        asyncio.create_task(_copy(client[0], server[1])),
        asyncio.create_task(_copy(server[0], client[1])),
    ]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)


async def _copy(reader: StreamReader, writer: StreamWriter) -> None:
    with contextlib.suppress(*FAILURES):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
