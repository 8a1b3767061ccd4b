"""TLS of MySQL's drivers: each gets what really verifies, and nothing that is said weakens it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import URL

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._databases import guarded
from sqlalchemy_rds_iam._databases.drivers import Target
from sqlalchemy_rds_iam._databases.mysql import DRIVERS

HOST = "db.abc123.us-east-1.rds.amazonaws.com"
CONTEXTS = ("pymysql", "asyncmy", "aiomysql")
OTHERS = ("mysqldb", "mysqlconnector", "mariadbconnector")
EVERY_DRIVER = pytest.mark.parametrize("name", DRIVERS)


def settled(
    name: str, ca: str | None, options: dict[str, str] | None = None, **cparams: Any
) -> Target:
    """What is settled for such connect arguments."""
    driver = DRIVERS[name]
    given = {"rds_iam_ca": ca or "", **(options or {})}
    told = {"host": HOST, driver.user: "app", **cparams}
    return driver.target(told, IamOptions.take(given, {}), lambda: "us-east-1")


@pytest.mark.parametrize("name", CONTEXTS)
def test_a_context(name: str, ca: str) -> None:
    """It checks authorities and name, and all connects share it."""
    context = settled(name, ca).arguments["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert settled(name, ca).arguments["ssl"] is context


def test_words(ca: str) -> None:
    """The other drivers get the words that make them verify."""
    mysqldb, mysql, mariadb = (settled(name, ca).arguments for name in OTHERS)
    assert mysqldb["ssl_mode"] == "VERIFY_IDENTITY"
    assert mysqldb["ssl"].keys() == {"ca"}
    assert [mysql[f"ssl_{word}"] for word in ("verify_cert", "verify_identity", "disabled")] == [
        *(True, True, False)
    ]
    assert mysql["auth_plugin"] == "mysql_clear_password"
    assert (mariadb["ssl"], mariadb["ssl_verify_cert"]) == (True, True)
    for file in (mysqldb["ssl"]["ca"], mysql["ssl_ca"], mariadb["ssl_ca"]):
        assert Path(file).read_bytes()


@pytest.mark.parametrize("level", ["require", "verify-ca"])
@pytest.mark.parametrize("name", OTHERS)
def test_less_is_never_unverified(name: str, level: str, ca: str) -> None:
    """These drivers cannot insist on TLS without verifying, so they verify whatever is asked."""
    told = settled(name, ca, {"rds_iam_tls": level}).arguments
    assert told.get("ssl_mode", "VERIFY_CA") == "VERIFY_CA"
    assert told.get("ssl_verify_cert", True) is True
    assert told.get("ssl_ca") or told["ssl"]["ca"]


def test_the_plugin_for_tokens_is_for_tokens(ca: str) -> None:
    """A secret's password goes by the plugin that the server names."""
    options = SecretOptions.take({"rds_secret_id": "x", "rds_secret_ca": ca}, {})
    target = DRIVERS["mysqlconnector"].target({"host": HOST, "user": "app"}, options, lambda: None)
    assert "auth_plugin" not in target.arguments


@pytest.mark.parametrize(
    ("words", "name", "level"),
    [
        ({"ssl_mode": "VERIFY_CA"}, "mysqldb", "verify-ca"),
        ({"ssl_mode": "REQUIRED"}, "mysqldb", "require"),
        ({"ssl_mode": "preferred"}, "mysqldb", "prefer"),
        ({"ssl_mode": "DISABLED"}, "mysqldb", "disable"),
        ({"ssl_disabled": "true"}, "mysqlconnector", "disable"),
        ({"ssl_disabled": True}, "pymysql", "disable"),
        ({"ssl_verify_cert": "false"}, "mysqlconnector", "require"),
        ({"ssl_verify_cert": False}, "mariadbconnector", "require"),
        ({"ssl_verify_identity": "off"}, "pymysql", "verify-ca"),
        ({"ssl": {"check_hostname": False}}, "pymysql", "verify-ca"),
        ({"ssl": {"check_hostname": "0"}}, "asyncmy", "verify-ca"),
        ({"ssl": {"verify_mode": "none"}}, "aiomysql", "require"),
        ({"ssl": {"verify_mode": ssl.CERT_OPTIONAL}}, "asyncmy", "require"),
        ({"ssl": False}, "mariadbconnector", "disable"),
        ({"ssl": "false"}, "asyncmy", "disable"),
    ],
)
def test_weaker_words(words: dict[str, Any], name: str, level: str, ca: str) -> None:
    """What asks for less than the options do is refused, and says what it amounts to."""
    with pytest.raises(
        ConfigError, match=f"'{level}', which is weaker than rds_iam_tls=verify-full"
    ):
        settled(name, ca, **words)


@pytest.mark.parametrize(
    "words",
    [
        {"ssl": {"check_hostname": True}},
        {"ssl": {"verify_mode": "required"}},
        {"ssl": {"verify_mode": ssl.CERT_REQUIRED}},
        {"ssl": {"ca": ""}},
        {"ssl": True},
        {"ssl": {}},
    ],
)
@pytest.mark.parametrize("name", CONTEXTS)
def test_words_that_agree(words: dict[str, Any], name: str, ca: str) -> None:
    """What asks for as much, or for nothing, changes nothing."""
    assert settled(name, ca, **words).arguments["ssl"] is settled(name, ca).arguments["ssl"]


