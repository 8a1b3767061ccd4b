"""What requests of AWS's JSON 1.1 protocol hold, and the answers and refusals written in it."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

from aiohttp import web

from sqlalchemy_rds_iam.testing.aws.service import AwsError, Call

Json = dict[str, Any]


def parameters(call: Call) -> Json:
    """The parameters of `call`.

    Raises:
        AwsError: The body is no JSON object.
    """
    try:
        given = json.loads(call.body)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise AwsError(400, "SerializationException", "The request body is not a JSON object.")
    return given


def text(given: Json, name: str) -> str | None:
    """The parameter `name`, None when it is absent.

    Raises:
        AwsError: It is no text, or empty.
    """
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise AwsError(400, "SerializationException", f"{name} must be a string.")
    if not value:
        raise unmet(name, value, "Member must have length greater than or equal to 1")
    return value


def required(given: Json, name: str) -> str:
    """The parameter `name`.

    Raises:
        AwsError: It is absent, no text, or empty.
    """
    value = text(given, name)
    if value is None:
        raise unmet(name, None, "Member must not be null")
    return value


def binary(given: Json, name: str) -> bytes | None:
    """The parameter `name` out of its Base64, None when it is absent.

    Raises:
        AwsError: It is no Base64.
    """
    encoded = text(given, name)
    try:
        return None if encoded is None else b64decode(encoded, validate=True)
    except ValueError:
        raise AwsError(400, "SerializationException", f"{name} must be Base64.") from None


def unmet(name: str, value: str | None, constraint: str) -> AwsError:
    """The refusal of a parameter against the service's model. `value` may be no secret."""
    shown = "null" if value is None else f"'{value}'"
    return AwsError(
        400,
        "ValidationException",
        f"1 validation error detected: Value {shown} at '{name[0].lower()}{name[1:]}' failed to "
        f"satisfy constraint: {constraint}",
    )


def misused(message: str) -> AwsError:
    """The refusal of a parameter that the operation cannot take like this."""
    return AwsError(400, "InvalidParameterException", message)


def response(document: Json, status: int = 200) -> web.Response:
    """An answer."""
    return web.Response(
        status=status,
        body=json.dumps(document).encode(),
        headers={"Content-Type": "application/x-amz-json-1.1"},
    )
