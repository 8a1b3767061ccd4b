"""`rds-iam exec` with a secret: its password, and what it says about where to and who."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_support import MODES, clients_url, needs_clients, python, ran, shown
from rds_secret_support import secret_url
from sqlalchemy import URL, make_url

from sqlalchemy_rds_iam.testing import RdsEmulator, Secret

LOGIN = "import psycopg; print(psycopg.connect('').execute('select current_user').fetchone()[0])"
SETTINGS = "import json, os; print(json.dumps(dict(os.environ)))"
ELSEWHERE = """
import os
for file in ("self/cmdline", f"{os.getppid()}/cmdline", f"{os.getppid()}/environ"):
    print(open(f"/proc/{file}", errors="replace").read())
"""
WHO = "select substring_index(current_user(), '@', 1)"


@pytest.fixture
def url(rds: RdsEmulator) -> Callable[..., str]:
    """Make a URL that says which secret, and no more than is needed."""

    def make(secret: Secret, **more: str) -> str:
        return secret_url(rds, secret, "postgresql", **more).render_as_string()

    return make


@MODES
def test_logs_in(rds: RdsEmulator, url: Callable[..., str], mode: tuple[str, ...]) -> None:
    """The program logs in with the secret's password, as its user, over verified TLS."""
    secret = rds.secrets.create("prod/app", "keeper")
    found = ran("exec", url(secret), *mode, *python(LOGIN))
    assert (found.code, found.out) == (0, "keeper\n")
    assert rds.decisions[-1].method == "password"
    settings = json.loads(ran("exec", url(secret), *mode, *python(SETTINGS)).out)
    fields = secret.fields()
    told = {"PGUSER": "keeper", "PGDATABASE": fields["dbname"], "PGPORT": str(fields["port"])}
    assert settings.items() >= {**told, "PGSSLMODE": "verify-full"}.items()
    assert settings["PGPASSWORD"] == fields["password"]
    assert settings.keys().isdisjoint({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"})


@MODES
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc here")
def test_nowhere_else(rds: RdsEmulator, url: Callable[..., str], mode: tuple[str, ...]) -> None:
    """The password is in no arguments, which all users can read, nor in the parent's variables."""
    secret = rds.secrets.create("prod/app", "keeper")
    found = ran("exec", url(secret), *mode, *python(ELSEWHERE))
    assert (found.code, "rds_secret_id" in found.out) == (0, bool(mode))
    assert secret.fields()["password"] not in found.out + found.err


def test_by_options(rds: RdsEmulator, url: Callable[..., str]) -> None:
    """An option that names a secret is enough; those of both plugins have a short form."""
    secret = rds.secrets.create("prod/app", "keeper")
    query = make_url(url(secret)).difference_update_query(["plugin", "rds_secret_region"]).query
    options = [f"--option={name}={value}" for name, value in query.items()]
    found = ran("exec", "postgresql://", *options, "--region", rds.endpoint.region, *python(LOGIN))
    assert (found.code, found.out) == (0, "keeper\n")


def test_while_it_rotates(rds: RdsEmulator, url: Callable[..., str]) -> None:
    """With --retry each moment of a rotation lets it in."""
    secret = rds.secrets.create("prod/app", "keeper", strategy="single-user")
    users = []
    for _ in secret.rotation():
        found = ran("exec", url(secret), "--retry", "2", *python(LOGIN))
        assert found.code == 0, found.err
        users.append(found.out.strip())
    assert users[-1] == secret.fields()["username"]


def test_another_user(rds: RdsEmulator, url: Callable[..., str]) -> None:
    """A version of another user is tried as that user."""
    secret = rds.secrets.create("prod/app", "keeper")
    other = rds.secrets.create("prod/other", "substitute")
    secret.put({**secret.fields(), "password": "wrong"})
    secret.put(other.fields(), "AWSPENDING")
    found = ran("exec", url(secret), "--retry", "1", *python(LOGIN))
    assert (found.code, found.out) == (0, "substitute\n")
    assert found.err.count("is run again") == 1


def test_nothing_of_the_first(rds: RdsEmulator, url: Callable[..., str]) -> None:
    """What one version says, and the next one does not, is no variable of the next run."""
    secret = rds.secrets.create("prod/app", "keeper")
    fields = secret.fields()
    del fields["dbname"]
    secret.put({**fields, "username": "substitute", "password": "other"}, "AWSPENDING")
    code = (
        "import os, sys; print(user := os.environ['PGUSER'], 'PGDATABASE' in os.environ);"
        "sys.exit(user == 'keeper' and 'FATAL:  password authentication failed for user')"
    )
    found = ran("exec", url(secret), "--retry", "1", *python(code))
    assert (found.code, found.out.splitlines()) == (0, ["keeper True", "substitute False"])


def test_no_other_password(rds: RdsEmulator, url: Callable[..., str]) -> None:
    """A secret that has no other version does not have the program run again and again."""
    secret = rds.secrets.create("prod/app", "keeper")
    stored = rds.secrets.store("prod/wrong", {**secret.fields(), "password": "sesame"})
    found = ran("exec", url(stored), "--retry", "5", *python(LOGIN))
    assert found.code == 1
    assert "the secret has no other password" in found.err
    assert len(rds.decisions) == 1
    assert "sesame" not in found.err


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"rds_secret_id": "no/such"}, "no/such"),
        ({"rds_secret_enabled": "off"}, "rds_secret_enabled=off"),
        ({"rds_iam_profile": "x"}, "rds_iam_profile is an option of another plugin"),
        ({"rds_secret_regoin": "x"}, "did you mean rds_secret_region?"),
    ],
)
def test_errors(
    rds: RdsEmulator, url: Callable[..., str], more: dict[str, str], sentence: str
) -> None:
    """What cannot work is said in one line, and the program is not run."""
    secret = rds.secrets.create("prod/app", "keeper")
    found = shown("exec", url(secret, **more), *python("print('ran')"))
    assert (found.code in {1, 2}, found.out) == (True, "")
    assert sentence in found.err