def test_words_that_ask_for_more(ca: str) -> None:
    """A driver's own words raise the level that the options ask for at least."""
    weak = {"rds_iam_tls": "require"}
    assert settled("pymysql", ca, weak).arguments["ssl"].check_hostname is False
    told = settled("pymysql", ca, weak, ssl_verify_identity="true").arguments
    assert told["ssl"].check_hostname is True
    assert told["ssl_verify_identity"] is None
    told = settled("mysqldb", ca, weak, ssl_mode="VERIFY_IDENTITY").arguments
    assert told["ssl_mode"] == "VERIFY_IDENTITY"


@EVERY_DRIVER
def test_the_urls_ca(name: str, ca: str) -> None:
    """The CA file of a driver's own word counts, and the option's before it."""
    backend = "mariadb" if name == "mariadbconnector" else "mysql"
    url = URL.create(f"{backend}+{name}", "app", host=HOST, query={"ssl_ca": ca})
    try:
        _, cparams = url.get_dialect()().create_connect_args(url)
    except ImportError:
        pytest.skip(f"the driver of {name} is not installed")
    if ca not in str(cparams):
        pytest.skip("this version of SQLAlchemy drops the query")
    found = settled(name, None, **cparams).ca
    assert found is not None
    assert (found.path, found.rule) == (ca, "ssl_ca")
    found = settled(name, ca, **{**cparams, "ssl_ca": "/nowhere.pem"}).ca
    assert found is not None
    assert found.rule == "rds_iam_ca"
    with pytest.raises(ConfigError, match=r"ssl_ca: cannot read the CA file '/nowhere\.pem'"):
        settled(name, None, ssl_ca="/nowhere.pem")


def test_a_clients_certificate(ca: str) -> None:
    """Drivers that take files get them; for the others there is the user's own context."""
    files = {"cert": "c.pem", "key": "k.pem"}
    assert settled("mysqldb", ca, ssl=files).arguments["ssl"].items() >= files.items()
    assert settled("mariadbconnector", ca, ssl=files).arguments["ssl_cert"] == "c.pem"
    for name in CONTEXTS:
        with pytest.raises(ConfigError, match=r"ssl_cert is not taken from here: make an ssl.SSLC"):
            settled(name, ca, ssl=files)


@pytest.mark.parametrize("name", CONTEXTS)
def test_a_context_of_the_users(name: str, ca: str) -> None:
    """It is passed on if it verifies as much, and stands alone."""
    context = ssl.create_default_context(cafile=ca)
    assert settled(name, ca, ssl=context).arguments["ssl"] is context
    with pytest.raises(ConfigError, match="an SSL context in ssl and ssl_ca beside it"):
        settled(name, ca, ssl=context, ssl_ca=ca)
    context.check_hostname = False
    with pytest.raises(ConfigError, match="weaker than rds_iam_tls=verify-full"):
        settled(name, ca, ssl=context)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"ssl_mode": "VERIFY"}, "ssl_mode='VERIFY': expected one of DISABLED, PREFERRED"),
        ({"ssl_verify_cert": "perhaps"}, "ssl_verify_cert='perhaps': expected on or off"),
        ({"ssl": {"capath": "/etc/ssl"}}, "ssl_capath is not looked at here"),
        ({"ssl": {"nonsense": 1}}, "ssl_nonsense is not looked at here"),
        ({"ssl": {"ca": 7}}, "ssl_ca is an object of the type int"),
        ({"sslmode": "verify-full"}, "no argument 'sslmode': say rds_iam_tls and rds_iam_ca"),
        ({"sslrootcert": "/x.pem"}, "no argument 'sslrootcert': say rds_iam_tls"),
        ({"ssl": object()}, "ssl is an object of the type object"),
    ],
)
def test_words_that_are_none(words: dict[str, Any], says: str, ca: str) -> None:
    """What cannot be understood is refused, with what is expected."""
    with pytest.raises(ConfigError, match=says):
        settled("pymysql", ca, **words)


@pytest.mark.parametrize("name", CONTEXTS)
def test_a_tunnel(name: str, ca: str) -> None:
    """Drivers that take a context verify the signed name, whatever they connect to."""
    assert DRIVERS[name].tunnels
    told = settled(name, ca, {"rds_iam_host": HOST}, host="localhost")
    assert told.arguments["ssl"].name == HOST
    assert told.endpoint.host == HOST


