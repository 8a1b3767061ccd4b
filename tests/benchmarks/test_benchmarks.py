"""The benchmarks run, say what they found, and exit as they promise."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from charts_support import check_svg

from benchmarks.lib import emulated, failovers, measure, vega
from benchmarks.suite import everything, fleet, rollover, storm
from sqlalchemy_rds_iam.testing import RdsEmulator

needs_charts = pytest.mark.skipif(find_spec("vl_convert") is None, reason="needs the extra docs")

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "benchmarks/suite"
NAMES = (
    *("cold_start", "connect_cost", "connect_rate", "failover", "fleet", "listener", "loop_stall"),
    *("network", "peers", "rollover", "scale", "simulation", "storm"),
)


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a benchmark as its users do."""
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.suite.{name}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture
def asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[Any, str, str]]:
    """What a benchmark that ends before it measures says in this process, and its exit code."""

    def ask(name: str, *arguments: str) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        with pytest.raises(SystemExit) as ended:
            measure.run(importlib.import_module(f"benchmarks.suite.{name}").main)
        return ended.value.code, *capsys.readouterr()

    return ask


def test_all_of_them() -> None:
    """One command runs every benchmark there is, in full and in a hurry."""
    with_targets = {
        file.stem
        for file in SUITE.glob("*.py")
        if re.search(r"measure\.(report|finish)\(", file.read_text())
    }
    known = everything.CORE | everything.LONG
    assert set(known) == set(everything.NAMES)
    assert set(known) == set(everything.QUICK) == with_targets == set(NAMES)


@pytest.mark.parametrize("name", [*NAMES, "everything"])
def test_help(name: str, asked: Callable[..., tuple[Any, str, str]]) -> None:
    """--help says what is measured, and what the exit codes mean."""
    code, out, _ = asked(name, "--help")
    assert code == 0
    assert "Exit codes: 0 all targets met" in out
    assert len(out) > 500


@pytest.mark.parametrize("name", NAMES)
def test_quick_run(name: str, tmp_path: Path) -> None:
    """JSON on standard output, progress on standard error, the same saved, charts, exit code."""
    quick = shlex.split(everything.QUICK[name])
    done = run(name, *quick, "--json", "--save", str(tmp_path))
    assert done.returncode in {0, 1}, done.stderr
    results = json.loads(done.stdout)
    assert results["benchmark"] == name
    assert results["results"]
    assert results["facts"]["cpus"] == os.cpu_count()
    assert done.returncode == (0 if results["within_target"] else 1)
    assert done.stderr
    assert json.loads((tmp_path / f"{name}.json").read_text()) == results
    assert "| " in (tmp_path / f"{name}.md").read_text()
    charts = list(tmp_path.glob("*.svg"))
    assert bool(charts) == (find_spec("vl_convert") is not None)
    for chart in charts:
        check_svg(chart.read_text())
    if "emulator_maximum" in results:
        assert results["emulator_maximum"] > 0
    assert str(Path.home()) not in done.stdout


def test_table() -> None:
    """Without --json there is a table, and the target in words."""
    done = run("scale", *shlex.split("--rounds 1 --endpoints 1 --endpoints 5"))
    assert "| endpoints |" in done.stdout
    assert ("kept" in done.stdout) == (done.returncode == 0)


