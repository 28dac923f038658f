"""The page "DynamoDB backups" in Airflow's own web application, on a real metadata database."""

from __future__ import annotations

import secrets
import warnings
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.coverage.plugin import is_supported
from tests.coverage_reports import HOUR, NOW, dozen, fail, forged, leave, many, remove_all, report, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session
    from starlette.testclient import TestClient

    from tests.simulator.control_plane import ControlPlane
    from tests.system.conftest import RunDag

pytestmark = pytest.mark.skipif(
    not is_supported(import_module("airflow").__version__), reason="this Airflow has no such pages"
)
PAGE = "/dynamodb-backups/"
FAILED_SINCE = "The task has failed since"


@pytest.fixture(scope="module")
def application(_airflow_database: None) -> Any:
    """Return Airflow's web application, with its plugins."""
    from airflow.api_fastapi.app import create_app
    from sqlalchemy.orm import configure_mappers

    with warnings.catch_warnings():
        # Those of Airflow's models would be taken for ours.
        warnings.simplefilter("ignore")
        configure_mappers()
    with pytest.MonkeyPatch.context() as patch:
        # Airflow 3.1 has none by default, which PyJWT no longer takes.
        patch.setenv("AIRFLOW__API_AUTH__JWT_ISSUER", "airflow")
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", secrets.token_hex(64))
        yield create_app(apps="core")


@pytest.fixture
def signed_out(application: Any) -> TestClient:
    """Return a browser that has not signed in."""
    with warnings.catch_warnings():
        # Of the httpx that it uses.
        warnings.simplefilter("ignore")
        from starlette.testclient import TestClient

    return TestClient(application)


@pytest.fixture
def browser(signed_out: TestClient) -> TestClient:
    """Return the browser of somebody who may see everything and change nothing."""
    signed_out.cookies["_token"] = token("viewer")
    return signed_out


@pytest.fixture
def session(application: Any) -> Iterator[Session]:
    """Return a session of the metadata database, without any assets."""
    from airflow.utils.session import create_session

    with create_session() as session:
        # Other tests' DAGs leave reports too.
        remove_all(session)
        yield session
        session.rollback()
        remove_all(session)


def token(role: str) -> str:
    """Return what Airflow's sign-in gives to a user.

    :param role: of the user; empty: none
    """
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    return str(get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="ada", role=role)))


def test_it_shows_a_report_to_who_is_signed_in(browser: TestClient, session: Session) -> None:
    """By the cookie that Airflow's web UI has."""
    leave(session, dozen())
    response = browser.get(PAGE)
    assert response.status_code == 200
    assert "customers" in response.text


@pytest.mark.clock_speed(1)
def test_a_check_is_shown(browser: TestClient, session: Session, run_dag: RunDag, control_plane: ControlPlane) -> None:
    """What the operator has found is on the page, whose clock is the real one, once its task has succeeded."""
    control_plane.add_backups("orders", 3, age=3600)
    assert run_dag("coverage_outlet").state == "success"
    text = browser.get(PAGE).text
    assert '<th scope="row">orders</th>' in text
    assert "<strong>" not in text


def test_it_is_in_the_menu(browser: TestClient) -> None:
    """Under Browse, in a frame."""
    plugins = browser.get("/api/v2/plugins", headers={"Authorization": f"Bearer {token('admin')}"}).json()["plugins"]
    (plugin,) = (one for one in plugins if one["name"] == "dynamodb_backups")
    (view,) = plugin["external_views"]
    assert (view["name"], view["href"], view["category"]) == ("DynamoDB backups", PAGE, "browse")


@pytest.mark.parametrize("cookie", [None, "", "no token", "a.b.c"])
def test_it_is_refused_to_who_is_not_signed_in(signed_out: TestClient, session: Session, cookie: str | None) -> None:
    """Nothing of any report is told."""
    leave(session, dozen())
    if cookie is not None:
        signed_out.cookies["_token"] = cookie
    response = signed_out.get(PAGE)
    assert response.status_code in {401, 403}
    assert "customers" not in response.text


