"""Forked, spawned, preloaded: every process logs in, renews on its own and never hangs."""

from __future__ import annotations

import gc
import json
import math
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from families import BOTH, Words
from faults_support import Provider
from inside import Inside
from soak.children import DEADLINE, Child, held
from soak.servers import Server, ask
from sqlalchemy import NullPool, create_engine
from worlds import Database

from sqlalchemy_rds_iam._aws import collector, sessions
from sqlalchemy_rds_iam._aws.sigv4 import Credentials, sign
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam.testing import RdsEmulator

# Python 3.12 and newer warn of every fork of a process with threads, which is what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

CHILDREN = 20


def log_in(database: Database) -> str:
    """Connect in a process that has inherited `database`; the key that signed."""
    database.connect_inherited()
    return str(database.inside.credentials.access_key)


def expire(database: Database) -> None:
    """Let the credentials in hand, botocore's and the token, have lived."""
    tokens = database.inside.cache
    tokens.source.reset()
    tokens._cached = None
    for entry in tokens._entries.values():
        entry.token = None


@pytest.fixture
def database(
    open_database: Callable[..., Database], container: Provider, monkeypatch: pytest.MonkeyPatch
) -> Database:
    """A database of each way that has logged in already; every fetch gives a key of its own."""
    monkeypatch.setattr(container.service, "reissue_below", math.inf)
    # Beyond what botocore renews as soon as it has it.
    monkeypatch.setattr(container.service, "lifetime", 3600.0)
    database = open_database(poolclass=NullPool)
    database.scalar("select 1")
    return database


def test_fork_with_a_flight_under_way(
    database: Database, container: Provider, rds: RdsEmulator
) -> None:
    """Children forked while a thread fetches do not wait for that fetch, but make their own."""
    expire(database)
    tokens, calls = database.inside.cache, container.calls
    leader = threading.Thread(target=log_in, args=(database,))
    with container.held(times=1) as gate:
        leader.start()
        assert gate.reached.wait(DEADLINE)
        children = [Child(lambda: log_in(database)) for _ in range(CHILDREN)]
        keys = {child.result() for child in children}
        assert tokens._fetch is not None
    leader.join(DEADLINE)
    assert len({*keys, tokens.credentials.access_key}) == CHILDREN + 1
    assert container.calls - calls == CHILDREN + 1
    assert all(decision.granted for decision in rds.decisions)


def test_fork_with_locks_held(database: Database) -> None:
    """Children forked while threads hold the locks of the cache and its source are free of them."""
    expire(database)
    tokens = database.inside.cache
    with held(tokens._lock, tokens.source._lock):
        children = [Child(lambda: log_in(database)) for _ in range(CHILDREN)]
    assert len({child.result() for child in children}) == CHILDREN


def test_children_renew_on_their_own(database: Database, container: Provider) -> None:
    """A child goes on with the credentials it inherits; it and its parent renew on their own."""
    inherited = database.inside.credentials.access_key
    calls = container.calls

    def work() -> list[str]:
        first = log_in(database)
        expire(database)
        return [first, log_in(database)]

    children = [Child(work) for _ in range(4)]
    first, second = zip(*(child.result() for child in children), strict=True)
    assert set(first) == {inherited}
    assert len({*second, inherited}) == 5
    assert container.calls - calls == 4
    assert database.inside.credentials.access_key == inherited
    expire(database)
    assert log_in(database) not in {*second, inherited}


