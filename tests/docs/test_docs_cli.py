"""docs/cli.md: what it shows is what the commands print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from ca_support import without
from cli_support import HOST, shown
from docs_support import Block, documents, variables
from docs_world import World
from rds_api_support import served

from sqlalchemy_rds_iam._tls import trust
from sqlalchemy_rds_iam.testing import RdsEmulator

DOCUMENT = documents()["docs/cli.md"]
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


def test_every_command_is_there() -> None:
    """Every command that takes a URL has a heading of its own."""
    assert {"token", "exec", "policy", "grant", "ca", "bench"} <= DOCUMENT.anchors
