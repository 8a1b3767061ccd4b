"""What does not keep logins from working yet is a warning, and the set-up is healthy."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from doctor_support import Ward, assert_healthy
from sqlalchemy.pool import NullPool

from sqlalchemy_rds_iam.testing.aws.service import AwsError

Setup = Callable[[Ward], None]


def _require(ward: Ward) -> None:
    ward.options("rds_iam_ca", rds_iam_tls="require")


def _large_pool(ward: Ward) -> None:
    ward.keywords |= {"pool_size": 300, "max_overflow": 300}


def _nearly_full(ward: Ward) -> None:
    """One connection is left of a user's, and a session of another one does not count."""
    ward.rds.create_user("pair")
    ward.rds.execute("ALTER ROLE pair CONNECTION LIMIT 2")
    ward.url = ward.rds.url(user="pair")
    ward.keywords["poolclass"] = NullPool
    ward.stay(ward.url)


def _nearly_full_database(ward: Ward) -> None:
    ward.rds.create_user("visitor")
    ward.rds.execute("ALTER DATABASE app CONNECTION LIMIT 2")
    ward.cleanup.callback(ward.rds.execute, "ALTER DATABASE app CONNECTION LIMIT -1")
    ward.keywords["poolclass"] = NullPool
    ward.stay(ward.rds.url(user="visitor"))


def _superuser(ward: Ward) -> None:
    ward.rds.execute("DROP ROLE IF EXISTS rds_superuser; CREATE ROLE rds_superuser")
    ward.cleanup.callback(ward.rds.execute, "DROP ROLE rds_superuser")
    ward.rds.create_user("master")
    ward.rds.execute("GRANT rds_superuser TO master")
    ward.url = ward.rds.url(user="master")


def _clock_inexact(ward: Ward) -> None:
    ward.patch.setattr(ward.rds, "clock", lambda: time.time() + 100)


def _ending(ward: Ward) -> None:
    end = datetime.fromtimestamp(time.time() + 50, UTC).isoformat()
    key = ward.rds.identities.issue(ward.rds.key.principal, 50.0)
    config = ward.directory / "config"
    keys = (
        f'{{"Version": 1, "AccessKeyId": "{key.access_key}", "SecretAccessKey": '
        f'"{key.secret_key}", "SessionToken": "{key.session_token}", "Expiration": "{end}"}}'
    )
    (ward.directory / "keys").write_text(keys)
    config.write_text(f"[profile vault]\ncredential_process = cat {ward.directory / 'keys'}\n")
    ward.patch.setenv("AWS_CONFIG_FILE", str(config))
    ward.options(rds_iam_profile="vault")


def _nearly_full_account(ward: Ward) -> None:
    ward.rds.execute("DROP USER IF EXISTS 'pair'@'%'")
    ward.rds.create_user("pair")
    ward.rds.execute("GRANT SELECT ON app.* TO 'pair'@'%'")
    ward.rds.execute("ALTER USER 'pair'@'%' WITH MAX_USER_CONNECTIONS 3")
    ward.url = ward.rds.url(user="pair")
    ward.keywords["poolclass"] = NullPool
    ward.stay(ward.url)
    ward.stay(ward.url)


def _nearly_full_server(ward: Ward) -> None:
    """The least that a server takes is ten."""
    [(before,)] = ward.rds.execute("SELECT @@GLOBAL.max_connections")
    ward.rds.execute("SET GLOBAL max_connections = 10")
    ward.cleanup.callback(ward.rds.execute, f"SET GLOBAL max_connections = {before}")
    ward.keywords["poolclass"] = NullPool
    for _ in range(8):
        ward.stay(ward.url)


def _master(ward: Ward) -> None:
    ward.rds.execute("DROP USER IF EXISTS 'master'@'%'")
    ward.rds.create_user("master")
    ward.rds.execute("GRANT SELECT, CREATE USER ON *.* TO 'master'@'%' WITH GRANT OPTION")
    ward.url = ward.rds.url(user="master")


@pytest.mark.parametrize("family", ["mysql"])
@pytest.mark.parametrize(
    ("setup", "code"),
    [
        (_require, "tls-unverified"),
        (_large_pool, "pool-too-large"),
        (_nearly_full_account, "connections-scarce"),
        (_nearly_full_server, "connections-scarce"),
        (_master, "user-powerful"),
        (_clock_inexact, "clock-inexact"),
    ],
)
def test_warnings_of_mysql(setup: Setup, code: str, family: str, ward: Ward) -> None:
    """The same with MySQL's own limits and privileges."""
    assert ward.driver.startswith(family)
    setup(ward)
    report = ward.examine()
    assert_healthy(report, ward, code)
    assert report.warnings[0].fix


@pytest.mark.parametrize(
    ("setup", "code"),
    [
        (_require, "tls-unverified"),
        (_large_pool, "pool-too-large"),
        (_nearly_full, "connections-scarce"),
        (_nearly_full_database, "connections-scarce"),
        (_superuser, "user-powerful"),
        (_clock_inexact, "clock-inexact"),
        (_ending, "session-ending"),
    ],
)
def test_warnings(setup: Setup, code: str, ward: Ward) -> None:
    """What keeps no user from connecting is a warning, and the set-up is healthy."""
    setup(ward)
    report = ward.examine()
    assert_healthy(report, ward, code)
    assert report.warnings[0].fix


def test_a_working_login_counts(ward: Ward) -> None:
    """What STS has against keys that the database accepts is a warning, no cause."""
    user = ward.rds.identities.user("undecided")
    ward.use(ward.rds.identities.issue(user))
    ward.rds.aws.sts.fail(AwsError(403, "InvalidClientTokenId", "The security token is invalid."))
    ward.cleanup.callback(ward.rds.aws.sts.recover)
    assert_healthy(ward.examine(), ward, "keys-invalid")
