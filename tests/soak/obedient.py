"""A process that connects once for each line on standard input, and says how that went.

``python -m soak.obedient WAY``, where the way is ``sync``, ``botocore`` or ``aiobotocore``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable

from sqlalchemy import NullPool, create_engine, make_url
from sqlalchemy.ext.asyncio import create_async_engine


def connector(way: str, port: int | None = None) -> Callable[[], None]:
    """A function that connects once, through one engine; async ways on a loop for each call."""
    url = make_url(os.environ["SOAK_URL"]).set(port=port)
    if way == "sync":
        engine = create_engine(url, poolclass=NullPool)
        return lambda: engine.connect().close()
    async_engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg"), poolclass=NullPool, rds_iam_credentials=way
    )

    async def connect() -> None:
        async with async_engine.connect():
            pass

    return lambda: asyncio.run(connect())


def main() -> None:
    """Obey."""
    connect = connector(sys.argv[1])
    for _ in sys.stdin:
        try:
            connect()
        except Exception as error:  # noqa: BLE001  (it is what was asked for)
            answer = f"{type(error).__name__}: {error}".replace("\n", " ")
        else:
            answer = "ok"
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
