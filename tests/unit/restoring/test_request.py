"""The arguments that RestoreTableFromBackup is sent. No I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ddb_backup.exceptions import InvalidValueError
from airflow_ddb_backup.models import Backup
from airflow_ddb_backup.restoring.request import BillingMode, Overrides
from tests.unit.restoring.support import ARN

UNITS = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6}


def index(name: str, **more: Any) -> dict[str, Any]:
    """Return an index as DescribeBackup does."""
    key = [{"AttributeName": "by", "KeyType": "HASH"}]
    return {
        "IndexName": name,
        "KeySchema": key,
        "Projection": {"ProjectionType": "ALL", "NonKeyAttributes": []},
        **more,
    }


def sent(name: str, **more: Any) -> dict[str, Any]:
    """Return an index as it is sent: nothing in it is empty."""
    return {**index(name), "Projection": {"ProjectionType": "ALL"}, **more}


VECTOR = {
    "IndexName": "near",
    "VectorAttribute": {"AttributeName": "embedding"},
    "SearchSchema": [{"AttributeName": "by"}],
    "Projection": {"ProjectionType": "ALL"},
    "Dimensions": 3,
    "DistanceFunction": "COSINE",
}


def description(
    *global_indexes: dict[str, Any], local: tuple[dict[str, Any], ...] = (), vector: tuple[dict[str, Any], ...] = ()
) -> Any:
    """Return the indexes that the description of a backup has."""
    details = {
        "BackupArn": f"{ARN}/backup/01795422913684-770da1ee",
        "BackupName": "nightly",
        "BackupStatus": "AVAILABLE",
        "BackupCreationDateTime": datetime.now(tz=UTC),
    }
    features = {
        "GlobalSecondaryIndexes": list(global_indexes),
        "LocalSecondaryIndexes": list(local),
        "VectorIndexes": list(vector),
    }
    return Backup.from_description(
        {"BackupDescription": {"BackupDetails": details, "SourceTableFeatureDetails": features}}
    ).indexes


def test_nothing_is_sent_that_was_not_asked_for() -> None:
    """AWS takes it from the backup."""
    assert Overrides().arguments(description(index("one"), local=(index("two"),))) == {}


def test_some_indexes_are_excluded() -> None:
    """A list has those that are kept, and is sent only where one is left out."""
    arguments = Overrides(exclude_indexes=("one",)).arguments(
        description(index("one"), index("two"), local=(index("mine"),))
    )
    assert arguments == {"GlobalSecondaryIndexOverride": [sent("two")]}
    arguments = Overrides(exclude_indexes=("mine",)).arguments(
        description(index("one"), local=(index("mine"), index("ours")))
    )
    assert arguments == {"LocalSecondaryIndexOverride": [sent("ours")]}


def test_all_indexes_are_excluded() -> None:
    """An empty list, of each kind that there is."""
    assert Overrides(exclude_indexes="all").arguments(description(index("one"))) == {"GlobalSecondaryIndexOverride": []}
    both = Overrides(exclude_indexes=("one", "mine")).arguments(description(index("one"), local=(index("mine"),)))
    assert both == {"GlobalSecondaryIndexOverride": [], "LocalSecondaryIndexOverride": []}


@pytest.mark.parametrize(
    ("overrides", "recorded", "expected"),
    [
        ({}, {"ProvisionedThroughput": UNITS}, {"ProvisionedThroughput": UNITS}),
        ({}, {"ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0}}, {}),
        ({"billing_mode": BillingMode.PAY_PER_REQUEST}, {"ProvisionedThroughput": UNITS}, {}),
        (
            {"billing_mode": BillingMode.PROVISIONED, "provisioned_throughput": UNITS},
            {"ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0}},
            {"ProvisionedThroughput": UNITS},
        ),
        ({}, {"OnDemandThroughput": {"MaxReadRequestUnits": 9}}, {"OnDemandThroughput": {"MaxReadRequestUnits": 9}}),
        ({"billing_mode": BillingMode.PROVISIONED}, {"OnDemandThroughput": {"MaxReadRequestUnits": 9}}, {}),
        ({}, {"OnDemandThroughput": {}}, {}),
    ],
)
def test_a_kept_index_has_its_capacity(
    overrides: dict[str, Any], recorded: dict[str, Any], expected: dict[str, Any]
) -> None:
    """As far as it fits how the new table is billed."""
    arguments = Overrides(exclude_indexes=("two",), **overrides).arguments(
        description(index("one", **recorded), index("two"))
    )
    assert arguments["GlobalSecondaryIndexOverride"] == [sent("one", **expected)]


def test_an_index_that_was_on_demand_gets_the_table_s_capacity() -> None:
    """As CreateTable asks for it; one that has a capacity of its own keeps it."""
    overrides = Overrides(billing_mode=BillingMode.PROVISIONED, provisioned_throughput=UNITS)
    own = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
    on_demand = {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0}
    known = description(index("one", ProvisionedThroughput=on_demand), index("two", ProvisionedThroughput=own))
    assert overrides.arguments(known)["GlobalSecondaryIndexOverride"] == [
        sent("one", ProvisionedThroughput=UNITS),
        sent("two", ProvisionedThroughput=own),
    ]
    assert "GlobalSecondaryIndexOverride" not in overrides.arguments(
        description(index("two", ProvisionedThroughput=own))
    )


def test_vector_indexes_are_excluded_like_others() -> None:
    """What is kept has the members that RestoreTableFromBackup takes."""
    other = {**VECTOR, "IndexName": "far"}
    known = description(index("one"), vector=(VECTOR, other))
    assert Overrides(exclude_indexes=("far",)).arguments(known) == {"VectorIndexOverride": [VECTOR]}
    assert Overrides(exclude_indexes="all").arguments(known)["VectorIndexOverride"] == []


def test_a_table_with_vector_indexes_can_t_be_provisioned() -> None:
    """Unless none is restored."""
    provisioned: dict[str, Any] = {"billing_mode": "PROVISIONED", "provisioned_throughput": UNITS}
    known = description(vector=(VECTOR,))
    with pytest.raises(InvalidValueError, match=r"billing_mode must be another .*\['near'\]; got 'PROVISIONED'"):
        Overrides(**provisioned).arguments(known)
    assert Overrides(**provisioned, exclude_indexes="all").arguments(known)["VectorIndexOverride"] == []


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        ("alias/aws/dynamodb", {"Enabled": True, "SSEType": "KMS"}),
        ("AWS_OWNED_KMS_KEY", {"Enabled": False}),
        ("alias/shop", {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": "alias/shop"}),
    ],
)
def test_keys_of_aws_are_sent_as_aws_asks(key: str, sent: dict[str, Any]) -> None:
    """Its managed one without an ID, the one that it owns as none."""
    assert Overrides(kms_key_id=key).arguments(description()) == {"SSESpecificationOverride": sent}


@pytest.mark.parametrize("wrong", ["", " ", "alias/shop ", 5, True], ids=repr)
def test_another_key_is_refused(wrong: Any) -> None:
    """The refusal says what there is, AWS's own key too."""
    with pytest.raises(InvalidValueError, match="kms_key_id must be the ID, ARN or alias of a KMS key, 'AWS_OWNED_"):
        Overrides(kms_key_id=wrong)


