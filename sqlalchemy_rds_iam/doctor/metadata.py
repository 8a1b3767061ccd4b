"""Why there are no credentials at all: ask the instance's metadata service the way botocore does.

botocore takes a service that does not answer for one that is not there. See "Use the Instance
Metadata Service to access instance metadata" in the EC2 user guide for the hop limit: a container
is one hop further away, and the answer to PUT, which holds the session token, dies on the way.
"""

from __future__ import annotations

import http.client
import os
import re
import shlex
import socket
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from sqlalchemy_rds_iam.doctor import providers
from sqlalchemy_rds_iam.doctor.advice import environment, look, option, shell
from sqlalchemy_rds_iam.doctor.findings import Certainty, Command, Finding, problem

_ADDRESS = "http://169.254.169.254"
_TOKEN = "/latest/api/token"  # noqa: S105  a path
_ROLES = "/latest/meta-data/iam/security-credentials/"
_INSTANCE = "--instance-id INSTANCE"
_SECONDS = 1.0
_OK, _FORBIDDEN, _NOT_FOUND = 200, 403, 404
_DISABLED = "AWS_EC2_METADATA_DISABLED"
# What is told of besides the providers that were asked, and the cause's name.
_HINTS = (
    ("without AWS_ACCESS_KEY_ID", "keys-incomplete"),
    ("NO_PROXY", "metadata-proxy"),
)


def finding_of(words: str, environ: Mapping[str, str] = os.environ) -> Finding:
    """The finding for a chain of providers none of which had credentials.

    Args:
        words: the plugin's own, with the providers that were asked.
        environ: where the service's address and whether to ask it are read.
    """
    hints = words.partition("asked were ")[2].split("; ")[1:]
    disabled = environ.get(_DISABLED, "").lower() == "true"
    # A file that is missing need not be the one that was meant to have credentials.
    missing = [hint.rstrip(".") for hint in hints if "does not exist" in hint]
    told = [hint for hint in hints if _DISABLED not in hint and "does not exist" not in hint]
    if told:
        return _overlooked(told, words, environ)
    if not disabled and "iam-role" in words:
        url = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _ADDRESS
        if (finding := _instance(url, words)) is not None:
            return finding
    return problem(
        "no-credentials",
        "could not get AWS credentials: no provider has any"
        + (f", and {' and '.join(missing)}" if missing else ""),
        evidence=(words,),
        fix="Attach a role (ECS, EKS, EC2, Lambda), set the variables, or name a profile",
        commands=(*_profiles(), *([environment(f"unset {_DISABLED}")] if disabled else [])),
    )


def _overlooked(hints: list[str], words: str, environ: Mapping[str, str]) -> Finding:
    said = "; ".join(hints).rstrip(".")
    code = "aws-file"
    for pattern, name in _HINTS:
        if pattern in said:
            code = name
    commands: tuple[Command, ...] = (look("aws configure list"),)
    if code == "metadata-proxy":
        host = urlsplit(environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _ADDRESS).hostname
        commands = (environment(f'export NO_PROXY="$NO_PROXY,{host}"'),)
    elif code == "keys-incomplete":
        commands = (environment("export AWS_ACCESS_KEY_ID=ACCESS-KEY-ID"), *commands)
    return problem(
        code,
        f"could not get AWS credentials: {said}",
        evidence=(words,),
        fix="Correct that; the other providers have no credentials either",
        commands=commands,
    )


def _profiles() -> tuple[Command, ...]:
    there = [name for name in providers.profiles() if name != "default"]
    found = [environment(f"export AWS_PROFILE={shlex.quote(name)}") for name in there[:3]]
    return (
        *found,
        look("aws configure list"),
        *(() if found else (option("rds_iam_profile=NAME"),)),
    )


