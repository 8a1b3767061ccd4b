"""Faults of MySQL and MariaDB: of their accounts, databases, limits and answers."""

# ruff: noqa: D103  (the name of a fault is what there is to say)

from __future__ import annotations

import functools

from doctor_faults_login import PROXY, SERVER
from doctor_support import Ward, fault, pose

mysql_fault = functools.partial(fault, family="mysql")

CLIENTS = "other clients are to close their connections"
PORT = "the right port is the user's to know"
SLOWER = "clients are to slow down"


# The account.


def _user(ward: Ward, name: str, *, iam: bool = True, enters: bool = True) -> None:
    """A user of the fault's own, who may enter the database, or may not."""
    ward.rds.execute(f"DROP USER IF EXISTS '{name}'@'%'")
    ward.rds.create_user(name, iam=iam)
    if enters:
        ward.rds.execute(f"GRANT SELECT ON app.* TO '{name}'@'%'")
    ward.url = ward.rds.url(user=name)


@mysql_fault("account-not-iam")
def account_with_a_password(ward: Ward) -> None:
    _user(ward, "ungranted", iam=False)


@mysql_fault("account-not-iam")
def account_without_a_password(ward: Ward) -> None:
    _user(ward, "open")
    ward.rds.execute("ALTER USER 'open'@'%' IDENTIFIED BY ''")


@mysql_fault("account-not-iam")
def account_that_does_not_exist(ward: Ward) -> None:
    ward.rds.execute("DROP USER IF EXISTS 'stranger'@'%'")
    ward.url = ward.rds.url(user="stranger")._replace(database=None)


@mysql_fault("account-not-iam", by_hand="the plugin is a knob of the emulator's")
def account_with_a_newer_plugin(ward: Ward) -> None:
    ward.rds.gateway.switch_to = "caching_sha2_password"


@mysql_fault("user-case")
def account_in_another_case(ward: Ward) -> None:
    ward.url = ward.rds.url(user="App")


@mysql_fault("user-case")
def account_with_a_capital(ward: Ward) -> None:
    _user(ward, "Quoted")
    ward.url = ward.rds.url(user="quoted")


@mysql_fault("account-locked")
def account_that_is_locked(ward: Ward) -> None:
    _user(ward, "locked")
    ward.rds.execute("ALTER USER 'locked'@'%' ACCOUNT LOCK")


@mysql_fault("proxy-without-iam", by_hand="the proxy's settings need its secret's ARN")
def proxy_that_wants_the_password(ward: Ward) -> None:
    _user(ward, "proxied", iam=False)
    pose(ward, PROXY)
    ward.url = ward.rds.url(user="proxied", rds_iam_host=PROXY)


@mysql_fault("server-not-rds", by_hand="a pooler is to be gone around")
def pooler_of_mysql_with_passwords_of_its_own(ward: Ward) -> None:
    certificates = ward.rds.certificates
    ward.rds.gateway.certificate = certificates.unrelated()
    file = ward.directory / "pooler.pem"
    certificates._unrelated.cert_pem.write_to_path(str(file))
    _user(ward, "pooled", iam=False)
    ward.url = ward.rds.url(user="pooled", rds_iam_ca=str(file))


# The database.


@mysql_fault("connect-privilege")
def database_that_the_user_may_not_enter(ward: Ward) -> None:
    _user(ward, "outsider", enters=False)


@mysql_fault("connect-privilege")
def database_of_a_name_with_wildcards(ward: Ward) -> None:
    """To a user who may not see it, it is the same whether it is there."""
    _user(ward, "outsider")
    ward.url = ward.rds.url(user="outsider", database="no_where`s")
    ward.cleanup.callback(ward.rds.execute, "DROP DATABASE IF EXISTS `no_where``s`")


@mysql_fault("database-missing")
def database_that_is_not_there(ward: Ward) -> None:
    _user(ward, "explorer")
    ward.rds.execute("GRANT SELECT ON *.* TO 'explorer'@'%'")
    ward.url = ward.rds.url(user="explorer", database="nowhere")
    ward.cleanup.callback(ward.rds.execute, "DROP DATABASE IF EXISTS nowhere")


# Limits.


@mysql_fault("connections-exhausted")
def account_with_all_its_connections(ward: Ward) -> None:
    _user(ward, "crowded")
    ward.rds.execute("ALTER USER 'crowded'@'%' WITH MAX_USER_CONNECTIONS 1")
    ward.stay(ward.url)


