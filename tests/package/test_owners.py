"""A second package with the names of this one, installed before or after it, is found and named."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from patience import DEADLINE

import sqlalchemy_rds_iam
from sqlalchemy_rds_iam import _owners

PACKAGE = Path(sqlalchemy_rds_iam.__file__).parent
OTHER = "sqlalchemy-rds-iam-auth-plugin"
SAID = (
    f"{OTHER} 0.1.0 has the import package sqlalchemy_rds_iam and the plugin name rds_iam as well"
)
_PLUGIN = "sqlalchemy_rds_iam.plugin:RDSIAMAuthPlugin"
_URL = "postgresql+psycopg://app@db.abc123.us-east-1.rds.amazonaws.com/app?plugin=rds_iam"
_ENGINE = f"from sqlalchemy import create_engine; create_engine({_URL!r})"


def metadata(site: Path, name: str, version: str, plugin: str, *files: str) -> Path:
    """The metadata of an installed package."""
    where = site / f"{name.replace('-', '_')}-{version}.dist-info"
    where.mkdir(parents=True)
    (where / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (where / "entry_points.txt").write_text(f"[sqlalchemy.plugins]\nrds_iam = {plugin}\n")
    (where / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    return where


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with both packages: the files are this one's."""
    shutil.copytree(
        PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__", "testing")
    )
    ours = "sqlalchemy_rds_iam._entry_points:RdsIamPlugin"
    metadata(tmp_path, "sqlalchemy-rds-iam", "9.9", ours, "sqlalchemy_rds_iam/plugin.py")
    metadata(tmp_path, OTHER, "0.1.0", _PLUGIN, "sqlalchemy_rds_iam/plugin.py")
    return tmp_path


def overwrite(site: Path) -> None:
    """What it is like if the other one is installed last."""
    package = site / PACKAGE.name
    (package / "__init__.py").write_text(
        "from .plugin import RDSIAMAuthPlugin\n__version__ = '0.1.0'\n"
    )
    (package / "plugin.py").write_text(
        "from sqlalchemy.engine import CreateEnginePlugin\n"
        "class RDSIAMAuthPlugin(CreateEnginePlugin): pass\n"
    )


def run(site: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the folder before all others, and no other checkout."""
    begin = f"import sys; sys.path.insert(0, {str(site)!r})\n"
    return subprocess.run(
        [sys.executable, "-W", "error", "-I", "-c", begin + code, *arguments],
        cwd=site,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


MAIN = "from sqlalchemy_rds_iam.cli import main; main()"


def test_the_version_names_it(site: Path) -> None:
    """`rds-iam -V` still says the version on its output, and who else there is beside it."""
    done = run(site, MAIN, "-V")
    assert done.returncode == 0
    assert done.stdout == f"sqlalchemy-rds-iam {sqlalchemy_rds_iam.__version__}\n"
    assert SAID in " ".join(done.stderr.split())
    assert f"pip uninstall {OTHER}" in " ".join(done.stderr.split())


def test_nothing_is_said_of_one_package(site: Path) -> None:
    """Alone, and found twice on the path, it has no others."""
    shutil.rmtree(next(site.glob("sqlalchemy_rds_iam_auth*")))
    done = run(site, f"sys.path.append({str(site)!r})\n{MAIN}", "-V")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["-V", "doctor"])
def test_overwritten_the_command_names_it(site: Path, command: str) -> None:
    """Where files are the other one's, `rds-iam` says so instead of what Python makes of it."""
    overwrite(site)
    done = run(site, MAIN, command, *([] if command == "-V" else [_URL]))
    assert done.returncode == (command != "-V")
    assert SAID in " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in done.stderr


def test_the_other_plugin_is_not_there(site: Path) -> None:
    """Where SQLAlchemy takes the other one's plugin, and the file is ours, the error says why."""
    shutil.rmtree(site / "sqlalchemy_rds_iam-9.9.dist-info")
    done = run(site, _ENGINE)
    assert "module 'sqlalchemy_rds_iam.plugin' has no attribute 'RDSIAMAuthPlugin'" in done.stderr
    assert SAID in done.stderr


def test_our_plugin_is_not_there(site: Path) -> None:
    """Where SQLAlchemy takes ours, and the file is the other one's, the error says why as well."""
    overwrite(site)
    shutil.move(
        site / "sqlalchemy_rds_iam_auth_plugin-0.1.0.dist-info/entry_points.txt", site / "unread"
    )
    done = run(site, _ENGINE)
    assert "sqlalchemy_rds_iam.plugin.RdsIamPlugin cannot be loaded" in done.stderr
    assert f"{OTHER} 0.1.0 has the import package" in done.stderr


def test_an_attribute_of_the_other(site: Path) -> None:
    """What is in the other one's package and not in ours is said to be another's."""
    done = run(site, "import sqlalchemy_rds_iam; sqlalchemy_rds_iam.create_rds_iam_engine")
    assert "has no attribute 'create_rds_iam_engine'; " in done.stderr
    assert SAID in done.stderr


@pytest.mark.parametrize("name", ["__wrapped__", "_frames", "stats", "doctor"])
def test_what_is_asked_for_often_costs_nothing(site: Path, name: str) -> None:
    """Nothing is looked for when Python asks for a module of ours, or a tool for a private name."""
    code = (
        f"import sqlalchemy_rds_iam\nassert not hasattr(sqlalchemy_rds_iam, {name!r})\n"
        "assert 'sqlalchemy_rds_iam._owners' not in sys.modules"
    )
    done = run(site, code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["sqlalchemy-rds-iam", "sqlalchemy_rds_iam", "SQLAlchemy.RDS-IAM"])
def test_our_name_however_written(tmp_path: Path, name: str) -> None:
    """Older tools write names in other ways; none of them is another package."""
    found = _owners.Distribution.at(metadata(tmp_path, name, "0.1.0", _PLUGIN))
    assert _owners.is_ours(found)
    assert not _owners.is_ours(None)
