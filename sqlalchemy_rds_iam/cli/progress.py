"""How far a command has come, on standard error: one line that changes, or a line now and then."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy_rds_iam.cli.output import note

_PAUSE = 5.0
"""Seconds between two lines where a line cannot change, as in a pipe or a log."""
_ERASE = "\r\x1b[K"


class Progress:
    """Shows a few words, over and over.

    Args:
        pause: seconds between two lines outside of a terminal.
    """

    def __init__(self, pause: float = _PAUSE) -> None:
        self._live = (
            sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        )
        self._pause = pause
        self._next = time.monotonic() + pause

    def show(self, words: str) -> None:
        """Show them, if it is time to."""
        if self._live:
            self._write(f"{_ERASE}{words}")
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + self._pause
            note(words)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Leave a terminal as it was."""
        try:
            yield
        finally:
            if self._live:
                self._write(_ERASE)

    @staticmethod
    def _write(text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()
