"""Faults of MySQL and MariaDB: of their handshake, accounts, limits and drivers."""

# ruff: noqa: D103  (the name of a fault is what there is to say)

from __future__ import annotations

import functools
import socket
from typing import Any

import pymysql
import pytest
from doctor_faults_login import PROXY, SERVER
from doctor_faults_tls import ELSEWHERE
from doctor_support import CANARY, Ward, fault, pose
from sqlalchemy import make_url

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


# Greeting and TLS.


@mysql_fault("tls-declined", by_hand=ELSEWHERE)
def server_that_leaves_tls_out_of_its_greeting(ward: Ward) -> None:
    ward.rds.gateway.decline_tls = True


@mysql_fault("tls-failed", by_hand=ELSEWHERE)
def server_that_asks_before_tls(ward: Ward) -> None:
    ward.rds.gateway.asks_before_tls = True


@mysql_fault("server-silent", by_hand="a server is to be repaired")
def load_balancer_without_a_mysql(ward: Ward) -> None:
    ward.url = make_url(ward.url).set(port=ward.listener())
    ward.hurry("TLS", 1.0)


@mysql_fault("connection-closed", by_hand="a tunnel is to be repaired")
def tunnel_to_a_mysql_that_is_gone(ward: Ward) -> None:
    ward.url = make_url(ward.url).set(port=ward.server(lambda client: client.close()))


@mysql_fault("not-mysql", by_hand=PORT)
def port_of_ssh_with_a_mysql_url(ward: Ward) -> None:
    ward.url = make_url(ward.url).set(port=_speaker(ward, b"SSH-2.0-OpenSSH_9.2\r\n"))


@mysql_fault("not-mysql", by_hand=PORT)
def port_of_an_old_protocol(ward: Ward) -> None:
    """Protocol version 9, of MySQL 3.20."""
    ward.url = make_url(ward.url).set(port=_speaker(ward, b"\x05\0\0\0\x093.20"))


@mysql_fault("not-mysql", by_hand="the other database is a server of the test's")
def port_of_postgresql(ward: Ward) -> None:
    def decline(client: socket.socket) -> None:
        client.recv(8)
        client.sendall(b"N")
        client.recv(8)

    ward.url = make_url(ward.url).set(port=ward.server(decline))
    ward.hurry("TLS", 2.0)


def _speaker(ward: Ward, greeting: bytes) -> int:
    """The port of a server that says this, and then waits."""

    def speak(client: socket.socket) -> None:
        client.sendall(greeting)
        while client.recv(100):
            pass

    return ward.server(speak)


# The URL, its options and the driver.


@mysql_fault("tls-weak")
def weak_ssl_mode(ward: Ward) -> None:
    ward.options(ssl_mode="REQUIRED")


@mysql_fault("tls-weak")
def names_that_are_not_checked(ward: Ward) -> None:
    ward.options(ssl_check_hostname="false")


@mysql_fault("tls-weak")
def tls_switched_off(ward: Ward) -> None:
    ward.options(ssl_disabled="true")


@mysql_fault("driver-unknown")
def driver_of_postgresql(ward: Ward) -> None:
    ward.url = ward.rds.url("mysql+psycopg")


@mysql_fault("driver-missing")
def driver_of_mysql_by_its_other_name(ward: Ward) -> None:
    ward.url = make_url(ward.url).set(drivername="mysql+pymysqldb")


@mysql_fault("dialect-unknown")
def dialect_of_mariadb_misspelled(ward: Ward) -> None:
    ward.url = make_url(ward.url).set(drivername="mariabd+pymysql")


@mysql_fault("url-unreadable")
def url_of_jdbc_for_mysql(ward: Ward) -> None:
    url = ward.rds.url()
    ward.keywords |= {name: value for name, value in url.query.items() if name != "plugin"}
    ward.url = f"jdbc:mysql://{url.host}:{url.port}/app?useSSL=true&user=app"


@mysql_fault("driver-tunnel")
def tunnel_of_a_driver_made_of_c(ward: Ward) -> None:
    _made_of_c(ward, "mysql+mysqldb", "MySQLdb")


@mysql_fault("driver-tunnel")
def localhost_of_a_driver_made_of_c(ward: Ward) -> None:
    _made_of_c(ward, "mariadb+mariadbconnector", "mariadb", host="localhost")


def _made_of_c(ward: Ward, drivername: str, module: str, **place: str) -> None:
    pytest.importorskip(module, reason=f"{module} is not installed")
    ward.url = ward.rds.url().set(drivername=drivername, **place)


@mysql_fault("client-plugin")
def directory_without_the_plugin_for_tokens(ward: Ward) -> None:
    pytest.importorskip("mariadb", reason="mariadb is not installed")
    ward.url = ward.rds.url("mariadb+mariadbconnector", plugin_dir=str(ward.directory))


@mysql_fault("driver-old")
def pymysql_that_sends_passwords_in_clear(ward: Ward) -> None:
    now = pymysql.VERSION
    ward.patch.setattr(pymysql, "VERSION", (1, 1, 3, "final", 1))
    ward.effects["^pip install 'PyMySQL>=1.2.0'"] = lambda: ward.patch.setattr(
        pymysql, "VERSION", now
    )


@mysql_fault("argument-refused")
def option_file_in_the_url(ward: Ward) -> None:
    ward.options(read_default_file="~/.my.cnf")


@mysql_fault("argument-refused")
def socket_in_the_url(ward: Ward) -> None:
    ward.options(unix_socket="/run/mysqld/mysqld.sock")


@mysql_fault("argument-refused")
def plugin_that_is_not_for_tokens(ward: Ward) -> None:
    ward.options(default_auth="mysql_native_password")


@mysql_fault("password-in-url")
def password_in_the_query(ward: Ward) -> None:
    ward.secrets.add(CANARY)
    ward.options(passwd=CANARY)


@mysql_fault("option-wrong", by_hand="the right name is the user's to know")
def user_whose_name_is_too_long(ward: Ward) -> None:
    ward.url = ward.rds.url(user="a" * 33)


@mysql_fault("driver-failed")
def argument_that_keeps_pymysql_away(ward: Ward) -> None:
    ward.url = make_url(ward.url).update_query_dict({"init_command": "SET nosuch = 1"})


@mysql_fault("driver-failed", by_hand="a listener of the application's is to be corrected")
def driver_that_gives_up(ward: Ward) -> None:
    """Where the server has accepted the token just before."""

    def fail(*_: Any, **__: Any) -> Any:
        raise pymysql.err.OperationalError(2013, "Lost connection to server during query")

    ward.patch.setattr(pymysql.connections.Connection, "_request_authentication", fail)
