"""Instance metadata and container credentials, as the SDK's chain and plain HTTP see them."""

import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import botocore.exceptions
import botocore.utils
import pytest
from aws_support import Account, found_by_chain

from sqlalchemy_rds_iam.testing.aws.metadata import RoleService
from sqlalchemy_rds_iam.testing.aws.service import AwsError

both_worlds = pytest.mark.parametrize("is_async", [False, True], ids=["botocore", "aiobotocore"])

ROLES = "/latest/meta-data/iam/security-credentials/"
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"


@pytest.fixture
def account(account: Account, monkeypatch: pytest.MonkeyPatch) -> Account:
    """A served account whose role is that of the machine."""
    # Between two tries botocore would sleep a second.
    monkeypatch.setattr(botocore.utils.ContainerMetadataFetcher, "SLEEP_TIME", 0)
    account.aws.imds.role = account.aws.container.role = account.role
    return account


@pytest.fixture
def instance(account: Account, monkeypatch: pytest.MonkeyPatch) -> Account:
    """The chain may ask the instance metadata service."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    return account


@pytest.fixture
def pod(account: Account, monkeypatch: pytest.MonkeyPatch) -> Account:
    """The chain finds the container endpoint."""
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", account.aws.container_url)
    return account


async def fetch(method: str, url: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """The status and body of one request."""
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, url, headers=headers) as answer,
    ):
        return answer.status, await answer.text()


@both_worlds
async def test_an_instance_finds_its_role(instance: Account, is_async: bool) -> None:
    """The default chain gets the role's keys through a session token."""
    found = await found_by_chain(is_async)
    assert found is not None
    issued = instance.identities.find(found[1].access_key)
    assert issued is not None
    assert (found[0], issued.principal) == ("iam-role", instance.role)
    assert found[1].secret_key == issued.secret_key
    calls = instance.aws.imds.calls
    assert calls == {"GetToken": 1, "ListRoles": 1, "GetCredentials": 1}


@both_worlds
@pytest.mark.parametrize("operation", ["GetToken", "ListRoles", "GetCredentials"])
@pytest.mark.parametrize(
    "failure",
    [
        AwsError(500, "InternalServerError", "oops"),
        AwsError(200, "AssumeRoleUnauthorizedAccess", "EC2 cannot assume the role app."),
        "garbage",
        "reset",
        "hang",
    ],
    ids=["500", "unauthorized role", "garbage", "reset", "hang"],
)
async def test_a_broken_instance_has_no_credentials(
    instance: Account, is_async: bool, failure: Any, operation: str
) -> None:
    """Whatever fails, and where, the SDK finds no credentials there, and then finds them again."""
    instance.aws.imds.hang_seconds = 0.01
    instance.aws.imds.fail(failure, operation=operation)
    assert await found_by_chain(is_async) is None
    instance.aws.imds.recover()
    assert await found_by_chain(is_async) is not None


def test_an_instance_says_whole_seconds(account: Account) -> None:
    """An expiry has no fraction, as in the real document, and never is later than the key's."""
    imds = account.aws.imds
    key = imds.key_of(account.role)
    assert key.expires_at is not None
    assert imds.whole_seconds
    for whole, longest in ((True, 1.0), (False, 0.001)):
        imds.whole_seconds = whole
        told = imds.document(account.role)["Expiration"]
        assert ("." in told) is not whole
        assert 0 <= key.expires_at - datetime.fromisoformat(told).timestamp() < longest


async def test_an_unauthorized_role_is_a_document(account: Account) -> None:
    """A role EC2 may not assume is told with status 200 and another Code than Success."""
    url = account.aws.imds_url
    account.aws.imds.fail(AwsError(200, "AssumeRoleUnauthorizedAccess", "EC2 cannot"))
    status, text = await fetch("GET", url + ROLES + "app")
    document = json.loads(text)
    assert (status, document["Code"]) == (200, "AssumeRoleUnauthorizedAccess")
    assert "AccessKeyId" not in document


async def test_an_instance_without_a_role_says_so(instance: Account) -> None:
    """No instance profile is 404, and no credentials."""
    instance.aws.imds.role = None
    assert await found_by_chain(False) is None
    assert [record.status for record in instance.aws.imds.records] == [200, 404]


