"""Which provider the credentials should come from, for a check that got no answer in time."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam.doctor.advice import environment, look, shell
from sqlalchemy_rds_iam.doctor.findings import Command, Finding, problem

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_ROLES = ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE")
_CONTAINER = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
_STS = "https://sts.{region}.amazonaws.com/"


class Asked(NamedTuple):
    """What was asked for credentials last.

    Attributes:
        code: the cause's name, if it does not answer.
        what: it, in a few words.
        fix: what to do then.
    """

    code: str
    what: str
    fix: str
    commands: tuple[Command, ...] = ()


def late(config: IamOptions, seconds: float) -> Finding:
    """The finding for credentials that did not arrive in time."""
    asked = _asked(config, os.environ)
    return problem(
        asked.code,
        f"could not get AWS credentials: {asked.what} did not answer within {seconds:.1f} s",
        fix=asked.fix,
        commands=asked.commands,
    )


def reach_sts(region: str | None) -> Asked:
    """STS, where a role is assumed."""
    return Asked(
        "sts-unreachable",
        "STS",
        "Let this machine reach STS: a NAT gateway, a proxy, or a VPC endpoint for STS, which "
        "rds_iam_sts_endpoint_url may name",
        (look(f"curl -sv -m 5 {_STS.format(region=region or 'us-east-1')} -o /dev/null"),),
    )


def _asked(config: IamOptions, environ: Mapping[str, str]) -> Asked:
    profile = _profile(config, environ)
    if config.role_arn or "role_arn" in profile:
        return reach_sts(config.region)
    if config.profile is None and all(environ.get(name) for name in _ROLES):
        return reach_sts(config.region)
    if command := profile.get("credential_process"):
        return Asked(
            "credentials-late",
            f"the credential_process ({str(command).split()[0]})",
            "Run it by hand, and find what it waits for: a prompt, a browser, a network",
            (look("aws configure get credential_process"),),
        )
    if config.profile is None and (name := next(filter(environ.get, _CONTAINER), None)):
        return Asked(
            "provider-unreachable",
            f"the container's credentials endpoint ({name}={environ[name]})",
            "Check the agent (ECS, EKS Pod Identity) and the network to it; a proxy must not be "
            "in between",
            (environment("export NO_PROXY=169.254.170.2,169.254.170.23,169.254.169.254"),),
        )
    return Asked(
        "credentials-late",
        "the provider of the credentials",
        "Check the credential_process, the agent or the portal that provides them",
        (look("aws sts get-caller-identity --debug"),),
    )


def _profile(config: IamOptions, environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings of the profile that counts."""
    name = config.profile or environ.get("AWS_DEFAULT_PROFILE") or environ.get("AWS_PROFILE")
    return _all_profiles().get(name or "default", {})


def profiles() -> list[str]:
    """The names of the profiles in the shared files."""
    return [*_all_profiles()]


def _all_profiles() -> dict[str, dict[str, Any]]:
    # Not through a session of ours, which refuses a profile that does not exist.
    from botocore.session import Session  # takes a fifth of a second

    with contextlib.suppress(Exception):  # a file that cannot be parsed is told of elsewhere
        return dict(Session().full_config["profiles"])
    return {}


def unset_keys(environ: Mapping[str, str] = os.environ) -> tuple[Command, ...]:
    """Takes stale keys out of the environment, where another provider is behind them."""
    behind = (*_CONTAINER, "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")
    if not any(environ.get(name) for name in behind) and "default" not in profiles():
        return ()
    there = [name for name in KEYS if environ.get(name)]
    return (environment(f"unset {' '.join(there)}"),) if there else ()


def sign_in(profile: str | None) -> Command:
    """Signs in to IAM Identity Center."""
    named = profile or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
    return shell(f"aws sso login --profile {shlex.quote(named)}" if named else "aws sso login")
