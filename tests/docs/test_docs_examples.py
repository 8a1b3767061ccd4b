"""docs/examples: files to copy, each shown on a page; the application runs as they say."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from cli_support import COMMAND
from docs_support import ROOT, Document
from examples_support import EXAMPLES, TEXTS, VARIABLES, YAML
from patience import DEADLINE, eventually
from sqlalchemy import make_url

from sqlalchemy_rds_iam._tls import trust
from sqlalchemy_rds_iam.testing import RdsEmulator

PAGE = "configuration-files.md"
[COMPOSE] = YAML["compose.yaml"]


@pytest.mark.parametrize("name", TEXTS)
def test_shown(name: str) -> None:
    """The page links to each file, and shows it as it is."""
    page = Document(f"docs/{PAGE}", (ROOT / "docs" / PAGE).read_text("utf-8"))
    assert f"examples/{name}" in page.links
    assert TEXTS[name] in [block.text for block in page.blocks]


@pytest.mark.parametrize("name", TEXTS)
def test_no_secret(name: str) -> None:
    """No file has a password or a key in it, nor a place for one."""
    for url in re.findall(r"\b\w+\+\w+://\S+[^\s\"]", TEXTS[name]):
        assert make_url(url).password is None
    assert not re.search(r"AKIA|ASIA|PASSWORD|SECRET|ACCESS_KEY|SESSION_TOKEN", TEXTS[name])


def _app(directory: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("pydantic_settings")
    return subprocess.run(
        [sys.executable, str(EXAMPLES / "app.py")],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.parametrize("in_file", [False, True], ids=["environment", "file"])
def test_settings(rds: RdsEmulator, tmp_path: Path, in_file: bool) -> None:
    """The application logs in with a URL from its environment, or from its file."""
    url = rds.url("postgresql+psycopg").render_as_string(hide_password=False)
    settings = {"DATABASE_URL": url, "DATABASE_POOL_SIZE": "1"}
    assert set(settings) == VARIABLES
    if in_file:
        lines = [f"{name}='{value}'\n" for name, value in settings.items()]
        (tmp_path / ".env").write_text("".join(lines), encoding="utf-8")
        settings = {}
    done = _app(tmp_path, rds.environ() | settings)
    assert (done.returncode, done.stdout) == (0, "app\n"), done.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"DATABASE_URL": "postgresql+psycopg://app:hunter2@localhost/app"}, "plugin=rds_iam"),
        ({"DATABASE_URL": "postgresql+psycopg://app:hunter2@x/app?plugin=rds"}, "plugin=rds_iam"),
        ({"DATABASE_POOL_SIZE": "5"}, "url"),
        ({"DATABASE_URL": "x://y/z?plugin=rds_iam", "DATABASE_POOL_SIZE": "0"}, "pool_size"),
    ],
)
def test_settings_refused(settings: dict[str, str], words: str, tmp_path: Path) -> None:
    """What cannot work is refused at the start, by its name and without a password."""
    done = _app(tmp_path, settings)
    assert done.returncode != 0
    assert words in done.stderr
    assert "hunter2" not in done.stderr


@pytest.fixture
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The volume of compose.yaml. Short, as a socket will be in it."""
    return tmp_path_factory.mktemp("v")


def _in_container(command: str, volume: Path) -> list[str]:
    """The words of a service's command, with the volume where it is here."""
    return shlex.split(command.replace("/emulator", str(volume)))


@pytest.mark.server
def test_compose(volume: Path) -> None:
    """The commands of the two services, without Docker: the application logs in to the emulator."""
    pytest.importorskip("pydantic_settings")
    database, app = COMPOSE["services"]["database"], COMPOSE["services"]["app"]
    words = _in_container(database["command"], volume)
    assert words[0] == "rds-iam"
    assert database["healthcheck"]["test"] == ["CMD", "test", "-f", "/emulator/env"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    moved = {name: str(volume) for name in database["environment"]}
    with subprocess.Popen(
        [*COMMAND, *words[1:]],
        env=environ | moved,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as emulator:
        try:
            eventually((volume / "env").exists, "the file of variables is not there")
            done = subprocess.run(
                _in_container(app["command"], volume),
                cwd=EXAMPLES,
                env=environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
                capture_output=True,
                text=True,
                timeout=DEADLINE,
                check=False,
            )
            assert (done.returncode, done.stdout) == (0, "app\n"), done.stderr
        finally:
            emulator.terminate()
            emulator.communicate(timeout=DEADLINE)
    # As after `docker compose stop`: what is started next waits for a file of its own.
    assert not (volume / "env").exists()


def test_compose_form() -> None:
    """The two share volume, network and checkout, and the second waits for the first."""
    services = COMPOSE["services"]
    assert services["app"]["network_mode"] == "service:database"
    assert services["app"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    for name, service in services.items():
        [mount] = service["volumes"]
        assert mount.split(":")[:2] == [next(iter(COMPOSE["volumes"])), "/emulator"], name
        build = service["build"]
        assert (EXAMPLES / build["context"]).resolve() == ROOT
        assert (ROOT / build["dockerfile"]).samefile(EXAMPLES / "Dockerfile")
        assert f" AS {build['target']}\n" in TEXTS["Dockerfile"]


def test_dockerfile() -> None:
    """What it copies is there, the extras exist, and the CA bundle is where it is searched."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = ",".join(re.findall(r'"/src\[([\w,]+)\]"', TEXTS["Dockerfile"])).split(",")
    assert set(extras) <= set(project["optional-dependencies"])
    copied = [
        word
        for line in re.findall(r"^COPY (.+) \S+$", TEXTS["Dockerfile"], re.MULTILINE)
        for word in line.split()
    ]
    assert set(copied) == {".", "docs/examples/app.py"}
    assert all((ROOT / word).exists() for word in copied)
    [(bundle, place)] = re.findall(r"^ADD (\S+) (\S+)$", TEXTS["Dockerfile"], re.MULTILINE)
    assert bundle == trust.BUNDLE_URL
    assert place in trust._RDS_BUNDLES
    # The last user of each stage is not root.
    for stage in TEXTS["Dockerfile"].split("\nFROM ")[1:]:
        assert re.findall(r"^USER (\w+)$", stage, re.MULTILINE)[-1] == "app"


def test_compose_schema() -> None:
    """compose.yaml is as the Compose specification has it."""
    pytest.importorskip("check_jsonschema")
    tool = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*tool, str(EXAMPLES / "compose.yaml")],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
