"""The plugin: what it registers, where, and what it costs the processes that have no page."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_ddb_backup.coverage import plugin

NAME = "airflow_ddb_backup.coverage.plugin"


def registered() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the apps and the views that Airflow finds."""
    made = plugin.DynamoDBBackupsPlugin()
    return made.fastapi_apps, made.external_views


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the page be imported on any Airflow, and return what was imported."""
    found: list[str] = []

    def import_page(name: str) -> SimpleNamespace:
        found.append(name)
        return SimpleNamespace(app="the app")

    monkeypatch.setattr(plugin, "import_module", import_page)
    return found


@pytest.mark.parametrize("version", ["3.1.3", "3.1.8", "3.2.0rc1", "3.10.0", "4.0"])
def test_a_newer_airflow_has_the_page(version: str, imported: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An app, and an entry in the menu that leads to it."""
    monkeypatch.setattr(plugin, "__version__", version)
    ((app,), (view,)) = registered()
    assert (app["app"], app["url_prefix"]) == ("the app", "/dynamodb-backups")
    assert (view["name"], view["destination"]) == ("DynamoDB backups", "nav")


@pytest.mark.parametrize("version", ["2.11.0", "2.11.2", "3.0.6", "3.1.0", "3.1.2", "3.1"])
def test_an_older_airflow_has_none(version: str, imported: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is registered, and nothing imported."""
    monkeypatch.setattr(plugin, "__version__", version)
    assert registered() == ([], [])
    assert imported == []


@pytest.mark.parametrize("kind", [ImportError, AttributeError, TypeError, OSError])
def test_an_airflow_that_lacks_what_the_page_needs_has_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: type[Exception]
) -> None:
    """Without what checks who is signed in there is no page, the API server starts, and its log has the reason."""

    def fail(name: str) -> None:
        raise kind(name)

    monkeypatch.setattr(plugin, "__version__", "4.0.0")
    monkeypatch.setattr(plugin, "import_module", fail)
    assert registered() == ([], [])
    assert "There is no page 'DynamoDB backups': Airflow 4.0.0 lacks what it needs." in caplog.text


@pytest.mark.parametrize(
    ("base_url", "href"),
    [
        ("http://localhost:8080", "/dynamodb-backups/"),
        ("https://example.org/airflow", "/airflow/dynamodb-backups/"),
        ("https://example.org/team/airflow/", "/team/airflow/dynamodb-backups/"),
        ("", "/dynamodb-backups/"),
    ],
)
def test_the_link_has_the_path_of_the_base_url(
    base_url: str, href: str, imported: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow may be mounted below another path."""
    monkeypatch.setattr(plugin, "__version__", "3.3.0")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    assert [view["href"] for view in registered()[1]] == [href]


def test_airflow_finds_it() -> None:
    """By its entry point, on every version; it has an entry in the menu where there is a page."""
    command = [sys.executable, "-W", "ignore", "-m", "airflow", "plugins", "--output", "json"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "dynamodb_backups" in told
    assert ("/dynamodb-backups/" in told) == plugin.is_supported(import_module("airflow").__version__)


def test_other_processes_load_nothing_for_it() -> None:
    """Those that load the plugins and ask for none of the API server's: two small modules, and nothing of others."""
    code = (
        "import sys, airflow.plugins_manager; before = set(sys.modules); "
        f"from {NAME} import DynamoDBBackupsPlugin; DynamoDBBackupsPlugin().listeners; "
        "print(*sorted(set(sys.modules) - before))"
    )
    seen = subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True)
    loaded = seen.stdout.split()
    assert {name.partition(".")[0] for name in loaded} <= {"airflow", "airflow_ddb_backup"}
    ours = {"airflow_ddb_backup", "airflow_ddb_backup.coverage", NAME, "airflow_ddb_backup.limits"}
    assert {name for name in loaded if name.startswith("airflow_ddb_backup")} <= ours
