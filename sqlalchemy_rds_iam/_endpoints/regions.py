"""What an AWS region is called, and what to say about a text that is none. Pure.

Source: "Regions and Zones" in the Amazon EC2 user guide. The list of regions grows, so the form of
a name is looked at, not the name.
"""

from __future__ import annotations

import re
from typing import Any

REGION = r"[a-z]{2,4}(?:-[a-z]+){1,3}-[0-9]+"
"""The pattern of a region's name, in every partition."""

# us-east-1a is an availability zone, us-east-1-bos-1a a local one.
_ZONE = rf"({REGION})(?:[a-z]|-[a-z0-9-]+[a-z])"
# As in "Amazon RDS eu-west-1 Root CA RSA2048 G1", "Amazon RDS Beta us-east-1 2019 CA". The space
# at the end is asked for because in DER the next name begins with what reads as a digit.
_CA = rf"Amazon RDS (?:[A-Z][A-Za-z]+ )?({REGION}) "
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"


def as_region(value: Any) -> str:
    """The name of a region, without the white space around it.

    Raises:
        ValueError: it is none; says what was expected.
    """
    text = str(value).strip()
    if re.fullmatch(REGION, text):
        return text
    raise ValueError(f"a region such as 'eu-central-1'{_hint(text) if text else ''}")


def regions_of_ca(names: str) -> list[str]:
    """The regions in the names of Amazon's certificate authorities.

    Args:
        names: the names, each with a space at its end; or a certificate in DER, as Latin-1.
    """
    return re.findall(_CA, names)


def _hint(text: str) -> str:
    bare = text.strip(_QUOTES).strip()
    name = bare.lower().replace("_", "-")
    if zone := re.fullmatch(_ZONE, name):
        return f"; this is a zone of {zone[1]!r}"
    if not re.fullmatch(REGION, name):
        return ", by its code and not by its name"
    return f"; write {name} without quotes" if bare != text else f"; write {name}"