async def test_every_document_needs_a_session_token(account: Account) -> None:
    """IMDSv2: 401 without a token, with a wrong one and with one past its time."""
    url = account.aws.imds_url
    status, token = await fetch("PUT", url + "/latest/api/token", {TTL: "60"})
    assert status == 200
    for path in (ROLES, ROLES + "app", "/latest/meta-data/placement/region", "/latest/x"):
        assert (await fetch("GET", url + path))[0] == 401
        assert (await fetch("GET", url + path, {TOKEN: "no" + token}))[0] == 401
    good = {TOKEN: token}
    assert await fetch("GET", url + ROLES, good) == (200, "app")
    assert await fetch("GET", url + "/latest/meta-data/placement/region", good) == (
        200,
        "us-east-1",
    )
    assert (await fetch("GET", url + "/latest/dynamic/instance-identity/document", good))[0] == 200
    assert (await fetch("GET", url + ROLES + "other", good))[0] == 404
    assert (await fetch("GET", url + "/latest/x", good))[0] == 404
    assert (await fetch("POST", url + ROLES, good))[0] == 405
    account.clock.offset += 61
    assert (await fetch("GET", url + ROLES, good))[0] == 401


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({TTL: "1"}, 200),
        ({TTL: "21600"}, 200),
        ({TTL: "0"}, 400),
        ({TTL: "21601"}, 400),
        ({TTL: "²"}, 400),
        ({}, 400),
        ({TTL: "60", "X-Forwarded-For": "192.0.2.1"}, 403),
    ],
)
async def test_a_session_token_has_a_bounded_life(
    account: Account, headers: dict[str, str], expected: int
) -> None:
    """The TTL must be given, between a second and six hours, and not through a proxy."""
    assert (await fetch("PUT", account.aws.imds_url + "/latest/api/token", headers))[0] == expected


@both_worlds
async def test_a_container_finds_its_role(pod: Account, is_async: bool) -> None:
    """The chain gets the task's keys from the full URI."""
    found = await found_by_chain(is_async)
    assert found is not None
    issued = pod.identities.find(found[1].access_key)
    assert issued is not None
    assert (found[0], issued.principal) == ("container-role", pod.role)
    assert found[1].token == issued.session_token


@both_worlds
@pytest.mark.parametrize("variable", ["AWS_CONTAINER_AUTHORIZATION_TOKEN", "…_FILE"])
async def test_a_pod_needs_its_token(
    pod: Account,
    is_async: bool,
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """With a token set, only the workload that sends it (from a variable or file) gets keys."""
    pod.aws.container.token = "pod-token"
    with pytest.raises(botocore.exceptions.CredentialRetrievalError, match="response 401"):
        await found_by_chain(is_async)
    for token in ("other-token", "pod-token"):
        if variable == "…_FILE":
            (tmp_path / "pod").write_text(token)
            monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "pod"))
        else:
            monkeypatch.setenv(variable, token)
        if token == "pod-token":
            assert await found_by_chain(is_async) is not None
        else:
            with pytest.raises(botocore.exceptions.CredentialRetrievalError, match="401"):
                await found_by_chain(is_async)


@both_worlds
@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (AwsError(500, "InternalServerError", "oops"), "non 200 response 500 .*oops"),
        ("garbage", "Unable to parse JSON"),
        ("reset", "Received error|Connection was closed"),
        ("hang", "Received error|Connection was closed"),
    ],
    ids=["500", "garbage", "reset", "hang"],
)
async def test_a_broken_container_endpoint_raises(
    pod: Account, is_async: bool, failure: Any, says: str
) -> None:
    """Unlike instance metadata, a container endpoint that was named must answer."""
    pod.aws.container.hang_seconds = 0.01
    pod.aws.container.fail(failure)
    with pytest.raises(botocore.exceptions.BotoCoreError, match=says):
        await found_by_chain(is_async)


async def test_a_container_serves_one_path(account: Account) -> None:
    """Another task's path, another method and a task without a role get no keys."""
    url = account.aws.container_url
    assert (await fetch("GET", url))[0] == 200
    assert (await fetch("GET", url + "0"))[0] == 400
    assert (await fetch("POST", url))[0] == 400
    account.aws.container.role = None
    assert (await fetch("GET", url))[0] == 400


@pytest.mark.parametrize("name", ["imds", "container"])
def test_a_key_is_served_until_it_nears_its_end(account: Account, name: str) -> None:
    """The same key for hours, then a new one; at once for another role; always when told so."""
    service = getattr(account.aws, name)
    assert isinstance(service, RoleService)
    first = service.key_of(account.role)
    assert first.expires_at == pytest.approx(account.clock() + 6 * 3600, abs=5)
    account.clock.offset = 6 * 3600 - 310
    account.identities.revoke(account.role)
    assert service.key_of(account.role) is first
    account.clock.offset += 20
    second = service.key_of(account.role)
    assert second is not first
    assert service.key_of(account.identities.role("other")) is not second
    service.reissue_below, service.lifetime = math.inf, 2.0
    third, fourth = service.key_of(account.role), service.key_of(account.role)
    assert third is not fourth
    assert fourth.expires_at == pytest.approx(account.clock() + 2, abs=0.5)
