"""The credentials of a container's role, without botocore: where its endpoint is all there is.

Those of ECS, EKS Pod Identity, and Lambda with SnapStart, for example. Importing botocore is most
of a cold start there. It stays the authority: it is asked where anything else is set up that it may
look at, where the endpoint's answer is not the usual one, and after any failure, so that every
error is botocore's.

Source: ``create_credential_resolver`` and ``ContainerProvider`` of botocore; "Container credential
provider" in the AWS SDKs and Tools Reference Guide.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy_rds_iam._aws import shared_files
from sqlalchemy_rds_iam._aws.sessions import imported
from sqlalchemy_rds_iam._aws.sigv4 import Credentials
from sqlalchemy_rds_iam._config.urls import is_blank

if TYPE_CHECKING:
    from sqlalchemy_rds_iam._aws.container_agent import Agent

_RELATIVE, _FULL = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"
_TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105  a variable's name
_TOKEN_FILE = f"{_TOKEN}_FILE"

# What is set where containers and functions run, and changes nothing about their credentials. Any
# other variable of AWS's may be one that does, in this release of botocore or in the next.
_HARMLESS = {
    *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_STS_REGIONAL_ENDPOINTS"),
    *("AWS_EXECUTION_ENV", "AWS_EC2_METADATA_DISABLED"),
    # Whether there is such a file is looked at.
    *("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
}
_OF_LAMBDA = ("AWS_LAMBDA_", "AWS_XRAY_")
_OF_BOTO = ("/etc/boto.cfg", "~/.boto")

_ECS = "http://169.254.170.2"
_HOSTS = {"localhost", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"}
# Nothing that parsers of URLs take for different things, or encode. TLS is botocore's.
_URL = (
    r"http://(?P<host>localhost|[0-9.]+|\[[0-9a-f:]+\])(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>/(?!/)[A-Za-z0-9._~/-]*(?:\?[A-Za-z0-9._~/&=-]*)?)"
)

# Seconds. botocore asks at once again for what has less left.
_ADVISORY = 900.0


def from_container(environ: Mapping[str, str] = os.environ) -> Credentials | None:
    """The credentials that botocore would get from a container's endpoint. Blocks on the network.

    Returns:
        None if botocore has to be asked: it may look elsewhere, or this way has failed.
    """
    said = {name: value for name, value in environ.items() if not is_blank(value)}
    try:
        agent = _agent(said)
        if agent is None or _is_more_set_up(said):
            return None
        found, left = agent.ask()
        if left < _ADVISORY:
            found, left = agent.ask()
    except Exception:  # noqa: BLE001  (botocore says what is wrong)
        return None
    return found if left > 0 else None


def _agent(said: Mapping[str, str]) -> Agent | None:
    """The endpoint that is named, if it may be asked."""
    url = _ECS + said[_RELATIVE] if _RELATIVE in said else said.get(_FULL, "")
    if (match := re.fullmatch(_URL, url)) is None:
        return None
    host = match["host"].strip("[]")
    if host not in _HOSTS and not ipaddress.ip_address(host).is_loopback:
        return None
    # No part of a start with other credentials.
    agent: type[Agent] = imported("sqlalchemy_rds_iam._aws.container_agent").Agent
    return agent(
        host, int(match["port"] or 80), match["path"], said.get(_TOKEN), said.get(_TOKEN_FILE)
    )


def _is_more_set_up(said: Mapping[str, str]) -> bool:
    """Whether there is more than a container's endpoint that botocore may look at."""
    known = {_RELATIVE, _FULL, _TOKEN, _TOKEN_FILE, *_HARMLESS}
    if any(
        name.startswith("BOTO")
        or (name.startswith("AWS_") and name not in known and not name.startswith(_OF_LAMBDA))
        for name in said
    ):
        return True
    # As botocore looks for them.
    old = [os.path.isfile(os.path.expanduser(path)) for path in _OF_BOTO]  # noqa: PTH111, PTH113
    return any(old) or shared_files.any_exists(said)
