"""``rds-iam doctor``: what it prints, to whom, and what it exits with."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess

import pytest
from cli_support import COMMAND
from doctor_catalogue import FAULTS
from doctor_support import Ward, assert_no_secret, printed
from patience import DEADLINE
from rich.console import Console
from typer.testing import CliRunner

from sqlalchemy_rds_iam.cli.app import app
from sqlalchemy_rds_iam.cli.common import VARIABLES
from sqlalchemy_rds_iam.cli.doctor_report import show
from sqlalchemy_rds_iam.doctor import MOST_LOGINS


def _run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "doctor", *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        env={**os.environ, "COLUMNS": "200", **environ},
    )


def test_healthy(ward: Ward) -> None:
    """A set-up that works exits with 0, and says so first."""
    done = _run(_url(ward))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    target, _, first, *_ = done.stdout.splitlines()
    assert target.startswith("app@app-db.c0ffee123456.us-east-1.rds.amazonaws.com:5432 (us-east-1)")
    assert first == "✓ Nothing is wrong: the login works."


def test_ill(ward: Ward) -> None:
    """A set-up that does not exits with 1, and the cause comes first, then what to run."""
    FAULTS["wrong case user"].inject(ward)
    done = _run(RDS_IAM_URL=_url(ward), DATABASE_URL="postgresql://another")
    assert done.returncode == 1
    assert "the URL is that of RDS_IAM_URL; DATABASE_URL holds another" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[2].startswith("✗ Certain: the database user is 'app', not 'App'")
    [command] = [line.strip() for line in lines if line.strip().startswith("postgresql+psycopg://")]
    assert command == _url(ward).replace("://App@", "://app@")
    assert lines.index("What was looked at") > lines.index("  code  user-case")


def test_json(ward: Ward) -> None:
    """With --json there is one document on standard output, and the same exit code."""
    FAULTS["no grant"].inject(ward)
    done = _run("--json", _url(ward))
    assert (done.returncode, done.stderr) == (1, "")
    data = json.loads(done.stdout)
    assert data["causes"][0]["code"] == "rds-iam-missing"
    grant = {"kind": "sql", "text": 'GRANT rds_iam TO "ungranted";'}
    assert grant in data["causes"][0]["commands"]
    assert data["healthy"] is False
    assert [check["check"] for check in data["checks"]][:2] == ["Options", "Name"]


def test_options(ward: Ward) -> None:
    """An option on the command line wins over the URL, as with the other commands."""
    url = _url(ward).replace("rds_iam_region=us-east-1", "") + "&rds_iam_region=eu-west-1"
    assert _run(url).returncode == 1
    done = _run(url, "-o", "rds_iam_region=us-east-1")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


@pytest.mark.parametrize(
    "arguments", [[], ["--timeout", "0", "x"], ["--no-such", "x"], ["-o", "region=x", "x"]]
)
def test_called_wrongly(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A command line that cannot be meant exits with 2."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert CliRunner().invoke(app, ["doctor", *arguments]).exit_code == 2


def test_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """Help fits into 80 columns and says what is done, what is not, and what it exits with."""
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, ["doctor", "--help"])
    assert shown.exit_code == 0
    assert max(map(len, shown.output.splitlines())) <= 80
    text = " ".join(shown.output.split())
    for part in ("Exits with 0", "Nothing is changed", "Examples", "--json", *VARIABLES):
        assert part in text
    assert MOST_LOGINS == 6
    assert "at most six logins" in text


def test_a_url_that_is_none() -> None:
    """A URL that cannot be read is an answer like any other, without being quoted."""
    shown = CliRunner().invoke(app, ["doctor", "app:hunter2@db"])
    assert shown.exit_code == 1
    assert "cannot read the URL" in shown.output
    assert "hunter2" not in shown.output


@pytest.mark.parametrize("width", [40, 80, 200])
def test_pipe(width: int, ward: Ward) -> None:
    """In a pipe: no escape codes, prose as wide as told, commands unbroken, no blank line ends."""
    FAULTS["policy for another user"].inject(ward)
    report = ward.examine()
    output = printed(report, width)
    lines = output.splitlines()
    assert "\x1b" not in output
    assert all(line == line.rstrip() for line in lines)
    for command in report.causes[0].commands:
        assert " " * 8 + command.text in lines
    prose = [line for line in lines if not line.startswith(" " * 8)]
    long = {word for line in prose for word in line.split() if len(word) > width - 12}
    assert all(len(line) <= width or long & set(line.split()) for line in prose)


def test_terminal(ward: Ward) -> None:
    """In a terminal there is colour, and the text is the same."""
    FAULTS["wrong case user"].inject(ward)
    report = ward.examine()
    plain = printed(report)
    coloured = printed(report, force_terminal=True, color_system="standard")
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_no_unicode(ward: Ward) -> None:
    """Where there is no UTF-8 the marks are of ASCII."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="replace")
    show(ward.examine(), Console(file=stream, width=80))
    stream.flush()
    stream.seek(0)
    assert "\n+ Nothing is wrong" in stream.read()


def test_all_shown_once(ward: Ward) -> None:
    """Verbose shows the evidence of each check; no cause is told in full twice."""
    FAULTS["policy missing from a role"].inject(ward)
    report = ward.examine()
    output = printed(report)
    assert " ".join(output.split()).count("is not allowed rds-db:connect") == 1
    assert "signed at" in output
    assert "signed at" not in printed(report, verbose=False)
    assert_no_secret(report, ward)


def _url(ward: Ward) -> str:
    url = ward.url
    return url if isinstance(url, str) else url.render_as_string(hide_password=False)
