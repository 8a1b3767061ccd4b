"""Why there are no credentials at all: ask the instance's metadata service the way botocore does.

botocore takes a service that does not answer for one that is not there. See "Use the Instance
Metadata Service to access instance metadata" in the EC2 user guide for the hop limit: a container
is one hop further away, and the answer to PUT, which holds the session token, dies on the way.
"""

from __future__ import annotations

import http.client
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from sqlalchemy_rds_iam.doctor.findings import Certainty, Finding, problem

_ADDRESS = "http://169.254.169.254"
_ROLES = "/latest/meta-data/iam/security-credentials/"
_INSTANCE = "--instance-id INSTANCE"
_SECONDS = 1.0
_OK, _NOT_FOUND = 200, 404


def finding_of(words: str, environ: Mapping[str, str] = os.environ) -> Finding:
    """The finding for a chain of providers none of which had credentials.

    Args:
        words: the plugin's own, with the providers that were asked.
        environ: where the service's address and whether to ask it are read.
    """
    disabled = environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
    if not disabled and "iam-role" in words:
        url = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _ADDRESS
        if (finding := _instance(url, words)) is not None:
            return finding
    return problem(
        "no-credentials",
        "there are no AWS credentials",
        evidence=(words,),
        fix="Attach a role (ECS, EKS, EC2, Lambda), set the variables, or name a profile",
        commands=(
            "aws configure list",
            "aws sso login --profile PROFILE",
            "rds_iam_profile=PROFILE",
        ),
    )


def _instance(url: str, words: str) -> Finding | None:
    """What is wrong with an instance's metadata service; None if there is none."""
    status, token = _ask(
        url, "PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    )
    if status is None:
        answers, _ = _ask(url, "GET", "/", {})
        if answers is None:
            return None
        return problem(
            "imds-hop-limit",
            "the instance's metadata service answers here, but its session tokens do not arrive: "
            "the hop limit is too small for a container",
            Certainty.LIKELY,
            evidence=(
                "PUT /latest/api/token  no answer within a second",
                f"GET /  {answers}",
                words,
            ),
            fix="Raise the hop limit to 2, or give the container credentials of its own (an ECS "
            "task role, EKS Pod Identity)",
            commands=(
                "aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2 "
                + _INSTANCE,
            ),
        )
    roles, _ = _ask(url, "GET", _ROLES, {"X-aws-ec2-metadata-token": token})
    if status == _OK and roles == _NOT_FOUND:
        return problem(
            "instance-without-role",
            "this instance has no role",
            evidence=(f"GET {_ROLES}  {roles}", words),
            fix="Attach an instance profile whose role may connect",
            commands=(
                "aws ec2 associate-iam-instance-profile --iam-instance-profile Name=PROFILE "
                + _INSTANCE,
            ),
        )
    if (status, roles) == (_OK, _OK):
        return None  # it has recovered meanwhile
    return problem(
        "imds-failing",
        "the instance's metadata service does not hand out credentials",
        Certainty.LIKELY,
        evidence=(f"PUT /latest/api/token  {status}", f"GET {_ROLES}  {roles}", words),
        fix="Look at the instance's metadata options, and at what filters requests to it",
        commands=("aws ec2 describe-instances --query '…MetadataOptions'",),
    )


def _ask(url: str, method: str, path: str, headers: dict[str, str]) -> tuple[int | None, str]:
    """The status of the answer and its text; None if there is none."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=_SECONDS)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(1024).decode("latin-1")
    except (OSError, http.client.HTTPException):
        return None, ""
    finally:
        connection.close()