def test_an_unknown_index_is_refused() -> None:
    """The message has the names that there are."""
    with pytest.raises(InvalidValueError, match=r"which are \['one', 'mine'\]; got \['two'\]"):
        Overrides(exclude_indexes=("two",)).arguments(description(index("one"), local=(index("mine"),)))


@given(
    names=st.lists(st.sampled_from(["one", "two", "mine", "ours"]), unique=True),
    everything=st.booleans(),
    billing_mode=st.sampled_from([None, *BillingMode]),
    throughput=st.sampled_from([None, UNITS]),
    key=st.sampled_from([None, "alias/shop", "alias/aws/dynamodb", "AWS_OWNED_KMS_KEY"]),
)
def test_no_structure_is_ever_empty(
    names: list[str], everything: bool, billing_mode: BillingMode | None, throughput: Any, key: str | None
) -> None:
    """AWS answers an empty one with an error, and starts the restore all the same."""
    if billing_mode is BillingMode.PAY_PER_REQUEST:
        throughput = None
    overrides = Overrides(
        billing_mode=billing_mode,
        provisioned_throughput=throughput,
        kms_key_id=key,
        exclude_indexes="all" if everything else tuple(names),
    )
    known = description(index("one"), index("two", ProvisionedThroughput={}), local=(index("mine"), index("ours")))
    assert empty_structures(list(overrides.arguments(known).values())) == []


def empty_structures(value: Any) -> list[Any]:
    """Return all dicts without members."""
    if isinstance(value, dict):
        inner = [one for member in value.values() for one in empty_structures(member)]
        return inner if value else [value, *inner]
    return [one for member in value for one in empty_structures(member)] if isinstance(value, list) else []
