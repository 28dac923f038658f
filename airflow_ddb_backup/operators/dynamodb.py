"""The operators: their parameters, and an execute that tells its story in a few lines."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, cast

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowSkipException, Asset, conf

from airflow_ddb_backup.creation.find_or_create import BackupRequest, find_or_create
from airflow_ddb_backup.creation.matching import LARGEST_CLOCK_ERROR, IfExists, Run
from airflow_ddb_backup.creation.names import derive_backup_name
from airflow_ddb_backup.creation.tables import TablesCreation, TablesReport
from airflow_ddb_backup.exceptions import (
    BackupError,
    BackupNotReusedTimeoutError,
    BackupTimeoutError,
    EmptySelectionError,
    ErrorContext,
    InvalidValueError,
    RestoreTimeoutError,
    TriggerFailedError,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.links.dynamodb import DynamoDBBackupLink, DynamoDBTableLink
from airflow_ddb_backup.models import Backup, BackupArn
from airflow_ddb_backup.restoring.put_back import Patience, put_back
from airflow_ddb_backup.restoring.request import (
    DEFAULT_SETTINGS,
    SETTING_NAMES,
    BillingMode,
    IfTargetExists,
    Overrides,
    RestoreRequest,
    SourceSettings,
)
from airflow_ddb_backup.restoring.restore import begin_restore, confirm_restored
from airflow_ddb_backup.restoring.settings import SettingsOf
from airflow_ddb_backup.retention.policy import RetentionPolicy
from airflow_ddb_backup.retention.prune import Prune, PruneRequest, delete_backup
from airflow_ddb_backup.retries import retrying
from airflow_ddb_backup.selection import IfEmpty, TableSelection, select_tables
from airflow_ddb_backup.triggers.dynamodb import (
    DynamoDBBackupsTrigger,
    DynamoDBBackupTrigger,
    DynamoDBRestoreTrigger,
)
from airflow_ddb_backup.validation import (
    check_backup_name,
    check_backup_name_prefix,
    check_bool,
    check_botocore_config,
    check_choice,
    check_count,
    check_deletable,
    check_flag,
    check_interval,
    check_key_id,
    check_literal,
    check_literal_table_names,
    check_names,
    check_new_tags,
    check_patterns,
    check_plain_table_name,
    check_region,
    check_region_name,
    check_span,
    check_structure,
    check_table_name,
    check_table_names,
    check_tags,
    check_timeout,
    check_timezone,
    table_region,
)
from airflow_ddb_backup.waiting.awaiting import BackupsWait
from airflow_ddb_backup.waiting.deferral import DeferredWaitMixin
from airflow_ddb_backup.waiting.rate_limited_client import AwsSettings
from airflow_ddb_backup.waiting.restore_state import RestoreResult, RestoreWait
from airflow_ddb_backup.waiting.state import BackupsResult, BackupWait, WaitResult
from airflow_ddb_backup.waiting.worker import WorkerWait

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context, XComArg

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
# The default is None; this tells whether None was given.
_NOT_GIVEN: Any = None if TYPE_CHECKING else object()
_LONGEST_RESTORE = int(timedelta(days=7).total_seconds())
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_RestoreTableFromBackup.html
_CAPACITY_UNITS = ("ReadCapacityUnits", "WriteCapacityUnits")
_REQUEST_UNITS = ("MaxReadRequestUnits", "MaxWriteRequestUnits")
_AGAIN_HINT = (
    "The others are done, but a retry makes a backup of every table again, since if_exists is 'create'. XCom 'report' "
    "has all failures."
)
_KEEP_COUNTS = ("keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly")


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
        self, context: Context, error_context: ErrorContext, table_name: str, name: tuple[str, bool], deadline: float
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
        the run started; in a cleared run the oldest such. Only with ``if_exists="reuse"``
    :param require_point_in_time_recovery: refuse a table whose point-in-time recovery is not ENABLED
    :param wait_for_completion: wait until the backup is AVAILABLE
    :param deferrable: wait on the triggerer; it changes where the waiting happens, and nothing else
    :param poll_interval: seconds, or a ``timedelta``, between polls of the backup, above 0
    :param timeout: seconds, or a ``timedelta``, from the start of ``execute`` until the backup is AVAILABLE; 60 to 7200
    :param aws_conn_id: the Airflow connection for AWS; ``None``: boto3's default credentials
    :param region_name: the region; ``None``: the connection's, or boto3's default
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    template_fields: Sequence[str] = aws_template_fields("table_name", "backup_name")
    operator_extra_links = (DynamoDBBackupLink(),)

    # All are named, so that editors and type checkers know them.
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
        **kwargs: Any,
    ) -> None:
        super().__init__(
            backup_name=backup_name,
            if_exists=if_exists,
            reuse_within=reuse_within,
            require_point_in_time_recovery=require_point_in_time_recovery,
            wait_for_completion=wait_for_completion,
            deferrable=deferrable,
            poll_interval=poll_interval,
            timeout=timeout,
            **kwargs,
        )
        check_literal(check_table_name, table_name)
        self.table_name = table_name

    def execute(self, context: Context) -> str:
        """Create the backup, or find this run's, and wait for it."""
        self._check_literals()
        # In Unix seconds, not monotonic ones: the triggerer, another process or machine, goes by it too.
        deadline = time.time() + check_timeout(self.timeout)
        region_name, backup = self._find_or_create(context, deadline)
        self._publish(context, backup)
        if not self.wait_for_completion:
            return self._hand_on(context, backup.as_dict())
        wait = BackupWait(backup.arn, deadline, time.time())
        worker = WorkerWait(partial(self.hook.describe_backup, backup.arn), wait, self.log)
        # Airflow fails a task whose trigger fires at once, so poll once more before a deferral.
        result = wait.observe(backup, time.time()) or worker.poll_once()
        interval = check_interval("poll_interval", self.poll_interval)
        if result is None and self.deferrable:
            trigger = DynamoDBBackupTrigger(
                backup_arn=backup.arn.text,
                poll_interval=interval,
                deadline=deadline,
                **self.triggerer_settings(region_name),
            )
            self.defer_wait(trigger, deadline)
        return self._finish(context, result or worker.run(interval))

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> str:
        """Take the trigger's event.

        :param event: the trigger's payload
        :raises BackupTimeoutError: the time was up
        :raises BackupLostError: the wait has failed
        :raises TriggerFailedError: the event is not one that this package sends
        """
        return self._finish(context, WaitResult.from_event(event))

    def awaited(self, context: Context) -> ErrorContext:
        """Return the table, backup and region that this task waits for; the ARN is in its XCom."""
        ti = context["ti"]
        if arn := ti.xcom_pull(task_ids=ti.task_id, key=XCOM_BACKUP_ARN, map_indexes=ti.map_index):
            return BackupArn.parse(arn).context
        known = ErrorContext(str(self.table_name), self._resolve_name(context)[0], self.region_name)
        try:
            return replace(known, region=self.hook.resolve_region(known))
        except BackupError:
            return known

    def _find_or_create(self, context: Context, deadline: float) -> tuple[str, Backup]:
        table_name = check_table_name(self.table_name)
        name = self._resolve_name(context)
        hook = self.hook
        # An object may be executed more than once: nothing of an earlier execution counts.
        hook.reopen()
        hook.default_region = table_region(table_name)
        known = ErrorContext(table_name, name[0])
        region_name = hook.resolve_region(known)
        error_context = replace(known, region=region_name)
        check_region(table_region(table_name), error_context)
        request = self._backup_request(context, error_context, table_name, name, deadline)
        return region_name, find_or_create(hook, request, self.log)

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

    def _finish(self, context: Context, result: WaitResult) -> str:
        details = result.unwrap(self.timeout_error)
        self.log.info(
            "Backup completed successfully: %s, %s bytes (AWS fills the size in later), created at %s",
            details["backup_arn"],
            details["size_bytes"],
            details["created_at"],
        )
        return self._hand_on(context, details)

    def _hand_on(self, context: Context, details: Mapping[str, Any]) -> str:
        """Put the backup into each outlet asset's event, in the process that ends the task; return the ARN."""
        arn = BackupArn.from_response(details["backup_arn"])
        extra = {key: details[key] for key in ("backup_arn", "backup_name", "created_at")}
        self._hand_to_outlets(context, {**extra, "table_arn": arn.table_arn})
        return arn.text


