"""Pasting a fix: what its lines do to the ward, each where a person would paste it.

SQL runs on the database, a shell command in a shell, a variable in the environment, a URL in place
of the other one. There is no AWS and no machine to change behind the shell: commands that would
change them are stubs there, which only say that they ran, and the ward knows what they do.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from cli_support import MAIN
from doctor_support import Ward
from patience import DEADLINE

from sqlalchemy_rds_iam.doctor.findings import Command, Finding, Kind
from sqlalchemy_rds_iam.testing.database.users import ServerError

_STUBS = ("aws", "curl", "pip", "chronyc", "sudo")
_ROOT = Path(__file__).parents[2]


def paste(ward: Ward, finding: Finding) -> list[str]:
    """Paste every line of a finding that changes something; the lines.

    Of several URLs the first is taken, as a person would.
    """
    pasted = []
    for command in _chosen(ward, finding.commands):
        text = command.text
        for name, value in ward.known.items():
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", value, text)
        _PLACES[command.kind](ward, text)
        pasted.append(text)
    return pasted


def _chosen(ward: Ward, commands: Iterable[Command]) -> list[Command]:
    chosen: list[Command] = []
    for command in commands:
        if command.kind is Kind.OPTION and not _is_known(ward, command.text):
            continue
        second = command.kind is Kind.URL and any(each.kind is Kind.URL for each in chosen)
        if command.kind in _PLACES and not second:
            chosen.append(command)
    return chosen


def _is_known(ward: Ward, text: str) -> bool:
    given = text.startswith("plugins=") or text.endswith("=None")
    return given or any(name in text for name in ward.known)


def _url(ward: Ward, text: str) -> None:
    ward.url = text


def _sql(ward: Ward, text: str) -> None:
    # As psql does, which goes on after a statement that fails.
    with contextlib.suppress(ServerError):
        ward.rds.execute(text)


def _option(ward: Ward, text: str) -> None:
    name, _, value = text.partition("=")
    if name == "plugins":
        ward.keywords[name] = json.loads(value.replace("'", '"'))
    else:
        ward.keywords[name] = None if value == "None" else value


def _environment(ward: Ward, text: str) -> None:
    done = _run(ward, f"{text}\nenv -0")
    after = dict(pair.split("=", 1) for pair in done.stdout.split("\0") if "=" in pair)
    for name in {*os.environ, *after}:
        if not re.match(r"(AWS|PG|MYSQL|MARIADB|LIBMYSQL|RDS|NO_PROXY|no_proxy)", name):
            continue
        if name in after:
            ward.patch.setenv(name, after[name])
        else:
            ward.patch.delenv(name)


def _shell(ward: Ward, text: str) -> None:
    log = ward.directory / "ran"
    log.write_text("")
    _run(ward, text)
    for line in log.read_text().splitlines():
        words = json.loads(line)
        for pattern, effect in ward.effects.items():
            if re.search(pattern, shlex.join(words)):
                effect()
        _attach(ward, words)


_PLACES = {
    Kind.URL: _url,
    Kind.SQL: _sql,
    Kind.OPTION: _option,
    Kind.ENVIRONMENT: _environment,
    Kind.SHELL: _shell,
}
"""A policy is pasted by the command beside it; what only shows something changes nothing."""


def _attach(ward: Ward, words: list[str]) -> None:
    """``aws iam put-…-policy``: what the document allows, the principal may."""
    if words[:2] != ["aws", "iam"] or "--policy-document" not in words:
        return
    option = dict(itertools.pairwise(words))
    [(kind, name)] = [
        (kind, option[f"--{kind}-name"]) for kind in ("user", "role") if f"--{kind}-name" in option
    ]
    document = json.loads(option["--policy-document"])
    resources = [statement["Resource"] for statement in document["Statement"]]
    users = {str(resource).rpartition("/")[2] for resource in resources}
    for arn, principal in ward.rds.identities._principals.items():
        if arn.endswith(f":{kind}/{name}"):
            principal.db_users = frozenset({*(principal.db_users or ()), *users})


def _run(ward: Ward, text: str) -> subprocess.CompletedProcess[str]:
    stubs = ward.directory / "stubs"
    stubs.mkdir(exist_ok=True)
    script = (
        f"#!{sys.executable}\nimport json, pathlib, sys\n"
        f"name = pathlib.Path(sys.argv[0]).name\n"
        f"with open({str(ward.directory / 'ran')!r}, 'a') as log:\n"
        "    print(json.dumps([name, *sys.argv[1:]]), file=log)\n"
    )
    for name in _STUBS:
        (stubs / name).write_text(script)
        (stubs / name).chmod(0o755)
    command = stubs / "rds-iam"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{MAIN}" "$@"\n')
    command.chmod(0o755)
    environ = {**os.environ, "PATH": f"{stubs}:{os.environ['PATH']}", "PYTHONPATH": str(_ROOT)}
    return subprocess.run(
        ["sh", "-c", text],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        env=environ,
    )
