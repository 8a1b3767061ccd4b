"""`rds-iam exec`: real programs log in by token, and are otherwise as without it."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from cli_support import HOST, MODES, RUNS, URL, WITHHELD, programs, python, ran, shown

from sqlalchemy_rds_iam.testing import RdsEmulator

DATE = "import os; print(os.environ['PGPASSWORD'].partition('X-Amz-Date=')[2][:16]);"
LOGIN = "import psycopg; print(psycopg.connect('').execute('select current_user').fetchone()[0])"
SETTINGS = (
    "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k[:2] == 'PG'}))"
)

needs_programs = pytest.mark.skipif(
    programs() is None, reason="there is no psql that knows TLS; that of the wheel does not"
)


@needs_programs
@MODES
def test_psql(rds: RdsEmulator, mode: tuple[str, ...]) -> None:
    """Psql logs in by token, over TLS, as the user of the URL; its output is all there is."""
    psql = f"{programs()}/psql"
    sql = "select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()"
    found = ran("exec", rds.url(), *mode, "--", psql, "-XAtc", sql)
    # The emulator ends TLS before the real server, which therefore sees none.
    assert found == (0, "app|f\n", WITHHELD.format(psql))
    assert rds.decisions[-1].granted
    failed = ran("exec", rds.url(), *mode, "--", psql, "-Xc", "select 1/0")
    assert failed.code == 1
    assert "division by zero" in failed.err


@needs_programs
def test_pg_dump(rds: RdsEmulator, tmp_path: Path) -> None:
    """pg_dump dumps, in parallel too, where each of its jobs logs in."""
    rds.execute("create table if not exists dumped (a int)", "app")
    rds.execute("grant select on dumped to app", "app")
    try:
        pg_dump = f"{programs()}/pg_dump"
        whole = ran("exec", rds.url(), "--", pg_dump, "--table=dumped")
        assert (whole.code, whole.err) == (0, WITHHELD.format(pg_dump))
        assert "CREATE TABLE public.dumped" in whole.out
        rds.clear()
        target = tmp_path / "dump"
        jobs = ("-Fd", "-j2", "-f", target)
        done = ran("exec", rds.url(), "--", pg_dump, "--table=dumped", *jobs)
        assert (done.code, done.err) == (0, WITHHELD.format(pg_dump))
        assert (target / "toc.dat").exists()
        assert len(rds.decisions) == 3
    finally:
        rds.execute("drop table dumped", "app")


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg", "pg8000"])
def test_libpq(rds: RdsEmulator, driver: str) -> None:
    """Whatever driver the URL names, a program made of libpq logs in with it."""
    url = rds.url(f"postgresql+{driver}").render_as_string()
    assert ran("exec", url, *python(LOGIN)) == (0, "app\n", WITHHELD.format(sys.executable))


def test_environment(rds: RdsEmulator) -> None:
    """The child has the URL's settings; what contradicts them is set aside, and named."""
    mine = {
        "PGHOST": "elsewhere",
        "PGSERVICE": "mine",
        "PGREQUIREAUTH": "scram-sha-256",
        "PGUSER": "app",
        "PGPASSWORD": "sesame",
        "PGOPTIONS": "-c geqo=off",
        "RDS_IAM_URL": f"{rds.url()}&application_name=orders&keepalives=1",
    }
    found = ran("exec", *python(SETTINGS), "x://y", **mine)
    settings = json.loads(found.out)
    host, port = rds.address
    assert settings.pop("PGPASSWORD").startswith(f"{rds.endpoint.host}:5432/?Action=connect")
    assert settings == {
        "PGHOST": rds.endpoint.host,
        "PGHOSTADDR": host,
        "PGPORT": str(port),
        "PGUSER": "app",
        "PGDATABASE": "app",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(rds.ca_file),
        "PGGSSENCMODE": "disable",
        "PGCONNECT_TIMEOUT": "30",
        "PGAPPNAME": "orders",
        "PGOPTIONS": "-c geqo=off",
    }
    aside = ["PGHOST", "PGPASSWORD", "PGREQUIREAUTH", "PGSERVICE"]
    assert found.err.splitlines() == [
        "rds-iam exec: no variable says keepalives; that of the URL is left out",
        "rds-iam exec: set aside for what the URL says: " + ", ".join(aside),
        WITHHELD.format(sys.executable).rstrip(),
    ]


@RUNS
@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        (("no-such-program",), 127, "no-such-program: not found; is it installed"),
        (("/etc/passwd",), 126, "/etc/passwd: cannot be run (Permission denied)"),
    ],
)
def test_not_to_be_run(
    rds: RdsEmulator,
    url: str,
    mode: tuple[str, ...],
    command: tuple[str],
    code: int,
    sentence: str,
) -> None:
    """What cannot be run ends as in a shell, with a sentence."""
    found = shown("exec", f"{url}&rds_iam_ca={rds.ca_file}", *mode, "--", *command)
    assert (found.code, found.out) == (code, "")
    assert sentence in found.err
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN


