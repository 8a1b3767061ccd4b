"""The pages show what the saved results say, and nothing else."""

from __future__ import annotations

import getpass
import importlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from charts_support import SVG, check_svg
from patience import eventually

from benchmarks.lib import documents, facts, measure
from benchmarks.suite import everything

ROOT = Path(__file__).parents[2]
SAVED = [name for name in everything.NAMES if (measure.RESULTS / f"{name}.json").exists()]
AGAIN = "python -m benchmarks.suite.everything --redraw makes it again"
PLACES = re.compile(r"<!-- results: (\w+) -->\n(.*?)\n<!-- end of results -->", re.DOTALL)


def test_tables_go_where_the_document_names_them(tmp_path: Path) -> None:
    """However often; what was not saved is told so, and all around stays."""
    document, results = tmp_path / "benchmarks.md", tmp_path / "results"
    text = "# T\n\n{}\n\nbetween\n\n<!-- results: summary -->\n<!-- end of results -->\n"
    document.write_text(text.format("<!-- results: scale -->\n<!-- end of results -->"))
    results.mkdir()
    for table in ("| 1 |", r"| \1 \g<0> |"):
        (results / "scale.md").write_text(f"{table}\n")
        said = {"headline": "Much", "within_target": False, "facts": {}}
        (results / "scale.json").write_text(json.dumps(said))
        documents.refresh(document, results, ["scale", "storm"])
        found = dict(PLACES.findall(document.read_text()))
        assert found["scale"].strip() == table
        assert found["summary"].strip() == "- Much ([numbers](#scale); a target is missed)."
        assert "\n\nbetween\n\n" in document.read_text()


@pytest.mark.parametrize("document", everything.DOCUMENTS, ids=lambda file: file.name)
def test_a_page_is_what_the_results_give(document: Path, tmp_path: Path) -> None:
    """Written again from the results, it is the same; its summary has at most ten lines."""
    copy = tmp_path / document.name
    shutil.copy(document, copy)
    documents.refresh(copy, measure.RESULTS, everything.NAMES)
    assert copy.read_text(encoding="utf-8") == document.read_text(encoding="utf-8"), AGAIN
    summary = dict(PLACES.findall(copy.read_text(encoding="utf-8"))).get("summary", "")
    lines = [line for line in summary.splitlines() if line.startswith("- ")]
    assert len(lines) <= documents.LINES
    anchors = re.findall(r"\]\(#([\w-]+)\)", summary)
    assert len(anchors) == len(lines)
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
    assert {*anchors} <= slugs


@pytest.mark.parametrize("name", SAVED)
def test_tables_and_charts_are_those_of_the_results(name: str) -> None:
    """What was saved is enough to make them again, and they say the same."""
    results = json.loads((measure.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    suite = importlib.import_module(f"benchmarks.suite.{name}")
    assert suite.headline(results) == results["headline"]
    assert suite.text(results) + "\n" == (measure.RESULTS / f"{name}.md").read_text(
        encoding="utf-8"
    )
    pictures = suite.pictures(results)
    saved = [file for file in measure.RESULTS.glob(f"{name}*.svg") if _is_of(file.stem, name)]
    assert {file.stem for file in saved} == {*pictures}
    for file in saved:
        title = check_svg(file.read_text(encoding="utf-8")).findtext(f"{SVG}title")
        assert title == json.loads(pictures[file.stem])["description"], AGAIN


def _is_of(stem: str, name: str) -> bool:
    return stem == name or stem.startswith(f"{name}-")


def test_the_documents_name_what_there_is() -> None:
    """Each table and chart in the documents is that of a benchmark, and every benchmark has one."""
    named = set()
    for document in everything.DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        named |= {*re.findall(r"<!-- results: (\w+) -->", text)}
        assert text.count("<!-- results: ") == text.count("<!-- end of results -->")
        for chart in re.findall(r"\(\.\./(benchmarks/results/[\w-]+\.svg)\)", text):
            assert ET.parse(ROOT / chart).getroot().tag == f"{SVG}svg"
    assert named - {"summary", "machine", "everything"} == set(everything.NAMES)


def test_an_interrupted_run_keeps_what_is_finished(tmp_path: Path) -> None:
    """It says what is left, and exits as one without a result."""
    arguments = "--quick", "--only", "scale", "--only", "fleet", "--save", str(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.suite.everything", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            eventually((tmp_path / "scale.md").exists)
            os.killpg(process.pid, signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == measure.NO_RESULT
    assert "what was finished is kept: " in said
    assert "The rest: " in said
    assert "--only fleet" in said
    assert json.loads((tmp_path / "scale.json").read_text())["headline"]


def test_results_name_what_they_depend_on_and_no_machine() -> None:
    """Day, commit, processors and versions; no name of a host or a user, and no path."""
    found = facts.found()
    said = facts.said(found)
    for fact in ("day", "commit", "cpus", "python"):
        assert str(found[fact]) in said
    assert found["packages"]["SQLAlchemy"] in said
    words = re.findall(r"[^\s,:()\"]+", json.dumps(found) + said)
    assert not {platform.node(), getpass.getuser(), str(ROOT), str(Path.home())} & {*words}


def test_all_results_as_one_json() -> None:
    """--json prints what every one has found as one object, and what is going on elsewhere."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.suite.everything",
            "--quick",
            "--only",
            "scale",
            "--json",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    [found] = json.loads(done.stdout)["benchmarks"]
    assert found["benchmark"] == "scale"
    assert found["facts"]["commit"]
    assert done.returncode == (0 if found["within_target"] else 1)
    assert "scale, 1 of 1" in done.stderr


def test_how_long_it_will_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By how long each took when it was saved last; where one was not saved, there is no end."""
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    (tmp_path / "scale.json").write_text(json.dumps({"facts": {"seconds": 9}}))
    everything.foretell(["scale"], 0, tmp_path)
    assert re.search(r"scale, 1 of 1, about 9 s; all of it until about \d\d:\d\d", _told(capsys))
    everything.foretell(["scale", "storm"], 0, tmp_path)
    assert _told(capsys).strip() == "scale, 1 of 2, about 9 s"


def _told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err
