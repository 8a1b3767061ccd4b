"""A failed connect leaves no token and no password in any frame, nor on any error of the chain."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import frames_support
import odd_servers
import pytest
from families import Words
from frames_support import SIGNATURE, chain, shown
from rds_secret_support import USER, LogIn
from sqlalchemy import Engine, event
from sqlalchemy.pool import NullPool
from worlds import DRIVERS, Database, on

from sqlalchemy_rds_iam import CredentialsError, _frames
from sqlalchemy_rds_iam.testing import RdsEmulator, Secret
from sqlalchemy_rds_iam.testing.aws.service import AwsError

WAYS = [
    "refused",
    "no-server",
    "wrong-ca",
    "no-tls",
    "closed",
    "timeout",
    "server-error",
    "cancelled",
]
# The drivers' own words for how long to try.
LIMITS = {"asyncpg": "timeout", "pg8000": "timeout"}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Left at the end of the test."""
    with ExitStack() as found:
        yield found


@pytest.fixture
def spoil(
    rds: RdsEmulator, stack: ExitStack, world: tuple[str, bool], words: Words
) -> Callable[[str], dict[str, Any]]:
    """Make connects fail in one of the `WAYS`; returns what the engine has to be told for it."""

    def make(way: str) -> dict[str, Any]:
        driver, host = world[0].partition("+")[2], str(rds.url(world[0]).host)
        if way == "refused":
            frames_support.refuse(rds)
        elif way == "no-server":
            return {"port": odd_servers.closed_port()}
        elif way == "wrong-ca":
            rds.gateway.certificate = rds.certificates.unrelated()
        elif way == "no-tls":
            rds.gateway.decline_tls = True
        elif way == "server-error":
            rds.gateway.answer = words.starting
        else:
            closed = way == "closed"
            server = (
                odd_servers.odd_server(host, odd_servers.hangs_up)
                if closed
                else odd_servers.silent_server(host)
            )
            port = stack.enter_context(server)
            limit = {LIMITS.get(driver, "connect_timeout"): 2} if way == "timeout" else {}
            return {"port": port, "connect_args": limit}
        return {}

    return make


def _fail(database: Database, way: str) -> BaseException:
    if way != "cancelled":
        return database.raises(Exception)
    if database._runner is None:
        pytest.skip("threads are not cancelled")
    return database._runner.run(frames_support.cancelled(database._async_engine.connect()))


@on(*DRIVERS)
@pytest.mark.parametrize("way", WAYS)
def test_a_token(
    rds: RdsEmulator, world: tuple[str, bool], databases: Any, spoil: Any, way: str
) -> None:
    """However a connect fails, and however the error is looked at, no token is seen."""
    told = spoil(way)
    # Another port looks like a tunnel's: the token is signed for the emulator all the same.
    options = {"rds_iam_throttle_retry": "off", "rds_iam_port": str(rds.endpoint.port)}
    url = rds.url(world[0], **options)
    url = url.set(port=told.get("port", url.port))
    arguments = told.get("connect_args") or {}
    database = databases(url, is_async=world[1], poolclass=NullPool, connect_args=arguments)
    error = _fail(database, way)
    assert not SIGNATURE.search(shown(error))
    assert rds.key.secret_key not in shown(error)


# What empties the frames of all drivers, in the test above, knows of no difference between the two.
@on("psycopg", "asyncpg", "pg8000", "pymysql", "asyncmy")
@pytest.mark.parametrize("way", [way for way in WAYS if way != "server-error"])
def test_a_secrets_password(
    rds: RdsEmulator,
    log_in: LogIn,
    secret: Secret,
    place: dict[str, Any],
    spoil: Any,
    way: str,
    words: Words,
) -> None:
    """The same for the password of a secret, be it asked for as it is or by SCRAM."""
    password = secret.fields()["password"]
    told = spoil(way)
    if way == "refused":
        rds.gateway.reset()
        rds.execute(words.new_password(USER, "another"))
    database = log_in(
        secret,
        {"rds_secret_timeout": "3"},
        place=place | {"port": told.get("port", place["port"])},
        connect_args=told.get("connect_args") or {},
    )
    error = _fail(database, way)
    seen = shown(error)
    assert password not in seen
    assert password.encode().hex() not in seen


def test_later_listeners(rds: RdsEmulator, connect: Any) -> None:
    """What a later listener has made of the token is not left in its frame either."""
    database = connect(options={"rds_iam_throttle_retry": "off"}, poolclass=NullPool)
    frames_support.refuse(rds)

    @event.listens_for(database.engine, "do_connect")
    def dial(dialect: Any, _record: Any, cargs: Any, cparams: Any) -> Any:
        copied = str.__str__(cparams[database.inside.driver.password])
        assert SIGNATURE.search(copied)
        return dialect.connect(*cargs, **cparams)

    assert not SIGNATURE.search(shown(database.raises(Exception)))


def test_sqlalchemy_is_given_nothing(rds: RdsEmulator, connect: Any) -> None:
    """The dict that SQLAlchemy keeps, and before 2.0.48 hands to every connect, stays as it is."""
    database = connect(poolclass=NullPool)
    kept: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def keep(_dialect: Any, _record: Any, _cargs: Any, cparams: dict[str, Any]) -> None:
        kept.append((cparams, dict(cparams)))

    event.listen(Engine, "do_connect", keep)
    try:
        database.scalar("select 1")
    finally:
        event.remove(Engine, "do_connect", keep)
    [(now, before)] = kept
    assert now == before
    assert "password" not in now


