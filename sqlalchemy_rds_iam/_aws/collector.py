"""Python's garbage collector, held off while botocore is imported and its models are read."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

# gc.freeze() takes all objects there are: 4,000 in a bare interpreter, 50,000 with SQLAlchemy.
# Some interpreters start with a few frozen ones (3.12.1 with 375), which are no loss.
_FROZEN_AT_START = 2000

_held_off = False


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Hold off the garbage collector while botocore is imported and its models are read.

    Those are tens of thousands of objects that stay. A full collection would find nothing among
    them, and stop every thread for it, the event loop's too: up to 170 ms were measured.
    """
    global _held_off  # noqa: PLW0603  (the collector is one for the process)
    if not gc.isenabled() or _frozen_by_the_application():
        yield
        return
    gc.disable()
    _held_off = True
    try:
        yield
    finally:
        if not _frozen_by_the_application():
            # Together they make old objects of what there is, without looking at it.
            gc.freeze()
            gc.unfreeze()
        let_go()


def let_go() -> None:
    """Switch the collector on again, if it is this module that has switched it off."""
    global _held_off  # noqa: PLW0603
    if _held_off:
        _held_off = False
        gc.enable()


def _frozen_by_the_application() -> bool:
    """Whether the application has called gc.freeze(), which is not to be undone."""
    return gc.get_freeze_count() > _FROZEN_AT_START
