"""Forks while its first fetch imports botocore: ``python -m soak.importing MODULE WAY``.

The import of MODULE takes until the fork has happened, or half a second, whichever comes first. The
exit status is the child's: 0 if it could log in and has its garbage collector.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import sys
import threading
import traceback

from soak.obedient import connector

LONGEST = 5.0


def main() -> int:
    """Fork, and wait for the child."""
    module, way = sys.argv[1:]
    connect = connector(way)
    importing, forked = threading.Event(), threading.Event()

    class Slow:
        """Finds nothing, and takes its time for it."""

        def find_spec(self, name: str, _path: object, _target: object = None) -> None:
            if name == module:
                importing.set()
                forked.wait(0.5)

    sys.meta_path.insert(0, Slow())
    leader = threading.Thread(target=connect)
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
