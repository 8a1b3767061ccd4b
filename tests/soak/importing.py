"""Forks while its first fetch imports something: ``python -m soak.importing WAY MODULE``.

The import of MODULE takes until the fork has happened, or half a second, whichever comes first. The
exit status is the child's: 0 if it could log in and has its garbage collector.

Without MODULE it does not fork, but prints what its first connect imports while no fork would wait.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import sys
import threading
import traceback
from collections.abc import Callable

from soak.obedient import connector
from sqlalchemy_rds_iam._aws.sessions import _Making

LONGEST = 10.0
_CLOSED_PORT = 1
"""A port where no server listens."""


def main() -> int:
    """Do as told."""
    way, *module = sys.argv[1:]
    return fork_during(module[0], way) if module else list_late(connector(way))


def list_late(connect: Callable[[], None]) -> int:
    """Connect, and print what is imported without the lock that a fork waits for."""

    class Late:
        """Finds nothing, and tells what it was asked for."""

        def find_spec(self, name: str, _path: object, _target: object = None) -> None:
            if not _Making.lock._is_owned():  # type: ignore[attr-defined]
                sys.stdout.write(f"{name}\n")

    sys.meta_path.insert(0, Late())
    connect()
    return 0


def fork_during(module: str, way: str) -> int:
    """Fork, and wait for the child."""
    connect, nowhere = connector(way), connector(way, _CLOSED_PORT)
    importing, forked = threading.Event(), threading.Event()

    class Slow:
        """Finds nothing, and takes its time for it."""

        def find_spec(self, name: str, _path: object, _target: object = None) -> None:
            if name == module:
                importing.set()
                forked.wait(0.5)

    sys.meta_path.insert(0, Slow())

    def lead() -> None:
        # Fetches for both, and gets no further: what OpenSSL has locked when it comes to a fork
        # stays locked in the child for ever, and nothing in Python can help that.
        with contextlib.suppress(Exception):
            nowhere()

    leader = threading.Thread(target=lead)
    leader.start()
    if not importing.wait(10):
        sys.stderr.write(f"{module} was not imported\n")
        return 2
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(LONGEST, exit=True)
        try:
            connect()
            if not gc.isenabled():
                sys.stderr.write("the garbage collector is off for good\n")
                os._exit(3)
        except BaseException:  # noqa: BLE001  (nothing of the parent's may run in here)
            traceback.print_exc()
            os._exit(3)
        os._exit(0)
    forked.set()
    leader.join()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
