"""What the operators share: the parameters that create backups and select tables, and their XComs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, cast

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.common.compat.sdk import Asset, conf

from airflow_ddb_backup.creation.find_or_create import BackupRequest
from airflow_ddb_backup.creation.matching import IfExists, Run
from airflow_ddb_backup.creation.names import derive_backup_name
from airflow_ddb_backup.exceptions import (
    BackupNotReusedTimeoutError,
    BackupTimeoutError,
    ErrorContext,
    InvalidValueError,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.validation import (
    check_backup_name,
    check_botocore_config,
    check_choice,
    check_interval,
    check_literal,
    check_span,
    check_timeout,
)
from airflow_ddb_backup.waiting.deferral import DeferredWaitMixin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context, XComArg

    from airflow_ddb_backup.clock import Deadline

try:
    # Asset.ref(…), a legal outlet since Airflow 3.
    from airflow.sdk.definitions.asset import AssetRef
except ImportError:
    _ASSETS: tuple[type, ...] = (Asset,)
else:
    _ASSETS = (Asset, AssetRef)


XCOM_BACKUP_ARN = "backup_arn"
XCOM_BACKUP_ARNS = "backup_arns"
XCOM_REPORT = "report"
XCOM_SETTINGS = "settings"
XCOM_TABLE_ARN = "table_arn"
_LONGEST_RESTORE = int(timedelta(days=7).total_seconds())
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_RestoreTableFromBackup.html
_CAPACITY_UNITS = ("ReadCapacityUnits", "WriteCapacityUnits")
_REQUEST_UNITS = ("MaxReadRequestUnits", "MaxWriteRequestUnits")
_AGAIN_HINT = (
    "The others are done, but a retry makes a backup of every table again, since if_exists is 'create'. XCom 'report' "
    "has all failures."
)


class BackupCreator(DeferredWaitMixin, AwsBaseOperator[DynamoDBBackupHook]):
    """Base of the operators that create backups.

    :param backup_name: 3 to 255 characters of ``[a-zA-Z0-9_.-]`` (templated); ``None``: derived
    :param if_exists: what to do when this run has its backup already: ``"reuse"`` it, ``"fail"``, or ``"create"``
        another
    :param reuse_within: also reuse the newest backup of the table that was at most this old when the run started
    :param require_point_in_time_recovery: refuse a table whose point-in-time recovery is not ENABLED
    :param wait_for_completion: wait until AVAILABLE
    :param deferrable: wait on the triggerer; it changes where the waiting happens, and nothing else
    :param poll_interval: seconds, or a ``timedelta``, between polls, above 0
    :param timeout: seconds, or a ``timedelta``, from the start of ``execute``; 60 to 7200
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    aws_hook_class = DynamoDBBackupHook
    ui_color = "#d9e6f7"

    def __init__(
        self,
        *,
        backup_name: str | XComArg | None = None,
        if_exists: Literal["reuse", "fail", "create"] = "reuse",
        reuse_within: timedelta | None = None,
        require_point_in_time_recovery: bool = False,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta = 5,
        timeout: float | timedelta = 1800,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if backup_name is not None:
            check_literal(check_backup_name, backup_name)
        self.backup_name = backup_name
        # A template that renders to None must not pass for "derive a name".
        self._was_given_a_name = backup_name is not None
        self.if_exists: str = if_exists
        self.reuse_within = reuse_within
        self.require_point_in_time_recovery = require_point_in_time_recovery
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self._check_literals()

    @property
    def timeout_error(self) -> type[BackupTimeoutError]:
        """The exception for a wait whose time was up: what a retry does depends on ``if_exists``."""
        return BackupTimeoutError if self.if_exists != IfExists.CREATE else BackupNotReusedTimeoutError

    def _check_literals(self) -> None:
        if_exists = check_choice("if_exists", self.if_exists, IfExists)
        if check_span("reuse_within", self.reuse_within) and if_exists is not IfExists.REUSE:
            rule = f"None with if_exists={if_exists.value!r}, which reuses no backup"
            raise InvalidValueError.of("reuse_within", self.reuse_within, rule)
        check_interval("poll_interval", self.poll_interval)
        check_timeout(self.timeout)
        check_botocore_config(self.botocore_config)

    def _resolve_name(self, context: Context, *table: str) -> tuple[str, bool]:
        """Return the backup's name, and whether it is derived: only if none was given, to the constructor or since.

        :param context: the task's context
        :param table: the table's name, for a task that has many
        """
        if self.backup_name is None and not self._was_given_a_name:
            ti = context["ti"]
            return derive_backup_name(ti.dag_id, ti.task_id, ti.run_id, *table), True
        return check_backup_name(self.backup_name), False

    def _backup_request(
        self, context: Context, error_context: ErrorContext, table_name: str, name: tuple[str, bool], deadline: Deadline
    ) -> BackupRequest:
        backup_name, derived = name
        return BackupRequest(
            context=error_context,
            table_name=table_name,
            backup_name=backup_name,
            derived=derived,
            run=Run.from_context(context["dag_run"], context["ti"].try_number),
            if_exists=IfExists(self.if_exists),
            reuse_within=self.reuse_within,
            require_point_in_time_recovery=self.require_point_in_time_recovery,
            deadline=deadline,
        )

    def _hand_to_outlets(self, context: Context, extra: Mapping[str, Any]) -> None:
        """Put something into each outlet asset's event, in the process that ends the task."""
        for outlet in self.outlets:
            if isinstance(outlet, _ASSETS):
                context["outlet_events"][cast("Asset", outlet)].extra.update(extra)


def push_before_failing(
    task: AwsBaseOperator[DynamoDBBackupHook], context: Context, key: str, value: Mapping[str, Any]
) -> None:
    """Push an XCom of a task that is about to fail.

    :param task: the task
    :param context: its context
    :param key: the XCom's key
    :param value: its value
    """
    if not task.do_xcom_push:
        return
    try:
        context["ti"].xcom_push(key=key, value=value)
    except Exception:
        # The task's own failure says more, and whether to retry.
        task.log.exception("The %s could not be pushed: %s", key, value)
