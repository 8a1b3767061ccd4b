"""Who logs in where, with whose token, and what a reader that is down does to the writer."""

from __future__ import annotations

import configparser
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pair_support import READER, READER_HOST, Pair, ReaderEndpoint
from patience import DEADLINE
from sqlalchemy import URL
from sqlalchemy.pool import NullPool

from sqlalchemy_rds_iam import EnginePair, engine_pair
from sqlalchemy_rds_iam.testing import RdsEmulator

CERTIFICATE = "(?i)certificate"


def test_each_logs_in_at_its_own_endpoint(
    pairs: Callable[..., Pair],
    pair_world: tuple[str, bool],
    rds: RdsEmulator,
    reader: ReaderEndpoint,
) -> None:
    """The reader's token is signed for the reader, of which only the address had to be said."""
    drivername, _ = pair_world
    pair = pairs(rds.url(drivername), reader.url(drivername, user=None))
    assert pair.user(pair.writer) == "app"
    assert pair.user(pair.reader) == "app"
    [at_writer], [at_reader] = rds.decisions, reader.decisions
    assert at_writer.granted
    assert at_reader.granted
    assert READER_HOST not in pair.writer.url.render_as_string()


def test_from_the_environment(
    pairs: Callable[..., Pair],
    pair_world: tuple[str, bool],
    rds: RdsEmulator,
    reader: ReaderEndpoint,
) -> None:
    """A container's variables alone make a pair that logs in, each engine as its own user."""
    url = rds.url(pair_world[0]).difference_update_query(["plugin"])
    environ = {
        "RDS_IAM_URL": url.render_as_string(),
        "RDS_IAM_READER_SERVER": ":".join(map(str, reader.address)),
        "RDS_IAM_READER_HOST": READER_HOST,
        "RDS_IAM_READER_PORT": str(rds.endpoint.port),
        "RDS_IAM_READER_USER": READER,
    }
    pair = pairs(environ=environ)
    assert pair.user(pair.writer) == "app"
    assert pair.user(pair.reader) == READER


