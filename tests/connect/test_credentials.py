"""Who we are: providers over real HTTP and files, sessions handed in, renewal, outages."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
import botocore.utils
import pytest
from faults_support import LIFE, Clock, settle
from patience import DEADLINE
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import ConfigError, CredentialsError, WaitTimeout, plugin
from sqlalchemy_rds_iam._aws import container_agent
from sqlalchemy_rds_iam._aws.credentials import AwsSource
from sqlalchemy_rds_iam.testing import AccessKey, RdsEmulator

WAYS = ["botocore", pytest.param("aiobotocore", marks=pytest.mark.aiobotocore)]


# One driver for each way of fetching, where a test takes seconds.
EACH_WAY = pytest.mark.parametrize(
    ("drivername", "is_async", "way"),
    [
        ("postgresql+psycopg", False, "auto"),
        ("postgresql+asyncpg", True, "botocore"),
        pytest.param("postgresql+asyncpg", True, "aiobotocore", marks=pytest.mark.aiobotocore),
    ],
)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, world: tuple[str, bool]) -> dict[str, str]:
    """Who fetches; a choice that only async engines have."""
    if request.param == "aiobotocore" and not world[1]:
        pytest.skip("sync engines use botocore")
    return {"rds_iam_credentials": request.param}


@pytest.fixture
def container(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A container's credentials endpoint, the only source of credentials there is.

    Without anything else of AWS's, it is asked without botocore.
    """
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", *rds.aws.environ()):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", rds.aws.container_url)
    # On a busy machine it would ask twice.
    monkeypatch.setattr(botocore.utils.ContainerMetadataFetcher, "TIMEOUT_SECONDS", DEADLINE)
    monkeypatch.setattr(container_agent, "DEADLINE", DEADLINE)
    service = rds.aws.container
    service.role = rds.identities.role("task")
    service.lifetime, service.reissue_below, service.latency = 3600.0, 300.0, 0.0
    service._key = None
    yield service
    service.latency = 0.0
    service.recover()


def _calls(service: Any) -> int:
    return sum(service.calls.values())


def test_expiry_is_known(connect: Any, container: Any, way: dict[str, str]) -> None:
    """Temporary credentials bring their expiry and their provider's name with them."""
    container.lifetime = 1200.0
    database = connect(options=way)
    assert database.scalar("select 1") == 1
    credentials = database.inside.credentials
    assert credentials.provider == "container-role"
    assert 1190 < credentials.expires_at - time.time() <= 1200


@EACH_WAY
def test_rollover(
    databases: Callable[..., Any],
    container: Any,
    clock: Clock,
    rds: RdsEmulator,
    drivername: str,
    is_async: bool,
    way: str,
) -> None:
    """Tokens and credentials roll over under a flow of connects; none waits or is refused."""
    container.lifetime, container.reissue_below, container.latency = LIFE, LIFE * 2 / 3, 0.2
    url = rds.url(drivername, rds_iam_credentials=way)
    database = databases(url, is_async=is_async, poolclass=NullPool)
    runtime = database.inside.runtime
    join, joined = runtime.join, []
    runtime.join = lambda fetch, timeout: (joined.append(fetch), join(fetch, timeout))
    keys: set[str | None] = set()
    for _ in range(36):
        assert database.scalar("select 1") == 1
        keys.add(rds.decisions[-1].access_key)
        settle(database)
        clock.offset += LIFE / 12
    assert len(keys) >= 3
    assert len(set(joined)) == 1  # by the very first connect, which may wait by turns
    assert all(decision.granted for decision in rds.decisions)


