"""The trigger: one waiting task on the triggerer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_ddb_backup.models import BackupArn
from airflow_ddb_backup.waiting.poller import BackupPoller
from airflow_ddb_backup.waiting.rate_limited_client import AwsSettings
from airflow_ddb_backup.waiting.state import BackupWait, WaitResult

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# An event that comes before the scheduler has taken in the deferral makes Airflow fail the task (3.3.2: "Executor …
# reported … finished with state success, but the task instance's state attribute is queued"). Observed: 13 of 36 tasks
# failed under load, none with the first event held back for 7 s. apache/airflow #67287 is the variant with the task
# queued (fixed on main by #68741, not in 3.3.2), #66374 the one with scheduled, #72716 the one with running, open. This
# may go once the lowest supported Airflow has all three fixes.
FIRST_EVENT_AFTER = 7.0


class DynamoDBBackupTrigger(BaseTrigger):
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
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's base is not typed
        self.backup_arn = backup_arn
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and all arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "backup_arn": self.backup_arn,
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
        result = await self._wait()
        await asyncio.sleep(max(0.0, earliest - loop.time()))
        yield TriggerEvent(result.as_event())

    async def _wait(self) -> WaitResult:
        arn = BackupArn.parse(self.backup_arn)
        wait = BackupWait(arn, self.deadline, time.time())
        # The worker has polled in the ARN's region, or refused it. Triggers stored by earlier versions may have none.
        region_name = self.region_name or arn.region
        settings = AwsSettings(self.aws_conn_id, region_name, self.verify, self.botocore_config)
        # The worker has just polled, and what comes before the first event may go would only be kept back.
        first_delay = min(self.poll_interval, FIRST_EVENT_AFTER)
        async with BackupPoller.of(settings, arn).subscribe(wait, self.poll_interval, first_delay) as result:
            while not result.done():
                await asyncio.wait([result], timeout=wait.seconds_until_wakeup(time.time()))
                if line := wait.report(time.time()):
                    self.log.info("%s", line)
                if not result.done() and (expired := wait.expire(time.time())):
                    return expired
            return result.result()