@RUNS
def test_no_program(rds: RdsEmulator, url: str, mode: tuple[str, ...], tmp_path: Path) -> None:
    """A file that may be run and is no program ends like that as well."""
    file = tmp_path / "program"
    file.write_bytes(b"\0")
    file.chmod(0o700)
    found = shown("exec", f"{url}&rds_iam_ca={rds.ca_file}", *mode, "--", file)
    assert (found.code, found.out) == (126, "")
    assert f"{file}: cannot be run (Exec format error)" in found.err


def test_called_wrongly(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a URL or a command, or with options that are not behind the dashes: status 2."""
    for arguments, sentence in (
        (["--", "psql"], "there is no database URL: give one, as in rds-iam exec postgresql"),
        ([URL], "there is no command"),
        ([URL, "psql", "-c", "select 1"], "there is no option -c"),
        ([f"{URL}&sslmode=prefer", "--", "true"], "weaker than rds_iam_tls=verify-full"),
    ):
        found = shown("exec", *arguments)
        assert (found.code, found.out) == (2, "")
        assert sentence in found.err
    monkeypatch.setenv("PGSSLROOTCERT", str(rds.ca_file))
    monkeypatch.setenv("DATABASE_URL", URL)
    assert shown("exec", "--", "no-such-program").code == 127


def test_retry(rds: RdsEmulator) -> None:
    """A refused login is followed by another run with another token, as often as was said."""
    rds.gateway.refuse_next = 1
    found = ran("exec", rds.url(), "--retry", "2", *python(DATE + LOGIN))
    assert found.code == 0
    first, second, user = found.out.split()
    assert (first != second, user) == (True, "app")
    assert "PAM authentication failed" in found.err
    assert "the login was refused; " in found.err
    assert [each.granted for each in rds.decisions] == [False, True]
    times = [each.time for each in rds.decisions]
    assert times[1] - times[0] > 0.9


def test_retry_has_an_end(rds: RdsEmulator) -> None:
    """Logins that stay refused end the command as the program did."""
    rds.gateway.refuse_next = 9
    found = ran("exec", rds.url(), "--retry", "1", *python(LOGIN))
    assert found.code == 1
    assert found.err.count("is run again") == 1
    assert len(rds.decisions) == 2


def test_no_retry_of_anything_else(rds: RdsEmulator) -> None:
    """A program that fails for another reason is not run again."""
    mark = "import sys; print('ran'); sys.exit('relation \"x\" does not exist')"
    assert ran("exec", rds.url(), "--retry", "3", *python(mark)).out == "ran\n"


def test_left_behind(rds: RdsEmulator, tmp_path: Path) -> None:
    """What a program leaves running holds nothing up, although it keeps standard error open."""
    script = f"sleep 600 >&- & echo $! > {tmp_path}/pid; exit 3"
    # Standard error of ours is a pipe, too, which is read to its end by `ran`.
    assert ran("exec", rds.url(), "--retry", "1", "--", "sh", "-c", script).code == 3
    # It would be gone, had it been waited for.
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_tunnel_by_name(rds: RdsEmulator) -> None:
    """Behind a tunnel that has a name, libpq gets its addresses, and the signed name to verify."""
    url = rds.url().set(host="localhost")
    settings = json.loads(ran("exec", url, *python(SETTINGS)).out)
    addresses = settings["PGHOSTADDR"].split(",")
    assert "127.0.0.1" in addresses
    assert settings["PGHOST"].split(",") == [rds.endpoint.host] * len(addresses)
    assert ran("exec", url, *python(LOGIN)).out == "app\n"
    found = ran("exec", rds.url().set(host="no-such-name.invalid"), *python(LOGIN))
    assert found.code == 1
    assert "cannot look up the address of 'no-such-name.invalid'" in found.err


def test_the_endpoint_itself(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a tunnel there is no address, and an address of the environment does not stay."""
    monkeypatch.setenv("PGSSLROOTCERT", str(rds.ca_file))
    found = ran("exec", URL, *python(SETTINGS), PGHOSTADDR="10.0.0.1")
    settings = json.loads(found.out)
    assert settings["PGHOST"] == HOST
    assert "PGHOSTADDR" not in settings
    assert "PGHOSTADDR" in found.err


def test_dashes(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands behind the first two dashes is the program's, other dashes included."""
    monkeypatch.setenv("PGSSLROOTCERT", str(rds.ca_file))
    found = ran("exec", URL, "--", "echo", "--json", "--", "-o", "x://y")
    assert found.out == "--json -- -o x://y\n"
