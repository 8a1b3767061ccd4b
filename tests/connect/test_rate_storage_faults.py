"""A rate storage that answers nonsense, or for ever: one warning, and the rate is kept."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis_support import Server, connect_at_once, most, pass_through
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam._ratelimit import redis_store as storages
from sqlalchemy_rds_iam._ratelimit.redis_store import HORIZON, LIMIT, storage
from sqlalchemy_rds_iam._ratelimit.shared_limiter import SharedRateLimiter
from sqlalchemy_rds_iam.testing import RdsEmulator

BUSY = 10.0
"""Seconds that a busy machine may take for what takes half a second."""


class Liar:
    """Speaks RESP on loopback: answers each EVAL with `answer`, and the handshake with OK.

    Args:
        answer: makes the bytes that an EVAL is answered with, from the server's time.
        drip: seconds between two bytes of what is dripped.
        drips: the command whose answer is dripped; None for none.
    """

    def __init__(
        self, answer: Callable[[int], bytes], *, drip: float = 0.1, drips: bytes | None = None
    ) -> None:
        self.answer, self.drip, self.drips = answer, drip, drips
        self.open = 0
        self._done = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._done.set()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        self.open += 1
        with sock, contextlib.suppress(OSError):
            while data := sock.recv(65536):
                # As many answers as there are commands in it; each begins with its array's size.
                for command in filter(None, data.split(b"\r\n*")):
                    name = command.split(b"\r\n")[2].upper()
                    now = time.time_ns() // 1000
                    reply = self.answer(now) if name == b"EVAL" else b"+OK\r\n"
                    if self.drips is not None and name == self.drips:
                        # An answer of which there is always more to come.
                        sock.sendall(b"$1000000\r\n" if name == b"EVAL" else b"+")
                        while not self._done.wait(self.drip):
                            sock.sendall(b"x")
                    sock.sendall(reply)
        self.open -= 1


@contextmanager
def liar(*args: Any, **kwargs: Any) -> Iterator[Liar]:
    """One of them, for a while."""
    server = Liar(*args, **kwargs)
    try:
        yield server
    finally:
        server.close()


def _pair(wait: int, *, ahead: int = 0) -> Callable[[int], bytes]:
    return lambda now: b"*2\r\n:%d\r\n:%d\r\n" % (now + ahead, wait)


NONSENSE: dict[str, Callable[[int], bytes]] = {
    "nil": lambda _: b"$-1\r\n",
    "nil-array": lambda _: b"*-1\r\n",
    "text": lambda _: b"$2\r\n12\r\n",
    "one": lambda now: b"*1\r\n:%d\r\n" % now,
    "three": lambda now: b"*3\r\n:%d\r\n:0\r\n:0\r\n" % now,
    "none": lambda _: b"*0\r\n",
    "words": lambda _: b"*2\r\n$1\r\n1\r\n$1\r\n2\r\n",
    "nan": lambda now: b"*2\r\n:%d\r\n$3\r\nnan\r\n" % now,
    "inf": lambda now: b"*2\r\n:%d\r\n$3\r\ninf\r\n" % now,
    "nil-wait": lambda now: b"*2\r\n:%d\r\n$-1\r\n" % now,
    "nested": lambda now: b"*2\r\n:%d\r\n*1\r\n:0\r\n" % now,
    "least-integer": _pair(-(2**63)),
    "negative": _pair(-1),
    "an-hour": _pair(3_600_000_000),
    "largest-integer": _pair(2**63 - 1),
    "no-integer-of-any-machine": _pair(10**400),
    "a-clock-of-no-machine": _pair(0, ahead=10**30),
    "a-negative-clock": _pair(0, ahead=-(10**17)),
    "ok": lambda _: b"+OK\r\n",
    "error": lambda _: b"-ERR no\r\n",
    "another-protocol": lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense(name: str, said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no script of ours answers is a failure: one warning, and the rate of the process."""
    storages._shared.clear()
    monkeypatch.setattr(storages, "RETRY", (0.02, 0.04))
    with liar(NONSENSE[name]) as server:
        limiter = SharedRateLimiter(200, storage(server.url), "db")
        began = time.monotonic()
        for _ in range(5):
            pass_through(limiter, inline=True)
            time.sleep(0.05)
        assert time.monotonic() - began < BUSY
    assert limiter._storage.down
    assert said() == ["WARNING"]


@pytest.mark.parametrize("wait", [0, 500_000, 2_900_000])
def test_sense(wait: int, said: Any) -> None:
    """What the script may answer is none: a turn now or soon, or that it is too far ahead."""
    storages._shared.clear()
    with liar(_pair(wait)) as server:
        found = storage(server.url).reserve("db", 1, 0.005, time.monotonic)
    assert found.granted == (wait <= HORIZON * 1e6)
    assert found.latest - time.monotonic() <= wait / 1e6
    assert said() == []


@given(
    st.tuples(st.integers(0, 2 * 10**17), st.integers(0, 6_000_000)).map(list)
    | st.lists(st.integers() | st.none() | st.binary() | st.floats(), max_size=3)
    | st.integers()
)
def test_any_answer(answer: Any) -> None:
    """An answer is two numbers in their bounds, or refused with what it was."""
    fits = isinstance(answer, list) and [type(each) for each in answer] == [int, int]
    if fits and 0 <= answer[0] <= 10**17 and 0 <= answer[1] <= 3_000_000:
        assert storages._checked(answer) == (answer[0] / 1e6, answer[1] / 1e6)
    else:
        with pytest.raises(ValueError, match="expected the server's time and a wait"):
            storages._checked(answer)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "-nan", "soon", ""])
