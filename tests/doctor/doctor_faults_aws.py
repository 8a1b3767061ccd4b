"""Faults of the AWS identity: roles, STS, metadata services, clocks and policies."""

# ruff: noqa: D103  (the name of a fault is what there is to say)

from __future__ import annotations

import hashlib
import json
import time

import botocore.credentials
from doctor_support import Ward, fault
from providers_support import START_URL, utc

from sqlalchemy_rds_iam.testing import Principal
from sqlalchemy_rds_iam.testing.aws.service import AwsError

ELSEWHERE = "arn:aws:iam::210987654321:role/partner"
TRUST = "a trust policy is to be changed, and a command would replace all of it"
NETWORK = "a network is to be changed"


@fault("no-credentials")
def no_credentials(ward: Ward) -> None:
    ward.no_keys()
    ward.patch.setattr(ward.rds.aws.imds, "role", ward.rds.identities.role("instance"))
    ward.patch.setenv("AWS_EC2_METADATA_DISABLED", "true")


# Roles and STS.


@fault("role-denied", by_hand=TRUST)
def role_not_assumable(ward: Ward) -> None:
    role = ward.rds.identities.role("guarded")
    ward.patch.setattr(ward.rds.aws.sts, "_trusted", {role.arn: frozenset()})
    ward.options(rds_iam_role_arn=role.arn)


@fault("role-denied", by_hand="the role's name is the user's to know")
def role_that_does_not_exist(ward: Ward) -> None:
    ward.options(rds_iam_role_arn="arn:aws:iam::123456789012:role/nowhere")


@fault("role-denied", by_hand="the external id is the user's to know")
def external_id_wrong(ward: Ward) -> None:
    role = ward.rds.identities.role("partnered", external_id="team-42")
    ward.options(rds_iam_role_arn=role.arn, rds_iam_external_id="team-41")


@fault("external-id-missing")
def external_id_missing(ward: Ward) -> None:
    partner = Principal(ELSEWHERE, None, "team-42")
    ward.patch.setitem(ward.rds.identities._principals, ELSEWHERE, partner)
    ward.options(rds_iam_role_arn=ELSEWHERE)
    ward.known["EXTERNAL-ID"] = "team-42"


@fault("role-duration")
def role_for_too_long(ward: Ward) -> None:
    ward.patch.setattr(ward.rds.aws.sts, "max_session_duration", 3600)
    role = ward.rds.identities.role("brief")
    ward.options(rds_iam_role_arn=role.arn, rds_iam_role_duration="7200")


@fault("sts-unreachable", by_hand=NETWORK)
def sts_unreachable(ward: Ward) -> None:
    _sts(ward, "reset")
    ward.options(rds_iam_role_arn=ward.rds.identities.role("far").arn)


@fault("sts-unreachable", by_hand=NETWORK)
def sts_behind_a_firewall(ward: Ward) -> None:
    _sts(ward, "hang")
    ward.options(rds_iam_role_arn=ward.rds.identities.role("far").arn)
    ward.hurry("Identity", 1.5)


@fault("sts-failing", by_hand="AWS is to be waited for")
def sts_that_throttles(ward: Ward) -> None:
    _sts(ward, AwsError(400, "Throttling", "Rate exceeded"))
    ward.options(rds_iam_role_arn=ward.rds.identities.role("far").arn)


@fault("sts-region", by_hand="a setting of the account is to be changed")
def sts_that_is_not_active(ward: Ward) -> None:
    words = "STS is not activated in this region for account:123456789012."
    _sts(ward, AwsError(403, "RegionDisabledException", words))
    ward.options(rds_iam_role_arn=ward.rds.identities.role("far").arn)


@fault("sts-failing", by_hand=NETWORK)
def portal_that_answers_for_sts(ward: Ward) -> None:
    _sts(ward, "garbage")
    ward.options(rds_iam_role_arn=ward.rds.identities.role("far").arn)


@fault("aws-endpoint", by_hand="without the variable it is AWS itself that is asked")
def endpoint_of_sts_that_is_no_url(ward: Ward) -> None:
    ward.options(rds_iam_role_arn=ward.rds.identities.role("far").arn)
    ward.patch.setenv("AWS_ENDPOINT_URL_STS", "localhost:1")


def _sts(ward: Ward, failure: AwsError | str) -> None:
    ward.rds.aws.sts.fail(failure)  # type: ignore[arg-type]
    ward.cleanup.callback(ward.rds.aws.sts.recover)


@fault("web-identity", by_hand=TRUST)
def web_identity_that_sts_does_not_know(ward: Ward) -> None:
    ward.no_keys()
    file = ward.directory / "token"
    file.write_text("eyJhbGciOi.J9.stale")
    ward.patch.setenv("AWS_ROLE_ARN", ward.rds.identities.role("pod").arn)
    ward.patch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))


