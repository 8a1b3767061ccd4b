"""Making pairs of engines: keywords, mappings, variables, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from inside import Inside
from pair_support import RO, RO_HOST, WRITER, WRITER_HOST
from sqlalchemy import exc, make_url
from sqlalchemy.pool import NullPool

from sqlalchemy_rds_iam import ConfigError, async_engine_pair, engine_pair
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PLUGINS
from sqlalchemy_rds_iam._config.urls import without_plugins


def test_tuple(ca: str) -> None:
    """A pair unpacks, cannot be changed, and shows no password."""
    pair = engine_pair(WRITER, f"postgresql+psycopg://ro:canary@{RO_HOST}?rds_iam_enabled=off")
    writer, reader = pair
    assert (writer, reader) == (pair.writer, pair.reader)
    with pytest.raises(AttributeError):
        pair.reader = writer  # type: ignore[misc]
    assert "canary" not in repr(pair)
    assert reader.url.port == 5433


def test_keywords(ca: str) -> None:
    """Keywords are for both engines or for one, and win over the URL and the mapping."""
    section = {
        "sqlalchemy.writer.url": WRITER + "&rds_iam_timeout=5",
        "sqlalchemy.reader.url": RO,
        "sqlalchemy.pool_size": "2",
        "sqlalchemy.reader.pool_size": "3",
        "sqlalchemy.writer.max_overflow": "4",
        "script_location": "%(here)s",
    }
    pair = engine_pair(section)
    assert [e.pool.size() for e in pair] == [2, 3]  # type: ignore[attr-defined]
    assert [e.pool._max_overflow for e in pair] == [4, 10]  # type: ignore[attr-defined]
    pair = engine_pair(section, pool_size=5, reader_options={"pool_size": 6})
    assert [e.pool.size() for e in pair] == [5, 6]  # type: ignore[attr-defined]
    pair = engine_pair(
        WRITER + "&rds_iam_timeout=5",
        RO,
        rds_iam_timeout=7,
        writer_options={"rds_iam_timeout": "8", "poolclass": NullPool},
    )
    assert [_config(e).timeout for e in pair] == [8, 7]
    assert isinstance(pair.writer.pool, NullPool)


def test_shared_options_of_a_mapping(ca: str) -> None:
    """A key for both reaches the reader, unless its URL or a key of its own says otherwise."""
    section: dict[str, Any] = {
        "db.url": WRITER,
        "db.rds_iam_timeout": 5,
        "db.rds_iam_failure_ttl": "2",
        "db.rds_iam_refresh": "lazy",
        "db.reader.url": f"{RO}/?rds_iam_failure_ttl=3",
        "db.reader.rds_iam_refresh": "ahead",
        "db.writer.rds_iam_profile": "writer",
    }
    writer, reader = map(_config, engine_pair(section, prefix="db."))
    assert (writer.timeout, writer.failure_ttl, writer.refresh) == (5, 2, "lazy")
    assert (reader.timeout, reader.failure_ttl, reader.refresh) == (5, 3, "ahead")
    assert (writer.profile, reader.profile) == ("writer", None)


def _config(engine: Any) -> IamOptions:
    return Inside(engine).config  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({}, "RDS_IAM_URL is not set"),
        ({"RDS_IAM_URL": " "}, "RDS_IAM_URL is not set"),
        ({"RDS_IAM_URL": "canary"}, "RDS_IAM_URL is no SQLAlchemy URL"),
        ({"RDS_IAM_URL": "postgresql://a:canary@h:canary/"}, "RDS_IAM_URL is no SQLAlchemy URL"),
        ({"RDS_IAM_REGOIN": "canary"}, "did you mean RDS_IAM_REGION?"),
        ({"RDS_IAM_READER_SEVER": "canary"}, "did you mean RDS_IAM_READER_SERVER?"),
        ({"RDS_IAM_SECRET_IDD": "canary"}, "did you mean RDS_IAM_SECRET_ID?"),
        (
            {"RDS_IAM_SECRET_ID": "a", "RDS_IAM_PROFILE": "b"},
            "writer: rds_secret_id is an option of another plugin than rds_iam",
        ),
        ({"RDS_IAM_SESSION": "canary"}, "unknown variable RDS_IAM_SESSION"),
        ({"RDS_IAM_COMPLETELY_ELSE": "canary"}, "known are RDS_IAM_CA, "),
        ({"RDS_IAM_READER_SERVER": "app:canary@h"}, "host name, or host:port"),
        ({"RDS_IAM_READER_SERVER": "h/canary"}, "host name, or host:port"),
        ({"RDS_IAM_READER_SERVER": "h?password=canary"}, "host name, or host:port"),
        ({"RDS_IAM_READER_SERVER": "h:canary"}, "RDS_IAM_READER_SERVER"),
        ({"RDS_IAM_READER_SERVER": ":5432"}, "host name, or host:port"),
        ({"RDS_IAM_READER_URL": RO, "RDS_IAM_READER_USER": "x"}, "unset RDS_IAM_READER_USER"),
        ({"RDS_IAM_READER_HOST": RO_HOST}, "RDS_IAM_READER_SERVER"),
        ({"RDS_IAM_READER_TIMEOUT": "abc"}, "reader: rds_iam_timeout='abc'"),
        ({"RDS_IAM_TIMEOUT": "abc"}, "writer: rds_iam_timeout='abc'"),
    ],
)
def test_refused_environment(environ: dict[str, str], says: str, ca: str) -> None:
    """A variable that cannot work is named, with the nearest one known, and never a password."""
    if environ:
        environ = {"RDS_IAM_URL": WRITER} | environ
    with pytest.raises(ConfigError, match=says) as caught:
        engine_pair(environ=environ)
    assert "canary" not in str(caught.value)
    assert isinstance(caught.value, exc.ArgumentError)


def test_environment_of_the_process(ca: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's own environment is read when the function is called; the emulator's is left."""
    monkeypatch.setenv("RDS_IAM_EMULATOR_POSTGRES", "auto")
    monkeypatch.setenv("RDS_IAM_URL", WRITER.partition("?")[0])
    monkeypatch.setenv("RDS_IAM_READER_SERVER", RO_HOST)
    monkeypatch.setenv("RDS_IAM_TIMEOUT", "5")
    pair = engine_pair()
    assert [_config(engine).timeout for engine in pair] == [5, 5]
    assert pair.reader.url.host == RO_HOST


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        (({},), {}, "no sqlalchemy.writer.url and no sqlalchemy.url"),
        (({"sqlalchemy.reader.url": RO},), {}, "no sqlalchemy.writer.url"),
        (({"sqlalchemy.writter.url": WRITER},), {}, "did you mean sqlalchemy.writer.url"),
        (({"x.pool.size": "1"},), {"prefix": "x."}, "x.writer.size or x.reader.size"),
        (({"sqlalchemy.url": WRITER, "sqlalchemy.reader.pool_sise": "1"},), {}, "reader: .*sise"),
        (({"sqlalchemy.url": WRITER, "sqlalchemy.pool_sise": "1"},), {}, "writer: .*pool_sise"),
        (({"sqlalchemy.url": WRITER, "sqlalchemy.rds_iam_tls": "no"},), {}, "writer: rds_iam_tls"),
        (({"sqlalchemy.url": "a:canary@h"},), {}, "sqlalchemy.writer.url is no SQLAlchemy URL"),
        ((WRITER, "a:canary@h"), {}, "the reader's URL is no SQLAlchemy URL"),
        ((None, RO), {}, "without a writer's URL"),
        (({"sqlalchemy.url": WRITER}, RO), {}, "without a writer's URL"),
        ((WRITER, f"postgresql+psycopg://ro:canary@{RO_HOST}"), {}, "reader: there is a password"),
        ((WRITER, f"{RO}/?rds_iam_regoin=x"), {}, "reader: .*did you mean rds_iam_region"),
        ((WRITER.replace("plugin", "x"), RO), {"rds_iam_timeout": 1}, "add .plugin=rds_iam"),
        ((WRITER, RO), {"rds_iam_host": WRITER_HOST}, "one server only"),
    ],
)
def test_refused(args: Any, kwargs: dict[str, Any], says: str, ca: str) -> None:
    """What cannot work says which engine or key it is about, and what was expected."""
    with pytest.raises(ConfigError, match=says) as caught:
        engine_pair(*args, **kwargs)
    assert "canary" not in str(caught.value)


