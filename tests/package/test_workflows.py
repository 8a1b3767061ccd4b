""".github/workflows: the commands of the Makefile on machines of a forge, with the least rights."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from patience import DEADLINE

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
if not (ROOT / ".github").is_dir():
    pytest.skip("no workflows here, as in an sdist", allow_module_level=True)
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
# Every value as text: else `on` is a truth, and 3.10 a number.
WORKFLOWS = {
    file.stem: yaml.load(file.read_text("utf-8"), Loader=yaml.BaseLoader) for file in FILES
}
JOBS = {
    f"{name}-{key}": job
    for name, workflow in WORKFLOWS.items()
    for key, job in workflow["jobs"].items()
}
EACH = pytest.mark.parametrize("name", JOBS)
_USES = re.compile(r"\buses: (\S+?)@(\S+)(?:  # (\S+))?$", re.MULTILINE)


def _runs(job: dict[str, Any]) -> set[str]:
    """The commands of a job, with every value of its matrix."""
    matrix = dict(job.get("strategy", {}).get("matrix", {}))
    rows = [{name: value} for name in matrix if name != "include" for value in matrix[name]]
    values = [pair for row in [*rows, *matrix.get("include", ())] for pair in row.items()]
    found = set()
    for step in job["steps"]:
        command = step.get("run")
        for name, value in step.get("env", {}).items():
            command = command.replace(f'"${name}"', value)
        found |= {command} - {None}
    for name in {name for name, _ in values}:
        place = f"${{{{ matrix.{name} }}}}"
        found = {
            command.replace(place, value)
            for command in found
            for key, value in values
            if key == name
        }
    return found


def test_there_are_some() -> None:
    """The tests below would pass on no files."""
    assert set(WORKFLOWS) == {"ci", "weekly", "release"}
    assert len(JOBS) >= 7


@EACH
def test_commands(name: str) -> None:
    """A step runs a target of the Makefile or a script of .ci, as anyone can without the forge."""
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert _runs(JOBS[name])
    for command in _runs(JOBS[name]):
        program, *arguments = command.removeprefix("sudo ").split()
        if program == "make":
            assert arguments[0] in targets, command
            assert all(re.fullmatch(r"[A-Z_]+=[\w.]+", each) for each in arguments[1:]), command
        else:
            assert (ROOT / program).parent == ROOT / ".ci", command
            assert (ROOT / program).is_file(), command


@EACH
def test_least_rights(name: str) -> None:
    """A job may read the repository, keeps no credentials on its disk, and has an end.

    The one that uploads may say to the index who it is, as well.
    """
    job = JOBS[name]
    uploads = {"id-token": "write"} if name == "release-upload" else {}
    assert job["permissions"] == {"contents": "read"} | uploads
    assert job.get("environment") == ("pypi" if uploads else None)
    assert 0 < int(job["timeout-minutes"]) <= 60
    for step in job["steps"]:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] == "false"


def test_what_is_released() -> None:
    """A tag alone is released: what `make release` has made, checked and not refused, no other."""
    release, build, upload = (
        WORKFLOWS["release"],
        JOBS["release-build"],
        JOBS["release-upload"],
    )
    assert release["on"] == {"push": {"tags": ["v*"]}}
    assert (_runs(build), _runs(upload)) == ({"make release"}, {"make upload"})
    assert upload["needs"] == "build"
    kept, taken = (
        step["with"]
        for job in (build, upload)
        for step in job["steps"]
        if "-artifact@" in step.get("uses", "")
    )
    assert kept == taken | {"if-no-files-found": "error"}
    # The index knows the publisher by these two names.
    publisher = (ROOT / "RELEASING.md").read_text("utf-8")
    assert "`release.yml`" in publisher
    assert f"environment `{upload['environment']}`" in publisher


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=WORKFLOWS)
def test_nothing_by_default(workflow: dict[str, Any]) -> None:
    """A job has what it says alone, and a second run of the same waits, or takes over."""
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"]
    assert not {"pull_request_target", "workflow_run"} & set(workflow["on"])


def test_actions_are_pinned() -> None:
    """Each action is the hash of a commit, with its version, and the same one everywhere."""
    found: dict[str, set[tuple[str, str]]] = {}
    for file in FILES:
        text = file.read_text("utf-8")
        assert len(_USES.findall(text)) == text.count("uses:")
        for name, commit, version in _USES.findall(text):
            assert re.fullmatch(r"[0-9a-f]{40}", commit), f"{file.name}: {name}"
            assert re.fullmatch(r"v\d+\.\d+\.\d+", version), f"{file.name}: {name}"
            found.setdefault(name, set()).add((commit, version))
    assert {name: len(versions) for name, versions in found.items()} == dict.fromkeys(found, 1)


def test_pythons() -> None:
    """The suite runs on each Python that .ci/pythons knows, on both ends of the versions."""
    known = re.findall(r"python(3\.\d+)\b", (ROOT / ".ci/pythons").read_text("utf-8"))
    matrix = WORKFLOWS["ci"]["jobs"]["suite"]["strategy"]["matrix"]
    assert matrix["python"] == list(dict.fromkeys(known))
    assert matrix["part"] == ["current", "floor"]


def _checked(*command: str) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", FILES),
        ("dependabot", [ROOT / ".github/dependabot.yml"]),
    ],
)
def test_schema(schema: str, files: list[Path]) -> None:
    """The files are of the form that the forge reads."""
    pytest.importorskip("check_jsonschema")
    tool = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    _checked(*tool, *map(str, files))


def test_zizmor() -> None:
    """Zizmor finds nothing, however small."""
    tool = shutil.which("zizmor", path=Path(sys.executable).parent)
    if tool is None:
        pytest.skip("zizmor is not installed")
    _checked(tool, "--offline", "--no-progress", "--persona=pedantic", ".github")