class DynamoDBDeleteBackupOperator(AwsBaseOperator[DynamoDBBackupHook]):
    """Delete one on-demand backup. Returns its ARN.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`howto/operator:DynamoDBDeleteBackupOperator`

    A backup that is gone already is deleted. One that is being created or restored is waited for. System backups and
    recovery points of AWS Backup are refused.

    :param backup_arn: the ARN of the backup (templated)
    :param timeout: seconds, or a ``timedelta``, from the start of ``execute`` until the backup is deleted; 60 to 7200
    :param aws_conn_id: the Airflow connection for AWS; ``None``: boto3's default credentials
    :param region_name: the region; ``None``: the connection's, boto3's default, or the ARN's
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    aws_hook_class = DynamoDBBackupHook
    template_fields: Sequence[str] = aws_template_fields("backup_arn")
    ui_color = "#f7d9d9"

    def __init__(self, *, backup_arn: str | XComArg, timeout: float | timedelta = 1800, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_literal(check_deletable, backup_arn)
        self.backup_arn = backup_arn
        self.timeout = timeout
        self._check_literals()

    def execute(self, context: Context) -> str:
        """Delete the backup."""
        self._check_literals()
        deadline = time.time() + check_timeout(self.timeout)
        arn = check_deletable(self.backup_arn)
        check_region_name(self.region_name)
        hook = self.hook
        hook.reopen()
        hook.default_region = arn.region
        region = hook.resolve_region(arn.context)
        check_region(arn.region, replace(arn.context, region=region))
        delete_backup(hook, arn, deadline, self.log)
        return arn.text

    def _check_literals(self) -> None:
        check_timeout(self.timeout)
        check_botocore_config(self.botocore_config)


class DynamoDBRestoreTableFromBackupOperator(DeferredWaitMixin, AwsBaseOperator[DynamoDBBackupHook]):
    """Restore an on-demand backup as a new table, with the settings that a restore drops. Returns the table's ARN.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`howto/operator:DynamoDBRestoreTableFromBackupOperator`

    The ARN is pushed to XCom as ``table_arn`` before any waiting. XCom ``settings`` says for each setting ``applied``,
    ``same``, ``unavailable``, or ``failed: …`` with the reason. No table is ever deleted, and none is overwritten.

    :param backup_arn: the ARN of the backup (templated)
    :param target_table_name: the name of the new table, 3 to 255 characters (templated)
    :param if_exists: what to do with a table of that name which is this backup's restore: ``"reuse"`` it, or
        ``"fail"``, unless an earlier try of this run has made it. Any other table fails the task
    :param billing_mode: ``"PROVISIONED"`` or ``"PAY_PER_REQUEST"``; ``None``: the backup's
    :param provisioned_throughput: ``{"ReadCapacityUnits": n, "WriteCapacityUnits": n}``; ``None``: the backup's
    :param on_demand_throughput: ``MaxReadRequestUnits``, ``MaxWriteRequestUnits``, or both; ``None``: the backup's
    :param kms_key_id: the KMS key that encrypts the new table; ``None``: the backup's encryption
    :param exclude_indexes: names of secondary indexes that are not restored, or ``"all"``
    :param settings: the settings to put back: of ``"tags"``, ``"table_class"``, ``"point_in_time_recovery"``,
        ``"deletion_protection"``, ``"ttl"``, ``"stream"``, ``"kinesis"``, ``"contributor_insights"``,
        ``"auto_scaling"`` and ``"resource_policy"``; or ``"all"``
    :param settings_from: the name of the table to read them from; ``None``: the backed up table while it exists, and
        the backup itself for ``ttl`` and ``stream``
    :param tags: more tags for the new table
    :param wait_for_completion: wait until the table and all its indexes are ACTIVE. ``False`` needs ``settings=()`` and
        no ``tags``, since they are put back once the table is
    :param deferrable: wait on the triggerer; it changes where the waiting happens, and nothing else
    :param poll_interval: seconds, or a ``timedelta``, between polls of the table, above 0
    :param timeout: seconds, or a ``timedelta``, from the start of ``execute`` until the table is complete; 60 seconds
        to 7 days
    :param aws_conn_id: the Airflow connection for AWS; ``None``: boto3's default credentials
    :param region_name: the region; ``None``: the connection's, boto3's default, or the ARN's
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    aws_hook_class = DynamoDBBackupHook
    template_fields: Sequence[str] = aws_template_fields("backup_arn", "target_table_name")
    operator_extra_links = (DynamoDBTableLink(),)
    ui_color = "#d9f0dc"

    def __init__(
        self,
        *,
        backup_arn: str | XComArg,
        target_table_name: str | XComArg,
        if_exists: Literal["reuse", "fail"] = "reuse",
        billing_mode: Literal["PROVISIONED", "PAY_PER_REQUEST"] | None = None,
        provisioned_throughput: Mapping[str, int] | None = None,
        on_demand_throughput: Mapping[str, int] | None = None,
        kms_key_id: str | None = None,
        exclude_indexes: Collection[str] | Literal["all"] = (),
        settings: Collection[str] | Literal["all"] = DEFAULT_SETTINGS,
        settings_from: str | None = None,
        tags: Mapping[str, str] | None = None,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta = 30,
        timeout: float | timedelta = timedelta(hours=6),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_literal(BackupArn.parse, backup_arn)
        check_literal(partial(check_plain_table_name, "target_table_name"), target_table_name)
        self.backup_arn = backup_arn
        self.target_table_name = target_table_name
        self.if_exists: str = if_exists
        self.billing_mode: str | None = billing_mode
        self.provisioned_throughput = provisioned_throughput
        self.on_demand_throughput = on_demand_throughput
        self.kms_key_id = kms_key_id
        self.exclude_indexes = exclude_indexes
        self.settings = settings
        self.settings_from = settings_from
        self.tags = tags
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self._check_literals()

    def execute(self, context: Context) -> str:
        """Restore the table, or find the one that an earlier try has restored, and wait for it."""
        deadline = time.time() + self._check_literals()
        request = self._request(context, deadline)
        table, settings = begin_restore(self.hook, request, self.log)
        self._publish(context, request, table.arn)
        if not self.wait_for_completion:
            return table.arn
        wait = RestoreWait(request.arn, request.target, deadline, time.time())
        result = wait.observe(table, time.time())
        interval = check_interval("poll_interval", self.poll_interval)
        if result is None and self.deferrable:
            trigger = DynamoDBRestoreTrigger(
                backup_arn=request.arn.text,
                table_name=request.target,
                settings=settings.as_dict(),
                poll_interval=interval,
                deadline=deadline,
                **self.triggerer_settings(request.arn.region),
            )
            self.defer_wait(trigger, deadline)
        describe = partial(self.hook.describe_table, request.context, request.target)
        result = result or WorkerWait(describe, wait, self.log).run(interval)
        return self._finish(context, request.arn, result, settings)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> str:
        """Take the trigger's event, and put the settings back.

        :param event: the trigger's payload
        :raises RestoreTimeoutError: the time was up
        :raises RestoreLostError: the restore has failed
        :raises SettingsFailedError: some settings could not be put back
        :raises TriggerFailedError: the event is not one that this package sends
        """
        result = RestoreResult.from_event(event, self.awaited(context))
        try:
            settings = SourceSettings.from_dict((event or {})["settings"])
            # Templates are rendered anew, perhaps to something else.
            arn = BackupArn.from_response((event or {})["backup_arn"])
        except (KeyError, TypeError, ValueError) as error:
            detail = f"Its event is not one that this package sends: {event!r}."
            raise TriggerFailedError.about(self.awaited(context), detail) from error
        self._open(arn, str(self.target_table_name))
        return self._finish(context, arn, result, settings)

    @property
    def timeout_error(self) -> type[BackupError]:
        """The exception for a wait whose time was up."""
        return RestoreTimeoutError

    def awaited(self, context: Context) -> ErrorContext:
        """Return the table, backup and region that this task waits for."""
        del context
        arn = BackupArn.parse(self.backup_arn)
        return ErrorContext(str(self.target_table_name), arn.text, arn.region)

    def _check_literals(self) -> float:
        """Return the timeout in seconds."""
        check_choice("if_exists", self.if_exists, IfTargetExists)
        self._overrides()
        check_names("settings", self.settings, SETTING_NAMES)
        if self.settings_from is not None:
            check_plain_table_name("settings_from", self.settings_from)
        check_new_tags(self.tags)
        if not self.wait_for_completion and (self.settings or self.tags):
            rule = "() with wait_for_completion=False, and tags None: they are put back once the table is ACTIVE"
            raise InvalidValueError.of("settings", self.settings, rule)
        check_interval("poll_interval", self.poll_interval)
        check_botocore_config(self.botocore_config)
        return check_timeout(self.timeout, _LONGEST_RESTORE)

    def _overrides(self) -> Overrides:
        billing_mode = self.billing_mode
        provisioned = check_structure("provisioned_throughput", self.provisioned_throughput, _CAPACITY_UNITS)
        on_demand = check_structure(
            "on_demand_throughput", self.on_demand_throughput, _REQUEST_UNITS, all_keys=False, unlimited=True
        )
        if billing_mode is not None:
            check_choice("billing_mode", billing_mode, BillingMode)
        if provisioned and (on_demand or billing_mode == BillingMode.PAY_PER_REQUEST):
            rule = "None for a table that is on demand"
            raise InvalidValueError.of("provisioned_throughput", provisioned, rule)
        if on_demand and billing_mode == BillingMode.PROVISIONED:
            raise InvalidValueError.of("on_demand_throughput", on_demand, "None for a table that is provisioned")
        names = check_names("exclude_indexes", self.exclude_indexes)
        exclude_all = isinstance(self.exclude_indexes, str)
        return Overrides(
            billing_mode=BillingMode(billing_mode) if billing_mode else None,
            provisioned_throughput=provisioned,
            on_demand_throughput=on_demand,
            kms_key_id=check_key_id(self.kms_key_id),
            exclude_indexes=() if exclude_all else names,
            exclude_all_indexes=exclude_all,
        )

    def _open(self, arn: BackupArn, target: str) -> ErrorContext:
        """Return the context of all calls; the hook is opened anew."""
        check_region_name(self.region_name)
        hook = self.hook
        hook.reopen()
        hook.default_region = arn.region
        context = ErrorContext(target, arn.text, hook.resolve_region(ErrorContext(target, arn.text)))
        check_region(arn.region, context)
        return context

    def _request(self, context: Context, deadline: float) -> RestoreRequest:
        arn = BackupArn.parse(self.backup_arn)
        target = check_plain_table_name("target_table_name", self.target_table_name)
        error_context = self._open(arn, target)
        if self.settings_from == target:
            raise InvalidValueError.of("settings_from", self.settings_from, "another table than target_table_name")
        run = Run.from_context(context["dag_run"], context["ti"].try_number)
        return RestoreRequest(
            context=error_context,
            arn=arn,
            target=target,
            if_exists=IfTargetExists(self.if_exists),
            overrides=self._overrides(),
            settings=check_names("settings", self.settings, SETTING_NAMES),
            more_tags=check_new_tags(self.tags),
            settings_from=self.settings_from,
            run_started=run.started,
            # Backup and name tell most: the scheduler's clock may be off as far as AWS lets one be.
            own_since=run.earliest - LARGEST_CLOCK_ERROR if run.try_number > 1 else None,
            deadline=deadline,
        )

    def _publish(self, context: Context, request: RestoreRequest, table_arn: str) -> None:
        if self.do_xcom_push:
            context["ti"].xcom_push(key=XCOM_TABLE_ARN, value=table_arn)
        DynamoDBTableLink.persist(
            context=context,
            operator=self,
            region_name=request.arn.region,
            aws_partition=request.arn.partition,
            table_name=request.target,
        )

    def _finish(self, context: Context, arn: BackupArn, result: RestoreResult, settings: SourceSettings) -> str:
        table_arn = result.unwrap()
        self.log.info("Table %s is restored.", table_arn)
        # The name that was waited for: a template may render to another one by now.
        target_name = table_arn.rpartition("/")[2]
        error_context = ErrorContext(target_name, arn.text, arn.region)
        target = SettingsOf(self.hook, Patience(self.log), error_context, target_name)
        confirm_restored(self.hook, arn, error_context, target.retry)
        names = check_names("settings", self.settings, SETTING_NAMES)
        report = put_back(target, names, settings, check_new_tags(self.tags), self.log)
        if report.failures:
            push_before_failing(self, context, XCOM_SETTINGS, report.outcomes)
            report.judge(error_context)
        elif self.do_xcom_push:
            context["ti"].xcom_push(key=XCOM_SETTINGS, value=report.outcomes)
        return table_arn


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


class TablesOperator(AwsBaseOperator[DynamoDBBackupHook]):
    """Base of the operators that select tables.

    :param table_names: names, ARNs, and shell patterns such as ``orders-*`` (templated); ``None``: all with the tags
    :param exclude: names, ARNs and patterns of tables that are left out
    :param tags: a value, or a list of values, for each key; a table must match every key
    :param max_tables: a larger selection is refused, 1 or more
    :param if_empty: what to do when no table is selected: ``"fail"``, or ``"skip"`` the task
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    aws_hook_class = DynamoDBBackupHook

    def __init__(
        self,
        *,
        table_names: Sequence[str | XComArg] | XComArg | str | None = _NOT_GIVEN,
        exclude: Collection[str] = (),
        tags: Mapping[str, str | Collection[str]] | None = _NOT_GIVEN,
        max_tables: int = 100,
        if_empty: Literal["fail", "skip"] = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # What renders to None must not pass for "all that have the tags"; mapped, it is rendered before this.
        mapped = getattr(self, "_BaseOperator__from_mapped", False)
        self._was_given_names = table_names is not _NOT_GIVEN and (mapped or table_names is not None)
        self.table_names = None if table_names is _NOT_GIVEN else table_names
        self.exclude = exclude
        if mapped and tags is None:
            check_tags({})
        self.tags = None if tags is _NOT_GIVEN else tags
        self.max_tables = max_tables
        self.if_empty: str = if_empty
        if self._was_given_names:
            check_literal_table_names(table_names)
        empty = isinstance(table_names, list | tuple | set | frozenset) and not table_names
        if empty and if_empty == IfEmpty.FAIL.value and not mapped:
            raise InvalidValueError.of("table_names", table_names, "a list with at least one table")
        self._check_selection()

    def _check_selection(self) -> None:
        if not self._was_given_names and self.table_names is None and self.tags is None:
            raise InvalidValueError.of("table_names", None, "given, or tags; all tables is ['*']")
        check_patterns("exclude", self.exclude, arns=True)
        check_tags(self.tags)
        check_count("max_tables", self.max_tables, 1)
        check_choice("if_empty", self.if_empty, IfEmpty)
        check_botocore_config(self.botocore_config)

    def _select(self) -> tuple[TableSelection, ErrorContext]:
        """Return the selection, and the region of the calls; the hook is opened anew."""
        names = self._was_given_names or self.table_names is not None
        selection = TableSelection(
            table_names=tuple(check_table_names(self.table_names)) if names else None,
            exclude=check_patterns("exclude", self.exclude, arns=True),
            tags=check_tags(self.tags),
            max_tables=self.max_tables,
        )
        check_region_name(self.region_name)
        hook = self.hook
        hook.reopen()
        hook.default_region = selection.region
        context = ErrorContext(region=hook.resolve_region(ErrorContext()))
        selection.check_regions(str(context.region))
        return selection, context


class DynamoDBBackupTablesOperator(BackupCreator, TablesOperator):
    """Create on-demand backups of many DynamoDB tables in one task, and wait until all are AVAILABLE. Returns a report.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`howto/operator:DynamoDBBackupTablesOperator`

    Every table is tried and reported before the task is judged: if any has failed, the task fails, and a retry does
    only what is missing. All that :class:`DynamoDBCreateBackupOperator` promises for one table holds for each.

    The report is ``{"backups": {table: arn}, "failed": {table: message}, "skipped": {table: reason}}``; a task that
    fails pushes it as XCom ``report`` first. The ARNs are pushed as ``backup_arns`` (``{table: arn}``) before any
    waiting.

    :param table_names: names, ARNs, and shell patterns such as ``orders-*`` (templated); ``None``: all with the tags
    :param exclude: names, ARNs and patterns of tables that are left out
    :param tags: a value, or a list of values, for each key; a table must match every key
    :param max_tables: a larger selection is refused, 1 or more
    :param if_empty: what to do when no table is selected: ``"fail"``, or ``"skip"`` the task
    :param backup_name: 3 to 255 characters of ``[a-zA-Z0-9_.-]``, the same for every table (templated). ``None``:
        derived from dag_id, task_id, run_id and the table's name
    :param if_exists: what to do with a table of which this run has a backup already: ``"reuse"`` it, ``"fail"``, or
        ``"create"`` another
    :param reuse_within: also reuse a table's newest backup, whatever its name, that was at most this old when the run
        started; in a cleared run the oldest such. Only with ``if_exists="reuse"``
    :param require_point_in_time_recovery: refuse tables whose point-in-time recovery is not ENABLED
    :param wait_for_completion: wait until all backups are AVAILABLE
    :param deferrable: wait on the triggerer; it changes where the waiting happens, and nothing else
    :param poll_interval: seconds, or a ``timedelta``, between polls of a backup, above 0
    :param timeout: seconds, or a ``timedelta``, from the start of ``execute`` until all are AVAILABLE; 60 to 7200
    :param aws_conn_id: the Airflow connection for AWS; ``None``: boto3's default credentials
    :param region_name: the region; ``None``: the connection's, or boto3's default
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    template_fields: Sequence[str] = aws_template_fields("table_names", "backup_name")

    def execute(self, context: Context) -> dict[str, Any]:
        """Create each table's backup, or find this run's, wait for all, report, and judge."""
        self._check_literals()
        self._check_selection()
        deadline = time.time() + check_timeout(self.timeout)
        report = TablesReport()
        try:
            region = self._create_all(context, deadline, report)
            arns = list(report.backups.values())
            if self.do_xcom_push:
                backups = {table: arn.text for table, arn in sorted(report.backups.items())}
                context["ti"].xcom_push(key=XCOM_BACKUP_ARNS, value=backups)
        except EmptySelectionError as error:
            if self.if_empty == IfEmpty.SKIP:
                raise AirflowSkipException(str(error)) from None
            raise
        except BaseException:
            push_before_failing(self, context, XCOM_REPORT, report.as_dict())
            raise
        if not self.wait_for_completion or not arns:
            return self._finish(context, report, region)
        interval = check_interval("poll_interval", self.poll_interval)
        settings = self.triggerer_settings(region)
        if self.deferrable:
            if report.failed or report.skipped:
                # Nobody else knows of them should the trigger fail.
                push_before_failing(self, context, XCOM_REPORT, report.as_dict())
            trigger = DynamoDBBackupsTrigger(
                backup_arns=[arn.text for arn in arns],
                report=self._carried(report),
                poll_interval=interval,
                deadline=deadline,
                **settings,
            )
            self.defer_wait(trigger, deadline)
        wait = BackupsWait(AwsSettings(**settings), deadline, interval, self.log)
        try:
            results = wait.run_on_worker(arns)
        except BaseException:
            push_before_failing(self, context, XCOM_REPORT, report.as_dict())
            raise
        return self._judge(context, report, BackupsResult.of(results), region)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Take the trigger's event.

        :param event: the trigger's payload
        :raises TablesFailedError: some tables have no AVAILABLE backup
        :raises TriggerFailedError: the event is not one that this package sends
        """
        try:
            result = BackupsResult.from_event(event)
            carried = (event or {})["report"]
            backups = carried.get("backups") or self._xcom(context, XCOM_BACKUP_ARNS)
            report = TablesReport.carried(backups, carried)
            region = next(iter(report.backups.values())).region
        except (AttributeError, KeyError, StopIteration, TypeError, ValueError, TriggerFailedError) as error:
            detail = f"Its event is not one that this package sends: {event!r}."
            failure = TriggerFailedError.about(self.awaited(context), detail)
            self._push_unknown(context, failure)
            raise failure from error
        return self._judge(context, report, result, region)

    def wait_failed(self, context: Context, error: object = None, traceback: Sequence[str] | None = None) -> NoReturn:
        """Raise this package's exception for what Airflow calls a trigger's failure, and push the report first.

        :param error: Airflow's reason
        :param traceback: the trigger's, if it raised
        :raises BackupTimeoutError: no triggerer has answered until after the deadline
        :raises TriggerFailedError: the trigger has raised
        """
        try:
            super().wait_failed(context, error, traceback)
        except BackupError as failure:
            self._push_unknown(context, failure)
            raise

    def _push_unknown(self, context: Context, failure: BackupError) -> None:
        """Push the report of a wait whose end nobody knows, from what was known before it."""
        known = self._xcom(context, XCOM_REPORT) or {}
        failed = dict(known.get("failed", {}))
        for table, arn in (self._xcom(context, XCOM_BACKUP_ARNS) or {}).items():
            about = BackupArn.parse(arn).context
            failed[table] = str(type(failure).about(about, "The wait for all backups of the task has failed."))
        report = {"backups": {}, "failed": failed, "skipped": known.get("skipped", {})}
        push_before_failing(self, context, XCOM_REPORT, report)

    def awaited(self, context: Context) -> ErrorContext:
        """Return the region that this task waits in, as the ARNs tell."""
        for arn in (self._xcom(context, XCOM_BACKUP_ARNS) or {}).values():
            return ErrorContext(region=BackupArn.parse(arn).region)
        known = ErrorContext(region=self.region_name)
        try:
            return replace(known, region=self.hook.resolve_region(known))
        except BackupError:
            return known

    @staticmethod
    def _xcom(context: Context, key: str) -> Any:
        """Return an XCom that this task has pushed."""
        ti = context["ti"]
        return ti.xcom_pull(task_ids=ti.task_id, key=key, map_indexes=ti.map_index)

    def _create_all(self, context: Context, deadline: float, report: TablesReport) -> str:
        """Fill the report with the backups of all tables; return the region."""
        selection, error_context = self._select()
        tables = select_tables(self.hook, selection, error_context, retrying(deadline, self.log))
        selection.check_size((table.name for table in tables), error_context)
        requests = {}
        for table in tables:
            name = self._resolve_name(context, table.name)
            table_name = table.arn or table.name
            about = replace(error_context, table=table_name, backup=name[0])
            requests[table] = self._backup_request(context, about, table_name, name, deadline)
        self.log.info("Backing up %s tables", len(tables))
        TablesCreation(self.hook, requests, report, self.log).run(error_context, deadline)
        return str(error_context.region)

    def _carried(self, report: TablesReport) -> dict[str, Any]:
        """Return what the trigger hands back; the ARNs, of which there may be thousands, are in the XCom."""
        carried = report.as_carried()
        if self.do_xcom_push:
            del carried["backups"]
        return carried

    def _judge(self, context: Context, report: TablesReport, result: BackupsResult, region: str) -> dict[str, Any]:
        for arn, error in result.errors(self.timeout_error).items():
            report.failed[BackupArn.from_response(arn).table_name] = error
        return self._finish(context, report, region)

    def _finish(self, context: Context, report: TablesReport, region: str) -> dict[str, Any]:
        report.log(self.log)
        if report.failed:
            push_before_failing(self, context, XCOM_REPORT, report.as_dict())
            report.judge(ErrorContext(region=region), _AGAIN_HINT if self.if_exists == IfExists.CREATE else None)
        self._hand_to_outlets(context, report.as_dict())
        return report.as_dict()


class DynamoDBPruneBackupsOperator(TablesOperator):
    """Delete the on-demand backups that a policy does not keep, and nothing else. Returns a report.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`howto/operator:DynamoDBPruneBackupsOperator`

    Only AVAILABLE backups of users count and are deleted, and only those whose names begin with the prefix, each very
    table by itself. The whole plan is made, from every page of every listing, before the first deletion.

    The report is ``{"dry_run": bool, "kept": int, "deleted": [arn], "in_use": [arn], "failed": {arn: message}}``; in a
    dry run ``deleted`` is what a real run would delete. A task that fails pushes it as XCom ``report`` first.

    :param table_names: names, ARNs, and shell patterns such as ``orders-*`` (templated); ``None``: all with the tags
    :param exclude: names, ARNs and patterns of tables that are left out
    :param tags: a value, or a list of values, for each key; a table must match every key
    :param max_tables: a larger selection is refused, 1 or more
    :param if_empty: what to do when no table is selected: ``"fail"``, or ``"skip"`` the task
    :param backup_name_prefix: only backups whose names begin so count or are deleted, 3 to 255 characters (templated)
    :param keep_last: keep so many of the newest, 0 or more
    :param keep_hourly: keep the newest of each of the last so many hours that have a backup, 0 or more
    :param keep_daily: the same for days
    :param keep_weekly: the same for ISO weeks
    :param keep_monthly: the same for months
    :param keep_yearly: the same for years
    :param keep_within: keep those made at most so long before the newest backup, above 0
    :param keep_names: names and patterns that are never deleted, and never counted
    :param older_than: delete only what is older than this, above 0
    :param minimum_redundancy: keep so many of the newest of each table, whatever the rules say, 0 or more
    :param dropped_tables: also prune backups of tables that no longer exist, or of an earlier table of the same name,
        each a group of its own; not with ``tags``, which nobody knows of a table that is gone
    :param max_deletions: a plan that would delete more deletes nothing and fails, 0 or more
    :param timezone: whose hours, days, weeks, months and years
    :param dry_run: plan and log only (templated); a string must be ``"true"`` or ``"false"``
    :param timeout: seconds, or a ``timedelta``, from the start of ``execute``; 60 to 7200
    :param aws_conn_id: the Airflow connection for AWS; ``None``: boto3's default credentials
    :param region_name: the region; ``None``: the connection's, or boto3's default
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    template_fields: Sequence[str] = aws_template_fields("table_names", "backup_name_prefix", "dry_run")
    ui_color = "#f7d9d9"

    def __init__(
        self,
        *,
        backup_name_prefix: str | XComArg,
        keep_last: int = 0,
        keep_hourly: int = 0,
        keep_daily: int = 0,
        keep_weekly: int = 0,
        keep_monthly: int = 0,
        keep_yearly: int = 0,
        keep_within: timedelta | None = None,
        keep_names: Collection[str] = (),
        older_than: timedelta | None = None,
        minimum_redundancy: int = 1,
        dropped_tables: bool = False,
        max_deletions: int = 100,
        timezone: str = "UTC",
        dry_run: bool | str | XComArg = False,
        timeout: float | timedelta = 1800,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_literal(check_backup_name_prefix, backup_name_prefix)
        check_literal(partial(check_flag, "dry_run"), dry_run)
        self.backup_name_prefix = backup_name_prefix
        self.keep_last = keep_last
        self.keep_hourly = keep_hourly
        self.keep_daily = keep_daily
        self.keep_weekly = keep_weekly
        self.keep_monthly = keep_monthly
        self.keep_yearly = keep_yearly
        self.keep_within = keep_within
        self.keep_names = keep_names
        self.older_than = older_than
        self.minimum_redundancy = minimum_redundancy
        self.dropped_tables = dropped_tables
        self.max_deletions = max_deletions
        self.timezone = timezone
        # In place of BaseOperator.dry_run, which only renders templates for "airflow tasks test --dry-run".
        self.dry_run = dry_run  # type: ignore[assignment,method-assign]
        self.timeout = timeout
        self._policy()

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan, check the rails, delete, and report."""
        began_at = time.monotonic()
        deadline = time.time() + check_timeout(self.timeout)
        self._check_selection()
        policy = self._policy()
        prefix = check_backup_name_prefix(self.backup_name_prefix)
        dry_run = check_flag("dry_run", self.dry_run)
        selection, error_context = self._select()
        request = PruneRequest(
            context=error_context,
            selection=selection,
            prefix=prefix,
            policy=policy,
            dropped_tables=self.dropped_tables,
            max_deletions=self.max_deletions,
            dry_run=dry_run,
            began_at=began_at,
            deadline=deadline,
        )
        prune = Prune(self.hook, request, self.log)
        try:
            prune.run()
        except BaseException as error:
            if isinstance(error, EmptySelectionError) and self.if_empty == IfEmpty.SKIP:
                raise AirflowSkipException(str(error)) from None
            push_before_failing(self, context, XCOM_REPORT, prune.report.as_dict())
            raise
        return prune.report.as_dict()

    def _policy(self) -> RetentionPolicy:
        """Return the policy that the parameters make."""
        counts = {name: check_count(name, getattr(self, name)) for name in _KEEP_COUNTS}
        policy = RetentionPolicy(
            **counts,
            keep_within=check_span("keep_within", self.keep_within),
            keep_names=check_patterns("keep_names", self.keep_names),
            older_than=check_span("older_than", self.older_than),
            minimum_redundancy=check_count("minimum_redundancy", self.minimum_redundancy),
            timezone=check_timezone(self.timezone),
        )
        if not any(counts.values()) and policy.keep_within is None and policy.older_than is None:
            rule = "above 0, or another keep rule or older_than given: a policy without a rule would delete everything"
            raise InvalidValueError.of("keep_last", self.keep_last, rule)
        if check_bool("dropped_tables", self.dropped_tables) and self.tags is not None:
            rule = "False with tags: nobody knows the tags of a table that is gone"
            raise InvalidValueError.of("dropped_tables", self.dropped_tables, rule)
        check_count("max_deletions", self.max_deletions)
        check_timeout(self.timeout)
        return policy
