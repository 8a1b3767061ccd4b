"""The wheel, as it is uploaded: what is in it, and that it logs in by itself."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from patience import DEADLINE

import sqlalchemy_rds_iam
from sqlalchemy_rds_iam.testing import RdsEmulator

ROOT = Path(sqlalchemy_rds_iam.__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    where = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(where), str(ROOT))
    [made] = where.glob("*.whl")
    return made


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    subprocess.run(command, check=True, timeout=3 * DEADLINE)


def test_what_is_in_it(wheel: Path) -> None:
    """The package alone, all of it, with its types, entry points and extras."""
    with zipfile.ZipFile(wheel) as files:
        names = set(files.namelist())
        info = next(name for name in names if name.endswith("/METADATA")).rpartition("/")[0]
        metadata = Parser().parsestr(files.read(f"{info}/METADATA").decode())
        entries = files.read(f"{info}/entry_points.txt").decode()
    inside = {name for name in names if not name.startswith(f"{info}/")}
    package = ROOT / "sqlalchemy_rds_iam"
    ours = [file for file in package.rglob("*.*") if "__pycache__" not in file.parts]
    assert inside == {str(file.relative_to(ROOT)) for file in ours}
    assert "sqlalchemy_rds_iam/py.typed" in inside
    assert "rds_iam = sqlalchemy_rds_iam._entry_points:RdsIamPlugin" in entries
    assert "rds_secret = sqlalchemy_rds_iam._entry_points:RdsSecretPlugin" in entries
    assert "rds-iam = sqlalchemy_rds_iam.cli:main" in entries
    needs = metadata.get_all("Requires-Dist") or []
    always = sorted(need.split(">")[0].lower() for need in needs if "extra ==" not in need)
    assert set(always) == {"botocore", "sqlalchemy"}
    extras = set(metadata.get_all("Provides-Extra") or [])
    assert extras >= {
        "aiobotocore",
        "asyncpg",
        "cli",
        "cname",
        "otel",
        "pg8000",
        "psycopg",
        "redis",
    }
    assert metadata["Version"] == sqlalchemy_rds_iam.__version__


def test_it_logs_in(wheel: Path, rds: RdsEmulator, tmp_path: Path) -> None:
    """Installed beside the driver, an engine of it and its command connect."""
    site = tmp_path / "site"
    _pip("install", "--no-deps", "--target", str(site), str(wheel))
    code = (
        "import sys, sqlalchemy_rds_iam\n"
        "from sqlalchemy import create_engine, text\n"
        "assert sqlalchemy_rds_iam.__file__.startswith(sys.argv[2]), sqlalchemy_rds_iam.__file__\n"
        "with create_engine(sys.argv[1]).connect() as connection:\n"
        "    print(connection.scalar(text('select current_user')))"
    )
    environ = {**os.environ, **rds.environ(), "PYTHONPATH": str(site)}

    def shown(*command: str) -> str:
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    url = rds.url("postgresql+psycopg").render_as_string(hide_password=False)
    assert shown(sys.executable, "-c", code, url, str(site)) == "app\n"
    assert sqlalchemy_rds_iam.__version__ in shown(str(site / "bin" / "rds-iam"), "--version")
