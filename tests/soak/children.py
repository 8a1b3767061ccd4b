"""Children forked from a test, that cannot run any of it, nor hang."""

from __future__ import annotations

import faulthandler
import json
import os
import select
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

DEADLINE = 60.0


@contextmanager
def held(*locks: Any) -> Iterator[None]:
    """Let another thread hold `locks` meanwhile."""
    taken, enough = threading.Event(), threading.Event()

    def hold() -> None:
        with ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock)
            taken.set()
            enough.wait()

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert taken.wait(DEADLINE)
    try:
        yield
    finally:
        enough.set()
        thread.join()


class Child:
    """A forked child: does `work` and leaves its result, or what went wrong, in a pipe."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._pipe, pipe = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                with os.fdopen(pipe, "w") as file:
                    faulthandler.dump_traceback_later(DEADLINE, exit=True, file=file)
                    try:
                        json.dump(work(), file)
                    except BaseException:  # noqa: BLE001  (pytest must not go on in here)
                        traceback.print_exc(file=file)
            finally:
                os._exit(0)
        os.close(pipe)

    def result(self) -> Any:
        """What it did; what it wrote instead makes the test fail."""
        written = b""
        end = time.monotonic() + DEADLINE + 5
        while select.select([self._pipe], [], [], max(end - time.monotonic(), 0))[0]:
            if not (more := os.read(self._pipe, 65536)):
                break
            written += more
        else:
            os.kill(self._pid, signal.SIGKILL)
        os.close(self._pipe)
        os.waitpid(self._pid, 0)
        try:
            return json.loads(written)
        except ValueError:
            pytest.fail(written.decode())
