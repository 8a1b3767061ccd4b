"""What engines share: one object for each key, as long as one of them uses it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable
from typing import TypeVar

from sqlalchemy_rds_iam._fork import renew_in_child

T = TypeVar("T")


class Registry(weakref.WeakValueDictionary[Hashable, T]):
    """Objects by key. They, and with them their keys, go with the last one who uses them."""

    def __init__(self) -> None:
        super().__init__()
        self.after_fork()
        renew_in_child(self)

    def shared(self, key: Hashable, make: Callable[[], T]) -> T:
        """The object of this key; the same for all threads, also for those that come at once.

        ``setdefault`` of a dictionary of weak references is no single step.
        """
        with self._lock:
            found = self.get(key)
            if found is None:
                found = self[key] = make()
            return found

    def after_fork(self) -> None:
        """Make the lock anew, which another thread may have held."""
        # A thread may take it twice: the collector may end anything while it is held.
        self._lock = threading.RLock()
