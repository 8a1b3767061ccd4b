"""The table of MySQL's answers: which one means what, and what to do about it.

Sources: "Server Error Message Reference" and "Client Error Message Reference" in the MySQL
reference manual, "MariaDB Error Codes"; "Troubleshooting for RDS Proxy" in the RDS user guide.
"""

from __future__ import annotations

from sqlalchemy_rds_iam._databases.mysql_grants import IDENTIFIED
from sqlalchemy_rds_iam.doctor.advice import (
    describe,
    enable,
    environment,
    metric,
    option,
    shell,
    sql,
)
from sqlalchemy_rds_iam.doctor.findings import Command
from sqlalchemy_rds_iam.doctor.meaning import EVENTS, Meaning
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.urls import changed

SESSIONS = sql(
    "SELECT USER, HOST, DB, COMMAND, COUNT(*) FROM information_schema.PROCESSLIST "
    "GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC;"
)
"""Shows who has taken the connections."""

IAM_ACCOUNT = (
    sql(f"CREATE USER IF NOT EXISTS {{user}} {IDENTIFIED} REQUIRE SSL;"),
    sql(f"ALTER USER {{user}} {IDENTIFIED} REQUIRE SSL;"),
)
"""Make an account one of IAM, whether there is one or not."""


def _server_errors(state: State) -> tuple[Command, ...]:
    return (metric(state, "IamDbAuthConnectionFailureServerError"),)


def _own_directory(state: State) -> tuple[Command, ...]:
    return changed(state, "plugin_dir")


