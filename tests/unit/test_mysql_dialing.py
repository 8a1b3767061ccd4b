"""Deadlines of MySQL's drivers, as far as no server is needed: threads, errors, old SQLAlchemys."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from frames_support import frames, plain_texts
from patience import DEADLINE, eventually

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._databases import mysql_dialing
from sqlalchemy_rds_iam._databases.mysql_errors import number
from sqlalchemy_rds_iam._databases.mysql_sessions import RULES

PLACE = {"host": "db", "port": 3306}


class OperationalError(Exception):
    """A driver's error."""


def dialect(connect: Any, **more: Any) -> Any:
    """An engine's dialect whose driver connects so."""
    dbapi = SimpleNamespace(OperationalError=OperationalError, connect=connect, **more)
    return SimpleNamespace(connect=connect, loaded_dbapi=dbapi)


def test_errors_of_drivers() -> None:
    """Each is the driver's own, has the number, and says that no server was reached."""
    found = []
    pymysql = pytest.importorskip("pymysql")
    found.append(mysql_dialing.numbered(pymysql, "late"))
    connector = pytest.importorskip("mysql.connector")
    found.append(mysql_dialing.mysqlconnector_error(connector, "late"))
    with contextlib.suppress(ImportError):
        import mariadb

        found.append(mysql_dialing.mariadb_error(mariadb, "late"))
    for error in found:
        assert (number(error), type(error).__name__) == (2003, "OperationalError")
        assert "late" in str(error)
        assert RULES.is_unreachable(error)


def test_limits() -> None:
    """Whole seconds, one at least, unless the user has said so by any name of the argument."""
    limit = mysql_dialing.limit("connection_timeout", "connect_timeout")
    assert limit({}, 30.9) == {"connection_timeout": 30}
    assert limit({"connect_timeout": ""}, 0.5) == {"connection_timeout": 1}
    assert limit({"connect_timeout": 5}, 30) == {}
    assert limit({"connection_timeout": 5}, 30) == {}


def test_a_plugin_that_another_thread_has_loaded() -> None:
    """Where the first connects come at once, C clients refuse to load it twice: once more then."""
    text = "Plugin mysql_clear_password could not be loaded: it is already loaded"
    outcomes: list[Any] = [OperationalError(1045, text), "connected"]

    def connect(*_cargs: Any, **_cparams: Any) -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    dial = mysql_dialing.in_thread(mysql_dialing.numbered)(dialect(connect), DEADLINE)
    assert dial(**PLACE) == "connected"
    for error in (OperationalError(1045, "Access denied"), OperationalError(1045, text)):
        outcomes[:] = [error, error]
        with pytest.raises(OperationalError) as raised:
            dial(**PLACE)
        assert raised.value is error
        # What says anything else is the answer, as is what says it twice.
        assert len(outcomes) == (0 if text in str(error) else 1)


def test_a_driver_that_is_in_time() -> None:
    """Its connection, and its error, are those of the caller."""
    dial = mysql_dialing.in_thread(mysql_dialing.numbered, "connect_timeout")
    assert dial(dialect(lambda **cparams: cparams), DEADLINE)(**PLACE) == PLACE

    def refuse(**_cparams: Any) -> None:
        raise OperationalError(1045, "no")

    with pytest.raises(OperationalError, match="1045"):
        dial(dialect(refuse), DEADLINE)(**PLACE)

    def slow_itself(**_cparams: Any) -> None:
        raise TimeoutError("the driver's own")

    with pytest.raises(TimeoutError, match="the driver's own"):
        dial(dialect(slow_itself), DEADLINE)(**PLACE)


def test_a_driver_that_is_late() -> None:
    """The caller gets an error in time, and what is opened afterwards is closed."""
    may_go, closed = threading.Event(), threading.Event()

    def connect(**_cparams: Any) -> Any:
        may_go.wait(DEADLINE)
        return SimpleNamespace(close=closed.set)

    dial = mysql_dialing.in_thread(mysql_dialing.numbered, "connect_timeout")
    with pytest.raises(OperationalError, match=r"no connection to db:3306 within 0\.05 s"):
        dial(dialect(connect), 0.05)(**PLACE)
    with pytest.raises(OperationalError, match=r"within 0\.01 s"):
        dial(dialect(connect), DEADLINE)(**PLACE, connect_timeout=0.01)
    assert not closed.is_set()
    may_go.set()
    eventually(closed.is_set, "the late connection stayed open")


def test_no_password_is_left_in_a_thread() -> None:
    """Frames of the thread are emptied, as its caller cannot."""

    def deep(**cparams: Any) -> None:
        kept = cparams["password"]
        raise OperationalError(1045, len(kept))

    def connect(**cparams: Any) -> None:
        try:
            deep(**cparams)
        except OperationalError as error:
            raise LookupError("wrapped") from error

    dial = mysql_dialing.in_thread(mysql_dialing.numbered, "connect_timeout")
    secret = "hunter2"
    given = {**PLACE, "password": secret}
    with pytest.raises(LookupError, match="wrapped") as caught:
        dial(dialect(connect), DEADLINE)(**given)
    names = {"deep", "connect", "work"}
    below = [frame for frame in frames(caught.value) if frame.f_code.co_name in names]
    assert {frame.f_code.co_name for frame in below} == names
    for frame in below:
        assert secret not in [*plain_texts(dict(frame.f_locals))]


class _Old:
    """As SQLAlchemy's layer over asyncmy is before 2.0.16."""

    def __init__(self, asyncmy: Any) -> None:
        self.asyncmy = asyncmy
        self.OperationalError = OperationalError

    def connect(self, *cargs: Any, **cparams: Any) -> Any:
        """Connect by the module."""
        return self, asyncio.run(self.asyncmy.connect(*cargs, **cparams))


class _New(_Old):
    def connect(self, *cargs: Any, **cparams: Any) -> Any:
        """Connect by the function that is given."""
        creator = cparams.pop("async_creator_fn")
        return self, asyncio.run(creator(*cargs, **cparams))


@pytest.mark.parametrize("layer", [_Old, _New])
def test_old_and_new_layers(layer: type[_Old]) -> None:
    """An async driver has a limit, whether SQLAlchemy takes a function to connect or not."""

    async def connect(**cparams: Any) -> Any:
        await asyncio.sleep(cparams.pop("sleep"))
        return cparams

    module = SimpleNamespace(connect=connect, other="x")
    dbapi = layer(module)
    engines = SimpleNamespace(driver="asyncmy", loaded_dbapi=dbapi, connect=dbapi.connect)
    dial = mysql_dialing.asyncmy(engines, 0.05)  # type: ignore[arg-type]
    used, made = dial(**PLACE, sleep=0)
    assert made == PLACE
    assert used.asyncmy.other == "x"
    assert dbapi.asyncmy is module
    with pytest.raises(OperationalError, match=r"no connection to db:3306 within 0\.05 s"):
        dial(**PLACE, sleep=DEADLINE)


def test_a_listeners_function() -> None:
    """With asyncmy it connects; with aiomysql, whose connections are guarded, it is refused."""
    engines: Any = dialect(lambda **cparams: cparams)
    given = {**PLACE, "async_creator_fn": print}
    assert mysql_dialing.asyncmy(engines, 1)(**given) == given
    with pytest.raises(ConfigError, match="async_creator_fn cannot be used with aiomysql"):
        mysql_dialing.aiomysql(engines, 1)(**given)
