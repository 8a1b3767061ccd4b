"""What has to happen at a time unless it is called off before: one thread for all that wait.

Nearly every alarm is called off, as connects end in time, and a thread of its own for each would
cost a connect more than everything else that is done for it here.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from time import monotonic

from sqlalchemy_rds_iam import _fork

_IDLE = 60.0
"""Seconds without an alarm after which the thread ends."""


class Alarm:
    """One call that is due at a time.

    Args:
        call: what is to be called.
    """

    def __init__(self, call: Callable[[], None]) -> None:
        self._call: Callable[[], None] | None = call

    @property
    def is_off(self) -> bool:
        """Whether it was called off."""
        return self._call is None

    def call_off(self) -> None:
        """Do not call any more, unless it is being done at this moment."""
        self._call = None

    def ring(self) -> None:
        """Call, unless it was called off."""
        if (call := self._call) is not None:
            call()


class Alarms:
    """All alarms of this process, and the daemon thread that looks at the next one."""

    def __init__(self) -> None:
        self.after_fork()
        _fork.renew_in_child(self)

    def after_fork(self) -> None:
        """Have none: the thread and the connects that wait are the parent's."""
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Alarm]] = []
        self._number = itertools.count()
        self._running = False

    def at(self, end: float, call: Callable[[], None]) -> Alarm:
        """Call at `end`, in the thread; what is called neither waits nor raises.

        Args:
            end: by ``time.monotonic()``.
            call: what is to be called.

        Raises:
            RuntimeError: no thread can be started.
        """
        alarm = Alarm(call)
        with self._changed:
            if not self._running:
                threading.Thread(target=self._run, name="rds-iam-alarms", daemon=True).start()
                self._running = True
            heapq.heappush(self._due, (end, next(self._number), alarm))
            if self._due[0][2] is alarm:
                self._changed.notify()
        return alarm

    def _run(self) -> None:
        while (alarm := self._next()) is not None:
            alarm.ring()

    def _next(self) -> Alarm | None:
        """The next alarm once it is due; None if there has been none for long."""
        with self._changed:
            while True:
                while self._due and self._due[0][2].is_off:
                    heapq.heappop(self._due)
                if not self._due:
                    if not self._changed.wait(_IDLE) and not self._due:
                        self._running = False
                        return None
                elif (remaining := self._due[0][0] - monotonic()) > 0:
                    self._changed.wait(remaining)
                else:
                    return heapq.heappop(self._due)[2]


ALARMS = Alarms()
