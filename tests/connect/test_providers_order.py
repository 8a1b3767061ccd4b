"""Who is asked first: the order of the providers, as documented in docs/credentials.md."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from providers_support import START_URL, Provider, Site, iso, lines_of, login, session_of
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import CredentialsError, plugin
from sqlalchemy_rds_iam.testing import Principal, RdsEmulator
from sqlalchemy_rds_iam.testing.aws.identities import ACCOUNT_ID

Open = Callable[..., Database]


class Everything:
    """Every provider at once, each with a principal of its own, to be taken away one by one."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.config = {
            "assume-role": [
                f"role_arn = {self.principal('assume-role').arn}",
                "source_profile = base",
            ],
            "sso": [
                f"sso_start_url = {START_URL}",
                "sso_region = eu-central-1",
                f"sso_account_id = {ACCOUNT_ID}",
                f"sso_role_name = {self.principal('sso').arn.rpartition('/')[2]}",
            ],
            "custom-process": [f"credential_process = cat {self._process()}"],
            "config-file": self._lines("config-file"),
        }
        site.sign_in(START_URL, "signed-in")
        self.write()
        for name, value in self._key("env").environ().items():
            site.setenv(name, value)
        for name, value in self._variables().items():
            site.setenv(name, value)
        site.setattr(site.aws.sts, "web_identity_tokens", {"of the pod"})
        site.setattr(site.aws.container, "role", self.principal("container-role"))
        site.setattr(site.aws.imds, "role", self.principal("iam-role"))

    def principal(self, method: str) -> Principal:
        """Whom this provider stands for."""
        found = self._site.rds.identities.principal(f"arn:aws:iam::{ACCOUNT_ID}:role/by-{method}")
        return found or self._site.rds.identities.role(f"by-{method}")

    def write(self) -> None:
        """Write what is left of the shared config file."""
        lines = [line for section in self.config.values() for line in section]
        base = ["[profile base]", *lines_of(self._site.rds.key)]
        self._site.config("[default]", *lines, *base)

    def take_away(self, method: str) -> None:
        """Leave the next one in the order to be found."""
        if self.config.pop(method, None):
            self.write()
        variable = {
            "env": "AWS_ACCESS_KEY_ID",
            "assume-role-with-web-identity": "AWS_WEB_IDENTITY_TOKEN_FILE",
            "shared-credentials-file": "AWS_SHARED_CREDENTIALS_FILE",
            "ec2-credentials-file": "AWS_CREDENTIAL_FILE",
            "boto-config": "BOTO_CONFIG",
            "container-role": "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        }.get(method)
        if variable:
            self._site.delenv(variable)
        if method == "iam-role":
            self._site.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def _variables(self) -> dict[str, str]:
        ec2 = self._key("ec2-credentials-file")
        return {
            "AWS_ROLE_ARN": self.principal("assume-role-with-web-identity").arn,
            "AWS_WEB_IDENTITY_TOKEN_FILE": self._file("web-identity", "of the pod"),
            "AWS_SHARED_CREDENTIALS_FILE": self._file(
                "credentials", "[default]", *self._lines("shared-credentials-file")
            ),
            "AWS_CREDENTIAL_FILE": self._file(
                "ec2", f"AWSAccessKeyId={ec2.access_key}", f"AWSSecretKey={ec2.secret_key}"
            ),
            "BOTO_CONFIG": self._file("boto", "[Credentials]", *self._lines("boto-config")),
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": self._site.aws.container_url,
        }

    def _process(self) -> str:
        key = self._key("custom-process", 3600.0)
        return self._file(
            "process.json",
            f'{{"Version": 1, "AccessKeyId": "{key.access_key}",',
            f'"SecretAccessKey": "{key.secret_key}", "SessionToken": "{key.session_token}",',
            f'"Expiration": "{iso(key)}"}}',
        )

    def _key(self, method: str, lifetime: float | None = None) -> Any:
        return self._site.rds.identities.issue(self.principal(method), lifetime)

    def _lines(self, method: str) -> list[str]:
        return lines_of(self._key(method))

    def _file(self, name: str, *lines: str) -> str:
        file = self._site.directory / name
        file.write_text("\n".join(lines))
        return str(file)


ORDER = [
    "env",
    "assume-role",
    "assume-role-with-web-identity",
    "sso",
    "shared-credentials-file",
    "custom-process",
    "config-file",
    "ec2-credentials-file",
    "boto-config",
    "container-role",
    "iam-role",
]


def test_the_first_one_wins(open_database: Open, site: Site, rds: RdsEmulator) -> None:
    """With every provider present each one wins over those behind it, and then there are none."""
    everything = Everything(site)
    for method in ORDER:
        plugin._identities.clear()  # as in a process that starts now
        database = open_database(poolclass=NullPool)
        login(database, rds, Provider(method, everything.principal(method)))
        everything.take_away(method)
    plugin._identities.clear()
    error = str(open_database().raises(CredentialsError))
    assert "no AWS credentials found" in error
    # Behind them stands what was overlooked.
    asked = re.split(r"[;.] ", error.partition("asked were ")[2])[0].split(", ")
    assert [method for method in asked if method != "login"] == ORDER


def test_the_documented_order() -> None:
    """The order that is tested is the one that is documented."""
    page = Path(__file__).parents[2] / "docs" / "credentials.md"
    rows = re.findall(r"^\| (\d+) \|.*\| `([a-z0-9-]+)` \|$", page.read_text(), re.MULTILINE)
    assert [(int(number), method) for number, method in rows] == list(enumerate(ORDER, 1))


def test_named_by_the_user(open_database: Open, site: Site, rds: RdsEmulator) -> None:
    """The environment wins over AWS_PROFILE, but not over what the engine is told."""
    names = ("env", "config-file", "explicit")
    roles = {name: rds.identities.role(f"by-{name}") for name in names}
    keys = {name: rds.identities.issue(roles[name]) for name in names}
    for name, value in keys["env"].environ().items():
        site.setenv(name, value)
    site.config("[profile app]", *lines_of(keys["config-file"]))
    site.setenv("AWS_PROFILE", "app")
    # Found too, a profile's own keys would come after it.
    site.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(site.directory / "none"))
    site.setenv("AWS_ROLE_ARN", roles["env"].arn)
    session = session_of(site.way)
    session.set_credentials(keys["explicit"].access_key, keys["explicit"].secret_key)
    for method, told in {
        "env": {},
        "config-file": {"rds_iam_profile": "app"},
        "explicit": {"rds_iam_session": session},
    }.items():
        login(open_database(**told), rds, Provider(method, roles[method]))


def test_two_variables_for_a_profile(open_database: Open, site: Site, rds: RdsEmulator) -> None:
    """AWS_DEFAULT_PROFILE comes before AWS_PROFILE, as botocore has it."""
    roles = [rds.identities.role(f"by-{name}") for name in ("default-profile", "profile")]
    lines = [lines_of(rds.identities.issue(role)) for role in roles]
    site.config("[profile a]", *lines[0], "[profile b]", *lines[1])
    site.setenv("AWS_DEFAULT_PROFILE", "a")
    site.setenv("AWS_PROFILE", "b")
    login(open_database(), rds, Provider("config-file", roles[0]))
