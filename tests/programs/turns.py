"""One program works at a time; those that wait for their keys to expire let others work."""

from __future__ import annotations

import threading


class Turn:
    """Belongs to one program at a time. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holder: str | None = None
        self._waiting: list[str] = []
        self._gone: set[str] = set()

    def take(self, name: str) -> bool:
        """Wait for the turn, as those do who came first; False if `name` has left meanwhile."""
        with self._changed:
            self._waiting.append(name)
            self._changed.wait_for(lambda: name in self._gone or self._is_next(name))
            self._waiting.remove(name)
            if name in self._gone:
                self._changed.notify_all()
                return False
            self._holder = name
            return True

    def _is_next(self, name: str) -> bool:
        return self._holder is None and self._waiting[0] == name

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
