"""Who inherits what: the reader's URL from the writer's, from each of the three sources."""

from __future__ import annotations

import configparser
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair_support import RO_HOST, WRITER, WRITER_HOST
from sqlalchemy import URL, make_url

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._routing.inheritance import complete, elsewhere
from sqlalchemy_rds_iam._routing.settings import from_environ, from_mapping

SECRET_OPTIONS = [
    field.name for field in fields(SecretOptions) if field.name not in {"session", "on_event"}
]
OPTIONS = [field.name for field in fields(IamOptions) if field.name not in {"session", "on_event"}]


names = st.sampled_from(["app", "ro", "Ünï c@d/e", "a:b"])


hosts = st.sampled_from([WRITER_HOST, RO_HOST, "localhost", "10.0.0.1", "::1"])


options = st.dictionaries(
    st.sampled_from(
        ["rds_iam_profile", "rds_iam_timeout", "rds_iam_ca", "application_name", "connect_timeout"]
    ),
    st.sampled_from(["1", "2", "3"]),
)


signed = st.fixed_dictionaries(
    {}, optional={"rds_iam_host": st.sampled_from([WRITER_HOST]), "rds_iam_port": st.just("5432")}
)


@st.composite
def urls(draw: Any) -> URL:
    """A URL of which anything may be missing."""
    maybe = st.none() | st.integers(1, 65535)
    user = draw(st.none() | names)
    query = draw(options) | draw(signed) | draw(st.sampled_from([{}, {"plugin": "rds_iam"}]))
    return URL.create(
        draw(st.sampled_from(["postgresql+psycopg", "postgresql+asyncpg"])),
        user,
        draw(st.none() | names) if user else None,
        draw(hosts),
        draw(maybe),
        # Plain ones, as SQLAlchemy 2.0 does not quote them in a URL's text.
        draw(st.none() | st.sampled_from(["app", "other"])),
        query,
    )


@st.composite
def partial_urls(draw: Any) -> URL:
    """A reader's URL: the same, but without what is signed for, and perhaps without a host."""
    url = draw(urls()).difference_update_query(["rds_iam_host", "rds_iam_port"])
    return url.set(host=None)._replace(host=draw(st.none() | hosts))


@given(writer=urls(), reader=partial_urls())
def test_inheritance(writer: URL, reader: URL) -> None:
    """The reader keeps all it says, and has of the rest what the writer has, with two limits."""
    made = complete(writer, reader)
    assert made.drivername == reader.drivername
    for part in ("username", "host", "port", "database"):
        assert getattr(made, part) == (getattr(reader, part) or getattr(writer, part))
    for name in {*writer.query, *reader.query} - {"rds_iam_host", "rds_iam_port"}:
        assert made.query[name] == reader.query.get(name, writer.query.get(name))
    # What is signed goes with its server, a password with its user, and never beside a token.
    same = (made.host, made.port) == (writer.host, writer.port)
    assert elsewhere(writer, reader) is not same
    for name in ("rds_iam_host", "rds_iam_port"):
        assert made.query.get(name) == (writer.query.get(name) if same else None)
    if reader.username:
        assert made.password == reader.password
    else:
        assert made.password == (None if "plugin" in made.query else writer.password)


@given(writer=urls())
def test_nothing_said_is_the_writer(writer: URL) -> None:
    """A reader's URL that says nothing comes out as the writer's, but for a useless password."""
    made = complete(writer, URL.create(writer.drivername))
    assert made._replace(password=None) == writer._replace(password=None)
    assert made.password in {None, writer.password}