@pytest.mark.parametrize("name", OTHERS)
def test_no_tunnel(name: str, ca: str) -> None:
    """The others verify the name that they connect to, so a tunnel is refused with what helps."""
    assert not DRIVERS[name].tunnels
    with pytest.raises(ConfigError, match=r"use pymysql, asyncmy or aiomysql, or .*/etc/hosts"):
        settled(name, ca, {"rds_iam_host": HOST}, host="tunnel.internal")
    assert settled(name, ca, {"rds_iam_host": HOST}).arguments["host"] == HOST


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
@pytest.mark.parametrize("name", ["mysqldb", "mariadbconnector"])
def test_where_connector_c_checks_no_name(name: str, host: str, ca: str) -> None:
    """It skips the check for these addresses, and takes one name for a socket: refused."""
    options = {"rds_iam_region": "us-east-1"}
    with pytest.raises(ConfigError, match=r"does not check the certificate's name|for a socket"):
        settled(name, ca, options, host=host)
    assert settled(name, ca, options, host="127.0.0.2").arguments["host"] == "127.0.0.2"


@pytest.mark.parametrize(
    "words",
    [
        {"unix_socket": "/tmp/mysql.sock"},
        {"read_default_file": "~/.my.cnf"},
        {"read_default_group": "client"},
        {"option_files": "/etc/my.cnf"},
        {"default_file": "/etc/my.cnf"},
        {"auth_plugin_map": {"x": object}},
        {"password_creator": print},
        {"server_public_key": b"x"},
        {"auth_plugin": "mysql_native_password"},
        {"default_auth": "dialog"},
        {"pool_name": "p"},
        {"failover": [{"host": "x"}]},
        {"tls_fp": "00"},
        {"tls_version": "TLSv1.1,TLSv1.2"},
        {"tls_versions": ["TLSv1", "TLSv1.2"]},
    ],
)
@EVERY_DRIVER
def test_ways_around(words: dict[str, Any], name: str, ca: str) -> None:
    """Sockets, files, plugins and pools of the driver's are refused by name; empty ones are not."""
    [word] = words
    with pytest.raises(ConfigError, match=f"^{word}"):
        settled(name, ca, **words)
    assert settled(name, ca, **{word: ""})


@EVERY_DRIVER
def test_the_plugin_for_tokens_may_be_named(name: str, ca: str) -> None:
    """It says what happens anyway."""
    assert settled(name, ca, auth_plugin="mysql_clear_password", tls_version="TLSv1.3")


@pytest.mark.parametrize("word", ["password", "passwd"])
@pytest.mark.parametrize("place", ["connect_args", "query"])
def test_a_password(word: str, place: str, ca: str) -> None:
    """A password is refused by each of its names, when the engine is made, and not shown."""
    query = {"plugin": "rds_iam", "rds_iam_ca": ca}
    given = {place: {word: "hunter2"}}
    url = URL.create("mysql+mysqldb", "app", host=HOST, query=query | given.get("query", {}))
    with pytest.raises(ConfigError, match="there is a password in the URL") as caught:
        create_engine(url, connect_args=given.get("connect_args", {}))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("mysqldb", {"ssl_mode": "REQUIRED"}),
        ("mysqldb", {"ssl_mode": None}),
        ("mysqldb", {"ssl": {}}),
        ("mysqldb", {"ssl": {"ca": "/nowhere.pem"}}),
        ("mysqlconnector", {"ssl_verify_identity": False}),
        ("mysqlconnector", {"ssl_disabled": True}),
        ("mysqlconnector", {"ssl_ca": None}),
        ("mariadbconnector", {"ssl": False}),
        ("mariadbconnector", {"ssl_verify_cert": False}),
        ("pymysql", {"ssl_ca": "/nowhere.pem"}),
        ("pymysql", {"ssl_verify_cert": True}),
        ("pymysql", {"ssl_disabled": True}),
        ("pymysql", {"ssl": {"ca": "/nowhere.pem"}}),
        ("asyncmy", {"ssl": True}),
    ],
)
def test_later_listeners(name: str, change: dict[str, Any], ca: str) -> None:
    """What a listener makes of the words afterwards may not protect less."""
    target = settled(name, ca)
    assert not [*guarded.weaker(target.arguments, dict(target.arguments))]
    assert [*guarded.weaker(target.arguments, {**target.arguments, **change})] == [*change]


def test_listeners_that_protect_more(ca: str) -> None:
    """More is welcome."""
    weak = {"rds_iam_tls": "verify-ca"}
    told = settled("mysqldb", ca, weak).arguments
    assert told["ssl_mode"] == "VERIFY_CA"
    assert not [*guarded.weaker(told, {**told, "ssl_mode": "VERIFY_IDENTITY"})]


def test_another_file_of_the_same_authorities(ca: str, tmp_path: Path) -> None:
    """What counts is whom a file trusts, and not where it lies."""
    other = tmp_path / "other.pem"
    other.write_bytes(Path(ca).read_bytes())
    told = settled("mysqldb", ca).arguments
    assert not [*guarded.weaker(told, {**told, "ssl": {"ca": str(other)}})]
    told = settled("mariadbconnector", ca).arguments
    assert not [*guarded.weaker(told, {**told, "ssl_ca": str(other)})]


@pytest.mark.parametrize("word", ["unix_socket", "read_default_file", "auth_plugin", "failover"])
def test_listeners_that_lead_elsewhere(word: str, ca: str) -> None:
    """A socket, a file, a plugin: what is refused when an engine is made is refused later."""
    told = settled("pymysql", ca).arguments
    assert [*guarded.elsewhere(told, {**told, word: "x"})] == [word]
