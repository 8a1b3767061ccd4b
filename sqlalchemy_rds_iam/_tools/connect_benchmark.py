"""How fast new connections come, through a real engine and gently enough for production.

Connects begin at a steady rate, whatever becomes of them, and each ends when it has been let in.
After a few failures nothing more is tried.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import URL, create_engine
from sqlalchemy.pool import NullPool

from sqlalchemy_rds_iam._concurrency import run_in_daemon_thread
from sqlalchemy_rds_iam._connecting.runtime import await_future
from sqlalchemy_rds_iam._databases.family import Family
from sqlalchemy_rds_iam._databases.known import driver, family_of
from sqlalchemy_rds_iam._masking import first_line
from sqlalchemy_rds_iam.errors import ConfigError, WaitTimeout

CEILING = 200
"""New IAM connections a second that AWS used to document; today it names no figure."""

MOST_FAILURES = 3
"""Failed connects after which no more are begun."""

_TICK = 0.2
"""Seconds between two looks at how far a run has come."""

_CLOSING = 2.0
"""Seconds that connections which are being closed have for it when a run is cut short."""


@dataclass
class BenchmarkResult:
    """What a run has measured. Times are seconds.

    Attributes:
        rate: connects a second that were asked for.
        ceiling: connects a second that the plugin lets begin.
        asked: how many connects were asked for, beside the first.
        begun: how many of these were begun: fewer after failures, and after an interrupt.
        interrupted: whether the user ended it.
        first: how long the first connect took, which fetches credentials; it counts no further.
        times: how long each connect took that was let in.
        seconds: from the beginning of the first counted connect to the end of the last.
        refused: logins that the server refused, as it also does with those that it throttles.
        throttled: logins that the server says it has throttled.
        errors: every failure in a line, refused and throttled ones included.
    """

    rate: float
    ceiling: int
    asked: int = 0
    begun: int = 0
    interrupted: bool = False
    first: float | None = None
    times: list[float] = field(default_factory=list)
    seconds: float = 0.0
    refused: int = 0
    throttled: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Connects let in a second."""
        return len(self.times) / self.seconds if self.seconds else 0.0

    @property
    def complete(self) -> bool:
        """Whether every connect that was asked for has been let in or has failed."""
        return len(self.times) + len(self.errors) >= self.asked and self.first is not None

    def percentile(self, share: float) -> float | None:
        """The time within which this share of the connects was let in (nearest rank)."""
        ordered = sorted(self.times)
        return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else None

    def as_data(self) -> dict[str, Any]:
        """All of it, fit for JSON; times in milliseconds."""
        return {
            "complete": self.complete,
            "asked": self.asked,
            "asked_per_second": self.rate,
            "per_second": round(self.per_second, 2),
            "ceiling": self.ceiling,
            "connects": len(self.times),
            "refused": self.refused,
            "throttled": self.throttled,
            "errors": self.errors,
            "first_ms": _ms(self.first),
            "p50_ms": _ms(self.percentile(0.5)),
            "p99_ms": _ms(self.percentile(0.99)),
            "seconds": round(self.seconds, 3),
        }


def measure(
    url: URL,
    *,
    connects: int = 20,
    rate: float = 5.0,
    timeout: float = 30.0,
    exceed: bool = False,
    tell: Callable[[BenchmarkResult], None] | None = None,
) -> BenchmarkResult:
    """Open so many new connections, one after the other is due, and close each again.

    It blocks; from a coroutine call it in a thread. Ctrl-C ends it with what it has measured.

    Args:
        url: names the plugin; of its options ``rds_iam_connect_rate`` is the ceiling.
        connects: how many, beside a first one that is not counted.
        rate: how many begin in a second.
        timeout: seconds that one connect may take.
        exceed: allow a rate beyond the ceiling, which the plugin then raises to it.
        tell: is shown the result so far, several times a second.

    Raises:
        ConfigError: the rate is beyond the ceiling.
        Exception: what the first connect fails with.
    """
    ceiling = _ceiling(url, rate, exceed=exceed)
    url = _installed(url)
    options = {
        "poolclass": NullPool,
        "rds_iam_timeout": timeout,
        "rds_iam_connect_rate": ceiling,
        # A second attempt would hide what is to be counted.
        "rds_iam_throttle_retry": False,
    }
    connect = (_tasks if url.get_dialect().is_async else _threads)(url, options)
    family = driver(url.get_dialect().driver).family
    found = BenchmarkResult(rate, ceiling, connects)
    try:
        asyncio.run(_told(_run(connect, found, timeout, family), lambda: (tell or _nothing)(found)))
    except KeyboardInterrupt:
        found.interrupted = True
    return found