def test_what_surrounds_the_connect(rds: RdsEmulator, connect: Any) -> None:
    """A user's generator, coroutine and error around a failing connect stay as they were."""
    database = connect(options={"rds_iam_throttle_retry": "off"}, poolclass=NullPool)
    frames_support.refuse(rds)

    def ended() -> None:
        mine = "of a frame that has ended"
        raise KeyError(mine)

    def suspended() -> Iterator[Any]:
        mine = "of a generator that is suspended"
        try:
            ended()
        except KeyError as error:
            yield error
        yield mine

    generator = suspended()
    earlier = next(generator)

    def sync() -> BaseException:
        try:
            raise earlier
        except KeyError:
            return database.raises(Exception)

    async def awaited() -> None:
        mine = "of a coroutine that has ended"
        await asyncio.sleep(0)
        raise earlier from ValueError(mine)

    async def in_task() -> BaseException:
        try:
            await awaited()
        except KeyError:
            with pytest.raises(Exception, match=database.words.refused) as caught:
                async with database._async_engine.connect():
                    pass
            return caught.value
        raise AssertionError

    error = sync() if database._runner is None else database._runner.run(in_task())
    assert earlier in chain(error)
    kept = {
        frame.f_code.co_name: frame.f_locals.get("mine") for frame in frames_support.frames(earlier)
    }
    assert kept["ended"] == "of a frame that has ended"
    if database._runner is not None:
        assert kept["awaited"] == "of a coroutine that has ended"
    assert next(generator) == "of a generator that is suspended"
    assert not SIGNATURE.search(shown(error))


def _driver(secret: str, fail: Callable[[], None]) -> None:
    kept = secret
    fail()
    del kept


def _failing(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def _through(call: Callable[[], object]) -> BaseException:
    """The error of a call, with its frames cleared as the listener does it."""
    handled = sys.exception()
    try:
        call()
    except BaseException as error:  # noqa: BLE001
        _frames.clear(error, sys._getframe(), (handled,))
        return error
    raise AssertionError


def _seen(error: BaseException) -> str:
    return "\n".join(
        text
        for frame in frames_support.frames(error)
        for text in frames_support.plain_texts(dict(frame.f_locals))
    )


def _driver_in_generator() -> None:
    def steps() -> Iterator[None]:
        secret = "canary"
        yield
        _driver(secret, _failing(ValueError()))

    for _ in steps():
        pass


def _driver_in_group() -> None:
    errors: list[Exception] = []
    for kind in (ValueError, OSError):
        try:
            _driver("canary", _failing(kind()))
        except (ValueError, OSError) as error:
            errors.append(error)
    raise ExceptionGroup("several addresses", errors)


def _driver_in_loop() -> None:
    async def dial() -> None:
        secret = "canary"
        await asyncio.sleep(0)
        _driver(secret, _failing(ValueError()))

    async def several() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(dial())
            group.create_task(dial())

    asyncio.run(several())


def _driver_with_causes() -> None:
    try:
        _driver("canary", _failing(ValueError()))
    except ValueError as error:
        try:
            _driver("canary", _failing(KeyError()))
        except KeyError:
            raise OSError from error


@pytest.mark.parametrize(
    "call",
    [_driver_in_generator, _driver_in_group, _driver_in_loop, _driver_with_causes],
    ids=lambda call: call.__name__.strip("_"),
)
def test_shapes(call: Callable[[], None]) -> None:
    """Generators, tasks, groups, causes: whatever a driver is made of, its frames are emptied."""
    assert "canary" not in _seen(_through(call))


def test_an_old_error_that_is_raised_again() -> None:
    """An error from before the connect keeps its frames, even if the connect raises it."""

    def before() -> None:
        mine = "from before"
        raise KeyError(mine)

    with pytest.raises(KeyError) as caught:
        before()
    error = _through(lambda: _driver("canary", _failing(caught.value)))
    assert error is caught.value
    kept = {frame.f_code: frame.f_locals for frame in frames_support.frames(error)}
    assert kept[before.__code__] == {"mine": "from before"}
    assert kept[_driver.__code__] == {}


@pytest.mark.parametrize("answer", ["refused", "reset", "500", "garbage"])
def test_a_failed_fetch(
    rds: RdsEmulator,
    connect: Any,
    session_key: Any,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
) -> None:
    """Where AWS fails, the frames of its SDK show no key, though each request carries a token."""
    if answer == "refused":
        port = odd_servers.closed_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{port}")
    else:
        rds.aws.sts.fail(AwsError(500, "Fault", "out of order") if answer == "500" else answer)
    role = rds.identities.role("app")
    database = connect(options={"rds_iam_role_arn": role.arn}, poolclass=NullPool)
    try:
        error = database.raises(CredentialsError)
    finally:
        rds.aws.sts.recover()
    seen = shown(error)
    assert session_key.session_token not in seen
    assert session_key.secret_key not in seen
