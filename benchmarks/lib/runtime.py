"""What a process that makes or takes many connections needs: open files, and a fast loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Coroutine
from typing import TypeVar

_T = TypeVar("_T")


def many_files() -> None:
    """Allow this process as many open files as it may have: a storm is many connections."""
    import resource  # not on every platform

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def give_way() -> None:
    """Leave the processors to the emulator: clients elsewhere would take no time from it."""
    os.nice(10)


def run(main: Coroutine[None, None, _T]) -> _T:
    """Run a coroutine, on uvloop where it is installed: the server is to be measured."""
    try:
        from uvloop import new_event_loop  # not on every platform
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)
