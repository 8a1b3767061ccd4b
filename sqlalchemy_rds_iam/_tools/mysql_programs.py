"""How the clients of MySQL and MariaDB are told to connect as an engine would.

Address, user and TLS are in an option file, which those that are known by name get as their first
argument; the others find it in the directory ``MYSQL_HOME``. The token is in ``MYSQL_PWD`` alone.

Source: "Connection Option Summary", "Option Files", "Environment Variables" in the MySQL Reference
Manual; "Configuring MariaDB with Option Files", "MariaDB Environment Variables" in the MariaDB
documentation.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlalchemy_rds_iam._access import Access
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._tls import ca_bundle, trust
from sqlalchemy_rds_iam._tools.mysql_arguments import refuse_arguments
from sqlalchemy_rds_iam._tools.mysql_option_file import Groups, option_file
from sqlalchemy_rds_iam._tools.program_setup import ProgramSetup, passed_over
from sqlalchemy_rds_iam.errors import ConfigError

_KNOWN = re.compile(
    r"(?:mysql|mariadb)"
    r"(?:-?(?:admin|analyze|binlog|check|dump|import|optimize|pump|repair|show|slap))?(?:\.exe)?"
)
_FILE = "my.cnf"
_TIME_FOR_ITS_VERSION = 10.0

# What clients and their libraries read, and what would lead elsewhere, verify less, load more or
# bring other options. What is about the looks of a session stays.
_ASIDE = frozenset(
    (
        *("MYSQL_HOST", "MYSQL_TCP_PORT", "MYSQL_UNIX_PORT", "MYSQL_PWD"),
        *("MYSQL_HOME", "MARIADB_HOME", "MYSQL_GROUP_SUFFIX", "MYSQL_TEST_LOGIN_FILE"),
        *("LIBMYSQL_PLUGINS", "LIBMYSQL_PLUGIN_DIR", "MARIADB_PLUGIN_DIR"),
        *("LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN", "MARIADB_TLS_DISABLE_PEER_VERIFICATION"),
        *("MYSQL_DEBUG", "MYSQL_TEST_TRACE_DEBUG", "MYSQL_TEST_TRACE_CRASH"),
    )
)

# What of a file of the user's would keep TLS from being used or verified.
_WEAKER = re.compile(
    r"^\s*(?:loose[-_])?(?:(?:skip|disable)[-_]ssl[a-z_-]*|"
    r"ssl(?:[-_]verify[-_]server[-_]cert)?\s*=\s*['\"]?(?:0|off|false|no)\b|"
    r"ssl[-_]mode\s*=\s*(?!['\"]?verify[-_]identity)\S+)",
    re.MULTILINE | re.IGNORECASE,
)
# What of it is in the way.
_CONNECTION = re.compile(
    r"^\s*(?:loose[-_]|skip[-_]|disable[-_])?(?:"
    r"host|port|user|password|socket|protocol|ssl|plugin[-_]dir|default[-_]auth|!include"
    r")[a-z_-]*",
    re.MULTILINE,
)

# mysqladmin tells no number, 1044 is about a database, and a plugin that cannot be loaded is 1045
# with some clients.
_REFUSED = re.compile(r"Access denied for user '[^\n]*'@'[^\n']*'(?! to database)")
_THROTTLED = re.compile(r"rate limit exceeded")


def setup(access: Access, command: list[str], environ: Mapping[str, str]) -> ProgramSetup:
    """Settle how a program is told to connect as `access` says, and write its option file.

    Raises:
        ConfigError: a tunnel, whose end these programs cannot verify; an argument that says what
            the URL says; there is no CA file, or the TLS asked for is too weak.
        OSError: the file cannot be written.
    """
    _refuse_tunnel(access)
    known = _KNOWN.fullmatch(Path(command[0]).name) is not None
    if known:
        refuse_arguments(command)
    target = access.target(arguments={**access.cparams, "host": access.dialled})
    # These verify the name whatever the URL asks for, so there is a CA file in any case.
    named = {access.config.named("ca"): access.config.ca}
    ca = target.ca or trust.locate_ca(named, access.host, places=access.family.ca_places)
    file = ca_bundle.narrowed(ca.path, access.host.region)
    mariadb = _is_mariadb(command[0], environ) if known else _has_mariadb(environ)
    endpoint = {"host": access.dialled, "port": str(target.arguments["port"])}
    groups = _groups(
        {**endpoint, "user": access.endpoint.user, "ssl-ca": file.file if file else ca.path},
        access.cparams.get(access.driver.database),
        limit=int(target.limit),
        mariadb=mariadb,
        in_clear=isinstance(access.config, IamOptions),
    )
    text, notes = option_file(groups), passed_over(ca)
    if not known:
        notes += _home_wins(environ)
    directory = _directory(text)
    variables = {
        "MYSQL_HOST": endpoint["host"],
        "MYSQL_TCP_PORT": endpoint["port"],
        # Oracle's clients read ~/.mylogin.cnf after all other files, unless this names another.
        "MYSQL_TEST_LOGIN_FILE": str(directory / "mylogin.cnf"),
    }
    if known:
        command = [command[0], f"--defaults-file={directory / _FILE}", *command[1:]]
    else:
        variables["MYSQL_HOME"] = str(directory)
    return ProgramSetup(command, variables, "MYSQL_PWD", _is_refused, _ASIDE, notes, directory)


def _groups(
    told: dict[str, str | None],
    database: str | None,
    *,
    limit: int,
    mariadb: bool,
    in_clear: bool,
) -> Groups:
    """What is in the option file: the groups that all read, and those that only some do.

    MariaDB's programs stop at a word of Oracle's, and Oracle's do not read MariaDB's group.
    """
    oracle: dict[str, str | None] = {"ssl-mode": "VERIFY_IDENTITY"}
    if in_clear:  # a token is sent as it is, a secret's password is not
        oracle["enable-cleartext-plugin"] = None
    wait: dict[str, str | None] = {"connect-timeout": str(limit)}
    return {
        "client": told if mariadb else told | oracle,
        "client-mariadb": {"ssl-verify-server-cert": None},
        "mysql": wait | ({"database": database} if database else {}),
        "mysqladmin": wait,
    }


def _directory(text: str) -> Path:
    """A directory for this user only, with the option file in it."""
    directory = Path(tempfile.mkdtemp(prefix="rds-iam-"))  # 0700
    try:
        (directory / _FILE).touch(0o600)
        (directory / _FILE).write_text(text, "utf-8", newline="")
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return directory


def _refuse_tunnel(access: Access) -> None:
    dialled, signed = access.dialled, access.host.host
    # To MariaDB's library the one is a Unix socket, and of the others it checks no name.
    if dialled != signed or dialled in {"localhost", "127.0.0.1", "::1", "[::1]"}:
        raise ConfigError(
            f"the URL leads to {dialled!r}, and the certificate is for {signed!r}: the clients of "
            "MySQL and MariaDB verify the name that they connect to and no other. Give that name "
            f"an address, as with a line '127.0.0.1 {signed}' in /etc/hosts, and leave "
            f"{access.config.named('host')} out; engines with pymysql, asyncmy and aiomysql need "
            "no such line"
        )


def _home_wins(environ: Mapping[str, str]) -> Iterator[str]:
    """What to know where a file of the user's is read after ours.

    Raises:
        ConfigError: it would keep TLS from being verified.
    """
    home = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111  (never raises)
    file = Path(home, f".{_FILE}")
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:  # there is none, or the clients cannot read it either
        return
    if weaker := _WEAKER.search(text):
        raise ConfigError(
            f"{weaker[0].strip()!a} in {file} wins over the URL with programs that are not known "
            "by name, and a token sent without verified TLS is a password given away: take it "
            "out, or run the client itself"
        )
    if said := _CONNECTION.search(text):
        yield (
            f"{said[0].strip()} in {file} wins over the URL with programs that are not known by "
            "name: take it out, or run the client itself"
        )


def _has_mariadb(environ: Mapping[str, str]) -> bool:
    """Whose words the clients on the PATH know, for a script that runs them."""
    path = environ.get("PATH")
    if shutil.which("mariadb", path=path):
        return True
    found = shutil.which("mysql", path=path)
    # Where there is none, it is a library that reads the file, and passes over what it does not
    # know.
    return found is not None and _is_mariadb(found, environ)


def _is_mariadb(program: str, environ: Mapping[str, str]) -> bool:
    """Whether a client is of MariaDB, and not of Oracle.

    Raises:
        ConfigError: it does not say.
    """
    asked = [program, "--no-defaults", "--version"]
    try:
        done = subprocess.run(  # noqa: S603  (it is what was asked for)
            asked,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIME_FOR_ITS_VERSION,
            check=False,
        )
    except OSError as error:
        said = str(error.strerror)
    except subprocess.TimeoutExpired:
        said = f"nothing within {_TIME_FOR_ITS_VERSION:g} s"
    else:
        if done.returncode == 0 and re.search(r"\bVer\b|MariaDB", done.stdout):
            return "MariaDB" in done.stdout
        said = (done.stdout + done.stderr).strip()[
            :200
        ] or f"nothing, with status {done.returncode}"
    raise ConfigError(
        f"{' '.join(asked)} says {said!a}: expected a version of MySQL or MariaDB, as the two ask "
        "for verified TLS in different words"
    )


def _is_refused(words: str) -> bool:
    return bool(_REFUSED.search(words) or _THROTTLED.search(words))
