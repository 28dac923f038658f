"""The synchronous calls, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_ddb_backup.exceptions import (
    BackupNotFoundError,
    NoRegionSetError,
    OtherRegionError,
    TableNotFoundError,
    TableNotReadyError,
    UnreachableError,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.models import BackupArn

if TYPE_CHECKING:
    from tests.simulator.control_plane import ControlPlane


@pytest.fixture
def hook(control_plane: ControlPlane) -> DynamoDBBackupHook:
    """Return a hook to the simulated control plane, through an Airflow connection."""
    return DynamoDBBackupHook()


def test_it_is_a_client_hook() -> None:
    """Only a client has an asynchronous counterpart."""
    assert DynamoDBBackupHook(client_type="s3").client_type == "dynamodb"


@pytest.mark.parametrize("status", ["ACTIVE", "UPDATING"])
def test_a_table_that_can_be_backed_up_is_described(
    hook: DynamoDBBackupHook, control_plane: ControlPlane, status: str
) -> None:
    """ACTIVE and UPDATING tables pass."""
    control_plane.statuses["orders"] = status
    table = hook.describe_table("orders")
    assert (table.name, table.status) == ("orders", status)


def test_a_table_goes_by_its_arn_too(hook: DynamoDBBackupHook, control_plane: ControlPlane) -> None:
    """An ARN is passed on as it is."""
    arn = control_plane.create_table("customers")
    assert hook.describe_table(arn).name == "customers"
    assert hook.create_backup(arn, "nightly").arn.table_arn == arn


@pytest.mark.parametrize("status", ["CREATING", "DELETING", "ARCHIVED", "INACCESSIBLE_ENCRYPTION_CREDENTIALS"])
def test_other_tables_are_refused(hook: DynamoDBBackupHook, control_plane: ControlPlane, status: str) -> None:
    """The message has table, status and region."""
    control_plane.statuses["orders"] = status
    with pytest.raises(TableNotReadyError, match=f"table 'orders', region 'us-east-1'. It is {status}"):
        hook.describe_table("orders")


def test_a_missing_table_is_refused(hook: DynamoDBBackupHook) -> None:
    """The message has table, region and AWS's text."""
    with pytest.raises(TableNotFoundError, match="table 'nowhere', region 'us-east-1'.*Table: nowhere not found"):
        hook.describe_table("nowhere")


def test_create_backup_tells_of_a_missing_table(hook: DynamoDBBackupHook) -> None:
    """CreateBackup has a code of its own for it."""
    with pytest.raises(TableNotFoundError, match="table 'nowhere', backup 'nightly', region 'us-east-1'.*CreateBackup"):
        hook.create_backup("nowhere", "nightly")


def test_a_backup_is_described(hook: DynamoDBBackupHook) -> None:
    """A look shows what was created."""
    created = hook.create_backup("orders", "nightly")
    seen = hook.describe_backup(created.arn)
    assert (seen.arn, seen.name, seen.status) == (created.arn, "nightly", "AVAILABLE")
    assert seen.table_id == hook.describe_table("orders").table_id


def test_a_backup_that_is_gone_is_not_found(hook: DynamoDBBackupHook, control_plane: ControlPlane) -> None:
    """The message has the ARN and the region."""
    arn = hook.create_backup("orders", "nightly").arn
    control_plane.client().delete_backup(BackupArn=arn.text)
    with pytest.raises(BackupNotFoundError, match=f"backup '{arn.text}', region 'us-east-1'"):
        hook.describe_backup(arn)


def test_an_arn_of_another_region_is_refused(hook: DynamoDBBackupHook) -> None:
    """AWS would only say that it does not exist."""
    subject = hook.subject("orders")
    hook.check_region(None, subject)
    hook.check_region("us-east-1", subject)
    with pytest.raises(OtherRegionError, match="region 'us-east-1'. The ARN is of 'eu-west-1'"):
        hook.check_region("eu-west-1", subject)


def test_without_a_region_it_says_where_to_set_one(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither task nor connection nor environment names a region."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(region=None))
    with pytest.raises(NoRegionSetError, match="table 'orders'.*Set region_name"):
        DynamoDBBackupHook().describe_table("orders")


def test_an_endpoint_that_is_not_there_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong endpoint is told from an AWS error."""
    extra = '{"endpoint_url": "http://127.0.0.1:1", "region_name": "us-east-1"}'
    monkeypatch.setenv(
        "AIRFLOW_CONN_AWS_DEFAULT", f'{{"conn_type": "aws", "login": "a", "password": "b", "extra": {extra}}}'
    )
    hook = DynamoDBBackupHook(config={"retries": {"total_max_attempts": 1}})
    with pytest.raises(UnreachableError, match="table 'orders', region 'us-east-1'.*endpoint_url"):
        hook.describe_table("orders")


def test_create_backup_is_never_retried_by_botocore(control_plane: ControlPlane) -> None:
    """A response that was lost after the commit would make a second backup; other settings of the user stay."""
    hook = DynamoDBBackupHook(config={"read_timeout": 9, "retries": {"max_attempts": 7}})
    hook.create_backup("orders", "nightly")
    config = hook._unretried_client.meta.config  # noqa: SLF001  # the effect of the setting is tested with lost responses
    assert (config.retries["total_max_attempts"], config.read_timeout) == (1, 9)
    assert hook.conn.meta.config.retries["total_max_attempts"] == 8


def test_the_arn_that_aws_gives_can_be_read(hook: DynamoDBBackupHook, control_plane: ControlPlane) -> None:
    """Its time is that of the creation."""
    backup = hook.create_backup("orders", "nightly")
    assert BackupArn.parse(backup.arn.text).created_at == backup.created_at
