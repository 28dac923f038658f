"""The links to the console."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from airflow.providers.common.compat.sdk import XCom

from airflow_ddb_backup.links.dynamodb import DynamoDBBackupLink, DynamoDBBackupsLink, DynamoDBTableLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from tests.unit.conftest import FakeTaskInstance


def link_from(
    monkeypatch: pytest.MonkeyPatch,
    stored: dict[str, Any] | None,
    kind: type[DynamoDBBackupLink | DynamoDBBackupsLink] = DynamoDBBackupLink,
) -> str:
    """Return the address that the UI shows for a stored XCom."""
    monkeypatch.setattr(XCom, "get_value", lambda **_: stored)
    link: str = kind().get_link(cast("Any", None), ti_key=cast("Any", None))
    return link


PARTITIONS = pytest.mark.parametrize(
    ("partition", "region", "host"),
    [
        ("aws", "eu-west-1", "console.aws.amazon.com"),
        ("aws-cn", "cn-north-1", "console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-west-1", "console.amazonaws-us-gov.com"),
    ],
)


@PARTITIONS
def test_each_partition_has_its_console(
    monkeypatch: pytest.MonkeyPatch, context: Context, ti: FakeTaskInstance, partition: str, region: str, host: str
) -> None:
    """The link that is stored before the wait leads to the table in the right console."""
    task = cast("Any", SimpleNamespace(do_xcom_push=True))
    DynamoDBBackupLink.persist(context, task, region, partition, table_name="orders")
    link = link_from(monkeypatch, ti.xcoms["dynamodb_backup"])
    assert link == f"https://{host}/dynamodbv2/home?region={region}#table?name=orders"


@pytest.mark.parametrize("partition", ["aws-iso", "aws-eusc", "aws-new"])
def test_a_partition_whose_console_is_not_known_has_no_link(
    monkeypatch: pytest.MonkeyPatch, context: Context, ti: FakeTaskInstance, partition: str
) -> None:
    """Better none than a wrong one."""
    task = cast("Any", SimpleNamespace(do_xcom_push=True))
    DynamoDBBackupLink.persist(context, task, "us-iso-east-1", partition, table_name="orders")
    assert link_from(monkeypatch, ti.xcoms["dynamodb_backup"]) == ""


@PARTITIONS
def test_the_list_of_backups_is_that_of_the_region(
    monkeypatch: pytest.MonkeyPatch, context: Context, ti: FakeTaskInstance, partition: str, region: str, host: str
) -> None:
    """In the console of its partition, which is known before any response."""
    del partition
    DynamoDBBackupsLink.persist_region(context, cast("Any", SimpleNamespace(do_xcom_push=True)), region)
    link = link_from(monkeypatch, ti.xcoms["dynamodb_backups"], DynamoDBBackupsLink)
    assert link == f"https://{host}/dynamodbv2/home?region={region}#list-backups"


@pytest.mark.parametrize("region", ["us-iso-east-1", "new-region"])
def test_a_region_whose_console_is_not_known_has_no_list(
    monkeypatch: pytest.MonkeyPatch, context: Context, ti: FakeTaskInstance, region: str
) -> None:
    """Nor does an unknown region fail the task."""
    DynamoDBBackupsLink.persist_region(context, cast("Any", SimpleNamespace(do_xcom_push=True)), region)
    assert link_from(monkeypatch, ti.xcoms["dynamodb_backups"], DynamoDBBackupsLink) == ""


def test_without_xcom_there_is_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that has not started a backup leads nowhere."""
    assert link_from(monkeypatch, None) == ""


def test_its_name_is_what_users_see() -> None:
    """The UI's button says so."""
    assert DynamoDBBackupLink().name == "DynamoDB backup"
    assert DynamoDBBackupsLink().name == "DynamoDB backups"


@pytest.mark.parametrize("kind", [DynamoDBTableLink, DynamoDBBackupLink, DynamoDBBackupsLink])
@pytest.mark.parametrize(
    "forged",
    [
        {"aws_domain": "example.com"},
        {"aws_domain": "aws.amazon.com@example.com"},
        {"aws_domain": ["aws.amazon.com"]},
        {"aws_domain": None},
        {"region_name": "eu-west-1#javascript:alert(1)"},
        {"region_name": "eu-west-1\n"},
        {"region_name": ["eu-west-1"]},
        {"table_name": "orders&redirect=https://example.com"},
        {"table_name": "<b>orders</b>"},
        {"table_name": "orders\u202e"},
        {"table_name": 5},
        {"self": 1},
    ],
    ids=repr,
)
def test_a_forged_xcom_has_no_link(monkeypatch: pytest.MonkeyPatch, kind: Any, forged: dict[str, Any]) -> None:
    """Whoever may write XComs could lead those who trust it elsewhere."""
    right = {"region_name": "eu-west-1", "aws_domain": "aws.amazon.com", "table_name": "orders"}
    assert link_from(monkeypatch, right, kind).startswith("https://console.aws.amazon.com/dynamodbv2/home?region=")
    assert link_from(monkeypatch, right | forged, kind) == ""


@pytest.mark.parametrize("stored", ["javascript:alert(1)", 5, [], ["x"], {"x": 1}, {}, True], ids=repr)
def test_an_xcom_of_another_shape_has_no_link(monkeypatch: pytest.MonkeyPatch, stored: Any) -> None:
    """It is some other package's."""
    assert link_from(monkeypatch, stored) == ""
