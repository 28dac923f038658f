"""What the operators that restore a table share, and the one that restores a backup."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import conf

from airflow_ddb_backup import exceptions, metrics
from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.creation.matching import Run
from airflow_ddb_backup.exceptions import ErrorContext, RestoreTimeoutError
from airflow_ddb_backup.limits import SETTING_PATIENCE, UPDATING_PATIENCE
from airflow_ddb_backup.links.dynamodb import DynamoDBTableLink
from airflow_ddb_backup.models import TABLE_ARN, RestoreSource
from airflow_ddb_backup.operators.dynamodb.base import XCOM_SETTINGS, XCOM_TABLE_ARN, DynamoDBOperator, counted
from airflow_ddb_backup.operators.dynamodb.created_by import narrowed_to
from airflow_ddb_backup.parameters import LATER, literal, rendered
from airflow_ddb_backup.report import Report, push, reporting
from airflow_ddb_backup.restoring.pick import PickRequest, pick, picked
from airflow_ddb_backup.restoring.put_back import outcomes, put_back
from airflow_ddb_backup.restoring.request import (
    DEFAULT_SETTINGS,
    Overrides,
    RestoreRequest,
    SettingsRequest,
    setting_names,
)
from airflow_ddb_backup.restoring.restore import Restore, confirm_restored
from airflow_ddb_backup.restoring.settings import SettingsOf
from airflow_ddb_backup.triggers.dynamodb import DynamoDBRestoreTrigger
from airflow_ddb_backup.waiting.awaiting import wait_on_worker
from airflow_ddb_backup.waiting.deferral import DeferredWaitMixin
from airflow_ddb_backup.waiting.restore_state import RestoreResult, RestoreWait

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context, XComArg

    from airflow_ddb_backup.models import Table
    from airflow_ddb_backup.waiting.state import WaitResult


_NEXT = (
    "Next: count and sample table %s, copy what was written to table %s since, and point readers and writers to the "
    "new one."
)


class RestoreWaiter(DeferredWaitMixin, DynamoDBOperator):
    """Base of the operators that wait for a table that a restore makes."""

    ui_color = "#d9f0dc"
    deferrable: bool

    def _wait(
        self,
        context: Context,
        source: RestoreSource,
        table: Table,
        interval: float,
        deadline: Deadline,
        *,
        carry: Mapping[str, Any],
    ) -> WaitResult:
        """Wait until the table is complete: here, or on the triggerer, which hands back what was decided."""
        wait = RestoreWait(source, table.name, deadline)
        # A table that an earlier try has restored may be complete.
        result = wait.observe(table)
        if result is None and self.deferrable:
            trigger = partial(DynamoDBRestoreTrigger, source=asdict(source), table_name=table.name)
            self.defer_wait(context, trigger, interval, deadline, region_name=source.region, carry=carry)
        return result or wait_on_worker(self.hook, [wait], interval, self.log, first_delay=interval)[0]


class TableRestorer(RestoreWaiter):
    """Base of the operators that restore a table. Each names its parameters itself, for editors and type checkers."""

    operator_extra_links = (DynamoDBTableLink(),)
    timeout_error = RestoreTimeoutError
    outcomes = metrics.TABLES_RESTORED, metrics.RESTORES_FAILED

    settings: Collection[str] | XComArg
    tags: Mapping[str, str] | None

    def _find_source(self, request: RestoreRequest, run: Run, deadline: Deadline) -> RestoreSource:
        """Open the hook, and return what the table is restored from.

        :param request: what the task asks for, but for the source
        :param run: the try
        :param deadline: when to give up
        :raises BackupError: it can't be restored, or AWS can't be asked
        """
        raise NotImplementedError

    @counted
    def execute(self, context: Context) -> str:
        """Restore the table, or find the one that an earlier try has restored, and wait for it."""
        try:
            return self._restore(context)
        except exceptions.BackupError as error:
            # Airflow logs the traceback after it, which has the reason at its end.
            self.log.error("%s", error)  # noqa: TRY400
            raise

    def _restore(self, context: Context) -> str:
        request, hook = self._request(), self.hook
        deadline = Deadline.after(request.timeout, hook.clock)
        run = Run.from_context(context["dag_run"], context["ti"].try_number)
        request = replace(request, source=self._find_source(request, run, deadline))
        since = run.earliest if run.try_number > 1 else run.started
        table, settings = Restore(hook, request, since, deadline, self.log).begin()
        push(self, context, XCOM_TABLE_ARN, table.arn)
        DynamoDBTableLink.persist(
            context=context,
            operator=self,
            region_name=request.source.region,
            aws_partition=request.source.partition,
            table_name=table.name,
        )
        if not request.wait_for_completion:
            return table.arn
        result = self._wait(context, request.source, table, request.poll_interval, deadline, carry=asdict(settings))
        return self._finish(context, result.unwrap(), settings)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> str:
        """Take the trigger's event, and put the settings back.

        What was decided before comes with it: templates may render to something else by now.

        :param event: the trigger's payload
        :raises RestoreTimeoutError: the time was up
        :raises RestoreLostError: the restore has failed
        :raises SettingsFailedError: some settings could not be put back
        :raises TriggerFailedError: the event is not one that this package sends
        """
        table_arn = RestoreResult.from_event(event, self.awaited(context)).unwrap()
        asked = {*setting_names(self.settings), *(["tags"] if self.tags else [])}
        try:
            settings = SettingsRequest.from_dict((event or {})["carry"])
            self._check_own(context, table_arn, settings)
            settings = self._as_asked(settings, asked)
        except (KeyError, TypeError, ValueError) as error:
            raise exceptions.TriggerFailedError.of_event(self.awaited(context), event) from error
        # A restore stays in the account of its source.
        self.open_hook(settings.context, settings.source.table_arn, begun=True)
        return self._finish(context, table_arn, settings)

    def _check_own(self, context: Context, table_arn: str, settings: SettingsRequest) -> None:
        """Make sure that an event is about the table that this task has restored.

        :raises ValueError: it is not
        """
        source, pushed = settings.source, self._pushed(context, XCOM_TABLE_ARN)
        table = TABLE_ARN.fullmatch(table_arn)
        is_target = table and (table["account"], table["table"]) == (source.account, settings.target)
        if pushed not in {None, table_arn} or not is_target:
            message = f"not about this task's table: {settings!r}"
            raise ValueError(message)

    def _as_asked(self, settings: SettingsRequest, asked: Collection[str]) -> SettingsRequest:
        """Leave out what an event has to put back, and the task does not ask for, or not any more."""
        if others := {*settings.values, *settings.unavailable}.difference(asked):
            self.log.warning("Not put back, since the task does not ask for it now: %r", others)
        values = {name: value for name, value in settings.values.items() if name in asked}
        return replace(settings, values=values, unavailable=[name for name in settings.unavailable if name in asked])

    def _request(self, of: Callable[[Any], Any] = rendered) -> RestoreRequest:
        """Return what the task asks for, checked: when the DAG is parsed, and again when it runs.

        What the table is restored from may be known only once AWS was asked.

        :param of: returns a templated field as far as it is known
        """
        return self._make(RestoreRequest, of, overrides=self._make(Overrides, of), source=LATER)

    def _finish(self, context: Context, table_arn: str, settings: SettingsRequest) -> str:
        self.log.info("Restored: %s", table_arn)
        deadline = Deadline.after(UPDATING_PATIENCE, self.hook.clock)
        target = SettingsOf(self.hook, settings.context, settings.target, deadline, SETTING_PATIENCE, self.log)
        confirm_restored(target, settings.source)
        report = Report[str]()
        with reporting(self, context, XCOM_SETTINGS, lambda _: outcomes(report)):
            put_back(settings, target, report)
            detail = f"{len(report.done)} of {len(outcomes(report))} are in place"
            report.raise_for_failures(exceptions.SettingsFailedError, settings.context, detail)
        push(self, context, XCOM_SETTINGS, outcomes(report))
        self.log.info(_NEXT, settings.target, settings.source.table_name)
        return table_arn


class DynamoDBRestoreTableFromBackupOperator(TableRestorer):
    """Restore an on-demand backup as a new table, with the settings that a restore drops. Returns the table's ARN.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`howto/operator:DynamoDBRestoreTableFromBackupOperator`

    The ARN is pushed to XCom as ``table_arn`` before any waiting. XCom ``settings`` says for each setting ``applied``,
    ``same``, ``unavailable``, or ``failed: …`` with the reason. No table is ever deleted, and none is overwritten.

    :param backup_arn: the ARN of the backup (templated). Exactly one of this and ``table_name`` is required
    :param table_name: name or ARN of a table (templated), whose newest backup is restored: of those that are AVAILABLE,
        made on demand, of this very table, or, where it is gone, of the last of its name, and made ``before``
    :param before: a ``datetime`` with a timezone, or ISO 8601 text with its offset (templated). ``None``: the time when
        the run started
    :param created_by: pick only a backup that these tasks have created: a task_id of this DAG, a tuple of dag_id and
        task_id, or a list of them. They derive the names of their backups
    :param backup_name_prefix: pick only a backup whose name begins so, 3 to 255 characters (templated); ``None``: any
    :param target_table_name: the name of the new table, 3 to 255 characters (templated)
    :param if_exists: what to do with a table of that name which is this backup's restore: ``"reuse"`` it, or
        ``"fail"``, also if an earlier try of this run has made it. Any other table fails the task
    :param billing_mode: ``"PROVISIONED"`` or ``"PAY_PER_REQUEST"``; ``None``: the backup's
    :param provisioned_throughput: ``{"ReadCapacityUnits": n, "WriteCapacityUnits": n}``; ``None``: the backup's
    :param on_demand_throughput: ``MaxReadRequestUnits``, ``MaxWriteRequestUnits``, or both; ``None``: the backup's
    :param kms_key_id: the KMS key that encrypts the new table; ``"alias/aws/dynamodb"``: AWS's managed key;
        ``"AWS_OWNED_KMS_KEY"``: the one that AWS owns; ``None``: what AWS chooses, see the table's ``SSEDescription``
    :param exclude_indexes: names of global, local or vector indexes that are not restored, or ``"all"``
    :param settings: the settings to put back (templated): of ``"tags"``, ``"table_class"``,
        ``"point_in_time_recovery"``, ``"deletion_protection"``, ``"ttl"``, ``"stream"``, ``"kinesis"``,
        ``"contributor_insights"``, ``"auto_scaling"`` and ``"resource_policy"``; or ``"all"``, which is all but
        ``"ttl"``: that deletes data
    :param settings_from: the name of the table to read them from (templated); ``None``: the backed up table while it
        exists, and the backup itself for ``ttl`` and ``stream``
    :param tags: more tags for the new table
    :param wait_for_completion: wait until the table and all its indexes are ACTIVE. ``False`` needs ``settings=()`` and
        no ``tags``, since they are put back once the table is
    :param deferrable: wait on the triggerer; it changes where the waiting happens, and nothing else
    :param poll_interval: seconds, or a ``timedelta``, between polls of the table, above 0
    :param timeout: seconds, or a ``timedelta``, from the start of ``execute`` until the table is complete; 60 seconds
        to 7 days
    :param account_id: the account, 12 digits, that this must be (templated); ``None``: any
    :param aws_conn_id: the Airflow connection for AWS; ``None``: the worker's own credentials
    :param region_name: the region; ``None``: the connection's, or else the ARN's
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    template_fields: Sequence[str] = aws_template_fields(
        "backup_arn",
        "table_name",
        "before",
        "backup_name_prefix",
        "target_table_name",
        "settings",
        "settings_from",
        "account_id",
    )

    def __init__(
        self,
        *,
        backup_arn: str | XComArg | None = None,
        table_name: str | XComArg | None = None,
        before: datetime | str | XComArg | None = None,
        created_by: str | tuple[str, str] | list[str | tuple[str, str]] | None = None,
        backup_name_prefix: str | XComArg | None = None,
        target_table_name: str | XComArg,
        if_exists: Literal["reuse", "fail"] = "reuse",
        billing_mode: Literal["PROVISIONED", "PAY_PER_REQUEST"] | None = None,
        provisioned_throughput: Mapping[str, int] | None = None,
        on_demand_throughput: Mapping[str, int] | None = None,
        kms_key_id: str | None = None,
        exclude_indexes: Collection[str] | Literal["all"] = (),
        settings: Collection[str] | Literal["all"] | XComArg = DEFAULT_SETTINGS,
        settings_from: str | XComArg | None = None,
        tags: Mapping[str, str] | None = None,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta = 30,
        timeout: float | timedelta = timedelta(hours=6),
        account_id: str | XComArg | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(account_id=account_id, **kwargs)
        self.backup_arn = backup_arn
        self.table_name = table_name
        self.before = before
        self.created_by = created_by
        self.backup_name_prefix = backup_name_prefix
        self.target_table_name = target_table_name
        self.if_exists = if_exists
        self.billing_mode = billing_mode
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
        self._request(literal)

    def _restore(self, context: Context) -> str:
        with picked(self._choice()):
            return super()._restore(context)

    def _request(self, of: Callable[[Any], Any] = rendered) -> RestoreRequest:
        self._choice(of)
        return super()._request(of)

    def _find_source(self, request: RestoreRequest, run: Run, deadline: Deadline) -> RestoreSource:
        choice, target = self._choice(), request.target_table_name
        about = self.open_hook(ErrorContext(target, choice.backup_arn.text if choice.backup_arn else None), choice.arn)
        arn = choice.backup_arn or pick(self.hook, choice, about, started=run.started, deadline=deadline, log=self.log)
        return RestoreSource.of_backup(arn)

    def awaited(self, context: Context) -> ErrorContext:
        """Return the table, backup and region that this task waits for, as far as its templates still render to it."""
        del context
        backup = None if self.backup_arn is None else str(self.backup_arn)
        return self.resolved(ErrorContext(str(self.target_table_name), backup), backup or self.table_name)

    def _choice(self, of: Callable[[Any], Any] = rendered) -> PickRequest:
        """Return which backup the task means, checked.

        :param of: returns a templated field as far as it is known
        """
        return self._make(PickRequest, of, prefixes=narrowed_to(self, of))
