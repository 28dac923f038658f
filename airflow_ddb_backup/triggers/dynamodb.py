"""The triggers: one waiting task on the triggerer each."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_ddb_backup.exceptions import BackupError
from airflow_ddb_backup.models import BackupArn
from airflow_ddb_backup.waiting.awaiting import BackupsWait, end_of, wait_for_backup
from airflow_ddb_backup.waiting.outage import Outage
from airflow_ddb_backup.waiting.rate_limited_client import AwsSettings, RateLimitedClient, RateLimits
from airflow_ddb_backup.waiting.restore_state import RestoreResult, RestoreWait
from airflow_ddb_backup.waiting.state import BackupsResult, BackupWait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_ddb_backup.models import Table


# An event that comes before the scheduler has taken in the deferral makes Airflow fail the task (3.3.2: "Executor …
# reported … finished with state success, but the task instance's state attribute is queued"). Observed: 13 of 36 tasks
# failed under load, none with the first event held back for 7 s. apache/airflow #67287 is the variant with the task
# queued (fixed on main by #68741, not in 3.3.2), #66374 the one with scheduled, #72716 the one with running, open. This
# may go once the lowest supported Airflow has all three fixes.
FIRST_EVENT_AFTER = 7.0


class _WaitTrigger(BaseTrigger):
    """A trigger with one event, which it holds back until Airflow can take it.

    :param deadline: when time is up, in Unix seconds: absolute, so that no restart of the triggerer gives more time
    """

    def __init__(
        self,
        *,
        poll_interval: float,
        deadline: float,
        aws_conn_id: str | None,
        region_name: str | None,
        verify: bool | str | None,
        botocore_config: dict[str, Any] | None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's base is not typed
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and all arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "poll_interval": self.poll_interval,
            "deadline": self.deadline,
            "aws_conn_id": self.aws_conn_id,
            "region_name": self.region_name,
            "verify": self.verify,
            "botocore_config": self.botocore_config,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event, not before Airflow can take it."""
        loop = asyncio.get_running_loop()
        earliest = loop.time() + FIRST_EVENT_AFTER
        event = await self._event()
        await asyncio.sleep(max(0.0, earliest - loop.time()))
        yield TriggerEvent(event)

    @abstractmethod
    async def _event(self) -> dict[str, Any]:
        """Wait, and return the event's payload."""

    def _settings(self, arn: BackupArn) -> AwsSettings:
        # The worker has polled in the ARN's region, or refused it. Triggers stored by earlier versions may have none.
        region_name = self.region_name or arn.region
        return AwsSettings(self.aws_conn_id, region_name, self.verify, self.botocore_config)

    @property
    def _first_delay(self) -> float:
        # The worker has just polled, and what comes before the first event may go would only be kept back.
        return min(self.poll_interval, FIRST_EVENT_AFTER)


class DynamoDBBackupTrigger(_WaitTrigger):
    """Waits until a backup is AVAILABLE, lost, or time is up. Cancelled or killed, it only stops polling.

    :param backup_arn: the backup
    :param poll_interval: seconds between polls, above 0
    :param deadline: when time is up, in Unix seconds: absolute, so that no restart of the triggerer gives more time
    :param aws_conn_id: the Airflow connection
    :param region_name: the region; ``None``: the ARN's
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    """

    def __init__(
        self,
        *,
        backup_arn: str,
        poll_interval: float,
        deadline: float,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            poll_interval=poll_interval,
            deadline=deadline,
            aws_conn_id=aws_conn_id,
            region_name=region_name,
            verify=verify,
            botocore_config=botocore_config,
        )
        self.backup_arn = backup_arn

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and all arguments."""
        path, arguments = super().serialize()
        return path, arguments | {"backup_arn": self.backup_arn}

    async def _event(self) -> dict[str, Any]:
        arn = BackupArn.parse(self.backup_arn)
        wait = BackupWait(arn, self.deadline, time.time())
        settings = self._settings(arn)
        ended = await wait_for_backup(settings, wait, self.poll_interval, self._first_delay, self.log.info)
        return ended.as_event()


class DynamoDBBackupsTrigger(_WaitTrigger):
    """Waits until every one of many backups is AVAILABLE, lost, or time is up. Cancelled, it only stops polling.

    :param backup_arns: the backups, of one region
    :param report: what the worker knows already, handed back in the event
    :param poll_interval: seconds between polls, above 0
    :param deadline: when time is up, in Unix seconds: absolute, so that no restart of the triggerer gives more time
    :param aws_conn_id: the Airflow connection
    :param region_name: the region; ``None``: the ARNs'
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    """

    def __init__(
        self,
        *,
        backup_arns: list[str],
        report: dict[str, Any] | None = None,
        poll_interval: float,
        deadline: float,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            poll_interval=poll_interval,
            deadline=deadline,
            aws_conn_id=aws_conn_id,
            region_name=region_name,
            verify=verify,
            botocore_config=botocore_config,
        )
        self.backup_arns = backup_arns
        self.report = report

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and all arguments."""
        path, arguments = super().serialize()
        return path, arguments | {"backup_arns": self.backup_arns, "report": self.report}

    async def _event(self) -> dict[str, Any]:
        arns = [BackupArn.parse(arn) for arn in self.backup_arns]
        wait = BackupsWait(self._settings(arns[0]), self.deadline, self.poll_interval, self.log)
        return BackupsResult.of(await wait.run(arns, self._first_delay)).as_event() | {"report": self.report}


