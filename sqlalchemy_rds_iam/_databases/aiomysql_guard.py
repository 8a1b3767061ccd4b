"""aiomysql sends the password in clear, in spite of an SSL context, where a server offers no TLS.

It asks for TLS only if the greeting offers it, which anything in between can change. So connections
are made of a subclass that looks at the greeting before anything is answered.
"""

from __future__ import annotations

import functools
from typing import Any

from sqlalchemy_rds_iam.errors import ConfigError

_NO_TLS = 2026  # CR_SSL_CONNECTION_ERROR
_CLIENT_SSL = 0x800  # "Capabilities Flags" in the MySQL reference manual's client/server protocol

# What the guard is made of: private functions, and what these have to read.
_NEEDED = {
    "__init__": {"_ssl_context"},
    "_connect": {"_get_server_information", "_request_authentication"},
    "_get_server_information": {"server_capabilities"},
    "_request_authentication": {"_ssl_context", "server_capabilities"},
}


def refuse_unguarded(aiomysql: Any) -> None:
    """Refuse a version of aiomysql that is made otherwise than the guard takes for granted.

    Args:
        aiomysql: the module.

    Raises:
        ConfigError: it has not the private names that the guard needs.
    """
    connection = getattr(aiomysql, "Connection", None)
    for function, names in _NEEDED.items():
        code = getattr(getattr(connection, function, None), "__code__", None)
        if not names <= {*getattr(code, "co_names", ())}:
            version = getattr(aiomysql, "__version__", "?")
            raise ConfigError(
                f"aiomysql {version} is made otherwise than the versions known here, so that it "
                "cannot be kept from sending a password without TLS: install aiomysql 0.3.2, or "
                "use asyncmy"
            )


@functools.cache
def guarded(aiomysql: Any) -> type[Any]:
    """The class of connections that answer a greeting only if it offers TLS.

    Args:
        aiomysql: the module.
    """

    class Guarded(aiomysql.Connection):  # type: ignore[misc]
        async def _request_authentication(self) -> None:
            if self._ssl_context is None or not self.server_capabilities & _CLIENT_SSL:
                raise aiomysql.OperationalError(
                    _NO_TLS, "TLS is required, and the server does not offer it"
                )
            await super()._request_authentication()

    return Guarded
