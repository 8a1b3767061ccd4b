"""Nothing that is printed holds a secret: logs, reprs, errors, notes, tracebacks."""

from __future__ import annotations

import gc
import logging
import sys
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest
from sqlalchemy.pool import NullPool

import sqlalchemy_rds_iam
from sqlalchemy_rds_iam.plugin import RdsIamPlugin
from sqlalchemy_rds_iam.testing import RdsEmulator

OURS = str(sqlalchemy_rds_iam.__path__[0])


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def log() -> Iterator[_Collector]:
    """Everything logged at DEBUG by anybody, formatted."""
    collector = _Collector()
    root = logging.getLogger()
    level = root.level
    root.addHandler(collector)
    root.setLevel(logging.DEBUG)
    yield collector
    root.removeHandler(collector)
    root.setLevel(level)


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


def test_canaries(
    connect: Any, rds: RdsEmulator, log: _Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secret key, session token and signature appear nowhere, in success and in refusal."""
    key = rds.identities.issue(rds.key.principal, lifetime=3600)
    for name, value in key.environ().items():
        monkeypatch.setenv(name, value)
    database = connect(poolclass=NullPool, echo="debug")
    database.scalar("select 1")
    rds.gateway.refuse_next = 10
    error = database.raises(Exception)
    cause = error.__cause__ or error
    tokens = [o for o in gc.get_objects() if type(o).__name__ == "Token"]
    signatures = {token.password.rpartition("=")[2] for token in tokens}
    assert signatures
    assert log.lines

    shown = "\n".join(
        [
            *log.lines,
            repr(database.engine),
            repr(database.engine.url),
            str(database.engine.url),
            repr(database.engine.pool),
            *(repr(o) for o in gc.get_objects() if isinstance(o, RdsIamPlugin)),
            *(repr(vars(o)) for o in gc.get_objects() if isinstance(o, RdsIamPlugin)),
            *(repr(e) + str(e) + "".join(getattr(e, "__notes__", [])) for e in (error, cause)),
            "".join(traceback.format_exception(error)),
            _our_frames(error),
        ]
    )
    assert "X-Amz-Signature" not in shown
    for secret in (key.secret_key, key.session_token, *signatures):
        assert secret
        assert secret not in shown


def test_sqlalchemy_frames_hold_no_token(connect: Any, rds: RdsEmulator) -> None:
    """Not even SQLAlchemy's own frames, whose arguments we are given, show a token."""
    database = connect()
    rds.gateway.refuse_next = 10
    error = database.raises(Exception)
    frames: list[FrameType] = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in frames:
        if "sqlalchemy" in frame.f_code.co_filename:
            assert "X-Amz-Signature" not in repr(frame.f_locals)
    assert sys.exc_info() == (None, None, None)
