"""`rds-iam exec` with MySQL's and MariaDB's clients: no token in clear, and nothing overrules."""

from __future__ import annotations

import subprocess

import pytest
from cli_support import CLIENT_LOGINS, MODES, clients_url, needs_clients, ran, shown
from odd_servers import ODD, odd_server
from patience import DEADLINE
from wiretap import Wiretap, in_clear, leaked

from sqlalchemy_rds_iam.testing import RdsEmulator

pytestmark = [pytest.mark.server, needs_clients]


# Whether a login is tried again depends on how soon it was refused.
REFUSED = pytest.param("refused", marks=pytest.mark.timing)


@MODES
@pytest.mark.parametrize("client", CLIENT_LOGINS)
@pytest.mark.parametrize("fault", ["healthy", "decline", "wrong-ca", "wrong-name", REFUSED])
def test_no_token_in_clear(
    mysql: RdsEmulator, mode: tuple[str, ...], client: str, fault: str
) -> None:
    """Whatever the server answers, there is the request for TLS in clear, and nothing else."""
    bad = mysql.certificates
    if fault == "decline":
        mysql.gateway.decline_tls = True
    elif fault == "refused":
        mysql.gateway.refuse_next = 9
    elif fault != "healthy":
        spoilt = {"wrong-ca": bad.unrelated, "wrong-name": bad.other_host}
        mysql.gateway.certificate = spoilt[fault]()
    with Wiretap(*mysql.gateway.addresses[-1]) as tap:
        tapped = clients_url(mysql, port=tap.port)
        found = shown("exec", tapped, *mode, "--", client, *CLIENT_LOGINS[client])
        assert (found.code == 0) == (fault == "healthy")
        assert tap.sent
        for stream in tap.sent:
            assert in_clear(stream) == b""
    assert not any(each.in_clear for each in mysql.decisions)
    # A token that did not arrive is no reason for another.
    assert len(tap.sent) == (2 if fault == "refused" and mode else 1)


@pytest.mark.parametrize("fault", ODD["mysql"])
def test_no_token_for_odd_servers(mysql: RdsEmulator, fault: str) -> None:
    """What asks for it too early, or in another way, does not get it."""
    host = mysql.gateway.addresses[-1][0]
    with (
        odd_server(host, ODD["mysql"][fault], mysql.certificates.valid()) as port,
        Wiretap(host, port) as tap,
    ):
        found = shown(
            "exec", clients_url(mysql, port=tap.port), "--", "mariadb", *CLIENT_LOGINS["mariadb"]
        )
        assert found.code == 1
        for stream in tap.sent:
            assert in_clear(stream) == b""


def test_the_client_alone_gives_it_away(mysql: RdsEmulator) -> None:
    """By itself, with a CA file, the client sends the token in clear to a server without TLS."""
    mysql.gateway.decline_tls = True
    token = "db.example.com:3306/?Action=connect&X-Amz-Signature=0f1e2d3c4b5a69788796a5b4c3d2e1f0"
    with Wiretap(*mysql.gateway.addresses[-1]) as tap:
        host = mysql.gateway.addresses[-1][0]
        where = ("-h", host, "-P", str(tap.port), "-u", "app", f"--ssl-ca={mysql.ca_file}")
        subprocess.run(
            ["mariadb", "--no-defaults", *where, "-e", "select 1"],
            env={"MYSQL_PWD": token, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            check=False,
            timeout=DEADLINE,
        )
        [stream] = tap.sent
    assert leaked(stream, {token})


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["-h", "elsewhere"], "-h: host"),
        (["-uroot"], "-u: user"),
        (["-psesame"], "-p: password"),
        (["-P", "3307"], "-P: port"),
        (["-S/run/mysqld.sock"], "-S: socket"),
        (["-e", "select 1", "--host=elsewhere"], "--host: host"),
        (["--hos", "elsewhere"], "--hos: host"),
        (["--password=sesame"], "--password: password"),
        (["--skip-ssl"], "--skip-ssl: ssl"),
        (["--disable_ssl_verify_server_cert"], "--disable_ssl_verify_server_cert: ssl-verify-"),
        (["--loose-ssl-mode=DISABLED"], "--loose-ssl-mode: ssl-mode"),
        (["--ssl=0"], "--ssl: ssl"),
        (["--protocol=socket"], "--protocol: protocol"),
        (["--plugin-dir=/tmp"], "--plugin-dir: plugin-dir"),
        (["--defaults-file=mine.cnf"], "--defaults-file: defaults-file"),
        (["--defaults-extra-file=mine.cnf"], "--defaults-extra-file: defaults-extra-file"),
        (["--no-defaults"], "--no-defaults: no-defaults"),
        (["--login-path=mine"], "--login-path: login-path"),
    ],
)
def test_arguments_that_overrule(mysql_url: str, arguments: list[str], named: str) -> None:
    """What the URL says is not said by an argument, which would win; no password is shown."""
    found = shown("exec", mysql_url, "--", "mariadb", *arguments)
    assert (found.code, found.out) == (2, "")
    assert f"mariadb {named}" in found.err
    assert "sesame" not in found.err


def test_arguments_that_do_not(mysql_url: str) -> None:
    """All else is the program's own."""
    options = (
        "-B",
        "-N",
        "--skip-column-names",
        "--no-auto-rehash",
        "--default-character-set=utf8",
    )
    found = ran(
        "exec", mysql_url, "--", "mariadb", *options, "-D", "app", "-e", "-- no word\nselect 1"
    )
    assert (found.code, found.out) == (0, "1\n")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "tunnel.example.com"])
def test_tunnel(mysql: RdsEmulator, host: str) -> None:
    """The clients verify the name that they dial, so a tunnel is refused, with what to do."""
    found = shown("exec", mysql.url("mysql+pymysql").set(host=host), "--", "mariadb")
    assert (found.code, found.out) == (2, "")
    assert f"the URL leads to {host!r}" in found.err
    assert f"line '127.0.0.1 {mysql.endpoint.host}' in /etc/hosts" in found.err
    assert not mysql.decisions


def test_weaker_tls(mysql: RdsEmulator) -> None:
    """They verify the name even where the URL would not ask for it."""
    mysql_url = f"{clients_url(mysql)}&rds_iam_tls=require"
    assert shown("exec", mysql_url, "--", "mariadb", *CLIENT_LOGINS["mariadb"]).code == 0
    mysql.gateway.certificate = mysql.certificates.other_host()
    assert shown("exec", mysql_url, "--", "mariadb", *CLIENT_LOGINS["mariadb"]).code == 1
