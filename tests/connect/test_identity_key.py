"""Identities are told apart by all that selects one in botocore, and engines share nothing else."""

from __future__ import annotations

import gc
import os
import re
import signal
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import botocore
import botocore.session
import pytest
from inside import Inside
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import plugin, rds_iam_stats, secret_plugin
from sqlalchemy_rds_iam._aws.identity_key import PATHS, SELECTORS, identity_key
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._registry import Registry
from sqlalchemy_rds_iam.testing import RdsEmulator

URL = "postgresql+psycopg://app@db.abc123.us-east-1.rds.amazonaws.com/app?plugin=rds_iam"

NO_SELECTORS = {
    "AWS_ACCOUNT_ID": "goes with the keys, and is not signed with",
    "AWS_CREDENTIAL_EXPIRATION": "says how long the same keys are good",
    "AWS_EC2_METADATA_SERVICE": "a part of other names",
    "AWS_METADATA_SERVICE_TIMEOUT": "how long is waited, not for whom",
    "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "how often is tried, not with whom",
    "AWS_EXECUTION_ENV": "counts with defaults_mode=auto, for time-outs and STS's own region alone",
    "AWS_LAMBDA_FUNCTION_NAME": "goes into the user agent",
    "AWS_SDK_UA_APP_ID": "goes into the user agent",
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": "is about DynamoDB",
    "AWS_AUTH_SCHEME_PREFERENCE": "how requests are signed, not with which keys",
    "AWS_SIGV4A_SIGNING_REGION_SET": "how requests are signed, not with which keys",
    "AWS_DISABLE_HOST_PREFIX_INJECTION": "is about services with prefixes, which none of these has",
    "AWS_DISABLE_REQUEST_COMPRESSION": "how a request is sent",
    "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES": "how a request is sent",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "how a request is sent",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "how an answer is checked",
    "AWS_ENDPOINT_DISCOVERY_ENABLED": "is about services that have it, which none of these does",
    "AWS_MAX_ATTEMPTS": "how often is tried",
    "AWS_RETRY_MODE": "how often is tried",
    "AWS_NEW_RETRIES_2026": "how often is tried",
}
"""What botocore reads besides, and why it selects no identity."""

_NO_SELECTORS = re.compile(r"AWS_(CSM|S3)_\w+|BOTO(CORE)?_(DISABLE|TCP|EXPERIMENTAL__(ADD|NO))\w+")
"""Monitoring, S3, and how botocore speaks HTTP."""

SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN")


def test_whatever_botocore_reads() -> None:
    """Each variable that botocore mentions is in the key, or is known to select no identity."""
    found: set[str] = set()
    for file in Path(botocore.__file__).parent.glob("*.py"):
        found |= set(re.findall(r"['\"]((?:AWS|BOTO|BOTOCORE)_[A-Z0-9_]+)['\"]", file.read_text()))
    assert len(found) > 40
    known = {*SELECTORS, *PATHS, *NO_SELECTORS}
    assert {name for name in found - known if not _NO_SELECTORS.fullmatch(name)} == set()


