"""Faults of a cluster by hand: words typed on a terminal, and a signal."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Self

from sqlalchemy_rds_iam.testing.cluster.cluster import RdsCluster

_WORDS = """\
  failover [S]     kills the writer; names follow S s later
  switch-over [S]  exchanges the roles in good order
  partition        swallows what the writer is sent
  heal             ends that"""
_READ = 4096


class Console:
    """Does what is typed on standard input, if that is a terminal, and on SIGUSR1 a failover.

    The words are ``failover``, ``switch-over``, ``partition`` and ``heal``. A killed writer is
    restarted as the standby, so that failovers can follow one another. For the main thread; a
    context manager, to be entered before the cluster starts: a signal that comes meanwhile counts.
    """

    def __init__(self) -> None:
        # Filled by the handler of a signal, so nothing that has a lock.
        self._lines: deque[str] = deque()
        self._typed = b""
        self._input = 0 if os.isatty(0) else None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGUSR1, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGUSR1, self._before)

    @property
    def help(self) -> str:
        """What can be done, for the user."""
        does = f"kill -USR1 {os.getpid()} is a failover"
        return f"{does}." if self._input is None else f"{does}. Words for here:\n{_WORDS}"

    def attend(self, cluster: RdsCluster, seconds: float) -> None:
        """Wait so long for a word, and do what one line says."""
        if not self._lines:
            watched = [] if self._input is None or not _is_ours() else [self._input]
            if select.select(watched, [], [], seconds)[0]:
                self._read()
        if self._lines:
            _do(cluster, self._lines.popleft())

    def _read(self) -> None:
        assert self._input is not None
        try:
            chunk = os.read(self._input, _READ)
        except OSError:  # the terminal has gone
            chunk = b""
        if not chunk:
            self._input = None
        *lines, self._typed = (self._typed + chunk).split(b"\n")
        self._lines.extend(line.decode(errors="replace") for line in lines if line.strip())

    def _on_signal(self, _signal: int, _frame: FrameType | None) -> None:
        self._lines.append("failover")


def _do(cluster: RdsCluster, line: str) -> None:
    """Do what a line says; the result goes to standard error."""
    began = time.monotonic()
    try:
        _change(cluster, line.split())()
    except (OSError, RuntimeError, ValueError) as error:
        result = str(error) or type(error).__name__
    else:
        took = time.monotonic() - began
        writer = cluster.writer.number
        result = f"{line.strip()}: done in {took:.1f} s, instance {writer} is the writer"
    print(result, file=sys.stderr, flush=True)  # noqa: T201  (what a console is for)


def _change(cluster: RdsCluster, words: list[str]) -> Callable[[], None]:
    match words:
        case ["failover", *rest] if len(rest) <= 1:
            return partial(cluster.failover, _seconds(rest), kill="restart")
        case ["switch-over", *rest] if len(rest) <= 1:
            return partial(cluster.switch_over, _seconds(rest))
        case ["partition"]:
            return cluster.partition
        case ["heal"]:
            return cluster.heal
    raise ValueError(f"unknown: {' '.join(words)!r}; known are:\n{_WORDS}")


def _seconds(words: list[str]) -> float:
    try:
        return float(words[0]) if words else 0.0
    except ValueError:
        raise ValueError(f"expected a number of seconds, not {words[0]!r}") from None


def _is_ours() -> bool:
    """Whether what is typed is for us: the system stops a background job that reads it."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
