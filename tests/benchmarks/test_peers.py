"""The peers' environments, processes and tables: without a package index, and without a server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lib import spread
from benchmarks.lib.command_process import CommandProcess
from benchmarks.peers import environments, parts, tables
from benchmarks.peers.environments import Environment
from benchmarks.peers.parts import BUNDLE, ONE
from benchmarks.peers.runs import Case, Effort, FailedError, Peers, in_rounds
from benchmarks.peers.ways import AGAIN, OWN, PASSWORD, PLUGIN, READY, WAYS

PEER = "sqlalchemy-rds-iam-auth-plugin"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of an environment "mine" of the test's own."""
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    file = tmp_path / "mine.txt"
    file.write_text("")
    return file


def test_every_peer_has_an_environment_that_pins_it() -> None:
    """Each file belongs to a way, each way's file is there, and what is measured is pinned."""
    used = {way.environment for way in WAYS.values()}
    assert used == {*environments.names()}
    for name in used - {OWN}:
        assert {name, "boto3"} <= {*environments.versions(name)}
    assert "botocore" in environments.versions(OWN)


def test_an_environment_is_named_by_what_it_holds(requirements: Path, tmp_path: Path) -> None:
    """Another version makes another directory, and the same ones the same; both say whose it is."""
    requirements.write_text("boto3==1.0\n")
    place = environments.directory_of("mine", tmp_path)
    assert place == environments.directory_of("mine", tmp_path)
    assert place.name.startswith("mine-")
    assert tmp_path in place.parents
    requirements.write_text("boto3==2.0\n")
    assert environments.directory_of("mine", tmp_path) != place


