"""What runs in a forked process: the tests of a room, in a copy of the checkout."""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import Phase, settings

from mutants.rooms import ROOT, Room

PASSED, FAILED, NOT_IMPORTED = 0, 1, 77
"""Exit codes, the first two pytest's."""

_MEMORY = 4 << 30

_OPTIONS = (
    *("-x", "-q", "-m", "unit", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0"),
    # The deadline is the runner's; and it imports plugins before pytest can rewrite them.
    *("-o", "timeout=0", "-W", "ignore::pytest.PytestAssertRewriteWarning"),
)


class Order:
    """A plugin that runs the tests in a given order, and writes down what they took.

    Args:
        durations: seconds that each test took; the shortest is run first.
    """

    def __init__(self, durations: dict[str, float]) -> None:
        self.durations = durations
        self.took: dict[str, float] = {}

    def pytest_sessionstart(self) -> None:
        """Let hypothesis neither remember nor shrink what it finds: one failure is enough."""
        settings.register_profile(
            "mutants",
            settings.get_profile("unhurried"),
            database=None,
            max_examples=50,
            phases=(Phase.explicit, Phase.generate),
        )
        settings.load_profile("mutants")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put the quickest first."""
        items.sort(key=lambda item: self.durations.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write down what a test took."""
        self.took[report.nodeid] = self.took.get(report.nodeid, 0.0) + report.duration


def run(copy: Path, room: Room, module: str, durations: dict[str, float], cpu: int) -> NoReturn:
    """Run the tests of `room`, and exit with what has come of it.

    Args:
        copy: the root of the copy.
        room: whose tests.
        module: the module that is changed.
        durations: see `Order`.
        cpu: seconds of processor time that this may take.
    """
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    output = os.open(copy / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(copy)
    sys.path[:] = [str(copy), *(path for path in sys.path if not _is_checkout(path))]
    os.environ["PYTHONPATH"] = str(copy)
    code: Any = NOT_IMPORTED
    try:
        importlib.import_module(module)
        order = Order(durations)
        code = pytest.main(
            [*_OPTIONS, *(f"tests/{name}" for name in room.tests)],
            plugins=[order],
        )
        if not durations:
            _write_down(copy, order)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(code))


def _is_checkout(path: str) -> bool:
    return Path(path).resolve() in {ROOT, ROOT / "tests"}


def _write_down(copy: Path, order: Order) -> None:
    """Say what the tests took, and which modules of others they have imported."""
    modules = [
        name
        for name, module in sys.modules.items()
        if not str(getattr(module, "__file__", None) or "").startswith(str(copy))
        and not name.startswith(("sqlalchemy_rds_iam", "__"))
    ]
    (copy / "baseline.json").write_text(json.dumps({"took": order.took, "modules": modules}))
