"""Work in a thread of its own, for no longer than it may take; and counts that threads share."""

from __future__ import annotations

import contextvars
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_GIVE_WAY = 0.001

T = TypeVar("T")


class Counter(itertools.count):  # type: ignore[type-arg]  # no generic class at run time
    """How often `next()` was called with it. It loses none, with Python's global lock or without.

    It takes no lock, which a fork would have to renew, and costs little more than an addition.
    """

    __slots__ = ()

    @property
    def value(self) -> int:
        """The count. Reading it is no `next()`, so it is taken from what it says of itself."""
        return int(repr(self).rpartition("(")[2].rstrip(")"))


def run_in_daemon_thread(work: Callable[[], T], *, at_once: bool = False) -> Future[T]:
    """Run `work` in a daemon thread of its own.

    Not in the loop's default executor, which the application can fill up and which is joined at
    exit, so that a hanging metadata service would hold up the end of the process.

    Args:
        work: what is to be done.
        at_once: whether it begins with little but a wait of its own, in which Python's global lock
            is free.
    """
    ended: Future[T] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        # A caller that starts a thread waits for its first sign of life, then for Python's global
        # lock: a connect, or an event loop, would stand still for 5 ms of what `work` begins with.
        if not at_once:
            time.sleep(_GIVE_WAY)
        try:
            result = context.run(work)
        except BaseException as error:  # noqa: BLE001  (the waiting caller gets it)
            ended.set_exception(error)
        else:
            ended.set_result(result)

    threading.Thread(target=run, name="rds-iam-fetch", daemon=True).start()
    return ended


def call_with_timeout(seconds: float, work: Callable[[], T]) -> T:
    """Do `work` that may not know a deadline, such as looking up a name, in a thread of its own.

    Raises:
        TimeoutError: it takes longer than `seconds`, and goes on until the process ends.
        Exception: what `work` raises.
    """
    return run_in_daemon_thread(work).result(seconds)
