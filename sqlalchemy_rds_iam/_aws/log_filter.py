"""Keeping botocore from logging what a fetch carries: keys, session tokens and secrets.

At the level DEBUG it logs whole requests and whole answers, and with a failure, at WARNING, what it
cannot parse. Those of our calls are left out or masked, and only those.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Iterator

from sqlalchemy_rds_iam._masking import first_line

# Canonical requests, headers, and answers with their bodies; aiobotocore logs in the same names.
_NOISY_LOGGERS = ("botocore.auth", "botocore.endpoint", "botocore.parsers")
# They quote answers that they cannot parse, and log errors with their tracebacks.
_QUOTING = tuple(
    f"{library}.{module}"
    for library in ("botocore", "aiobotocore")
    for module in ("credentials", "httpsession", "tokens", "utils")
)
_ours = contextvars.ContextVar("_ours", default=False)


class _Suppress(logging.Filter):
    def filter(self, _record: logging.LogRecord) -> bool:
        return not _ours.get()


class _Mask(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if _ours.get():
            if record.levelno < logging.WARNING and record.name.endswith(".utils"):
                return False  # answers of metadata services that cannot be parsed, as they are
            text = first_line(record.getMessage())
            error = record.exc_info[1] if record.exc_info else None
            if error is not None:
                text = f"{text} ({type(error).__name__}: {first_line(error)})"
            record.msg, record.args, record.exc_info = text, (), None
        return True


_SUPPRESS, _MASK = _Suppress(), _Mask()


@contextlib.contextmanager
def suppress_sdk_debug() -> Iterator[None]:
    """Log nothing of what the calls in here carry."""
    for name in _NOISY_LOGGERS:
        # Every time, since configuring logging may replace filters; it is added only once.
        logging.getLogger(name).addFilter(_SUPPRESS)
    for name in _QUOTING:
        logging.getLogger(name).addFilter(_MASK)
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)
