"""What a listener may do to connect arguments that leaves a password less safe, by driver."""

from __future__ import annotations

import ssl
from typing import Any


def _lax() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


LIBPQ: dict[str, dict[str, Any]] = {
    "sslmode": {"sslmode": "require"},
    "no-sslmode": {"sslmode": None},
    "no-tls": {"sslmode": "disable"},
    "system": {"sslrootcert": "system"},
    "no-ca": {"sslrootcert": None},
    "gss": {"gssencmode": "prefer"},
    "no-client-certificate": {"sslcertmode": "disable"},
    "old-tls": {"ssl_min_protocol_version": "TLSv1"},
    "any-tls": {"ssl_min_protocol_version": ""},
    "hostaddr": {"hostaddr": "127.0.0.2"},
    "service": {"service": "elsewhere"},
    "host": {"host": "elsewhere.example.com"},
    "port": {"port": 1},
    "user": {"user": "postgres"},
}
ASYNCPG: dict[str, dict[str, Any]] = {
    "no-tls": {"ssl": None},
    "disable": {"ssl": "disable"},
    "false": {"ssl": False},
    "lax": {"ssl": _lax()},
    "all-of-the-web": {"ssl": ssl.create_default_context()},
    "direct": {"direct_tls": True},
    "dsn": {"dsn": "postgresql://elsewhere.example.com"},
    "host": {"host": "elsewhere.example.com"},
    "user": {"user": "postgres"},
}
PG8000: dict[str, dict[str, Any]] = {
    "no-tls": {"ssl_context": None},
    "unverified": {"ssl_context": True},
    "false": {"ssl_context": False},
    "lax": {"ssl_context": _lax()},
    "socket": {"unix_sock": "/tmp/.s.PGSQL.5432"},
    "host": {"host": "elsewhere.example.com"},
    "port": {"port": 1},
}
MYSQL: dict[str, dict[str, Any]] = {
    "no-tls": {"ssl": None},
    "false": {"ssl": False},
    "empty": {"ssl": {}},
    "lax": {"ssl": _lax()},
    "all-of-the-web": {"ssl": ssl.create_default_context()},
    "socket": {"unix_socket": "/run/mysqld/mysqld.sock"},
    "option-file": {"read_default_file": "/etc/my.cnf"},
    "host": {"host": "elsewhere.example.com"},
    "port": {"port": 1},
    "user": {"user": "root"},
}
CONNECTOR_C: dict[str, dict[str, Any]] = {
    "encrypted": {"ssl_mode": "REQUIRED"},
    "no-mode": {"ssl_mode": None},
    "no-ca": {"ssl": {}},
    "another-ca": {"ssl": {"ca": "/etc/ssl/certs/ca-certificates.crt"}},
    "socket": {"unix_socket": "/run/mysqld/mysqld.sock"},
    "option-file": {"read_default_file": "/etc/my.cnf"},
    "host": {"host": "elsewhere.example.com"},
    "user": {"user": "root"},
}
CONNECTOR_PYTHON: dict[str, dict[str, Any]] = {
    "no-tls": {"ssl_disabled": True},
    "any-name": {"ssl_verify_identity": False},
    "any-certificate": {"ssl_verify_cert": False},
    "no-ca": {"ssl_ca": None},
    "socket": {"unix_socket": "/run/mysqld/mysqld.sock"},
    "option-file": {"option_files": "/etc/my.cnf"},
    "host": {"host": "elsewhere.example.com"},
    "user": {"user": "root"},
}
MARIADB: dict[str, dict[str, Any]] = {
    "no-tls": {"ssl": False},
    "any-certificate": {"ssl_verify_cert": False},
    "no-ca": {"ssl_ca": None},
    "socket": {"unix_socket": "/run/mysqld/mysqld.sock"},
    "option-file": {"default_file": "/etc/my.cnf"},
    "host": {"host": "elsewhere.example.com"},
    "user": {"username": "root"},
}
CHANGES = {
    "psycopg": LIBPQ,
    "psycopg-async": LIBPQ,
    "psycopg2": LIBPQ,
    "asyncpg": ASYNCPG,
    "pg8000": PG8000,
    "pymysql": MYSQL,
    "asyncmy": MYSQL,
    "aiomysql": MYSQL,
    "mysqldb": CONNECTOR_C,
    "mysqlconnector": CONNECTOR_PYTHON,
    "mariadbconnector": MARIADB,
}
"""By the name of the world, what to change by the name of the danger."""