def test_everything(tmp_path: Path) -> None:
    """All are run by one command, which sums up and exits with the worst of their codes."""
    some = "--only", "listener", "--only", "simulation"
    done = run("everything", "--quick", *some, "--save", str(tmp_path))
    names = "listener", "simulation"
    results = [json.loads((tmp_path / f"{name}.json").read_text()) for name in names]
    assert done.returncode == (0 if all(each["within_target"] for each in results) else 1)
    for name in names:
        assert re.search(rf"\| {name} +\| (all targets met|a target MISSED) +\|", done.stdout)
    assert "simulation, 2 of 2" in done.stderr


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("storm", ["--connects", "0"], "expected a whole number"),
        ("storm", ["--way", "magic"], "invalid choice"),
        ("connect_rate", ["--ceiling", "201"], "--exceed-ceiling"),
        ("connect_rate", ["--seconds", "-1"], "expected a number above 0"),
        ("connect_rate", ["--url", "postgresql://app:secret@db/app"], "leave out the password"),
        ("connect_rate", ["--url", "nonsense"], "--url"),
        ("everything", ["--only", "magic"], "invalid choice"),
        ("failover", ["--lag", "61"], "expected 0 to 60 seconds"),
        ("failover", ["--kind", "burnt"], "invalid choice"),
        ("fleet", ["--processes", "0"], "expected a whole number"),
        ("rollover", ["--latency", "5"], "the credentials end"),
        ("rollover", ["--rounds", "many"], "--rounds"),
    ],
)
def test_wrong_usage(
    name: str, arguments: list[str], words: str, asked: Callable[..., tuple[Any, str, str]]
) -> None:
    """What makes no sense is refused with exit code 2 and a sentence, before anything runs."""
    code, out, error = asked(name, *arguments)
    assert (code, out) == (2, "")
    assert words in error
    assert "Traceback" not in error


@pytest.fixture
def database(rds: RdsEmulator) -> str:
    """A database that is not the benchmark's own, by its URL."""
    return rds.url("postgresql+psycopg").render_as_string()


TWO_WAYS = shlex.split("--rounds 1 --seconds 0.5 --concurrency 4 --driver psycopg --json")


@pytest.mark.timing
def test_a_database_by_its_url(rds: RdsEmulator, database: str) -> None:
    """Both ways connect to the database given, and neither exceeds the ceiling."""
    done = run("connect_rate", "--url", database, "--ceiling", "30", *TWO_WAYS)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["emulator_maximum"] is None
    assert {row["way"] for row in results["results"]} == {"static", "plugin"}
    times = sorted(decision.time for decision in rds.decisions)
    assert len(times) > 4
    # One more is the first connect of a process, which comes before those that are counted; four
    # may be on their way for as long as a busy machine likes.
    assert max(sum(t <= each < t + 1 for each in times) for t in times) <= 31 + 4


def test_a_missed_target(rds: RdsEmulator, database: str) -> None:
    """What is lost with the plugin is a target missed: exit code 1."""
    rds.gateway.ceiling = 1
    try:
        # The emulator's URL says rds_iam_throttle_retry=off.
        done = run("connect_rate", "--url", database, "--ceiling", "100", *TWO_WAYS)
    finally:
        rds.gateway.ceiling = None
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["within_target"] is False


def test_no_result(rds: RdsEmulator) -> None:
    """Where there is nothing to measure, that is no missed target: exit code 2 and the reason."""
    stranger = rds.url(user="stranger").render_as_string()
    done = run("connect_rate", "--url", stranger, *TWO_WAYS)
    assert done.returncode == 2
    assert "authentication failed" in done.stderr
    assert "X-Amz-Signature" not in done.stderr


def test_a_connect_belongs_to_the_rollover_or_not() -> None:
    """Connects are judged by when they began, and lost ones have no time."""
    connects = [(1.0, 0.01, True), (5.0, 2.0, True), (5.5, 9.0, False), (7.5, 0.02, True)]
    run_ = {"window": (5.0, 6.5), "connects": connects, "errors": {}}
    row = rollover._summary("psycopg plugin", [run_])
    assert row["steady_max_ms"] == pytest.approx(20)
    assert row["rollover_max_ms"] == pytest.approx(2000)
    assert row["lost"] == 1


def test_what_a_storm_must_keep() -> None:
    """Lost, refused or late misses the target; at half the ceiling only lost does."""
    misses = storm._misses
    good = {"way": "plugin", "lost": 0, "refused": 0, "times_ideal": 1.05}
    assert not misses(good)
    for worse in ({"lost": 1}, {"refused": 1}, {"times_ideal": 1.06}):
        assert misses(good | worse)
        assert misses(good | worse | {"way": "half"}) == ("lost" in worse)
        assert not misses(good | worse | {"way": "boto3-recipe"})


