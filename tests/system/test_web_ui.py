"""Airflow's web UI as a user sees it, in a real browser."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.coverage_reports import HOUR, NOW, dozen, forged, leave, many, remove_all, report, table
from tests.simulator.control_plane import ControlPlane
from tests.system.backups import up_at
from tests.system.browser import CHROMIUM, FLAGS, IN_A_BROWSER, SCREENSHOTS, violations
from tests.system.standalone import SYSTEM_DAGS, airflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, FloatRect, Page, Playwright

    from tests.system.rest_api import Run
    from tests.system.standalone import Airflow

pytestmark = IN_A_BROWSER
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
    :param begun: when the runs began, in Unix seconds
    """

    succeeded: Seen
    failed: Seen
    begun: float


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    """Run one task to its success and one into its timeout, at the same time."""
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
            begun = plane.clock.time()
            patient = running.api.start_run("one_table_patient", {"table": "orders"})
            impatient = running.api.start_run("one_table_impatient", {"table": "invoices"})
            assert (patient.end(), impatient.end()) == ("success", "failed")

            def seen(run: Run) -> Seen:
                url = f"{running.url}/dags/{run.dag_id}/runs/{run.run_id}/tasks/back_up"
                return Seen(url, run.xcom("back_up", "backup_arn"))

            yield Runs(seen(patient), seen(impatient), begun)


@pytest.fixture(scope="module")
def page(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Open a browser without a past."""
    context = playwright.chromium.launch_persistent_context(
        tmp_path_factory.mktemp("browser"),
        executable_path=CHROMIUM,
        args=FLAGS,
        # A page of the documentation is 736 pixels wide: as wide is what the pictures show of this.
        viewport={"width": 1180, "height": 1000},
        device_scale_factor=2,
    )
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()


def assert_shows(page: Page, *parts: str) -> None:
    """Assert that the page shows all parts, in this order, once it has loaded them: they come one by one."""
    from playwright.sync_api import expect

    shown = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
    expect(page.locator("body")).to_contain_text(shown, use_inner_text=True, timeout=60_000)


def take_picture(page: Page, name: str, clip: FloatRect | None = None) -> None:
    """Take a picture for the documentation, if that is asked for, of the whole window or a part of it."""
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS, f"{name}.png"), clip=clip)


def take_picture_of_task(page: Page, name: str) -> None:
    """Take one of the task's own part of the page, which a reader can read."""
    # Whose machine a traceback is of is of no interest.
    for traceback in page.get_by_text("BackupTimeoutError").all():
        traceback.click()
    left, top = page.get_by_text("DynamoDBCreateBackupOperator").first.evaluate(
        "one => { const {x, y} = one.getBoundingClientRect(); return [x, y]; }"
    )
    width, height = page.evaluate("[innerWidth, innerHeight]")
    clip: FloatRect = {"x": left - 16, "y": top - 80, "width": width - left + 16, "height": height - top + 80}
    take_picture(page, name, clip)


def test_the_log_tells_of_start_progress_and_end(page: Page, runs: Runs) -> None:
    """In the words that the documentation shows."""
    url, arn = runs.succeeded
    page.goto(url)
    assert_shows(
        page,
        "Starting backup creation: table orders, backup name one_table_patient.back_up.",
        f"Status CREATING, 30 s after it was started. Backup {arn}",
        f"Backup completed successfully: {arn}",
    )
    take_picture_of_task(page, "log")


def test_xcom_holds_the_arn(page: Page, runs: Runs) -> None:
    """As ``backup_arn`` and as the return value."""
    url, arn = runs.succeeded
    page.goto(f"{url}/xcom")
    assert_shows(page, "backup_arn", arn, "return_value", arn)
    take_picture_of_task(page, "xcom")


def test_the_link_leads_to_the_table(page: Page, runs: Runs) -> None:
    """A button on the task's details."""
    page.goto(f"{runs.succeeded.url}/details")
    assert_shows(page, "DynamoDB backup")
    assert page.locator("a", has_text="DynamoDB backup").evaluate_all("links => links.map(link => link.href)") == [LINK]
    take_picture_of_task(page, "link")


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
    # A minute after the task has begun; a whole new one would make it 120 and more.
    assert runs.begun + 59 <= up_at(arn, page.inner_text("body")) < runs.begun + 115
    take_picture_of_task(page, "timeout")


class Coverage:
    """An Airflow without tasks, whose metadata database has the coverage reports that a test leaves.

    :param running: the Airflow
    :param browser: opens its pages
    """

    def __init__(self, running: Airflow, browser: Browser) -> None:
        from sqlalchemy import create_engine

        self.airflow = running.url
        self.url = f"{running.url}/dynamodb-backups/"
        self._processes = running.processes
        self._engine = create_engine(f"sqlite:///{running.processes.home}/airflow.db")
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    def has(self, *reports: Any) -> None:
        """Leave these reports, and no others."""
        from sqlalchemy.orm import Session

        with Session(self._engine) as session:
            remove_all(session)
            leave(session, *reports)

    def open(self, user: str = "ada", **options: Any) -> Page:
        """Open a new browser window.

        :param user: who is signed in; empty: nobody
        :param options: of the window
        """
        context = self._browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
        context.set_default_timeout(60_000)
        self._contexts.append(context)
        if user:
            body = {"username": user, "password": PASSWORDS[user]}
            token = context.request.post(f"{self.airflow}/auth/token", data=body).json()["access_token"]
            context.add_cookies([{"name": "_token", "value": token, "url": self.airflow, "httpOnly": True}])
        return context.new_page()

    def show(self, query: str = "", **options: Any) -> Page:
        """Open the page in a new window.

        :param query: what follows the page's address
        :param options: of the window
        """
        page = self.open(**options)
        page.goto(self.url + query)
        return page

    def server_seconds(self) -> float:
        """Return the processor time that the API server has taken."""
        return self._processes.cpu_seconds()["api-server"]

    def close(self) -> None:
        """Close all windows."""
        while self._contexts:
            self._contexts.pop().close()


PASSWORDS = {"ada": secrets.token_urlsafe(), "eve": secrets.token_urlsafe()}


@pytest.fixture(scope="module")
def _coverage(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coverage]:
    passwords = tmp_path_factory.mktemp("airflow") / "passwords.json"
    passwords.write_text(json.dumps(PASSWORDS))
    settings = {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        # Who may see everything and change nothing, and who may do neither.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "ada:viewer,eve:",
    }
    with airflow(settings, print, [], programs=[]) as running:
        yield Coverage(running, browser)


@pytest.fixture
def coverage(_coverage: Coverage) -> Iterator[Coverage]:
    """Return an Airflow whose page has no report yet."""
    _coverage.has()
    yield _coverage
    _coverage.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_in_the_menu(coverage: Coverage, scheme: str) -> None:
    """Under Browse; it is shown inside Airflow's web UI, in the colours that the user prefers."""
    coverage.has(dozen())
    page = coverage.open(color_scheme=scheme, viewport={"width": 860, "height": 900}, device_scale_factor=2)
    page.goto(coverage.airflow)
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="DynamoDB backups").click()
    frame = page.frame_locator("iframe")
    frame.get_by_role("cell", name="late").first.wait_for()
    ground = frame.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    take_picture(page, f"coverage_{scheme}")


