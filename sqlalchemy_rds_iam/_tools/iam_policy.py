"""The IAM policy that lets an identity connect as one database user, and as no other.

Source: "Creating and using an IAM policy for IAM database access", RDS and Aurora user guides.
Only AWS knows the resource id in it, which is not a name, so AWS is asked for it where that is
allowed (``rds:DescribeDBInstances`` and similar actions); otherwise a placeholder stands for it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from sqlalchemy_rds_iam._access import Access
from sqlalchemy_rds_iam._aws.ambient import ambient_region
from sqlalchemy_rds_iam._aws.sessions import NETWORK, botocore_session
from sqlalchemy_rds_iam._aws.sigv4 import Credentials
from sqlalchemy_rds_iam._concurrency import call_with_timeout
from sqlalchemy_rds_iam._masking import first_line
from sqlalchemy_rds_iam._tools.rds_api import KINDS, MismatchError, Rds
from sqlalchemy_rds_iam.errors import RdsIamError

ACCOUNT, RESOURCE = "ACCOUNT-ID", "RESOURCE-ID"
"""What stands in a policy for what could not be found out."""

T = TypeVar("T")


class Resource(NamedTuple):
    """An instance (``db-…``), a cluster (``cluster-…``) or a proxy (``prx-…``)."""

    partition: str
    region: str
    account: str = ACCOUNT
    id: str = RESOURCE

    @property
    def is_known(self) -> bool:
        """Whether there is no placeholder in it."""
        return self.account != ACCOUNT and self.id != RESOURCE

    def arn(self, user: str) -> str:
        """What a permission for `user` is about."""
        return f"arn:{self.partition}:rds-db:{self.region}:{self.account}:dbuser:{self.id}/{user}"

    def within(self, *arns: str | None) -> Resource:
        """With the account of the first of these ARNs that has one: it has to be in the same."""
        for arn in filter(account, arns):
            _, partition, _, _, found, *_ = str(arn).split(":")
            return self._replace(partition=partition, account=found)
        return self


def account(arn: str | None) -> str | None:
    """The account of an ARN (``arn:partition:service:region:account:…``), if it has one."""
    _, _, _, _, found, *_ = [*(arn or "").split(":"), *[""] * 5]
    return found or None


@dataclass
class Findings:
    """What AWS says about an endpoint.

    Attributes:
        resources: one; or, for a global database, one for each of its clusters.
        notes: sentences for a person: what could not be found out, and what is not in order.
    """

    resources: list[Resource]
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether a policy made of this can be used as it is."""
        return all(resource.is_known for resource in self.resources)


def connect_policy(resources: list[Resource], user: str) -> dict[str, Any]:
    """The policy document.

    Args:
        resources: where to connect.
        user: the database user, spelled as in the database.
    """
    # What IAM would take for wildcards; "IAM policy elements: Variables and tags" has the words.
    literal = re.sub(r"([*?$])", r"${\1}", user)
    arns = [each.arn(literal) for each in resources]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "rds-db:connect",
                "Resource": arns[0] if len(arns) == 1 else arns,
            }
        ],
    }


def look_up(access: Access) -> Findings:
    """Ask AWS which resource the endpoint of `access` belongs to, as the identity of `access`.

    Blocks for about ``rds_iam_timeout`` with each of credentials, RDS and STS at the most. Whatever
    AWS does not tell, or not in time, is in the notes.
    """
    session = botocore_session(access.config.profile, asks_sts=True)
    host, region = access.host, access.endpoint.region
    unknown = Resource(host.partition or _partition(session, region), region)
    caller = None
    try:
        asked = _Asked(session, access, access.credentials())
    except RdsIamError as error:
        findings = Findings([unknown], [str(error)])
    else:
        findings = _found(asked, access, unknown)
        if not findings.complete:
            caller = asked.caller(findings.notes)
    if not findings.complete:
        arns = caller, access.config.role_arn
        findings.resources = [each.within(*arns) for each in findings.resources]
        if host.kind in KINDS:
            command = KINDS[host.kind].command(host, region)
            findings.notes.append(f"to look up the resource id: {command}")
    return findings


class _Asked:
    """Clients of AWS services with one set of credentials."""

    def __init__(self, session: Any, access: Access, credentials: Credentials) -> None:
        self._session = session
        self._config = access.config
        self._region = access.endpoint.region
        self._keys = {
            "aws_access_key_id": credentials.access_key,
            "aws_secret_access_key": credentials.secret_key,
            "aws_session_token": credentials.session_token,
        }

    def client(self, service: str, region: str | None, endpoint_url: str | None = None) -> Any:
        from botocore.config import Config

        # Each is used for one answer or two, and closed with the process.
        return self._session.create_client(
            service,
            region_name=region,
            endpoint_url=endpoint_url,
            config=Config(**NETWORK),
            **self._keys,
        )

    def within(self, work: Callable[[], T]) -> T:
        return call_with_timeout(self._config.timeout, work)

    def caller(self, notes: list[str]) -> str | None:
        """The ARN that STS knows these credentials by."""

        def ask() -> str:
            region = ambient_region(self._config) or self._region
            client = self.client("sts", region, self._config.sts_endpoint_url)
            with contextlib.closing(client):
                return str(client.get_caller_identity()["Arn"])

        try:
            return self.within(ask)
        except Exception as error:  # noqa: BLE001  (whatever it is, the account stays unknown)
            notes.append(f"STS does not say which account this is: {_said(error)}")
        return None


def _found(asked: _Asked, access: Access, unknown: Resource) -> Findings:
    host = access.host
    if host.kind not in KINDS:
        sentence = (
            f"{host.host!r} is no RDS endpoint name, so it is not known what it belongs to: name "
            "the endpoint with rds_iam_host"
        )
        return Findings([unknown], [sentence])

    def ask() -> Findings:
        found = Rds(lambda region: asked.client("rds", region)).find(host, access.endpoint.region)
        notes = [
            f"IAM database authentication is switched off for {each.arn}"
            for each in found
            if each.off
        ]
        resources = []
        for each in found:
            _, partition, _, region, account, *_ = each.arn.split(":")
            resources.append(Resource(partition, region, account, each.id))
        return Findings(resources, notes)

    try:
        return asked.within(ask)
    except MismatchError as error:
        return Findings([unknown], [str(error)])
    except Exception as error:  # noqa: BLE001  (whatever it is, the resource stays unknown)
        return Findings([unknown], [f"RDS does not say what {host.host} is: {_said(error)}"])


def _partition(session: Any, region: str) -> str:
    from botocore.exceptions import BotoCoreError

    try:
        return str(session.get_partition_for_region(region))
    except BotoCoreError:  # a region newer than botocore
        return "aws"


def _said(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else first_line(error)
