"""How the asynchronous client is made."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config

from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupTrigger
from airflow_ddb_backup.waiting import rate_limited_client
from airflow_ddb_backup.waiting.rate_limited_client import AwsSettings, RateLimits

if TYPE_CHECKING:
    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane


def test_reading_ahead_only_saves_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A botocore that keeps its models elsewhere fails no wait."""

    class Loader:
        """Finds nothing."""

        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            raise FileNotFoundError(name)

    asked: list[str] = []
    monkeypatch.setattr(rate_limited_client, "_LOADER", Loader())
    rate_limited_client._warm_up("us-east-1", Config())  # noqa: SLF001  # its failure is the case
    assert asked


@pytest.mark.parametrize(("given", "used"), [({}, 10), ({"read_timeout": 25}, 25)])
def test_a_hanging_sts_is_left_after_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], used: int
) -> None:
    """Unless the user has set a timeout: the provider makes its STS client of the hook's configuration."""
    extra = json.dumps({"config_kwargs": given})
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({"conn_type": "aws", "extra": extra}))
    config = AwsSettings("aws_default", "us-east-1", None, None).hook().config
    assert (config.connect_timeout, config.read_timeout) == (10, used)


@pytest.mark.anyio
async def test_a_poller_with_nothing_to_describe_takes_no_share_of_describe_backup(
    control_plane: ControlPlane, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other pollers of the account share the rate."""
    acquired: Counter[str] = Counter()
    acquire = RateLimits.acquire

    async def counted(self: RateLimits, operation: str) -> None:
        acquired[operation] += 1
        await acquire(self, operation)

    monkeypatch.setattr(RateLimits, "acquire", counted)
    control_plane.creating_for = 60
    arns = control_plane.add_backups("orders", 150)
    deadline = clock.time() + 600
    waits = [DynamoDBBackupTrigger(backup_arn=arn, poll_interval=5, deadline=deadline).run() for arn in arns]
    await asyncio.gather(*(anext(wait) for wait in waits))
    assert acquired["DescribeBackup"] == control_plane.calls["DescribeBackup"]
