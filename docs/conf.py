"""How the documentation is built; `make docs` does it. See "Configuration" in Sphinx's manual."""

from __future__ import annotations

import sys
from pathlib import Path

from pygments.lexers import IniLexer
from sphinx.application import Sphinx

import sqlalchemy_rds_iam

SITE = Path(__file__).with_name("_site")
sys.path.insert(0, str(SITE))

from pages import add_lead, add_navigation, describe
from search_entries import SearchEntries

project = "sqlalchemy-rds-iam"
author = "The sqlalchemy-rds-iam developers"
version = release = sqlalchemy_rds_iam.__version__
root_doc = "index"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_site"]
# As the repository's web view makes anchors of headings.
myst_heading_anchors = 4
nitpicky = True
# Their documentation would have to be fetched to be linked to, and a build needs no network.
nitpick_ignore_regex = [
    ("py:.*", r"(sqlalchemy|collections|contextlib|pathlib|ssl|typing|_pytest)\..*"),
    ("py:class", "Engine|AsyncEngine"),
    # Types of attributes that are not for users.
    (
        "py:class",
        r"sqlalchemy_rds_iam\.testing\.(aws|background|database|mysql|postgresql|server)\..*",
    ),
]

autodoc_member_order = "bysource"
# As written, or `os.environ` would be shown with all that the environment of the build holds.
autodoc_preserve_defaults = True
maximum_signature_line_length = 80
autodoc_typehints_format = "short"
add_module_names = False
napoleon_numpy_docstring = False
default_role = "code"

html_theme = "furo"
html_title = "sqlalchemy-rds-iam"
html_static_path = ["_site/static"]
html_favicon = "_site/static/favicon.svg"
html_search_scorer = str(SITE / "scorer.js")
html_css_files = ["site.css"]
html_js_files = [("tables.js", {"defer": "defer"})]
html_copy_source = False
# It would list each message of the search entries.
html_use_index = False
html_show_sphinx = False
html_show_copyright = False
pygments_style = "tango"
pygments_dark_style = "monokai"

# A block that shows a command and what it prints is copied without the prompt and the output.
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_lexer("env", IniLexer)
    app.add_transform(SearchEntries)
    app.connect("source-read", add_navigation)
    app.connect("doctree-read", add_lead)
    app.connect("html-page-context", describe)
