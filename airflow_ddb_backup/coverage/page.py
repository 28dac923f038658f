"""The page "DynamoDB backups": the newest coverage report of each AWS account and region, from the metadata database.

A report is the extra of an asset event. Events are many, and have no index by what their extra holds. So of each asset
that a task has as its outlet, the index of the events gives the newest ones, and the newest of that task tells whether
it makes reports. Of the tasks that do, the newest reports are read, a few of each account and region at most. A task
that fails leaves no event: its last report is shown, with the time of that.

Airflow mounts a plugin's app without any check of its own, so the app itself asks who is signed in. A user sees the
reports of the DAGs that they may see. AWS is not called, nothing is written, and no script runs.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.common.db.common import SessionDep  # noqa: TC002  # FastAPI reads the annotations
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_asset
from airflow.models.asset import AssetEvent, TaskOutletAssetReference
from airflow.models.taskinstance import TaskInstance
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy import JSON, String, cast, func, or_, select, type_coerce

from airflow_ddb_backup.coverage.status import KIND
from airflow_ddb_backup.coverage.view import read_report, render, render_refusal
from airflow_ddb_backup.limits import PAGE_EVENTS, PAGE_READ, PAGE_RECENT, PAGE_REPORTS

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.orm import Session

REFUSALS = {
    401: "You are not signed in: sign in to Airflow, and open this page again.",
    403: "You may not see this page: it needs Airflow's permission to read assets.",
}
# The states of a task that has failed, or is going to be tried again: until it runs, its end is that of the last try.
_FAILED = ("failed", "up_for_retry", "scheduled", "queued", "upstream_failed")
# One type of column in every version and database.
_EXTRA = type_coerce(AssetEvent.extra, JSON)

app = FastAPI(
    title="DynamoDB backups",
    dependencies=[Depends(requires_access_asset(method="GET"))],
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
)


@app.get("/")
def show(session: SessionDep, user: GetUserDep, status: str = "") -> Response:
    """Show the reports.

    :param session: of the metadata database
    :param user: who is signed in
    :param status: the status whose tables are shown
    """
    dag_ids = get_auth_manager().get_authorized_dag_ids(user=user, method="GET", session=session)
    now, nonce = datetime.now(tz=UTC), token_urlsafe()
    found, left_out = newest_reports(session, dag_ids)
    reports = [read_report(extra, now, failed_at) for extra, failed_at in found]
    return _response(render(reports, status, now, nonce, left_out), nonce)


@app.exception_handler(HTTPException)
def refuse(_request: Request, error: HTTPException) -> Response:
    """Say why somebody may not see the page."""
    nonce = token_urlsafe()
    refusal = REFUSALS.get(error.status_code, str(error.detail))
    return _response(render_refusal(refusal, nonce), nonce, error.status_code)


def newest_reports(session: Session, dag_ids: Collection[str]) -> tuple[list[tuple[Any, datetime | None]], int]:
    """Return the newest report of each account and region, and when its task has failed since; ``None``: it has not.

    A page ends somewhere, so it also returns how many reports there are beyond the newest of these.

    :param session: of the metadata database
    :param dag_ids: the DAGs whose reports may be shown
    """
    outlet, newest_first = TaskOutletAssetReference, (AssetEvent.timestamp.desc(), AssetEvent.id.desc())
    recent = (
        select(AssetEvent.id, AssetEvent.source_dag_id, AssetEvent.source_task_id)
        .where(AssetEvent.asset_id == outlet.asset_id)
        .order_by(*newest_first)
        .limit(PAGE_RECENT)
        .correlate(outlet)
        .subquery()
    )
    by_task = (recent.c.source_dag_id == outlet.dag_id, recent.c.source_task_id == outlet.task_id)
    newest = select(func.max(recent.c.id)).where(*by_task).scalar_subquery()
    candidates = [event for dag_id, event in session.execute(select(outlet.dag_id, newest)) if dag_id in dag_ids]
    source = (AssetEvent.asset_id, AssetEvent.source_dag_id, AssetEvent.source_task_id)
    # As text: PostgreSQL reads no member of an extra that has a character anywhere which it does not know.
    has_report = cast(_EXTRA, String).contains(KIND, autoescape=True)
    makers = session.execute(select(*source).where(AssetEvent.id.in_(candidates), has_report)).all()

    ids: list[int] = []
    for maker in makers:
        made_by = [column == value for column, value in zip(source, maker, strict=True)]
        events = select(AssetEvent.source_map_index, AssetEvent.id).where(*made_by).order_by(*newest_first)
        places: Counter[int | None] = Counter()
        for place, event in session.execute(events.limit(PAGE_EVENTS)):
            places[place] += 1
            ids += [event] if places[place] <= PAGE_READ else []
    # Of a mapped task the others of the same run are about other accounts and regions; later, their places may move.
    own = or_(TaskInstance.run_id != AssetEvent.source_run_id, TaskInstance.map_index == AssetEvent.source_map_index)
    failed_since = (
        TaskInstance.dag_id == AssetEvent.source_dag_id,
        TaskInstance.task_id == AssetEvent.source_task_id,
        TaskInstance.state.in_(_FAILED),
        TaskInstance.end_date > AssetEvent.timestamp,
        own,
    )
    failed_at = select(func.max(TaskInstance.end_date)).where(*failed_since).scalar_subquery()
    rows = select(_EXTRA, failed_at).where(AssetEvent.id.in_(ids)).order_by(*newest_first)
    found: dict[str, tuple[Any, datetime | None]] = {}
    for extra, at in session.execute(rows.execution_options(yield_per=PAGE_READ)):
        if isinstance(extra, dict) and extra.get("kind") == KIND:
            found.setdefault(repr((extra.get("account"), extra.get("region"))), (extra, at))
    shown = list(found.values())[:PAGE_REPORTS]
    return shown, len(found) - len(shown)


def _response(page: bytes, nonce: str, status_code: int = 200) -> Response:
    """Return the page, with what keeps a forged report from doing anything, and others from framing it."""
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(page, status_code, headers)
