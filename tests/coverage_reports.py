"""Coverage reports as tasks make them, and the asset events that such tasks leave in the metadata database."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime.now(tz=UTC).replace(microsecond=0)
#: when reports were made, and how old a fresh backup may be, unless they say otherwise
CHECKED, MAX_AGE = NOW - 3 * HOUR, 26 * HOUR
#: whose events they are, unless said otherwise
DAG_ID, TASK_ID, ASSET = "morning_report", "check", "dynamodb://backups/coverage"
STATUSES = ("unknown", "none", "late", "fresh")
#: what a page must not take for its own
MARKUP = "<script>document.title='forged'</script><img src=x onerror=\"document.title='forged'\">{{ 7 * 7 }}'\"&amp;"


def table(name: str, status: str = "fresh", age: timedelta | None = 5 * HOUR, **members: Any) -> dict[str, Any]:
    """Return a table of a report.

    :param name: its name
    :param status: its status
    :param age: of its newest backup when the report was made; ``None``: it has none
    :param members: more members, or other values
    """
    arn = f"arn:aws:dynamodb:us-east-1:111122223333:table/{name}/backup/01700000000000-0123abcd"
    newest = None if age is None else (CHECKED - age).isoformat()
    return {
        "table_name": name,
        "status": status,
        "newest_backup_arn": newest and arn,
        "newest_backup_at": newest,
        "backups": 30 if newest else 0,
        "bytes": 41_500_000_000 if newest else 0,
    } | members


def report(*tables: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return a report.

    :param tables: its tables
    :param members: more members, or other values
    """
    count = Counter(one["status"] for one in tables)
    return {
        "kind": "dynamodb_backup_coverage",
        "version": 1,
        "checked_at": CHECKED.isoformat(),
        "account": "111122223333",
        "region": "us-east-1",
        "max_age_seconds": int(MAX_AGE.total_seconds()),
        "counts": {status: count[status] for status in STATUSES},
        "backups": sum(one["backups"] or 0 for one in tables),
        "bytes": sum(one["bytes"] or 0 for one in tables),
        "tables": list(tables),
        "error": None,
        "text": f"{len(tables)} tables were checked.",
    } | members


def dozen(**members: Any) -> dict[str, Any]:
    """Return the report of a dozen tables, of every status.

    :param members: more members, or other values
    """
    fresh = ["accounts", "carts", "invoices", "orders", "payments", "products", "reviews"]
    return report(
        *(table(name, bytes=number**5 * 10_000_000) for number, name in enumerate(fresh, 1)),
        table("customers", "late", 2 * DAY + 4 * HOUR, bytes=8_200_000_000),
        table("shipments", "late", 30 * HOUR, bytes=960_000_000),
        table("sessions", "none", None),
        table("experiments-2026", "none", None),
        table("ledger", "unknown", None, backups=None, bytes=None),
        **members,
    )


def many(count: int, **members: Any) -> dict[str, Any]:
    """Return the report of many tables, with names of usual length.

    :param count: of the tables
    :param members: more members, or other values
    """
    tables = (table(f"shop-production-orders-{n:04}", STATUSES[n % 4], n % 50 * HOUR) for n in range(count))
    return report(*tables, **members)


def forged() -> dict[str, Any]:
    """Return a report with markup in every field that can hold it."""
    one = dict.fromkeys([*table("orders"), "point_in_time_recovery"], MARKUP)
    kept = {"kind": report()["kind"], "tables": [one, MARKUP, {MARKUP: MARKUP}], "counts": {MARKUP: 7}}
    return dict.fromkeys(report(), MARKUP) | kept


def leave(
    session: Session,
    *extras: Any,
    dag_id: str = DAG_ID,
    task_id: str = TASK_ID,
    asset: str = ASSET,
    at: datetime = NOW,
    is_outlet: bool = True,
    is_mapped: bool = False,
) -> None:
    """Leave events in the metadata database, as a task with an outlet does.

    :param session: of the metadata database
    :param extras: the extra of each event, a microsecond apart
    :param dag_id: the DAG
    :param task_id: the task
    :param asset: the asset's name
    :param at: when the first event was made
    :param is_outlet: whether the DAG has the task, and the task the asset, to this day
    :param is_mapped: whether the task is mapped, with an event for each
    """
    from airflow.models.asset import AssetEvent, AssetModel, TaskOutletAssetReference
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel

    session.merge(DagBundleModel(name="dags-folder"))
    session.flush()
    session.merge(DagModel(dag_id=dag_id, bundle_name="dags-folder", fileloc="", relative_fileloc=""))
    model = session.query(AssetModel).filter_by(name=asset).one_or_none() or AssetModel(name=asset, uri=asset)
    session.add(model)
    session.flush()
    if is_outlet:
        session.merge(TaskOutletAssetReference(asset_id=model.id, dag_id=dag_id, task_id=task_id))
    for number, extra in enumerate(extras):
        event = AssetEvent(asset_id=model.id, extra=extra, timestamp=at + timedelta(microseconds=number))
        event.source_dag_id, event.source_task_id, event.source_run_id = dag_id, task_id, f"run-{number}"
        event.source_map_index = number if is_mapped else -1
        session.add(event)
    session.commit()


def fail(
    session: Session,
    *,
    run_id: str,
    state: str = "failed",
    map_index: int = -1,
    at: datetime = NOW + timedelta(minutes=1),
) -> None:
    """Leave a try of the task in the metadata database, without an event.

    :param session: of the metadata database
    :param run_id: the run
    :param state: how it has ended
    :param map_index: which of the mapped ones it is
    :param at: when it has ended
    """
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import insert

    if not session.query(DagRun).filter_by(dag_id=DAG_ID, run_id=run_id).one_or_none():
        session.add(DagRun(dag_id=DAG_ID, run_id=run_id, run_type="manual", run_after=at, state=None))
        session.flush()
    ended = {"dag_id": DAG_ID, "task_id": TASK_ID, "run_id": run_id, "map_index": map_index}
    known = {"state": state, "end_date": at, "pool": "default_pool", "pool_slots": 1}
    session.execute(insert(TaskInstance).values(ended | known))
    session.commit()


def remove_all(session: Session) -> None:
    """Remove all assets and their events, all runs, and all versions of DAGs, from the metadata database.

    ``DAG.test`` of Airflow 3.1 and 3.2 makes assets known only where the DAG has no version yet.

    :param session: of the metadata database
    """
    from airflow.models.asset import AssetEvent, AssetModel, TaskOutletAssetReference
    from airflow.models.dag_version import DagVersion
    from airflow.models.dagrun import DagRun
    from sqlalchemy import delete

    for model in (AssetEvent, TaskOutletAssetReference, AssetModel, DagRun, DagVersion):
        session.execute(delete(model))
    session.commit()
