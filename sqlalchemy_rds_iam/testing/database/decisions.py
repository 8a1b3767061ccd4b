"""What the emulated database remembers of its logins: decisions, and CloudWatch's counters."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque

from sqlalchemy_rds_iam._masking import on_one_line
from sqlalchemy_rds_iam.testing.database.verifier import Decision, Reason

logger = logging.getLogger("sqlalchemy_rds_iam.testing")

# An emulator left running for days must not grow for ever.
_KEPT = 100_000

_REQUESTS = "IamDbAuthConnectionRequests"
_SUCCESS = "IamDbAuthConnectionSuccess"
_FAILURE = "IamDbAuthConnectionFailure"
_FAILURES: dict[Reason, str] = {
    "InvalidToken": "InvalidToken",
    "ExpiredToken": "InvalidToken",
    "NotAuthorized": "InsufficientPermissions",
    "ThrottlingException": "Throttling",
    "InternalError": "ServerError",
}


class Records:
    """The decisions taken so far and their metrics. Thread-safe.

    The counters bear the names that RDS publishes to CloudWatch in the namespace ``AWS/RDS``
    ("IAM database authentication", section on metrics).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decisions: deque[Decision] = deque(maxlen=_KEPT)
        self._metrics: Counter[str] = Counter()

    @property
    def decisions(self) -> list[Decision]:
        """The decisions since the start or the last `clear`, oldest first."""
        with self._lock:
            return list(self._decisions)

    @property
    def metrics(self) -> dict[str, int]:
        """Every counter of IAM database authentication by its CloudWatch name, zeros included."""
        names = [_REQUESTS, _SUCCESS, _FAILURE]
        names += [_FAILURE + suffix for suffix in dict.fromkeys(_FAILURES.values())]
        with self._lock:
            return {name: self._metrics[name] for name in names}

    def add(self, decision: Decision) -> None:
        """Remember `decision`, count it and log it."""
        with self._lock:
            self._decisions.append(decision)
            # A login that IAM was never asked about is none of IAM's metrics.
            if decision.method == "iam":
                self._metrics.update(_counters(decision))
        logger.info(
            "%s: user %r: %s",
            "granted" if decision.granted else decision.reason,
            decision.db_user,
            on_one_line(decision.detail),
        )

    def clear(self) -> None:
        """Forget every decision and set the counters to zero."""
        with self._lock:
            self._decisions.clear()
            self._metrics.clear()


def _counters(decision: Decision) -> list[str]:
    if decision.reason is None:
        return [_REQUESTS, _SUCCESS]
    return [_REQUESTS, _FAILURE, _FAILURE + _FAILURES[decision.reason]]
