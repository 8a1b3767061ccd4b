"""What a job has left running, wherever it went."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def kill(control: str) -> int:
    """Kill each process of ours that has this control address in its environment.

    A program may start daemons, which are in no group or session of the job's. Linux only.
    """
    mark = f"PROGRAM_CONTROL={control}\0".encode()
    killed = 0
    for directory in Path("/proc").glob("[0-9]*"):
        number = int(directory.name)
        with contextlib.suppress(OSError):
            if number != os.getpid() and mark in (directory / "environ").read_bytes():
                os.kill(number, signal.SIGKILL)
                killed += 1
    return killed
