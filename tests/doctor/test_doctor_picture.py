"""docs/doctor.svg: what the picture shows is what the doctor says today."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

import pytest
from docs_support import documents
from doctor_catalogue import FAULTS
from doctor_picture import PICTURE, draw
from doctor_support import Ward, printed

from sqlalchemy_rds_iam.testing import RdsEmulator

ROOT = Path(__file__).parents[2]


def _words(svg: str) -> list[str]:
    """The lines of a picture; ports, times and lengths are those of the day."""
    lines: defaultdict[float, str] = defaultdict(str)
    for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        lines[float(text.get("y", 0))] += f"{text.text or ''} "
    shown = (" ".join(lines[y].split()) for y in sorted(lines))
    return [re.sub(r"\d+", "0", line) for line in shown if line]


def test_picture(rds: RdsEmulator) -> None:
    """It is drawn of a real run, and a run of today says the same."""
    kept = PICTURE.read_text(encoding="utf-8")
    assert _words(kept) == _words(draw(rds))
    said = " ".join(_words(kept))
    for words in ("rds-iam doctor", "✗ Certain:", 'GRANT rds_iam TO "report";', "rds-iam-missing"):
        assert words in said


@pytest.mark.parametrize("name", ["wrong case user", "account with a password"])
def test_the_other_examples(name: str, ward: Ward) -> None:
    """What the document shows as text is what is said of that fault, but for where it is."""
    FAULTS[name].inject(ward)
    said = printed(ward.examine(), verbose=False).splitlines()
    blocks = [block for block in documents()["docs/doctor.md"].blocks if "✗" in block.text]
    [block] = [block for block in blocks if FAULTS[name].code in block.text]
    host = re.compile(r"@[^:']+:(?:5432|3306)")
    for line in block.text.splitlines():
        if "postgresql+psycopg://" in line:
            assert line.partition("@")[0] in {each.partition("@")[0] for each in said}
        elif match := host.search(line):
            assert line[: match.start()] == said[0].partition("@")[0]
        else:
            assert line in said


def test_picture_is_self_contained() -> None:
    """Nothing is loaded from anywhere, and nothing of the machine it was made on is in it."""
    kept = PICTURE.read_text(encoding="utf-8")
    assert "url(http" not in kept
    assert not re.search(r"/(?:tmp|home|root|work)\b", kept)


def test_picture_is_shown() -> None:
    """The README and the document have it, and the document says how to make it anew."""
    assert "](docs/doctor.svg)" in (ROOT / "README.md").read_text()
    document = (ROOT / "docs" / "doctor.md").read_text()
    assert "](doctor.svg)" in document
    assert "python tests/doctor/doctor_picture.py" in document