@pytest.mark.parametrize("command", ["token", "policy", "grant"])
def test_about_tokens(rds: RdsEmulator, url: Callable[..., str], command: str) -> None:
    """Commands about tokens say that a secret has none."""
    found = shown(command, url(rds.secrets.create("prod/app", "keeper")))
    assert (found.code, found.out) == (2, "")
    assert "and this is about tokens" in found.err


@pytest.fixture
def mysql_url(mysql: RdsEmulator) -> Callable[[Secret], str]:
    """Make a URL for the clients of MySQL and MariaDB that says which secret."""

    def make(secret: Secret) -> str:
        query = {
            "rds_secret_id": secret.name,
            "rds_secret_ca": str(mysql.ca_file),
            "rds_secret_region": mysql.endpoint.region,
        }
        return URL.create("mysql", query=query).render_as_string()

    return make


@pytest.fixture
def shop(mysql: RdsEmulator) -> Callable[..., Secret]:
    """Make a secret with an address that these clients can verify."""
    where = make_url(clients_url(mysql))
    place = {"host": str(where.host), "port": where.port or 0}
    return lambda **more: mysql.secrets.create("prod/shop", "keeper", **place, **more)


MARIADB = ("--", "mariadb", "-NBe", WHO)


@needs_clients
@MODES
def test_mysql(
    mysql: RdsEmulator,
    shop: Callable[..., Secret],
    mysql_url: Callable[[Secret], str],
    mode: tuple[str, ...],
    tmp_path: Path,
) -> None:
    """So do the clients of MySQL and MariaDB, which may not send it in clear."""
    secret = shop()
    url = mysql_url(secret)
    found = ran("exec", url, *mode, *MARIADB)
    assert (found.code, found.out) == (0, "keeper\n"), found.err
    assert mysql.decisions[-1].method == "password"
    client = tmp_path / "mysql"
    client.write_text(
        '#!/bin/sh\n[ "$1" = --no-defaults ] && echo "mysql  Ver 8.4.0" && exit\n'
        'cat "${1#*=}"\necho "arguments: $*"\n'
    )
    client.chmod(0o700)
    told = ran("exec", url, *mode, "--", client).out
    assert {"user=keeper", "ssl-mode=VERIFY_IDENTITY"} <= {*told.splitlines()}
    assert "enable-cleartext-plugin" not in told
    assert secret.fields()["password"] not in told


@needs_clients
def test_mysql_while_it_rotates(
    shop: Callable[..., Secret], mysql_url: Callable[[Secret], str]
) -> None:
    """Each moment of a rotation lets them in as well, as whichever user the version names."""
    secret = shop(strategy="alternating-users")
    users = []
    for _ in secret.rotation():
        found = ran("exec", mysql_url(secret), "--retry", "2", *MARIADB)
        assert found.code == 0, found.err
        users.append(found.out.strip())
    assert users[-1] == secret.fields()["username"]
