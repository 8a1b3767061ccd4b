"""What engines share: one object for each key, as long as one of them uses it."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Registry(weakref.WeakValueDictionary[Hashable, T]):
    """Objects by key. They, and with them their keys, go with the last one who uses them."""

    def __init__(self) -> None:
        super().__init__()
        self._renew()
        _everybody.append(self)

    def shared(self, key: Hashable, make: Callable[[], T]) -> T:
        """The object of this key; the same for all threads, also for those that come at once.

        ``setdefault`` of a dictionary of weak references is no single step.
        """
        with self._lock:
            found = self.get(key)
            if found is None:
                found = self[key] = make()
            return found

    def _renew(self) -> None:
        # A thread may take it twice: the collector may end anything while it is held.
        self._lock = threading.RLock()


_everybody: list[Registry[Any]] = []


def _after_fork() -> None:
    for registry in _everybody:
        registry._renew()  # noqa: SLF001  (another thread may have held its lock)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
