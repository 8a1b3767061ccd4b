"""Faults of the AWS identity: credentials, roles, STS, metadata services, clocks and policies."""

# ruff: noqa: D103  (the name of a fault is what there is to say)

from __future__ import annotations

import time

from doctor_support import Ward, fault

from sqlalchemy_rds_iam.testing import Principal
from sqlalchemy_rds_iam.testing.aws.service import AwsError

ELSEWHERE = "arn:aws:iam::210987654321:role/partner"


@fault("no-credentials")
def no_credentials(ward: Ward) -> None:
    ward.no_keys()
    ward.patch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@fault("profile-missing")
def profile_misspelled(ward: Ward) -> None:
    ward.options(rds_iam_profile="reproting")


@fault("session-expired")
def expired_session(ward: Ward) -> None:
    ward.use(ward.rds.identities.issue(ward.rds.identities.role("late"), 0.0))


@fault("session-expired")
def expired_session_whose_end_is_known(ward: Ward) -> None:
    key = ward.rds.identities.issue(ward.rds.identities.role("late"), 0.0)
    ward.use(key, AWS_CREDENTIAL_EXPIRATION="2024-01-01T00:00:00Z")


@fault("keys-invalid")
def revoked_key(ward: Ward) -> None:
    user = ward.rds.identities.user("leaver")
    ward.use(ward.rds.identities.issue(user))
    ward.rds.identities.revoke(user)


@fault("secret-wrong")
def wrong_secret_key(ward: Ward) -> None:
    ward.secrets.add("w" * 40)
    ward.patch.setenv("AWS_SECRET_ACCESS_KEY", "w" * 40)


@fault("secret-wrong")
def request_quoted_by_aws(ward: Ward) -> None:
    key = ward.use(ward.rds.identities.issue(ward.rds.identities.role("quoted"), 900.0))
    words = f"The signature does not match that of 'x-amz-security-token:{key.session_token}'"
    ward.rds.aws.sts.fail(AwsError(403, "SignatureDoesNotMatch", words))
    ward.cleanup.callback(ward.rds.aws.sts.recover)
    ward.rds.gateway.refuse_next = 1


@fault("session-token-missing")
def session_token_forgotten(ward: Ward) -> None:
    ward.use(ward.rds.identities.issue(ward.rds.identities.role("copied"), 900.0))
    ward.patch.delenv("AWS_SESSION_TOKEN")


@fault("keys-incomplete")
def half_a_key(ward: Ward) -> None:
    ward.patch.delenv("AWS_SECRET_ACCESS_KEY")


@fault("role-denied")
def role_not_assumable(ward: Ward) -> None:
    role = ward.rds.identities.role("guarded")
    ward.patch.setattr(ward.rds.aws.sts, "_trusted", {role.arn: frozenset()})
    ward.options(rds_iam_role_arn=role.arn)


@fault("role-denied")
def external_id_wrong(ward: Ward) -> None:
    role = ward.rds.identities.role("partnered", external_id="team-42")
    ward.options(rds_iam_role_arn=role.arn, rds_iam_external_id="team-41")


@fault("external-id-missing")
def external_id_missing(ward: Ward) -> None:
    partner = Principal(ELSEWHERE, None, "team-42")
    ward.patch.setitem(ward.rds.identities._principals, ELSEWHERE, partner)
    ward.options(rds_iam_role_arn=ELSEWHERE)


@fault("sts-unreachable")
def sts_unreachable(ward: Ward) -> None:
    ward.rds.aws.sts.fail("reset")
    ward.cleanup.callback(ward.rds.aws.sts.recover)
    ward.options(rds_iam_role_arn=ward.rds.identities.role("far").arn)
    ward.timeout = 20.0


@fault("sts-unreachable")
def sts_behind_a_firewall(ward: Ward) -> None:
    ward.rds.aws.sts.fail("hang")
    ward.cleanup.callback(ward.rds.aws.sts.recover)
    ward.options(rds_iam_role_arn=ward.rds.identities.role("far").arn)
    ward.timeout = 1.0


@fault("credentials-late")
def credential_process_that_hangs(ward: Ward) -> None:
    ward.no_keys()
    config = ward.directory / "config"
    config.write_text("[profile vault]\ncredential_process = sleep 2\n")
    ward.patch.setenv("AWS_CONFIG_FILE", str(config))
    ward.options(rds_iam_profile="vault")
    ward.timeout = 0.5


@fault("sso-login")
def signed_out(ward: Ward) -> None:
    ward.no_keys()
    config = ward.directory / "config"
    config.write_text(
        "[profile dev]\nsso_start_url = https://app.awsapps.com/start\nsso_region = us-east-1\n"
        "sso_account_id = 123456789012\nsso_role_name = Developer\n"
    )
    ward.patch.setenv("AWS_CONFIG_FILE", str(config))
    ward.options(rds_iam_profile="dev")


@fault("imds-hop-limit")
def imds_hop_limit(ward: Ward) -> None:
    ward.no_keys()
    ward.rds.aws.imds.fail("hang", operation="GetToken")
    ward.cleanup.callback(ward.rds.aws.imds.recover)


@fault("instance-without-role")
def instance_without_a_role(ward: Ward) -> None:
    ward.no_keys()
    ward.patch.setattr(ward.rds.aws.imds, "role", None)


@fault("clock-skewed")
def skewed_clock(ward: Ward) -> None:
    ward.patch.setattr(ward.rds, "clock", lambda: time.time() + 1200)


@fault("clock-skewed")
def clock_ahead(ward: Ward) -> None:
    ward.patch.setattr(ward.rds, "clock", lambda: time.time() - 1200)


@fault("clock-skewed")
def skewed_clock_with_a_role(ward: Ward) -> None:
    skewed_clock(ward)
    ward.options(rds_iam_role_arn=ward.rds.identities.role("far").arn)


@fault("clock-skewed")
def skewed_clock_and_a_certificate_that_seems_to_be_over(ward: Ward) -> None:
    clock_ahead(ward)
    ward.rds.gateway.certificate = ward.rds.certificates.expired()


@fault("policy")
def policy_for_another_user(ward: Ward) -> None:
    user = ward.rds.identities.user("narrow", db_users=["report"])
    ward.use(ward.rds.identities.issue(user))


@fault("policy")
def policy_missing_from_a_role(ward: Ward) -> None:
    role = ward.rds.identities.role("unprivileged", db_users=[])
    ward.options(rds_iam_role_arn=role.arn)
