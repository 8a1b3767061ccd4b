"""Nothing that is printed holds a secret: logs, reprs, errors, notes, tracebacks."""

from __future__ import annotations

import gc
import sys
import traceback
from types import FrameType
from typing import Any

from sqlalchemy.pool import NullPool

from sqlalchemy_rds_iam.plugin import RdsIamPlugin
from sqlalchemy_rds_iam.testing import RdsEmulator


def test_canaries(
    connect: Any,
    rds: RdsEmulator,
    log: Any,
    our_frames: Any,
    session_key: Any,
    signatures: set[str],
) -> None:
    """Secret key, session token and signature appear nowhere, in success and in refusal."""
    database = connect(poolclass=NullPool, echo="debug")
    database.scalar("select 1")
    rds.gateway.refuse_next = 10
    error = database.raises(Exception)
    cause = error.__cause__ or error
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
            our_frames(error),
        ]
    )
    assert "X-Amz-Signature" not in shown
    for secret in (session_key.secret_key, session_key.session_token, *signatures):
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
