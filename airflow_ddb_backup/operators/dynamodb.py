"""The operator that backs a table up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import Asset, conf

from airflow_ddb_backup.creation.matching import BackupMatcher, IfExists, run_due
from airflow_ddb_backup.creation.names import derive_backup_name
from airflow_ddb_backup.exceptions import ErrorContext
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.links.dynamodb import DynamoDBBackupLink
from airflow_ddb_backup.models import Backup, BackupArn
from airflow_ddb_backup.validation import (
    check_backup_name,
    check_choice,
    check_interval,
    check_literal,
    check_reuse_within,
    check_table_name,
    check_timeout,
    table_region,
)
from airflow_ddb_backup.waiting.deferral import DeferredWaitMixin
from airflow_ddb_backup.waiting.state import BackupWait, WaitResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context, XComArg

XCOM_BACKUP_ARN = "backup_arn"


class DynamoDBCreateBackupOperator(DeferredWaitMixin, AwsBaseOperator[DynamoDBBackupHook]):
    """Back a DynamoDB table up, on demand, and wait until the backup is AVAILABLE. Returns its ARN.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`howto/operator:DynamoDBCreateBackupOperator`

    The ARN is pushed to XCom as ``backup_arn`` before any waiting, and returned at the end. Killing, clearing or
    timing out the task never deletes the backup.

    :param table_name: the table's name, 3 to 255 characters, or its ARN, up to 1024 (templated)
    :param backup_name: 3 to 255 characters of ``[a-zA-Z0-9_.-]`` (templated). ``None``: derived from dag_id, task_id,
        run_id and map_index, the same on every try of one run and different for every other
    :param if_exists: what to do when this run has its backup already: ``"reuse"`` it, ``"fail"``, or ``"create"``
        another
    :param reuse_within: also reuse the newest backup of the table, whatever its name, that is at most this old
    :param require_point_in_time_recovery: refuse a table whose point-in-time recovery is not ENABLED
    :param wait_for_completion: wait until the backup is AVAILABLE
    :param deferrable: wait on the triggerer; it changes where the waiting happens, and nothing else
    :param poll_interval: seconds between looks at the backup, above 0
    :param timeout: seconds, or a ``timedelta``, from the start of ``execute`` until the backup is AVAILABLE; 60 to 7200
    :param aws_conn_id: the Airflow connection for AWS; ``None``: boto3's default credentials
    :param region_name: the region; ``None``: the connection's, or boto3's default
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    aws_hook_class = DynamoDBBackupHook
    template_fields: Sequence[str] = aws_template_fields("table_name", "backup_name")
    operator_extra_links = (DynamoDBBackupLink(),)
    ui_color = "#d9e6f7"

    def __init__(
        self,
        *,
        table_name: str | XComArg,
        backup_name: str | XComArg | None = None,
        if_exists: Literal["reuse", "fail", "create"] = "reuse",
        reuse_within: timedelta | None = None,
        require_point_in_time_recovery: bool = False,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 5,
        timeout: float | timedelta = 1800,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_literal(check_table_name, table_name)
        if backup_name is not None:
            check_literal(check_backup_name, backup_name)
        self.table_name = table_name
        self.backup_name = backup_name
        # A rendered None would otherwise pass for "derive a name".
        self._derives_name = backup_name is None
        self.if_exists = check_choice("if_exists", if_exists, IfExists)
        self.reuse_within = check_reuse_within(reuse_within)
        self.require_point_in_time_recovery = require_point_in_time_recovery
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = check_interval("poll_interval", poll_interval)
        self.timeout = check_timeout(timeout)

    def execute(self, context: Context) -> str:
        """Start the backup, and wait for it."""
        # In Unix seconds, not monotonic ones: the triggerer, another process or machine, goes by it too.
        deadline = time.time() + self.timeout
        backup = self._find_or_create(context, deadline)
        self._publish(context, backup)
        if not self.wait_for_completion:
            return self._hand_on(context, backup.as_dict())
        wait = BackupWait(backup.arn, deadline, time.time())
        # What is AVAILABLE already is not worth a deferral, and Airflow fails a task whose trigger fires at once.
        verdict = wait.see(backup, time.time()) or self.hook.look(wait)
        if verdict is None and self.deferrable:
            self.defer_wait(wait, self.poll_interval)
        return self._finish(context, verdict or self.hook.wait_for_backup(wait, self.poll_interval))

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> str:
        """Take the trigger's event.

        :param event: the trigger's payload
        :raises BackupTimeoutError: the time was up
        :raises BackupLostError: the wait has failed, or the event is none of ours
        """
        return self._finish(context, WaitResult.from_event(event))

    def awaited(self, context: Context) -> ErrorContext:
        """Return what this task waits for; the ARN is in its XCom."""
        ti = context["ti"]
        if arn := ti.xcom_pull(task_ids=ti.task_id, key=XCOM_BACKUP_ARN, map_indexes=ti.map_index):
            return BackupArn.parse(arn).context
        return ErrorContext(str(self.table_name), self._name(context), self.region_name)

    def _find_or_create(self, context: Context, deadline: float) -> Backup:
        table_name = check_table_name(self.table_name)
        backup_name = self._name(context)
        self.hook.check_region(table_region(table_name), self.hook.subject(table_name, backup_name))
        table = self.hook.describe_table(table_name, backup_name)
        if self.require_point_in_time_recovery:
            self.hook.check_point_in_time_recovery(table_name, backup_name)
        made_since = None if self._derives_name else run_due(context["dag_run"])
        claim = BackupMatcher(table, backup_name, made_since, self.reuse_within)
        retried = context["ti"].try_number > 1
        return self.hook.find_or_create(table_name, claim, self.if_exists, deadline=deadline, retried=retried)

    def _name(self, context: Context) -> str:
        if not self._derives_name:
            return check_backup_name(self.backup_name)
        ti = context["ti"]
        return derive_backup_name(ti.dag_id, ti.task_id, ti.run_id)

    def _publish(self, context: Context, backup: Backup) -> None:
        if self.do_xcom_push:
            context["ti"].xcom_push(key=XCOM_BACKUP_ARN, value=backup.arn.text)
        DynamoDBBackupLink.persist(
            context=context,
            operator=self,
            region_name=backup.arn.region,
            aws_partition=backup.arn.partition,
            table_name=backup.arn.table_name,
        )

    def _finish(self, context: Context, verdict: WaitResult) -> str:
        details = verdict.details()
        self.log.info(
            "Backup completed successfully: %s, %s bytes (AWS fills the size in later), created at %s",
            details["backup_arn"],
            details["size_bytes"],
            details["created_at"],
        )
        return self._hand_on(context, details)

    def _hand_on(self, context: Context, details: Mapping[str, Any]) -> str:
        """Put the backup into each outlet asset's event, in the process that ends the task; return the ARN."""
        arn = BackupArn.parse(details["backup_arn"])
        extra = {key: details[key] for key in ("backup_arn", "backup_name", "created_at")}
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra.update(extra, table_arn=arn.table_arn)
        return arn.text
