"""docs/examples, read: the files that people copy."""

from __future__ import annotations

import json

import pytest
from docs_support import ROOT

yaml = pytest.importorskip("yaml")

EXAMPLES = ROOT / "docs/examples"
TEXTS = {
    file.name: file.read_text("utf-8") for file in sorted(EXAMPLES.iterdir()) if file.is_file()
}
YAML = {
    name: list(yaml.safe_load_all(text)) for name, text in TEXTS.items() if name.endswith(".yaml")
}
JSON = {name: json.loads(text) for name, text in TEXTS.items() if name.endswith(".json")}
VARIABLES = {"DATABASE_URL", "DATABASE_POOL_SIZE"}
"""What app.py reads, as `test_settings` says."""
