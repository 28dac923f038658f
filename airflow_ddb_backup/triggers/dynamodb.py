"""The triggers: one waiting task on the triggerer each."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from dataclasses import InitVar, dataclass, fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.exceptions import OtherAccountError, OtherRegionError
from airflow_ddb_backup.limits import FIRST_EVENT_AFTER, LONGEST_AGE, LONGEST_WAIT
from airflow_ddb_backup.models import BackupArn, RestoreSource
from airflow_ddb_backup.parameters import check_interval, check_name, check_seconds, check_texts
from airflow_ddb_backup.waiting.awaiting import wait_on_triggerer
from airflow_ddb_backup.waiting.client import AwsSettings
from airflow_ddb_backup.waiting.fresh_state import FreshRequest, FreshWait
from airflow_ddb_backup.waiting.restore_state import RestoreWait
from airflow_ddb_backup.waiting.state import BackupsResult, BackupWait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from airflow_ddb_backup.waiting.state import Wait, WaitResult


@dataclass(kw_only=True, eq=False, repr=False)
class _WaitTrigger(BaseTrigger):
    """A trigger with one event, which it holds back until Airflow can take it. Its fields are what is serialized.

    They are described at :class:`DynamoDBBackupTrigger`.
    """

    poll_interval: float
    deadline: float
    aws_conn_id: str | None = "aws_default"
    region_name: str | None = None
    verify: bool | str | None = None
    botocore_config: dict[str, Any] | None = None
    connection_found: bool = False
    carry: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's base is not typed

    def __repr__(self) -> str:
        # A proxy's address may hold its password.
        path, arguments = self.serialize()
        config = arguments["botocore_config"]
        shown = arguments | {"botocore_config": sorted(config) if config else config}
        return f"<{path} {', '.join(f'{name}={value}' for name, value in shown.items())}>"

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and all arguments."""
        arguments = {field.name: getattr(self, field.name) for field in fields(self)}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event, not before Airflow can take it."""
        earliest = Deadline.after(FIRST_EVENT_AFTER)
        # It comes from a database, and perhaps from another version.
        check_interval("poll_interval", self.poll_interval)
        latest = Deadline.latest(LONGEST_WAIT)
        check_seconds("deadline", self.deadline, 0, latest, "Unix seconds, ten years ahead at most")
        waits = self._waits(Deadline.at_time(self.deadline))
        # The worker has polled in the ARN's region, or refused it.
        region_name = self.region_name or waits[0].region
        for wait in waits:
            kind = OtherAccountError if wait.account != waits[0].account else OtherRegionError
            if (wait.account, wait.region) != (waits[0].account, region_name):
                raise kind.about(replace(wait.context, region=region_name), f"Its own region is {wait.region!r}.")
        settings = AwsSettings(self.aws_conn_id, region_name, self.verify, self.botocore_config, self.connection_found)
        results = await wait_on_triggerer(settings, waits, self.poll_interval, self.log)
        await asyncio.sleep(earliest.left)
        yield TriggerEvent(self._payload(results) | {"carry": self.carry})

    @abstractmethod
    def _waits(self, deadline: Deadline) -> Sequence[Wait]:
        """Return the states of the waits."""

    def _payload(self, results: Sequence[WaitResult]) -> dict[str, Any]:
        """Return what the event says of how the waits have ended."""
        return results[0].as_event()


@dataclass(kw_only=True, eq=False, repr=False)
class DynamoDBBackupTrigger(_WaitTrigger):
    """Waits until a backup is AVAILABLE, lost, or time is up. Cancelled or killed, it only stops polling.

    :param backup_arn: the backup
    :param poll_interval: seconds between polls, above 0
    :param deadline: when time is up, in Unix seconds: absolute, so that no restart of the triggerer gives more time
    :param aws_conn_id: the Airflow connection
    :param region_name: the region; ``None``: the ARN's
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :param connection_found: the worker has found the Airflow connection: its absence is waited out
    :param carry: what the worker has decided; the event returns it as it is
    """

    backup_arn: str

    def _waits(self, deadline: Deadline) -> Sequence[Wait]:
        return [BackupWait(BackupArn.parse(self.backup_arn), deadline)]


@dataclass(kw_only=True, eq=False, repr=False)
class DynamoDBBackupsTrigger(_WaitTrigger):
    """Waits until every one of many backups is AVAILABLE, lost, or time is up. Cancelled, it only stops polling.

    :param backup_arns: the backups, of one region
    :param report: what ``carry`` was called before the first release

    The other parameters are those of :class:`DynamoDBBackupTrigger`.
    """

    backup_arns: list[str]
    report: InitVar[dict[str, Any] | None] = None

    def __post_init__(self, report: dict[str, Any] | None) -> None:
        super().__post_init__()
        self.carry = self.carry or report

    def _waits(self, deadline: Deadline) -> Sequence[Wait]:
        texts = check_texts("backup_arns", self.backup_arns, "a list with at least one ARN of a backup")
        arns = [BackupArn.parse(arn, "backup_arns") for arn in texts or ("",)]
        return [BackupWait(arn, deadline, one_of_many=True) for arn in arns]

    def _payload(self, results: Sequence[WaitResult]) -> dict[str, Any]:
        return BackupsResult.of(results).as_event()


@dataclass(kw_only=True, eq=False, repr=False)
class DynamoDBRestoreTrigger(_WaitTrigger):
    """Waits until a table is restored, lost, or time is up. Cancelled or killed, it only stops polling.

    :param source: the fields of the :class:`~.models.RestoreSource` that the table is restored from
    :param table_name: the new table

    The other parameters are those of :class:`DynamoDBBackupTrigger`.
    """

    source: dict[str, Any]
    table_name: str

    def _waits(self, deadline: Deadline) -> Sequence[Wait]:
        table_name = check_name("table_name", self.table_name)
        return [RestoreWait(RestoreSource(**self.source), table_name, deadline)]


@dataclass(kw_only=True, eq=False, repr=False)
class DynamoDBFreshBackupTrigger(_WaitTrigger):
    """Waits until a table has a fresh backup, or time is up. Cancelled or killed, it only stops polling.

    :param table_name: the table's name or ARN
    :param max_age: how old the backup is at most, in seconds
    :param backup_name_prefix: what its name begins with; ``None``: any name
    :param account: the account that the worker has called; ``None``: no response has told it

    The other parameters are those of :class:`DynamoDBBackupTrigger`, but ``region_name`` is given.
    """

    table_name: str
    max_age: float
    backup_name_prefix: str | None
    account: str | None

    def _waits(self, deadline: Deadline) -> Sequence[Wait]:
        seconds = check_seconds("max_age", self.max_age, 0, LONGEST_AGE.total_seconds())
        wanted = FreshRequest(self.table_name, timedelta(seconds=seconds), self.backup_name_prefix)
        return [FreshWait(wanted, self.account, str(self.region_name), deadline)]