def test_the_environment_of_a_checkout_is_its_own(
    requirements: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another checkout, or another entry point, makes another one; a peer is the same for all."""
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    found = {}
    for text in ("--editable .\n", "boto3==1.0\n"):
        requirements.write_text(text)
        before = environments.directory_of("mine", tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(environments, "BENCHMARKS", tmp_path / "benchmarks")
            found[text] = environments.directory_of("mine", tmp_path) == before
    assert found == {"--editable .\n": False, "boto3==1.0\n": True}


def test_what_a_file_pins_is_not_taken_from_here(requirements: Path) -> None:
    """Else the two would contradict each other, and nothing be installed."""
    requirements.write_text("# as old as it has to be\nSQLAlchemy[asyncio]==2.0.58\npsycopg\n")
    constraints = environments.constraints("mine")
    assert not [line for line in constraints if line.startswith("SQLAlchemy")]
    assert [line for line in constraints if line.startswith("greenlet==")]
    assert environments.versions("mine") == {"SQLAlchemy": "2.0.58"}


def test_an_environment_is_made_once_and_whole(
    requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is there is not made again; one that failed leaves nothing that looks like it."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    told: list[str] = []
    made = environments.make_all(["mine"], told.append)["mine"]
    assert made.executable is not None, made.reason
    assert made.executable.exists()
    again = environments.make_all(["mine"], told.append)["mine"]
    assert again == made
    assert len(told) == 1
    requirements.write_text("no-such-package-of-ours==1.0\n")
    failed = environments.make_all(["mine"], told.append)["mine"]
    assert failed.executable is None
    assert "no-such-package-of-ours" in failed.reason
    assert "\n" not in failed.reason
    assert [place.name for place in made.executable.parents[2].iterdir()] == [
        made.executable.parents[1].name
    ]


def test_a_peer_that_cannot_be_installed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name and with the reason; all others are run."""
    missing = {
        PEER: Environment(None, {PEER: "0.1.0"}, "ERROR: there is no index"),
        OWN: Environment(Path(sys.executable), {}),
    }
    monkeypatch.setattr(environments, "make_all", lambda *_: missing)
    with Peers((READY, PEER), ("psycopg", "asyncpg")) as peers:
        assert [case.way for case in peers.cases] == [READY, READY]
        assert peers.failed == {PEER: f"{PEER} cannot be installed: ERROR: there is no index"}
        versions, failed = peers.versions, peers.failed
    found = tables.text({"versions": versions, "failed": failed, "verdicts": {}})
    assert "there is no index" in found
    assert f"{PEER} 0.1.0" in found


def test_a_peer_that_fails_is_reported() -> None:
    """A command that fails says why and leaves the process as it was; so does the case."""
    case = Case(READY, "psycopg")
    with Peers([READY, PEER], ["psycopg"], here=True) as peers:
        assert peers.cases == [case]
        with peers.process(case, {"PATH": ""}) as ask:
            for _ in range(2):
                with pytest.raises(FailedError, match="KeyError: 'nothing'"):
                    ask("open", "one", {"way": "nothing", "url": "sqlite://", "is_async": False})

        def run(each: Case, _name: str) -> parts.Row:
            raise FailedError(f"{each} is broken")

        assert in_rounds(peers, [(case, ONE)], run, Effort(2, 60.0)) == {}
        assert peers.cases == []
        assert peers.failed == {str(case): f"{case} is broken"}


def test_rounds_end_when_the_time_is_up() -> None:
    """There is one, however little time there is, and no more than there are to be."""
    with Peers([READY], ["psycopg"], here=True) as peers:
        keys = [(case, name) for case in peers.cases for name in (ONE, BUNDLE)]
        for effort, rounds in ((Effort(3, 60.0), 3), (Effort(3, 0.0), 1)):
            found = in_rounds(peers, keys, lambda case, name: f"{case}, {name}", effort)
            assert found == {key: [f"{key[0]}, {key[1]}"] * rounds for key in keys}


def test_a_peer_imports_the_benchmarks_and_nothing_else_of_the_checkout() -> None:
    """Its own package of the same name must not be hidden by this project's."""
    code = (
        "import benchmarks.peers.probe, importlib.util, sys;"
        "print('sqlalchemy_rds_iam' in sys.modules, '' in sys.path)"
    )
    with environments.importable(Environment(Path(sys.executable), {})) as python:
        assert python.directory is not None
        assert [each.name for each in python.directory.iterdir()] == ["benchmarks"]
        done = subprocess.run(
            [python.executable, "-c", code],
            cwd=python.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.stdout == "False True\n", done.stderr


def test_another_python_runs_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the directory that it imports from, wherever this process is."""
    monkeypatch.chdir(tmp_path)
    with (
        environments.importable(Environment(Path(sys.executable), {})) as python,
        CommandProcess("benchmarks.peers.probe", name="a peer", environ={}, python=python) as peer,
    ):
        assert peer.ask("connect", "none", 1) == {"error": "KeyError: 'none'"}


def cost(way: str, ms: float, name: str = ONE, times: Any = None) -> parts.Row:
    """A row of the costs."""
    row = {"driver": "psycopg", "way": way, "ca_file": name, "ms": ms}
    return row | {"low_ms": ms - 0.1, "high_ms": ms + 0.1, "times": times}


def costs(plugin: float, bundle: float) -> list[parts.Row]:
    """A table of costs: of the plugin with one CA in ready tokens, and with the bundle in ms."""
    null = spread.Interval(0.95, 1.0, 1.05)
    times = spread.Interval(plugin - 0.01, plugin, plugin + 0.01)
    return [
        *(cost(READY, 2.0), cost(AGAIN, 2.0, ONE, null), cost(PLUGIN, 2 * plugin, ONE, times)),
        *(cost(READY, 6.0, BUNDLE), cost(AGAIN, 6.0, BUNDLE, null)),
        *(cost(PASSWORD, 1.0, BUNDLE, null), cost(PEER, 6.5, BUNDLE, null)),
        cost(PLUGIN, bundle, BUNDLE, null),
    ]


@pytest.mark.parametrize(
    ("plugin", "bundle", "expected"),
    [
        (1.0, 2.2, [spread.KEPT, spread.KEPT]),
        (1.12, 6.4, [spread.WITHIN_NOISE, spread.WITHIN_NOISE]),
        (1.2, 7.0, [spread.MISSED, spread.MISSED]),
    ],
)
def test_verdicts_claim_no_less_than_the_spread(
    plugin: float, bundle: float, expected: list[str]
) -> None:
    """The same engine twice differs by 5 % here, so less is neither kept nor missed."""
    found = tables.verdicts({"cost": costs(plugin, bundle)})
    assert list(found.values()) == expected
    assert tables.met(found) == (spread.MISSED not in expected)


def test_a_storm_that_loses_some_has_no_time() -> None:
    """Lost connects are told, and drawn; "times ideal" is that of ways that lose none."""
    row = {"driver": "psycopg", "wanted": 240, "refused": 3, "seconds": 6.3}
    rows = [
        row | {"way": PLUGIN, "let_in": 240, "lost": 0, "times_ideal": 1.05},
        row | {"way": PEER, "let_in": 40, "lost": 200, "times_ideal": None},
    ]
    results: dict[str, Any] = {"storm": rows, "ceiling": 40, "asked_ceiling": 40}
    results |= {"emulator_maximum": 200.0, "versions": {}, "failed": {}}
    results["verdicts"] = tables.verdicts(results)
    assert results["verdicts"] == {"psycopg in the storm: none lost": spread.KEPT}
    found = tables.text(results)
    line = next(line for line in found.splitlines() if PEER in line)
    assert line.rstrip(" |").endswith("-")
    assert "peers 83% to 83%" in tables.headline(results)
    chart = tables.pictures(json.loads(json.dumps(results)))["peers-storm"]
    assert "200 lost" in chart


def test_texts_are_those_of_saved_results() -> None:
    """What was saved as JSON makes the same table and the same chart."""
    results = {"cost": costs(1.0, 2.2), "versions": {}, "failed": {}}
    results["verdicts"] = tables.verdicts(results)  # type: ignore[assignment]
    saved = json.loads(json.dumps(results))
    assert tables.text(saved) == tables.text(results)
    assert tables.pictures(saved) == tables.pictures(results)
    assert "0.34 of the best peer's CPU" in tables.headline(saved)
    assert "1.00 (0.95-1.05)" in tables.text(saved)