@pytest.mark.parametrize("name", [*SELECTORS, *PATHS])
def test_each_selector(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another value is another identity; the same one the same; an empty one is none."""
    monkeypatch.delenv(name, raising=False)
    keys = [identity_key(IamOptions(), None)]
    for value in ("one", "two"):
        monkeypatch.setenv(name, value)
        keys.append(identity_key(IamOptions(), None))
        assert identity_key(IamOptions(), None) == keys[-1]
    assert len(set(keys)) == 3
    monkeypatch.setenv(name, "")
    assert identity_key(IamOptions(), None) == keys[0]


def test_values_do_not_run_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one variable says is not taken for what another does."""
    keys = set()
    for name in (*SELECTORS, *PATHS):
        with monkeypatch.context() as patch:
            patch.setenv(name, "/same")
            keys.add(identity_key(IamOptions(), None))
    assert len(keys) == len(SELECTORS) + len(PATHS)


def test_no_secret_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key lives as long as an engine; no secret, nor a plain hash of one, is in it."""
    for name in SECRETS:
        monkeypatch.setenv(name, f"canary-{name}")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:canary@proxy")
    key = identity_key(IamOptions(), None)
    assert "canary" not in repr(key)
    session = botocore.session.Session()
    session.set_credentials("AKIA", "canary")
    assert "canary" not in repr(identity_key(IamOptions(session=session), None))


def test_files_and_homes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is the file that counts: the home, the directory and variables in a path select one."""
    keys = set()
    for home in ("a", "b"):
        (tmp_path / home).mkdir()
        monkeypatch.setenv("HOME", str(tmp_path / home))
        keys.add(identity_key(IamOptions(), None))
    for directory in ("a", "b"):
        monkeypatch.chdir(tmp_path / directory)
        monkeypatch.setenv("AWS_CONFIG_FILE", "config")
        keys.add(identity_key(IamOptions(), None))
    monkeypatch.setenv("AWS_CONFIG_FILE", "$TENANT/config")
    for tenant in ("one", "two"):
        monkeypatch.setenv("TENANT", tenant)
        keys.add(identity_key(IamOptions(), None))
    assert len(keys) == 6
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "b" / "two" / "config"))
    assert identity_key(IamOptions(), None) in keys


@pytest.mark.skipif(os.name != "posix", reason="a directory in use cannot be removed")
def test_a_directory_that_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A working directory that was removed is no reason to fail."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    monkeypatch.setenv("AWS_CONFIG_FILE", "config")
    (tmp_path / "gone").rmdir()
    assert identity_key(IamOptions(), None) == identity_key(IamOptions(), None)


class _Session:
    """A session as users may make one: equal to all others, and not hashable."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.secret = "canary"

    def __eq__(self, other: object) -> bool:
        return True

    def __repr__(self) -> str:
        return self.secret

    def get_credentials(self) -> Any: ...


class _Wrapper:
    """As boto3 wraps a session of botocore."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def get_credentials(self) -> Any: ...


def test_sessions() -> None:
    """A session is itself alone, whatever it says of itself; who wraps it does not matter."""
    one, two = _Session(), _Session()
    keys = {identity_key(IamOptions(session=each), None) for each in (one, one, _Wrapper(one))}
    assert len(keys) == 1
    assert identity_key(IamOptions(session=two), None) not in keys
    assert identity_key(IamOptions(), None) not in keys
    assert "canary" not in repr(keys)


def test_an_address_that_is_used_again(ca: str) -> None:
    """The tokens of a session that is gone are not another one's that has taken its address."""
    other, session = _Session(), _Wrapper(_Session())
    address = id(session)
    kept = _cache(create_engine(URL, rds_iam_session=session))
    del session
    gc.collect()
    others = [_Wrapper(other)]
    while id(others[-1]) != address and len(others) < 10_000:
        others.append(_Wrapper(other))
    assert _cache(create_engine(URL, rds_iam_session=others[-1])) is not kept


def _cache(engine: Any) -> Any:
    return Inside(engine).cache


@pytest.mark.parametrize("which", ["rds_iam", "rds_secret"])
def test_nothing_stays(which: str, ca: str) -> None:
    """The key holds the session, and goes with the last engine."""
    url = URL
    if which == "rds_secret":
        url = "postgresql+psycopg://?plugin=rds_secret&rds_secret_id=x&rds_secret_region=us-east-1"
    session = _Session()
    gone = weakref.ref(session)
    engines = [create_engine(url, **{f"{which}_session": session}) for _ in range(2)]
    del session
    gc.collect()
    assert gone() is not None
    del engines
    gc.collect()
    assert gone() is None
    assert len(plugin._identities) == len(secret_plugin._clients) == 0


