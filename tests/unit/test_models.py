"""Tables, backups, ARNs and AWS's clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_ddb_backup.exceptions import InvalidValueError
from airflow_ddb_backup.models import INDEX_KINDS, Backup, BackupArn, BackupStatus, Page, Table, read_backup_page

TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
ARN = f"{TABLE_ARN}/backup/01795422913684-770da1ee"
SUMMARY = {
    "BackupArn": ARN,
    "BackupName": "nightly",
    "BackupStatus": "CREATING",
    "BackupCreationDateTime": datetime(2026, 11, 23, 9, 15, 13, tzinfo=UTC),
}


def test_a_backup_arn_tells_what_it_is_made_of() -> None:
    """Partition, region, account and table; in an ID of the known shape also the time of the request."""
    arn = BackupArn.parse(ARN)
    assert (arn.partition, arn.region, arn.account, arn.table_name) == ("aws", "us-east-1", "123456789012", "orders")
    assert arn.created_hint == datetime(2026, 11, 23, 8, 35, 13, 684000, tzinfo=UTC)
    assert arn.table_arn == TABLE_ARN


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_every_partition_is_read(partition: str) -> None:
    """The ARNs of all three partitions have one form."""
    assert BackupArn.parse(ARN.replace("arn:aws:", f"arn:{partition}:")).partition == partition


@pytest.mark.parametrize("backup_id", ["5b0c3e6e-8f5c-4a52-9c6e-1f6a5f5d0c11", "1", "01795422913684-770DA1EE", "ü"])
def test_an_id_of_any_shape_is_taken(backup_id: str) -> None:
    """AWS documents none, and emulators have others; only a known one tells a time."""
    arn = BackupArn.parse(f"{TABLE_ARN}/backup/{backup_id}")
    assert (arn.table_name, arn.created_hint) == ("orders", None)


@pytest.mark.parametrize(
    "text",
    [None, "", 7, "orders", TABLE_ARN, f"{TABLE_ARN}/backup/", ARN.replace("dynamodb", "s3"), f" {ARN}", f"{ARN}\n"],
)
def test_what_is_no_backup_arn_is_refused(text: object) -> None:
    """The refusal shows the value and the rule."""
    with pytest.raises(InvalidValueError, match=re.escape(f"got {text!r}")) as refusal:
        BackupArn.parse(text)
    assert "backup_arn must be arn:PARTITION:dynamodb:" in str(refusal.value)


def test_details_are_plain_json_values_in_utc() -> None:
    """Events and XComs hold no types of AWS or this package."""
    assert Backup.from_details(SUMMARY).as_dict() == {
        "backup_arn": ARN,
        "backup_name": "nightly",
        "table_name": "orders",
        "status": "CREATING",
        "size_bytes": 0,
        "created_at": "2026-11-23T09:15:13+00:00",
    }


def test_a_description_tells_the_table_id_beside_the_details() -> None:
    """DescribeBackup keeps the table's id apart from the backup."""
    response = {"BackupDescription": {"BackupDetails": SUMMARY, "SourceTableDetails": {"TableId": "t-1"}}}
    backup = Backup.from_description(response)
    assert (backup.table_id, backup.status) == ("t-1", BackupStatus.CREATING)


def test_a_summary_may_lack_the_table_id() -> None:
    """TableId is optional in AWS's model."""
    assert Backup.from_details(SUMMARY).table_id is None
    table = {"TableName": "orders", "TableArn": TABLE_ARN, "TableStatus": "ACTIVE"}
    response = {"Table": table | {"CreationDateTime": datetime(2026, 1, 1, tzinfo=UTC)}}
    assert Table.from_response(response).table_id is None


def test_a_status_that_is_not_known_is_kept() -> None:
    """AWS may add one."""
    assert Backup.from_details(SUMMARY | {"BackupStatus": "ARCHIVED"}).status == "ARCHIVED"


@pytest.mark.parametrize("missing", SUMMARY)
def test_a_response_without_a_promised_member_is_no_backup(missing: str) -> None:
    """The caller says that it is not AWS's."""
    with pytest.raises(KeyError, match=missing):
        Backup.from_details({key: value for key, value in SUMMARY.items() if key != missing})


def test_a_page_without_summaries_does_not_mean_that_there_are_none() -> None:
    """A proxy's empty response would otherwise make a second backup."""
    assert read_backup_page({"BackupSummaries": []}) == Page((), None)
    with pytest.raises(KeyError):
        read_backup_page({})


def test_a_recovery_point_of_aws_backup_on_a_page_is_left_out() -> None:
    """It spoils nothing for the others."""
    foreign = {"BackupArn": "arn:aws:backup:us-east-1:123456789012:recovery-point:x", "BackupStatus": "AVAILABLE"}
    page = read_backup_page({"BackupSummaries": [foreign, SUMMARY], "LastEvaluatedBackupArn": ARN})
    assert (page.items, page.cursor) == ((Backup.from_details(SUMMARY),), ARN)


@pytest.mark.parametrize("kind", INDEX_KINDS)
def test_a_table_is_complete_once_every_kind_of_index_is_active(kind: str) -> None:
    """One that has no status, as a local one, is."""
    described: dict[str, Any] = {"TableName": "orders", "TableArn": TABLE_ARN, "TableStatus": "ACTIVE"}
    described["CreationDateTime"] = SUMMARY["BackupCreationDateTime"]
    for status in ({}, {"IndexStatus": "ACTIVE"}, {"IndexStatus": "CREATING"}):
        table = Table.from_response({"Table": {**described, kind: [{"IndexName": "one", **status}]}})
        assert table.is_complete == (status != {"IndexStatus": "CREATING"})
