"""docs/cli.md: what it shows is what the commands print."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ca_support import without
from cli_support import HOST, shown
from docs_support import ROOT, Block, documents, variables
from docs_world import World
from rds_api_support import served

from sqlalchemy_rds_iam._tls import trust
from sqlalchemy_rds_iam.cli.demo_steps import Finding
from sqlalchemy_rds_iam.cli.steps import Report
from sqlalchemy_rds_iam.doctor import findings as doctor_findings
from sqlalchemy_rds_iam.testing import RdsEmulator, foreground

DOCUMENT = documents()["docs/cli.md"]
PAGE = (ROOT / "docs" / "cli.md").read_text()
BLOCKS = [block for block in DOCUMENT.blocks if block.language == "console"]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.text.split("\n")[0][2:])
def test_console(
    block: Block,
    documented: World,
    documents_emulator: RdsEmulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Every line that is shown is printed; numbers may differ, and … stands for anything."""
    for each in DOCUMENT.blocks:
        if each.language == "env":
            for name, value in variables(each.text).items():
                monkeypatch.setenv(name, value)
    command, _, output = block.text.partition("\n")
    words = shlex.split(command.removeprefix("$ rds-iam "))
    if words[0] == "ca":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        cached = tmp_path / "sqlalchemy-rds-iam" / "global-bundle.pem"
        cached.parent.mkdir()
        cached.write_bytes(without("eu-west-3"))
    else:
        monkeypatch.setenv("PGSSLROOTCERT", str(documents_emulator.ca_file))
    monkeypatch.setattr(trust, "_RDS_BUNDLES", ())
    with served(documents_emulator) as api:
        monkeypatch.setenv("AWS_ENDPOINT_URL_RDS", api.url)
        api.instance(HOST, DbiResourceId="db-ABCDEFGHIJKL01234")
        found = shown(*words)
    assert found.code == 0, found.err
    for line in output.splitlines():
        pattern = re.sub("…", ".*", re.sub(r"\d+", r"\\d+", re.escape(line)))
        assert re.search(f"^{pattern}$", found.out, re.MULTILINE), found.out
    if "…" not in output:
        assert len(found.out.splitlines()) == len(output.splitlines())


_KEYS = re.compile(r"^\| (`[^|]+) \|", re.MULTILINE)
_OPAQUE = {"policy", "environ", "steps[].facts", "causes[]", "warnings[]", "checks[].findings[]"}


def _documented(command: str) -> set[str]:
    section = PAGE.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    table = section.partition("| key | meaning |")[2]
    return {key for cell in _KEYS.findall(table) for key in re.findall(r"`([^`]+)`", cell)}


def _flat(data: Any, name: str = "") -> Iterator[str]:
    if name in _OPAQUE:
        yield name
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _flat(value, f"{name}.{key}" if name else key)
    elif isinstance(data, list):
        for each in data or [None]:
            yield from _flat(each, f"{name}[]")
    else:
        yield name


@pytest.mark.parametrize("command", ["token", "policy", "grant", "ca", "bench", "doctor"])
def test_json_keys(
    command: str, documents_emulator: RdsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document of a command has the keys that its table says, no more and no fewer."""
    for name, value in documents_emulator.environ().items():
        monkeypatch.setenv(name, value)
    found = shown(command, documents_emulator.url(), "--json")
    assert found.code == 0, found.err
    data = json.loads(found.out)
    assert data.pop("schema") == 1
    assert set(_flat(data)) == _documented(command)


def test_json_keys_of_steps() -> None:
    """Those of the demo, and of a finding of the doctor's, are the fields that these have."""
    report = Report(quiet=True)
    report.take("Step", lambda _tell: Finding("done"))
    assert set(_flat(report.as_data())) == _documented("demo")
    text = " ".join(PAGE.partition("Each finding has ")[2].split())
    finding = doctor_findings.Finding(doctor_findings.Status.OK, "all is well")
    for key in doctor_findings._data(finding):
        assert f"`{key}`" in text


def test_json_keys_of_the_emulator(documents_emulator: RdsEmulator) -> None:
    """The line for a parent process has the keys that the table says."""
    data = json.loads(foreground._as_json(documents_emulator, {"RDS_IAM_URL": "x"}))
    assert data.pop("schema") == 1
    assert set(_flat(data)) == _documented("emulator")


def test_every_command_is_there() -> None:
    """Every command that takes a URL has a heading of its own."""
    assert {
        "token",
        "exec",
        "policy",
        "grant",
        "ca",
        "bench",
        "emulator",
        "demo",
        "doctor",
    } <= DOCUMENT.anchors
