"""All synchronous AWS calls."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from botocore import xform_name
from botocore.config import Config

from airflow_ddb_backup.creation.find_or_create import RunBackup
from airflow_ddb_backup.creation.retries import retrying
from airflow_ddb_backup.exceptions import (
    BackupError,
    ErrorContext,
    OtherRegionError,
    PointInTimeRecoveryDisabledError,
    TableNotReadyError,
    map_exceptions,
)
from airflow_ddb_backup.models import Backup, BackupArn, Table

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_ddb_backup.creation.matching import BackupMatcher, IfExists
    from airflow_ddb_backup.waiting.state import BackupWait, WaitResult

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
        if deferrable:
            session = super().get_session(region_name, deferrable)
            _read_from_disk(session)
            return session
        if region_name != self.region_name:
            return super().get_session(region_name)
        return self._session

    def get_client_type(
        self, region_name: str | None = None, config: Config | None = None, deferrable: bool = False
    ) -> Any:
        """Return a client; an asynchronous one never retries, since the watcher counts and paces each call."""
        if deferrable and config is None:
            config = self._unretried_config
        return super().get_client_type(region_name, config, deferrable)

    @cached_property
    def _session(self) -> Any:
        return super().get_session(self.region_name)

    def subject(self, table: str, backup: str | None = None) -> ErrorContext:
        """Name what calls are about, with the region that this hook asks.

        :param table: name or ARN
        :param backup: name or ARN
        :raises NoRegionSetError: neither the task nor the connection nor the environment names a region
        """
        with map_exceptions(ErrorContext(table, backup)):
            return ErrorContext(table, backup, self.conn_region_name)

    def check_region(self, arn_region: str | None, subject: ErrorContext) -> None:
        """Refuse an ARN of another region: AWS would look for it in its own.

        :param arn_region: the region in the ARN; ``None`` if there was no ARN
        :param subject: what the ARN is about, from :meth:`subject`
        :raises OtherRegionError: it is not the region of this hook
        """
        if arn_region not in {None, subject.region}:
            raise OtherRegionError.about(subject, f"The ARN is of {arn_region!r}.")

    def describe_table(self, table_name: str, backup_name: str | None = None) -> Table:
        """Look at a table that is to be backed up.

        :param table_name: name or ARN
        :param backup_name: the backup that it is about, for failures to name
        :raises TableNotFoundError: there is none
        :raises TableNotReadyError: it is neither ACTIVE nor UPDATING
        """
        subject = self.subject(table_name, backup_name)
        table = Table.from_response(self._call("DescribeTable", subject, TableName=table_name))
        if table.status not in _READY:
            raise TableNotReadyError.about(subject, f"It is {table.status}.")
        return table

    def check_point_in_time_recovery(self, table_name: str, backup_name: str | None = None) -> None:
        """Refuse a table without point-in-time recovery.

        :param table_name: name or ARN
        :param backup_name: the backup that it is about, for failures to name
        :raises PointInTimeRecoveryDisabledError: it is not ENABLED
        """
        subject = self.subject(table_name, backup_name)
        response = self._call("DescribeContinuousBackups", subject, TableName=table_name)
        recovery = response["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
        status = recovery.get("PointInTimeRecoveryStatus", "not known")
        if status != "ENABLED":
            raise PointInTimeRecoveryDisabledError.about(subject, f"It is {status}.")

    def find_or_create(
        self, table_name: str, claim: BackupMatcher, if_exists: IfExists, *, deadline: float, retried: bool
    ) -> Backup:
        """Return the one backup of a run: the one that it has, or a new one.

        :param table_name: name or ARN
        :param claim: which backups are the run's
        :param if_exists: what to do when it has one
        :param deadline: when to give up trying, in Unix seconds
        :param retried: an earlier try may have made a backup, may even be making one now
        :raises BackupExistsError: there is a namesake, and ``if_exists`` is ``"fail"``
        :raises BackupError: AWS refused, or time was up
        """
        return RunBackup(self, table_name, claim, deadline).find_or_create(if_exists, retried=retried)

    def create_backup(self, table_name: str, backup_name: str) -> Backup:
        """Start a backup, with one call: a lost response is not asked for again.

        :param table_name: name or ARN
        :param backup_name: 3 to 255 characters of ``[a-zA-Z0-9_.-]``
        :raises BackupError: AWS refused, or its answer was lost
        """
        subject = self.subject(table_name, backup_name)
        request = {"TableName": table_name, "BackupName": backup_name}
        return Backup.from_details(
            self._call("CreateBackup", subject, self._unretried_client, **request)["BackupDetails"]
        )

    def list_backups(
        self, table_name: str, backup_name: str | None = None, *, made_since: datetime, deadline: float
    ) -> list[Backup]:
        """List the on-demand backups of a table, all pages of them, of whatever name.

        :param table_name: name or ARN
        :param backup_name: the backup that is looked for, for failures to name
        :param made_since: leave out what was requested earlier
        :param deadline: when to give up trying, in Unix seconds
        :raises ListBackupsDeniedError: IAM refuses it
        """
        subject = self.subject(table_name, backup_name)
        request: dict[str, Any] = {"TableName": table_name, "BackupType": "USER", "TimeRangeLowerBound": made_since}
        backups: list[Backup] = []
        while True:
            page = retrying(deadline, self.log)(self._call, "ListBackups", subject, self._unretried_client, **request)
            backups += map(Backup.from_details, page.get("BackupSummaries", ()))
            # A page may be empty and yet not the last.
            if not (cursor := page.get("LastEvaluatedBackupArn")):
                return backups
            request["ExclusiveStartBackupArn"] = cursor

    def describe_backup(self, arn: BackupArn) -> Backup:
        """Look at a backup.

        :param arn: the backup
        :raises BackupError: AWS refused, or its answer was lost
        """
        subject = self.subject(arn.table_name, arn.text)
        return Backup.from_description(self._call("DescribeBackup", subject, BackupArn=arn.text))

    def look(self, wait: BackupWait) -> WaitResult | None:
        """Look once at the backup of a wait.

        :return: the end of the wait, or ``None`` if it goes on
        """
        try:
            return wait.see(self.describe_backup(wait.arn), time.time())
        except BackupError as error:
            self.log.warning("%s", error)
            return wait.miss(error, time.time())

    def wait_for_backup(self, wait: BackupWait, poll_interval: float) -> WaitResult:
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
        return self.get_client_type(region_name=self.region_name, config=self._unretried_config)

    @property
    def _unretried_config(self) -> Config:
        return self.config.merge(Config(retries={"total_max_attempts": 1}))

    def _call(self, action: str, subject: ErrorContext, client: Any = None, **request: Any) -> dict[str, Any]:
        with map_exceptions(subject):
            method = getattr(client or self.conn, xform_name(action))
            response: dict[str, Any] = method(**request)
        return response


def _read_from_disk(session: Any) -> None:
    """Read what a client is made of, here in a thread: the event loop would stand still for as long (0.1 to 0.4 s)."""
    _ = session.full_config
    loader = session.get_component("data_loader")
    for name in ("endpoints", "partitions", "sdk-default-configuration", "_retry"):
        loader.load_data(name)
    for model in ("service-2", "endpoint-rule-set-1"):
        # The loader remembers calls by their arguments: these are botocore's.
        loader.load_service_model("dynamodb", model, api_version=None)
