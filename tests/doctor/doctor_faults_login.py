"""Faults of the login and of the database behind it."""

# ruff: noqa: D103  (the name of a fault is what there is to say)

from __future__ import annotations

import threading
import time

from doctor_faults import GLOBAL
from doctor_support import Ward, fault, pose
from patience import DEADLINE

from sqlalchemy_rds_iam.doctor import refused_token
from sqlalchemy_rds_iam.testing import SignedEndpoint

PROXY = "app.proxy-c0ffee123456.us-east-1.rds.amazonaws.com"
OTHER = "other-db.c0ffee123456.us-east-1.rds.amazonaws.com"


@fault("user-case")
def wrong_case_user(ward: Ward) -> None:
    ward.url = ward.rds.url(ward.driver, user="App")


@fault("user-case")
def user_that_was_created_in_quotes(ward: Ward) -> None:
    ward.rds.create_user("Quoted")
    ward.url = ward.rds.url(user="quoted")


@fault("rds-iam-missing")
def no_grant(ward: Ward) -> None:
    ward.rds.create_user("ungranted", iam=False)
    ward.url = ward.rds.url(user="ungranted")


@fault("rds-iam-missing")
def no_such_user(ward: Ward) -> None:
    ward.url = ward.rds.url(user="missing_user")


@fault("port-wrong")
def swapped_port(ward: Ward) -> None:
    ward.options("rds_iam_port")


@fault("port-wrong")
def port_without_a_server(ward: Ward) -> None:
    host, port = ward.rds.endpoint.host, ward.rds.address[1]
    ward.patch.setattr(ward.rds.gateway, "_endpoint", SignedEndpoint(host, port, "us-east-1"))
    ward.options(rds_iam_port="5432")


@fault("region-wrong")
def wrong_region_where_the_name_says_none(ward: Ward) -> None:
    pose(ward, GLOBAL)
    ward.options(rds_iam_host=GLOBAL, rds_iam_region="eu-west-1")


@fault("host-wrong")
def wrong_host_without_verification(ward: Ward) -> None:
    ward.options(rds_iam_host=OTHER, rds_iam_tls="require")


@fault("throttled")
def throttled(ward: Ward) -> None:
    gateway = ward.rds.gateway
    ward.patch.setattr(gateway, "_ceiling", type(gateway._ceiling)(1))
    ward.patch.setattr(gateway._ceiling, "_window", 0.1)
    ward.patch.setattr(refused_token, "PAUSE", 0.2)
    stop = threading.Event()

    def storm() -> None:
        """A deployment that logs in as fast as it can, until we have been throttled."""
        while not stop.wait(0.001) and not ward.rds.decisions:
            gateway._ceiling.admit(time.monotonic())

    thread = threading.Thread(target=storm)
    thread.start()
    ward.cleanup.callback(thread.join, DEADLINE)
    ward.cleanup.callback(stop.set)


@fault("token-cut")
def token_truncated_by_a_middle_man(ward: Ward) -> None:
    ward.rds.gateway.longest_token = 256
    ward.rds.gateway.certificate = ward.rds.certificates.unrelated()
    ward.options("rds_iam_ca", rds_iam_tls="require")


@fault("proxy-without-iam")
def proxy_without_iam(ward: Ward) -> None:
    words = "Enable IAM authentication for the client connection to the proxy and try again."
    _answer(ward, "28000", words)


@fault("proxy-without-iam")
def proxy_that_asks_for_a_password(ward: Ward) -> None:
    ward.rds.create_user("proxied", iam=False)
    pose(ward, PROXY)
    ward.url = ward.rds.url(user="proxied", rds_iam_host=PROXY)


@fault("proxy-no-secret")
def proxy_without_a_secret(ward: Ward) -> None:
    _answer(ward, "28000", "This RDS proxy has no credentials for the role app.")


@fault("throttled")
def proxy_with_too_many_requests(ward: Ward) -> None:
    words = "The IAM authentication failed because of too many competing requests."
    _answer(ward, "53300", words)


@fault("server-starting")
def server_that_is_starting(ward: Ward) -> None:
    _answer(ward, "57P03", "the database system is starting up")


@fault("pg-hba")
def another_postgresql(ward: Ward) -> None:
    _answer(ward, "28000", 'no pg_hba.conf entry for host "10.0.0.1", user "app", SSL encryption')


def _answer(ward: Ward, sqlstate: str, words: str) -> None:
    ward.rds.gateway.answer = sqlstate, words


@fault("auth-timeout")
def authentication_that_takes_too_long(ward: Ward) -> None:
    ward.rds.gateway.auth_delay = 30.0
    ward.patch.setattr(ward.rds.gateway, "login_timeout", 2.0)


# In the database.


@fault("database-missing")
def database_missing(ward: Ward) -> None:
    ward.url = ward.rds.url(ward.driver, database="nowhere")


@fault("connections-exhausted")
def pool_exhausted(ward: Ward) -> None:
    ward.rds.create_user("crowded")
    ward.rds.execute("ALTER ROLE crowded CONNECTION LIMIT 0")
    ward.url = ward.rds.url(user="crowded")


@fault("role-nologin")
def role_without_login(ward: Ward) -> None:
    ward.rds.create_user("locked")
    ward.rds.execute("ALTER ROLE locked NOLOGIN")
    ward.url = ward.rds.url(user="locked")


@fault("connect-privilege")
def database_closed_to_the_user(ward: Ward) -> None:
    ward.rds.create_user("outsider")
    ward.rds.execute("REVOKE CONNECT ON DATABASE app FROM PUBLIC")
    ward.cleanup.callback(ward.rds.execute, "GRANT CONNECT ON DATABASE app TO PUBLIC")
    ward.url = ward.rds.url(user="outsider")


@fault("driver-failed")
def driver_that_wants_another_session(ward: Ward) -> None:
    ward.patch.setenv("PGTARGETSESSIONATTRS", "read-only")
