"""One process of a fleet: waits for the signal, connects so many times at once, says how it went.

Reads a task as JSON from standard input, says when it is ready, reads when to begin (seconds of the
epoch), and writes when each connect was through, and what was in the way of the others. It ends
when it is told to: an interpreter that shuts down takes time from those that still connect.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections import Counter
from typing import Any

from sqlalchemy import make_url

from benchmarks.lib import runtime
from benchmarks.lib.ways import WAYS

WARM = 3
"""Connects before the signal, after a first one for which everything has to be loaded."""


async def main(task: dict[str, Any]) -> None:
    """Do what `task` says."""
    engine: Any = WAYS[task["way"]](make_url(task["url"]), task, is_async=True)
    through: list[float] = []
    errors: Counter[str] = Counter()
    latencies: list[float] = []

    async def connect() -> None:
        try:
            async with engine.connect():
                through.append(time.time())
        except Exception as error:  # noqa: BLE001  (it is what is counted)
            errors[type(error).__name__] += 1

    for _ in range(WARM + 1 if task["known"] else 0):
        began = time.perf_counter()
        async with engine.connect():
            latencies.append(time.perf_counter() - began)
    print("ready", flush=True)
    begin = float(sys.stdin.readline())
    through.clear()
    await asyncio.sleep(max(begin - time.time(), 0.0))
    await asyncio.gather(*(connect() for _ in range(task["connects"])))
    found = {"through": through, "errors": dict(errors), "latencies": latencies[1:]}
    print(json.dumps(found), flush=True)
    sys.stdin.readline()
    await engine.dispose()


if __name__ == "__main__":
    runtime.give_way()
    runtime.many_files()
    # What it says of throttling is no news here.
    logging.getLogger("sqlalchemy_rds_iam").addHandler(logging.NullHandler())
    runtime.run(main(json.loads(sys.stdin.readline())))