@mysql_fault("connections-exhausted")
def account_that_connects_too_often(ward: Ward) -> None:
    _user(ward, "frequent")
    ward.rds.execute("ALTER USER 'frequent'@'%' WITH MAX_CONNECTIONS_PER_HOUR 1")
    ward.stay(ward.url)


@mysql_fault("connections-exhausted", by_hand="the parameter group is to be changed")
def user_with_all_that_the_server_allows_one(ward: Ward) -> None:
    words = "User app already has more than 'max_user_connections' active connections"
    _answer(ward, 1203, "42000", words)


@mysql_fault("connections-exhausted", by_hand=CLIENTS)
def server_with_all_its_connections(ward: Ward) -> None:
    _instead(ward, 1040, "Too many connections")


@mysql_fault("connections-exhausted", by_hand=CLIENTS)
def proxy_with_all_its_clients(ward: Ward) -> None:
    _answer(ward, 1040, "HY000", "Number simultaneous connections exceeded (100)")


@mysql_fault("connections-exhausted", by_hand=CLIENTS)
def proxy_without_a_database_connection(ward: Ward) -> None:
    _answer(ward, 9501, "HY000", "Timed-out waiting to acquire database connection")


@mysql_fault("throttled", by_hand=SLOWER)
def proxy_that_throttles_iam(ward: Ward) -> None:
    _answer(ward, 1040, "HY000", "IAM authentication rate limit exceeded")


@mysql_fault("throttled", by_hand=SLOWER)
def proxy_that_throttles_connections(ward: Ward) -> None:
    _instead(ward, 1040, "Connections rate limit exceeded (200)")


# The server.


@mysql_fault("host-blocked", by_hand="it is unblocked from another address")
def host_that_is_blocked(ward: Ward) -> None:
    words = (
        "Host '10.0.0.9' is blocked because of many connection errors; unblock with 'mariadb-admin "
        "flush-hosts'"
    )
    _instead(ward, 1129, words)


@mysql_fault("host-not-allowed", by_hand="an account for this host is to be made")
def host_without_an_account(ward: Ward) -> None:
    _instead(ward, 1130, "Host '10.0.0.9' is not allowed to connect to this MariaDB server")


@mysql_fault("iam-disabled")
def iam_switched_off(ward: Ward) -> None:
    gateway = ward.rds.gateway
    _answer(ward, 1524, "HY000", "Plugin 'AWSAuthenticationPlugin' is not loaded")
    ward.effects["modify-db-instance .*--enable-iam-database-authentication"] = lambda: setattr(
        gateway, "answer", None
    )


@mysql_fault("tls-required", by_hand="what takes TLS off is to be found")
def tls_that_ends_before_the_proxy(ward: Ward) -> None:
    _answer(ward, 3159, "HY000", "This RDS Proxy requires TLS connections.")


@mysql_fault("server-starting", by_hand=SERVER)
def server_that_shuts_down(ward: Ward) -> None:
    _answer(ward, 1053, "08S01", "Server shutdown in progress")


@mysql_fault("server-starting", by_hand=SERVER)
def server_that_is_offline(ward: Ward) -> None:
    _answer(ward, 3032, "HY000", "The server is currently in offline mode")


@mysql_fault("auth-timeout", by_hand=SERVER)
def server_that_loses_patience(ward: Ward) -> None:
    _answer(ward, 1159, "08S01", "Got timeout reading communication packets")


@mysql_fault("server-refused", by_hand="what the server says is to be corrected")
def character_set_that_the_proxy_does_not_know(ward: Ward) -> None:
    words = "Variable 'character_set_client' can't be set to the value of 'utf16'"
    _answer(ward, 1231, "42000", words)


@mysql_fault("server-standby", by_hand="the name has to follow, which takes its time")
def writer_that_is_read_only(ward: Ward) -> None:
    ward.rds.execute("SET GLOBAL read_only = 1")
    ward.cleanup.callback(ward.rds.execute, "SET GLOBAL read_only = 0")
    ward.options(rds_iam_target_session_attrs="read-write")


@mysql_fault("server-primary")
def writer_of_mysql_where_a_reader_is_wanted(ward: Ward) -> None:
    ward.options(rds_iam_target_session_attrs="standby")


def _answer(ward: Ward, number: int, sqlstate: str, words: str) -> None:
    """What the server says to a token."""
    ward.rds.gateway.answer = number, sqlstate, words


def _instead(ward: Ward, number: int, words: str) -> None:
    """What it says in place of its greeting."""
    ward.rds.gateway.greeting_error = number, "", words
