"""How connects wait: the only place that blocks or awaits, and that starts threads for them.

SQLAlchemy runs ``do_connect`` in its own greenlet when the engine is async, so the listener is the
same code for both worlds and only waiting differs (see "Asynchronous I/O (asyncio)" in SQLAlchemy's
documentation).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from sqlalchemy.exc import InvalidRequestError

from sqlalchemy_rds_iam._concurrency import call_with_timeout, run_in_daemon_thread
from sqlalchemy_rds_iam._passwords.fetch import Fetch
from sqlalchemy_rds_iam.errors import ConfigError, RdsIamError, WaitTimeout, fresh_copy

try:
    from sqlalchemy.util import await_
except ImportError:  # SQLAlchemy 2.0
    from sqlalchemy.util import await_only as await_


NO_LOOP = (
    "async engines need asyncio, on which SQLAlchemy builds, and no event loop of asyncio runs "
    "here: under Trio use a sync engine in threads (trio.to_thread), or trio-asyncio"
)


T = TypeVar("T")


class Runtime(Protocol):
    """How an engine waits."""

    def launch(self, fetch: Fetch) -> None:
        """Set a fetch going, without waiting for its end."""

    def join(self, fetch: Fetch, timeout: float) -> None:
        """Wait until a fetch has ended, or for `timeout` seconds.

        Raises:
            CredentialsError: the fetch failed.
        """

    def sleep(self, seconds: float) -> None:
        """Let some time pass."""

    def handled(self, error: BaseException) -> BaseException | None:
        """What the caller was handling when it connected, as far as only a greenlet's task sees it.

        Args:
            error: what has come of the connect.
        """

    def resolve(self, host: str, timeout: float) -> list[str]:
        """Look up the IP addresses of `host`.

        Raises:
            RdsIamError: there are none.
        """

    def start(self, work: Callable[[], None]) -> None:
        """Set `work` going that blocks and raises nothing. No caller waits for its end."""

    def run(self, work: Callable[[], T], timeout: float, what: str) -> T:
        """Do `work` that blocks, and that keeps to `timeout` seconds itself.

        Args:
            work: what is to be done.
            timeout: seconds.
            what: what is not known in time, for the message.

        Raises:
            WaitTimeout: it did not keep to it.
            Exception: what `work` raises.
        """


class ThreadRuntime:
    """How a sync engine waits: it blocks the calling thread.

    Args:
        inline: fetch in the calling thread (``rds_iam_refresh=lazy``). Otherwise a daemon thread
            fetches, which ends with the fetch: only so can the caller keep its deadline when
            something like a ``credential_process`` hangs.
    """

    def __init__(self, *, inline: bool) -> None:
        self._inline = inline

    def launch(self, fetch: Fetch) -> None:
        if self._inline:
            fetch.run()
        else:
            run_in_daemon_thread(fetch.run)

    def join(self, fetch: Fetch, timeout: float) -> None:
        try:
            error = fetch.future.exception(timeout)
        except TimeoutError:
            return
        if error is not None:
            raise fresh_copy(error)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def handled(self, error: BaseException) -> None:  # noqa: ARG002
        return None

    def start(self, work: Callable[[], None]) -> None:
        if self._inline:
            work()
        else:
            _start(work)

    def resolve(self, host: str, timeout: float) -> list[str]:
        look_up = functools.partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
        try:
            return _addresses(look_up() if self._inline else call_with_timeout(timeout, look_up))
        except OSError as error:  # a TimeoutError is one
            raise _unresolved(host, error) from error

    def run(self, work: Callable[[], T], timeout: float, what: str) -> T:  # noqa: ARG002
        return work()


class GreenletRuntime:
    """How an async engine waits: it suspends the calling task and leaves its event loop alone.

    Args:
        on_loop: fetch on the caller's event loop. Otherwise a daemon thread fetches.
    """

    def __init__(self, *, on_loop: bool) -> None:
        self._on_loop = on_loop
        self._tasks: set[asyncio.Task[None]] = set()

    def launch(self, fetch: Fetch) -> None:
        with contextlib.suppress(RuntimeError):  # without one, `join` says so
            fetch.loop = asyncio.get_running_loop() if self._on_loop else None
        if fetch.loop is None:
            run_in_daemon_thread(fetch.run)
            return
        task = fetch.loop.create_task(fetch.run_async(_off_loop))
        self._tasks.add(task)  # a loop alone does not keep its tasks alive
        task.add_done_callback(self._tasks.discard)

    def join(self, fetch: Fetch, timeout: float) -> None:
        try:
            error = _awaited(await_future(fetch.future, timeout))
        except TimeoutError:
            return
        if error is not None:
            raise fresh_copy(error)

    def sleep(self, seconds: float) -> None:
        _awaited(asyncio.sleep(seconds))

    def handled(self, error: BaseException) -> BaseException | None:
        async def look() -> BaseException | None:
            return sys.exception()

        # A greenlet that is thrown away has no task to go back to, and its error is seen nowhere.
        return error if type(error).__name__ == "GreenletExit" else await_(look())

    def start(self, work: Callable[[], None]) -> None:
        _start(work)

    def resolve(self, host: str, timeout: float) -> list[str]:
        async def look_up() -> list[Any]:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(timeout):
                return await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)

        try:
            return _addresses(_awaited(look_up()))
        except OSError as error:
            raise _unresolved(host, error) from error

    def run(self, work: Callable[[], T], timeout: float, what: str) -> T:
        done = run_in_daemon_thread(work)
        try:
            _awaited(await_future(done, timeout))
        except TimeoutError:
            raise WaitTimeout(f"it is not known after {timeout:.2g} s {what}") from None
        return done.result()


def _awaited(awaitable: Coroutine[Any, Any, T]) -> T:
    """Await in SQLAlchemy's greenlet, on a loop of asyncio's.

    Raises:
        ConfigError: another library than asyncio runs this task.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        awaitable.close()
        raise ConfigError(NO_LOOP) from None
    return await_(awaitable)


class _Nothing:
    """Is awaited at once."""

    def __await__(self) -> Iterator[None]:
        return iter(())


def refuse_to_block(*_: Any) -> None:
    """A ``do_connect`` listener of an engine that is sync, though its driver is not.

    Raises:
        ConfigError: nothing awaits what the driver does.
    """
    try:
        await_(_Nothing())  # type: ignore[arg-type]
    except InvalidRequestError:
        raise ConfigError(
            "create_engine() has made a sync engine with an async driver, whose connections are "
            "never awaited: use create_async_engine(), or a sync driver such as postgresql+psycopg"
        ) from None


async def _off_loop(work: Callable[[], None]) -> None:
    if error := await await_future(run_in_daemon_thread(work), None):
        raise error


async def await_future(future: Future[Any], limit: float | None) -> BaseException | None:
    """Await a future of the threading world, from any loop, leaving it untouched on time-out."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    def tell(_: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # a loop that has been closed waits no more
            loop.call_soon_threadsafe(wake)

    future.add_done_callback(tell)
    async with asyncio.timeout(limit):
        await done
    return future.exception()


def _start(work: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # no thread to be had: it does without the work
        run_in_daemon_thread(work)


def _unresolved(host: str, error: OSError) -> RdsIamError:
    why = str(error) or "no answer in time"
    return RdsIamError(f"cannot look up the address of {host!r}: {why}")


def _addresses(found: list[Any]) -> list[str]:
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
