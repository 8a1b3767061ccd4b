"""What is uploaded, made and tried. `make dist` runs it, with `build` and twine installed.

The sdist and, of the sdist, the wheel are built twice and are the same byte by byte; the index
accepts their metadata; and the wheel, in an environment that has nothing else than what it asks
for, logs in on the emulator.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
_EXTRAS = "cli,psycopg,testing"


def build(into: Path) -> list[Path]:
    """The sdist and the wheel that is built from it."""
    # The time of the files inside: that of the commit, where there is one.
    found = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    epoch = found.stdout.strip() or "1577836800"
    _run(
        *(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(into), str(ROOT)),
        environ={"SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", epoch)},
    )
    return sorted(into.iterdir())


def log_in(wheel: Path, directory: Path) -> None:
    """Install the wheel into an empty environment, and run the demo there."""
    venv.create(directory / "venv", with_pip=True)
    python = directory / "venv/bin/python"
    _run(
        *(str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"),
        *(f"{wheel}[{_EXTRAS}]", "SQLAlchemy[asyncio]"),
    )
    home = directory / "home"
    home.mkdir()
    # Not from the checkout: what is imported has to be what was installed.
    _run(str(python), "-I", "-c", _DEMO, directory=directory, environ={"HOME": str(home)})


_DEMO = (
    "import sys; sys.argv = ['rds-iam', 'demo']; from sqlalchemy_rds_iam.cli import main; main()"
)


def _run(*command: str, directory: Path = ROOT, environ: dict[str, str] | None = None) -> None:
    subprocess.run(
        command, cwd=directory, env={**os.environ, **(environ or {})}, check=True, timeout=600
    )


def _main(into: Path) -> None:
    shutil.rmtree(into, ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        made, again = build(into), build(scratch / "again")
        assert [each.name for each in made] == [each.name for each in again]
        for first, second in zip(made, again, strict=True):
            assert filecmp.cmp(first, second, shallow=False), f"{first.name} differs if built again"
        _run(sys.executable, "-m", "twine", "check", "--strict", *map(str, made))
        [wheel] = (each for each in made if each.suffix == ".whl")
        log_in(wheel, scratch)
    for each in made:
        print(f"{each}: {each.stat().st_size} bytes")  # noqa: T201


if __name__ == "__main__":
    _main(Path(sys.argv[1]).resolve())
