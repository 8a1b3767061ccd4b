"""Connect arguments of MySQL's drivers that lead around what is settled here, each with the reason.

A password would go to a socket, a file would say where to and how unseen, or a plugin would be
given the password that is not to have it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy_rds_iam._config.urls import is_blank
from sqlalchemy_rds_iam.errors import ConfigError

CLEAR_TEXT = "mysql_clear_password"
"""The client's plugin that hands over a password as it is, and so a token."""

_SOCKET = "it connects by a socket of this machine, without a host and without TLS"
_FILE = "what it reads may change user, host and TLS unseen: say in the URL what of it is needed"
_PASSWORD = "it would take the place of the password that every new connection gets"  # noqa: S105
_PLUGIN = "it decides which code is given the password: the driver's own plugins are enough"
_POOL = "the driver's own pool would connect without asking for a new password"
_PINNED = "a fingerprint takes the place of every other check of the certificate"
_ELSEWHERE = "it leads to other servers than the host of the URL"

REFUSED = {
    **dict.fromkeys(("unix_socket", "named_pipe", "sock"), _SOCKET),
    **dict.fromkeys(
        (
            *("read_default_file", "read_default_group", "option_files", "option_groups"),
            *("default_file", "default_group", "read_default"),
        ),
        _FILE,
    ),
    **dict.fromkeys(("password_creator", "password1", "password2", "password3"), _PASSWORD),
    **dict.fromkeys(
        (
            *("auth_plugin_map", "server_public_key", "server_public_key_path"),
            *("openid_token_file", "oci_config_file", "oci_config_profile"),
            *("krb_service_principal", "kerberos_auth_mode", "webauthn_callback"),
        ),
        _PLUGIN,
    ),
    **dict.fromkeys(("pool_name", "pool_size", "pool_reset_session"), _POOL),
    **dict.fromkeys(("tls_fp", "tls_fp_list", "tls_peer_fp", "tls_peer_fp_list"), _PINNED),
    **dict.fromkeys(("failover", "dns_srv", "dsn"), _ELSEWHERE),
}
"""By the argument's name."""

_OLD = {"TLSV1", "TLSV1.0", "TLSV1.1", "SSLV3"}
_VERSIONS = ("tls_version", "tls_versions")

PLUGINS = ("auth_plugin", "default_auth")
"""What drivers call the plugin to begin with."""


def refuse(cparams: Mapping[str, Any]) -> None:
    """Refuse the arguments of this table, and any plugin but the one for tokens.

    Raises:
        ConfigError: names the argument, and why it cannot be.
    """
    for name, why in REFUSED.items():
        if not is_blank(cparams.get(name)):
            raise ConfigError(f"{name} cannot be used here: {why}")
    for name in _VERSIONS:
        if _OLD & {*re.findall(r"[\w.]+", str(cparams.get(name)).upper())}:
            raise ConfigError(
                f"{name}={cparams[name]!r} allows TLS before 1.2, which is broken (RFC 8996): "
                "expected TLSv1.2 or TLSv1.3"
            )
    for name in PLUGINS:
        plugin = cparams.get(name)
        if not is_blank(plugin) and plugin != CLEAR_TEXT:
            raise ConfigError(
                f"{name}={plugin!r}: the plugin for a token is {CLEAR_TEXT}, which is used without "
                "being named, and for a password the server names one: remove it"
            )
