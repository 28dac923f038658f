"""On call, word by word: each situation is dealt with by what the page says, on a real Airflow."""

from __future__ import annotations

import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulator.control_plane import ACCOUNT, REGION, ControlPlane
from tests.system.mail import mail_server, text_of
from tests.system.reader import Reader
from tests.system.standalone import airflow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from email.message import EmailMessage

PAGE = Path(__file__).parents[2] / "docs" / "on_call.rst"
NIGHTLY = "example_dynamodb_backup_nightly"
TABLES = [f"shop-{number:02}" for number in range(1, 40)]
DENIED = ("shop-07", "shop-21", "shop-33")
HOUR = 3600.0
pytestmark = [pytest.mark.reader, pytest.mark.timeout(900)]


class Night:
    """An Airflow whose nightly DAG has failed for three of forty tables."""

    def __init__(self, plane: ControlPlane, reader: Reader, mails: list[EmailMessage]) -> None:
        self.plane = plane
        self.reader = reader
        self.mails = mails

    def follow(self, section: str) -> None:
        """Do what a section of the page says."""
        self.reader.follow(PAGE, section)

    def tables(self) -> list[str]:
        """Return all tables."""
        names: list[str] = self.plane.client().list_tables()["TableNames"]
        return names


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """Let the night go by."""
    with mail_server() as (mails, smtp), ControlPlane(creating_for=10).serve() as plane:
        for table in ["orders", *TABLES]:
            plane.create_table(table)
            plane.tag_table(table, backup="nightly")
        plane.create_table("forgotten")
        plane.client().put_item(TableName="orders", Item={"id": {"S": "1"}, "total": {"N": "10"}})
        plane.policy = policy_without(DENIED)
        connections = {"AIRFLOW_CONN_AWS_DEFAULT": plane.connection(), "AIRFLOW_CONN_SMTP_DEFAULT": smtp}
        with airflow(connections, print) as running:
            run = running.api.start_due_run(NIGHTLY)
            assert run.end() == "failed"
            # As somebody has mended it by the morning.
            plane.policy = None
            environment = {
                **running.processes.environment,
                "AIRFLOW": running.url,
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
                "TOKEN": str(running.api.http.headers["Authorization"]).removeprefix("Bearer "),
            }
            home = tmp_path_factory.mktemp("reader")
            reader = Reader(home, environment, running.processes.home)
            reader.instead["scheduled__2026-11-28T02:00:00+00:00"] = run.run_id
            yield Night(plane, reader, mails)


def policy_without(tables: Sequence[str]) -> dict[str, Any]:
    """Return a policy that lets the nightly DAG back up all tables but some."""
    others = [
        f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}" for table in [*TABLES, "orders"] if table not in tables
    ]
    reading = ["DescribeTable", "DescribeBackup", "ListBackups", "ListTables", "ListTagsOfResource", "DeleteBackup"]
    anywhere = ["tag:GetResources", *(f"dynamodb:{operation}" for operation in reading)]
    return {
        "Statement": [
            {"Effect": "Allow", "Action": anywhere, "Resource": "*"},
            {"Effect": "Allow", "Action": "dynamodb:CreateBackup", "Resource": others},
        ]
    }


def test_some_tables_failed(night: Night) -> None:
    """A mail has named the three; they get their backups, and no other table gets a second one."""

    def backed_up() -> list[str]:
        return sorted(arn.split("/")[1] for arn in night.plane.backup_arns() if "/shop-" in arn)

    assert backed_up() == [table for table in TABLES if table not in DENIED]
    assert all(f"{table}: " in text_of(night.mails[0]) for table in DENIED)
    night.follow("3 of 40 tables failed")
    assert backed_up() == TABLES
    assert len(night.mails) == 1


def test_last_night_s_table_is_restored(night: Night) -> None:
    """It is there beside the damaged one, as it was."""
    client = night.plane.client()
    night.reader.instead["2026-11-28T03:10:00+00:00"] = datetime.now(tz=UTC).isoformat(timespec="seconds")
    client.delete_item(TableName="orders", Key={"id": {"S": "1"}})
    night.follow("Restore last night's table")
    assert client.scan(TableName="orders-restored")["Items"] == [{"id": {"S": "1"}, "total": {"N": "10"}}]
    assert client.scan(TableName="orders")["Items"] == []
    # It has the tag of the nightly DAG, too.
    night.plane.drop_table("orders-restored")


def test_a_prune_is_planned_and_made(night: Night) -> None:
    """The three oldest are gone, and only them."""
    client = night.plane.client()
    client.put_item(TableName="orders", Item={"id": {"S": "1"}, "total": {"N": "10"}})
    made = [night.plane.add_backups("orders", 1, "nightly-1", age=HOUR * age)[0] for age in range(33, 0, -1)]
    before = night.plane.backup_arns()
    night.follow("Plan a prune, then prune")
    assert set(before) - set(night.plane.backup_arns()) == set(made[:3])


def test_tables_without_a_backup_are_named(night: Night) -> None:
    """By a run that makes nothing."""
    before = night.plane.backup_arns()
    night.follow("Which tables have no backup?")
    assert night.plane.backup_arns() == before


def test_a_backup_is_proved(night: Night) -> None:
    """And nothing is left of the drill."""
    night.plane.client().put_item(TableName="orders", Item={"id": {"S": "1"}, "total": {"N": "10"}})
    before = night.tables()
    night.follow("Prove that a backup restores")
    assert night.tables() == before


def test_a_run_is_started_by_rest(night: Night) -> None:
    """The API takes it."""
    night.follow("By REST")


def test_each_section_is_followed() -> None:
    """A section with commands that nobody follows would be believed."""
    code = Path(__file__).read_text()
    found = re.findall(r"^(.+)\n-+$", PAGE.read_text(), flags=re.MULTILINE)
    assert found
    assert [title for title in found if f'follow("{title}")' not in code] == []
