"""How often a CA file is looked at that was narrowed, and that no connect is lost in between."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ca_support import BUNDLE, own_ca
from worlds import on

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam.testing import RdsEmulator

# Drivers that are given a file, and not a context, in both worlds.
pytestmark = on("psycopg", "psycopg-async", "psycopg2")


class Clock:
    """A monotonic clock that goes only when it is told to."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock(narrowing: tuple[Any, Path]) -> Clock:
    """The engine's clock, from after its last look on."""
    narrowing[0].inside.listener._monotonic = clock = Clock()
    return clock


@pytest.fixture
def looks(narrowing: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What Python asks the system about the CA file, or about the part of it."""
    database, file = narrowing
    watched = {str(file), str(own_ca(database))}
    seen: list[Any] = []
    stat = os.stat

    def counted(path: Any, *args: Any, **kwargs: Any) -> Any:
        if str(path) in watched:
            seen.append(path)
        return stat(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", counted)
    yield seen
    monkeypatch.undo()


@pytest.fixture
def attempts(narrowing: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each time that the driver was asked to connect."""
    dialect, seen = narrowing[0].engine.dialect, list[None]()
    connect = dialect.connect
    monkeypatch.setattr(
        dialect, "connect", lambda *args, **kwargs: (seen.append(None), connect(*args, **kwargs))[1]
    )
    return seen


def test_once_a_second(narrowing: tuple[Any, Path], clock: Clock, looks: list[Any]) -> None:
    """However many connects there are, a second has one look at each file; the next, one more."""
    database, _ = narrowing
    database.scalar("select 1")
    looks.clear()
    for seconds in (1.0, 0.9, 0.2, 60.0):
        clock.now += seconds
        for _ in range(3):
            assert database.scalar("select 1") == 1
        assert len(looks) == (0 if seconds == 0.9 else 2), seconds
        looks.clear()


def test_a_changed_file_counts_within_a_second(
    narrowing: tuple[Any, Path], clock: Clock, rds: RdsEmulator
) -> None:
    """Who is taken out of the file is trusted no longer; a file that is gone is said to be."""
    database, file = narrowing
    assert database.scalar("select 1") == 1
    file.write_bytes(BUNDLE)
    clock.now += 1
    assert "certificate" in str(database.raises(Exception)).lower()
    replaced = file.with_name("new.pem")
    replaced.write_bytes(BUNDLE + rds.ca_file.read_bytes())
    replaced.replace(file)
    clock.now += 1
    assert database.scalar("select 1") == 1
    file.unlink()
    clock.now += 1
    assert "global-bundle.pem" in str(database.raises(ConfigError))


@pytest.mark.parametrize("gone", ["file", "directory"])
def test_a_cleaned_cache_costs_no_connect(
    narrowing: tuple[Any, Path], clock: Clock, attempts: list[None], gone: str
) -> None:
    """When our file is gone before the next look, the driver's error has us look, and try again."""
    database, _ = narrowing
    assert database.scalar("select 1") == 1
    first = own_ca(database)
    first.unlink()
    if gone == "directory":
        first.parent.rmdir()
    attempts.clear()
    assert database.scalar("select 1") == 1
    assert len(attempts) == 2
    assert own_ca(database) == first
    assert first.exists()
    attempts.clear()
    assert database.scalar("select 1") == 1
    assert len(attempts) == 1


def test_a_rotated_file_costs_no_connect(
    narrowing: tuple[Any, Path], clock: Clock, attempts: list[None], rds: RdsEmulator
) -> None:
    """When the CA file gets a new authority before the next look, the refused certificate tells."""
    database, file = narrowing
    file.write_bytes(BUNDLE)
    clock.now += 1
    database.raises(Exception)
    file.write_bytes(BUNDLE + rds.ca_file.read_bytes())
    attempts.clear()
    assert database.scalar("select 1") == 1
    assert len(attempts) == 2


def test_both_files_gone(narrowing: tuple[Any, Path], clock: Clock, attempts: list[None]) -> None:
    """What the fresh look finds is what the caller is told; it is no second attempt."""
    database, file = narrowing
    assert database.scalar("select 1") == 1
    own_ca(database).unlink()
    file.unlink()
    attempts.clear()
    assert "global-bundle.pem" in str(database.raises(ConfigError))
    assert len(attempts) == 1


def test_a_bad_certificate_is_one_attempt(
    narrowing: tuple[Any, Path], clock: Clock, attempts: list[None], rds: RdsEmulator
) -> None:
    """A certificate that is bad for files that have not changed is not tried again."""
    database, _ = narrowing
    rds.gateway.certificate = rds.certificates.unrelated()
    assert "certificate" in str(database.raises(Exception)).lower()
    assert len(attempts) == 1


def test_one_fresh_look_for_a_connect(
    narrowing: tuple[Any, Path], clock: Clock, attempts: list[None], rds: RdsEmulator
) -> None:
    """A file that changes all the time does not make a connect go on for ever."""
    database, file = narrowing
    rds.gateway.certificate = rds.certificates.unrelated()
    listener = database.inside.listener
    original = listener._after

    def after(*args: Any) -> Any:
        file.write_bytes(file.read_bytes() + b"\n")
        return original(*args)

    listener._after = after
    attempts.clear()
    database.raises(Exception)
    assert len(attempts) == 2


def test_many_at_once(narrowing: tuple[Any, Path], clock: Clock) -> None:
    """Of threads and tasks that find the file gone, one makes it anew, and none is lost."""
    database, _ = narrowing
    assert database.scalar("select 1") == 1
    for _ in range(3):
        own_ca(database).unlink()
        assert database.storm(8) == [1] * 8


def test_made_anew_by_another_process(
    narrowing: tuple[Any, Path], clock: Clock, attempts: list[None]
) -> None:
    """A file that is there again when we look was gone when the driver read it, all the same."""
    database, _ = narrowing
    assert database.scalar("select 1") == 1
    file = own_ca(database)
    content, listener = file.read_bytes(), database.inside.listener
    file.unlink()
    original = listener._after

    def after(*args: Any) -> Any:
        file.write_bytes(content)
        file.chmod(0o600)
        return original(*args)

    listener._after = after
    attempts.clear()
    assert database.scalar("select 1") == 1
    assert len(attempts) == 2
