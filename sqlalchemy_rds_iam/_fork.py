"""What a forked process replaces: locks that another thread of its parent may have held."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Renewed(Protocol):
    """An object with state that is of no use in a forked process."""

    def after_fork(self) -> None:
        """Make that state anew. No other thread runs meanwhile."""


def renew_in_child(renewed: Renewed) -> None:
    """Call `renewed.after_fork()` in each process that is forked, as long as the object lives."""
    # By id, since not everything that can be referred to weakly can be hashed.
    _all[id(renewed)] = renewed


_all: weakref.WeakValueDictionary[int, Renewed] = weakref.WeakValueDictionary()


def _after_fork() -> None:
    for reference in _all.valuerefs():
        renewed = reference()
        if renewed is not None:
            renewed.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
