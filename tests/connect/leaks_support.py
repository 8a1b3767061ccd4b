"""What is printed anywhere: everything that is logged, and our frames of a traceback."""

from __future__ import annotations

import logging
import traceback

import sqlalchemy_rds_iam

OURS = str(sqlalchemy_rds_iam.__path__[0])


class Collector(logging.Handler):
    """Keeps what is logged, formatted.

    Attributes:
        lines: one for each record, with the logger's name.
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def our_frames(error: BaseException) -> str:
    """Our own frames of a traceback with their local variables, as error trackers send them."""
    shown: list[str] = []
    chain: list[BaseException] = [error]
    while chain:
        current = chain.pop()
        chain += [e for e in (current.__cause__, current.__context__) if e is not None]
        for frame, _ in traceback.walk_tb(current.__traceback__):
            if frame.f_code.co_filename.startswith(OURS):
                shown += [f"{name}={value!r}" for name, value in frame.f_locals.items()]
    return "\n".join(shown)
