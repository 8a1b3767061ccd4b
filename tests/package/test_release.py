"""What is published: the page in the package index, requirements, and builds that are the same."""

from __future__ import annotations

import filecmp
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from types import ModuleType

import pytest
from docs_support import Document, documents, faults
from packaging.requirements import Requirement
from patience import DEADLINE
from release import ROOT, refusals, repository, version

from sqlalchemy_rds_iam._requirements import REQUIREMENTS

ADDRESS = "https://forge.example/owner/project"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = {
    name: [Requirement(line) for line in lines]
    for name, lines in PROJECT["project"]["optional-dependencies"].items()
}
REQUIRED = [each for requirements in EXTRAS.values() for each in requirements]


def _hook() -> ModuleType:
    """hatch_build.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what an sdist is made of."""
    include = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in ["/pyproject.toml", "/.gitignore", *include]:
        source = ROOT / name[1:]
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, copy / name[1:], ignore=ignored)
        else:
            shutil.copy(source, copy)
    return copy


def _build(checkout: Path, into: Path, epoch: int = 1_700_000_000) -> dict[str, Path]:
    """The sdist and the wheel, by their last suffix."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(into)],
        cwd=checkout,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)},
        check=True,
        capture_output=True,
        timeout=3 * DEADLINE,
    )
    made = {each.suffix: each for each in into.iterdir()}
    assert set(made) == {".gz", ".whl"}
    return made


def _with_address(checkout: Path, address: str) -> None:
    file = checkout / "pyproject.toml"
    text = file.read_text("utf-8")
    assert text.count(f'repository = "{repository(checkout)}"') == 1
    file.write_text(
        text.replace(f'repository = "{repository(checkout)}"', f'repository = "{address}"')
    )


def test_every_link_of_the_index_page_leads_somewhere() -> None:
    """Each is an address; those into the repository are files of the checkout, with the heading."""
    text = (ROOT / "README.md").read_text("utf-8")
    inside = Document("README.md", text).links
    assert len(inside) > 40
    page = _hook().absolute(text, ADDRESS, "1.2.3")
    # What still stays within is a place on the page.
    assert [link for link in Document("page", page).links if not link.startswith("#")] == []
    found = re.findall(rf"\]\({re.escape(ADDRESS)}/(blob|raw)/v1\.2\.3/([^()\s]+)\)", page)
    assert [target for _, target in found] == [link for link in inside if link[0] != "#"]
    others = documents()
    back = "\n".join(f"[x]({target})" for _, target in found)
    assert list(faults(Document("README.md", back), others)) == []
    # A picture is shown by its file, not by a page about it.
    assert {target for kind, target in found if kind == "raw"} == {"docs/doctor.svg"}


def test_the_page_is_made_of_one_address(checkout: Path, tmp_path: Path) -> None:
    """Links, the badge and the addresses beside the text of what is built begin with it."""
    _with_address(checkout, ADDRESS)
    made = _build(checkout, tmp_path / "dist")
    with zipfile.ZipFile(made[".whl"]) as files:
        [name] = [name for name in files.namelist() if name.endswith("/METADATA")]
        metadata = Parser().parsestr(files.read(name).decode())
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL") or [])
    assert urls["Source"] == ADDRESS
    assert set(urls) == {"Source", "Documentation", "Changelog", "Issues"}
    assert all(each.startswith(ADDRESS) for each in urls.values())
    for label in ("Documentation", "Changelog"):
        assert (ROOT / urls[label].partition(f"/v{version(ROOT)}/")[2]).is_file()
    page = str(metadata.get_payload())
    assert f"]({ADDRESS}/blob/v{version(ROOT)}/docs/quickstart.md" in page
    assert f"{ADDRESS}/actions/workflows/{_hook().WORKFLOW}/badge.svg" in page
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_the_badge_shows_a_workflow_that_is_there() -> None:
    """Where the repository has workflows, the badge's is one of them."""
    folder = ROOT / ".github/workflows"
    if not folder.is_dir():
        pytest.skip("no workflows here, as in an sdist")
    assert (folder / _hook().WORKFLOW).is_file()


