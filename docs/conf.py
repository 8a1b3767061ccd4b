"""How the documentation is built; `make docs` does it. See "Configuration" in Sphinx's manual."""

from __future__ import annotations

import re
from pathlib import Path

from pygments.lexers import IniLexer
from sphinx.application import Sphinx

import sqlalchemy_rds_iam

project = "sqlalchemy-rds-iam"
author = "The sqlalchemy-rds-iam developers"
version = release = sqlalchemy_rds_iam.__version__
root_doc = "index"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
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
        r"sqlalchemy_rds_iam\.testing\.(aws|background|database)\..*",
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
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
pygments_style = "tango"
pygments_dark_style = "monokai"

_ENTRY = re.compile(r"^(?:<!-- )?- \[(.+?)\]\(([\w-]+)\.md\)", re.MULTILINE)


def add_navigation(app: Sphinx, name: str, source: list[str]) -> None:
    """Make the sidebar of the lists on the first page, which stays plain Markdown by that.

    An entry in a comment is of a page that is still to come. It counts when the page is there.
    """
    if name != root_doc:
        return
    for section in source[0].split("\n## ")[1:]:
        caption, _, text = section.partition("\n")
        pages = [
            f"{title} <{page}>"
            for title, page in _ENTRY.findall(text)
            if Path(app.srcdir, f"{page}.md").exists()
        ]
        block = "\n".join([":hidden:", f":caption: {caption}", "", *pages])
        source[0] += f"\n```{{toctree}}\n{block}\n```\n"


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_lexer("env", IniLexer)
    app.connect("source-read", add_navigation)
