"""One backup per run behind a proxy, at whatever point it drops connections."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from airflow_ddb_backup.exceptions import BackupError
from airflow_ddb_backup.operators.dynamodb import (
    DynamoDBBackupTablesOperator,
    DynamoDBCreateBackupOperator,
    DynamoDBRestoreTableFromBackupOperator,
)
from tests.simulator.proxy import Drop, Proxy
from tests.unit.conftest import context_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.simulator.control_plane import ControlPlane
    from tests.unit.conftest import FakeTaskInstance


@pytest.fixture(params=["proxies", "HTTPS_PROXY"])
def proxy(
    request: pytest.FixtureRequest, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Proxy]:
    """Let the Airflow connection go through a proxy, by its configuration or by the environment."""
    with control_plane.serve_tls(tmp_path) as front, Proxy().serve() as proxy:
        through = {"proxies": {"https": proxy.url}} if request.param == "proxies" else {}
        if not through:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        connection = control_plane.connection(url=front.url, verify=front.ca, config_kwargs=through)
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection)
        yield proxy


def end(ti: FakeTaskInstance, execute: Callable[[FakeTaskInstance], object]) -> object:
    """Try until a try succeeds, as Airflow does."""
    for number in range(1, 9):
        try:
            return execute(replace(ti, try_number=number, xcoms={}))
        except BackupError:
            continue
    return None


def back_up(ti: FakeTaskInstance) -> object:
    """Back one table up."""
    return DynamoDBCreateBackupOperator(task_id="back_up", table_name="orders").execute(context_of(ti))


@pytest.mark.parametrize("losses", [1, 4])
def test_a_response_that_is_lost_after_the_commit(
    control_plane: ControlPlane, ti: FakeTaskInstance, proxy: Proxy, losses: int
) -> None:
    """Botocore raises a ProxyConnectionError for it, as for a proxy that was never reached."""
    lost: list[str] = []

    def cut(arn: str, _: int) -> None:
        if len(lost) < losses:
            lost.append(arn)
            proxy.cut()

    control_plane.on_commit = cut
    assert [end(ti, back_up)] == control_plane.backup_arns()
    assert lost
    assert proxy.tunnels > 1


def test_the_response_of_a_restore_is_lost(control_plane: ControlPlane, ti: FakeTaskInstance, proxy: Proxy) -> None:
    """Its table is told from another's: the task takes it, though it takes no other."""
    (arn,) = control_plane.add_backups("orders", 1)
    lost: list[str] = []

    def cut(table_arn: str, _: int) -> None:
        lost.append(table_arn)
        proxy.cut()

    control_plane.on_restore = cut
    task = DynamoDBRestoreTableFromBackupOperator(
        task_id="restore", backup_arn=arn, target_table_name="restored", if_exists="fail"
    )
    assert [task.execute(context_of(ti))] == lost
    assert proxy.tunnels > 1


@pytest.mark.parametrize("drop", Drop)
@pytest.mark.parametrize("times", [1, 5])
def test_a_connection_that_is_dropped_before_the_request(
    control_plane: ControlPlane, ti: FakeTaskInstance, proxy: Proxy, drop: Drop, times: int
) -> None:
    """It is tried again, and once is enough."""

    def drop_the_next() -> None:
        proxy.cut()
        proxy.drops = [drop] * times

    control_plane.before("DescribeTable", drop_the_next)
    assert [end(ti, back_up)] == control_plane.backup_arns()


def test_the_responses_of_many_tables_are_lost(control_plane: ControlPlane, ti: FakeTaskInstance, proxy: Proxy) -> None:
    """Each table has one backup."""
    tables = [f"table-{number}" for number in range(6)]
    for table in tables:
        control_plane.create_table(table)
    control_plane.on_commit = lambda *_: proxy.cut()

    def back_up_all(ti: FakeTaskInstance) -> object:
        task = DynamoDBBackupTablesOperator(task_id="back_up", table_names=tables, wait_for_completion=False)
        return task.execute(context_of(ti))["backups"]

    assert sorted(dict(end(ti, back_up_all) or {}).values()) == sorted(control_plane.backup_arns())  # type: ignore[call-overload]  # a dict
    assert len(control_plane.backup_arns()) == len(tables)
