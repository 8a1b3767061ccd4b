"""The shape of the package: public names, one-way imports, and what a start-up may cost."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from types import ModuleType

import pytest
from architecture import FILES, ORDER, PACKAGE, PICTURE, dotted, imported, picture, room
from patience import DEADLINE

import sqlalchemy_rds_iam

MAP = (PACKAGE.parent / "docs/architecture.md").read_text("utf-8")


def test_public_names() -> None:
    """What users import is decided here, not by accident."""
    assert sorted(sqlalchemy_rds_iam.__all__) == [
        "AsyncEnginePair",
        "AsyncRoutingSession",
        "ConfigError",
        "CredentialsError",
        "Endpoint",
        "EndpointStats",
        "EnginePair",
        "Event",
        "Identity",
        "OutageStats",
        "RdsIamError",
        "RoutingError",
        "RoutingSession",
        "SecretError",
        "Stats",
        "WaitTimeout",
        "WrongServerError",
        "__version__",
        "async_engine_pair",
        "async_token",
        "engine_pair",
        "rds_iam_stats",
        "token",
    ]
    for name in sqlalchemy_rds_iam.__all__:
        assert getattr(sqlalchemy_rds_iam, name).__class__ is not ModuleType
    assert set(sqlalchemy_rds_iam.__all__) <= set(dir(sqlalchemy_rds_iam))
    with pytest.raises(AttributeError, match="engine_pairs"):
        sqlalchemy_rds_iam.engine_pairs  # type: ignore[attr-defined]  # noqa: B018


def test_every_file_is_looked_at() -> None:
    """The tests of this module, and others that read the code, would pass on no files at all."""
    assert len(FILES) > 150
    assert {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES} == {
        "__init__",
        *ORDER,
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_one_way(file: Path) -> None:
    """A folder imports only folders before it in the order of the design."""
    found, here = imported(file), room(dotted(file))
    if here == "__init__":
        assert {room(name) for name in found} == {
            *("errors", "events", "stats"),
            *("_endpoints", "_owners", "_passwords", "_routing", "_token"),
        }
        return
    before = {here, *ORDER[: ORDER.index(here)]}
    assert {name for name in found if room(name) not in before} == set()


@pytest.mark.parametrize("folder", [name for name in ORDER if (PACKAGE / name).is_dir()])
def test_no_circle_in_a_folder(folder: str) -> None:
    """The files of a folder can be put in an order, too."""
    files = {dotted(file): imported(file) for file in (PACKAGE / folder).rglob("*.py")}
    inside = {
        name: {each for each in files if each in found and each != name}
        for name, found in files.items()
    }
    TopologicalSorter(inside).prepare()


@pytest.mark.parametrize("folder", [name for name in ORDER if (PACKAGE / name).is_dir()])
def test_the_map_says_what_folders_say(folder: str) -> None:
    """Each folder says in a sentence what is in it, and so does the map for contributors."""
    documented = ast.get_docstring(ast.parse((PACKAGE / folder / "__init__.py").read_text()))
    assert documented
    sentence = " ".join(documented.partition("\n\n")[0].split())
    assert f"| `{folder}/` | {sentence} |" in MAP


def test_the_picture_is_what_the_imports_say() -> None:
    """The picture of the imports is drawn from them, so that it cannot lie."""
    found = PICTURE.read_text("utf-8")
    assert found == picture(), "draw it anew: .venv/bin/python tests/package/architecture.py"
    assert 'class="wrong"' not in found


def test_the_verifier_shares_nothing_with_the_signer() -> None:
    """The emulator's judgement of a token owes nothing to the code that signs, nor to botocore."""
    for path in (PACKAGE / "testing").rglob("*.py"):
        if path.stem in {"verifier", "aws_sigv4"}:
            source = path.read_text()
            for foreign in (
                "botocore",
                "sqlalchemy_rds_iam._aws.sigv4",
                "sqlalchemy_rds_iam._passwords.cache",
            ):
                assert f"import {foreign}" not in source
                assert f"from {foreign}" not in source


def test_create_engine_imports_no_botocore(ca: str) -> None:
    """Importing the package and making sync and async engines leaves botocore alone."""
    url = "app@db.abc123.us-east-1.rds.amazonaws.com/app?plugin=rds_iam"
    _python(
        "import sys, sqlalchemy_rds_iam\n"
        "from sqlalchemy import create_engine\n"
        "from sqlalchemy.ext.asyncio import create_async_engine\n"
        f"create_engine('postgresql+psycopg://{url}')\n"
        f"create_async_engine('postgresql+asyncpg://{url}')\n"
        "found = [m for m in sys.modules if m.partition('.')[0] in ('botocore', 'aiobotocore')]\n"
        "assert not found, found"
    )


_OF_MYSQL = ["_databases.mysql_errors", "_databases.mysql_dialing", "_databases.mysql_tls"]
_FOR_FAILOVERS = ["_connecting.failover", "_connecting.session_guard", "_failover.server_search"]


