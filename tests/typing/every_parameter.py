"""Every parameter of every operator and sensor, for type checkers to read: a value of a wrong type is reported.

``tests/unit/test_signatures.py`` checks that none is left out here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.operators.dynamodb import (
    DynamoDBBackupCoverageOperator,
    DynamoDBBackupTablesOperator,
    DynamoDBCreateBackupOperator,
    DynamoDBDeleteBackupOperator,
    DynamoDBPruneBackupsOperator,
    DynamoDBRestoreDrillOperator,
    DynamoDBRestoreTableFromBackupOperator,
    DynamoDBRestoreTableToPointInTimeOperator,
)
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupSensor, DynamoDBBackupsSensor, DynamoDBFreshBackupSensor

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/01795422913684-770da1ee"


def right() -> None:
    """Give every parameter a value of its type."""
    with DAG("every_parameter", schedule=None):
        DynamoDBBackupCoverageOperator(
            task_id="check",
            table_names=["*"],
            exclude=["test-*"],
            table_tags={"backup": "nightly"},
            max_tables=10,
            if_empty="skip",
            max_age=timedelta(hours=26),
            fail_on=["late", "none"],
            point_in_time_recovery=True,
            timeout=600,
            account_id="123456789012",
        )
        DynamoDBBackupTablesOperator(
            task_id="back_up_many",
            table_names=["orders", "shop-*"],
            exclude=["shop-test"],
            table_tags={"backup": ["nightly", "weekly"], "team": "shop"},
            max_tables=10,
            if_empty="skip",
            backup_name="nightly",
            if_exists="create",
            reuse_within=timedelta(hours=1),
            require_point_in_time_recovery=True,
            wait_for_completion=True,
            deferrable=True,
            poll_interval=5,
            timeout=timedelta(hours=1),
            account_id="123456789012",
        )
        DynamoDBCreateBackupOperator(
            task_id="back_up",
            table_name="orders",
            backup_name="nightly",
            if_exists="reuse",
            reuse_within=timedelta(hours=1),
            require_point_in_time_recovery=True,
            wait_for_completion=True,
            deferrable=True,
            poll_interval=5,
            timeout=600,
            account_id="123456789012",
        )
        DynamoDBDeleteBackupOperator(task_id="delete", backup_arn=ARN, timeout=600, account_id=None)
        DynamoDBPruneBackupsOperator(
            task_id="prune",
            table_names=["orders"],
            exclude=(),
            table_tags=None,
            max_tables=10,
            if_empty="fail",
            created_by=["back_up", ("shop", "back_up")],
            backup_name_prefix=None,
            keep_last=1,
            keep_hourly=1,
            keep_daily=1,
            keep_weekly=1,
            keep_monthly=1,
            keep_yearly=1,
            keep_within=timedelta(days=1),
            keep_names=["release-*"],
            older_than=timedelta(days=1),
            minimum_redundancy=1,
            dropped_tables=True,
            max_deletions=10,
            timezone="Europe/Berlin",
            plan_only=True,
            timeout=600,
            account_id="123456789012",
        )
        DynamoDBRestoreDrillOperator(
            task_id="drill",
            table_name="orders",
            backup_arn=ARN,
            pick="random",
            within=timedelta(days=7),
            created_by=["back_up", ("shop", "back_up")],
            backup_name_prefix="nightly-",
            checks=["schema", "indexes"],
            min_items=1000,
            validate=lambda client, name: client.describe_table(TableName=name),
            max_size_bytes=1024**4,
            keep_on_failure=True,
            deferrable=True,
            poll_interval=timedelta(minutes=1),
            timeout=timedelta(hours=12),
            account_id="123456789012",
        )
        DynamoDBRestoreTableFromBackupOperator(
            task_id="restore",
            backup_arn=None,
            table_name="orders",
            before=datetime(2026, 11, 28, 14, tzinfo=UTC),
            created_by="back_up",
            backup_name_prefix=None,
            target_table_name="orders-restored",
            if_exists="fail",
            billing_mode="PROVISIONED",
            provisioned_throughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
            on_demand_throughput=None,
            kms_key_id="alias/aws/dynamodb",
            exclude_indexes="all",
            settings=["tags"],
            settings_from="orders",
            tags={"team": "shop"},
            wait_for_completion=True,
            deferrable=True,
            poll_interval=30,
            timeout=timedelta(hours=6),
            account_id="123456789012",
        )
        DynamoDBRestoreTableToPointInTimeOperator(
            task_id="restore_to_the_minute",
            source_table_name="orders",
            restore_date_time=datetime(2026, 11, 28, tzinfo=UTC),
            use_latest_restorable_time=False,
            target_table_name="orders-restored",
            if_exists="fail",
            billing_mode="PROVISIONED",
            provisioned_throughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
            on_demand_throughput=None,
            kms_key_id="alias/aws/dynamodb",
            exclude_indexes="all",
            settings=["tags"],
            settings_from="orders",
            tags={"team": "shop"},
            wait_for_completion=True,
            deferrable=True,
            poll_interval=30,
            timeout=timedelta(hours=6),
            account_id="123456789012",
        )
        DynamoDBBackupSensor(
            task_id="wait", backup_arn=ARN, deferrable=True, poke_interval=5, timeout=600, account_id=None
        )
        DynamoDBFreshBackupSensor(
            task_id="wait_for_fresh",
            table_name="orders",
            max_age=timedelta(hours=2),
            backup_name_prefix="nightly-",
            deferrable=True,
            poke_interval=60,
            timeout=600,
            account_id="123456789012",
        )
        DynamoDBBackupsSensor(
            task_id="wait_for_many",
            backup_arns={"orders": ARN},
            if_empty="skip",
            deferrable=True,
            poke_interval=5,
            timeout=600,
            account_id=None,
        )


def wrong() -> None:
    """Give one parameter of each class a value of another type, and leave a required one out."""
    DynamoDBBackupCoverageOperator(task_id="0", fail_on=["fresh"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    DynamoDBBackupTablesOperator(task_id="a", table_names=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DynamoDBBackupTablesOperator(task_id="b")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    DynamoDBBackupTablesOperator(task_id="c", table_names=["orders"], if_empty="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DynamoDBDeleteBackupOperator(task_id="d", backup_arn=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DynamoDBPruneBackupsOperator(task_id="e", table_names=5, backup_name_prefix="nightly-")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DynamoDBPruneBackupsOperator(task_id="f", table_names=["orders"], backup_name_prefix="nightly-", keep_last="7")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DynamoDBRestoreTableFromBackupOperator(task_id="g", backup_arn=ARN)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    DynamoDBRestoreTableToPointInTimeOperator(task_id="k", source_table_name="orders", target_table_name=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DynamoDBBackupSensor(task_id="h", backup_arn=ARN, poke_interval="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DynamoDBBackupsSensor(task_id="i", backup_arns=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DynamoDBFreshBackupSensor(task_id="j", table_name="orders", max_age=26)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
