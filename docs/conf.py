"""Sphinx's configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from docutils.nodes import Node, Text, literal_block, raw
from sphinx.util.docutils import SphinxDirective

from airflow_ddb_backup import __version__
from scripts.sequence import draw, parse
from scripts.terraform import policy_document

project = "airflow-ddb-backup"
author = "The airflow-ddb-backup maintainers"
copyright = author  # noqa: A001  # Sphinx's name for it
release = version = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
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
html_css_files = ["pages.css"]
# Of what a terminal shows, commands are copied, without their prompts and outputs.
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"


def hide_markers(_app: Any, tree: Any) -> None:
    """Leave the markers by which pages include parts of the examples out of whole ones."""
    for block in tree.findall(literal_block):
        lines = block.astext().splitlines()
        shown = [line for line in lines if not line.lstrip().startswith(("# [START", "# [END"))]
        if shown != lines:
            block.children = [Text("\n".join(shown))]
            block.rawsource = "\n".join(shown)


class IamPolicy(SphinxDirective):
    """``.. iam-policy:: FILE``: a policy to copy, as JSON and as Terraform, in tabs."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> list[Node]:
        """Return the tabs."""
        path = Path(self.env.relfn2path(self.arguments[0])[1])
        self.env.note_dependency(str(path))
        policy = path.read_text()
        lines = [".. tab-set::", "    :sync-group: iam", ""]
        terraform = policy_document(path.stem, json.loads(policy))
        for title, language, code in (("JSON", "json", policy), ("Terraform", "terraform", terraform)):
            lines += [f"    .. tab-item:: {title}", f"        :sync: {language}", ""]
            lines += [f"        .. code-block:: {language}", ""]
            lines += [f"            {line}" if line else "" for line in code.splitlines()] + [""]
        return self.parse_text_to_nodes("\n".join(lines))


class SequenceDiagram(SphinxDirective):
    """``.. sequence:: TITLE``: a diagram, drawn from its content."""

    required_arguments: ClassVar[int] = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[Node]:
        """Return the drawing, or the error that fails the build."""
        try:
            drawing = draw(self.arguments[0], *parse(self.content))
        except ValueError as error:
            raise self.error(str(error)) from error
        return [raw("", drawing, format="html")]


def setup(app: Any) -> None:
    """Register what this project adds to Sphinx."""
    app.add_directive("sequence", SequenceDiagram)
    app.add_directive("iam-policy", IamPolicy)
    app.connect("doctree-read", hide_markers)
