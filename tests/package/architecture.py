"""What imports what in the package; run as a program it draws the picture of it anew."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import sqlalchemy_rds_iam

PACKAGE = Path(sqlalchemy_rds_iam.__file__).parent
PICTURE = PACKAGE.parent / "docs/diagrams/architecture.svg"
FILES = sorted(PACKAGE.rglob("*.py"))
ORDER = [
    *("errors", "_frames", "_masking", "_concurrency", "_fork", "_registry", "_requirements"),
    *("_ratelimit", "_endpoints", "_config", "_owners", "_tls", "_passwords"),
    *("events", "_aws", "_databases", "_failover", "_secretsmanager", "_connecting"),
    *("stats", "otel", "plugin", "secret_plugin", "_entry_points", "_routing"),
    *("_access", "_token", "_tools", "doctor", "testing", "cli"),
]
"""Each may import those before it: folders, and the modules at the root."""

_CELL, _LEFT, _TOP = 20, 160, 40


def dotted(file: Path) -> str:
    """The name of a module in the package."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def room(name: str) -> str:
    """The folder, or the module at the root, that a module belongs to."""
    return name.partition(".")[0]


def imported(file: Path) -> set[str]:
    """The modules of the package that a file imports."""
    names = {
        name.removeprefix("sqlalchemy_rds_iam.")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        for name in _modules(node)
        if name.startswith("sqlalchemy_rds_iam.")
    }
    return names - set(sqlalchemy_rds_iam.__all__)


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        module = node.module.split(".")
        # What is imported from a folder is one of its modules.
        if len(module) > 1 and not (PACKAGE / "/".join(module[1:])).is_dir():
            return [node.module]
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def picture() -> str:
    """An SVG file: a row and a column for each room, and a square where the row imports the column.

    No square is ever drawn above the diagonal unless an import points the wrong way.
    """
    files = Counter(room(dotted(file)) for file in FILES)
    pairs = Counter(
        (room(dotted(file)), other)
        for file in FILES
        for other in {room(name) for name in imported(file)} - {room(dotted(file))}
    )
    size, shapes = _CELL * len(ORDER), []
    for row, name in enumerate(ORDER):
        x, y = _LEFT + row * _CELL, _TOP + row * _CELL
        label = f"{name}.py" if (PACKAGE / f"{name}.py").exists() else f"{name}/"
        shapes += [
            _text(_LEFT - 34, y + 14, "name", label, "end"),
            _text(_LEFT - 8, y + 14, "number", row + 1, "end"),
            _text(x + 10, _TOP - 8, "number", row + 1),
            f'<path class="line" d="M{_LEFT} {y}h{size}M{x} {_TOP}v{size}"/>',
            f'<rect class="own" x="{x}" y="{y}" width="{_CELL}" height="{_CELL}"/>',
            _text(x + 10, y + 14, "files", files[name]),
        ]
        for column, other in enumerate(ORDER):
            if count := pairs[name, other]:
                css = "wrong" if column > row else "import"
                says = f"{count} of {files[name]} files of {label} import {other}"
                shapes.append(
                    f'<rect class="{css}" x="{_LEFT + column * _CELL + 3}" y="{y + 3}" width="14" '
                    f'height="14" rx="2" fill-opacity="{0.35 + 0.65 * count / files[name]:.2f}">'
                    f"<title>{says}</title></rect>"
                )
    shapes.append(f'<path class="line" d="M{_LEFT} {_TOP + size}h{size}v-{size}"/>')
    return _FRAME.format(width=_LEFT + size + 20, height=_TOP + size + 20, body="\n".join(shapes))


def _text(x: int, y: int, css: str, content: object, anchor: str = "middle") -> str:
    return f'<text class="{css}" x="{x}" y="{y}" text-anchor="{anchor}">{content}</text>'


_FRAME = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"
  height="{height}" role="img" aria-labelledby="title desc"
  font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif">
<title id="title">What imports what</title>
<desc id="desc">A matrix of the folders in their order. All squares are below the diagonal.</desc>
<style>
  .name {{ font-size: 13px; fill: #1f2933 }} .number {{ font-size: 11px; fill: #616e7c }}
  .files {{ font-size: 10.5px; fill: #ffffff }} .own {{ fill: #52606d }}
  .line {{ stroke: #d5dce3; fill: none }} .paper {{ fill: #f7f9fb }}
  .import {{ fill: #1f6fb5 }} .wrong {{ fill: #c2332b }}
</style>
<rect class="paper" width="{width}" height="{height}" rx="8"/>
{body}
</svg>
"""

if __name__ == "__main__":
    PICTURE.write_text(picture(), "utf-8")