def test_roles_of_their_own(
    pairs: Callable[..., Pair],
    pair_world: tuple[str, bool],
    rds: RdsEmulator,
    reader: ReaderEndpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The reader may assume another role, at the writer's STS and under the writer's name."""
    writes, reads = rds.identities.role("writes"), rds.identities.role("reads")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    url = rds.url(pair_world[0]).difference_update_query(["plugin"])
    environ = {
        "RDS_IAM_URL": url.render_as_string(),
        "RDS_IAM_ROLE_ARN": writes.arn,
        "RDS_IAM_ROLE_SESSION_NAME": "orders",
        "RDS_IAM_STS_ENDPOINT_URL": rds.aws.sts.url,
        "RDS_IAM_READER_SERVER": ":".join(map(str, reader.address)),
        "RDS_IAM_READER_HOST": READER_HOST,
        "RDS_IAM_READER_PORT": str(rds.endpoint.port),
        "RDS_IAM_READER_ROLE_ARN": reads.arn,
    }
    pair = pairs(environ=environ)
    for _ in range(2):
        pair.scalar(pair.writer, "select 1")
        pair.scalar(pair.reader, "select 1")
    for endpoint, role in ((rds, writes), (reader, reads)):
        assert {decision.principal for decision in endpoint.decisions} == {role.arn}
        key = rds.identities.find(endpoint.decisions[-1].access_key or "")
        assert key is not None
        assert rds.aws.sts._session_name(key) == "orders"


def test_from_an_ini_file(
    pairs: Callable[..., Pair],
    pair_world: tuple[str, bool],
    rds: RdsEmulator,
    reader: ReaderEndpoint,
) -> None:
    """So does a section of an ini file, with the strings that such files hold."""
    parser = configparser.ConfigParser()
    parser["app"] = {
        "sqlalchemy.url": rds.url(pair_world[0]).render_as_string().replace("%", "%%"),
        "sqlalchemy.reader.url": reader.url(pair_world[0]).render_as_string(),
        "sqlalchemy.reader.pool_size": "1",
    }
    pair = pairs(parser["app"])
    assert pair.user(pair.writer) == "app"
    assert pair.user(pair.reader) == READER


@pytest.fixture
def far(rds: RdsEmulator) -> Iterator[ReaderEndpoint]:
    """A reader endpoint in another region."""
    host = READER_HOST.replace("us-east-1", "eu-west-1")
    endpoint = ReaderEndpoint(rds, host, "eu-west-1")
    yield endpoint
    endpoint.close()


def test_another_region(
    far: ReaderEndpoint,
    pairs: Callable[..., Pair],
    pair_world: tuple[str, bool],
    rds: RdsEmulator,
) -> None:
    """A reader in another region is signed for there, though the writer's region was said."""
    drivername, _ = pair_world
    pair = pairs(rds.url(drivername, rds_iam_region="us-east-1"), far.url(drivername, user=None))
    for engine in (pair.writer, pair.reader):
        assert pair.user(engine) == "app"


def test_another_protection(
    pairs: Callable[..., Pair],
    pair_world: tuple[str, bool],
    rds: RdsEmulator,
    reader: ReaderEndpoint,
) -> None:
    """The reader's TLS is the writer's unless it says otherwise, and then the writer's stays."""
    drivername, _ = pair_world
    reader.gateway.certificate = rds.gateway.certificate = rds.certificates.other_host()
    url = reader.url(drivername, user=None)
    for its_own, connects in (({}, False), ({"rds_iam_tls": "verify-ca"}, True)):
        pair = pairs(rds.url(drivername), url.update_query_dict(its_own))
        with contextlib.nullcontext() if connects else pytest.raises(Exception, match=CERTIFICATE):
            assert pair.user(pair.reader) == "app"
        with pytest.raises(Exception, match=CERTIFICATE):
            pair.user(pair.writer)


@pytest.mark.parametrize("pair_world", ["psycopg", "psycopg-async", "asyncpg"], indirect=True)
@pytest.mark.parametrize("by_token", ["writer", "reader"])
def test_iam_for_one_of_them(
    pairs: Callable[..., Pair],
    pair_world: tuple[str, bool],
    rds: RdsEmulator,
    by_token: str,
) -> None:
    """One of the two can do without IAM, with a password and without TLS; the other has a token."""
    drivername, _ = pair_world
    rds.create_user(READER)
    socket = Path(str(rds.gateway._backend.socket))
    query = {"host": str(socket.parent), "port": "5432"}
    plain = URL.create(drivername, READER, "canary", None, None, "app", query)
    token = rds.url(drivername)
    if by_token == "writer":
        pair = pairs(token, plain.update_query_dict({"rds_iam_enabled": "off"}))
    else:
        pair = pairs(plain, token)
    other = pair.reader if by_token == "writer" else pair.writer
    engine = pair.writer if by_token == "writer" else pair.reader
    assert pair.user(engine) == "app"
    [decision] = rds.decisions
    assert decision.access_key == rds.key.access_key
    assert pair.user(other) == READER
    assert len(rds.decisions) == 1


@pytest.mark.parametrize("at", ["same-server", "two-servers"])
def test_identities_stay_apart(
    pairs: Callable[..., Pair],
    pair_world: tuple[str, bool],
    rds: RdsEmulator,
    reader: ReaderEndpoint,
    at: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two profiles never exchange a token, as one user on one server, however they interleave."""
    drivername, _ = pair_world
    keys = {name: rds.identities.issue(rds.identities.user(name)) for name in ("rw", "ro")}
    (tmp_path / "credentials").write_text(
        "".join(
            f"[{name}]\naws_access_key_id = {key.access_key}\n"
            f"aws_secret_access_key = {key.secret_key}\n"
            for name, key in keys.items()
        )
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    pair = pairs(
        rds.url(drivername, rds_iam_profile="rw"),
        reader.url(drivername, user=None) if at == "two-servers" else None,
        reader_options={"rds_iam_profile": "ro"},
        poolclass=NullPool,
    )
    expected: list[str] = []
    for turn in range(6):
        engine, name = (pair.writer, "rw") if turn % 3 else (pair.reader, "ro")
        if turn == 4:
            # A refused token is replaced, by one of the same identity.
            rds.gateway.refuse_next = 1
        pair.scalar(engine, "select 1")
        expected.append(keys[name].access_key)
    seen = sorted(rds.decisions + reader.decisions, key=lambda decision: decision.time)
    assert [decision.access_key for decision in seen if decision.granted] == expected
    assert len(seen) == len(expected) + 1


def test_identities_stay_apart_in_threads(
    rds: RdsEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do they when eight threads open their first connections at once."""
    keys = {name: rds.identities.issue(rds.identities.user(name)) for name in ("rw", "ro")}
    # The policies differ, so that the other's token would be refused as well.
    keys["rw"].principal.db_users = frozenset({"app"})
    keys["ro"].principal.db_users = frozenset({READER})
    rds.create_user(READER)
    for name, key in keys.items():
        with (tmp_path / "credentials").open("a") as file:
            file.write(f"[{name}]\naws_access_key_id = {key.access_key}\n")
            file.write(f"aws_secret_access_key = {key.secret_key}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    pair = engine_pair(
        rds.url(rds_iam_profile="rw"),
        f"postgresql+psycopg://{READER}@/?rds_iam_profile=ro",
        poolclass=NullPool,
    )
    together = threading.Barrier(8, timeout=DEADLINE)

    def connect(number: int) -> None:
        together.wait()
        with pair[number % 2].connect():
            pass

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(connect, range(8)))
    found = {(decision.db_user, decision.access_key) for decision in rds.decisions}
    assert found == {("app", keys["rw"].access_key), (READER, keys["ro"].access_key)}
    assert all(decision.granted for decision in rds.decisions)


@pytest.mark.parametrize("fault", ["closed", "refusing", "no-tls"])
def test_reader_down(pair: Pair, rds: RdsEmulator, reader: ReaderEndpoint, fault: str) -> None:
    """A reader that is down or refuses is named by the error; the writer knows nothing of it."""
    if fault == "closed":
        reader.stop()
    elif fault == "refusing":
        reader.gateway.refuse_next = 5
    else:
        reader.gateway.decline_tls = True
    with pytest.raises(Exception) as caught:  # noqa: PT011  (of asyncpg's own in SQLAlchemy 2.0)
        pair.scalar(pair.reader, "select 1")
    told = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    if fault == "closed":
        assert str(reader.address[1]) in told
    if fault == "refusing":
        assert READER_HOST in told
    rds.clear()
    pair.run(pair.writer.dispose)
    assert pair.user(pair.writer) == "app"
    assert [decision.granted for decision in rds.decisions] == [True]


def test_dispose(pair: Pair, rds: RdsEmulator, reader: ReaderEndpoint) -> None:
    """dispose() closes both pools, even if the first one fails to."""
    for engine in (pair.writer, pair.reader):
        pair.scalar(engine, "select 1")
    logins = len(rds.decisions), len(reader.decisions)
    if isinstance(pair.pair, EnginePair):
        pair.pair.dispose()
    else:
        pair._runner.run(pair.pair.dispose())
    for engine in (pair.writer, pair.reader):
        pair.scalar(engine, "select 1")
    assert (len(rds.decisions), len(reader.decisions)) == (logins[0] + 1, logins[1] + 1)
