"""The few processes of a real Airflow on SQLite, and all that it stores."""

from __future__ import annotations

import base64
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.simulator.control_plane import ControlPlane
from tests.system.backups import PATIENCE
from tests.system.rest_api import EARLY_3
from tests.system.standalone import EXAMPLE_DAGS, STANDALONE, SYSTEM_DAGS, Airflow, airflow, airflow_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.system.rest_api import Run

# The first test waits for Airflow too, and on Airflow 2 with SQLite one task runs at a time, for all runs.
pytestmark = pytest.mark.timeout(900)
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


class Standalone(NamedTuple):
    """An Airflow whose connection holds marked secrets, its control plane, and runs that have all begun at once.

    Each test has tables of its own.
    """

    airflow: Airflow
    plane: ControlPlane
    runs: dict[str, Run]


@pytest.fixture(scope="module")
def standalone() -> Iterator[Standalone]:
    """Run one Airflow for all tests here."""
    with ControlPlane(creating_for=15).serve() as plane:
        secrets = {"access_key": SECRETS["access_key"], "password": SECRETS["password"]}
        environment = {
            "AIRFLOW_CONN_AWS_DEFAULT": plane.connection(**secrets, **ROLE),
            "AIRFLOW_CONN_NO_REGION": plane.connection(region=None, **secrets),
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        # A triggerer's environment is not the workers'.
        elsewhere = airflow_program("triggerer", AWS_DEFAULT_REGION="eu-west-1")
        programs = [elsewhere if program.name == "triggerer" else program for program in STANDALONE]
        with airflow(environment, print, [EXAMPLE_DAGS, SYSTEM_DAGS], programs) as running:
            for table in ("rewritten", "awaited", "regional", "searched", "retried-one", "retried-many"):
                plane.create_table(table)
            (arn,) = plane.add_backups("awaited", 1)
            plane.statuses[arn] = "CREATING"
            start = running.api.start_run
            runs = {
                "rewrite": start("example_dynamodb_backup_before_rewrite", {"table_name": "rewritten"}),
                "hard": start("sensor_modes_hard_fail", {"backup_arn": arn}),
                "soft": start("sensor_modes_soft_fail", {"backup_arn": arn}),
                "no_region": start("no_region", {"table": "regional"}),
                "good": start("example_dynamodb_backup_before_rewrite", {"table_name": "searched"}),
                "bad": start("example_dynamodb_backup_before_rewrite", {"table_name": "serached"}),
                "retried": start("retried", {}),
            }
            yield Standalone(running, plane, runs)


def test_the_rewrite_reads_the_arn_of_the_deferred_backup(standalone: Standalone) -> None:
    """Worker, triggerer, and a worker again; and after clearing the whole run there is still one backup."""
    plane = standalone.plane
    run = standalone.runs["rewrite"]
    assert run.end(PATIENCE) == "success"
    (arn,) = (arn for arn in plane.backup_arns() if "/rewritten/" in arn)
    assert run.xcom("back_up", "return_value") == run.xcom("back_up", "backup_arn") == arn
    assert f"to go back, restore {arn}" in run.task_log("rewrite_table")
    log = run.task_log("back_up")
    assert "defer" in log.lower()
    assert f"Backup completed successfully: {arn}" in log
    address = "https://console.aws.amazon.com/dynamodbv2/home?region=us-east-1#table?name=rewritten"
    assert run.links("back_up") == {"DynamoDB backup": address}
    run.clear()
    assert run.end(PATIENCE) == "success"
    assert run.xcom("back_up", "return_value") == arn
    assert f"Reusing backup {arn}" in run.task_log("back_up", try_number=2)
    assert [each for each in plane.backup_arns() if "/rewritten/" in each] == [arn]


def test_a_sensor_that_is_out_of_time_fails_or_is_skipped(standalone: Standalone) -> None:
    """In every mode; the log names the backup, its last status and the time."""
    hard, soft = standalone.runs["hard"], standalone.runs["soft"]
    assert (hard.end(PATIENCE), soft.end(PATIENCE)) == ("failed", "success")
    modes = ["poke", "reschedule", "deferrable"]
    assert hard.task_states() == dict.fromkeys(modes, "failed")
    assert soft.task_states() == dict.fromkeys(modes, "skipped")
    for mode in modes:
        log = hard.task_log(mode)
        assert "The backup was not AVAILABLE in time" in log
        assert "table/awaited/backup/" in log


def test_the_triggerer_polls_in_the_region_of_the_worker(standalone: Standalone) -> None:
    """Neither the task nor its connection names one, and the two environments name different ones."""
    run = standalone.runs["no_region"]
    assert run.end(PATIENCE) == "success"
    assert ":us-east-1:" in run.xcom("back_up", "return_value")
    assert "defer" in run.task_log("back_up").lower()


@pytest.mark.parametrize("task", ["one", "many"])
def test_a_retry_after_a_deferral_waits_for_its_own_backup(standalone: Standalone, task: str) -> None:
    """Airflow 3.0 and 3.1.0 resume it with the event of the first try: it runs from the top, and defers again."""
    run = standalone.runs["retried"]
    assert run.end(PATIENCE) == "success"
    _, made = (arn for arn in standalone.plane.backup_arns() if f"/retried-{task}/" in arn)
    # Airflow 2's API gives a dict as text.
    returned = str(run.xcom(task, "return_value"))
    assert returned == made if task == "one" else f"{{'retried-many': '{made}'}}" in returned
    place = {"one": ("DynamoDB backup", "table?name=retried-one"), "many": ("DynamoDB backups", "list-backups")}[task]
    assert run.links(task) == {place[0]: f"https://console.aws.amazon.com/dynamodbv2/home?region=us-east-1#{place[1]}"}
    log = run.task_log(task, try_number=2)
    assert "defer" in log.lower()
    assert ("The event is of try 1, this is try 2" in log) == EARLY_3


def test_a_wait_that_no_triggerer_takes_is_out_of_time(standalone: Standalone) -> None:
    """Each version of Airflow has words of its own for it; the package says what is missing."""
    plane, airflow = standalone.plane, standalone.airflow
    for started in standalone.runs.values():
        started.end(PATIENCE)
    plane.create_table("unwatched")
    (arn,) = plane.add_backups("unwatched", 1)
    plane.statuses[arn] = "CREATING"
    airflow.processes.stop("triggerer")
    try:
        run = airflow.api.start_run("unwatched", {"backup_arn": arn})
        assert run.end(PATIENCE) == "failed"
    finally:
        airflow.processes.start_again("triggerer")
    assert run.task_states() == {"hard": "failed", "soft": "skipped"}, run.task_log("soft")
    log = run.task_log("hard")
    assert "No triggerer has reported on it until after the deadline: is one running?" in log
    assert arn in log


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
def stored(standalone: Standalone) -> tuple[set[tuple[str, str]], str]:
    """Return what was found after a run that succeeds and one that fails, and what was searched, as text."""
    home = standalone.airflow.processes.home
    ends = {name: run.end(PATIENCE) for name, run in standalone.runs.items()}
    assert (ends["good"], ends["bad"]) == ("success", "failed")
    with closing(sqlite3.connect(home / "airflow.db")) as database:
        dump = "\n".join(database.iterdump())
    (home / "airflow.sql").write_text(dump)
    logs = "".join(path.read_text() for path in (home / "logs").rglob("*.log"))
    return found_in(home), dump + logs


def test_no_secret_is_in_anything_that_airflow_stores(stored: tuple[set[tuple[str, str]], str]) -> None:
    """Not in the database, with its XComs, triggers and links, nor in any log."""
    found, _ = stored
    assert found == set()


def test_the_search_reads_what_airflow_stores(stored: tuple[set[tuple[str, str]], str]) -> None:
    """It would find what the task's XCom and log say."""
    _, text = stored
    assert "table/searched/backup/" in text
    assert "Backup completed successfully" in text
    assert "The table does not exist: table 'serached'" in text


def test_airflow_lists_the_provider() -> None:
    """``airflow providers list`` shows the package."""
    command = [sys.executable, "-W", "ignore", "-m", "airflow", "providers", "list", "--output", "json"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True)
    names = {provider["package_name"] for provider in json.loads(listed.stdout[listed.stdout.index("[{") :])}
    assert "airflow-ddb-backup" in names
