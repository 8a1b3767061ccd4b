"""Waiting for what is about to happen, however fast the machine is."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

DEADLINE = 60.0
"""Seconds after which what has not happened is not going to: far beyond what any machine needs."""

SOON = 15.0
"""Seconds within which something has ended that would else have waited for a minute, or for ever.

Where a test can tell what comes first, by an event or a process that is still there, it does so
instead.
"""

_PAUSE = 0.005


def eventually(condition: Callable[[], Any], what: str = "it did not happen") -> None:
    """Wait until `condition` holds.

    Args:
        condition: asked again and again, with a small pause.
        what: to say when it does not come to hold.
    """
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(_PAUSE)


async def eventually_async(condition: Callable[[], Any], what: str = "it did not happen") -> None:
    """The same, with the event loop free meanwhile."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, what
        await asyncio.sleep(_PAUSE)


@contextlib.contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run a program, and end it at the end of the block if it has not ended by itself.

    Popen's own block would wait for it, for ever if a test has failed.
    """
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def fetches_end() -> None:
    """Wait until no thread of ours fetches any more."""
    eventually(
        lambda: not any(thread.name == "rds-iam-fetch" for thread in threading.enumerate()),
        "a thread that fetches does not end",
    )


class Gate:
    """Where coroutines of the emulator wait until the test lets them go on.

    Attributes:
        reached: set once one waits.
    """

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.open()

    async def wait(self) -> None:
        """Wait, on any event loop."""
        self.reached.set()
        await eventually_async(self._open.is_set, "the gate is not opened")

    def open(self) -> None:
        """Let all waiting coroutines go on."""
        self._open.set()
