"""The examples' world: it leads every connection to what was signed, and a bad document fails."""

from __future__ import annotations

from typing import Any

import pytest
from docs_support import Block, Document, command_faults, faults
from docs_world import World
from families import words_of
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError, OperationalError
from worlds import POSTGRESQL, WORLDS

from sqlalchemy_rds_iam.testing import SignedEndpoint

WRITER = "mydb.cluster-abc123.eu-central-1.rds.amazonaws.com"
READER = "mydb.cluster-ro-abc123.eu-central-1.rds.amazonaws.com"
PROXY = "myproxy.proxy-abc123.eu-west-1.rds.amazonaws.com"
GLOBAL = "mydb.global-abc123.global.rds.amazonaws.com"
LED = (*POSTGRESQL, "pymysql", "asyncmy", "aiomysql", "pymysql-mariadb")
"""Those whose connections can be led elsewhere: the others look names up by themselves."""


def document(*blocks: tuple[str, str]) -> Document:
    """A document of blocks, each a language and a text."""
    return Document("x.md", "\n\n".join(f"```{name}\n{text}\n```" for name, text in blocks))


def engine(url: str, *, is_async: bool = False, **keywords: Any) -> tuple[str, str]:
    """A block that makes an engine and leaves it there."""
    module, name = (
        ("sqlalchemy.ext.asyncio", "create_async_engine")
        if is_async
        else ("sqlalchemy", "create_engine")
    )
    return "python", f"from {module} import {name}\nengine = {name}({url!r}, **{keywords!r})"


@pytest.mark.parametrize("name", LED)
def test_every_driver(name: str, documented: World) -> None:
    """Each driver reaches the endpoint it names, straight, by proxy or through a tunnel."""
    drivername, is_async = WORLDS[name]
    port = words_of(drivername).port
    signed = f"&rds_iam_host={WRITER}"
    urls = [
        f"{drivername}://{name}@{WRITER}/app?plugin=rds_iam",
        f"{drivername}://{name}@{READER}:6000/app?plugin=rds_iam",
        f"{drivername}://{name}@{PROXY}/app?plugin=rds_iam",
        f"{drivername}://{name}@{GLOBAL}/app?plugin=rds_iam&rds_iam_region=us-east-2",
        f"{drivername}://{name}@localhost:15432/app?plugin=rds_iam{signed}&rds_iam_port={port}",
        f"{drivername}://{name}@db.example.com/app?plugin=rds_iam{signed}",
    ]
    assert documented.run(document(*(engine(url, is_async=is_async) for url in urls))) == 6
    assert [(each.db_user, each.granted) for each in documented.logins] == [(name, True)] * 6
    found = {(each.host, each.port, each.region) for each in documented.endpoints}
    assert found == {
        (WRITER, port, "eu-central-1"),
        (READER, 6000, "eu-central-1"),
        (PROXY, port, "eu-west-1"),
        (GLOBAL, port, "us-east-2"),
    }


def test_a_block_uses_its_engine(documented: World) -> None:
    """An engine that the block connects through itself is not connected through again."""
    url = f"postgresql+psycopg://app@{WRITER}/app?plugin=rds_iam"
    kind, text = engine(url, poolclass=None)
    documented.run(document((kind, f"{text}\nwith engine.connect():\n    pass")))
    assert len(documented.logins) == 1


def test_pairs(documented: World) -> None:
    """A pair of engines that a block leaves behind is tried out, both of them."""
    _, text = engine(f"postgresql+psycopg://app@{WRITER}/app?plugin=rds_iam")
    pair = "import types\npair = types.SimpleNamespace(writer=engine, reader=engine)\ndel engine"
    documented.run(document(("python", f"{text}\n{pair}")))
    assert len(documented.logins) == 1


def test_ini(documented: World) -> None:
    """Each URL of an ini file becomes an engine, with the options beside it."""
    url = f"postgresql+psycopg://my%20app@{WRITER}/app?plugin=rds_iam"
    headless = f"sqlalchemy.url = {url}\nsqlalchemy.rds_iam_timeout = 10"
    alembic = f"[alembic]\nsqlalchemy.url = {url.replace('%', '%%')}"
    pair = f"[database]\nwriter.url = {url}\nreader.url = {url.replace(WRITER, READER)}"
    assert documented.run(document(("ini", headless), ("ini", alembic), ("ini", pair))) == 3
    assert [each.db_user for each in documented.logins] == ["my app"] * 4


def test_identities(documented: World) -> None:
    """Profiles of the document's own are used; those it only names have the account's key."""
    url = f"postgresql+psycopg://app@{WRITER}/app?plugin=rds_iam&rds_iam_profile="
    role = "arn:aws:iam::123456789012:role/reporting"
    profile = f"[profile reporting]\nrole_arn = {role}\nsource_profile = base"
    documented.run(document(("ini", profile), engine(url + "reporting"), engine(url + "other")))
    assert [each.principal for each in documented.logins] == [
        role,
        "arn:aws:iam::123456789012:user/app",
    ]


def test_environment(documented: World) -> None:
    """A block of env counts for all blocks after it, and what a block sets for none."""
    documented.run(
        document(
            ("env", "# comment\nDB_USER=wiki"),
            ("python", "import os\nassert os.environ.pop('DB_USER') == 'wiki'"),
            ("python", "assert os.environ['DB_USER'] == 'wiki'"),
        )
    )