def test_fork_does_not_wait_for_ever(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forked while a session is made that never gets done, a child makes its own, and collects."""
    monkeypatch.setattr(sessions, "_LONGEST_MAKING", 0.01)
    expire(database)

    def work() -> bool:
        log_in(database)
        return gc.isenabled()

    with held(sessions._Making.lock, collector.uncollected()):
        start = time.monotonic()
        child = Child(work)
        assert time.monotonic() - start < DEADLINE / 4
        assert not gc.isenabled()
    assert child.result()
    assert gc.isenabled()
    assert log_in(database)


def test_fork_while_a_token_is_signed() -> None:
    """There is no fork in the middle of it: signing keeps Python's global lock from end to end."""
    endpoint, gate, inside = Endpoint("db.test", 5432, "app", "x-1"), threading.Lock(), []

    def intrude() -> None:
        with gate:
            inside.append(signing)

    signing, usual = True, sys.getswitchinterval()
    sys.setswitchinterval(DEADLINE)  # no thread is made to give the global lock away
    try:
        with gate:
            thread = threading.Thread(target=intrude)
            thread.start()
        for _ in range(2000):
            sign(Credentials("AKIA", "secret"), endpoint, 1e9)
        signing = False
    finally:
        sys.setswitchinterval(usual)
    thread.join()
    assert inside == [False]


_inherited: list[Any] = []


def _in_worker(url: str, who: str) -> tuple[int, str, str]:
    engine = _inherited[0] if _inherited else create_engine(url, poolclass=NullPool)
    inside, keys = Inside(engine), []
    for _ in range(2):
        with engine.connect() as connection:
            assert connection.exec_driver_sql(who).scalar() == "app"
        keys.append(inside.credentials.access_key)
        inside.forget()
    return os.getpid(), keys[0], keys[1]


@pytest.mark.parametrize("method", ["fork", "spawn"])
@BOTH
def test_multiprocessing(
    rds: RdsEmulator,
    container: Provider,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    words: Words,
) -> None:
    """Workers of a pool log in and renew, with an inherited engine (fork) or their own (spawn)."""
    monkeypatch.setattr(container.service, "reissue_below", math.inf)
    url = rds.url().render_as_string()
    inherited: set[str | None] = set()
    locks: tuple[Any, ...] = ()
    if method == "fork":
        engine = create_engine(url, poolclass=NullPool)
        with engine.connect():
            pass
        inherited = {rds.decisions[-1].access_key}
        monkeypatch.setattr(sys.modules[__name__], "_inherited", [engine])
        tokens = Inside(engine).cache
        locks = tokens._lock, tokens.source._lock
    with held(*locks):
        pool = multiprocessing.get_context(method).Pool(2)
    with pool:
        done = pool.starmap_async(_in_worker, [(url, words.user)] * 2, chunksize=1).get(DEADLINE)
    assert os.getpid() not in {pid for pid, _, _ in done}
    assert len({second for _, _, second in done} - inherited) == 2
    assert all(decision.granted for decision in rds.decisions)


def _assert_own_keys(answers: dict[int, set[str]], preloaded: str) -> None:
    """Every process has renewed by itself; only what was there before the fork is shared."""
    assert len(answers) == 2
    first, second = answers.values()
    assert first & second <= {preloaded}
    assert all(keys - {preloaded} for keys in (first, second))


@pytest.fixture
def short_lived(container: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that live for a second and a half, and another key for every fetch."""
    monkeypatch.setattr(container.service, "lifetime", 1.5)
    monkeypatch.setattr(container.service, "reissue_below", math.inf)


@pytest.mark.soak
@pytest.mark.timing
@pytest.mark.parametrize(
    ("preload", "application", "worker_class"),
    [
        ("sync", "soak.web:application", "sync"),
        ("async", "soak.web:asgi", "uvicorn.workers.UvicornWorker"),
    ],
    ids=["sync", "uvicorn"],
)
@pytest.mark.usefixtures("short_lived")
def test_gunicorn_preload(
    rds: RdsEmulator, tmp_path: Path, preload: str, application: str, worker_class: str
) -> None:
    """Each worker of a preloaded application answers, and renews on its own."""
    pytest.importorskip("gunicorn")
    pytest.importorskip("uvicorn")
    options = ["--preload", "--workers", "2", "--worker-class", worker_class]
    answers: dict[int, set[str]] = {}
    with Server(
        rds, tmp_path, preload, "gunicorn", *options, "--bind", "unix:socket", application
    ) as server:
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end and (
            len(answers) < 2 or any(len(keys) < 3 for keys in answers.values())
        ):
            if answer := ask(tmp_path / "socket"):
                assert answer["user"] == "app"
                answers.setdefault(answer["pid"], set()).add(answer["key"])
    assert "Traceback" not in server.log
    _assert_own_keys(answers, str(rds.decisions[0].access_key))
    assert all(decision.granted for decision in rds.decisions)


@pytest.mark.soak
@pytest.mark.timing
@pytest.mark.usefixtures("short_lived")
def test_celery_prefork(rds: RdsEmulator, tmp_path: Path) -> None:
    """Each prefork process does its tasks, and renews on its own."""
    pytest.importorskip("celery")
    for name in ("messages", "results", "control"):
        (tmp_path / name).mkdir()
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "error"]
    command = ["--app", "soak.tasks", "worker", "--pool", "prefork", "--concurrency", "2", *quiet]
    answers: dict[int, set[str]] = {}
    with Server(rds, tmp_path, "sync", "celery", *command) as server:
        sent = subprocess.run(
            [sys.executable, "-m", "soak.tasks", "3"],
            env=server.environ,
            capture_output=True,
            text=True,
            timeout=2 * DEADLINE,
            check=False,
        )
    assert sent.returncode == 0, sent.stderr + server.log
    for answer in map(json.loads, sent.stdout.splitlines()):
        assert answer["user"] == "app"
        answers.setdefault(answer["pid"], set()).add(answer["key"])
    assert "Traceback" not in server.log
    first, second = answers.values()
    _assert_own_keys(answers, "".join(first & second))
    assert all(decision.granted for decision in rds.decisions)
