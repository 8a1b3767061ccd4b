"""What is printed anywhere: everything that is logged, and our frames of a traceback."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import sqlalchemy_rds_iam
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam.testing import RdsEmulator

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


@pytest.fixture
def session_key(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A temporary key in the environment, for its session token, which is sent as it is."""
    key = rds.identities.issue(rds.key.principal, lifetime=3600)
    while key.access_key[-4:].isdecimal():
        # Four digits may be found in any long number: they would prove nothing.
        key = rds.identities.issue(rds.key.principal, lifetime=3600)
    for name, value in key.environ().items():
        monkeypatch.setenv(name, value)
    return key


@pytest.fixture
def log() -> Iterator[Collector]:
    """Everything logged at DEBUG by any logger, formatted."""
    collector = Collector()
    root = logging.getLogger()
    level = root.level
    root.addHandler(collector)
    root.setLevel(logging.DEBUG)
    yield collector
    root.removeHandler(collector)
    root.setLevel(level)


@pytest.fixture
def our_frames() -> Callable[[BaseException], str]:
    """What our frames of an error's traceback hold."""
    return _our_frames


def _our_frames(error: BaseException) -> str:
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


@pytest.fixture
def signatures(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The signatures of all tokens that are made, also of those that are gone."""
    made: set[str] = set()
    usual = IssuedPassword.__init__

    def note(token: IssuedPassword, *args: Any, **kwargs: Any) -> None:
        usual(token, *args, **kwargs)
        if type(token) is IssuedPassword:
            made.add(token.password.rpartition("=")[2])

    monkeypatch.setattr(IssuedPassword, "__init__", note)
    return made
