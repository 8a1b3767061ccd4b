"""`python -m sqlalchemy_rds_iam.testing` says how to use it and ends cleanly when told."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from emulator_support import sign
from patience import DEADLINE, running
from sqlalchemy import make_url

from sqlalchemy_rds_iam.testing import AccessKey, Principal, SignedEndpoint

pytestmark = pytest.mark.server

COMMAND = (sys.executable, "-m", "sqlalchemy_rds_iam.testing", "--user", "app", "--user", "other")


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """The emulator as a process, which a signal must end with status 0 and no traceback."""
    command = [*COMMAND, "--json"] if request.param == signal.SIGINT else list(COMMAND)
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(request.param)
            _, errors = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0
        assert "Traceback" not in errors
        assert "granted: user 'other'" in errors


def test_what_it_prints_is_enough_to_connect(process: subprocess.Popen[str]) -> None:
    """The JSON line, and the lines for a shell, lead to a login as the second user."""
    assert process.stdout is not None
    first = process.stdout.readline()
    if first.startswith("{"):
        told = json.loads(first)
        host, port, ca_file, environ = (
            told[each] for each in ("host", "port", "ca_file", "environ")
        )
        assert told["url"].startswith(f"postgresql+psycopg://app@{host}:{port}/app?plugin=rds_iam")
    else:
        lines = [first]
        while "RDS_IAM_URL" not in lines[-1]:
            lines.append(process.stdout.readline())
        exports = [shlex.split(line)[1] for line in lines if line.startswith("export ")]
        environ = dict(each.split("=", 1) for each in exports)
        url = make_url(environ["RDS_IAM_URL"])
        host, port = url.host, url.port
        ca_file = os.path.join(os.path.dirname(environ["AWS_CONFIG_FILE"]), "ca.pem")  # noqa: PTH118, PTH120
        assert environ["RDS_IAM_URL"].startswith("postgresql+psycopg://app@")
    key = AccessKey(
        environ["AWS_ACCESS_KEY_ID"],
        environ["AWS_SECRET_ACCESS_KEY"],
        None,
        None,
        Principal("arn:aws:iam::123456789012:user/app"),
    )
    endpoint = SignedEndpoint(
        "app-db.c0ffee123456.us-east-1.rds.amazonaws.com", 5432, environ["AWS_REGION"]
    )
    psycopg.connect(
        host=host,
        port=int(port),
        user="other",
        dbname="other",
        password=sign(key, endpoint, "other"),
        sslmode="verify-full",
        sslrootcert=ca_file,
    ).close()


def test_importing_without_the_extra_says_what_to_install() -> None:
    """The error is one sentence, not a traceback into another package."""
    code = (
        "import sys; sys.modules['trustme'] = None\n"
        "try: import sqlalchemy_rds_iam.testing\n"
        "except ImportError as missing: print(missing)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == ("sqlalchemy_rds_iam.testing needs trustme: pip install 'trustme>=1.2'\n")