@EACH_WAY
def test_outage_then_recovery(
    databases: Callable[..., Any],
    container: Any,
    rds: RdsEmulator,
    drivername: str,
    is_async: bool,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the endpoint is down the error names it; once it is back, no restart is needed."""
    monkeypatch.setattr(botocore.utils.ContainerMetadataFetcher, "SLEEP_TIME", 0)
    container.fail("garbage")
    url = rds.url(drivername, rds_iam_credentials=way, rds_iam_failure_ttl="0")
    database = databases(url, is_async=is_async)
    error = database.raises(CredentialsError)
    assert "container-role" in str(error)
    container.recover()
    assert database.scalar("select 1") == 1


def test_deadline(connect: Any, container: Any, rds: RdsEmulator, way: dict[str, str]) -> None:
    """A connect waits rds_iam_timeout and no longer; the fetch goes on and serves the next one."""
    container.latency = 0.2
    before = _calls(container)
    database = connect(options=way | {"rds_iam_timeout": "0.01"})
    error = database.raises(WaitTimeout)
    assert "rds_iam_timeout" in str(error)
    assert isinstance(error, TimeoutError)
    patient = connect(options=way)
    assert patient.scalar("select 1") == 1
    # A fetch on the first one's loop, which stands still by now, has been given up.
    assert _calls(container) - before <= (2 if way["rds_iam_credentials"] == "aiobotocore" else 1)


def test_revoked_and_replaced(
    connect: Any, rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """When the credentials file is rewritten, a refused token is enough to notice."""
    file = tmp_path / "credentials"

    def write(key: AccessKey) -> None:
        file.write_text(
            "[default]\n"
            f"aws_access_key_id = {key.access_key}\n"
            f"aws_secret_access_key = {key.secret_key}\n"
        )

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    old = rds.identities.issue(rds.key.principal)
    write(old)
    database = connect(poolclass=NullPool)
    database.scalar("select 1")
    new = rds.identities.issue(rds.key.principal)
    write(new)
    old.revoked = True
    # As if the file had been read longer ago than the second after which it is read again.
    database.inside.age(2)
    assert database.scalar("select 1") == 1
    assert [d.access_key for d in rds.decisions if d.granted] == [old.access_key, new.access_key]


def test_reset_passes_by_a_thread_that_hangs(rds: RdsEmulator) -> None:
    """After a reset, no caller waits for a fetch that never comes back."""
    source = AwsSource(None)
    source._lock.acquire()  # as the thread would that hangs in its credential_process
    source.reset()
    assert source.fetch(reload=False).access_key == rds.key.access_key


def test_session_object(
    connect: Any, rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, world: tuple[str, bool]
) -> None:
    """A botocore session handed in decides who connects, in both worlds."""
    key = rds.identities.issue(rds.identities.user("session"))
    session = botocore.session.Session()
    session.set_credentials(key.access_key, key.secret_key)
    database = connect(rds_iam_session=session)
    assert database.scalar("select 1") == 1
    assert rds.decisions[-1].access_key == key.access_key


def test_a_session_is_never_replaced(
    connect: Any, rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused token of a session's credentials does not lead to those of the environment."""
    key = rds.identities.issue(rds.identities.user("session"))
    session = botocore.session.Session()
    session.set_credentials(key.access_key, key.secret_key)
    database = connect(rds_iam_session=session, poolclass=NullPool)
    database.scalar("select 1")
    database.inside.age(60)
    key.revoked = True
    database.raises(Exception)
    assert {decision.access_key for decision in rds.decisions} == {key.access_key}


@pytest.mark.aiobotocore
def test_aio_session_object(connect: Any, rds: RdsEmulator, world: tuple[str, bool]) -> None:
    """An aiobotocore session serves async engines, and is refused for sync ones."""
    from aiobotocore.session import AioSession

    session = AioSession()
    session.set_credentials(rds.key.access_key, rds.key.secret_key)
    if not world[1]:
        with pytest.raises(ConfigError, match="async engines only"):
            connect(rds_iam_session=session)
        return
    assert connect(rds_iam_session=session).scalar("select 1") == 1


def test_wrong_fetcher_for_the_session(connect: Any) -> None:
    """A botocore session cannot be used through aiobotocore."""
    session = botocore.session.Session()
    with pytest.raises(ConfigError, match="cannot use this botocore session"):
        connect(rds_iam_session=session, rds_iam_credentials="aiobotocore")


def test_lazy_engines_work(connect: Any, container: Any, way: dict[str, str]) -> None:
    """rds_iam_refresh=lazy connects just the same."""
    assert connect(options=way | {"rds_iam_refresh": "lazy"}).scalar("select 1") == 1


def test_engines_leave_nothing_behind(rds: RdsEmulator, world: tuple[str, bool]) -> None:
    """When its engines are gone, an identity and its tokens are gone as well."""
    drivername, is_async = world
    database = Database(rds.url(drivername), is_async=is_async)
    database.scalar("select 1")
    assert len(plugin._identities) == 1
    database.close()
    del database
    gc.collect()
    assert len(plugin._identities) == 0
