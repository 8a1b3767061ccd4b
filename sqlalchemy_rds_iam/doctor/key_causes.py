"""What botocore, STS and `CredentialsError` say of credentials that cannot be used: a table.

Sources: "Common Errors" and the errors of each action in the AWS STS API reference; botocore's
``exceptions``; `sdk_errors` and `provider_faults` of this package.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy_rds_iam.doctor.advice import CLOCK, look, option, shell
from sqlalchemy_rds_iam.doctor.findings import Command

AT_STS = ("'assume-role'", "'assume-role-with-web-identity'")
"""Providers that ask STS."""


class Cause(NamedTuple):
    """A cause of what AWS or botocore says.

    Attributes:
        pattern: found in the words.
        code: the cause's name.
        summary: one clause; empty where the words themselves say what is wrong.
        fix: what to do.
        commands: what to paste, the same for all.
    """

    pattern: str
    code: str
    summary: str
    fix: str
    commands: tuple[Command, ...] = ()


_IDENTITY = look("aws sts get-caller-identity")
_KEYS_AGAIN = "Copy access key, secret key and session token again, all of one answer, and whole"

# The first that fits counts.
CAUSES = (
    Cause(
        "cannot be parsed",
        "aws-file",
        "",
        "Correct the file; the command keeps the old one as .bak",
        (look("aws configure list"),),
    ),
    Cause(
        "NO_PROXY",
        "metadata-proxy",
        "",
        "Leave the metadata service out of the proxy",
    ),
    Cause(
        r"config profile .* could not be found",
        "profile-missing",
        "",
        "Spell it as in the file, or configure it",
        (look("aws configure list-profiles"),),
    ),
    Cause(
        "source_profile|credential_source|credential source|Infinite loop",
        "profile-chain",
        "",
        "Correct source_profile or credential_source in the config file",
        (shell('${EDITOR:-vi} "${AWS_CONFIG_FILE:-$HOME/.aws/config}"'),),
    ),
    Cause(
        "mfa_serial",
        "profile-mfa",
        "the profile asks for a one-time code, which a person has to type",
        "Use IAM Identity Center, or a credential_process",
    ),
    Cause(
        "credential_process",
        "credential-process",
        "",
        "Run the command by hand as the application's user; it has to print JSON with Version 1, "
        "AccessKeyId, SecretAccessKey, and for temporary keys SessionToken and Expiration",
        (
            look("aws configure get credential_process"),
            look("aws configure export-credentials --format process >/dev/null && echo good"),
        ),
    ),
    Cause(
        r"ends in |begins with |in it: expected|has characters in it|is missing$|is no text$",
        "keys-malformed",
        "",
        "Write it again without them: printf %s instead of echo; kubectl create secret "
        "--from-literal",
    ),
    Cause(
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "web-identity",
        "",
        "Have the token mounted: a service account with the role's annotation, and a pod that was "
        "started after that",
        (look('ls -l "$AWS_WEB_IDENTITY_TOKEN_FILE"'),),
    ),
    Cause(
        "(?=.*web-identity).*ExpiredToken",
        "web-identity",
        "the web identity token (the file that Kubernetes mounts) has expired",
        "Check that it is the file of the pod that runs, which Kubernetes renews, and not a copy",
        (look('ls -l "$AWS_WEB_IDENTITY_TOKEN_FILE"'),),
    ),
    Cause(
        "AWS_CREDENTIAL_EXPIRATION",
        "session-expired",
        "",
        "Renew the keys in the environment, and the variable with them; long-term keys have none",
        (_IDENTITY,),
    ),
    Cause(
        "SSO session|Error loading SSO Token|ForbiddenException|UnauthorizedException|"
        "aws sso login",
        "sso-login",
        "the session with IAM Identity Center has expired, or does not include this role",
        "Sign in again",
    ),
    Cause(
        "Signature expired|Signature not yet current|RequestTimeTooSkewed",
        "clock-skewed",
        "AWS says that the requests of this machine are signed at a wrong time",
        "Set the clock, and keep it by chrony or systemd-timesyncd",
        CLOCK,
    ),
    Cause(
        "still expired|had expired|ExpiredToken",
        "session-expired",
        "the AWS session has expired",
        "Have what provides the keys renew them: sign in again, or restart the agent",
        (_IDENTITY,),
    ),
    Cause(
        "InvalidClientTokenId|InvalidAccessKeyId|UnrecognizedClient",
        "keys-invalid",
        "AWS does not know the access key: it was deleted or deactivated, is of another partition, "
        "or lacks its session token",
        "Provide keys that exist",
        (_IDENTITY, look("aws iam list-access-keys --user-name USER")),
    ),
    Cause(
        "SignatureDoesNotMatch|IncompleteSignature",
        "secret-wrong",
        "the secret key does not belong to the access key",
        f"{_KEYS_AGAIN}; a secret with / or + in it is often cut",
        (look("aws configure list"),),
    ),
    Cause(
        r"\(AccessDenied\) when calling the AssumeRole operation",
        "role-denied",
        "STS does not let the caller assume the role",
        "Check the trust policy of the role and the caller's own permissions",
    ),
    Cause(
        "InvalidIdentityToken|IDPCommunicationError|IDPRejectedClaim|AssumeRoleWithWebIdentity",
        "web-identity",
        "STS does not accept the web identity (the token that Kubernetes mounts) for this role",
        "Check the role's trust policy: the OIDC provider, namespace and service account in it",
        (look("aws iam get-role --role-name ROLE --query Role.AssumeRolePolicyDocument"),),
    ),
    Cause(
        "RegionDisabledException",
        "sts-region",
        "STS is not active in this region for the account",
        "Activate it (IAM, account settings), or ask STS of another region",
        (option("rds_iam_sts_endpoint_url=https://sts.us-east-1.amazonaws.com"),),
    ),
    Cause(
        "Invalid endpoint",
        "aws-endpoint",
        "",
        "Write it as a URL, with http:// or https://, or leave it out",
    ),
    Cause(
        "SSL validation failed|CERTIFICATE_VERIFY_FAILED|CA certificate bundle",
        "aws-tls",
        "",
        "If something of your own ends TLS on the way to AWS, name its CA for AWS clients; else "
        "correct AWS_CA_BUNDLE",
    ),
    Cause(
        "Throttling|Rate exceeded|InternalFailure|InternalError|ServiceUnavailable|ServiceFailure|"
        "Unable to parse response",
        "sts-failing",
        "the AWS service that issues them throttles, fails, or is not what answers",
        "Try again; ask it less often (a longer rds_iam_role_duration), and look at AWS Health",
    ),
    Cause(
        "ValidationError|DurationSeconds|Invalid length for parameter|Invalid type for parameter",
        "role-duration",
        "",
        "Correct the option that the sentence names",
    ),
    Cause(
        "(Could not connect|timeout on endpoint|Connection was closed|Connect timeout|"
        "Read timeout|Failed to connect).*sts|sts.*(timed out)",
        "sts-unreachable",
        "STS, which issues them, cannot be reached",
        "Let this machine reach STS: a NAT gateway, a proxy, or a VPC endpoint for STS, which "
        "rds_iam_sts_endpoint_url may name",
        (look("curl -sv -m 5 https://sts.us-east-1.amazonaws.com/ -o /dev/null"),),
    ),
    Cause(
        "Could not connect|timeout on endpoint|Connection was closed|Connect timeout|Read timeout",
        "provider-unreachable",
        "the service that hands them out cannot be reached",
        "Check the agent (ECS, EKS Pod Identity) or the network to it",
    ),
    Cause(
        "[Pp]artial credentials|missing: |without AWS_ACCESS_KEY_ID",
        "keys-incomplete",
        "there is an access key without its secret key",
        "Provide both",
        (look("aws configure list"),),
    ),
    Cause(
        "is a directory|no regular file|does not exist|cannot be read|"
        r"has to be \[",
        "aws-file",
        "",
        "Correct the file, or the variable that names it",
        (look("aws configure list"),),
    ),
    Cause(
        "'container-role'|container",
        "container-credentials",
        "",
        "Check the task role (ECS) or the pod identity association (EKS), and the agent",
        (
            look(
                # The status alone, as the answer has keys in it.
                "curl -s -o /dev/null -w '%{http_code}' "
                '"${AWS_CONTAINER_CREDENTIALS_FULL_URI:-http://169.254.170.2'
                '$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI}"'
            ),
        ),
    ),
)

LACKS_TOKEN = Cause(
    "",
    "session-token-missing",
    "the access key is a temporary one (ASIA…), and its session token is missing",
    "Set AWS_SESSION_TOKEN (aws_session_token in a file) beside the two keys",
    (_IDENTITY,),
)

WRONG_TOKEN = Cause(
    "",
    "session-token-wrong",
    "AWS does not accept the session token beside the access key",
    f"{_KEYS_AGAIN}; a long token is easily cut",
    (_IDENTITY,),
)

SURPLUS_TOKEN = Cause(
    "",
    "session-token-wrong",
    "the access key is a long-term one (AKIA…), and there is a session token beside it, of other "
    "keys",
    "Remove the session token",
)