def test_one_engine(ca: str) -> None:
    """Without a word about a reader both are one engine; any word makes it a second one."""
    for pair in (engine_pair(WRITER), engine_pair({"sqlalchemy.url": WRITER})):
        assert pair.reader is pair.writer
    written = make_url(WRITER).update_query_dict({"rds_iam_target_session_attrs": "read-write"})
    assert engine_pair(environ={"RDS_IAM_URL": WRITER}).reader.url == written
    url = engine_pair(WRITER).writer.url
    for pair in (
        engine_pair(WRITER, reader_options={"pool_size": 1}),
        engine_pair({"sqlalchemy.url": WRITER, "sqlalchemy.reader.pool_size": "1"}),
        engine_pair({"sqlalchemy.url": WRITER, "sqlalchemy.reader.rds_iam_timeout": "1"}),
        engine_pair(environ={"RDS_IAM_URL": WRITER, "RDS_IAM_READER_PROFILE": "x"}),
        engine_pair(WRITER, rds_iam_host=WRITER_HOST, reader_options={"pool_size": 1}),
    ):
        assert pair.reader is not pair.writer
        urls = {without_plugins(each, PLUGINS) for each in (pair.reader.url, pair.writer.url, url)}
        assert len(urls) == 1


def test_dispose_goes_on(ca: str) -> None:
    """A writer that cannot be disposed of does not keep the reader's connections open."""
    pair = engine_pair(WRITER, RO)
    before = pair.reader.pool
    pair.writer.pool.dispose = None  # type: ignore[method-assign, assignment]
    with pytest.raises(TypeError):
        pair.dispose()
    assert pair.reader.pool is not before


def test_an_async_pair_is_of_async_engines(ca: str) -> None:
    """A sync driver is refused by SQLAlchemy itself, for the pair as for one engine."""
    with pytest.raises(exc.InvalidRequestError, match="async"):
        async_engine_pair(WRITER.replace("psycopg", "psycopg2"), RO)
