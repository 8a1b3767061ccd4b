"""What a client process writes down about itself: every connect, and its size every second.

One line of JSON each, in a file of the process's own, flushed line by line: whatever becomes of the
process, what happened before is known.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

HANG = 35.0
"""Seconds after which a connect counts as one that hangs: rds_iam_timeout and a login."""

_LONGEST_TEXT = 400
_LONGEST_GAP = 3.0
_WATCH = "soak_watch"
_SECRET = "X-Amz-Signature"


class Watch:
    """Times our listener: from the pool's wish for a connection to the driver's first connect."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.seconds: float | None = None
        self.attempts = 0


@dataclass
class _UnderWay:
    worker: str
    start: float
    limit: float


class Meter:
    """Writes down what one process does."""

    def __init__(self, directory: Path) -> None:
        self._file = (directory / f"{os.getpid()}.jsonl").open("a", buffering=1, encoding="utf-8")
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._under_way: dict[int, _UnderWay] = {}
        self._sampled = time.time()

    def note(self, **facts: Any) -> None:
        """Write one line."""
        line = json.dumps({"pid": os.getpid()} | facts)
        with self._lock:
            self._file.write(line + "\n")

    def attend(self, engine: Engine) -> None:
        """Time the plugin's part of each physical connect of `engine`."""
        # No listener can be set before the plugin's; this is what the pool itself calls.
        pool: Any = engine.pool
        create = pool._invoke_creator

        def timed(record: Any) -> Any:
            record.info[_WATCH] = Watch()
            return create(record)

        pool._invoke_creator = timed
        event.listen(engine, "do_connect", _after)

    @contextmanager
    def connect(self, worker: str) -> Iterator[dict[str, Any]]:
        """Note one connect with its outcome, which is never an error to the caller."""
        number, start = next(self._numbers), time.time()
        self._under_way[number] = _UnderWay(worker, start, start + HANG)
        found: dict[str, Any] = {}
        try:
            yield found
        except Exception as error:  # noqa: BLE001  (it is what is counted here)
            found["error"] = f"{type(error).__name__}: {error}"[:_LONGEST_TEXT]
            found["leak"] = _SECRET in f"{error!r} {error}"
        finally:
            if self._under_way.pop(number, None):
                self.note(kind="connect", worker=worker, start=start, end=time.time(), **found)

    def sample(self) -> None:
        """Note the size of the process, and what hangs."""
        now = time.time()
        self.note(kind="sample", time=now, **size())
        # No connect can help that the process was frozen.
        frozen = gap if (gap := now - self._sampled) > _LONGEST_GAP else 0.0
        self._sampled = now
        for number, it in list(self._under_way.items()):
            it.limit += frozen
            if now > it.limit and self._under_way.pop(number, None) is not None:
                self.note(kind="connect", worker=it.worker, start=it.start, end=None, error="hangs")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def physical(connection: Connection) -> dict[str, Any]:
    """What is to be noted if this checkout has made a new physical connection."""
    watch: Watch | None = connection.info.pop(_WATCH, None)
    return {} if watch is None else {"listener": watch.seconds, "attempts": watch.attempts}


def size() -> dict[str, int]:
    """Threads, file descriptors and memory of this process."""
    threads = threading.enumerate()
    return {
        "threads": len(threads),
        "fetchers": sum(thread.name == "rds-iam-fetch" for thread in threads),
        "fds": len(list(Path("/dev/fd").iterdir())),
        "rss": _resident(),
    }


def _resident() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # no Linux: the peak has to do
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize()


def _after(_dialect: Any, record: Any, _cargs: Any, _cparams: Any) -> None:
    watch: Watch = record.info[_WATCH]
    watch.attempts += 1
    if watch.seconds is None:
        watch.seconds = time.perf_counter() - watch.started