def test_what_a_fleet_must_keep() -> None:
    """With a store: none lost, nearly none refused, 95 % used; without: none lost, 80 %."""
    misses = fleet.misses
    good = {"way": "shared store", "lost": 0, "refused": 0.0009, "used": 0.95}
    without = good | {"way": "congestion control", "refused": 0.5, "used": 0.80}
    killed = without | {"way": "store killed", "used": 0.1}
    assert not any(map(misses, (good, without, killed)))
    assert all(misses(row | {"lost": 1}) for row in (good, without, killed))
    assert misses(good | {"refused": 0.001})
    assert misses(good | {"used": 0.949})
    assert misses(without | {"used": 0.79})
    assert not misses(without | {"way": "nothing", "lost": 9})
    deployed = {"way": "patient deployment", "lost": 10, "wanted": 2000, "refused": 2, "used": 0.7}
    assert not misses(deployed)
    assert misses(deployed | {"lost": 11})
    assert not misses(deployed | {"way": "deployment", "lost": 600})


def _failover(**more: Any) -> dict[str, Any]:
    """A failover of two workers, each with a write before it, and another after it."""
    done = [(0, 1, 9.0), (1, 2, 9.5), (0, 3, 12.4), (1, 4, 12.8)]
    times = {"began": 8.0, "fault_at": 10.0, "moved_at": 12.0, "ended": 16.0}
    run_ = {"driver": "psycopg", "way": "plugin", "kind": "killed", "lag": 2.0, "workers": 2}
    run_ |= {"done": done, "failed": [], "rows": [1, 2, 3, 4], "logins_at_old": 0, "stuck": 0}
    return run_ | times | more


def test_what_a_failover_must_keep() -> None:
    """With the plugin: none lost, one error for a worker at the most, the first writes in time."""

    def row(**more: Any) -> dict[str, Any]:
        [found] = failovers.summaries({"": [_failover(**more)]})
        return found

    good = row()
    assert not good["misses"]
    assert (good["before"], good["during"], good["lost"]) == (1.0, 0.0, 0)
    assert good["first_median_s"] == pytest.approx(0.4)
    assert good["every_median_s"] == pytest.approx(0.6)
    assert row(rows=[1, 3, 4])["lost"] == 1
    once = (0, 10.5, "cannot execute INSERT in a read-only transaction", True, True)
    assert row(failed=[once])["misdirected"] == 1
    assert not row(failed=[once])["misses"]
    late = [(0, 1, 9.0), (1, 2, 9.5), (0, 3, 13.1), (1, 4, 13.2)]
    for worse in ({"rows": [1, 2, 3]}, {"failed": [once, once]}, {"done": late}, {"stuck": 1}):
        assert row(**worse)["misses"], worse
        assert not row(**worse, way="any")["misses"]
    never = row(done=[(0, 1, 9.0), (1, 2, 9.5)])
    assert never["misses"]
    assert never["first_median_s"] is None


@needs_charts
def test_the_chart_of_a_failover_says_what_came_of_it() -> None:
    """Its title says when each way has written again, and it holds whatever there was."""
    runs = {
        way: [_failover(way=way, kind="left read-only", done=done)]
        for way, done in (("plugin", _failover()["done"]), ("any", [(0, 1, 9.5)]))
    }
    results = {"curve": failovers.curve(runs), "results": failovers.summaries(runs)}
    [(name, chart)] = failovers.pictures(json.loads(json.dumps(results))).items()
    assert name == "failover"
    title = check_svg(vega.draw(chart)).findtext("{http://www.w3.org/2000/svg}title") or ""
    assert title.startswith(
        "No write is lost in a failover with the plugin; with psycopg, the name"
    )
    assert "again after 0.4 s (plugin), never (any)" in title


def test_half_of_what_the_emulator_can_do() -> None:
    """The ceiling is the one asked for, or half of the emulator's maximum; the head says which."""
    assert [emulated.ceiling(200, maximum) for maximum in (399.9, 400.0, 950.0, 1.0)] == [
        *(199, 200, 200, 2)
    ]
    results = {"ceiling": 200, "asked_ceiling": 200, "emulator_maximum": 950.0}
    assert "half" not in emulated.limits(results)
    lowered = emulated.limits(results | {"ceiling": 199, "emulator_maximum": 399.9})
    assert "199, half of that instead of the 200 asked for" in lowered
