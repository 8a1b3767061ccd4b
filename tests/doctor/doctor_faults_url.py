"""Faults of the URL, its options and the plugin's name."""

# ruff: noqa: D103  (the name of a fault is what there is to say)

from __future__ import annotations

import shutil
import sys

import pytest
from doctor_support import CANARY, Ward, fault, pose
from sqlalchemy import URL, make_url

GLOBAL = "app.global-abc123.global.rds.amazonaws.com"
ANOTHER_DATABASE = "no URL of this database is a fix, as the plugin does not log in to it"


def _query(ward: Ward, **words: str | tuple[str, ...]) -> URL:
    """The emulator's URL with other words in its query; an empty one takes a word away."""
    url = ward.rds.url()
    kept = url.difference_update_query([*words])
    return kept.update_query_dict({name: value for name, value in words.items() if value})


@fault("tls-weak")
def weak_sslmode(ward: Ward) -> None:
    ward.options(sslmode="prefer")


@fault("tls-weak")
def old_tls(ward: Ward) -> None:
    ward.options(ssl_min_protocol_version="TLSv1")


@fault("region-wrong")
def wrong_region(ward: Ward) -> None:
    ward.options(rds_iam_region="eu-west-1")


@fault("region-wrong")
def wrong_region_as_a_keyword(ward: Ward) -> None:
    ward.keywords["rds_iam_region"] = "eu-west-1"


@fault("tls-weak", by_hand="connect_args are in the application's code")
def weak_sslmode_among_the_connect_args(ward: Ward) -> None:
    ward.keywords["connect_args"] = {"sslmode": "prefer"}


@fault("password-in-url")
def password_in_the_url(ward: Ward) -> None:
    ward.secrets.add(CANARY)
    ward.url = ward.rds.url().set(password=CANARY)


@fault("option-unknown")
def option_misspelled(ward: Ward) -> None:
    ward.options(rds_iam_reigon="us-east-1")


@fault("option-unknown")
def option_that_never_was(ward: Ward) -> None:
    ward.options(rds_iam_frobnicate="yes")


@fault("option-unknown")
def argument_of_the_driver_misspelled(ward: Ward) -> None:
    ward.options(sslmod="verify-full")


@fault("option-wrong")
def option_with_a_value_that_is_none(ward: Ward) -> None:
    ward.options(rds_iam_timeout="soon")


@fault("plugin-off")
def plugin_switched_off(ward: Ward) -> None:
    ward.options(rds_iam_enabled="off")


@fault("driver-missing")
def driver_not_installed(ward: Ward) -> None:
    ward.url = ward.rds.url("postgresql+nosuchdriver")


@fault("driver-missing")
def driver_by_its_other_name(ward: Ward) -> None:
    ward.url = ward.rds.url("postgresql+psycopg3")


@fault("driver-unknown", by_hand=ANOTHER_DATABASE)
def driver_not_supported(ward: Ward) -> None:
    ward.url = "sqlite:///nowhere.db?plugin=rds_iam"


@fault("driver-unknown")
def driver_of_another_family(ward: Ward) -> None:
    ward.url = ward.rds.url("postgresql+pymysql")


@fault("not-mysql")
def dialect_of_another_family(ward: Ward) -> None:
    pytest.importorskip("pymysql", reason="PyMySQL is not installed")
    ward.url = ward.rds.url("mysql+pymysql")


@fault("dialect-unknown")
def dialect_of_old(ward: Ward) -> None:
    ward.url = ward.rds.url("postgres")


@fault("dialect-unknown")
def dialect_misspelled(ward: Ward) -> None:
    ward.url = ward.rds.url("postgresq+asyncpg")


@fault("dialect-unknown")
def dialect_that_is_unknown(ward: Ward) -> None:
    ward.url = ward.rds.url("warehouse")


@fault("url-unreadable")
def url_unreadable(ward: Ward) -> None:
    ward.secrets.add(CANARY)
    url = _with_options_as_keywords(ward)
    ward.url = f"app:{CANARY}@{url.host}:{url.port}/app"


@fault("url-unreadable", by_hand="the right port is the user's to know")
def port_in_words(ward: Ward) -> None:
    ward.url = "postgresql+psycopg://app@127.0.0.1:5432x/app?plugin=rds_iam"


@fault("url-unreadable")
def words_of_libpq(ward: Ward) -> None:
    url = _with_options_as_keywords(ward)
    ward.url = f"host={url.host} port={url.port} user=app dbname=app"


@fault("url-unreadable")
def url_of_jdbc(ward: Ward) -> None:
    url = _with_options_as_keywords(ward)
    ward.url = f"jdbc:postgresql://{url.host}:{url.port}/app?sslmode=require&user=app"


def _with_options_as_keywords(ward: Ward) -> URL:
    url = ward.rds.url()
    ward.keywords |= {name: value for name, value in url.query.items() if name != "plugin"}
    return url


@fault("region-unknown")
def region_unknown(ward: Ward) -> None:
    _without_region(ward)


