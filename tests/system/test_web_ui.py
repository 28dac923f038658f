"""Airflow's web UI as a user sees it, in a real browser."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.simulator.control_plane import ControlPlane
from tests.system.standalone import SYSTEM_DAGS, airflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.system.rest_api import Run

CHROMIUM = shutil.which("chromium")
MISSING = "chromium is not on this machine: apt-get install chromium"
# Set where skipping would hide something.
REQUIRED = "REQUIRE_CHROMIUM"
# Where the documentation's pictures go; by default nowhere.
SCREENSHOTS = os.environ.get("SCREENSHOTS", "")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM and REQUIRED not in os.environ, reason=MISSING),
]
# Root's Chromium has no sandbox; and it calls nobody but Airflow.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LINK = "https://console.aws.amazon.com/dynamodbv2/home?region=us-east-1#table?name=orders"


class Seen(NamedTuple):
    """A finished run, and its backup.

    :param url: the page of its task
    :param arn: the backup
    """

    url: str
    arn: str


class Runs(NamedTuple):
    """Two finished runs.

    :param succeeded: of a backup that took 40 s
    :param failed: of one that took longer than the task's timeout
    """

    succeeded: Seen
    failed: Seen


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    """Run one task to its success and one into its timeout, at the same time."""
    assert CHROMIUM, MISSING
    with ControlPlane(creating_for=40).serve() as plane:
        for table in ("orders", "invoices"):
            plane.create_table(table)
        plane.on_commit = lambda arn, _: plane.statuses.update({arn: "CREATING"} if "/invoices/" in arn else {})
        settings = {
            "AIRFLOW_CONN_AWS_DEFAULT": plane.connection(),
            # Whole lines fit into the pictures.
            "AIRFLOW__API__DEFAULT_WRAP": "True",
        }
        with airflow(settings, print, [SYSTEM_DAGS]) as running:
            patient = running.api.start_run("one_table_patient", {"table": "orders"})
            impatient = running.api.start_run("one_table_impatient", {"table": "invoices"})
            assert (patient.end(), impatient.end()) == ("success", "failed")

            def seen(run: Run) -> Seen:
                url = f"{running.url}/dags/{run.dag_id}/runs/{run.run_id}/tasks/back_up"
                return Seen(url, run.xcom("back_up", "backup_arn"))

            yield Runs(seen(patient), seen(impatient))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Open a browser without a past."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("browser"),
            executable_path=CHROMIUM,
            args=FLAGS,
            viewport={"width": 1440, "height": 720},
        )
        context.set_default_timeout(60_000)
        yield context.new_page()
        context.close()


def assert_shows(page: Page, *parts: str) -> None:
    """Assert that the page shows all parts, in this order, once it has loaded them: they come one by one."""
    from playwright.sync_api import expect

    shown = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
    expect(page.locator("body")).to_contain_text(shown, use_inner_text=True, timeout=60_000)


def take_picture(page: Page, name: str) -> None:
    """Take a picture for the documentation, if that is asked for."""
    if not SCREENSHOTS:
        return
    # Whose machine a traceback is of is of no interest.
    for traceback in page.get_by_text("BackupTimeoutError").all():
        traceback.click()
    page.screenshot(path=Path(SCREENSHOTS, f"{name}.png"))


def test_the_log_tells_of_start_progress_and_end(page: Page, runs: Runs) -> None:
    """In the words that the documentation shows."""
    url, arn = runs.succeeded
    page.goto(url)
    assert_shows(
        page,
        "Starting backup creation: table orders, backup name one_table_patient.back_up.",
        f"Backup {arn}: status CREATING, 30 s after it was started.",
        f"Backup completed successfully: {arn}",
    )
    take_picture(page, "log")


def test_xcom_holds_the_arn(page: Page, runs: Runs) -> None:
    """As ``backup_arn`` and as the return value."""
    url, arn = runs.succeeded
    page.goto(f"{url}/xcom")
    assert_shows(page, "backup_arn", arn, "return_value", arn)
    take_picture(page, "xcom")


def test_the_link_leads_to_the_table(page: Page, runs: Runs) -> None:
    """A button on the task's details."""
    page.goto(f"{runs.succeeded.url}/details")
    assert_shows(page, "DynamoDB backup")
    assert page.locator("a", has_text="DynamoDB backup").evaluate_all("links => links.map(link => link.href)") == [LINK]
    take_picture(page, "link")


def test_a_timeout_says_what_it_waited_for(page: Page, runs: Runs) -> None:
    """ARN, last status, elapsed time and the next step."""
    url, arn = runs.failed
    page.goto(url)
    assert_shows(
        page,
        f"The backup was not AVAILABLE in time: table 'invoices', backup '{arn}', region 'us-east-1'.",
        "Last status CREATING, ",
        "The backup continues: a retry finds it and waits for it.",
    )
    last = page.inner_text("body").partition("Last status CREATING, ")[2]
    assert 55 <= int(last.partition(" s after it was started.")[0]) < 90
    take_picture(page, "timeout")