@given(writer=urls(), reader=partial_urls())
def test_sources_agree(writer: URL, reader: URL) -> None:
    """Two URLs mean the same from a mapping, an ini file's own syntax, and the environment."""
    shown = [url.render_as_string(hide_password=False) for url in (writer, reader)]
    mapping = dict(zip(("db.writer.url", "db.reader.url"), shown, strict=True))
    parser = configparser.ConfigParser()
    parser["db"] = {key: value.replace("%", "%%") for key, value in mapping.items()}
    expected = complete(writer, reader)
    for source in (mapping, parser["db"]):
        settings = from_mapping(source, "db.")
        assert settings.writer == {"url": writer}
        assert complete(settings.writer["url"], settings.reader["url"]) == expected
    settings = from_environ(dict(zip(("RDS_IAM_URL", "RDS_IAM_READER_URL"), shown, strict=True)))
    with_plugin = writer.update_query_dict({"plugin": "rds_iam"})
    assert settings.writer == {"url": with_plugin}
    found = complete(settings.writer["url"], settings.reader["url"])
    assert found == complete(with_plugin, reader)


@pytest.mark.parametrize(
    ("writer", "reader", "query"),
    [
        # A reader in another region says so by its name.
        (
            f"{WRITER}&rds_iam_region=us-east-1",
            "postgresql+psycopg://app.cluster-ro-abc.eu-west-1.rds.amazonaws.com",
            {"plugin": "rds_iam"},
        ),
        (
            f"{WRITER}&rds_iam_region=us-east-1",
            "postgresql+psycopg://reader.internal",
            {"plugin": "rds_iam", "rds_iam_region": "us-east-1"},
        ),
        # Two tunnels on one host.
        (
            f"postgresql+psycopg://app@localhost:1/app?plugin=rds_iam&rds_iam_host={WRITER_HOST}",
            "postgresql+psycopg://localhost:2",
            {"plugin": "rds_iam"},
        ),
        # What drivers take from the query follows the same limits.
        (
            "postgresql+psycopg://w/app?hostaddr=10.0.0.1&service=w&sslcert=c",
            "postgresql+psycopg://r",
            {"sslcert": "c"},
        ),
        (
            "postgresql+psycopg://h/?user=app&password=pw&dbname=a&sslcert=c",
            "postgresql+psycopg://ro@/b",
            {"sslcert": "c"},
        ),
        (
            "postgresql+psycopg://h/app?host=w&sslcert=c",
            "postgresql+psycopg:///?host=r",
            {"host": "r", "sslcert": "c"},
        ),
        ("postgresql+psycopg:///app?host=w", "postgresql+psycopg://ro@", {"host": "w"}),
    ],
)
def test_what_belongs_together(writer: str, reader: str, query: dict[str, str]) -> None:
    """What belongs to a server, a user or a database goes with it and not without."""
    assert complete(make_url(writer), make_url(reader)).query == query


def test_another_name_for_the_same_server() -> None:
    """A reader that would connect to the writer and sign for another server is refused."""
    with pytest.raises(ConfigError, match="RDS_IAM_READER_SERVER"):
        complete(make_url(WRITER), make_url(f"postgresql+psycopg:///?rds_iam_host={RO_HOST}"))
    same = make_url(f"postgresql+psycopg:///?rds_iam_host={WRITER_HOST.upper()}.")
    assert complete(make_url(WRITER), same).host == WRITER_HOST


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_has_its_variables(option: str) -> None:
    """RDS_IAM_<OPTION> is for both, and RDS_IAM_READER_<OPTION> for the reader alone."""
    variable, value = option.upper(), "off" if option == "enabled" else "5432"
    environ = {"RDS_IAM_URL": WRITER, f"RDS_IAM_{variable}": value}
    settings = from_environ(environ)
    assert settings.writer["url"].query[f"rds_iam_{option}"] == value
    assert not settings.has_reader
    other = {"enabled": "on", "host": WRITER_HOST}.get(option, "77")
    settings = from_environ({"RDS_IAM_URL": WRITER, f"RDS_IAM_READER_{variable}": other})
    assert f"rds_iam_{option}" not in settings.writer["url"].query
    assert settings.has_reader
    made = complete(settings.writer["url"], settings.reader["url"])
    assert made.query[f"rds_iam_{option}"] == other
    assert made.host == WRITER_HOST


