"""Every provider of AWS credentials, set up as its users do: variables, files and endpoints."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.utils
from providers_support import LIFE, START_URL, Provider, Site, iso, lines_of, session_of

from sqlalchemy_rds_iam.testing import AccessKey, Principal
from sqlalchemy_rds_iam.testing.aws.identities import ACCOUNT_ID

PROFILE = {"rds_iam_profile": "app"}

# Without an expiry.


def static_environment(site: Site) -> Provider:
    """Keys in variables."""

    def put() -> AccessKey:
        key = site.issue(None)
        for name, value in key.environ().items():
            site.setenv(name, value)
        return key

    return Provider("env", site.principal, put=put)


def shared_credentials(site: Site) -> Provider:
    """Keys in the shared credentials file."""

    def put() -> AccessKey:
        key = site.issue(None)
        site.credentials("[default]", *lines_of(key))
        return key

    return Provider("shared-credentials-file", site.principal, put=put)


def shared_config(site: Site) -> Provider:
    """Keys in a profile of the shared config file."""

    def put() -> AccessKey:
        key = site.issue(None)
        site.config("[profile app]", *lines_of(key))
        return key

    return Provider("config-file", site.principal, PROFILE, put=put)


def static_process(site: Site) -> Provider:
    """A process that does not say when its keys expire."""
    return _process(site, lifetime=None)


# With an expiry.


def environment(site: Site) -> Provider:
    """Keys in variables, and when they expire; the code that sets them renews them."""

    def put() -> None:
        key = site.issue()
        for name, value in (key.environ() | {"AWS_CREDENTIAL_EXPIRATION": iso(key)}).items():
            site.setenv(name, value)

    return Provider("env", site.principal, put=put)


def process(site: Site) -> Provider:
    """A process that says when its keys expire."""
    return _process(site, lifetime=LIFE)


def _process(site: Site, lifetime: float | None) -> Provider:
    file = site.directory / "of the process.json"

    def put() -> AccessKey:
        key = site.issue(lifetime)
        document = {
            "Version": 1,
            "AccessKeyId": key.access_key,
            "SecretAccessKey": key.secret_key,
            "SessionToken": key.session_token,
            "Expiration": iso(key),
        }
        if lifetime is None:
            document = dict(list(document.items())[:3])
        file.write_text(json.dumps(document))
        return key

    site.config("[profile app]", f"credential_process = cat {shlex.quote(str(file))}")
    return Provider("custom-process", site.principal, PROFILE, put=put)


def source_profile(site: Site) -> Provider:
    """A role assumed with the keys of another profile."""
    site.aws.sts.trust(site.principal, site.rds.key.principal)
    site.config(
        "[profile app]",
        f"role_arn = {site.principal.arn}",
        "source_profile = base",
        "[profile base]",
        *lines_of(site.rds.key),
    )
    return Provider("assume-role", site.principal, PROFILE)


def chained_roles(site: Site) -> Provider:
    """A role assumed with the keys of a profile that assumes a role itself."""
    first = site.rds.identities.role("first")
    site.aws.sts.trust(first, site.rds.key.principal)
    site.aws.sts.trust(site.principal, first)
    site.config(
        "[profile app]",
        f"role_arn = {site.principal.arn}",
        "source_profile = first",
        "[profile first]",
        f"role_arn = {first.arn}",
        "source_profile = base",
        "[profile base]",
        *lines_of(site.rds.key),
    )
    return Provider("assume-role", site.principal, PROFILE)


def source_environment(site: Site) -> Provider:
    """A role assumed with the keys in the variables."""
    for name, value in site.rds.key.environ().items():
        site.setenv(name, value)
    return _credential_source(site, "Environment", site.rds.key.principal)


def source_container(site: Site) -> Provider:
    """A role assumed with the keys of a container."""
    base = site.rds.identities.role("base")
    site.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", site.aws.container_url)
    site.setattr(site.aws.container, "role", base)
    return _credential_source(site, "EcsContainer", base)


def source_instance(site: Site) -> Provider:
    """A role assumed with the keys of an instance."""
    base = site.rds.identities.role("base")
    site.setattr(site.aws.imds, "role", base)
    return _credential_source(site, "Ec2InstanceMetadata", base)


def _credential_source(site: Site, name: str, base: Principal) -> Provider:
    site.aws.sts.trust(site.principal, base)
    site.config("[profile app]", f"role_arn = {site.principal.arn}", f"credential_source = {name}")
    return Provider("assume-role", site.principal, PROFILE)


def web_identity(site: Site) -> Provider:
    """As in a pod of EKS with IRSA. Kubernetes rotates the file."""
    file = site.directory / "web-identity"
    site.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))
    site.setenv("AWS_ROLE_ARN", site.principal.arn)
    return Provider(
        "assume-role-with-web-identity",
        site.principal,
        put=_rotating(site, file, lambda token: {"web_identity_tokens": {token}}, site.aws.sts),
    )


def pod_identity(site: Site) -> Provider:
    """As in a pod of EKS with Pod Identity. Kubernetes rotates the file."""
    file = site.directory / "pod-identity"
    site.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", site.aws.container_url)
    site.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(file))
    site.setattr(site.aws.container, "role", site.principal)
    return Provider(
        "container-role",
        site.principal,
        put=_rotating(site, file, lambda token: {"token": token}, site.aws.container),
    )


def _rotating(
    site: Site, file: Path, accepted: Callable[[str], dict[str, Any]], service: Any
) -> Callable[[], None]:
    tokens = iter(f"token-{number}" for number in range(1, 100))

    def put() -> None:
        token = next(tokens)
        file.write_text(token)
        for name, value in accepted(token).items():
            site.setattr(service, name, value)

    return put


def task_role(site: Site) -> Provider:
    """As in a task of ECS, whose agent has an address that is not of loopback."""
    agent = site.aws.container.url.removeprefix("http://")
    site.setattr(botocore.utils.ContainerMetadataFetcher, "IP_ADDRESS", agent)
    site.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", site.aws.container.path)
    site.setattr(site.aws.container, "role", site.principal)
    return Provider("container-role", site.principal)


def instance_role(site: Site) -> Provider:
    """As on an instance of EC2."""
    site.setattr(site.aws.imds, "role", site.principal)
    return Provider("iam-role", site.principal)


def sso_session(site: Site) -> Provider:
    """A profile that names an sso-session, whose access tokens can be renewed."""
    site.config(
        "[profile app]",
        "sso_session = corporate",
        f"sso_account_id = {ACCOUNT_ID}",
        "sso_role_name = provided",
        "[sso-session corporate]",
        f"sso_start_url = {START_URL}",
        "sso_region = eu-central-1",
        "sso_registration_scopes = sso:account:access",
    )
    site.sign_in("corporate", "signed-in")
    return Provider("sso", site.principal, PROFILE)


def sso_legacy(site: Site) -> Provider:
    """A profile with a start URL of its own."""
    site.config(
        "[profile app]",
        f"sso_start_url = {START_URL}",
        "sso_region = eu-central-1",
        f"sso_account_id = {ACCOUNT_ID}",
        "sso_role_name = provided",
    )
    site.sign_in(START_URL, "signed-in")
    return Provider("sso", site.principal, PROFILE)


def session_object(site: Site) -> Provider:
    """A session of botocore or, where that fetches, of aiobotocore."""
    source_profile(site)
    session = session_of(site.way, profile="app")
    return Provider("assume-role", site.principal, keywords={"rds_iam_session": session})
