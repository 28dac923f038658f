"""Sphinx's configuration."""

from __future__ import annotations

from typing import Any

from docutils.nodes import Text, literal_block

from airflow_ddb_backup import __version__

project = "airflow-ddb-backup"
author = "The airflow-ddb-backup maintainers"
copyright = author  # noqa: A001  # Sphinx's name for it
release = version = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"airflow-ddb-backup {release}"
exclude_patterns = ["_build"]
nitpicky = True
# The members of other packages, whose documentation is not read here: a build needs no network.
nitpick_ignore_regex = [
    ("py:.*", r"(airflow|botocore|collections|datetime)\..*"),
    ("py:class", r"(Any|Context|Config|Iterator|AsyncIterator|Mapping|Sequence|XComArg|TriggerEvent|PokeReturnValue)"),
    ("py:class", r"(NoReturn|Self|WaitResult|BackupWait|ErrorContext|timedelta|datetime|optional|AwsHookType)"),
]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
html_static_path = ["_static"]
html_css_files = ["wrap.css"]


def hide_markers(_app: Any, tree: Any) -> None:
    """Leave the markers by which pages include parts of the examples out of whole ones."""
    for block in tree.findall(literal_block):
        lines = block.astext().splitlines()
        shown = [line for line in lines if not line.lstrip().startswith(("# [START", "# [END"))]
        if shown != lines:
            block.children = [Text("\n".join(shown))]
            block.rawsource = "\n".join(shown)


def setup(app: Any) -> None:
    """Register what this project adds to Sphinx."""
    app.connect("doctree-read", hide_markers)
