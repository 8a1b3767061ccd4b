"""The `rds-iam` command: its options, its output, and what it says when something is missing."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cli_support import shown
from patience import DEADLINE, running
from rich.console import Console
from typer.testing import CliRunner

from sqlalchemy_rds_iam import __version__
from sqlalchemy_rds_iam._requirements import install
from sqlalchemy_rds_iam.cli.app import app
from sqlalchemy_rds_iam.cli.demo_steps import DemoError, Finding
from sqlalchemy_rds_iam.cli.steps import Report
from sqlalchemy_rds_iam.testing.foreground import DEFAULT_CEILING

MAIN = "from sqlalchemy_rds_iam.cli import main; main()"


def _run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_version() -> None:
    """`--version` and `-V` print the name and the version, and nothing else."""
    for option in ("--version", "-V"):
        assert CliRunner().invoke(app, [option]).output == f"sqlalchemy-rds-iam {__version__}\n"


def test_default_ceiling() -> None:
    """The command and the module throttle alike by default."""
    words = " ".join(CliRunner().invoke(app, ["emulator", "-h"]).output.split())
    assert f"By default {DEFAULT_CEILING:g}." in words


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_extra(missing: str) -> None:
    """Without the extra the command says what to install, in one sentence and no traceback."""
    done = _run(f"import sys; sys.modules[{missing!r}] = None; {MAIN}", "demo")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [f"the rds-iam command needs {missing}: {install(missing)}"]


@pytest.mark.parametrize("command", ["demo", "emulator"])
def test_without_the_emulator(command: str) -> None:
    """Without the extra `testing` its commands say what to install, in one sentence."""
    done = _run(f"import sys; sys.modules['aiohttp'] = None; {MAIN}", command)
    assert done.returncode == 1
    [sentence] = done.stderr.splitlines()
    assert install("aiohttp") in sentence


def test_import_is_cheap() -> None:
    """The commands are there without botocore, aiohttp or a database driver being imported."""
    done = _run(
        "import sys, sqlalchemy_rds_iam.cli.app\n"
        "heavy = {'aiobotocore', 'aiohttp', 'asyncpg', 'botocore', 'psycopg', 'trustme'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.server
def test_emulator() -> None:
    """`rds-iam emulator` serves until it is told to stop, and then ends well."""
    arguments = [sys.executable, "-c", MAIN, "emulator", "--json", "--user", "app", "--ceiling=0"]
    with running(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        code = (
            "import sys; from sqlalchemy import create_engine, text\n"
            "with create_engine(sys.argv[1]).connect() as connection:\n"
            "    print(connection.scalar(text('select current_user')))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, told["url"]],
            env={**os.environ, **told["environ"]},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert (done.stdout, done.returncode) == ("app\n", 0), done.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
    assert not Path(told["ca_file"]).exists()


@pytest.mark.server
@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--host", "db.example.com"], 2, "no AWS region in the host name"),
        (["--server", "mysql://root@localhost"], 2, "server must look like postgresql://"),
        (["--postgres", "/nowhere"], 1, "no PostgreSQL server found for '/nowhere'"),
        (["--json", "--", "true"], 2, "--json prints the variables"),
        (["--driver", "oracle"], 2, "'oracle': expected one of psycopg, "),
        (["--port", "65536"], 2, "'65536': expected a port from 1 to 65535"),
        (["--ceiling", "nan"], 2, "'nan': expected logins a second from 0 to"),
    ],
)
def test_emulator_refusals(arguments: list[str], code: int, sentence: str) -> None:
    """What cannot work ends the command with one sentence that says so."""
    found = shown("emulator", *arguments)
    assert (found.code, found.out) == (code, "")
    [line] = found.err.splitlines()
    assert line.startswith("rds-iam emulator: ")
    assert sentence in line


def _shown(
    width: int, steps: Mapping[str, Any], progress: Console | None = None
) -> tuple[Report, str]:
    output = io.StringIO()
    console = Console(file=output, width=width, highlight=False)
    report = Report(console=console, progress=progress)
    report.heading("What", "is shown")
    for title, step in steps.items():
        report.take(title, step)
    report.closing(len(steps))
    return report, output.getvalue()


def _good(_tell: Any) -> Finding:
    return Finding("it works " * 12, "says the server", {"count": 3})


def _bad(_tell: Any) -> Finding:
    raise DemoError("it does not\nwork")


@pytest.mark.parametrize("width", [30, 60, 80, 200])
def test_report_in_a_pipe(width: int) -> None:
    """In a pipe there are no escape codes, and no line is wider than told; nothing is cut off."""
    report, output = _shown(width, {"First": _good, "x" * 14: _good})
    assert report.passed
    assert "\x1b" not in output
    assert max(map(len, output.splitlines())) <= width
    assert " ".join(output.split()).count("says the server") == 2
    assert "2 of 2 steps passed" in output


def test_report_of_a_failure() -> None:
    """A step that raises has failed, with its error in one line, and so has the whole."""
    report, output = _shown(80, {"First": _good, "Second": _bad})
    assert not report.passed
    assert "DemoError: it does not" in output
    assert "1 of 2 steps passed" in output
    data = report.as_data()
    assert [step["passed"] for step in data["steps"]] == [True, False]
    assert data["steps"][0]["facts"] == {"count": 3}
    assert json.loads(json.dumps(data)) == data


def test_nothing_is_no_success() -> None:
    """A report without a step has not passed."""
    assert not Report(quiet=True).passed


def test_report_progress() -> None:
    """How far the step under way has come is shown beside the output, and not in it."""
    seen: list[str] = []

    def step(tell: Any) -> Finding:
        tell("half way")
        seen.append("told")
        return Finding("done")

    progress = io.StringIO()
    _, output = _shown(80, {"Slow": step}, Console(file=progress, force_terminal=True))
    assert seen == ["told"]
    assert "\x1b" in progress.getvalue()
    assert "half way" in progress.getvalue()
    assert "done" in output
    assert "half way" not in output
