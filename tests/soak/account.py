"""The AWS of each client process: a role and services of its own, and what was asked of them when.

No two clients share a service, so a fault meets one process, and whatever arrives at an endpoint
is known to come from there.
"""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass

from aiohttp import web

from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.aws.identities import Identities
from sqlalchemy_rds_iam.testing.aws.metadata import ContainerCredentials, InstanceMetadata
from sqlalchemy_rds_iam.testing.aws.service import Service
from sqlalchemy_rds_iam.testing.aws.sts import Sts


@dataclass
class Call:
    """A request at an endpoint, from its arrival to its answer (epoch seconds).

    Attributes:
        caller: Tells forked children, who mark their requests, from their parent.
        key: The id of the key that the service was handing out to all callers after this call.
    """

    caller: str
    start: float
    end: float = math.inf
    status: int | None = None
    key: str | None = None


class Watched(Service):
    """A service that notes from when to when each request was under way."""

    def __init__(self, identities: Identities) -> None:
        super().__init__(identities)
        self.watched: list[Call] = []

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        call = Call(request.query_string, time.time())
        self.watched.append(call)
        try:
            response = await super()._handle(request)
            # Where nothing was answered, the transport is gone.
            call.status = None if request.transport is None else response.status
            return response
        finally:
            call.end = time.time()
            served = getattr(self, "_key", None)
            call.key = served and served.access_key


class _Sts(Watched, Sts):
    """STS, watched."""


class _InstanceMetadata(Watched, InstanceMetadata):
    """The instance metadata service, watched."""


class _ContainerCredentials(Watched, ContainerCredentials):
    """The container credentials endpoint, watched."""


class Account:
    """What one client process has of AWS.

    Attributes:
        role: Whose credentials the process gets.
        service: Where it gets them.
        lives: The shortest and the longest life of credentials, in seconds.
    """

    def __init__(
        self, rds: RdsEmulator, name: str, provider: str, lives: tuple[float, float]
    ) -> None:
        self.lives = lives
        self.provider = provider
        self.role = rds.identities.role(f"soak-{name}")
        self.sts = _Sts(rds.identities)
        self.imds = _InstanceMetadata(rds.identities)
        self.container = _ContainerCredentials(rds.identities)
        self.service: Watched = {
            "sts": self.sts,
            "imds": self.imds,
            "container": self.container,
        }[provider]
        self.imds.role = self.container.role = self.role
        self.imds.whole_seconds = False  # or botocore would not believe in lives of seconds
        self.vary()

    async def start(self) -> None:
        """Serve on the running event loop."""
        for service in (self.sts, self.imds, self.container):
            await service.start()

    async def stop(self) -> None:
        """Stop serving."""
        for service in (self.sts, self.imds, self.container):
            await service.stop()

    def vary(self) -> None:
        """Choose how long the next credentials are going to live."""
        life = random.uniform(*self.lives)
        self.sts.lifetime = self.imds.lifetime = self.container.lifetime = life
        # The same keys for the first half of their life, as these services do.
        self.imds.reissue_below = self.container.reissue_below = life / 2

    def environ(self, config_file: str) -> dict[str, str]:
        """The variables that lead a process to its provider, and to nothing else."""
        found = {
            "AWS_CONFIG_FILE": config_file,
            "AWS_SHARED_CREDENTIALS_FILE": config_file + ".none",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_STS": self.sts.url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.imds.url,
        }
        if self.provider == "sts":
            found["AWS_PROFILE"] = "soak"
        if self.provider == "container":
            found["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = self.container.url + self.container.path
        return found

    def config(self, rds: RdsEmulator) -> str:
        """The shared config file of a process that assumes its role through STS."""
        return (
            f"[profile soak]\nrole_arn = {self.role.arn}\nsource_profile = source\n"
            f"[profile source]\naws_access_key_id = {rds.key.access_key}\n"
            f"aws_secret_access_key = {rds.key.secret_key}\n"
        )

    @property
    def fetches(self) -> int:
        """How many times credentials were asked for."""
        return sum(
            count
            for operation, count in self.service.calls.items()
            if operation in {"AssumeRole", "GetCredentials"}
        )
