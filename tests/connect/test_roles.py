"""Roles assumed by option: on top of any identity, renewed, and never mistaken for one another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import botocore.session
import pytest
from families import words_of
from faults_support import LIFE, OF_BOTH_FAMILIES, Clock, Way, settle
from inside import Inside
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import CredentialsError
from sqlalchemy_rds_iam._aws.assume_role import AssumedRole
from sqlalchemy_rds_iam._aws.credentials import AwsSource
from sqlalchemy_rds_iam._aws.sessions import botocore_session
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._passwords.expiry import SHORTEST_PAUSE
from sqlalchemy_rds_iam.testing import Principal, RdsEmulator

ARN = "arn:aws:iam::123456789012:role/app"


@pytest.fixture
def asked(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """The parameters of what STS is asked, and the region that each request is signed for."""
    requests: list[dict[str, str]] = []
    answer = rds.aws.sts.answer

    def watch(call: Any) -> Any:
        scope = call.header("Authorization").partition("Credential=")[2].split("/")
        parameters = {name: values[0] for name, values in parse_qs(call.body.decode()).items()}
        requests.append(parameters | {"key": scope[0], "region": scope[2]})
        return answer(call)

    monkeypatch.setattr(rds.aws.sts, "answer", watch)
    return requests


@pytest.fixture
def app(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> Principal:
    """The role that the tests assume; whom it trusts is forgotten after each."""
    monkeypatch.setattr(rds.aws.sts, "_trusted", {})
    return rds.identities.role("app")


def _role(arn: str = ARN, **options: str) -> dict[str, str]:
    return {f"rds_iam_{name}": value for name, value in {"role_arn": arn, **options}.items()}


def _who(rds: RdsEmulator) -> str | None:
    """Who the last login was made by."""
    assert rds.decisions[-1].granted
    return rds.decisions[-1].principal


def test_connects_as_the_role(
    open_database: Callable[..., Database],
    rds: RdsEmulator,
    app: Principal,
    asked: list[dict[str, str]],
) -> None:
    """The role is assumed on top of what the environment holds, as the options say."""
    options = _role(role_session_name="orders", external_id="team:42", role_duration="1800")
    database = open_database(options=options, poolclass=NullPool)
    for _ in range(3):
        assert database.scalar("select 1") == 1
    assert _who(rds) == app.arn
    [request] = asked
    expected = {
        "Action": "AssumeRole",
        "RoleArn": ARN,
        "RoleSessionName": "orders",
        "ExternalId": "team:42",
        "DurationSeconds": "1800",
        "key": rds.key.access_key,
    }
    assert request.items() >= expected.items()
    credentials = database.inside.credentials
    assert credentials.provider == f"assume-role {ARN}"


def test_defaults(
    open_database: Callable[..., Database], app: Principal, asked: list[dict[str, str]]
) -> None:
    """Without more options the session is named after us, lives an hour, gives no external id."""
    open_database(options=_role()).scalar("select 1")
    assert asked[0]["RoleSessionName"] == "sqlalchemy-rds-iam"
    assert asked[0]["DurationSeconds"] == "3600"
    assert "ExternalId" not in asked[0]


@pytest.mark.parametrize("duration", ["900", "3600"])
def test_outlives_its_session(
    open_database: Callable[..., Database],
    rds: RdsEmulator,
    app: Principal,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    duration: str,
) -> None:
    """A role goes on for hours: renewed ahead, once for each of its sessions, without a refusal."""
    monkeypatch.setattr(rds.aws.sts, "lifetime", None)
    database = open_database(options=_role(role_duration=duration), poolclass=NullPool)
    step, sessions = int(duration) / 10, 4
    before = rds.aws.sts.calls["AssumeRole"]
    for _ in range(10 * sessions):
        assert database.scalar("select 1") == 1
        settle(database)
        clock.offset += step
    assert all(decision.granted for decision in rds.decisions)
    assert sessions <= rds.aws.sts.calls["AssumeRole"] - before <= 2 * sessions
    clock.offset += 100 * int(duration)  # there has been no connect for long
    assert database.scalar("select 1") == 1
    assert _who(rds) == app.arn


def test_external_id_missing(open_database: Callable[..., Database], rds: RdsEmulator) -> None:
    """What the trust policy asks for is named by the error, and given by the option."""
    role = rds.identities.role("partner", external_id="team:42")
    database = open_database(options=_role(role.arn))
    error = database.raises(CredentialsError)
    assert role.arn in str(error)
    assert "rds_iam_external_id" in str(error)
    assert not getattr(error, "retryable", True)
    open_database(options=_role(role.arn, external_id="team:42")).scalar("select 1")
    assert _who(rds) == role.arn


def test_permission_given_at_last(
    open_database: Callable[..., Database], rds: RdsEmulator, app: Principal
) -> None:
    """A role that may not be assumed yet may be later, without a restart."""
    rds.aws.sts.trust(app)
    database = open_database(options=_role() | {"rds_iam_failure_ttl": "0"})
    assert "trust policy" in str(database.raises(CredentialsError))
    rds.aws.sts.trust(app, rds.key.principal)
    assert database.scalar("select 1") == 1


def test_on_top_of_a_container(
    open_database: Callable[..., Database], rds: RdsEmulator, container: Any, app: Principal
) -> None:
    """The identity underneath may come from the network."""
    open_database(options=_role()).scalar("select 1")
    assert _who(rds) == app.arn
    assert container.calls > 0


def test_a_chain_of_roles(
    open_database: Callable[..., Database],
    rds: RdsEmulator,
    sts: Any,
    app: Principal,
    asked: list[dict[str, str]],
) -> None:
    """A profile's role assumes the one of the option, for an hour at most, as STS has it."""
    open_database(options=_role()).scalar("select 1")
    assert _who(rds) == app.arn
    assert [request["RoleArn"] for request in asked] == [sts.role.arn, ARN]
    error = open_database(options=_role(role_duration="7200")).raises(CredentialsError)
    assert "1 hour session limit" in str(error)


