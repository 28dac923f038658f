"""Tables, backups, ARNs and names."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ddb_backup.exceptions import InvalidValueError
from airflow_ddb_backup.models import (
    Backup,
    BackupArn,
    BackupStatus,
    Table,
    check_backup_name,
    check_table_name,
    derive_backup_name,
    table_region,
)

TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
ARN = f"{TABLE_ARN}/backup/01795422913684-770da1ee"
SUMMARY = {
    "BackupArn": ARN,
    "BackupName": "nightly",
    "BackupStatus": "CREATING",
    "BackupCreationDateTime": datetime(2026, 11, 23, 9, 15, 13, tzinfo=UTC),
}
identity = st.tuples(st.text(), st.text(), st.text(), st.integers(min_value=-1, max_value=10_000))


def test_a_backup_arn_tells_what_it_is_made_of() -> None:
    """Partition, region, account, table and the time of the request stand in a backup's ARN."""
    arn = BackupArn.parse(ARN)
    assert (arn.partition, arn.region, arn.account, arn.table_name) == ("aws", "us-east-1", "123456789012", "orders")
    assert arn.created_at == datetime(2026, 11, 23, 8, 35, 13, 684000, tzinfo=UTC)
    assert arn.table_arn == TABLE_ARN


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_every_partition_is_read(partition: str) -> None:
    """The ARNs of all three partitions have one form."""
    assert BackupArn.parse(ARN.replace("arn:aws:", f"arn:{partition}:")).partition == partition


@pytest.mark.parametrize(
    "text",
    [None, "", 7, "orders", TABLE_ARN, ARN + "x", ARN[:-1], ARN.replace("dynamodb", "s3"), f" {ARN}", f"{ARN}\n"],
)
def test_what_is_no_backup_arn_is_refused(text: object) -> None:
    """The refusal shows the value and the rule."""
    with pytest.raises(InvalidValueError, match=re.escape(f"got {text!r}")) as refusal:
        BackupArn.parse(text)
    assert "backup_arn must be arn:PARTITION:dynamodb:" in str(refusal.value)


@pytest.mark.parametrize("name", ["abc", "a" * 255, "A.b-c_9", TABLE_ARN])
def test_table_names_and_arns_that_dynamodb_knows_pass(name: str) -> None:
    """A table goes by its name or its ARN."""
    assert check_table_name(name) == name


@pytest.mark.parametrize(
    "name", [None, "", "ab", "a" * 256, "a b c", "öre", 123, "arn:aws:s3:::bucket", TABLE_ARN + "/" + "x" * 1024, ARN]
)
def test_other_table_names_are_refused(name: object) -> None:
    """The refusal shows the value and the rule."""
    with pytest.raises(InvalidValueError, match="table_name must be a table's name, 3 to 255") as refusal:
        check_table_name(name)
    assert repr(name) in str(refusal.value)


@pytest.mark.parametrize("name", ["abc", "a" * 255, "A.b-c_9"])
def test_backup_names_that_aws_takes_pass(name: str) -> None:
    """3 to 255 of the legal characters make a backup's name."""
    assert check_backup_name(name) == name


@pytest.mark.parametrize("name", [None, "", "ab", "a" * 256, "a b c", "a/b/c", "öre", 123, "abc\n"])
def test_other_backup_names_are_refused(name: object) -> None:
    """The refusal shows the value and the rule."""
    with pytest.raises(InvalidValueError, match="backup_name must be 3 to 255") as refusal:
        check_backup_name(name)
    assert repr(name) in str(refusal.value)


def test_a_table_arn_names_its_region_and_a_name_does_not() -> None:
    """Only an ARN can contradict the client's region."""
    assert table_region(TABLE_ARN) == "us-east-1"
    assert table_region("orders") is None


def test_a_derived_name_is_readable() -> None:
    """DAG, task, run and map index stand in the name."""
    name = derive_backup_name("shop", "back_up", "scheduled__2026-11-23T02:00:00+00:00", 4)
    assert name.startswith("shop.back_up.scheduled__2026-11-23T02-00-00-00-00.4.")


@given(identity)
def test_a_derived_name_is_legal_and_stable(who: tuple[str, str, str, int]) -> None:
    """Whatever the ids are made of, every try of a run gets the same legal name."""
    assert check_backup_name(derive_backup_name(*who)) == derive_backup_name(*who)


@given(identity, identity)
def test_derived_names_differ_whenever_anything_differs(
    who: tuple[str, str, str, int], other: tuple[str, str, str, int]
) -> None:
    """No two tasks, runs or mapped instances share a name."""
    assert (derive_backup_name(*who) == derive_backup_name(*other)) == (who == other)


@pytest.mark.parametrize(
    ("who", "other"),
    [
        (("a.b", "c", "r", -1), ("a", "b.c", "r", -1)),
        (("a", "b", "r.1", -1), ("a", "b", "r", 1)),
        (("a", "b", "r:1", -1), ("a", "b", "r+1", -1)),
        (("d" * 250, "b", "r1", -1), ("d" * 250, "b", "r2", -1)),
    ],
)
def test_names_that_read_alike_differ(who: tuple[str, str, str, int], other: tuple[str, str, str, int]) -> None:
    """Where joining, cleaning or cutting makes two ids look the same, the digest tells them apart."""
    assert derive_backup_name(*who) != derive_backup_name(*other)


def test_details_are_plain_json_values_in_utc() -> None:
    """What goes through events and XCom holds no types of AWS or this package."""
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
    assert Table.from_aws(table | {"CreationDateTime": datetime(2026, 1, 1, tzinfo=UTC)}).table_id is None
