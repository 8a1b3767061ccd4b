"""One fetch: in a thread or on an event loop, it ends once, for all, in one of three ways."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace, TracebackType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam._passwords.fetch import FETCH_LIMIT, START_LIMIT, Fetch
from sqlalchemy_rds_iam.errors import CredentialsError

STARTED = 1000.0


class Source:
    """What is fetched, and how; it tells what was asked of it, and in which thread."""

    def __init__(self, fault: BaseException | None = None, *, unusable: bool = False) -> None:
        self.fault = fault
        self.unusable = unusable
        self.asked: list[Any] = []

    def fetch(self, *, reload: bool) -> Any:
        self.asked.append(("fetch", reload, threading.current_thread().name))
        return self._found()

    def prepare_async(self, loop: Any, *, reload: bool) -> None:
        self.asked.append(("prepare", reload, threading.current_thread().name))
        assert loop.is_running()
        if self.unusable:
            raise CredentialsError("no aiobotocore")

    async def fetch_async(self) -> Any:
        self.asked.append(("fetch_async", threading.current_thread().name))
        await asyncio.sleep(0)
        return self._found()

    def _found(self) -> str:
        secret = "canary"
        if self.fault is not None:
            raise self.fault
        return f"the {secret}"

    def reset(self) -> None: ...

    def token(self, fetched: Any, endpoint: Any, now: float) -> Any: ...


class Listener:
    """How a fetch has ended."""

    def __init__(self) -> None:
        self.ends: list[Any] = []

    def complete(self, fetch: Fetch, fetched: Any) -> None:
        self.ends.append(("complete", fetch, fetched))

    def fail(self, fetch: Fetch, error: Exception) -> None:
        self.ends.append(("fail", fetch, error))

    def abandon(self, fetch: Fetch) -> None:
        self.ends.append(("abandon", fetch))


async def _off_loop(work: Callable[[], None]) -> None:
    failed: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  (handed on)
            failed.append(error)

    thread = threading.Thread(target=run, name="off the loop")
    thread.start()
    while thread.is_alive():
        await asyncio.sleep(0)
    if failed:
        raise failed[0]


def _in_thread(fetch: Fetch) -> None:
    fetch.run()


def _on_loop(fetch: Fetch) -> None:
    asyncio.run(fetch.run_async(_off_loop))


WAYS = pytest.mark.parametrize("run", [_in_thread, _on_loop])
HERE = threading.current_thread().name


def _fetch(source: Source, *, reload: bool = False) -> tuple[Fetch, list[Any]]:
    listener = Listener()
    return Fetch(source, listener, STARTED, reload=reload), listener.ends


@pytest.mark.parametrize("reload", [False, True])
def test_what_is_asked(reload: bool) -> None:
    """On a loop, what blocks is done in a thread first; `reload` reaches the source."""
    source = Source()
    fetch, ends = _fetch(source, reload=reload)
    assert not fetch.begun
    _in_thread(fetch)
    assert fetch.begun
    assert source.asked == [("fetch", reload, HERE)]
    assert ends == [("complete", fetch, "the canary")]
    source = Source()
    fetch, ends = _fetch(source, reload=reload)
    _on_loop(fetch)
    assert fetch.begun
    assert source.asked == [("prepare", reload, "off the loop"), ("fetch_async", HERE)]
    assert ends == [("complete", fetch, "the canary")]


def test_without_aiobotocore() -> None:
    """What was to be fetched on a loop, and cannot be, is fetched in no other way."""
    source = Source(unusable=True)
    fetch, ends = _fetch(source)
    _on_loop(fetch)
    assert [name for name, *_ in source.asked] == ["prepare"]
    [(end, _, error)] = ends
    assert (end, type(error)) == ("fail", CredentialsError)


def _frames_of(traceback: TracebackType | None) -> list[dict[str, Any]]:
    found = []
    while traceback is not None:
        found.append(dict(traceback.tb_frame.f_locals))
        traceback = traceback.tb_next
    return found


@WAYS
def test_failures(run: Callable[[Fetch], None]) -> None:
    """An error is for those who wait; its frames hold nothing of the source's."""
    fetch, ends = _fetch(Source(OSError("no route")))
    run(fetch)
    [(end, ended, error)] = ends
    assert (end, ended, str(error)) == ("fail", fetch, "no route")
    frames = _frames_of(error.__traceback__)
    assert len(frames) >= 3
    assert all("canary" not in repr(each) for each in frames)


def test_an_error_that_is_being_handled() -> None:
    """A fetch that begins while another error is handled leaves that one's variables alone."""
    seen: list[Any] = []

    def fail() -> None:
        kept = "kept"
        raise OSError(kept)

    try:
        fail()
    except OSError as handled:
        fetch, ends = _fetch(Source(ValueError("no route")))
        fetch.run()
        seen = _frames_of(handled.__traceback__)
    assert ends[0][2].__context__ is not None
    assert seen[-1] == {"kept": "kept"}


@WAYS
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interrupts(run: Callable[[Fetch], None], kind: type[BaseException]) -> None:
    """What ends the program ends it, and those who wait start a fetch of their own."""
    fetch, ends = _fetch(Source(kind()))
    with pytest.raises(kind):
        run(fetch)
    assert ends == [("abandon", fetch)]


async def test_a_cancelled_task() -> None:
    """A task that is cancelled is cancelled, and the fetch abandoned."""
    fetch, ends = _fetch(Source())

    async def never(_: Callable[[], None]) -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(fetch.run_async(never))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ends == [("abandon", fetch)]


@given(st.floats(-200, 200), st.booleans())
def test_when_it_is_lost(passed: float, begun: bool) -> None:
    """After its time, whichever way the clock was set; before it has begun, that is short."""
    fetch, _ = _fetch(Source())
    fetch.begun = begun
    limit = FETCH_LIMIT if begun else START_LIMIT
    assert fetch.is_lost(STARTED + passed) == (abs(passed) >= limit)
    assert fetch.is_lost(STARTED + limit)
    assert not fetch.is_lost(STARTED + limit - 0.001)


def test_a_loop_that_stands_still() -> None:
    """A fetch on a loop that does not run is lost at once."""
    fetch, _ = _fetch(Source())
    fetch.begun = True
    running: Any = SimpleNamespace(is_running=lambda: True)
    fetch.loop = running
    assert not fetch.is_lost(STARTED)
    fetch.loop = asyncio.new_event_loop()
    assert fetch.is_lost(STARTED)
    fetch.loop.close()