def test_builds_are_reproducible(checkout: Path, tmp_path: Path) -> None:
    """Two builds are the same byte by byte, whenever and with whatever permissions files came."""
    first = _build(checkout, tmp_path / "first")
    for file in checkout.rglob("*"):
        os.utime(file, (1_234_567_890, 1_234_567_890))
        if file.is_file():
            file.chmod(0o600)
    second = _build(checkout, tmp_path / "second")
    for suffix, file in first.items():
        assert filecmp.cmp(file, second[suffix], shallow=False), file.name
    third = _build(checkout, tmp_path / "third", epoch=1_800_000_000)
    assert not filecmp.cmp(first[".whl"], third[".whl"], shallow=False)


def test_what_is_refused(checkout: Path) -> None:
    """A release waits for the address, the date, the tag, and pages that no longer deny it."""
    here = version(checkout)
    _with_address(checkout, "")
    changes = checkout / "CHANGELOG.md"
    text = re.sub(
        r"^## .*$", f"## [{here}] - not released", changes.read_text(), count=1, flags=re.MULTILINE
    )
    changes.write_text(text)
    found = list(refusals(checkout, ["v0.0.9"]))
    assert [next(word for word in _MISSING if word in each) for each in found] == _MISSING
    _with_address(checkout, ADDRESS)
    changes.write_text(text.replace("- not released", "- 2026-12-01", 1))
    for page in ("README.md", "docs/quickstart.md"):
        file = checkout / page
        file.write_text(file.read_text().replace("ot on PyPI yet", "ow on PyPI"))
    assert list(refusals(checkout, ["v0.0.9", f"v{here}"])) == []


_MISSING = ["`repository`", "CHANGELOG.md", "tags", "README.md", "docs/quickstart.md"]


@pytest.mark.parametrize(
    "address", ["", "forge.example/a/b", "https://forge.example", f"{ADDRESS}/"]
)
def test_an_address_that_is_none(checkout: Path, address: str) -> None:
    """Of the address, what could not begin a link is refused with what was expected."""
    _with_address(checkout, address)
    first = next(refusals(checkout, [f"v{version(checkout)}"]))
    assert f"`repository` in pyproject.toml is {address!r}: expected" in first


def test_releasing_begins_with_the_address() -> None:
    """The page says first what nothing can be released without, and its links hold."""
    document = Document("RELEASING.md", (ROOT / "RELEASING.md").read_text("utf-8"))
    first = next(line for line in document.prose if line.startswith("1. "))
    assert first.startswith("1. **The address.**")
    others = documents()
    others |= {document.name: document}
    assert list(faults(document, others)) == []


def test_hints_and_extras_agree() -> None:
    """What a hint says to install is what an extra would have installed, and each is in a hint."""
    hints = {str(Requirement(line)) for line in REQUIREMENTS.values()}
    required = {
        str(each) for each in REQUIRED if each.name != "sqlalchemy-rds-iam" and not each.marker
    }
    assert hints == required


def test_the_page_on_drivers_names_the_floors() -> None:
    """Its table has each driver's extra with the oldest version that this allows."""
    page = (ROOT / "docs/drivers.md").read_text("utf-8")
    rows = re.findall(r"^\| `\w+\+\w+://` \| `(\w+)`, ([\d.]+) \|", page, re.MULTILINE)
    assert len(rows) == 10
    assert [floor for _, floor in rows] == [
        str(EXTRAS[extra][0].specifier).removeprefix(">=") for extra, _ in rows
    ]


def test_extras_are_for_users() -> None:
    """What only contributors install is in groups, which are not published."""
    assert set(EXTRAS).isdisjoint(PROJECT["dependency-groups"])
    tools = {"pytest", "mypy", "ruff", "sphinx", "celery", "fastapi", "hypothesis"}
    assert tools.isdisjoint({each.name for each in REQUIRED})


def test_classifiers_say_what_is_run() -> None:
    """The Pythons that the README says the tests run on, and Linux."""
    said = re.search(r"is tested on Python ([^\n]*)\.\s", (ROOT / "README.md").read_text("utf-8"))
    assert said is not None
    classifiers = PROJECT["project"]["classifiers"]
    found = [each.rpartition(" :: ")[2] for each in classifiers if "Python :: 3." in each]
    assert re.findall(r"3\.\d+", said[1]) == found
    systems = [each for each in classifiers if each.startswith("Operating System ::")]
    assert systems == ["Operating System :: POSIX :: Linux"]
