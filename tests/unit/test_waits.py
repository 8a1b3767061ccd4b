"""Waiting: threads and any number of event loops share one fetch without harming one another."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from concurrent.futures import Future

import pytest
from patience import DEADLINE

from sqlalchemy_rds_iam._concurrency import run_in_daemon_thread
from sqlalchemy_rds_iam._connecting.lateness import Lateness
from sqlalchemy_rds_iam._connecting.runtime import await_future


def test_wakes_a_sleeping_loop() -> None:
    """A loop with nothing else to do is woken from the thread in which the fetch ends."""
    future: Future[None] = Future()

    async def wait() -> BaseException | None:
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: threading.Thread(target=future.set_result, args=[None]).start())
        return await await_future(future, 10)

    # In debug mode a loop raises an error when another thread touches it.
    assert asyncio.run(wait(), debug=True) is None


async def test_one_waiter_leaves_the_others_alone() -> None:
    """Neither a time-out nor a cancelled task touches what others wait for."""
    future: Future[None] = Future()
    patient = asyncio.create_task(await_future(future, 10))
    cancelled = asyncio.create_task(await_future(future, 10))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(TimeoutError):
        await await_future(future, 0.001)
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    error = OSError("no route")
    future.set_exception(error)
    assert await patient is error


def test_a_closed_loop_waits_no_more() -> None:
    """A fetch may end after a loop that waited for it has been closed."""
    future: Future[None] = Future()

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await await_future(future, 0.001)

    asyncio.run(give_up())
    future.set_result(None)


def test_work_in_a_thread_keeps_its_context() -> None:
    """Context variables, which tracing hangs on to, reach the thread; so do errors the waiter."""
    trace: contextvars.ContextVar[str] = contextvars.ContextVar("trace")
    trace.set("abc")
    seen: list[object] = []
    run_in_daemon_thread(
        lambda: seen.extend([trace.get(), threading.current_thread().daemon])
    ).result(DEADLINE)
    assert seen == ["abc", True]
    with pytest.raises(IndexError):
        run_in_daemon_thread([].pop).result(DEADLINE)


def test_a_launch_does_not_wait_for_the_work() -> None:
    """The thread that starts a fetch goes on at once, although both want Python's global lock."""
    order: list[bool] = []
    usual = sys.getswitchinterval()
    sys.setswitchinterval(5)  # no thread is made to give up the lock
    try:
        for _ in range(10):  # on a busy machine either may be held up
            launched = threading.Event()
            ended = run_in_daemon_thread(lambda: order.append(launched.is_set()))  # noqa: B023
            launched.set()
            ended.result(DEADLINE)
    finally:
        sys.setswitchinterval(usual)
    assert any(order)


def test_where_the_time_went() -> None:
    """Waits that end about as they should are not late, however many; one that is held up is."""
    now = [0.0]
    lateness = Lateness(lambda: now[0])
    for _ in range(50):
        with lateness.of(1.0):
            now[0] += 1.09
    assert lateness.told(1.0) is None
    with lateness.of(1.0):
        now[0] += 1.6
    told = lateness.told(1.0)
    assert told is not None
    assert told.startswith("0.6 s of them went by")
    assert "holds up the event loop" in told
    assert lateness.told(2.0) is None
