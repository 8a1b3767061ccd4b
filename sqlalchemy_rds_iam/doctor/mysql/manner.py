"""MySQL and MariaDB: how the doctor deals with them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from sqlalchemy_rds_iam._databases.mysql import MYSQL as FAMILY
from sqlalchemy_rds_iam._databases.mysql_errors import number
from sqlalchemy_rds_iam._databases.mysql_grants import account, pattern
from sqlalchemy_rds_iam.doctor.advice import describe, enable, look, sql
from sqlalchemy_rds_iam.doctor.findings import Command, Finding, problem
from sqlalchemy_rds_iam.doctor.manner import Manner, Words
from sqlalchemy_rds_iam.doctor.mysql import session
from sqlalchemy_rds_iam.doctor.mysql.meanings import IAM_ACCOUNT, MEANINGS
from sqlalchemy_rds_iam.doctor.mysql.wire import REFUSALS, MysqlDoor
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.wire import ServerReply

_MODES = {"REQUIRED": "require", "VERIFY_CA": "verify-ca", "VERIFY_IDENTITY": "verify-full"}
# What Connector/C says of an error in place of the greeting.
_QUOTED = re.compile(r"completion of TLS handshake.*: (\d+) - (.*)", re.DOTALL)


def _is_refused_token(answer: ServerReply) -> bool:
    return answer.wants_token and not answer.accepted and answer.code in map(str, REFUSALS)


def _reply(error: BaseException) -> ServerReply:
    code, words = str(number(error) or ""), str(error)
    if (quoted := _QUOTED.search(words)) is not None:
        code, words = quoted[1], quoted[2]
    return ServerReply(accepted=True, code=code, words=words)


def _no_token(state: State, evidence: tuple[str, ...]) -> Finding:
    user = state.settled.endpoint.user
    names = _names(user, "")
    return problem(
        "account-not-iam",
        f"the server asks {user!r} for no token: the account is not one of IAM "
        "(AWSAuthenticationPlugin), is for clients from other hosts, or does not exist",
        why="the server does not tell clients which of them it is",
        evidence=evidence,
        fix="Make it an account of IAM, as the master user; if it is one already, switch IAM "
        "authentication on",
        commands=(
            sql(f"SHOW CREATE USER {account(user)};"),
            *(Command(each.kind, each.text.format(**names)) for each in IAM_ACCOUNT),
            *describe(state),
            *enable(state),
        ),
    )


def _client(host: str, port: int) -> Command:
    return look(f"mysql -h {shlex.quote(host)} -P {port} -u USER -p")


def _names(user: str, database: str) -> dict[str, str]:
    plain = "`" + database.replace("`", "``") + "`"
    return {"user": account(user), "database": plain, "pattern": pattern(database)}


def _database(cparams: Mapping[str, Any], _user: str) -> str:
    """Without a name there is none."""
    return str(cparams.get("database") or cparams.get("db") or "")


def _verification(arguments: Mapping[str, Any]) -> tuple[str, str | None]:
    """In the words of mysqlclient, of MySQL Connector/Python, and of MariaDB Connector/Python."""
    if (mode := arguments.get("ssl_mode")) is not None:
        return _MODES[mode], arguments["ssl"].get("ca")
    full = arguments.get("ssl_verify_identity", arguments.get("ssl_verify_cert"))
    partly = "verify-ca" if arguments.get("ssl_verify_cert") else "require"
    return "verify-full" if full else partly, arguments.get("ssl_ca")


MYSQL = Manner(
    FAMILY,
    Words(
        case="'App' and 'app' are two accounts",
        asked="so its account is one of IAM",
        pooler="ProxySQL",
        pooler_tls="have_ssl, and TLS for its listeners",
        early="the server says so in place of its greeting",
        buffers="poolers and proxies keep passwords in buffers of 128, 256 or 1000 characters, and "
        "a token has its signature at the end",
        starttls="mysql",
        stranger="not-mysql",
    ),
    MysqlDoor,
    MEANINGS,
    is_refused_token=_is_refused_token,
    reply=_reply,
    wanted_password=lambda _said: False,
    names=_names,
    database=_database,
    no_token=_no_token,
    client=_client,
    verification=_verification,
    look=session.look,
    look_around=session.look_around,
    variables=r"(?:MYSQL|MARIADB|LIBMYSQL)_[A-Z_]+",
    idle=frozenset({"MYSQL_PWD", "MYSQL_HOST", "MYSQL_TCP_PORT", "MYSQL_HISTFILE", "MYSQL_PS1"}),
    tls_words=(
        *("ssl", "ssl_mode", "ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "ssl_cipher"),
        *("ssl_check_hostname", "ssl_disabled", "ssl_verify_cert", "ssl_verify_identity"),
    ),
    read_only=("read_only", "0"),
)