def test_it_is_refused_to_who_may_not_see_assets(signed_out: TestClient, session: Session) -> None:
    """The page says which permission is missing."""
    leave(session, dozen())
    signed_out.cookies["_token"] = token("")
    response = signed_out.get(PAGE)
    assert response.status_code == 403
    assert "permission to read assets" in response.text
    assert "customers" not in response.text


def test_reports_of_dags_that_a_user_may_not_see_are_left_out(
    browser: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As are their events in Airflow's own pages."""
    from airflow.api_fastapi.app import get_auth_manager

    leave(session, report(table("secret")), dag_id="hidden")
    leave(session, report(table("orders"), region="eu-west-1"), dag_id="open", asset="another")
    monkeypatch.setattr(get_auth_manager(), "get_authorized_dag_ids", lambda **_: {"open"})
    text = browser.get(PAGE).text
    assert "orders" in text
    assert "secret" not in text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_it_can_only_be_read(browser: TestClient, method: str) -> None:
    """There is nothing that a forged request could do."""
    assert browser.request(method, PAGE).status_code == 405


@pytest.mark.parametrize("path", ["docs", "redoc", "openapi.json", "page.html", "../coverage/page.py"])
def test_there_is_nothing_else(browser: TestClient, path: str) -> None:
    """No description, and no file."""
    assert "customers" not in (response := browser.get(PAGE + path)).text
    assert response.status_code == 404 or "<title>Airflow" in response.text


def test_the_browser_runs_and_loads_nothing(browser: TestClient, session: Session) -> None:
    """Whatever a report holds; and no other site frames the page."""
    leave(session, forged())
    response = browser.get(PAGE)
    policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    nonce = policy.pop("style-src").strip("'").removeprefix("nonce-")
    assert response.text.count(nonce) == 1
    assert policy == {
        "default-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'self'",
    }
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"


def test_a_nonce_is_used_once(browser: TestClient, session: Session) -> None:
    """A report can't know the next one."""
    assert len({browser.get(PAGE).headers["Content-Security-Policy"] for _ in range(3)}) == 3


def test_the_newest_report_of_each_account_and_region_is_shown(browser: TestClient, session: Session) -> None:
    """Of one mapped task, and of another DAG's."""
    old = [report(table(f"old-{region}"), region=region) for region in ("eu-west-1", "us-east-1")]
    new = [report(table(f"new-{region}"), region=region) for region in ("eu-west-1", "us-east-1")]
    leave(session, *old, at=NOW - HOUR)
    leave(session, *new)
    leave(session, report(table("older")), dag_id="other", at=NOW - HOUR)
    leave(session, report(table("theirs"), account="999900001111"), dag_id="other")
    text = browser.get(PAGE).text
    assert [name in text for name in ("new-eu-west-1", "new-us-east-1", "theirs")] == [True] * 3
    assert [name in text for name in ("old-eu-west-1", "old-us-east-1", "older")] == [False] * 3


def test_reports_that_are_not_shown_are_counted(browser: TestClient, session: Session) -> None:
    """A page ends somewhere, and an account must not be missed in silence."""
    leave(session, *(report(table("orders"), account=f"{number:012}") for number in range(52)), is_mapped=True)
    text = browser.get(PAGE).text
    assert text.count("<section") == 50
    assert "neither shown nor counted, since they are the oldest: 2." in text


def test_events_that_are_no_reports_are_left_out(browser: TestClient, session: Session) -> None:
    """Of other tasks, newer ones of the same asset too."""
    leave(session, {"kind": "other"}, [1], at=NOW - 2 * HOUR)
    leave(session, report(table("orders")), at=NOW - HOUR)
    leave(session, *[{"backup_arn": "arn"}] * 40, task_id="write")
    leave(session, {"kind": "other"}, dag_id="etl", asset="elsewhere")
    text = browser.get(PAGE).text
    assert "orders" in text
    assert text.count("<section") == 1


def test_the_report_of_a_task_that_is_gone_is_left_out(browser: TestClient, session: Session) -> None:
    """Nobody would make a newer one."""
    leave(session, report(table("orders")), is_outlet=False)
    assert "There is no report yet." in browser.get(PAGE).text


@pytest.mark.parametrize("state", ["failed", "up_for_retry", "scheduled", "queued", "upstream_failed"])
def test_a_task_that_has_failed_since_is_told_beside_its_last_report(
    browser: TestClient, session: Session, state: str
) -> None:
    """It has left no event, and what was fresh before may be late now; also while a retry waits for its turn."""
    leave(session, dozen())
    assert FAILED_SINCE not in browser.get(PAGE).text
    fail(session, run_id="next", state=state)
    text = browser.get(PAGE).text
    assert FAILED_SINCE in text
    assert '<section aria-labelledby="report-1" class="stale">' in text


def test_a_task_that_has_succeeded_again_is_told_no_longer(browser: TestClient, session: Session) -> None:
    """Nor is one that still runs."""
    fail(session, run_id="before", at=NOW - HOUR)
    fail(session, run_id="now", state="running")
    leave(session, dozen())
    assert FAILED_SINCE not in browser.get(PAGE).text


def test_of_a_mapped_task_the_others_of_the_run_do_not_count(browser: TestClient, session: Session) -> None:
    """Its own failure does, and one of a later run, where it may have another place in the list."""
    leave(session, dozen())
    fail(session, run_id="run-0", map_index=1)
    assert FAILED_SINCE not in browser.get(PAGE).text
    fail(session, run_id="run-1", map_index=1)
    assert FAILED_SINCE in browser.get(PAGE).text


def test_a_status_filters(browser: TestClient, session: Session) -> None:
    """By a link."""
    leave(session, dozen())
    text = browser.get(PAGE, params={"status": "late"}).text
    assert "customers" in text
    assert "sessions" not in text


def test_a_forged_report_is_escaped(browser: TestClient, session: Session) -> None:
    """Also if the database holds its account and region."""
    leave(session, forged())
    assert "<script" not in (text := browser.get(PAGE).text)
    assert "&lt;script&gt;" in text


def test_many_events_are_not_read_whole(browser: TestClient, session: Session) -> None:
    """The number of queries does not grow with them, and a few reports are read for each that is shown."""
    for number in range(30):
        leave(session, *({} for _ in range(20)), task_id=f"write-{number}", asset=f"asset-{number}")
    leave(session, *(report(table("orders"), text=f"{number}") for number in range(40)))
    seen: list[str] = []
    with listening(session.get_bind(), seen):
        browser.get(PAGE)
    asked = [statement for statement in seen if "asset_event" in statement]
    assert len(asked) == 4


def test_the_database_reads_no_member_of_an_extra(browser: TestClient, session: Session) -> None:
    """PostgreSQL refuses to where any event of anybody has a character that it does not know."""
    leave(session, {"kind": "\0"}, dag_id="other", asset="elsewhere")
    leave(session, dozen(), dozen(account="\0", text="\ud800"))
    seen: list[str] = []
    with listening(session.get_bind(), seen):
        assert browser.get(PAGE).text.count("<section") == 2
    assert not [statement for statement in seen if "asset_event" in statement and "json" in statement.lower()]


@contextmanager
def listening(engine: Any, seen: list[str]) -> Iterator[None]:
    """Note the statements that a database is sent."""
    from sqlalchemy import event

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield
    event.remove(engine, "before_cursor_execute", note)


def test_2500_tables_are_on_one_page(browser: TestClient, session: Session) -> None:
    """All of them."""
    leave(session, many(2500))
    assert browser.get(PAGE).text.count("<tr>") == 2501
