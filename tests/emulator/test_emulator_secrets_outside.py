"""What others see of rotated secrets: logs, records, and processes beside the emulator."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import traceback
from typing import Any

import botocore.session
import psycopg
import pytest
from patience import DEADLINE, eventually, running
from secrets_support import logs_in

from sqlalchemy_rds_iam.testing import RdsEmulator


def test_canary(rds: RdsEmulator, user: str, caplog: pytest.LogCaptureFixture) -> None:
    """No password is in a log, the server's included, in a record, a repr or a traceback."""
    caplog.set_level(logging.DEBUG)
    secret = rds.secrets.create("prod/app", user, strategy="alternating-users")
    passwords = {secret.fields()["password"]}
    for _ in secret.rotation():
        logs_in(rds, secret.fields())
    passwords |= {secret.fields()["password"]}
    client = botocore.session.Session().create_client("secretsmanager")
    caplog.set_level(logging.INFO, logger="botocore")
    client.get_secret_value(SecretId="prod/app")
    client.put_secret_value(SecretId="prod/app", SecretString=json.dumps(secret.fields()))
    client.close()
    rds.execute(f"DROP ROLE {user}_clone")
    with pytest.raises(Exception, match="does not exist") as caught:
        secret.set_password()
    directory = rds.ca_file.parent
    shown = "\n".join(
        [
            *(f"{each.getMessage()} {each.args!r}" for each in caplog.records),
            repr(rds.decisions),
            repr(rds.aws.secrets.records),
            repr(secret),
            repr(vars(secret)),
            repr(vars(rds.aws.secrets.store)),
            "".join(traceback.format_exception(caught.value)),
            (directory / "log").read_text(errors="replace"),
        ]
    )
    assert "SCRAM-SHA-256$4096" in shown, "the server's log shows what it was sent"
    assert len(passwords) == 2
    for password in passwords:
        assert password not in shown
        assert json.dumps(password)[1:-1] not in shown


@pytest.mark.server
def test_in_the_foreground() -> None:
    """`--secret` makes a user and its secret, which any SDK reads and rotates."""
    command = [sys.executable, "-m", "sqlalchemy_rds_iam.testing", "--json", "--secret", "report"]
    with running(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            with pytest.MonkeyPatch.context() as patch:
                for name, value in told["environ"].items():
                    patch.setenv(name, value)
                client = botocore.session.Session().create_client("secretsmanager")
                _rotated_and_connected(client, told)
                client.close()
        finally:
            process.terminate()
            process.wait(DEADLINE)
        assert process.returncode == 0


def _rotated_and_connected(client: Any, told: dict[str, Any]) -> None:
    old = client.get_secret_value(SecretId="report")
    made = client.rotate_secret(SecretId="report")["VersionId"]
    eventually(lambda: client.get_secret_value(SecretId="report")["VersionId"] == made)
    fields = json.loads(client.get_secret_value(SecretId="report")["SecretString"])
    assert fields["password"] != json.loads(old["SecretString"])["password"]
    psycopg.connect(
        host=fields["host"],
        port=fields["port"],
        user="report",
        password=fields["password"],
        dbname="report",
        sslmode="verify-full",
        sslrootcert=told["ca_file"],
    ).close()
