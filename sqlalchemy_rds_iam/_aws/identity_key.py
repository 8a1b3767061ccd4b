"""What tells one AWS identity from another: part of the key of everything that engines share.

botocore's chain of providers is walked here, and what selects an identity in it is listed. Too much
in the list costs a fetch more; too little lets one engine log in as another.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
from collections.abc import Hashable, Mapping
from typing import Any

from sqlalchemy_rds_iam._aws.ambient import unwrapped
from sqlalchemy_rds_iam._aws.assume_role import AssumedRole
from sqlalchemy_rds_iam._config.options import PluginOptions

SELECTORS = (
    # env: the keys themselves. They may be exchanged in place, the access key being the same.
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"),
    # Whatever belongs to a profile: assume-role, sso, custom-process, login, and both shared files.
    *("AWS_DEFAULT_PROFILE", "AWS_PROFILE"),
    # assume-role-with-web-identity, besides the token's file.
    *("AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"),
    # container-role: one agent may serve many, by path or by what authorizes the caller.
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    # iam-role: which metadata service is asked, or none.
    *("AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_V1_DISABLED"),
    *("AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"),
    "AWS_IMDS_USE_IPV6",
    # Which STS, portal or Secrets Manager is asked: another partition, or one of a test, has other
    # identities of the same names.
    *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_DEFAULTS_MODE", "AWS_STS_REGIONAL_ENDPOINTS"),
    *("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"),
    *("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"),
    *("AWS_ENDPOINT_URL_SSO", "AWS_ENDPOINT_URL_SSO_OIDC", "AWS_ENDPOINT_URL_SIGNIN"),
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    # Who answers in their place.
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    # Code that botocore loads, which may do anything.
    "BOTOCORE_EXPERIMENTAL__PLUGINS",
)
"""Variables that select an identity by what they say."""

PATHS = (
    *("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
    # The token of a web identity, and what authorizes a container.
    *("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    # ec2-credentials-file, boto-config, and where login keeps its tokens.
    *("AWS_CREDENTIAL_FILE", "BOTO_CONFIG", "AWS_LOGIN_CACHE_DIRECTORY"),
    # Where services are, and who is believed to be one.
    *("AWS_DATA_PATH", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
)
"""Variables that select an identity by the file they name, for which ``~`` and others count."""

# A value of which only this is kept cannot be read or guessed from what is printed or dumped.
_SALT = os.urandom(32)


def identity_key(
    config: PluginOptions, role: AssumedRole | None, environ: Mapping[str, str] = os.environ
) -> Hashable:
    """What tells this engine's AWS identity from any other, without a secret in it.

    It leaves out what a ``credential_process`` makes of its environment, which is unknown.
    """
    session = None if config.session is None else Itself(unwrapped(config.session))
    return (role, config.profile, session, environment_key(environ))


class Itself:
    """An object as a key: it is equal to itself alone, and cannot give its address to another.

    Attributes:
        it: the object.
    """

    __slots__ = ("it",)

    def __init__(self, it: Any) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Itself) and other.it is self.it

    def __hash__(self) -> int:
        return id(self.it)

    def __repr__(self) -> str:
        return f"<a {type(self.it).__name__}>"


def environment_key(environ: Mapping[str, str] = os.environ) -> str:
    """What tells an environment that selects an identity from any other."""
    said = [environ.get(name) or None for name in SELECTORS]
    # Without HOME it is the account's home, and without any of this it is in there.
    files = [os.path.expanduser("~"), *(_file(environ.get(name)) for name in PATHS)]  # noqa: PTH111
    return hmac.new(_SALT, repr((said, files)).encode(), hashlib.sha256).hexdigest()


def _file(path: str | None) -> str | None:
    """Which file a path leads to from here, as botocore finds it."""
    if not path:
        return None
    found = os.path.expanduser(os.path.expandvars(path))  # noqa: PTH111
    with contextlib.suppress(OSError):  # this directory has been removed
        return os.path.abspath(found)  # noqa: PTH100  (links are followed when it is read)
    return found
