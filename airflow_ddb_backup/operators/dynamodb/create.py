"""The operator that backs a table up."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import conf

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.creation.find_or_create import find_or_create
from airflow_ddb_backup.creation.request import BackupRequest
from airflow_ddb_backup.exceptions import ErrorContext
from airflow_ddb_backup.limits import CALL_SECONDS
from airflow_ddb_backup.links.dynamodb import DynamoDBBackupLink
from airflow_ddb_backup.models import Backup, BackupArn
from airflow_ddb_backup.operators.dynamodb.base import XCOM_BACKUP_ARN, BackupCreator, counted
from airflow_ddb_backup.parameters import literal, rendered
from airflow_ddb_backup.report import push, size_of
from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupTrigger
from airflow_ddb_backup.waiting.awaiting import poll_on_worker, wait_on_worker
from airflow_ddb_backup.waiting.deferral import carry_of
from airflow_ddb_backup.waiting.state import BackupWait, WaitResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context, XComArg


class DynamoDBCreateBackupOperator(BackupCreator):
    """Create an on-demand backup of a DynamoDB table, and wait until it is AVAILABLE. Returns its ARN.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`howto/operator:DynamoDBCreateBackupOperator`

    The ARN is pushed to XCom as ``backup_arn`` before any waiting, and returned at the end. Killing, clearing or
    timing out the task never deletes the backup.

    :param table_name: the table's name, 3 to 255 characters, or its ARN, up to 1024 (templated)
    :param backup_name: 3 to 255 characters of ``[a-zA-Z0-9_.-]`` (templated). ``None``: derived from dag_id, task_id
        and run_id, the same on every try of one run and different for every other
    :param if_exists: what to do when this run has its backup already: ``"reuse"`` it, ``"fail"``, or ``"create"``
        another
    :param reuse_within: also reuse the newest backup of the table, whatever its name, that was at most this old when
        the run started; on a later try, and in a cleared run, the oldest such. Only with ``if_exists="reuse"``
    :param require_point_in_time_recovery: refuse a table whose point-in-time recovery is not ENABLED
    :param wait_for_completion: wait until the backup is AVAILABLE
    :param deferrable: wait on the triggerer; it changes where the waiting happens, and nothing else
    :param poll_interval: seconds, or a ``timedelta``, between polls of the backup, above 0
    :param timeout: seconds, or a ``timedelta``, from the start of ``execute`` until the backup is AVAILABLE; 60 to 7200
    :param account_id: the account, 12 digits, that this must be (templated); ``None``: any
    :param aws_conn_id: the Airflow connection for AWS; ``None``: the worker's own credentials
    :param region_name: the region; ``None``: the connection's, or boto3's default
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    template_fields: Sequence[str] = aws_template_fields("table_name", "backup_name", "account_id")
    operator_extra_links = (DynamoDBBackupLink(),)

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
        poll_interval: float | timedelta = 5,
        timeout: float | timedelta = 1800,
        account_id: str | XComArg | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(account_id=account_id, **kwargs)
        self.table_name = table_name
        self.backup_name = backup_name
        self.if_exists = if_exists
        self.reuse_within = reuse_within
        self.require_point_in_time_recovery = require_point_in_time_recovery
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self._make(BackupRequest, literal)

    @counted
    def execute(self, context: Context) -> str:
        """Create the backup, or find this run's, and wait for it."""
        request = self._make(BackupRequest, rendered)
        deadline = Deadline.after(request.timeout)
        named = ErrorContext(request.table_name, self._name(context))
        region = self.open_hook(named, request.table_arn).region
        wanted = self._wanted(context, request, region, deadline)
        backup = find_or_create(self.hook, wanted, self.log)
        push(self, context, XCOM_BACKUP_ARN, backup.arn.text)
        DynamoDBBackupLink.persist(
            context=context,
            operator=self,
            region_name=backup.arn.region,
            aws_partition=backup.arn.partition,
            table_name=backup.arn.table_name,
        )
        if not self.wait_for_completion:
            return self._hand_on(context, backup.as_dict())
        return self._finish(context, self._wait(context, backup, request, region, deadline))

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> str:
        """Take the trigger's event.

        :param event: the trigger's payload
        :raises BackupTimeoutError: the time was up
        :raises BackupLostError: the wait has failed
        :raises TriggerFailedError: the event is not one that this package sends
        """
        # What the task has pushed counts, whatever the event carries.
        if (arn := self._pushed(context, XCOM_BACKUP_ARN)) is None:
            arn = carry_of(event).get("backup_arn")
        awaited = {"backup_arn": arn} if arn is not None else {}
        return self._finish(context, WaitResult.from_event(event, self.awaited(context), awaited))

    def awaited(self, context: Context) -> ErrorContext:
        """Return the table, backup and region that this task waits for; the ARN is in its XCom."""
        with suppress(ValueError):
            return BackupArn.from_response(self._pushed(context, XCOM_BACKUP_ARN)).context
        return self.resolved(ErrorContext(str(self.table_name), self._name(context)))

    def _wait(
        self, context: Context, backup: Backup, request: BackupRequest, region: str | None, deadline: Deadline
    ) -> WaitResult:
        wait = BackupWait(backup.arn, deadline)
        result = wait.observe(backup)
        if result is None and self.deferrable:
            # A small table's backup is AVAILABLE at once: it needs no deferral.
            (result,) = poll_on_worker(self.hook, [wait], CALL_SECONDS, self.log)
            if result is None:
                trigger = partial(DynamoDBBackupTrigger, backup_arn=backup.arn.text)
                # Otherwise its XCom has it.
                carry = {} if self.do_xcom_push else {"backup_arn": backup.arn.text}
                self.defer_wait(context, trigger, request.poll_interval, deadline, region_name=str(region), carry=carry)
        return result or wait_on_worker(self.hook, [wait], request.poll_interval, self.log)[0]

    def _finish(self, context: Context, result: WaitResult) -> str:
        details = result.unwrap(self.timeout_error)
        self.log.info(
            "Backup completed successfully: %s, created at %s, %s",
            details["backup_arn"],
            details["created_at"],
            size_of(details["size_bytes"]),
        )
        return self._hand_on(context, details)

    def _hand_on(self, context: Context, details: Mapping[str, Any]) -> str:
        """Put the backup into each outlet asset's event, in the process that ends the task; return the ARN."""
        arn = BackupArn.from_response(details["backup_arn"])
        extra = {key: details[key] for key in ("backup_arn", "backup_name", "created_at")}
        self._hand_to_outlets(context, {**extra, "table_arn": arn.table_arn})
        return arn.text
