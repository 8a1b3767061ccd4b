"""Whether gevent or eventlet has replaced Python's modules after this package was imported.

Sockets and SSL contexts of before do not work with those of afterwards: connects fail with errors
that do not say so, such as a RecursionError, or hold up all greenlets. See "Monkey patching" in
gevent's documentation.
"""

from __future__ import annotations

import logging
import sys

from sqlalchemy_rds_iam._concurrency import Counter

logger = logging.getLogger("sqlalchemy_rds_iam")

_LIBRARIES = {
    "gevent.monkey": ("is_module_patched", "gevent.monkey.patch_all()"),
    "eventlet.patcher": ("is_monkey_patched", "eventlet.monkey_patch()"),
}


def patched_with() -> str | None:
    """The call with which this process's sockets have been replaced; None if they are Python's."""
    for name, (asked, call) in _LIBRARIES.items():
        if (module := sys.modules.get(name)) and getattr(module, asked, bool)("socket"):
            return call
    return None


_AT_IMPORT = patched_with()
_warnings = Counter()


def warn_if_late() -> None:
    """Log, once in a process, that its modules were replaced too late."""
    call = patched_with()
    if call != _AT_IMPORT and next(_warnings) == 0:
        logger.warning(
            "%s was called after sqlalchemy_rds_iam had been imported: connects can fail in ssl, "
            "or hold up all greenlets; call it before anything else is imported",
            call,
        )
