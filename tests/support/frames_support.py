"""Ways for a connect to fail, and those who look at what it leaves behind."""

from __future__ import annotations

import asyncio
import json
import re
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any

import sentry_sdk
from sentry_sdk.transport import Transport

from sqlalchemy_rds_iam.testing import RdsEmulator

SIGNATURE = re.compile(r"X-Amz-Signature(=|%3D)[0-9a-f]{64}")
"""What no other code may see of a token."""


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and all that hangs on it: causes, contexts, members of groups."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__, getattr(each, "orig", None)]
            waiting += getattr(each, "exceptions", ())


def frames(error: BaseException) -> Iterator[FrameType]:
    """Every frame of every traceback of the chain."""
    for each in chain(error):
        for frame, _ in traceback.walk_tb(each.__traceback__):
            yield frame


def plain_texts(value: Any, depth: int = 6) -> Iterator[str]:
    """Every text inside a value, however it would print itself: what a debugger unfolds."""
    if isinstance(value, str):
        yield str.__str__(value)
    elif isinstance(value, bytes | bytearray):
        yield value.decode("latin-1")
    elif depth and isinstance(value, dict):
        for key, each in list(value.items()):
            yield from plain_texts(key, depth - 1)
            yield from plain_texts(each, depth - 1)
    elif depth and isinstance(value, list | tuple | set | frozenset):
        for each in list(value):
            yield from plain_texts(each, depth - 1)


def below_ours(error: BaseException) -> Iterator[str]:
    """Every text in the frames that our listener has called: the driver's, other listeners'."""
    for each in chain(error):
        inside = False
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if inside:
                yield from plain_texts(dict(frame.f_locals))
            inside = inside or frame.f_code.co_name == "_do_connect"


class _Kept(Transport):
    def __init__(self) -> None:
        super().__init__({"dsn": None})
        self.sent: list[str] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.sent += [json.dumps(item.payload.json) for item in envelope.items]


def reported(error: BaseException) -> str:
    """What an error reporter with default settings sends away."""
    kept = _Kept()
    client = sentry_sdk.Client(
        dsn="http://key@127.0.0.1:9/1",
        transport=kept,
        default_integrations=False,
        auto_enabling_integrations=False,
    )
    with sentry_sdk.new_scope() as scope:
        scope.set_client(client)
        scope.capture_exception(error)
    assert kept.sent
    return "\n".join(kept.sent)


def shown(error: BaseException) -> str:
    """All that is printed of an error by anything that prints local variables, too."""
    printed = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "\n".join(
        [
            *printed.format(),
            *(repr(value) for frame in frames(error) for value in dict(frame.f_locals).values()),
            *(repr(vars(each)) for each in chain(error)),
            *(repr(getattr(each, "pgconn", None)) for each in chain(error)),
            *below_ours(error),
            reported(error),
        ]
    )


def refuse(rds: RdsEmulator) -> None:
    """Have the server refuse whatever comes."""
    rds.gateway.refuse_next = 1_000


async def cancelled(connecting: Any) -> BaseException:
    """The error of a connect that is cancelled after a moment."""
    task = asyncio.ensure_future(connecting)
    await asyncio.sleep(0.3)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError as error:
        return error
    raise AssertionError("it was not cancelled")
