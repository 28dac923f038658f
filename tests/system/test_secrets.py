"""No secret leaves the connection."""

from __future__ import annotations

import base64
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.dynamodb.control_plane import ControlPlane
from tests.system.standalone import airflow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRETS = {
    "access_key": "AKIAMARKEDACCESSKEY1",
    "password": "marked/secret+access/key",
    "aws_session_token": "marked-session-token",
    "external_id": "marked-external-id",
}
ROLE: dict[str, Any] = {
    "role_arn": "arn:aws:iam::123456789012:role/table-backups",
    "assume_role_kwargs": {"ExternalId": SECRETS["external_id"]},
    "aws_session_token": SECRETS["aws_session_token"],
}
DAG_ID = "example_dynamodb_backup_alert"


def forms(secret: str) -> Iterator[bytes]:
    """Spell a secret in the ways in which programs do."""
    yield secret.encode()
    yield base64.b64encode(secret.encode())
    yield secret.replace("/", "%2F").replace("+", "%2B").encode()
    yield secret.replace("/", "\\/").encode()


def found_in(home: Path) -> set[tuple[str, str]]:
    """Return the secrets, and the files of Airflow's home that they are in."""
    files = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    return {
        (name, str(path.relative_to(home)))
        for path, content in files.items()
        for name, secret in SECRETS.items()
        for form in forms(secret)
        if form in content
    }


@pytest.fixture(scope="module")
def stored() -> Iterator[tuple[set[tuple[str, str]], str]]:
    """Return what was found after a run that succeeds and one that fails, and what was searched, as text."""
    with ControlPlane(creating_for=15).serve() as plane:
        plane.create_table("orders")
        connection = plane.connection(access_key=SECRETS["access_key"], password=SECRETS["password"], **ROLE)
        with airflow({"AIRFLOW_CONN_AWS_DEFAULT": connection}, print) as running:
            runs = [running.api.start_run(DAG_ID, {"table_name": table}) for table in ("orders", "ordres")]
            assert [run.end() for run in runs] == ["success", "failed"]
            home = running.processes.home
            with closing(sqlite3.connect(home / "airflow.db")) as database:
                dump = "\n".join(database.iterdump())
            (home / "airflow.sql").write_text(dump)
            logs = "".join(path.read_text() for path in (home / "logs").rglob("*.log"))
            yield found_in(home), dump + logs


def test_no_secret_is_in_anything_that_airflow_stores(stored: tuple[set[tuple[str, str]], str]) -> None:
    """Not in the database, with its XComs, triggers and links, nor in any log."""
    found, _ = stored
    assert found == set()


def test_the_search_reads_what_airflow_stores(stored: tuple[set[tuple[str, str]], str]) -> None:
    """It would find what the task's XCom and log say."""
    _, text = stored
    assert "table/orders/backup/" in text
    assert "Backup completed successfully" in text
    assert "The table does not exist: table 'ordres'" in text