@fault("region-unknown")
def region_by_its_name(ward: Ward) -> None:
    _without_region(ward)
    ward.patch.setenv("AWS_REGION", "Ireland")


def _without_region(ward: Ward) -> None:
    pose(ward, GLOBAL)
    ward.patch.delenv("AWS_REGION")
    ward.patch.delenv("AWS_DEFAULT_REGION")
    ward.options(rds_iam_host=GLOBAL)
    ward.known["REGION"] = "us-east-1"


@fault("several-hosts")
def several_hosts(ward: Ward) -> None:
    url = ward.rds.url()
    ward.url = url.set(host=f"{url.host},10.0.0.9")


@fault("option-wrong")
def no_user(ward: Ward) -> None:
    url = ward.rds.url()
    ward.url = URL.create(url.drivername, None, None, url.host, url.port, url.database, url.query)
    ward.known["USER"] = "app"


@fault("option-wrong")
def no_host(ward: Ward) -> None:
    url = ward.rds.url()
    ward.url = URL.create(
        url.drivername, url.username, None, None, url.port, url.database, url.query
    )
    ward.known["HOST"] = str(url.host)


@fault("option-wrong", by_hand="which endpoint is meant, the user knows")
def endpoint_of_the_api(ward: Ward) -> None:
    ward.options(rds_iam_host="rds.us-east-1.amazonaws.com")


# The plugin's name.


@fault("plugin-not-named")
def plugin_forgotten(ward: Ward) -> None:
    ward.url = _query(ward, plugin="")


@fault("plugin-not-named")
def plugin_forgotten_and_no_option_given(ward: Ward) -> None:
    ward.url = _with_options_as_keywords(ward).set(query={})


@fault("plugin-not-named", by_hand="the emulator's endpoint and CA are options of the plugin")
def plugin_forgotten_and_all_options(ward: Ward) -> None:
    ward.url = ward.rds.url().set(query={})


@fault("plugin-not-named")
def url_of_a_platform(ward: Ward) -> None:
    """The dialect of old, and no plugin."""
    ward.url = _query(ward, plugin="").set(drivername="postgres")


@fault("plugin-not-named")
def plugin_in_the_plural(ward: Ward) -> None:
    ward.url = _query(ward, plugin="", plugins="rds_iam")


@fault("plugin-not-named")
def word_misspelled(ward: Ward) -> None:
    ward.url = _query(ward, plugin="", pluign="rds_iam")


@fault("plugin-unknown")
def plugin_with_a_hyphen(ward: Ward) -> None:
    ward.url = _query(ward, plugin="rds-iam")


@fault("plugin-unknown")
def plugin_misspelled(ward: Ward) -> None:
    ward.url = _query(ward, plugin="rds_aim")


@fault("plugin-unknown")
def plugin_of_another_package_that_is_gone(ward: Ward) -> None:
    ward.url = _query(ward, plugin=("rds_iam", "geo_alchemist"))


@fault("plugin-unknown")
def plugins_as_a_text(ward: Ward) -> None:
    ward.url = _query(ward, plugin="")
    ward.keywords["plugins"] = "rds_iam"


@fault("plugin-twice")
def plugin_twice(ward: Ward) -> None:
    ward.url = _query(ward, plugin=("rds_iam", "rds_iam"))


@fault("plugin-twice")
def both_plugins(ward: Ward) -> None:
    ward.url = _query(ward, plugin=("rds_iam", "rds_secret"))


@fault("plugin-owners")
def two_plugin_owners(ward: Ward) -> None:
    own_as_well(ward, "rds_iam")


def own_as_well(ward: Ward, plugin: str) -> None:
    """Install another package that registers a plugin's name."""
    metadata = ward.directory / "sqlalchemy_rds_iam_auth_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: sqlalchemy-rds-iam-auth-plugin\nVersion: 1.0\n"
    )
    (metadata / "entry_points.txt").write_text(
        f"[sqlalchemy.plugins]\n{plugin} = sqlalchemy_rds_iam.auth_plugin:Plugin\n"
    )
    ward.patch.setattr(sys, "path", [*sys.path, str(ward.directory)])
    ward.effects["^pip uninstall --yes sqlalchemy-rds-iam-auth-plugin"] = lambda: shutil.rmtree(
        metadata
    )


@fault("driver-failed")
def argument_that_keeps_the_driver_away(ward: Ward) -> None:
    ward.url = make_url(ward.url).update_query_dict({"keepalives": "maybe"})


@fault("driver-failed")
def variable_that_keeps_the_driver_away(ward: Ward) -> None:
    ward.patch.setenv("PGSERVICE", "nowhere")


@fault("startup-option")
def setting_that_the_server_does_not_know(ward: Ward) -> None:
    ward.url = make_url(ward.url).update_query_dict({"options": "-c nosuch_setting=1"})


@fault("startup-option")
def setting_in_the_environment(ward: Ward) -> None:
    ward.patch.setenv("PGOPTIONS", "-c nosuch_setting=1")
