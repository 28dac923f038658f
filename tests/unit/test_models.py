"""Tables, backups, ARNs and AWS's clock."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_ddb_backup.exceptions import InvalidValueError
from airflow_ddb_backup.models import (
    INDEX_KINDS,
    Backup,
    BackupArn,
    BackupStatus,
    Page,
    RestoreSource,
    RestoreSummary,
    Table,
    read_backup_page,
)

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


MOMENT = datetime(2026, 11, 23, 8, 0, 1, tzinfo=UTC)
OTHER = TABLE_ARN.replace("orders", "returns")


def restored(backup_arn: str | None, table_arn: str, moment: datetime | None) -> Table:
    """Return a table, created at ``MOMENT``, that says of itself what it was restored from."""
    summary = RestoreSummary(backup_arn, in_progress=True, table_arn=table_arn, moment=moment)
    return Table("restored", OTHER, "id", "CREATING", MOMENT, summary)


class TestRestoreSource:
    """What a table is restored from."""

    @pytest.mark.parametrize(
        ("source", "made"),
        [
            (RestoreSource.of_backup(BackupArn.parse(ARN)), {"its backup"}),
            (RestoreSource.of_moment(TABLE_ARN, MOMENT), {"its moment", "a fraction later"}),
            (RestoreSource.of_latest(TABLE_ARN, MOMENT), {"its moment", "a fraction later", "another moment", "none"}),
            (RestoreSource.of_latest(TABLE_ARN, MOMENT + timedelta(seconds=1)), set()),
        ],
        ids=["backup", "moment", "latest", "latest of a later run"],
    )
    def test_a_table_tells_whether_it_is_that_restore(self, source: RestoreSource, made: set[str]) -> None:
        """By the backup; or by the table and the second; for the latest time, by when it was created."""
        tables = {
            "its backup": restored(ARN, TABLE_ARN, MOMENT),
            "another backup": restored(ARN[:-1] + "f", TABLE_ARN, MOMENT),
            "its moment": restored(None, TABLE_ARN, MOMENT),
            "a fraction later": restored(None, TABLE_ARN, MOMENT + timedelta(milliseconds=999)),
            "another moment": restored(None, TABLE_ARN, MOMENT + timedelta(seconds=1)),
            "another table": restored(None, OTHER, MOMENT),
            "none": restored(None, TABLE_ARN, None),
            "no restore": Table("restored", OTHER, "id", "ACTIVE", MOMENT),
        }
        assert {name for name, table in tables.items() if source.made(table)} == made

    def test_it_crosses_a_deferral_as_plain_json(self) -> None:
        """And is the same on the other side."""
        for source in (
            RestoreSource.of_backup(BackupArn.parse(ARN)),
            RestoreSource.of_moment(TABLE_ARN, MOMENT),
            RestoreSource.of_latest(TABLE_ARN, MOMENT),
        ):
            assert RestoreSource(**json.loads(json.dumps(asdict(source)))) == source
            assert (source.partition, source.region, source.account) == ("aws", "us-east-1", "123456789012")
            assert source.table_name == "orders"

    @pytest.mark.parametrize(
        "wrong",
        [
            {"table_arn": TABLE_ARN},
            {"table_arn": OTHER, "backup_arn": ARN},
            {"table_arn": TABLE_ARN, "moment": "2026-11-23T08:00:01"},
            {"table_arn": TABLE_ARN, "moment": "now"},
            {"table_arn": TABLE_ARN, "moment": MOMENT.isoformat(), "since": MOMENT.isoformat()},
            {"table_arn": "orders", "moment": MOMENT.isoformat()},
        ],
        ids=repr,
    )
    def test_anything_else_is_no_source(self, wrong: dict[str, str]) -> None:
        """Another version of the package may have sent it."""
        with pytest.raises(ValueError, match="not the source of a restore|Invalid isoformat"):
            RestoreSource(**wrong)

    def test_a_moment_is_told_in_utc(self) -> None:
        """In messages, with the table, in place of a backup."""
        source = RestoreSource.of_moment(TABLE_ARN, datetime.fromisoformat("2026-11-23T09:00:01.5+01:00"))
        told = "point in time 'orders at 2026-11-23T08:00:01+00:00'"
        assert str(source) == told
        assert str(source.context("restored")) == f"table 'restored', {told}, region 'us-east-1'"
