"""The emulated STS, as real botocore and aiobotocore clients see it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
import botocore.exceptions
import pytest
from aws_support import Account, found_by_chain
from emulator_support import Do

from sqlalchemy_rds_iam.testing.aws.identities import AccessKey

both_worlds = pytest.mark.parametrize("is_async", [False, True], ids=["botocore", "aiobotocore"])


def assume(account: Account, **more: Any) -> dict[str, Any]:
    """The arguments of AssumeRole for the account's role."""
    return {"RoleArn": account.role.arn, "RoleSessionName": "web", **more}


async def test_assumed_credentials_are_the_roles(account: Account, ask_sts: Do) -> None:
    """AssumeRole issues keys of the role, for the time asked, that STS itself recognises."""
    answer = await ask_sts("assume_role", **assume(account, DurationSeconds=900))
    issued = account.identities.find(answer["Credentials"]["AccessKeyId"])
    assert issued is not None
    assert issued.principal is account.role
    assert answer["Credentials"]["SessionToken"] == issued.session_token
    assert answer["Credentials"]["Expiration"].timestamp() == pytest.approx(
        issued.expires_at, abs=0.01
    )
    assert issued.expires_at == pytest.approx(time.time() + 900, abs=5)
    who = await ask_sts("get_caller_identity", issued)
    assert who["Arn"] == "arn:aws:sts::123456789012:assumed-role/app/web"
    assert who["Arn"] == answer["AssumedRoleUser"]["Arn"]
    assert who["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]
    assert (await ask_sts("get_caller_identity"))["Arn"] == account.user.arn


@both_worlds
async def test_a_profile_assumes_its_role(
    account: Account, tmp_path: Path, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's assume-role provider works from a profile with role_arn and source_profile."""
    account.role.external_id = "ticket-7"
    (tmp_path / "config").write_text(
        f"[profile app]\nrole_arn={account.role.arn}\nsource_profile=base\n"
        "external_id=ticket-7\nduration_seconds=1800\n"
    )
    (tmp_path / "credentials").write_text(
        f"[base]\naws_access_key_id={account.key.access_key}\n"
        f"aws_secret_access_key={account.key.secret_key}\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "app")
    found = await found_by_chain(is_async)
    assert found is not None
    method, key = found
    assert method == "assume-role"
    issued = account.identities.find(key.access_key)
    assert issued is not None
    assert issued.principal is account.role
    assert issued.expires_at == pytest.approx(time.time() + 1800, abs=5)
    assert account.aws.sts.calls == {"AssumeRole": 1}


@both_worlds
async def test_a_web_identity_assumes_its_role(
    account: Account, tmp_path: Path, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IRSA's environment is enough, but only with a token STS knows, for a role that trusts it."""
    (tmp_path / "token").write_text("header.claims.mark")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", account.role.arn)
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidIdentityToken"):
        await found_by_chain(is_async)
    account.aws.sts.web_identity_tokens.add("header.claims.mark")
    found = await found_by_chain(is_async)
    assert found is not None
    issued = account.identities.find(found[1].access_key)
    assert found[0] == "assume-role-with-web-identity"
    assert issued is not None
    assert issued.principal is account.role
    account.aws.sts.trust(account.role)
    with pytest.raises(botocore.exceptions.ClientError, match=r"AccessDenied.*Not authorized"):
        await found_by_chain(is_async)


def stolen(key: AccessKey, **changes: Any) -> AccessKey:
    """A copy of `key` that the account does not know about, changed."""
    parts = {name: getattr(key, name) for name in ("access_key", "secret_key", "session_token")}
    return AccessKey(**{**parts, **changes}, expires_at=None, principal=key.principal)


def expired(account: Account) -> AccessKey:
    """A session that ended a moment ago."""
    return account.identities.issue(account.user, 0.0)


def skewed(seconds: float) -> Callable[[Account], None]:
    """Puts the account's clock `seconds` ahead of the signer's."""

    def shift(account: Account) -> None:
        account.clock.offset = seconds

    return shift


DENIED = "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: sts:AssumeRole on"


@pytest.mark.parametrize(
    ("prepare", "code", "says"),
    [
        (
            lambda a: stolen(a.key, access_key="AKIAUNKNOWN000000000"),
            "InvalidClientTokenId",
            "invalid",
        ),
        (lambda a: stolen(a.key, secret_key="wrong"), "SignatureDoesNotMatch", "we calculated"),
        (lambda a: stolen(a.key, session_token="x"), "InvalidClientTokenId", "invalid"),
        (
            lambda a: stolen(a.identities.issue(a.user, 60), session_token=None),
            "InvalidClientTokenId",
            "invalid",
        ),
        (lambda a: a.identities.revoke(a.user), "InvalidClientTokenId", "invalid"),
        (expired, "ExpiredToken", "expired"),
        (skewed(+310), "SignatureDoesNotMatch", "Signature expired: .* is now earlier than"),
        (skewed(-310), "SignatureDoesNotMatch", "Signature not yet current: .* still later than"),
        (lambda a: a.aws.sts.trust(a.role), "AccessDenied", DENIED),
        (lambda a: setattr(a.role, "external_id", "ticket-7"), "AccessDenied", DENIED),
    ],
    ids=[
        "unknown key",
        "wrong secret",
        "token on a long-term key",
        "token left out",
        "deleted key",
        "expired",
        "clock behind",
        "clock ahead",
        "not trusted",
        "external id",
    ],
)
async def test_a_caller_without_right_is_refused(
    account: Account,
    ask_sts: Do,
    prepare: Callable[[Account], AccessKey | None],
    code: str,
    says: str,
) -> None:
    """Each reason has AWS's own code and wording, and issues no key."""
    key = prepare(account)
    with pytest.raises(botocore.exceptions.ClientError, match=says) as refused:
        await ask_sts("assume_role", key, **assume(account))
    assert refused.value.response["Error"]["Code"] == code
    assert account.aws.sts.records[-1].status == 403


@pytest.mark.parametrize("offset", [-280, 280])
async def test_a_small_clock_difference_is_allowed(
    account: Account, ask_sts: Do, offset: int
) -> None:
    """A clock less than five minutes off either way is accepted; Date tells the difference."""
    account.clock.offset = offset
    answer = await ask_sts("get_caller_identity")
    date = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    assert (date - datetime.now(UTC)).total_seconds() == pytest.approx(offset, abs=5)


async def test_a_revoked_session_keeps_its_name_but_not_its_rights(
    account: Account, ask_sts: Do
) -> None:
    """As after "revoke active sessions": denied everything except to say who it is."""
    session = account.identities.issue(account.user, 600)
    account.identities.revoke(account.user)
    with pytest.raises(botocore.exceptions.ClientError, match="explicit deny"):
        await ask_sts("assume_role", session, **assume(account))
    assert (await ask_sts("get_caller_identity", session))["Arn"] == account.user.arn


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ({"DurationSeconds": 899}, "ValidationError", "greater than or equal to 900"),
        ({"DurationSeconds": 43201}, "ValidationError", "less than or equal to 43200"),
        ({"DurationSeconds": 7200}, "ValidationError", "MaxSessionDuration"),
        ({"RoleSessionName": "two words"}, "ValidationError", r"'two words' at 'roleSessionName'"),
        ({"RoleSessionName": "x" * 65}, "ValidationError", "less than or equal to 64"),
        ({"ExternalId": "<&>"}, "ValidationError", "Value '<&>' at 'externalId'"),
        ({"RoleArn": "arn:aws:iam::123456789012:role/missing"}, "AccessDenied", DENIED),
        ({"RoleArn": "arn:aws:iam::123456789012:user/ci"}, "AccessDenied", DENIED),
    ],
)
async def test_a_parameter_out_of_bounds_is_refused(
    account: Account, ask_sts: Do, arguments: dict[str, Any], code: str, says: str
) -> None:
    """The limits of the STS API Reference hold, so code that breaks them fails here too."""
    account.aws.sts.max_session_duration = 3600
    with pytest.raises(botocore.exceptions.ClientError, match=says) as refused:
        await ask_sts("assume_role", **assume(account, **arguments))
    assert refused.value.response["Error"]["Code"] == code


async def test_a_chained_role_lives_an_hour_at_most(account: Account, ask_sts: Do) -> None:
    """Role chaining refuses more than 3600 s."""
    session = account.identities.issue(account.role, 600)
    with pytest.raises(botocore.exceptions.ClientError, match="role chaining"):
        await ask_sts("assume_role", session, **assume(account, DurationSeconds=3601))
    await ask_sts("assume_role", session, **assume(account, DurationSeconds=3600))


async def test_lifetime_overrides_what_was_asked(account: Account, ask_sts: Do) -> None:
    """Tests can have credentials that live seconds, which AWS never issues."""
    account.aws.sts.lifetime = 2.5
    answer = await ask_sts("assume_role", **assume(account))
    left = answer["Credentials"]["Expiration"].timestamp() - time.time()
    assert 1 < left <= 2.5


async def test_an_unsigned_request_is_refused(account: Account) -> None:
    """Nothing is told to who does not sign, and nonsense is answered as a client error."""
    url = account.aws.sts_url
    cases: list[tuple[dict[str, str], dict[str, str], str]] = [
        (
            {"Action": "GetCallerIdentity", "Version": "2011-06-15"},
            {},
            "MissingAuthenticationToken",
        ),
        (
            {"Action": "GetCallerIdentity", "Version": "2011-06-15"},
            {"Authorization": "Basic eA=="},
            "IncompleteSignature",
        ),
        ({"Action": "GetFederationToken", "Version": "2011-06-15"}, {}, "InvalidAction"),
        ({}, {}, "InvalidAction"),
    ]
    async with aiohttp.ClientSession() as http:
        for form, headers, code in cases:
            async with http.post(url, data=form, headers=headers) as answer:
                assert answer.status in {400, 403}
                assert f"<Code>{code}</Code>" in await answer.text()
