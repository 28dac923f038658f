"""The checks of a drill: each passes for a table that is like its backup, and fails for one that is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.exceptions import InvalidValueError
from airflow_ddb_backup.models import BackupArn
from airflow_ddb_backup.restoring.checks import DrillChecks, Restored
from tests.simulator.faults import DROPPED_BEFORE_COMMIT, THROTTLED, Answer, Fault
from tests.unit.restoring.drills import put_items
from tests.unit.restoring.support import back_up, table

if TYPE_CHECKING:
    from tests.simulator.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("source")


def run(plane: ControlPlane, **wanted: Any) -> dict[str, str]:
    """Check ``source`` itself against a backup of it; return why checks have failed."""
    restored = Restored(table("source"), BackupArn.parse(back_up(plane)))
    settings: dict[str, Any] = {
        "checks": ("schema", "indexes"),
        "min_items": 0,
        "validate": None,
        "keep_on_failure": False,
    }
    return {name: str(error) for name, error in DrillChecks(**settings | wanted).run(restored).items() if error}


def altered(plane: ControlPlane, **members: Any) -> None:
    """Let DescribeBackup tell something else."""
    plane.fail_next("DescribeBackup", Fault(Answer.ALTERED, set_members=members))


def test_a_table_like_its_backup_passes(control_plane: ControlPlane) -> None:
    """One description of each is enough."""
    assert run(control_plane) == {}
    assert control_plane.calls["DescribeBackup"] == control_plane.calls["DescribeTable"] == 1


def test_another_key(control_plane: ControlPlane) -> None:
    """Both are told."""
    altered(control_plane, KeySchema=[{"AttributeName": "other", "KeyType": "HASH"}])
    failed = run(control_plane, checks=["schema"])["schema"]
    assert "'AttributeName': 'id'" in failed
    assert "the backup's is [{'AttributeName': 'other', 'KeyType': 'HASH'}]" in failed


@pytest.mark.parametrize(
    "indexes",
    [
        [],
        [{"IndexName": "by-two", "KeySchema": [], "Projection": {"ProjectionType": "ALL"}}],
        [
            {
                "IndexName": "by-one",
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        [
            {
                "IndexName": "by-one",
                "KeySchema": [{"AttributeName": "by", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["a"]},
            }
        ],
    ],
    ids=["more", "another", "another key", "another projection"],
)
def test_other_indexes(control_plane: ControlPlane, indexes: list[Any]) -> None:
    """Their kind is told, and each that differs."""
    altered(control_plane, GlobalSecondaryIndexes=indexes)
    assert "Of its GlobalSecondaryIndexes, by-one is " in run(control_plane)["indexes"]


def test_the_order_of_projected_attributes_does_not_matter(control_plane: ControlPlane) -> None:
    """AWS promises none."""
    control_plane.client().create_table(
        TableName="projected",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "by")],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-one",
                "KeySchema": [{"AttributeName": "by", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["a", "b"]},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    (arn,) = control_plane.add_backups("projected", 1)
    altered(control_plane, NonKeyAttributes=["b", "a"])
    restored = Restored(table("projected"), BackupArn.parse(arn))
    assert DrillChecks(["indexes"], 0, None, keep_on_failure=False).run(restored)["indexes"] is None


def test_too_few_items(control_plane: ControlPlane) -> None:
    """All pages are counted, through throttling and lost responses."""
    put_items(control_plane, 7, size=300_000)
    assert run(control_plane, min_items=7) == {}
    assert control_plane.calls["Scan"] > 1
    control_plane.fail_next("Scan", THROTTLED)
    control_plane.fail_next("Scan", DROPPED_BEFORE_COMMIT)
    assert "It has 7 items, min_items is 8." in run(control_plane, min_items=8)["min_items"]


def test_a_key_that_is_binary_is_no_hindrance(control_plane: ControlPlane) -> None:
    """A page begins where the last ended."""
    control_plane.client().create_table(
        TableName="binary",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "B"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for number in range(7):
        item = {"id": {"B": bytes([number, 255])}, "is": {"S": "x" * 300_000}}
        control_plane.client().put_item(TableName="binary", Item=item)
    (arn,) = control_plane.add_backups("binary", 1)
    restored = Restored(table("binary"), BackupArn.parse(arn))
    assert restored.count() == 7
    assert control_plane.calls["Scan"] > 1


def test_a_callable_that_raises(control_plane: ControlPlane) -> None:
    """It is given a client and the table's name; whatever it raises is told."""
    seen = []

    def look(client: Any, name: str) -> None:
        seen.append(client.describe_table(TableName=name)["Table"]["TableName"])
        raise KeyError("total")

    failed = run(control_plane, validate=look)["validate"]
    assert "validate has raised KeyError: 'total'" in failed
    assert seen == ["source"]


def test_all_checks_are_made(control_plane: ControlPlane) -> None:
    """None stands for another, also where a call fails for good."""
    control_plane.fail_next("DescribeBackup", Fault(code="AccessDeniedException"), times=9)
    failed = run(control_plane, min_items=1, validate=lambda *_: 1 / 0)
    assert list(failed) == ["schema", "indexes", "min_items", "validate"]
    assert "AccessDeniedException" in failed["schema"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"checks": "schema"},
        {"checks": ["items"]},
        {"checks": None},
        {"min_items": -1},
        {"min_items": True},
        {"min_items": "1"},
        {"validate": "count"},
        {"keep_on_failure": "no"},
    ],
    ids=repr,
)
def test_a_wrong_value_is_refused(wrong: dict[str, Any]) -> None:
    """The message names the parameter."""
    settings: dict[str, Any] = {"checks": (), "min_items": 0, "validate": None, "keep_on_failure": False}
    with pytest.raises(InvalidValueError, match="|".join(wrong)):
        DrillChecks(**settings | wrong)
