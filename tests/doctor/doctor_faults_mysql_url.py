"""Faults of what answers in place of MySQL or MariaDB, of their URLs and their drivers."""

# ruff: noqa: D103  (the name of a fault is what there is to say)

from __future__ import annotations

import socket
from typing import Any

import pytest
from doctor_faults_mysql import PORT, mysql_fault
from doctor_faults_tls import ELSEWHERE
from doctor_support import CANARY, Ward
from sqlalchemy import make_url
from worlds import needs_query

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
    ward.url = make_url(ward.url).set(port=ward.speaker(b"SSH-2.0-OpenSSH_9.2\r\n"))


@mysql_fault("not-mysql", by_hand=PORT)
def port_of_an_old_protocol(ward: Ward) -> None:
    """Protocol version 9, of MySQL 3.20."""
    ward.url = make_url(ward.url).set(port=ward.speaker(b"\x05\0\0\0\x093.20"))


@mysql_fault("not-mysql", by_hand="the other database is a server of the test's")
def port_of_postgresql(ward: Ward) -> None:
    def decline(client: socket.socket) -> None:
        client.recv(8)
        client.sendall(b"N")
        client.recv(8)

    ward.url = make_url(ward.url).set(port=ward.server(decline))
    ward.hurry("TLS", 2.0)


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
    mariadb = pytest.importorskip("mariadb", reason="mariadb is not installed")
    needs_query("mariadb+mariadbconnector")
    connect = mariadb.connect

    def look_there(*arguments: Any, **named: Any) -> Any:
        """As in a process that has connected to nothing yet: a library that has it keeps it."""
        if "plugin_dir" in named:
            file = f"{named['plugin_dir']}/mysql_clear_password.so"
            error = mariadb.OperationalError(
                f"Plugin mysql_clear_password could not be loaded: {file}: cannot open shared "
                "object file: No such file or directory"
            )
            error.errno, error.sqlstate = 1045, "28000"
            raise error
        return connect(*arguments, **named)

    ward.patch.setattr(mariadb, "connect", look_there)
    ward.url = ward.rds.url("mariadb+mariadbconnector", plugin_dir=str(ward.directory))


@mysql_fault("driver-old")
def pymysql_that_sends_passwords_in_clear(ward: Ward) -> None:
    import pymysql

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
    import pymysql

    def fail(*_: Any, **__: Any) -> Any:
        raise pymysql.err.OperationalError(2013, "Lost connection to server during query")

    ward.patch.setattr(pymysql.connections.Connection, "_request_authentication", fail)