# The first that fits counts.
MEANINGS = (
    Meaning(
        "1049",
        "Unknown database",
        "database-missing",
        "there is no database {database!r} on this server",
        "Correct the end of the URL, or create the database",
        (sql("CREATE DATABASE {database};"), sql("GRANT SELECT ON {pattern}.* TO {user};")),
        any_words=True,
    ),
    Meaning(
        "1044",
        "Access denied for user .* to database",
        "connect-privilege",
        "user {user!r} may not enter the database {database!r}, or there is none of that name",
        "Create it if need be, and grant a privilege in it: any will do",
        (
            sql("CREATE DATABASE IF NOT EXISTS {database};"),
            sql("GRANT SELECT ON {pattern}.* TO {user};"),
        ),
        any_words=True,
    ),
    Meaning(
        "1040",
        "rate limit exceeded",
        "throttled",
        "the RDS Proxy takes no more new connections a second at the moment",
        "Keep connections in the pool, and bring them up slowly (rds_iam_connect_rate)",
    ),
    Meaning(
        "1040",
        "(?i)simultaneous connections exceeded",
        "connections-exhausted",
        "the RDS Proxy has all the client connections that it may have",
        "Close what is idle, make pools smaller (pool_size + max_overflow, times processes)",
        (describe,),
    ),
    Meaning(
        "1040",
        "Too many connections",
        "connections-exhausted",
        "every connection that this server may have (max_connections) is taken",
        "Close what is idle, make pools smaller (pool_size + max_overflow, times processes), or "
        "put RDS Proxy in between",
        (SESSIONS, describe),
        any_words=True,
    ),
    Meaning(
        "1226",
        "has exceeded the 'max_connections_per_hour' resource",
        "connections-exhausted",
        "user {user!r} has connected as often this hour as MAX_CONNECTIONS_PER_HOUR allows",
        "Raise the limit (0 is none), and keep connections in the pool",
        (sql("ALTER USER {user} WITH MAX_CONNECTIONS_PER_HOUR 0;"),),
    ),
    Meaning(
        "1226",
        "has exceeded the 'max_user_connections' resource",
        "connections-exhausted",
        "user {user!r} has as many connections as its MAX_USER_CONNECTIONS allows",
        "Raise the limit (0 is that of the server), or close what is idle",
        (sql("ALTER USER {user} WITH MAX_USER_CONNECTIONS 0;"), SESSIONS),
        any_words=True,
    ),
    Meaning(
        "1203",
        "already has more than 'max_user_connections'",
        "connections-exhausted",
        "user {user!r} has as many connections as the server's max_user_connections allows a user",
        "Raise it in the server's parameter group, or close what is idle",
        (SESSIONS, describe),
        any_words=True,
    ),
    Meaning(
        "1129",
        "is blocked because of many connection errors",
        "host-blocked",
        "the server has blocked this machine's address: too many connects were broken off in a "
        "row (max_connect_errors)",
        "Unblock it, from another address; then find what connects and goes away: a health check, "
        "a port scan, a client that does not trust the certificate",
        (sql("FLUSH HOSTS;"), sql("TRUNCATE TABLE performance_schema.host_cache;")),
        any_words=True,
    ),
    Meaning(
        "1130",
        "is not allowed to connect",
        "host-not-allowed",
        "the server has no account for clients from this machine's address",
        "Make an account for every host ('%'): a security group is what lets clients in or not",
        (*IAM_ACCOUNT, describe),
        any_words=True,
    ),
    Meaning(
        "1524",
        "Plugin .* is not loaded",
        "iam-disabled",
        "the server has not loaded the plugin that asks IAM: IAM authentication is off for this "
        "instance or cluster, or its version has none",
        "Switch it on",
        (enable, describe),
        any_words=True,
    ),
    Meaning(
        "3159",
        "(?i)insecure transport|requires TLS",
        "tls-required",
        "the server saw a connection without TLS: something in between takes TLS off",
        "Check what ends TLS between here and the server",
        any_words=True,
    ),
    Meaning(
        "9501",
        "(?i)timed-out waiting to acquire",
        "connections-exhausted",
        "the RDS Proxy has no database connection to give",
        "Raise MaxConnectionsPercent, or look at what pins its connections",
        (describe,),
        any_words=True,
    ),
    Meaning(
        "3118",
        "(?i)account (?:is )?locked",
        "account-locked",
        "the account of user {user!r} is locked",
        "Unlock it",
        (sql("ALTER USER {user} ACCOUNT UNLOCK;"),),
        any_words=True,
    ),
    Meaning(
        "4151",
        "(?i)account is locked",
        "account-locked",
        "the account of user {user!r} is locked",
        "Unlock it",
        (sql("ALTER USER {user} ACCOUNT UNLOCK;"),),
        any_words=True,
    ),
    Meaning(
        "1862",
        "password has expired",
        "account-expired",
        "the password of user {user!r} has expired, which an account of IAM has none of",
        "Make it an account of IAM",
        IAM_ACCOUNT,
        any_words=True,
    ),
    Meaning(
        "1053",
        "(?i)shutdown in progress",
        "server-starting",
        "the server ends connections: it is restarted, or fails over",
        "Wait for it, and look at its events",
        (EVENTS, describe),
        any_words=True,
    ),
    Meaning(
        "3032",
        "offline mode",
        "server-starting",
        "the server is in offline mode, and takes no connections but an administrator's",
        "Wait for it, and look at its events",
        (EVENTS, describe),
        any_words=True,
    ),
    Meaning(
        "115",
        "(?i)communication packets",
        "auth-timeout",
        "the server broke off the login: it waited too long, or the network did",
        "Check the server's load and memory: IAM authentication takes 300 to 1000 MiB of it, "
        "and a small instance that is busy has none to spare",
        (_server_errors, describe),
    ),
    Meaning(
        "2059",
        "plugin not enabled",
        "client-plugin",
        "the driver has the plugin mysql_clear_password, and does not use it until it is told to",
        "Switch it on for the application, whose tokens leave this machine in verified TLS only",
        (environment("export LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN=1"),),
    ),
    Meaning(
        "",
        "(?:could not|cannot) be loaded",
        "client-plugin",
        "the driver cannot load its plugin mysql_clear_password, by which tokens are sent",
        "Install it; if it is in another directory than the driver's own (on Debian in "
        "/usr/lib/x86_64-linux-gnu/libmariadb3/plugin), name that: in MARIADB_PLUGIN_DIR for "
        "mysqlclient, in plugin_dir for MariaDB's driver",
        (
            _own_directory,
            shell("sudo apt-get install --yes libmariadb3"),
            option("plugin_dir=DIRECTORY"),
        ),
    ),
    Meaning(
        "2002",
        "through socket",
        "socket",
        "the driver went for a Unix socket on this machine: it takes 'localhost' for one",
        "Name the endpoint itself; through a tunnel use another driver, such as pymysql",
    ),
)