@fault("sso-login")
def signed_out(ward: Ward) -> None:
    ward.no_keys()
    ward.rds.identities.role("Developer")
    ward.config(
        "[profile dev]",
        f"sso_start_url = {START_URL}",
        "sso_region = us-east-1",
        "sso_account_id = 123456789012",
        "sso_role_name = Developer",
    )
    cache = ward.directory / "sso"
    cache.mkdir()
    ward.patch.setattr(botocore.credentials.SSOProvider, "_SSO_TOKEN_CACHE_DIR", str(cache))
    ward.options(rds_iam_profile="dev")

    def sign_in() -> None:
        entry = {"startUrl": START_URL, "accessToken": "signed-in", "expiresAt": utc(8 * 3600)}
        file = cache / f"{hashlib.sha1(START_URL.encode()).hexdigest()}.json"
        file.write_text(json.dumps(entry))
        ward.patch.setattr(ward.rds.aws.sso, "access_tokens", {"signed-in"})

    ward.effects["^aws sso login --profile dev$"] = sign_in


# Metadata.


@fault("imds-hop-limit")
def imds_hop_limit(ward: Ward) -> None:
    _instance(ward)
    ward.rds.aws.imds.fail("hang", operation="GetToken")
    ward.effects["--http-put-response-hop-limit 2"] = ward.rds.aws.imds.recover


@fault("imds-silent", by_hand="what is in between is to be repaired")
def imds_that_says_nothing(ward: Ward) -> None:
    _instance(ward)
    ward.rds.aws.imds.fail("hang")


@fault("imds-failing")
def imds_switched_off(ward: Ward) -> None:
    _instance(ward)
    ward.rds.aws.imds.fail(AwsError(403, "FORBIDDEN", "Forbidden"))
    ward.effects["modify-instance-metadata-options --http-endpoint enabled"] = (
        ward.rds.aws.imds.recover
    )


@fault("imds-failing", by_hand=TRUST)
def instance_whose_role_ec2_may_not_assume(ward: Ward) -> None:
    _instance(ward)
    refusal = AwsError(200, "AssumeRoleUnauthorizedAccess", "EC2 cannot assume the role.")
    ward.rds.aws.imds.fail(refusal, operation="GetCredentials")


@fault("instance-without-role")
def instance_without_a_role(ward: Ward) -> None:
    _instance(ward)
    imds, role = ward.rds.aws.imds, ward.rds.identities.role("instance")
    ward.patch.setattr(imds, "role", None)
    ward.effects["associate-iam-instance-profile"] = lambda: ward.patch.setattr(imds, "role", role)


def _instance(ward: Ward) -> None:
    ward.no_keys()
    ward.patch.setattr(ward.rds.aws.imds, "role", ward.rds.identities.role("instance"))
    ward.cleanup.callback(ward.rds.aws.imds.recover)


@fault("metadata-proxy")
def metadata_through_a_proxy(ward: Ward) -> None:
    _instance(ward)
    ward.patch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    ward.patch.delenv("NO_PROXY", raising=False)
    ward.patch.delenv("no_proxy", raising=False)


# The clock.


@fault("clock-skewed")
def skewed_clock(ward: Ward) -> None:
    _clock(ward, 1200)


@fault("clock-skewed")
def clock_ahead(ward: Ward) -> None:
    _clock(ward, -1200)


@fault("clock-skewed")
def skewed_clock_with_a_role(ward: Ward) -> None:
    _clock(ward, 1200)
    ward.options(rds_iam_role_arn=ward.rds.identities.role("far").arn)


@fault("clock-skewed")
def skewed_clock_and_a_certificate_that_seems_to_be_over(ward: Ward) -> None:
    _clock(ward, -1200)
    gateway, valid = ward.rds.gateway, ward.rds.certificates.valid()
    gateway.certificate = ward.rds.certificates.expired()
    clock = ward.effects["^sudo chronyc makestep$"]

    def set_clock() -> None:
        clock()
        gateway.certificate = valid

    ward.effects["^sudo chronyc makestep$"] = set_clock


def _clock(ward: Ward, seconds: float) -> None:
    """The machine's clock is behind by so many seconds, which is AWS's being ahead."""
    ward.patch.setattr(ward.rds, "clock", lambda: time.time() + seconds)
    ward.effects["^sudo chronyc makestep$"] = lambda: ward.patch.setattr(
        ward.rds, "clock", time.time
    )


# Policies.


@fault("policy")
def policy_for_another_user(ward: Ward) -> None:
    user = ward.rds.identities.user("narrow", db_users=["report"])
    ward.use(ward.rds.identities.issue(user))


@fault("policy")
def policy_in_another_case(ward: Ward) -> None:
    user = ward.rds.identities.user("shouting", db_users=["APP"])
    ward.use(ward.rds.identities.issue(user))


@fault("policy")
def policy_missing_from_a_role(ward: Ward) -> None:
    role = ward.rds.identities.role("unprivileged", db_users=[])
    ward.options(rds_iam_role_arn=role.arn)
