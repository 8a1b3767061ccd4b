"""What can go wrong, as types.

::

    RdsIamError                 everything raised by this package; also a SQLAlchemyError
    ├── ConfigError             refused at create_engine(); also a SQLAlchemy ArgumentError
    ├── CredentialsError        no AWS credentials; `retryable` says if a retry may succeed
    │   └── SecretError         the secret with the password could not be fetched, or cannot be used
    ├── RoutingError            a write where a session reads only; also an InvalidRequestError
    ├── WaitTimeout             the plugin's timeout ran out; also a built-in TimeoutError
    └── WrongServerError        no server of the wanted kind answers; also a built-in TimeoutError

A login that the server refuses is not in this tree: it stays the driver's own error, as SQLAlchemy
wraps it, with a note (PEP 678) that says what was signed and what to look at.
"""

from __future__ import annotations

from sqlalchemy.exc import ArgumentError, InvalidRequestError, SQLAlchemyError


class RdsIamError(SQLAlchemyError):
    """Base of every error this package raises.

    Being a ``SQLAlchemyError`` it is caught by the ``except SQLAlchemyError`` that applications
    already have, although SQLAlchemy passes errors of a ``do_connect`` listener on unwrapped.
    """

    retryable = False
    """Whether the same call may succeed later without any manual change."""


class ConfigError(RdsIamError, ArgumentError):
    """An option, URL or connect argument that cannot work; the message says what to do instead."""


class CredentialsError(RdsIamError):
    """AWS credentials are missing, cannot be fetched, or were refused by AWS itself."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class SecretError(CredentialsError):
    """The secret cannot be fetched from AWS Secrets Manager, or has no password to log in with."""


class RoutingError(RdsIamError, InvalidRequestError):
    """A write inside ``on_reader()``; it was not sent, and what is pending in the session stays."""


class WaitTimeout(RdsIamError, TimeoutError):  # noqa: N818  (named like SQLAlchemy's TimeoutError)
    """The token or password did not arrive in time (``…_timeout``); the fetch itself goes on."""

    retryable = True


class WrongServerError(RdsIamError, TimeoutError):
    """The endpoint leads to another kind of server than wanted (``…_target_session_attrs``)."""

    retryable = True


def fresh_copy(error: BaseException) -> RdsIamError:
    """A new error to raise for a shared one, which would else gather every waiter's traceback."""
    kind = type(error) if isinstance(error, CredentialsError) else CredentialsError
    copy = kind(str(error), retryable=getattr(error, "retryable", False))
    copy.__cause__ = error
    return copy