def _nothing(_found: BenchmarkResult) -> None:
    """Tell it to no one."""


async def _told(work: Coroutine[None, None, None], tell: Callable[[], None]) -> None:
    async def tick() -> None:
        while True:
            tell()
            await asyncio.sleep(_TICK)

    ticking = asyncio.create_task(tick())
    try:
        await work
    finally:
        ticking.cancel()
        # SQLAlchemy closes in tasks of its own; one that the loop's end cancels logs a traceback.
        if closing := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(closing, timeout=_CLOSING)


def _installed(url: URL) -> URL:
    """The URL with a driver of ours where it names none and SQLAlchemy's choice is not there."""
    if "+" in url.drivername:
        return url
    try:
        url.get_dialect().import_dbapi()
    except ImportError:
        _, _, ours = family_of(url.get_backend_name()).example.partition("+")
        return url.set(drivername=f"{url.drivername}+{ours}")
    return url


def _ceiling(url: URL, rate: float, *, exceed: bool) -> int:
    given = url.query.get("rds_iam_connect_rate", str(CEILING))
    # 0 is no limit, and what is no number is for the engine to refuse.
    limit = int(given) if isinstance(given, str) and given.isdigit() and int(given) else CEILING
    if rate <= limit:
        return limit
    if not exceed:
        raise ConfigError(
            f"{rate:g} connects a second are more than rds_iam_connect_rate={limit}: others who "
            "connect there would be throttled. Ask for less, or say --exceed-ceiling"
        )
    return math.ceil(rate)


def _threads(url: URL, options: dict[str, Any]) -> Callable[[], Awaitable[float]]:
    engine = create_engine(url, **options)

    def connect() -> float:
        began = time.monotonic()
        with engine.connect():
            return time.monotonic() - began

    async def in_a_thread() -> float:
        # Not in the loop's executor, which would wait at the end for a connect that hangs.
        done = run_in_daemon_thread(connect)
        if error := await await_future(done, None):
            raise error
        return done.result()

    return in_a_thread


def _tasks(url: URL, options: dict[str, Any]) -> Callable[[], Awaitable[float]]:
    from sqlalchemy.ext.asyncio import create_async_engine  # needs greenlet

    engine = create_async_engine(url, **options)

    async def connect() -> float:
        began = time.monotonic()
        async with engine.connect():
            return time.monotonic() - began

    return connect


async def _run(
    connect: Callable[[], Awaitable[float]],
    found: BenchmarkResult,
    limit: float,
    family: Family,
) -> None:
    async def timed() -> float:
        try:
            async with asyncio.timeout(limit):
                return await connect()
        except TimeoutError as error:
            if str(error):
                raise  # it already says what timed out
            raise WaitTimeout(f"not connected within {limit:g} s") from None

    found.first = await timed()
    began = time.monotonic()

    async def one(number: int) -> None:
        await asyncio.sleep(max(began + number / found.rate - time.monotonic(), 0))
        if len(found.errors) >= MOST_FAILURES:
            return
        found.begun += 1
        try:
            found.times.append(await timed())
        except Exception as error:  # noqa: BLE001  (it is what is counted)
            found.throttled += family.is_throttled(error)
            found.refused += family.is_refusal(error)
            found.errors.append(first_line(error))
        found.seconds = max(found.seconds, time.monotonic() - began)

    await asyncio.gather(*(one(number) for number in range(found.asked)))


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 2)
