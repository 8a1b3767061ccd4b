"""Who plays: the client processes, their identities, drivers, pools and event loops."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Pool = Literal["null", "queue"]


@dataclass(frozen=True)
class Worker:
    """Something that connects again and again: a thread, or a task on one of the event loops.

    Attributes:
        loop: Which event loop its tasks run on; None makes it a thread.
        count: How many of its kind share one engine.
        options: More of the URL's options.
    """

    driver: str
    pool: Pool = "null"
    loop: int | None = None
    count: int = 1
    options: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For the records."""
        where = "thread" if self.loop is None else f"loop{self.loop}"
        return f"{self.driver}-{where}-{self.pool}"


@dataclass(frozen=True)
class Role:
    """A client process.

    Attributes:
        lives: The shortest and the longest life of its credentials, in seconds.
        pause: The mean time between two connects of a worker, in seconds.
        latency: What its AWS endpoint always takes, in seconds.
        measured: Whether a renewal must not be felt in the time its connects take.
        faults: Whether its AWS endpoint and its process meet faults.
        forks: Whether it forks.
    """

    name: str
    provider: Literal["sts", "imds", "container"]
    lives: tuple[float, float]
    workers: tuple[Worker, ...]
    pause: float = 0.5
    latency: float = 0.0
    measured: bool = False
    faults: bool = True
    forks: bool = False


_AIO = {"rds_iam_credentials": "aiobotocore"}
_BOTO = {"rds_iam_credentials": "botocore"}
_LAZY = {"rds_iam_refresh": "lazy"}

CAST = (
    Role(
        "sts-threads",
        "sts",
        (4.0, 20.0),
        (
            Worker("psycopg"),
            Worker("psycopg", "queue", count=2),
            Worker("psycopg2"),
            Worker("psycopg2", "queue", count=2),
            Worker("pg8000"),
        ),
    ),
    Role(
        "sts-loops",
        "sts",
        (4.0, 20.0),
        (
            Worker("asyncpg", loop=0, options=_AIO),
            Worker("psycopg", "queue", loop=0, count=2, options=_AIO),
            Worker("asyncpg", "queue", loop=1, count=2, options=_BOTO),
            Worker("psycopg", loop=1, options=_AIO),
        ),
    ),
    Role(
        "container-lazy",
        "container",
        (4.0, 8.0),
        (
            Worker("psycopg", count=2, options=_LAZY),
            Worker("pg8000", "queue", count=2, options=_LAZY),
            Worker("asyncpg", loop=0, count=2, options=_AIO | _LAZY),
            Worker("psycopg", loop=1, options=_BOTO | _LAZY),
        ),
    ),
    Role(
        "imds-mixed",
        "imds",
        (4.0, 12.0),
        (
            Worker("psycopg2"),
            Worker("psycopg", "queue", count=2),
            Worker("asyncpg", loop=0, count=2, options=_AIO),
            Worker("asyncpg", "queue", loop=1, options=_BOTO),
        ),
    ),
    Role(
        "container-forks",
        "container",
        (4.0, 8.0),
        (
            Worker("psycopg", count=2),
            Worker("psycopg2"),
            Worker("pg8000"),
            Worker("asyncpg", loop=0, options=_AIO),
            Worker("psycopg", loop=1, options=_BOTO),
        ),
        latency=0.5,  # so that many forks meet a fetch under way
        forks=True,
    ),
    Role(
        "sts-slow",
        "sts",
        (14.0, 20.0),
        (
            Worker("psycopg", count=2),
            Worker("asyncpg", loop=0, options=_AIO),
            Worker("asyncpg", loop=1, options=_BOTO),
        ),
        pause=0.25,
        latency=2.0,
        measured=True,
        faults=False,
    ),
)
