"""Waits that took longer than they were to: whether it was the event loop, or the processors."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

_LATE = 0.1
"""Seconds that a wait may take longer than asked for without being late."""


class Lateness:
    """How long waits have taken beyond what was asked for: nothing ran that would have ended them.

    On an event loop, something holds it up; in threads, the machine has too much to do.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = 0.0
        self._clock = clock

    @contextlib.contextmanager
    def of(self, seconds: float) -> Iterator[None]:
        """Look at a wait of at most `seconds`."""
        began = self._clock()
        yield
        late = self._clock() - began - seconds
        if late > _LATE:
            self.seconds += late

    def told(self, timeout: float) -> str | None:
        """What to say of it after `timeout` seconds; None if most of them went elsewhere."""
        if self.seconds < timeout / 2:
            return None
        return (
            f"{min(self.seconds, timeout):.1f} s of them went by while this process did not go on "
            "with it: something holds up the event loop (PYTHONASYNCIODEBUG=1 names it), or there "
            "is more to do than the processors can"
        )