class DynamoDBRestoreTrigger(_WaitTrigger):
    """Waits until a table is restored, lost, or time is up. Cancelled or killed, it only stops polling.

    :param backup_arn: the backup that the table is restored from
    :param table_name: the new table
    :param settings: the settings that the worker has read of the backed up table, handed back in the event
    :param poll_interval: seconds between polls, above 0
    :param deadline: when time is up, in Unix seconds: absolute, so that no restart of the triggerer gives more time
    :param aws_conn_id: the Airflow connection
    :param region_name: the region; ``None``: the ARN's
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    """

    def __init__(
        self,
        *,
        backup_arn: str,
        table_name: str,
        settings: dict[str, Any] | None = None,
        poll_interval: float,
        deadline: float,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            poll_interval=poll_interval,
            deadline=deadline,
            aws_conn_id=aws_conn_id,
            region_name=region_name,
            verify=verify,
            botocore_config=botocore_config,
        )
        self.backup_arn = backup_arn
        self.table_name = table_name
        self.settings = settings

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and all arguments."""
        path, arguments = super().serialize()
        own = {"backup_arn": self.backup_arn, "table_name": self.table_name, "settings": self.settings}
        return path, arguments | own

    async def _event(self) -> dict[str, Any]:
        arn = BackupArn.parse(self.backup_arn)
        wait = RestoreWait(arn, self.table_name, self.deadline, time.time())
        settings = self._settings(arn)
        limits = RateLimits.of(arn, settings.region_name)
        client = RateLimitedClient.of(settings, limits)
        polling = asyncio.ensure_future(self._poll(wait, client, limits))
        try:
            ended = await end_of(wait, polling, self.log.info)
        finally:
            # A trigger may be cancelled a second time meanwhile.
            await asyncio.shield(asyncio.ensure_future(_stop(polling, client)))
        return ended.as_event() | {"backup_arn": self.backup_arn, "settings": self.settings}

    async def _poll(self, wait: RestoreWait, client: RateLimitedClient, limits: RateLimits) -> RestoreResult:
        """Poll the table until its wait ends. A restore is polled seldom, and 50 run at once: each by itself."""
        loop, outage, delay = asyncio.get_running_loop(), Outage(wait.operation, self.log), self._first_delay
        while True:
            await asyncio.sleep(wait.next_delay(delay, time.time()))
            asked = loop.time()
            observation: Table | BackupError
            try:
                await limits.acquire(wait.operation)
                observation = await client.describe_table(wait.context, self.table_name)
                outage.succeeded(loop.time())
            except BackupError as error:
                observation = error
                outage.failed(error, loop.time())
            if result := wait.observe(observation, time.time()):
                return result
            delay = max(0.0, asked + self.poll_interval - loop.time())


async def _stop(polling: asyncio.Future[RestoreResult], client: RateLimitedClient) -> None:
    polling.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await polling
    await client.close()