def test_who_writes_the_key(redis_server: Server, said: Any, value: str) -> None:
    """What is written into the key and is no time is a failure; with the key it goes."""
    redis_server.admin.set("rds_iam:db", value)
    limiter = SharedRateLimiter(100, storage(redis_server.url), "db")
    starts = connect_at_once(limiter, 60)
    assert most(starts, window=0.25) <= 25 * 1.2
    assert limiter._storage.down
    assert said() == ["WARNING"]
    assert redis_server.admin.get("rds_iam:db") == value.encode()
    redis_server.admin.delete("rds_iam:db")
    time.sleep(0.05)
    pass_through(limiter, inline=True)
    assert said() == ["WARNING", "INFO"]


@pytest.mark.parametrize("type_", ["list", "hash"])
def test_a_key_of_another_type(redis_server: Server, said: Any, type_: str) -> None:
    """So is a key that holds no value at all."""
    if type_ == "list":
        redis_server.admin.rpush("rds_iam:db", 1)
    else:
        redis_server.admin.hset("rds_iam:db", "a", "1")
    for _ in range(3):
        pass_through(SharedRateLimiter(100, storage(redis_server.url), "db"), inline=True)
    assert said() == ["WARNING"]


@pytest.mark.parametrize("inline", [True, False], ids=["lazy", "ahead"])
@pytest.mark.parametrize("drips", [b"EVAL", b"AUTH", b"SELECT", b"CLIENT"])
def test_dripping(drips: bytes, inline: bool, said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers a byte at a time, for ever, is given up like one that is silent."""
    storages._shared.clear()
    monkeypatch.setattr(storages, "RETRY", (0.02, 0.04))
    with liar(_pair(0), drips=drips) as server:
        url = server.url.replace("//", "//:sesame@").replace("/0", "/1")
        limiter = SharedRateLimiter(200, storage(url), "db")
        for _ in range(3):
            began = time.monotonic()
            pass_through(limiter, inline=inline)
            assert time.monotonic() - began < LIMIT + BUSY
            time.sleep(0.06)
        assert limiter._storage.down
        # Nothing is left behind: no thread that reads on, no connection.
        until = time.monotonic() + BUSY
        while server.open and time.monotonic() < until:
            time.sleep(0.02)
        assert server.open == 0
        server.drips = None
        while limiter._storage.down and time.monotonic() < until:
            pass_through(limiter, inline=inline)
            time.sleep(0.05)
        # What errors hold is garbage in cycles. A connection that is still open in there must be
        # closed before the collector meets its socket, which is a ResourceWarning.
        storages._shared.clear()
        del limiter
        gc.collect()
    assert said() == ["WARNING", "INFO"]


# It collects garbage, and with it what other tests of this process have left.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("inline", [True, False], ids=["lazy", "ahead"])
def test_a_name_that_takes_its_time(
    inline: bool, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking up the server's name holds up no caller; a connection without a caller is closed."""
    storages._shared.clear()
    release = threading.Event()
    usual = socket.getaddrinfo

    def slow(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "cache.example":
            release.wait(60)
            return usual("127.0.0.1", *args, **kwargs)
        return usual(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with liar(_pair(0)) as server:
        limiter = SharedRateLimiter(
            200, storage(server.url.replace("127.0.0.1", "cache.example")), "db"
        )
        began = time.monotonic()
        until = began + BUSY
        while said() != ["WARNING"] and time.monotonic() < until:
            pass_through(limiter, inline=inline)
        assert said() == ["WARNING"]
        assert time.monotonic() - began < BUSY
        del limiter
        gc.collect()
        release.set()
        until = time.monotonic() + 6 * BUSY
        time.sleep(0.1)
        while server.open and time.monotonic() < until:
            gc.collect()  # connections of the redis package refer to themselves
            time.sleep(0.02)
        assert server.open == 0


def test_slow_name_servers(said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that always takes longer than a call may is no reason to have no rate for ever."""
    storages._shared.clear()
    monkeypatch.setattr(storages, "RETRY", (0.02, 0.04))
    usual = socket.getaddrinfo

    def slow(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "cache.example":
            time.sleep(storages.LIMIT + 0.3)
            return usual("127.0.0.1", *args, **kwargs)
        return usual(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with liar(_pair(0)) as server:
        limiter = SharedRateLimiter(
            200, storage(server.url.replace("127.0.0.1", "cache.example")), "db"
        )
        until = time.monotonic() + 2 * BUSY
        while said() != ["WARNING", "INFO"] and time.monotonic() < until:
            pass_through(limiter, inline=True)
            time.sleep(0.05)
    assert said() == ["WARNING", "INFO"]


@pytest.mark.parametrize("refresh", ["lazy", "ahead"])
def test_an_engine(
    databases: Callable[..., Database], rds: RdsEmulator, said: Any, refresh: str
) -> None:
    """Connects of an engine go on, in time, whose storage drips."""
    storages._shared.clear()
    with liar(_pair(0), drips=b"EVAL") as server:
        url = rds.url(rds_iam_refresh=refresh, rds_iam_rate_storage=server.url)
        database = databases(url, poolclass=NullPool)
        began = time.monotonic()
        assert [database.scalar("select 1") for _ in range(3)] == [1] * 3
        assert time.monotonic() - began < BUSY
    assert said() == ["WARNING"]


def test_passwords_in_the_query(said: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A password that is an option of the URL is not repeated either."""
    storages._shared.clear()
    with liar(lambda _: b"-ERR sesame+1 is wrong\r\n") as server:
        limiter = SharedRateLimiter(200, storage(f"{server.url}?password=sesame%2B1"), "db")
        pass_through(limiter, inline=True)
    assert said() == ["WARNING"]
    assert "sesame" not in caplog.text
