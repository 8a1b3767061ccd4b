"""A gateway that is stopped leaves no connection open, whatever its sessions are doing."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import psycopg
import pytest
from emulator_support import libpq
from patience import eventually_async

from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.database.relay import Stream, relay
from sqlalchemy_rds_iam.testing.postgresql import gateway


def test_stopped_while_a_session_ends(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is cancelled at the very moment it ends closes both its connections."""
    writers: list[asyncio.StreamWriter] = []

    async def then_cancelled(client: Stream, server: Stream, *rest: Any) -> None:
        await relay(client, server, *rest)
        writers.extend((client[1], server[1]))
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)

    monkeypatch.setattr(gateway, "relay", then_cancelled)
    psycopg.connect(**libpq(rds)).close()

    async def all_closing() -> bool:
        await eventually_async(lambda: not rds.gateway._tasks)
        return all(writer.is_closing() for writer in writers)

    assert rds._call(all_closing())
    assert len(writers) == 2
    writers.clear()
    gc.collect()
