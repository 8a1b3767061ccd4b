"""What one new connection takes, by the clock and of this process's CPU time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Engine
from sqlalchemy.util import greenlet_spawn


class Sample(NamedTuple):
    """What one connection took, in seconds: by the clock, and of this process's CPU time."""

    wall: float
    cpu: float


def connects(engine: Engine, runner: asyncio.Runner | None) -> Callable[[], Sample]:
    """What makes one new connection, which is closed again outside of the measured time.

    Args:
        engine: it keeps no connection.
        runner: of an async engine.
    """

    def connect() -> Sample:
        wall, cpu = time.perf_counter(), time.process_time()
        connection = engine.raw_connection()
        sample = Sample(time.perf_counter() - wall, time.process_time() - cpu)
        connection.close()
        return sample

    if runner is None:
        return connect
    return lambda: runner.run(greenlet_spawn(connect))
