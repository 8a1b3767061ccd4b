"""Faults of keys, and of the files, variables and programs that they come from."""

# ruff: noqa: D103  (the name of a fault is what there is to say)

from __future__ import annotations

import json

from doctor_support import Ward, fault
from providers_support import lines_of

from sqlalchemy_rds_iam.testing import AccessKey
from sqlalchemy_rds_iam.testing.aws.service import AwsError

KEYS = "new keys are the user's to get"
PROGRAM = "a program of the user's is to be corrected"


@fault("profile-missing")
def profile_misspelled(ward: Ward) -> None:
    ward.config("[profile reporting]", *lines_of(ward.rds.key))
    ward.options(rds_iam_profile="reproting")


@fault("profile-missing")
def profile_misspelled_in_the_environment(ward: Ward) -> None:
    ward.no_keys()
    ward.config("[profile reporting]", *lines_of(ward.rds.key))
    ward.patch.setenv("AWS_PROFILE", "reportin")


@fault("profile-missing")
def section_of_the_wrong_file(ward: Ward) -> None:
    ward.config("[app]", *lines_of(ward.rds.key))
    ward.options(rds_iam_profile="app")


@fault("profile-mfa", by_hand="a person has to sign in otherwise")
def profile_with_a_one_time_code(ward: Ward) -> None:
    role = ward.rds.identities.role("careful").arn
    mfa = "arn:aws:iam::123456789012:mfa/me"
    ward.config(
        *("[profile app]", f"role_arn = {role}", "source_profile = base", f"mfa_serial = {mfa}"),
        *("[profile base]", *lines_of(ward.rds.key)),
    )
    ward.options(rds_iam_profile="app")


@fault("profile-chain", by_hand="the right profile is the user's to know")
def source_profile_that_is_missing(ward: Ward) -> None:
    role = ward.rds.identities.role("chained").arn
    ward.config("[profile app]", f"role_arn = {role}", "source_profile = base")
    ward.options(rds_iam_profile="app")


@fault("aws-file")
def file_with_a_setting_twice(ward: Ward) -> None:
    ward.no_keys()
    lines = lines_of(ward.rds.key)
    ward.config("[default]", *lines, lines[-1], credentials=True)


@fault("aws-file")
def file_without_a_section(ward: Ward) -> None:
    ward.no_keys()
    ward.config(*lines_of(ward.rds.key), credentials=True)


@fault("aws-file")
def file_in_utf_16(ward: Ward) -> None:
    ward.no_keys()
    file = ward.config("[default]", *lines_of(ward.rds.key), credentials=True)
    file.write_bytes(file.read_text().encode("utf-16"))


@fault("aws-file")
def file_with_a_byte_order_mark(ward: Ward) -> None:
    ward.no_keys()
    file = ward.config("[default]", *lines_of(ward.rds.key), credentials=True)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())


# Programs and endpoints.


def _process(ward: Ward, command: str) -> None:
    ward.no_keys()
    ward.config("[profile vault]", f"credential_process = {command}")
    ward.options(rds_iam_profile="vault")


@fault("credentials-late", by_hand=PROGRAM)
def credential_process_that_hangs(ward: Ward) -> None:
    _process(ward, "sleep 4")
    ward.hurry("Identity", 2.0)


@fault("credential-process", by_hand=PROGRAM)
def credential_process_that_prints_junk(ward: Ward) -> None:
    _process(ward, "echo export AWS_ACCESS_KEY_ID=AKIA")


@fault("credential-process", by_hand=PROGRAM)
def credential_process_that_fails(ward: Ward) -> None:
    _process(ward, "sh -c 'echo not signed in >&2; exit 3'")


@fault("credential-process", by_hand=PROGRAM)
def credential_process_that_is_not_there(ward: Ward) -> None:
    _process(ward, "/nonexistent/vault-keys")


@fault("credential-process", by_hand=PROGRAM)
def credential_process_with_keys_of_yesterday(ward: Ward) -> None:
    keys = {"Version": 1, "AccessKeyId": "ASIAOLD", "SecretAccessKey": "x", "SessionToken": "y"}
    file = ward.directory / "keys"
    file.write_text(json.dumps(keys | {"Expiration": "2024-01-31T12:00:00Z"}))
    _process(ward, f"cat {file}")


def _container(ward: Ward) -> None:
    """A task role, which counts where there are no keys in the environment."""
    container = ward.rds.aws.container
    ward.patch.setattr(container, "role", ward.rds.identities.role("task"))
    ward.patch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", ward.rds.aws.container_url)
    ward.cleanup.callback(container.recover)


@fault("container-credentials", by_hand="a task role is to be attached")
def container_without_a_role(ward: Ward) -> None:
    ward.no_keys()
    _container(ward)
    ward.patch.setattr(ward.rds.aws.container, "role", None)
    ward.patch.setattr("time.sleep", lambda _: None)  # botocore's, between its tries


@fault("provider-unreachable", by_hand="an agent is to be repaired")
def container_agent_that_hangs(ward: Ward) -> None:
    ward.no_keys()
    _container(ward)
    ward.rds.aws.container.fail("hang")
    ward.hurry("Identity", 1.5)