@pytest.mark.parametrize("option", SECRET_OPTIONS)
def test_so_has_every_option_of_secrets(option: str) -> None:
    """RDS_IAM_SECRET_<OPTION> names the plugin, too; the reader may have another one."""
    variable, value = option.upper(), "off" if option == "enabled" else "5432"
    url = WRITER.partition("?")[0]
    settings = from_environ({"RDS_IAM_URL": url, f"RDS_IAM_SECRET_{variable}": value})
    found = {"plugin": "rds_secret", f"rds_secret_{option}": value}
    assert settings.writer["url"].query == found
    found[f"rds_secret_{option}"] = value = WRITER_HOST if option == "host" else value
    settings = from_environ({"RDS_IAM_URL": url, f"RDS_IAM_READER_SECRET_{variable}": value})
    assert settings.writer["url"].query == {"plugin": "rds_iam"}
    assert complete(settings.writer["url"], settings.reader["url"]).query == found


@pytest.mark.parametrize(
    ("environ", "writer", "reader"),
    [
        ({"SECRET_ID": "a", "READER_SERVER": RO_HOST}, "rds_secret", "rds_secret"),
        ({"SECRET_ID": "a", "READER_SECRET_ID": "b"}, "rds_secret", "rds_secret"),
        ({"SECRET_ID": "a", "READER_PROFILE": "b"}, "rds_secret", "rds_iam"),
        ({"PROFILE": "a", "READER_SECRET_ID": "b"}, "rds_iam", "rds_secret"),
        ({"SECRET_ID": "", "READER_SERVER": RO_HOST}, "rds_iam", "rds_iam"),
        ({"SECRET_ID": " ", "READER_SECRET_ID": "b"}, "rds_iam", "rds_secret"),
    ],
)
def test_which_plugin(environ: dict[str, str], writer: str, reader: str) -> None:
    """Each engine has the plugin of its own options, else the reader that of the writer."""
    given = {f"RDS_IAM_{name}": value for name, value in environ.items()}
    settings = from_environ({"RDS_IAM_URL": WRITER.partition("?")[0], **given})
    made = complete(settings.writer["url"], settings.reader["url"])
    assert settings.writer["url"].query["plugin"] == writer
    assert made.query["plugin"] == reader
    options = [name for name in made.query if name.startswith(("rds_iam_", "rds_secret_"))]
    assert all(name.startswith(f"{reader}_") for name in options)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"SERVER": RO_HOST}, f"app@{RO_HOST}:5433/app"),
        ({"SERVER": f"{RO_HOST}:6432"}, f"app@{RO_HOST}:6432/app"),
        ({"SERVER": "[::1]:6432"}, "app@[::1]:6432/app"),
        ({"USER": "a b@c"}, f"a%20b%40c@{WRITER_HOST}:5433/app"),
        ({"SERVER": RO_HOST, "USER": "ro", "DATABASE": "x"}, f"ro@{RO_HOST}:5433/x"),
        ({"URL": f"postgresql+psycopg://ro@{RO_HOST}"}, f"ro@{RO_HOST}:5433/app"),
        ({"URL": "", "SERVER": RO_HOST, "PROFILE": " "}, f"app@{RO_HOST}:5433/app"),
    ],
)
def test_parts_of_the_reader(environ: dict[str, str], expected: str) -> None:
    """A container says no more of the reader than its host name, or its user, or its database."""
    given = {f"RDS_IAM_READER_{name}": value for name, value in environ.items()}
    settings = from_environ({"RDS_IAM_URL": WRITER.partition("?")[0], "HOME": "/", **given})
    made = complete(settings.writer["url"], settings.reader["url"])
    assert made == make_url(f"postgresql+psycopg://{expected}?plugin=rds_iam")
