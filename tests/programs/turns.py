"""One program works at a time; those that wait for their keys to expire let others work."""

from __future__ import annotations

import threading


class Turn:
    """Belongs to one program at a time. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holder: str | None = None
        self._gone: set[str] = set()

    def take(self, name: str) -> bool:
        """Wait for the turn; False if `name` has left meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._holder is None or name in self._gone)
            if name in self._gone:
                return False
            self._holder = name
            return True

    def give(self, name: str) -> None:
        """Let others have it."""
        with self._changed:
            if self._holder == name:
                self._holder = None
                self._changed.notify_all()

    def leave(self, name: str) -> None:
        """Give it back for good."""
        with self._changed:
            self._gone.add(name)
            self._changed.notify_all()
        self.give(name)

    def is_of(self, name: str) -> bool:
        """Whether it is the turn of `name`."""
        with self._changed:
            return self._holder == name
