"""Airflow's plugin with the page "DynamoDB backups", for Airflow 3.1.3 and newer.

The entry point group ``airflow.plugins`` is loaded in every Airflow process, but only the API server asks for a
plugin's apps and its places in the menu. They are made when they are asked for, and only then are FastAPI, Jinja2 and
the page imported. An older Airflow gets none: there a plugin's app can't tell who is signed in.
"""

from __future__ import annotations

import logging
from functools import cached_property
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from airflow import __version__
from airflow.providers.common.compat.sdk import AirflowPlugin

from airflow_ddb_backup.limits import PAGE_AIRFLOW

#: where the page is, below the path of Airflow's option ``[api] base_url``
PATH = "/dynamodb-backups"
TITLE = "DynamoDB backups"

log = logging.getLogger(__name__)


def is_supported(version: str) -> bool:
    """Return whether an Airflow tells a plugin's app who is signed in.

    :param version: of Airflow, such as ``3.1.3`` or ``3.2.0rc1``
    """
    from packaging.version import Version  # noqa: PLC0415  # no other process needs it

    return Version(version).release >= PAGE_AIRFLOW


class DynamoDBBackupsPlugin(AirflowPlugin):
    """The page and its entry in the menu."""

    name = "dynamodb_backups"

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # Airflow only reads it
        """The page, if this Airflow can keep it from those who may not see it."""
        if not is_supported(__version__):
            return []
        try:
            page = import_module("airflow_ddb_backup.coverage.page")
        except Exception:
            # What it imports checks who is signed in: where that is gone, or is called otherwise, there is no page, and
            # the API server starts.
            log.exception("There is no page %r: Airflow %s lacks what it needs.", TITLE, __version__)
            return []
        return [{"app": page.app, "url_prefix": PATH, "name": TITLE}]

    @cached_property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override]  # as above
        """The entry in the menu, if there is a page."""
        if not self.fastapi_apps:
            return []
        from airflow.configuration import conf  # noqa: PLC0415  # no other process needs it

        root = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
        view = {"name": TITLE, "href": f"{root}{PATH}/", "destination": "nav", "url_route": PATH.strip("/")}
        return [view | {"category": "browse"}]
