"""Faults of the login and of the database behind it."""

# ruff: noqa: D103  (the name of a fault is what there is to say)

from __future__ import annotations

import threading
import time

from doctor_support import Ward, fault, pose
from patience import DEADLINE, eventually
from sqlalchemy import make_url

from sqlalchemy_rds_iam.doctor import refused_token
from sqlalchemy_rds_iam.testing import RdsCluster

PROXY = "app.proxy-c0ffee123456.us-east-1.rds.amazonaws.com"
SERVER = "the server is to be waited for, or to be given more memory"


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
    ward.cleanup.callback(ward.rds.execute, "DROP ROLE IF EXISTS missing_user")


@fault("throttled", by_hand="clients are to slow down")
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


@fault("throttled", by_hand="clients are to slow down")
def throttled_after_the_first_login(ward: Ward) -> None:
    """The login by hand is all that a second has room for."""
    gateway = ward.rds.gateway
    ward.patch.setattr(gateway, "_ceiling", type(gateway._ceiling)(1))
    ward.patch.setattr(gateway._ceiling, "_window", 1000.0)
    ward.patch.setattr(refused_token, "PAUSE", 0.0)
    ward.cleanup.callback(gateway._ceiling._admitted.clear)


@fault("token-cut", by_hand="a pooler is to be gone around")
def token_truncated_by_a_middle_man(ward: Ward) -> None:
    ward.rds.gateway.longest_token = 256
    ward.rds.gateway.certificate = ward.rds.certificates.unrelated()
    ward.options("rds_iam_ca", rds_iam_tls="require")


@fault("proxy-without-iam")
def proxy_without_iam(ward: Ward) -> None:
    words = "Enable IAM authentication for the client connection to the proxy and try again."
    _answer(ward, "28000", words)


@fault("proxy-without-iam", by_hand="the proxy's settings need its secret's ARN")
def proxy_that_asks_for_a_password(ward: Ward) -> None:
    ward.rds.create_user("proxied", iam=False)
    pose(ward, PROXY)
    ward.url = ward.rds.url(user="proxied", rds_iam_host=PROXY)


@fault("proxy-no-secret")
def proxy_without_a_secret(ward: Ward) -> None:
    _answer(ward, "28000", "This RDS proxy has no credentials for the role app.")


@fault("throttled", by_hand="clients are to slow down")
def proxy_with_too_many_requests(ward: Ward) -> None:
    words = "The IAM authentication failed because of too many competing requests."
    _answer(ward, "53300", words)


@fault("server-starting", by_hand=SERVER)
def server_that_is_starting(ward: Ward) -> None:
    _answer(ward, "57P03", "the database system is starting up")


@fault("pg-hba", by_hand="the right port is the user's to know")
def another_postgresql(ward: Ward) -> None:
    _answer(ward, "28000", 'no pg_hba.conf entry for host "10.0.0.1", user "app", SSL encryption')


@fault("server-starting", by_hand=SERVER)
def server_that_fails_over(ward: Ward) -> None:
    _answer(ward, "57P01", "terminating connection due to administrator command")


@fault("connections-exhausted", by_hand="other clients are to close their connections")
def server_without_a_free_slot(ward: Ward) -> None:
    _answer(ward, "53300", "sorry, too many clients already")


@fault("connections-exhausted", by_hand="other clients are to close their connections")
def server_without_a_free_slot_in_another_language(ward: Ward) -> None:
    _answer(ward, "53300", "tut mir leid, schon zu viele Verbindungen")


@fault("server-refused", by_hand="what the server says is to be corrected")
def library_that_cannot_be_loaded(ward: Ward) -> None:
    _answer(ward, "58P01", 'could not access file "pgaudit": No such file or directory')


def _answer(ward: Ward, sqlstate: str, words: str) -> None:
    gateway = ward.rds.gateway
    gateway.answer = sqlstate, words
    ward.effects["^aws rds modify-db-proxy "] = lambda: setattr(gateway, "answer", None)


@fault("auth-timeout", by_hand=SERVER)
def authentication_that_takes_too_long(ward: Ward) -> None:
    ward.rds.gateway.auth_delay = 30.0
    ward.patch.setattr(ward.rds.gateway, "login_timeout", 2.0)


# In the database.


@fault("database-missing")
def database_missing(ward: Ward) -> None:
    ward.url = ward.rds.url(ward.driver, database="nowhere")
    ward.cleanup.callback(ward.rds.execute, "DROP DATABASE IF EXISTS nowhere WITH (FORCE)")


@fault("connections-exhausted")
def pool_exhausted(ward: Ward) -> None:
    ward.rds.create_user("crowded")
    ward.rds.execute("ALTER ROLE crowded CONNECTION LIMIT 0")
    ward.url = ward.rds.url(user="crowded")


@fault("connections-exhausted")
def database_without_connections(ward: Ward) -> None:
    ward.rds.create_user("visitor")
    _database(ward, "CONNECTION LIMIT 0", "CONNECTION LIMIT -1")
    ward.url = ward.rds.url(user="visitor")


@fault("database-closed")
def database_that_takes_no_connections(ward: Ward) -> None:
    ward.rds.create_user("visitor")
    _database(ward, "ALLOW_CONNECTIONS false", "ALLOW_CONNECTIONS true")
    ward.url = ward.rds.url(user="visitor")


def _database(ward: Ward, change: str, back: str) -> None:
    ward.rds.execute(f"ALTER DATABASE app {change}")
    ward.cleanup.callback(ward.rds.execute, f"ALTER DATABASE app {back}")


@fault("server-standby", by_hand="the name has to follow, which takes its time")
def demoted_writer_that_still_answers(ward: Ward) -> None:
    cluster = ward.cleanup.enter_context(RdsCluster())
    for name, value in cluster.environ().items():
        ward.patch.setenv(name, value)
    cluster.failover(lag=1000.0, kill="restart")
    ward.url = cluster.writer_url(ward.driver, rds_iam_target_session_attrs="read-write")


@fault("server-read-only")
def server_that_is_read_only_by_its_parameter_group(ward: Ward) -> None:
    _parameter(ward, "on")
    ward.known["GROUP"] = "app-parameters"
    command = "^aws rds modify-db-parameter-group .* app-parameters .*default_transaction_read_only"
    ward.effects[command] = lambda: _parameter(ward, "off")
    ward.cleanup.callback(_parameter, ward, "off")
    ward.options(target_session_attrs="read-write")


@fault("server-primary")
def writer_where_a_reader_is_wanted(ward: Ward) -> None:
    ward.options(rds_iam_target_session_attrs="standby")


@fault("server-primary")
def argument_that_wants_a_reader(ward: Ward) -> None:
    ward.url = make_url(ward.url).update_query_dict({"target_session_attrs": "read-only"})


@fault("server-primary")
def variable_that_wants_a_reader(ward: Ward) -> None:
    ward.patch.setenv("PGTARGETSESSIONATTRS", "read-only")


def _parameter(ward: Ward, value: str) -> None:
    """In the server's own files, which is what a parameter group is."""
    [(before,)] = ward.rds.execute("SELECT clock_timestamp()")
    ward.rds.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    ward.rds.execute("SELECT pg_reload_conf()")
    # The emulator's own sessions say "off" for themselves.
    loaded = f"SELECT 1 WHERE pg_conf_load_time() >= '{before}'"
    eventually(lambda: ward.rds.execute(loaded))


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