def test_signing_in_opens_the_page(coverage: Coverage) -> None:
    """By Airflow's own form, and its cookie."""
    coverage.has(dozen())
    page = coverage.open(user="")
    page.goto(coverage.airflow)
    page.get_by_label("Username").fill("ada")
    page.locator("input[type=password]").fill(PASSWORDS["ada"])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Browse").wait_for()
    page.goto(coverage.url)
    assert_shows(page, "Account 111122223333, us-east-1", "customers", "late")


@pytest.mark.parametrize(("user", "reason"), [("", "You are not signed in"), ("eve", "You may not see this page")])
def test_a_stranger_is_refused(coverage: Coverage, user: str, reason: str) -> None:
    """Who has not signed in, and whose token has no right to see assets."""
    coverage.has(dozen())
    page = coverage.show(user=user)
    assert_shows(page, reason)
    assert "customers" not in page.inner_text("body")


def test_without_a_report_there_is_help(coverage: Coverage) -> None:
    """What to write, and what to run."""
    assert_shows(coverage.show(), "There is no report yet.", "DynamoDBBackupCoverageOperator", "outlets")


def colours(page: Page) -> set[str]:
    """Return the colours of the statuses that a page shows."""
    found = page.locator(".status").evaluate_all("found => found.map(one => getComputedStyle(one).color)")
    return set(found)


def test_a_stale_report_is_grey(coverage: Coverage) -> None:
    """Its statuses have no colours any more, and it says what that means."""
    coverage.has(dozen())
    assert len(colours(coverage.show())) == 4
    coverage.has(dozen(checked_at=(NOW - 48 * HOUR).isoformat()))
    page = coverage.show()
    assert_shows(page, "Stale:")
    assert len(colours(page)) == 1