def _instance(url: str, words: str) -> Finding | None:
    """What is wrong with an instance's metadata service; None if there is none."""
    status, token = _ask(url, "PUT", _TOKEN, {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    if status is None:
        return _without_token(url, words)
    header = {"X-aws-ec2-metadata-token": token}
    roles, name = _ask(url, "GET", _ROLES, header)
    if status == _OK and roles == _NOT_FOUND:
        return problem(
            "instance-without-role",
            "could not get AWS credentials: this instance has no role",
            evidence=(f"GET {_ROLES}  {roles}", words),
            fix="Attach an instance profile whose role may connect",
            commands=(
                shell(
                    "aws ec2 associate-iam-instance-profile --iam-instance-profile Name=PROFILE "
                    + _INSTANCE,
                ),
            ),
        )
    if (status, roles) == (_OK, _OK):
        _, document = _ask(url, "GET", _ROLES + quote(name.split("\n")[0]), header)
        return _refused(name, document, words)
    off = status == _FORBIDDEN
    return problem(
        "imds-failing",
        "could not get AWS credentials: the instance's metadata service "
        + ("is switched off" if off else "does not hand them out"),
        Certainty.LIKELY,
        evidence=(f"PUT {_TOKEN}  {status}", f"GET {_ROLES}  {roles or 'no answer'}", words),
        fix="Switch it on"
        if off
        else "Check the instance's metadata options, and what filters requests to it",
        commands=(
            shell(f"aws ec2 modify-instance-metadata-options --http-endpoint enabled {_INSTANCE}"),
        ),
    )


def _refused(name: str, document: str, words: str) -> Finding | None:
    """What EC2 says instead of keys; None if it hands them out after all."""
    code = re.search(r'"Code"\s*:\s*"(\w+)"', document)
    if code is None or code[1] == "Success":
        return None  # it has recovered meanwhile
    return problem(
        "imds-failing",
        f"could not get AWS credentials: EC2 has no keys of the role {name!r}: {code[1]}",
        Certainty.CERTAIN,
        evidence=(words,),
        fix="Have the role's trust policy name ec2.amazonaws.com, and check that the role exists",
        commands=(
            look(
                f"aws iam get-role --role-name {shlex.quote(name)} "
                "--query Role.AssumeRolePolicyDocument"
            ),
        ),
    )


def _without_token(url: str, words: str) -> Finding | None:
    """What it means that nothing answers PUT."""
    answers, _ = _ask(url, "GET", "/", {})
    if answers is None:
        return _silent(url, words)
    return problem(
        "imds-hop-limit",
        "could not get AWS credentials: the instance's metadata service answers here, and its "
        "session tokens do not arrive: the hop limit is too small for a container",
        Certainty.LIKELY,
        evidence=(f"PUT {_TOKEN}  no answer within {_SECONDS:g} s", f"GET /  {answers}", words),
        fix="Raise the hop limit to 2, or give the container credentials of its own (an ECS "
        "task role, EKS Pod Identity)",
        commands=(
            shell(
                "aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2 "
                + _INSTANCE,
            ),
        ),
    )


def _silent(url: str, words: str) -> Finding | None:
    """A service that takes connections and says nothing; None if there may be none at all."""
    place = urlsplit(url)
    try:
        with socket.create_connection((place.hostname or "", place.port or 80), _SECONDS):
            pass
    except OSError:
        return None
    return problem(
        "imds-silent",
        "could not get AWS credentials: the instance's metadata service at "
        f"{place.hostname} takes connections and does not answer",
        Certainty.LIKELY,
        evidence=(
            f"PUT {_TOKEN}  no answer within {_SECONDS:g} s",
            f"GET /  no answer within {_SECONDS:g} s",
            words,
        ),
        fix="Check what is in between (iptables, a service mesh, a network policy), and restart "
        "the instance if it is the service itself; or give the application keys in another way",
        commands=(
            look(
                f"curl -sv -m 3 -X PUT {url.rstrip('/')}{_TOKEN} "
                "-H 'X-aws-ec2-metadata-token-ttl-seconds: 60'"
            ),
        ),
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