def test_made_at_the_same_time() -> None:
    """Threads that want the same object at once get one, which is made once."""
    registry: Registry[Any] = Registry()
    made: list[Any] = []

    class Thing:
        pass

    def make() -> Thing:
        time.sleep(0.01)
        made.append(Thing())
        return made[-1]  # type: ignore[no-any-return]

    gate = threading.Barrier(8)

    def want(_: int) -> Any:
        gate.wait(30)
        return registry.shared("key", make)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(want, range(8)))
    assert len(made) == 1
    assert set(found) == set(made)
    del found
    made.clear()
    gc.collect()
    assert len(registry) == 0


def test_engines_made_at_the_same_time(ca: str) -> None:
    """Engines of one identity share their tokens, in whatever thread they are made."""
    gate = threading.Barrier(8)

    def make(_: int) -> Any:
        gate.wait(30)
        return create_engine(URL)

    for _ in range(5):
        with ThreadPoolExecutor(8) as pool:
            engines = list(pool.map(make, range(8)))
        assert len(plugin._identities) == 1
        del engines
        gc.collect()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_fork_while_one_is_made() -> None:
    """A child can make its own, although a thread of the parent was about to."""
    registry: Registry[Any] = Registry()
    held, done = threading.Event(), threading.Event()

    def make() -> Registry[Any]:
        held.set()
        done.wait(30)
        return Registry()

    thread = threading.Thread(target=registry.shared, args=("key", make))
    thread.start()
    held.wait(30)
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        os._exit(0 if registry.shared("other", Registry) is not None else 1)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _granted(rds: RdsEmulator) -> list[str | None]:
    return [decision.principal for decision in rds.decisions if decision.granted]


@pytest.mark.parametrize(
    "name", ["AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
)
def test_who_authorizes_the_container(
    name: str,
    connect: Callable[..., Database],
    rds: RdsEmulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """One agent serves two roles: each engine logs in as that of its own token."""
    for variable in rds.key.environ():
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", rds.aws.container_url)
    service, made, roles = rds.aws.container, [], []
    for tenant in ("one", "two"):
        (tmp_path / tenant).write_text(tenant)
        monkeypatch.setenv(name, str(tmp_path / tenant) if name.endswith("FILE") else tenant)
        roles.append(rds.identities.role(tenant))
        monkeypatch.setattr(service, "role", roles[-1])
        monkeypatch.setattr(service, "_key", None)
        made.append(connect(poolclass=NullPool))
        made[-1].scalar("select 1")
    for database in (*made, *made):
        database.scalar("select 1")
    first, second = (role.arn for role in roles)
    assert _granted(rds) == [first, second, first, second, first, second]


def test_a_session_token_exchanged_in_place(
    connect: Callable[..., Database], rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine made under another session token does not log in with a token of the first."""
    key = rds.identities.issue(rds.key.principal, 3600)
    for name, value in key.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-yesterday")
    old = connect(poolclass=NullPool)
    old.raises(Exception)
    rds.clear()
    monkeypatch.setenv("AWS_SESSION_TOKEN", str(key.session_token))
    new = connect(poolclass=NullPool)
    assert new.scalar("select 1") == 1
    assert [decision.granted for decision in rds.decisions] == [True]
    assert rds_iam_stats(new.engine).refused == 0


def test_two_homes(
    connect: Callable[..., Database],
    rds: RdsEmulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Two homes are two files of keys."""
    for variable in (*rds.key.environ(), "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(variable, raising=False)
    users, made = [], []
    for tenant in ("one", "two"):
        users.append(rds.identities.user(tenant))
        key = rds.identities.issue(users[-1])
        home = tmp_path / tenant
        (home / ".aws").mkdir(parents=True)
        lines = [f"{name.lower()} = {value}" for name, value in key.environ().items()]
        (home / ".aws" / "credentials").write_text("\n".join(["[default]", *lines]))
        monkeypatch.setenv("HOME", str(home))
        made.append(connect(poolclass=NullPool))
        made[-1].scalar("select 1")
    for database in made:
        database.scalar("select 1")
    assert _granted(rds) == [user.arn for user in users] * 2
