"""All synchronous AWS calls."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from botocore import xform_name
from botocore.config import Config

from airflow_ddb_backup.backup import Backup, BackupArn, Table
from airflow_ddb_backup.errors import BackupError, OtherRegionError, Subject, TableNotReadyError
from airflow_ddb_backup.translation import translated

if TYPE_CHECKING:
    from airflow_ddb_backup.waiting import BackupWait, Verdict

# CreateBackup answers for both; on a DELETING table it succeeds for a second or two, so it is refused here.
_READY = frozenset({"ACTIVE", "UPDATING"})


class DynamoDBBackupHook(AwsBaseHook):
    """Creates, finds and looks at DynamoDB's on-demand backups.

    Takes the arguments of :class:`~airflow.providers.amazon.aws.hooks.base_aws.AwsBaseHook`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "client_type": "dynamodb"})

    def get_session(self, region_name: str | None = None, deferrable: bool = False) -> Any:
        """Return the boto3 session: one for all clients, since AWS's models are read once a session (0.1 s)."""
        if deferrable or region_name != self.region_name:
            return super().get_session(region_name, deferrable)
        return self._session

    @cached_property
    def _session(self) -> Any:
        return super().get_session(self.region_name)

    def subject(self, table: str, backup: str | None = None) -> Subject:
        """Name what calls are about, with the region that this hook asks.

        :param table: name or ARN
        :param backup: name or ARN
        :raises NoRegionSetError: neither the task nor the connection nor the environment names a region
        """
        with translated(Subject(table, backup)):
            return Subject(table, backup, self.conn_region_name)

    def check_region(self, arn_region: str | None, subject: Subject) -> None:
        """Refuse an ARN of another region: AWS would look for it in its own.

        :param arn_region: the region in the ARN; ``None`` if there was no ARN
        :param subject: what the ARN is about, from :meth:`subject`
        :raises OtherRegionError: it is not the region of this hook
        """
        if arn_region not in {None, subject.region}:
            raise OtherRegionError.about(subject, f"The ARN is of {arn_region!r}.")

    def describe_table(self, table_name: str) -> Table:
        """Look at a table that is to be backed up.

        :param table_name: name or ARN
        :raises TableNotFoundError: there is none
        :raises TableNotReadyError: it is neither ACTIVE nor UPDATING
        """
        subject = self.subject(table_name)
        table = Table.from_aws(self._call("DescribeTable", subject, TableName=table_name)["Table"])
        if table.status not in _READY:
            raise TableNotReadyError.about(subject, f"It is {table.status}.")
        return table

    def create_backup(self, table_name: str, backup_name: str) -> Backup:
        """Start a backup, with one call: a lost response is not asked for again.

        :param table_name: name or ARN
        :param backup_name: 3 to 255 characters of ``[a-zA-Z0-9_.-]``
        :raises BackupError: AWS refused, or its answer was lost
        """
        subject = self.subject(table_name, backup_name)
        request = {"TableName": table_name, "BackupName": backup_name}
        return Backup.from_aws(self._call("CreateBackup", subject, self._unretried_client, **request)["BackupDetails"])

    def describe_backup(self, arn: BackupArn) -> Backup:
        """Look at a backup.

        :param arn: the backup
        :raises BackupError: AWS refused, or its answer was lost
        """
        subject = self.subject(arn.table_name, arn.text)
        return Backup.from_description(self._call("DescribeBackup", subject, BackupArn=arn.text))

    def look(self, wait: BackupWait) -> Verdict | None:
        """Look once at the backup of a wait.

        :return: the end of the wait, or ``None`` if it goes on
        """
        try:
            return wait.see(self.describe_backup(wait.arn), time.time())
        except BackupError as error:
            self.log.warning("%s", error)
            return wait.miss(error, time.time())

    def wait_for_backup(self, wait: BackupWait, poll_interval: float) -> Verdict:
        """Look at a backup until its wait ends.

        :param poll_interval: seconds between looks
        """
        while True:
            time.sleep(wait.pause(poll_interval, time.time()))
            if verdict := self.look(wait):
                return verdict
            if line := wait.report(time.time()):
                self.log.info("%s", line)

    @cached_property
    def _unretried_client(self) -> Any:
        # CreateBackup has no idempotency token: botocore's retry of a lost response would make a second backup.
        config = self.config.merge(Config(retries={"total_max_attempts": 1}))
        return self.get_client_type(region_name=self.region_name, config=config)

    def _call(self, action: str, subject: Subject, client: Any = None, **request: Any) -> dict[str, Any]:
        with translated(subject):
            method = getattr(client or self.conn, xform_name(action))
            response: dict[str, Any] = method(**request)
        return response
