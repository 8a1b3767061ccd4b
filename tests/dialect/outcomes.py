"""One run of the suite in a process of its own, and what became of each test."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from sqlalchemy import URL

from benchmarks.lib import measure

HERE = Path(__file__).parent
LONGEST = 900.0
"""Seconds that a run may take; it takes half a minute."""

LEAST = 1500
"""Tests that have to pass: a suite that skips everything proves nothing."""

_NOT_PASSED = ("error", "failure", "skipped")


class Run(NamedTuple):
    """What became of each test, by its name, and how long all of them took."""

    outcomes: Mapping[str, str]
    seconds: float

    @property
    def counts(self) -> Counter[str]:
        """How many tests there are of each outcome."""
        return Counter(self.outcomes.values())


def run(url: URL, environ: Mapping[str, str]) -> Run:
    """Run the whole suite against a database.

    Args:
        url: of the database, with or without the plugin; beside it there is "test_schema".
        environ: more environment.

    Raises:
        NoResult: the suite did not begin, or has no end.
    """
    with tempfile.TemporaryDirectory(prefix="rds-iam-dialect-") as directory:
        report = Path(directory, "report.xml")
        command = [
            *(
                sys.executable,
                "-m",
                "pytest",
                "--quiet",
                "-p",
                "no:cacheprovider",
                "-p",
                "no:asyncio",
            ),
            *("-p", "sqlalchemy.testing.plugin.pytestplugin", "-c", "setup.cfg"),
            *("--dburi", url.render_as_string(hide_password=False), f"--junitxml={report}"),
            "suite.py",
        ]
        paths = os.pathsep.join(map(str, (HERE.parent, HERE.parents[1])))
        try:
            done = subprocess.run(
                command,
                cwd=HERE,
                env={**os.environ, **environ, "PYTHONPATH": paths},
                capture_output=True,
                text=True,
                timeout=LONGEST,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise measure.NoResult(f"the suite has no end after {LONGEST:g} s") from None
        # 1 is that tests have failed, which is a result.
        if done.returncode not in {0, 1} or not report.exists():
            raise measure.NoResult(f"the suite did not run:\n{done.stdout}\n{done.stderr}")
        return _read(report)


def differences(without: Run, plugin: Run) -> Iterator[str]:
    """What is not as it has to be: other outcomes with the plugin, failures, too few tests."""
    for test in sorted({*without.outcomes, *plugin.outcomes}):
        one, other = (each.outcomes.get(test, "not there") for each in (without, plugin))
        if one != other:
            yield f"{test}: {one} without the plugin, {other} with it"
        elif one in {"failure", "error"}:
            yield f"{test}: {one} in both"
    if (passed := plugin.counts["passed"]) < LEAST:
        yield f"{passed} tests passed, and at least {LEAST} have to"


def _read(report: Path) -> Run:
    [suite] = ET.parse(report).getroot().iter("testsuite")
    outcomes = {
        f"{case.attrib['classname']}::{case.attrib['name']}": _outcome(case)
        for case in suite.iter("testcase")
    }
    return Run(outcomes, float(suite.attrib["time"]))


def _outcome(case: ET.Element) -> str:
    return next((kind for kind in _NOT_PASSED if case.find(kind) is not None), "passed")