@pytest.mark.parametrize(
    ("drivername", "option", "spared"),
    [
        ("postgresql+psycopg", "", [*_OF_MYSQL, *_FOR_FAILOVERS]),
        ("mysql+pymysql", "", ["_databases.postgresql", *_FOR_FAILOVERS]),
        (
            "postgresql+psycopg",
            "&rds_iam_target_session_attrs=read-write",
            [*_OF_MYSQL, "_secretsmanager", "_aws.container_agent"],
        ),
    ],
)
def test_an_engine_loads_what_it_needs(
    ca: str, drivername: str, option: str, spared: list[str]
) -> None:
    """Not the other family of databases, nor, without such a wish, what failovers take."""
    pytest.importorskip(drivername.partition("+")[2])
    _python(
        "import sys\n"
        "from sqlalchemy import create_engine\n"
        f"create_engine('{drivername}://app@db.abc123.us-east-1.rds.amazonaws.com/app'\n"
        f"              '?plugin=rds_iam&rds_iam_ca={ca}{option}')\n"
        f"spared = tuple('sqlalchemy_rds_iam.' + name for name in {spared})\n"
        "found = [name for name in sys.modules if name.startswith(spared)]\n"
        "assert not found, found\n"
    )


def test_importing_the_package_is_cheap() -> None:
    """The names of pairs and sessions cost nothing, and ask for no ORM, until they are used."""
    _python(
        "import sys, sqlalchemy_rds_iam\n"
        "found = {'sqlalchemy.orm', 'sqlalchemy.ext.asyncio', 'sqlalchemy_rds_iam.plugin',\n"
        "         'sqlalchemy_rds_iam._routing'} & set(sys.modules)\n"
        "assert not found, found"
    )


def test_pairs_and_sessions_without_greenlet(ca: str) -> None:
    """Sync pairs and sessions need no greenlet; async ones say that they do."""
    url = "app@db.abc123.us-east-1.rds.amazonaws.com/app?plugin=rds_iam"
    _python(
        "import sys; sys.modules['greenlet'] = None\n"
        "from sqlalchemy_rds_iam import RoutingSession, async_engine_pair, engine_pair\n"
        f"RoutingSession(pair=engine_pair('postgresql+psycopg://{url}'))\n"
        "try:\n"
        f"    async_engine_pair('postgresql+asyncpg://{url}')\n"
        "except Exception as error:\n"
        "    assert 'greenlet' in str(error), error\n"
        "else:\n"
        "    raise SystemExit('no error')"
    )


def test_greenlet_missing(ca: str) -> None:
    """An async engine without greenlet is refused with what to install; a sync one works."""
    url = "app@db.abc123.us-east-1.rds.amazonaws.com/app?plugin=rds_iam"
    _python(
        "import sys; sys.modules['greenlet'] = None\n"
        "from sqlalchemy import create_engine\n"
        f"create_engine('postgresql+psycopg://{url}')\n"
        "try:\n"
        "    from sqlalchemy.ext.asyncio import create_async_engine\n"
        f"    create_async_engine('postgresql+asyncpg://{url}')\n"
        "except Exception as error:\n"
        "    assert 'greenlet' in str(error), error\n"
        "else:\n"
        "    raise SystemExit('no error')"
    )


def _python(code: str) -> None:
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr


def _forbidden() -> list[str]:
    """The words that the architecture page says are not used any more."""
    [said] = re.findall(r"not used any more; a test looks for them:\n(.*?)\.\n", MAP, re.DOTALL)
    return [word.strip("` ") for word in said.replace("\n", " ").split(", ")]


@pytest.mark.parametrize("word", _forbidden())
def test_words_of_our_own_are_gone(word: str) -> None:
    """What once stood for a standard term is nowhere: not in code, tests, benchmarks or pages.

    A class as it is written, and any other word as a part of a name, too.
    """
    root = PACKAGE.parent
    folders = (PACKAGE, root / "tests", root / "benchmarks", root / "docs")
    files = [path for folder in folders for path in folder.rglob("*.*")] + [root / "README.md"]
    files = [path for path in files if path.suffix in {".py", ".md"}]
    assert len(files) > 400
    flags = re.NOFLAG if word[0].isupper() else re.IGNORECASE
    pattern = re.compile(rf"(?<![A-Za-z]){word}(?![a-z])", flags)
    found = [
        f"{path.relative_to(root)}: {line.strip()}"
        for path in files
        for line in path.read_text("utf-8").splitlines()
        if pattern.search(line) and not any(fine in line for fine in _FINE)
    ]
    listed = [line for line in found if line.startswith("docs/architecture.md")]
    assert len(listed) == 1, found
    assert found == listed


# A system user, what AWS and others say, and a connector of another product.
_FINE = (
    "``nobody``",
    '("postgres", "nobody")',
    "postgres or nobody",
    "Supply chain",
    "SQL Connector",
    "Connector/",
)
