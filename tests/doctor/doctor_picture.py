"""Draw docs/doctor.svg: a real examination on the emulator, of a user without rds_iam.

Run it again when the doctor says something else: ``python tests/doctor/doctor_picture.py``.
"""

from __future__ import annotations

import os
import re
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

from sqlalchemy_rds_iam.cli.doctor_report import show
from sqlalchemy_rds_iam.doctor import Report, examine
from sqlalchemy_rds_iam.testing import RdsEmulator

PICTURE = Path(__file__).parents[2] / "docs" / "doctor.svg"
WIDTH = 100
_TITLE = "rds-iam doctor"
# A font from somewhere else, which is not loaded in another site's page anyway.
_FOREIGN = re.compile(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", re.DOTALL)


def draw(rds: RdsEmulator) -> str:
    """Examine a set-up without the grant, and draw what a terminal shows of it.

    Args:
        rds: the emulator, which the environment leads to.
    """
    rds.create_user("report", iam=False)
    page = Console(file=StringIO(), width=WIDTH, record=True, force_terminal=True)
    page.print(Text('$ rds-iam doctor "$DATABASE_URL"\n', "bold"))
    for line in _shown(examine(rds.url(user="report"))).split("\n"):
        # A terminal breaks what is too long for it; here it would be cut off.
        for piece in line.divide(range(WIDTH, len(line), WIDTH)):
            page.print(piece)
    svg = page.export_svg(title=_TITLE, unique_id="doctor")
    return "\n".join(line.rstrip() for line in _FOREIGN.sub("", svg).splitlines()) + "\n"


def _shown(report: Report) -> Text:
    output = StringIO()
    console = Console(file=output, width=WIDTH, force_terminal=True, color_system="standard")
    show(report, console)
    return Text.from_ansi(output.getvalue())


if __name__ == "__main__":
    with RdsEmulator() as emulator:
        os.environ.update(emulator.environ())
        PICTURE.write_text(draw(emulator), encoding="utf-8")
