"""The operator that backs many tables up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.creation.matching import IfExists
from airflow_ddb_backup.creation.tables import TablesCreation, TablesReport
from airflow_ddb_backup.exceptions import (
    BackupError,
    EmptySelectionError,
    ErrorContext,
    TriggerFailedError,
)
from airflow_ddb_backup.models import BackupArn
from airflow_ddb_backup.retries import retrying
from airflow_ddb_backup.selection import IfEmpty, select_tables
from airflow_ddb_backup.triggers.dynamodb import (
    DynamoDBBackupsTrigger,
)
from airflow_ddb_backup.validation import (
    check_interval,
    check_timeout,
)
from airflow_ddb_backup.waiting.awaiting import wait_on_worker
from airflow_ddb_backup.waiting.state import BackupsResult, BackupWait

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context


from airflow_ddb_backup.operators.dynamodb.base import (
    _AGAIN_HINT,
    XCOM_BACKUP_ARNS,
    XCOM_REPORT,
    BackupCreator,
    push_before_failing,
)
from airflow_ddb_backup.operators.dynamodb.selecting import TablesOperator


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
        deadline = Deadline.after(check_timeout(self.timeout))
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
                carry={"report": self._carried(report)},
                poll_interval=interval,
                deadline=deadline.at,
                **settings,
            )
            self.defer_wait(trigger, deadline)
        waits = [BackupWait(arn, deadline) for arn in arns]
        try:
            results = wait_on_worker(self.hook, waits, interval, self.log)
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
            carried = (event or {})["carry"]["report"]
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

    def _create_all(self, context: Context, deadline: Deadline, report: TablesReport) -> str:
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
