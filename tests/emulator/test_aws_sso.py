"""IAM Identity Center as clients of both its services see it; `test_providers` is about users."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from typing import Any

import aiohttp
import botocore.exceptions
import botocore.session
import pytest
from aws_support import REGION, Account, AioSession
from botocore import UNSIGNED
from botocore.config import Config
from emulator_support import Do

from sqlalchemy_rds_iam.testing.aws.identities import ACCOUNT_ID

WHO = {"roleName": "app", "accountId": ACCOUNT_ID, "accessToken": "signed-in"}
CLIENT = {"clientId": "cli", "clientSecret": "of the client", "grantType": "refresh_token"}


@pytest.fixture
def account(account: Account) -> Account:
    """A served account in which a user has signed in."""
    account.aws.sso.access_tokens = {"signed-in"}
    account.aws.sso.refresh_tokens = {"renewal"}
    return account


@pytest.fixture(params=[False, True], ids=["botocore", "aiobotocore"])
def do(request: pytest.FixtureRequest, account: Account) -> Do:
    """Performs one operation with a client of either SDK, without a signature."""

    async def perform(service: str, operation: str, **arguments: Any) -> Any:
        session = AioSession() if request.param else botocore.session.Session()
        session.set_config_variable("region", REGION)
        settings = {"signature_version": UNSIGNED, "retries": {"max_attempts": 0}}
        if request.param:
            from aiobotocore.config import AioConfig

            async with session.create_client(service, config=AioConfig(**settings)) as client:
                return await getattr(client, operation)(**arguments)
        with closing(session.create_client(service, config=Config(**settings))) as client:
            return await asyncio.to_thread(getattr(client, operation), **arguments)

    return perform


async def test_role_credentials(account: Account, do: Do) -> None:
    """A user that has signed in gets keys of the role, with their expiry in milliseconds."""
    account.aws.sso.lifetime = 1800.0
    answer = (await do("sso", "get_role_credentials", **WHO))["roleCredentials"]
    key = account.identities.find(answer["accessKeyId"])
    assert key is not None
    assert key.expires_at is not None
    assert key.principal is account.role
    assert (answer["secretAccessKey"], answer["sessionToken"]) == (
        key.secret_key,
        key.session_token,
    )
    assert answer["expiration"] == int(key.expires_at * 1000)
    assert key.expires_at == pytest.approx(account.clock() + 1800, abs=5)


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"accessToken": "signed-out"}, "UnauthorizedException", "Session token not found"),
        ({"roleName": "other"}, "ForbiddenException", "No access"),
        ({"accountId": "000000000000"}, "ForbiddenException", "No access"),
    ],
)
async def test_refusals(account: Account, do: Do, change: Any, code: str, says: str) -> None:
    """No keys without a good access token, nor for a role that is not there."""
    with pytest.raises(botocore.exceptions.ClientError, match=says) as caught:
        await do("sso", "get_role_credentials", **(WHO | change))
    assert caught.value.response["Error"]["Code"] == code


async def test_access_token_renewed(account: Account, do: Do) -> None:
    """A refresh token is good for one new access token, which then gets keys."""
    account.aws.sso.token_lifetime = 60
    answer = await do("sso-oidc", "create_token", **CLIENT, refreshToken="renewal")
    assert answer["expiresIn"] == 60
    await do("sso", "get_role_credentials", **(WHO | {"accessToken": answer["accessToken"]}))
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidGrantException"):
        await do("sso-oidc", "create_token", **CLIENT, refreshToken="renewal")
    await do("sso-oidc", "create_token", **CLIENT, refreshToken=answer["refreshToken"])


@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("GET", "/federation/credentials?role_name=app", None, 400),
        ("POST", f"/federation/credentials?role_name=app&account_id={ACCOUNT_ID}", None, 404),
        ("GET", f"/federation/credentials?role_name=app&account_id={ACCOUNT_ID}", None, 401),
        ("GET", "/token", None, 404),
        ("GET", "/", None, 404),
        ("POST", "/token", "not JSON", 400),
        ("POST", "/token", "[]", 400),
        ("POST", "/token", '{"grantType": "refresh_token"}', 400),
        ("POST", "/token", '{"grantType": "refresh_token", "refreshToken": []}', 400),
        ("POST", "/token", '{"grantType": "device_code", "refreshToken": "renewal"}', 400),
    ],
)
async def test_bad_requests(
    account: Account, method: str, target: str, body: str | None, status: int
) -> None:
    """What is incomplete or elsewhere is refused in JSON, and costs no refresh token."""
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, account.aws.sso_url + target, data=body) as answer,
    ):
        assert answer.status == status
        assert json.loads(await answer.text())["__type"] == answer.headers["x-amzn-ErrorType"]
    assert account.aws.sso.refresh_tokens == {"renewal"}


async def test_records_hold_no_secret(account: Account, do: Do) -> None:
    """What is kept of requests names operations and nothing to sign in with."""
    await do("sso", "get_role_credentials", **WHO)
    await do("sso-oidc", "create_token", **CLIENT, refreshToken="renewal")
    records = account.aws.sso.records
    assert [record.operation for record in records] == ["GetRoleCredentials", "CreateToken"]
    assert not any(secret in repr(records) for secret in ("signed-in", "renewal", "client"))
