"""Reads that go to the writer while the reader cannot be connected to, where a session wants that.

Without a memory each request of an outage would wait for the reader anew, as long as its driver,
or its search for the right server, takes to give up.
"""

from __future__ import annotations

import logging
import weakref
from time import monotonic

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from sqlalchemy_rds_iam._databases.known import driver
from sqlalchemy_rds_iam._masking import first_line, on_one_line
from sqlalchemy_rds_iam.errors import WrongServerError

logger = logging.getLogger("sqlalchemy_rds_iam")

RETRY = 5.0
"""Seconds from one attempt to connect to a reader that is down to the next, by one session."""


class ReaderOutage:
    """Whether one reader engine can be connected to, as of the last attempt.

    Attributes:
        retry_at: when it is tried again, by ``time.monotonic()``; None while it is up.
    """

    def __init__(self, reader: Engine) -> None:
        self.retry_at: float | None = None
        self._rules = driver(reader.dialect.driver, reader.dialect.name).family.sessions

    def answers(self, session: Session, reader: Engine) -> bool:
        """Whether `session` has a connection of the reader, which it then takes for its read."""
        was_down, now = self.retry_at is not None, monotonic()
        if self.retry_at is not None:
            if now < self.retry_at:
                return False
            # One session tries; the others do not wait for it.
            self.retry_at = now + RETRY
        try:
            session.connection(bind_arguments={"bind": reader})
        except Exception as error:
            if not self._is_down(error):
                raise
            self.retry_at = monotonic() + RETRY
            if not was_down:
                said = first_line(error)
                logger.warning("reads go to the writer while the reader is down: %s", said)
            return False
        self.retry_at = None
        if was_down:
            logger.info("reads go to the reader of %s again", on_one_line(reader.url.host))
        return True

    def _is_down(self, error: BaseException) -> bool:
        rules = self._rules
        unreachable = rules is not None and rules.is_unreachable(error)
        return unreachable or isinstance(error, WrongServerError)


_outages: weakref.WeakKeyDictionary[Engine, ReaderOutage] = weakref.WeakKeyDictionary()


def outage_of(reader: Engine) -> ReaderOutage:
    """What is remembered of a reader, by all sessions over it.

    Raises:
        ConfigError: it has a driver that is not known.
    """
    return _outages.get(reader) or _outages.setdefault(reader, ReaderOutage(reader))
