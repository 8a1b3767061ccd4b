"""docs/programs.md says what the jobs of `make programs` say and what their last runs found."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from patience import DEADLINE, eventually
from programs import environments, page, processes, results
from programs.metadata import BadJob, Program, load, programs
from programs.turns import Turn

PROGRAMS = programs()
EVERY = pytest.mark.parametrize("program", PROGRAMS, ids=[each.name for each in PROGRAMS])

JOB = """# /// script
# requires-python = ">=3.11"
# dependencies = ["shop"]
# [tool.program]
# title = "Shop"
# url = "https://example.com"
# group = "Web"
# packages = ["shop"]
# drivers = ["postgresql+psycopg"]
# write = "nothing"
# ///
\"\"\"It sells.\"\"\"
"""


def test_page() -> None:
    """What the page shows of programs is drawn from their jobs and results: `--redraw`."""
    text = page.PAGE.read_text("utf-8")
    assert page.drawn(text) == text


@EVERY
def test_every_job_has_passed(program: Program) -> None:
    """There is a result with the versions of what the job names, and logins on both sides."""
    result = results.read(program.name)
    assert result is not None, f"PROGRAMS={program.name} make programs"
    assert list(result.packages) == list(program.packages)
    assert {each.partition("+")[2] for each in program.drivers} - {""} <= set(result.drivers)
    if program.works:
        assert all(result.logins.values())


def test_no_result_without_a_job() -> None:
    """A job that is renamed or removed takes its result with it."""
    assert {path.stem for path in results.RESULTS.glob("*.json")} <= {
        each.name for each in PROGRAMS
    }


@pytest.mark.parametrize(
    ("changed", "into", "said"),
    [
        ('title = "Shop"', "", "title"),
        ('group = "Web"', 'group = "Shops"', "one of Migrations, Web"),
        ('url = "https://example.com"', 'home = "https://example.com"', "does not know home"),
        ('write = "nothing"', "", "write is empty"),
        ('write = "nothing"', "works = false", "limits does not say why"),
        ('["postgresql+psycopg"]', '["postgresql+psycopg", "mysql+pymysql"]', "of one database"),
        ('"""It sells."""', "", "no docstring"),
        ("# /// script", "#", "no block of metadata"),
        ('title = "Shop"', "title = Shop", "title"),
    ],
)
def test_a_bad_job(changed: str, into: str, said: str, tmp_path: Path) -> None:
    """What a job does not say, or says wrongly, is named together with its file."""
    path = tmp_path / "shop.py"
    path.write_text(JOB)
    assert load(path).title == "Shop"
    path.write_text(JOB.replace(changed, into))
    with pytest.raises(BadJob, match=said) as caught:
        load(path)
    assert str(path) in str(caught.value) or "shop.py" in str(caught.value)


def test_indexes_of_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What pip has been told about indexes, uv is told, too; the environment counts most."""
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = https://a.example/simple\nextra-index-url =\n  https://b.example\n"
        "  https://c.example\n[install]\nfind-links = /x /y\n"
    )
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("PIP_INDEX_URL", "https://d.example/simple")
    found = environments.pip_settings()
    assert found["UV_DEFAULT_INDEX"] == "https://d.example/simple"
    assert found["UV_INDEX"].split()[-2:] == ["https://b.example", "https://c.example"]
    assert found["UV_FIND_LINKS"] == "/x,/y"


def test_one_at_a_time() -> None:
    """A turn is one program's until it gives it away; one that has left gets none any more."""
    turn = Turn()
    assert turn.take("a")
    taken: list[bool] = []
    waiting = [
        threading.Thread(target=lambda name=name: taken.append(turn.take(name))) for name in "bc"
    ]
    for thread in waiting:
        thread.start()
    turn.leave("b")
    eventually(lambda: taken == [False])
    assert turn.is_of("a")
    turn.give("a")
    eventually(lambda: taken == [False, True])
    assert turn.is_of("c")
    for thread in waiting:
        thread.join(DEADLINE)


def test_nothing_of_others_is_killed() -> None:
    """Only processes with a job's own control address are taken for what it has left."""
    assert processes.kill("http://127.0.0.1:1/of-no-job") == 0


def test_one_run_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A second run in the same checkout is refused, and not when the first has ended."""
    monkeypatch.setattr(environments, "STATE", tmp_path / "state")
    for _ in range(2):
        with (
            environments.alone(keep=False),
            pytest.raises(environments.InstallError, match="state is under way: wait"),
            environments.alone(keep=False),
        ):
            pytest.fail("two runs at once")
