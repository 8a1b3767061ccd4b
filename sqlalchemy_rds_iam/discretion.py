"""Keeping botocore from logging what a fetch carries: keys, session tokens and secrets.

At the level DEBUG it logs whole requests and whole answers. Those of our calls are left out, and
nobody else's.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Iterator

# Canonical requests, headers, and answers with their bodies; aiobotocore logs in the same names.
_TALKATIVE = ("botocore.auth", "botocore.endpoint", "botocore.parsers")
_ours = contextvars.ContextVar("_ours", default=False)


class _Discretion(logging.Filter):
    def filter(self, _record: logging.LogRecord) -> bool:
        return not _ours.get()


_DISCRETION = _Discretion()


@contextlib.contextmanager
def discreet() -> Iterator[None]:
    """Log nothing of what the calls in here carry."""
    for name in _TALKATIVE:
        # Every time, since configuring logging may replace filters; it is added only once.
        logging.getLogger(name).addFilter(_DISCRETION)
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)