@fault("keys-malformed")
def authorization_token_with_a_line_feed(ward: Ward) -> None:
    ward.no_keys()
    _container(ward)
    ward.patch.setattr(ward.rds.aws.container, "token", "pod-token")
    ward.secrets.add("pod-token")
    ward.patch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-token\n")


@fault("web-identity", by_hand="Kubernetes has to mount the token")
def web_identity_that_is_empty(ward: Ward) -> None:
    ward.no_keys()
    file = ward.directory / "token"
    file.write_text("")
    ward.patch.setenv("AWS_ROLE_ARN", ward.rds.identities.role("pod").arn)
    ward.patch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))


# Keys.


@fault("session-expired")
def expired_session(ward: Ward) -> None:
    """Of yesterday's shell, in front of the role that the task has now."""
    ward.use(ward.rds.identities.issue(ward.rds.identities.role("late"), 0.0))
    _container(ward)


@fault("session-expired")
def expired_session_whose_end_is_known(ward: Ward) -> None:
    key = ward.rds.identities.issue(ward.rds.identities.role("late"), 0.0)
    ward.use(key, AWS_CREDENTIAL_EXPIRATION="2024-01-01T00:00:00Z")
    _container(ward)


@fault("session-expired")
def expiration_that_is_no_time(ward: Ward) -> None:
    ward.patch.setenv("AWS_CREDENTIAL_EXPIRATION", "tomorrow")


@fault("keys-invalid", by_hand=KEYS)
def revoked_key(ward: Ward) -> None:
    user = ward.rds.identities.user("leaver")
    ward.use(ward.rds.identities.issue(user))
    ward.rds.identities.revoke(user)


@fault("keys-invalid")
def deleted_key_in_front_of_a_role(ward: Ward) -> None:
    revoked_key(ward)
    _container(ward)


@fault("secret-wrong", by_hand=KEYS)
def wrong_secret_key(ward: Ward) -> None:
    ward.secrets.add("w" * 40)
    ward.patch.setenv("AWS_SECRET_ACCESS_KEY", "w" * 40)


@fault("secret-wrong", by_hand=KEYS)
def request_quoted_by_aws(ward: Ward) -> None:
    key = ward.use(ward.rds.identities.issue(ward.rds.identities.role("quoted"), 900.0))
    words = f"The signature does not match that of 'x-amz-security-token:{key.session_token}'"
    ward.rds.aws.sts.fail(AwsError(403, "SignatureDoesNotMatch", words))
    ward.cleanup.callback(ward.rds.aws.sts.recover)
    ward.rds.gateway.refuse_next = 1


@fault("keys-malformed")
def secret_key_in_quotes(ward: Ward) -> None:
    ward.patch.setenv("AWS_SECRET_ACCESS_KEY", f'"{ward.rds.key.secret_key}"')


@fault("keys-malformed")
def access_key_with_a_line_feed(ward: Ward) -> None:
    ward.patch.setenv("AWS_ACCESS_KEY_ID", f"{ward.rds.key.access_key}\n")


@fault("keys-incomplete")
def half_a_key(ward: Ward) -> None:
    ward.patch.delenv("AWS_SECRET_ACCESS_KEY")
    ward.known["SECRET-KEY"] = ward.rds.key.secret_key


@fault("keys-incomplete")
def the_other_half(ward: Ward) -> None:
    ward.patch.delenv("AWS_ACCESS_KEY_ID")
    ward.known["ACCESS-KEY-ID"] = ward.rds.key.access_key


def _temporary(ward: Ward) -> AccessKey:
    return ward.use(ward.rds.identities.issue(ward.rds.identities.role("copied"), 900.0))


@fault("session-token-missing", by_hand=KEYS)
def session_token_forgotten(ward: Ward) -> None:
    _temporary(ward)
    ward.patch.delenv("AWS_SESSION_TOKEN")


@fault("session-token-missing", by_hand=KEYS)
def session_token_forgotten_where_sts_is_silent(ward: Ward) -> None:
    session_token_forgotten(ward)
    ward.rds.aws.sts.fail("reset")
    ward.cleanup.callback(ward.rds.aws.sts.recover)


@fault("session-token-wrong", by_hand=KEYS)
def session_token_cut(ward: Ward) -> None:
    key = _temporary(ward)
    assert key.session_token is not None
    ward.patch.setenv("AWS_SESSION_TOKEN", key.session_token[:250])
    ward.secrets.add(key.session_token[:250])


@fault("session-token-wrong", by_hand=KEYS)
def session_token_cut_where_sts_is_silent(ward: Ward) -> None:
    session_token_cut(ward)
    ward.rds.aws.sts.fail("reset")
    ward.cleanup.callback(ward.rds.aws.sts.recover)


@fault("session-token-wrong")
def session_token_of_other_keys(ward: Ward) -> None:
    other = ward.rds.identities.issue(ward.rds.identities.role("other"), 900.0)
    ward.patch.setenv("AWS_SESSION_TOKEN", str(other.session_token))
