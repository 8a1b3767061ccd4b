"""What connects are counted against: the emulator, or a real database with its ceiling."""

from __future__ import annotations

import os
import time

from sqlalchemy import URL

from benchmarks.lib import emulated
from sqlalchemy_rds_iam._endpoints.hostname import parse_host


class Emulated:
    """The emulator, which throttles and says whom."""

    limiter: float | None = None
    rest = 0.0

    def __init__(self, rds: emulated.Emulator) -> None:
        self._rds = rds
        self.url, self.signed, self.environ = rds.url, rds.signed, rds.environ
        self.login: tuple[str, str] | None = rds.login()

    def prepare(self, ceiling: int) -> None:
        """Begin anew."""
        self._rds.start_over(ceiling)

    def refused(self) -> int:
        """How many logins were refused since."""
        return sum(self._rds.logins()["refused"].values())


class Real:
    """A database that is to be treated with care."""

    login: tuple[str, str] | None = None
    rest = 1.0

    def __init__(self, url: URL) -> None:
        self.url, self.environ = url, dict(os.environ)
        host = str(url.query.get("rds_iam_host", url.host))
        self.signed = {
            "host": host,
            "port": int(str(url.query.get("rds_iam_port", url.port or 5432))),
            "region": url.query.get("rds_iam_region") or parse_host(host).region,
        }

    def prepare(self, ceiling: int) -> None:
        """Let the second pass in which the last measurement ended."""
        self.limiter = ceiling
        time.sleep(self.rest)

    def refused(self) -> int:
        """It does not tell; what was refused is lost, or was tried again."""
        return 0
