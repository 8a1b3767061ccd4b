"""Option files: what the clients of MySQL read in them is what was written, byte for byte."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from patience import DEADLINE

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._tools.mysql_option_file import option_file, quoted

READER = shutil.which("my_print_defaults")
"""MariaDB's own parser of option files, as a program."""


@pytest.mark.skipif(READER is None, reason="there is no my_print_defaults")
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=600))
@example("")
@example(" leading and trailing ")
@example("#no comment; and [no group]")
@example("\\n\\s\\")
@example("a'b\"c")
@example("two\nlines = 1\r\n[other]")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value(tmp_path: Path, value: str) -> None:
    """Whatever a value is made of, it is that and no other option."""
    file = tmp_path / "my.cnf"
    text = option_file({"client": {"host": value, "flag": None}, "other": {"port": "1"}})
    file.write_text(text, "utf-8", newline="")
    file.chmod(0o600)
    done = subprocess.run(
        [str(READER), f"--defaults-file={file}", "client"],
        capture_output=True,
        timeout=DEADLINE,
        check=True,
    )
    assert done.stdout == f"--host={value}\n--flag\n".encode()


def test_plain() -> None:
    """What is harmless stays as it is, for the parsers that know less."""
    for value in ("/home/app/.cache/ca.pem", "db-1.abc.eu-west-1.rds.amazonaws.com", "3306", "a@b"):
        assert quoted(value) == value
    assert quoted("a b") == '"a b"'


@pytest.mark.parametrize("value", ["a\0b", "a" * 4001, "€" * 1400])
def test_what_cannot_be_written(value: str) -> None:
    """A zero byte, or more than what the clients take for one line, is refused."""
    with pytest.raises(ConfigError, match=r"host='a|host='\\u20ac"):
        option_file({"client": {"host": value}})