def test_on_top_of_a_session(
    way: Way, rds: RdsEmulator, app: Principal, databases: Callable[..., Database]
) -> None:
    """A session handed in is the identity underneath."""
    base = rds.identities.issue(rds.identities.user("deployer"))
    if way.credentials == "aiobotocore":
        aiobotocore = pytest.importorskip("aiobotocore.session")
        session = aiobotocore.AioSession()
    else:
        session = botocore.session.Session()
    session.set_credentials(base.access_key, base.secret_key, base.session_token)
    rds.aws.sts.trust(app, base.principal)
    database = databases(
        rds.url(way.drivername), is_async=way.is_async, rds_iam_session=session, **_role()
    )
    assert database.scalar("select 1") == 1
    assert _who(rds) == app.arn


def test_keys_underneath_replaced(
    open_database: Callable[..., Database],
    rds: RdsEmulator,
    app: Principal,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """When STS no longer takes the keys underneath, they are read again, without a restart."""
    old, new = (rds.identities.issue(rds.key.principal) for _ in range(2))
    file = tmp_path / "credentials"
    for name in rds.key.environ():
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setattr(rds.aws.sts, "lifetime", LIFE)

    def hold(key: Any) -> None:
        lines = [f"{name.lower()} = {value}" for name, value in key.environ().items()]
        file.write_text("\n".join(["[default]", *lines]))

    hold(old)
    options = _role() | {"rds_iam_failure_ttl": "0"}
    database = open_database(options=options, poolclass=NullPool)
    assert database.scalar("select 1") == 1
    old.revoked = True
    clock.offset += LIFE
    database.raises(CredentialsError)
    hold(new)
    assert database.scalar("select 1") == 1


def test_a_revoked_role_session(
    open_database: Callable[..., Database], rds: RdsEmulator, app: Principal, clock: Clock
) -> None:
    """Sessions that were revoked are replaced after one refusal, which the caller never sees."""
    database = open_database(options=_role(), poolclass=NullPool)
    assert database.scalar("select 1") == 1
    rds.identities.revoke(app)
    clock.offset += SHORTEST_PAUSE
    assert database.scalar("select 1") == 1
    assert [decision.granted for decision in rds.decisions] == [True, False, True]


def test_no_exchange_between_roles(
    open_database: Callable[..., Database], rds: RdsEmulator, asked: list[dict[str, str]]
) -> None:
    """Same host, same user: neither another role nor another external id shares a token."""
    roles = [rds.identities.role(name) for name in ("one", "two")]
    choices = [_role(role.arn, external_id=external) for role in roles for external in ("aa", "bb")]
    choices += [_role(roles[0].arn, external_id="aa", role_session_name="other")]
    opened = [open_database(options=options, poolclass=NullPool) for options in choices]
    keys = set()
    for _ in range(2):
        for database, options in zip(opened, choices, strict=True):
            assert database.scalar("select 1") == 1
            assert _who(rds) == options["rds_iam_role_arn"]
            keys.add(rds.decisions[-1].access_key)
    assert len(keys) == len(asked) == len(choices)
    same = open_database(options=choices[0])
    assert same.scalar("select 1") == 1
    assert len(asked) == len(choices)


@OF_BOTH_FAMILIES
def test_a_role_that_may_not_connect(
    open_database: Callable[..., Database], rds: RdsEmulator, way: Way
) -> None:
    """The note on a refused login says which role had signed."""
    role = rds.identities.role("reader", db_users=["someone_else"])
    database = open_database(options=_role(role.arn))
    with pytest.raises(Exception, match=words_of(way.drivername).refused) as caught:
        database.scalar("select 1")
    errors = [caught.value, getattr(caught.value, "orig", None)]
    notes = [note for error in errors for note in getattr(error, "__notes__", [])]
    assert f"assume-role {role.arn}" in "\n".join(notes)


@pytest.mark.parametrize(
    ("ambient", "option", "host", "expected"),
    [
        ("eu-west-1", None, "db.abc123.us-east-2.rds.amazonaws.com", "eu-west-1"),
        (None, None, "db.abc123.us-east-2.rds.amazonaws.com", "us-east-2"),
        (None, "ap-south-1", "db.example.test", "ap-south-1"),
    ],
)
def test_the_nearest_sts(
    monkeypatch: pytest.MonkeyPatch,
    ca: str,
    ambient: str | None,
    option: str | None,
    host: str,
    expected: str,
) -> None:
    """STS is asked in the region where we run, or else where the database is; never globally."""
    if ambient:
        monkeypatch.setenv("AWS_REGION", ambient)
    region = {} if option is None else {"rds_iam_region": option}
    engine = create_engine(
        f"postgresql+psycopg://app@{host}/app?plugin=rds_iam", **_role(), **region
    )
    source = Inside(engine).source
    assert isinstance(source, AwsSource)
    assert source._role is not None
    assert source._role.region == expected
    client = botocore_session(None).create_client("sts", **source._role._place)
    assert client.meta.endpoint_url == f"https://sts.{expected}.amazonaws.com"


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://sts.us-west-2.amazonaws.com", "us-west-2"),
        ("https://sts-fips.us-east-1.amazonaws.com", "us-east-1"),
        ("https://vpce-0a1b-2c.sts.eu-central-1.vpce.amazonaws.com", "eu-central-1"),
        ("https://sts.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("https://sts.amazonaws.com", "eu-west-1"),
        ("https://proxy.example.com/sts", "eu-west-1"),
    ],
)
def test_region_of_an_sts_endpoint(url: str, region: str) -> None:
    """A regional endpoint takes only requests that are signed for its region."""
    role = AssumedRole.of(IamOptions(role_arn=ARN, sts_endpoint_url=url), lambda: "eu-west-1")
    assert role is not None
    assert role.region == region


def test_sts_endpoint_url(
    open_database: Callable[..., Database],
    rds: RdsEmulator,
    app: Principal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The option's endpoint is the one that is asked, whatever the environment says."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    database = open_database(options=_role(sts_endpoint_url=rds.aws.sts.url))
    assert database.scalar("select 1") == 1
    assert _who(rds) == app.arn


def test_no_identity_to_assume_it(
    open_database: Callable[..., Database], rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an identity underneath the error says where one was looked for."""
    for name in rds.key.environ():
        monkeypatch.delenv(name)
    assert "no AWS credentials found" in str(
        open_database(options=_role()).raises(CredentialsError)
    )