@pytest.mark.parametrize(
    ("blocks", "kind", "words"),
    [
        ([("python", "pass"), ("python", "1 / 0")], ZeroDivisionError, "division"),
        ([("python", "await x")], SyntaxError, "await"),
        ([("ini", "[x]\ny = 1")], AssertionError, "neither a URL nor AWS profiles"),
        (
            [
                engine(
                    "postgresql+psycopg://app@db.example.com/app?plugin=rds_iam",
                    rds_iam_region="eu-west-1",
                )
            ],
            AssertionError,
            "'db.example.com' gets signed",
        ),
        (
            [engine("postgresql+psycopg://app:x@db.example.com:1/app")],
            OperationalError,
            "connection",
        ),
    ],
)
def test_bad_examples(blocks: Any, kind: Any, words: str, documented: World) -> None:
    """A block that fails, or leaves an engine behind that cannot connect, fails and is named."""
    with pytest.raises(kind, match=words) as caught:
        documented.run(document(*blocks))
    assert "in x.md:" in caught.value.__notes__[-1]


def test_hosts_differ(documented: World) -> None:
    """Hosts are not all the same: a token for the writer is none for the reader."""
    url = f"postgresql+psycopg://app@{WRITER}/app?plugin=rds_iam"
    documented.run(document(engine(url)))
    [gateway] = documented._gateways.values()
    gateway._endpoint = SignedEndpoint(READER, 5432, "eu-central-1")
    with pytest.raises(DBAPIError, match="PAM authentication failed"):
        documented.run(document(engine(url)))


OTHERS = {"docs/a.md": Document("docs/a.md", "# One `two`: three\n## Again\n## Again\n")}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[x](a.md#one-two-three) [y](a.md#again-1) [z](../README.md) [u](https://x.y/z#k)", None),
        ("`[x](nowhere.md)`", None),
        ("```python\n[x](nowhere.md)\n```", None),
        ("[x](nowhere.md)", "there is no docs/nowhere.md"),
        ("[x](a.md#four)", "there is no such heading"),
        ("[x](../LICENSE#four)", "none of the documents"),
        ("```py\n```", "'py' is not run; say 'python'"),
        ("```Python\n```", "say 'python'"),
        ("```sql\n```\n```json\n```\n```\n```\n```env\n```\n```text\n```\n```sh\n```", None),
        ("<!-- not run: why -->\n```python\n```", None),
        ("<!-- not run: why -->\n\n```ini\n```", None),
        ("<!-- not run: -->\n```python\n```", "does not say why"),
        ("<!-- not run: why -->\n```sql\n```", "without a block"),
        ("<!-- not run: why -->\nwords\n```python\n```", "without a block"),
        ("<!-- not run: why -->", "without a block"),
        ("<!-- needs: flask -->\n```python\n```", None),
        ("<!-- needs: flask -->\n```sql\n```", "without a block"),
        ("<!-- needs: flask, flusk -->\n```python\n```", "needs flusk"),
        ("<!-- - [x](nowhere.md): to come -->", None),
    ],
)
def test_faults_of_form(text: str, fault: str | None) -> None:
    """Dead links, loose marks and blocks under another name are found, and nothing else is."""
    found = list(faults(Document("docs/b.md", text), OTHERS))
    assert len(found) == (fault is not None)
    assert fault is None or fault in found[0]


@pytest.mark.parametrize(
    ("needs", "missing"), [("json", set()), ("json, no_such_package", {"no_such_package"})]
)
def test_needs(needs: str, missing: set[str]) -> None:
    """A block runs where all that it needs is there."""
    [block] = Document("x.md", f"<!-- needs: {needs} -->\n```python\n```").blocks
    assert block.missing == missing
    assert block.runs is (not missing)


def test_needs_of_mysql() -> None:
    """A block for MySQL says by its URL which driver it needs."""
    [block] = Document("x.md", "```python\n'mysql+no_such_driver://app@host/app'\n```").blocks
    assert "no_such_driver" in block.missing
    assert not block.runs


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ("make demo   # words", False),
        ("$ make PYTHON=python3.12 test", False),
        ("make coffee", True),
        ("$ make coffee", True),
        ("rds-iam emulator --listen-port 15432", False),
        ("rds-iam emulator --listen-prot=1", True),
        ("rds-iam --version", False),
        ("rds-iam nothing", True),
        ("mkdir x && cmake y", False),
    ],
)
def test_bad_commands(line: str, bad: bool) -> None:
    """Commands that do not exist are found, in blocks and in the prose."""
    for text in (f"```sh\n{line}\n```", f"Say `{line}` to it."):
        found = [
            each for words in Document("x.md", text).commands for each in command_faults(words)
        ]
        assert bool(found) == bad


code_lines = st.text(st.characters(codec="ascii", exclude_categories=["C"], exclude_characters="`"))


@given(
    blocks=st.lists(
        st.tuples(
            st.sampled_from(["python", "ini", "", "sh"]),
            st.lists(code_lines | st.just("```"), max_size=3),
            st.sampled_from([None, "why", "because of <this>"]),
        ),
        max_size=4,
    ),
    indent=st.sampled_from(["", "   "]),
    fence=st.sampled_from(["```", "````"]),
)
def test_blocks_come_back(
    blocks: list[tuple[str, list[str], str | None]], indent: str, fence: str
) -> None:
    """Blocks are read as they were written: language, text, mark and line number."""
    written: list[str] = []
    expected = []
    for language, lines, excuse in blocks:
        # Only a longer fence can hold a shorter one.
        code = [line for line in lines if line != fence]
        written += ["words", *([f"{indent}<!-- not run: {excuse} -->"] if excuse else [])]
        written += [f"{indent}{fence}{language}", *(indent + line for line in code)]
        text = "".join(f"{line}\n" for line in code)
        first = len(written) - len(code) + 1
        expected.append(Block("x.md", first, language, text, excuse))
        written.append(f"{indent}{fence}")
    assert Document("x.md", "\n".join(written)).blocks == expected
