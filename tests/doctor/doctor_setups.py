"""Healthy set-ups, of every kind, on which the doctor has to find nothing."""

# ruff: noqa: D103  (the name of a set-up is what there is to say)

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import botocore.session
import pytest
from doctor_faults import ALIAS
from doctor_faults_login import PROXY
from doctor_support import Ward, pose
from providers_support import lines_of
from sqlalchemy import make_url
from sqlalchemy.pool import NullPool


def role(ward: Ward) -> None:
    role = ward.rds.identities.role("orders", external_id="team-42")
    ward.options(rds_iam_role_arn=role.arn, rds_iam_external_id="team-42")


def cname(ward: Ward) -> None:
    pytest.importorskip("dns", reason="dnspython is not installed")
    from dns_support import dns_server

    ward.cleanup.enter_context(dns_server()).point(ALIAS, ward.rds.endpoint.host)
    ward.options("rds_iam_host", rds_iam_resolve_cname="on")
    ward.url = make_url(ward.url).set(host=ALIAS)


def address_beside_the_name(ward: Ward) -> None:
    host, port = ward.rds.address
    ward.options("rds_iam_host", hostaddr=host)
    ward.url = make_url(ward.url).set(host=ward.rds.endpoint.host, port=port)


def session_object(ward: Ward) -> None:
    ward.keywords["rds_iam_session"] = botocore.session.Session()


def plugin_as_a_keyword(ward: Ward) -> None:
    ward.url = make_url(ward.url).difference_update_query(["plugin"])
    ward.keywords["plugins"] = ["rds_iam"]


def temporary_keys(ward: Ward) -> None:
    ward.use(ward.rds.identities.issue(ward.rds.key.principal, 900.0))


def container(ward: Ward) -> None:
    ward.no_keys()
    ward.patch.setattr(ward.rds.aws.container, "role", ward.rds.identities.role("task"))
    ward.patch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", ward.rds.aws.container_url)


def instance(ward: Ward) -> None:
    ward.no_keys()
    ward.patch.setattr(ward.rds.aws.imds, "role", ward.rds.identities.role("instance"))


def no_sts(ward: Ward) -> None:
    """A private subnet without an endpoint of STS, where keys come from elsewhere."""
    ward.rds.aws.sts.fail("reset")
    ward.cleanup.callback(ward.rds.aws.sts.recover)


def slow_sts(ward: Ward) -> None:
    ward.rds.aws.sts.fail("hang")
    ward.cleanup.callback(ward.rds.aws.sts.recover)
    ward.hurry("Identity", 1.0)


def proxy(ward: Ward) -> None:
    pose(ward, PROXY)
    ward.options(rds_iam_host=PROXY)


def nested_grant(ward: Ward) -> None:
    ward.rds.create_user("indirect", iam=False)
    ward.rds.execute("DROP ROLE IF EXISTS doctors; CREATE ROLE doctors; GRANT rds_iam TO doctors")
    ward.rds.execute("GRANT doctors TO indirect")
    ward.url = ward.rds.url(user="indirect")


def no_database(ward: Ward) -> None:
    """A session of MySQL's need not be in a database."""
    ward.url = make_url(ward.url)._replace(database=None)


def one_connection_for_the_account(ward: Ward) -> None:
    """The doctor's own session does not count against the limit."""
    ward.rds.execute("DROP USER IF EXISTS 'single'@'%'")
    ward.rds.create_user("single")
    ward.rds.execute("ALTER USER 'single'@'%' WITH MAX_USER_CONNECTIONS 1")
    ward.url = ward.rds.url(user="single")._replace(database=None)
    ward.keywords["poolclass"] = NullPool


def token_in_the_first_packet(ward: Ward) -> None:
    """A server that names the plugin for tokens in its greeting."""
    ward.rds.gateway.default_plugin = "mysql_clear_password"


def by_the_endpoint_of_a_reader(ward: Ward) -> None:
    """A replica of MySQL's, where no writer is wanted."""
    ward.rds.execute("SET GLOBAL read_only = 1")
    ward.cleanup.callback(ward.rds.execute, "SET GLOBAL read_only = 0")
    reader(ward)


def clock_a_little_off(ward: Ward) -> None:
    ward.patch.setattr(ward.rds, "clock", lambda: time.time() + 10)


def one_connection_for_the_user(ward: Ward) -> None:
    """The doctor's own session does not count against the limit."""
    ward.rds.create_user("single")
    ward.rds.execute("ALTER ROLE single CONNECTION LIMIT 1")
    ward.url = ward.rds.url(user="single")
    ward.keywords["poolclass"] = NullPool


def sessions_in_another_database(ward: Ward) -> None:
    """What has a limit is one database, and the sessions are in another one."""
    ward.rds.execute("ALTER DATABASE app CONNECTION LIMIT 3")
    ward.cleanup.callback(ward.rds.execute, "ALTER DATABASE app CONNECTION LIMIT -1")
    ward.keywords["poolclass"] = NullPool
    ward.rds.create_user("neighbour")
    for _ in range(4):
        ward.stay(ward.rds.url(user="neighbour", database="postgres"))


def writer(ward: Ward) -> None:
    ward.options(rds_iam_target_session_attrs="read-write")


def reads_by_role(ward: Ward) -> None:
    """The user's own wish, and so not a wrong server."""
    ward.rds.create_user("careful")
    ward.rds.execute("ALTER ROLE careful SET default_transaction_read_only = on")
    ward.url = ward.rds.url(user="careful", rds_iam_target_session_attrs="read-write")


def web_identity(ward: Ward) -> None:
    """A pod, with the token that Kubernetes mounts."""
    ward.no_keys()
    file = ward.directory / "token"
    file.write_text("pod.identity.token")
    ward.patch.setattr(ward.rds.aws.sts, "web_identity_tokens", {"pod.identity.token"})
    ward.patch.setenv("AWS_ROLE_ARN", ward.rds.identities.role("pod").arn)
    ward.patch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))


def chain_of_roles(ward: Ward) -> None:
    """A role of a profile, and another one on top."""
    lines = ("source_profile = base", "[profile base]", *lines_of(ward.rds.key))
    ward.no_keys()
    ward.config("[profile app]", f"role_arn = {ward.rds.identities.role('first').arn}", *lines)
    second = ward.rds.identities.role("second")
    ward.options(rds_iam_profile="app", rds_iam_role_arn=second.arn)


def keys_from_a_process(ward: Ward) -> None:
    ward.no_keys()
    key = ward.rds.identities.issue(ward.rds.key.principal, 3600.0)
    keys = {
        "Version": 1,
        "AccessKeyId": key.access_key,
        "SecretAccessKey": key.secret_key,
        "SessionToken": key.session_token,
        "Expiration": datetime.fromtimestamp(key.expires_at or 0.0, UTC).isoformat(),
    }
    (ward.directory / "keys").write_text(json.dumps(keys))
    ward.config("[profile vault]", f"credential_process = cat {ward.directory / 'keys'}")
    ward.options(rds_iam_profile="vault")


def reader(ward: Ward) -> None:
    """The reader of a pair, by the name of a cluster's reader."""
    host = "app.cluster-ro-c0ffee123456.us-east-1.rds.amazonaws.com"
    pose(ward, host)
    ward.options(rds_iam_host=host)
