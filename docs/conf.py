"""Sphinx's configuration."""

from __future__ import annotations

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
    ("py:class", r"(NoReturn|Self|WaitResult|BackupWait|ErrorContext|timedelta|optional|AwsHookType)"),
]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
