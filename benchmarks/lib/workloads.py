"""Where workloads find their AWS credentials: variables, a file, and endpoints over HTTP.

The endpoints are the emulator's, on loopback. Those of AWS are plain HTTP as well, but for STS.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.lib.database_process import own_environment
from sqlalchemy_rds_iam.testing.aws.identities import Identities
from sqlalchemy_rds_iam.testing.aws.metadata import ContainerCredentials, InstanceMetadata
from sqlalchemy_rds_iam.testing.aws.sts import Sts
from sqlalchemy_rds_iam.testing.background import Background

PLACES = ("environment", "file", "ECS", "EKS", "IRSA", "IMDS")
"""Keys in variables; in a shared file; a container's; Pod Identity; web identity; an instance's."""

_DEADLINE = 30.0
_POD_TOKEN = "pod.identity.token"
_WEB_TOKEN = "web.identity.token"


class _Account:
    """An account with one role, and the endpoints that issue keys of it."""

    def __init__(self) -> None:
        identities = Identities()
        self.role = identities.role("workload")
        self.key = identities.issue(self.role, 6 * 3600.0)
        self.sts, self.imds = Sts(identities), InstanceMetadata(identities)
        self.ecs, self.eks = ContainerCredentials(identities), ContainerCredentials(identities)
        self.ecs.role = self.eks.role = self.imds.role = self.role
        self.eks.token = _POD_TOKEN
        self.sts.web_identity_tokens.add(_WEB_TOKEN)
        self.services = (self.sts, self.imds, self.ecs, self.eks)


@contextlib.contextmanager
def environments() -> Iterator[dict[str, dict[str, str]]]:
    """The environment of a process by the place of its credentials, which are there meanwhile."""
    account, background = _Account(), Background("credentials", _DEADLINE)
    try:
        for service in account.services:
            background.call(service.start())
        with tempfile.TemporaryDirectory() as directory:
            yield _environments(account, Path(directory))
    finally:
        for service in account.services:
            background.call(service.stop())
        background.stop()


def _environments(account: _Account, directory: Path) -> dict[str, dict[str, str]]:
    def written(name: str, text: str) -> str:
        file = directory / name
        file.write_text(text, encoding="utf-8")
        return str(file)

    keys = account.key.environ()
    profile = "\n".join(["[default]", *(f"{name.lower()} = {v}" for name, v in keys.items()), ""])
    more = {
        "environment": keys,
        "file": {"AWS_SHARED_CREDENTIALS_FILE": written("credentials", profile)},
        "ECS": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": account.ecs.url + account.ecs.path},
        "EKS": {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": account.eks.url + account.eks.path,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": written("pod-token", _POD_TOKEN),
        },
        "IRSA": {
            "AWS_ROLE_ARN": account.role.arn,
            "AWS_WEB_IDENTITY_TOKEN_FILE": written("web-token", _WEB_TOKEN),
            "AWS_ENDPOINT_URL_STS": account.sts.url,
        },
        "IMDS": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": account.imds.url},
    }
    # A container's home has no files of AWS's, and its region is among its variables.
    home = directory / "home"
    home.mkdir()
    common = own_environment() | {"HOME": str(home), "AWS_REGION": "us-east-1"}
    # An installed package is compiled; a checkout is by the first process that imports it.
    common.pop("PYTHONDONTWRITEBYTECODE", None)
    return {place: common | more[place] for place in PLACES}
