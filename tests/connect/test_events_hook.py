"""The hook of an engine: what goes wrong in it, what it may do, and what is none."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from events_support import Seen
from families import Words
from patience import DEADLINE
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import ConfigError, CredentialsError, Event
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._routing.pair import engine_pair
from sqlalchemy_rds_iam.events import KINDS
from sqlalchemy_rds_iam.testing import RdsEmulator

Connect = Callable[..., Database]
PATIENT = {"rds_iam_throttle_retry": "on"}


def test_a_hook_that_fails(
    rds: RdsEmulator, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """It costs no connect, is said once, with its traceback, and goes on being called."""
    calls = []

    def fail(_token: str, event: Event) -> None:
        calls.append(event.kind)
        raise ZeroDivisionError("of the hook")

    hook = functools.partial(fail, "canary")
    database = connect(rds_iam_on_event=hook, poolclass=NullPool)
    database.inside.reload_at_once()
    rds.gateway.refuse_next = 1
    assert database.scalar("select 1") == 1
    assert len(calls) == 6
    ours = [each for each in caplog.records if each.name == "sqlalchemy_rds_iam"]
    [record] = [each for each in ours if each.exc_info]
    assert "rds_iam_on_event" in record.getMessage()
    assert "ZeroDivisionError" in caplog.text
    assert "canary" not in caplog.text + repr(database.inside.config)


def test_no_lock_is_held(
    rds: RdsEmulator,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    hasty: None,
) -> None:
    """While a hook is called, other threads find every lock of cache and pace free."""
    held: list[str] = []
    kinds = set()

    def look(event: Event) -> None:
        kinds.add(event.kind)
        inside = database.inside
        locks = [inside.cache._lock, *(plan.limiter._lock for plan in inside.plans)]

        def take() -> None:
            for lock in locks:
                if lock.acquire(timeout=DEADLINE):
                    lock.release()
                else:
                    held.append(event.kind)

        thread = threading.Thread(target=take)
        thread.start()
        thread.join()

    database = connect(rds_iam_on_event=look, options=PATIENT, poolclass=NullPool)
    tokens = database.inside.cache
    tokens._reload_pause = 0.0
    rds.gateway.refuse_next = 1
    database.scalar("select 1")
    rds.gateway.refuse_next = 1
    database.scalar("select 1")
    entry = database.inside.entry
    entry.token = tokens._cached = None
    with monkeypatch.context() as patch:
        patch.setattr(tokens.source, "_plain", _fail)
        database.raises(CredentialsError)
    tokens._outage.failed_at -= 60
    database.scalar("select 1")
    # Those of failovers: tests/failover.
    assert kinds == {kind for kind in KINDS if not kind.startswith("failover")}
    assert held == []


def _fail(*_: object, **__: object) -> None:
    raise OSError("no route")


def test_a_hook_may_connect(
    rds: RdsEmulator,
    world: tuple[str, bool],
    words: Words,
    connect: Connect,
    databases: Callable[..., Database],
) -> None:
    """A hook that connects by itself, with the identity that the event is about, does not hang."""
    found: dict[str, int] = {}

    def nested(event: Event) -> None:
        if event.kind not in found:
            found[event.kind] = 0
            found[event.kind] = other.scalar("select 1")

    database = connect(rds_iam_on_event=nested)
    other = databases(rds.url(words.sync if world[1] else world[0]), poolclass=NullPool)
    database.scalar("select 1")
    assert found == {"renewed": 1}


class Awaited:
    """A hook that would have to be awaited, which no caller does."""

    async def __call__(self, event: Event) -> None: ...


@pytest.mark.parametrize("hook", ["print", 1, Awaited(), Awaited().__call__])
def test_what_is_no_hook(hook: Any) -> None:
    """A text, as in a URL, and a coroutine function, which no caller would await, are refused."""
    with pytest.raises(ConfigError, match="rds_iam_on_event=…: expected a function"):
        IamOptions.take({}, {"rds_iam_on_event": hook})


@pytest.mark.parametrize("source", ["urls", "mapping"])
def test_a_pair(source: str, ca: str, seen: Seen) -> None:
    """Both engines of a pair have the hook: of a keyword for both, or of a mapping."""
    url = "postgresql+psycopg://app@{}.abc123.us-east-1.rds.amazonaws.com/app?plugin=rds_iam"
    writer, reader = map(url.format, ("db", "ro"))
    if source == "urls":
        pair = engine_pair(writer, reader, rds_iam_on_event=seen)
    else:
        mapping = {"url": writer, "reader.url": reader, "rds_iam_on_event": seen}
        pair = engine_pair({f"sqlalchemy.{key}": value for key, value in mapping.items()})
    for engine in pair:
        [listener] = engine.dialect.dispatch.do_connect
        assert listener.__self__.provider.reporter.hook is seen