def test_2500_tables_are_shown(coverage: Coverage) -> None:
    """All of them, by a server and a browser that have shown the page before. How long it takes is printed."""
    coverage.has(many(2500))
    coverage.show()
    page = coverage.open()
    tools = page.context.new_cdp_session(page)
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = coverage.server_seconds()
    page.goto(coverage.url)
    assert page.locator("tbody tr").count() == 2500
    server = coverage.server_seconds() - before
    metrics = {one["name"]: one["value"] for one in tools.send("Performance.getMetrics")["metrics"]}
    responded, loaded = page.evaluate(
        "() => { const {responseEnd, loadEventEnd} = performance.getEntriesByType('navigation')[0];"
        " return [responseEnd / 1000, loadEventEnd / 1000]; }"
    )
    print(  # noqa: T201  # the figures
        f"2,500 tables: shown after {loaded:.2f} s, {responded:.2f} s of them until the server had responded; "
        f"processor time: {server:.2f} s of the server, {metrics['TaskDuration']:.2f} s of the browser"
    )
    assert 0 < responded < loaded


def test_two_accounts_are_shown(coverage: Coverage) -> None:
    """Each with its own bar and table."""
    coverage.has(dozen(), dozen(account="999900001111", region="eu-west-1"))
    page = coverage.show()
    assert_shows(page, "Account 111122223333, us-east-1", "Account 999900001111, eu-west-1")
    assert (page.locator("svg").count(), page.locator("table").count()) == (2, 2)


def test_a_forged_report_does_nothing(coverage: Coverage) -> None:
    """Its markup is text; the browser runs and loads nothing, and reports no breach of the page's policy."""
    coverage.has(forged())
    page = coverage.open()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: said.append(request.url) if "dynamodb-backups" not in request.url else None)
    page.goto(coverage.url)
    assert_shows(page, "Account <script>document.title='forged'</script><img src=x")
    assert page.title() == "DynamoDB backups"
    assert page.locator("script, main img").count() == 0
    assert not [one for one in said if "favicon" not in one]


def test_a_report_of_another_version_is_shown(coverage: Coverage) -> None:
    """With what it may mean."""
    coverage.has(dozen(version=2))
    assert_shows(coverage.show(), "It is not of version 1", "customers")


def test_a_report_that_is_cut_short_is_shown(coverage: Coverage) -> None:
    """With what is missing: nothing that is left out passes for fresh."""
    cut = {name: value for name, value in dozen().items() if name in {"kind", "version", "counts", "tables"}}
    coverage.has(cut | {"tables": [table("orders"), {"table_name": "carts"}, {"sta": None}]})
    page = coverage.show()
    assert_shows(page, "Account not known, region not known", "Stale", "It lists 2 of 12 tables.", "orders")


def test_the_filter_needs_no_script(coverage: Coverage) -> None:
    """It is a link, which says that it is the present one."""
    coverage.has(dozen())
    page = coverage.show(java_script_enabled=False)
    page.get_by_role("link", name="Late").click()
    assert page.locator("tbody th").all_inner_texts() == ["customers", "shipments"]
    assert page.locator("[aria-current=page]").inner_text() == "Late 2"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_is_accessible(coverage: Coverage, scheme: str, width: int) -> None:
    """Axe finds no violation on any of its faces, on a phone and on a screen."""
    # Axe is a script.
    window = {"bypass_csp": True, "color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    stale = dozen(checked_at=None, error="2 tables are late.", version=2, region="eu-west-1")
    faces: list[tuple[list[Any], str, str]] = [
        ([dozen(), stale, report(region="eu-west-2")], "", "ada"),
        ([dozen(tables=[table("orders", point_in_time_recovery=True)])], "?status=late", "ada"),
        ([], "", "ada"),
        ([], "", "eve"),
    ]
    for reports, query, user in faces:
        coverage.has(*reports)
        assert violations(coverage.show(query, user=user, **window)) == []


def test_it_fits_a_phone(coverage: Coverage) -> None:
    """The table alone is wider, and scrolls by itself."""
    coverage.has(dozen(), dozen(account="9" * 500))
    page = coverage.show(viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator(".scroll").first.evaluate("one => one.scrollWidth > one.clientWidth")
    assert page.locator("caption").first.evaluate("one => one.getBoundingClientRect().right") <= 360
