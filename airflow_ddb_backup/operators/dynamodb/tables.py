"""The operator that backs many tables up."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import conf

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.creation.request import BackupRequest, IfExists
from airflow_ddb_backup.creation.tables import TablesReport, create_backups
from airflow_ddb_backup.exceptions import BackupError, CreationTimeoutError, ErrorContext, TriggerFailedError
from airflow_ddb_backup.links.dynamodb import DynamoDBBackupsLink
from airflow_ddb_backup.models import BackupArn
from airflow_ddb_backup.operators.dynamodb.base import (
    SELECTION_FIELDS,
    XCOM_BACKUP_ARNS,
    XCOM_REPORT,
    BackupCreator,
    counted,
)
from airflow_ddb_backup.parameters import LATER, literal, rendered
from airflow_ddb_backup.report import push, reporting
from airflow_ddb_backup.selection import TableSelection, select_tables
from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupsTrigger
from airflow_ddb_backup.waiting.awaiting import wait_on_worker
from airflow_ddb_backup.waiting.state import BackupsResult, BackupWait

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context, XComArg

_AGAIN_HINT = (
    "The others are done, but a retry makes a backup of every table again, since if_exists is 'create'. XCom 'report' "
    "has all failures."
)


def _mapping(value: object) -> Mapping[str, Any]:
    """Return an XCom that is a mapping; others, which this task has not pushed so, are empty."""
    return value if isinstance(value, Mapping) else {}


class DynamoDBBackupTablesOperator(BackupCreator):
    """Create on-demand backups of many DynamoDB tables in one task, and wait until all are AVAILABLE. Returns a report.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`howto/operator:DynamoDBBackupTablesOperator`

    Every table is tried and reported before the task is judged: if any has failed, the task fails, and a retry does
    only what is missing. All that :class:`DynamoDBCreateBackupOperator` promises for one table holds for each.

    The report is ``{"backups": {table: arn}, "failed": {table: message}, "skipped": {table: reason}, "table_bytes",
    "account", "region", "error", "text"}``: ``table_bytes`` is the size of the tables that have a backup, as AWS last
    counted it, ``error`` the reason of a task that fails, ``text`` a message for people. Such a task pushes it as XCom
    ``report`` first, whatever made it fail. The ARNs are pushed as ``backup_arns`` (``{table: arn}``) before any
    waiting.

    :param table_names: names, ARNs, and shell patterns such as ``orders-*``; all tables is ``["*"]``, ``None`` and
        ``[]`` are an empty selection (templated)
    :param exclude: names and patterns of tables that are left out (templated); no ARNs, which may be of other tables
    :param table_tags: a value, or a list of values, for each key; a table must match every key. ``None``: any tags
        (templated)
    :param max_tables: a larger selection is refused, 1 or more (templated)
    :param if_empty: what to do when no table is selected: ``"fail"``, or ``"skip"`` the task
    :param backup_name: 3 to 255 characters of ``[a-zA-Z0-9_.-]``, the same for every table (templated). ``None``:
        derived from dag_id, task_id, run_id and the table's name
    :param if_exists: what to do with a table of which this run has a backup already: ``"reuse"`` it, ``"fail"``, or
        ``"create"`` another
    :param reuse_within: also reuse a table's newest backup, whatever its name, that was at most this old when the run
        started; on a later try, and in a cleared run, the oldest such. Only with ``if_exists="reuse"``
    :param require_point_in_time_recovery: refuse tables whose point-in-time recovery is not ENABLED
    :param wait_for_completion: wait until all backups are AVAILABLE
    :param deferrable: wait on the triggerer; it changes where the waiting happens, and nothing else
    :param poll_interval: seconds, or a ``timedelta``, between polls of a backup, above 0
    :param timeout: seconds, or a ``timedelta``, from the start of ``execute`` until all are AVAILABLE; 60 to 7200
    :param account_id: the account, 12 digits, that this must be (templated); ``None``: any
    :param aws_conn_id: the Airflow connection for AWS; ``None``: the worker's own credentials
    :param region_name: the region; ``None``: the connection's, or boto3's default
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    template_fields: Sequence[str] = aws_template_fields(*SELECTION_FIELDS, "backup_name", "account_id")
    operator_extra_links = (DynamoDBBackupsLink(),)

    def __init__(
        self,
        *,
        table_names: Sequence[str | XComArg] | XComArg | str | None,
        exclude: Collection[str | XComArg] | XComArg | str = (),
        table_tags: Mapping[str, str | int | XComArg | Collection[str | int]] | XComArg | str | None = None,
        max_tables: int | str | XComArg = 100,
        if_empty: Literal["fail", "skip"] = "fail",
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
        self.table_names = table_names
        self.exclude = exclude
        self.table_tags = table_tags
        self.max_tables = max_tables
        self.if_empty = if_empty
        self.backup_name = backup_name
        self.if_exists = if_exists
        self.reuse_within = reuse_within
        self.require_point_in_time_recovery = require_point_in_time_recovery
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self._make(TableSelection, literal)
        self._make(BackupRequest, literal, table_name=LATER)

    @counted
    def execute(self, context: Context) -> dict[str, Any]:
        """Create each table's backup, or find this run's, wait for all, report, and judge."""
        report = TablesReport(region=self.region_name)
        with reporting(self, context, XCOM_REPORT, report.as_dict):
            request = self._make(BackupRequest, rendered, table_name=LATER)
            deadline = Deadline.after(request.timeout)
            self._create(context, request, deadline, report)
            push(self, context, XCOM_BACKUP_ARNS, report.arns())
            if self.wait_for_completion and report.done:
                self._add(report, self._wait(context, request.poll_interval, deadline, report))
            return self._finish(context, report)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Take the trigger's event.

        :param event: the trigger's payload
        :raises TablesFailedError: some tables have no AVAILABLE backup
        :raises TriggerFailedError: the event is not one that this package sends
        """
        try:
            result = BackupsResult.from_event(event, self.awaited(context))
            others = (event or {})["carry"]
            # What the task has pushed counts, whatever the event carries.
            if (backups := self._pushed(context, XCOM_BACKUP_ARNS)) is None:
                backups = others["backups"]
            report = TablesReport.carried(backups, others)
            result.check_is_of(report.done.values())
        except (AttributeError, KeyError, StopIteration, TypeError, ValueError, TriggerFailedError) as error:
            with reporting(self, context, XCOM_REPORT, partial(self._known, context)):
                raise TriggerFailedError.of_event(self.awaited(context), event) from error
        with reporting(self, context, XCOM_REPORT, report.as_dict):
            self._add(report, result)
            returned = self._finish(context, report)
            if report.skipped:
                # In place of that from before the wait.
                push(self, context, XCOM_REPORT, returned)
            return returned

    def wait_failed(self, context: Context, error: object = None, traceback: Sequence[str] | None = None) -> NoReturn:
        """Raise this package's exception for what Airflow calls a trigger's failure, and push the report first.

        :param error: Airflow's reason
        :param traceback: the trigger's, if it raised
        :raises BackupTimeoutError: no triggerer has answered until after the deadline
        :raises TriggerFailedError: the trigger has raised
        """
        with reporting(self, context, XCOM_REPORT, partial(self._known, context)):
            super().wait_failed(context, error, traceback)

    def awaited(self, context: Context) -> ErrorContext:
        """Return the region that this task waits in, as the ARNs tell."""
        for arn in self._pushed_arns(context).values():
            return ErrorContext(region=arn.region)
        return self.resolved(ErrorContext())

    def _pushed_arns(self, context: Context) -> dict[str, BackupArn]:
        """Return the backups that this task has pushed in this try, as far as its XCom can be read."""
        arns = {}
        for table, text in _mapping(self._pushed(context, XCOM_BACKUP_ARNS)).items():
            with suppress(ValueError):
                arns[table] = BackupArn.from_response(text)
        return {table: arn for table, arn in arns.items() if table == arn.table_name}

    def _create(self, context: Context, request: BackupRequest, deadline: Deadline, report: TablesReport) -> None:
        """Fill the report with the backups of all tables."""
        selection = self._make(TableSelection, rendered)
        about = self.open_hook(ErrorContext(), selection.arn)
        report.region = about.region
        DynamoDBBackupsLink.persist_region(context, self, str(about.region))
        try:
            too_late = CreationTimeoutError.about(about, "The tables could not be selected in time.")
            tables = select_tables(
                self.hook, selection, report, context=about, deadline=deadline, too_late=too_late, log=self.log
            )
            selection.check_size([*(table.name for table in tables), *report.failed], about)
            self.log.info("Backing up %s tables", len(tables))
            wanted = {}
            for table in tables:
                each = replace(request, table_name=table.arn or table.name)
                wanted[table] = self._wanted(context, each, about.region, deadline, table.name)
            create_backups(self.hook, wanted, report=report, context=about, deadline=deadline, log=self.log)
            if not (report.done or report.failed):
                # All that patterns and tags have selected are gone.
                selection.check_size((), about)
        finally:
            report.account = self.hook.account

    def _wait(self, context: Context, interval: float, deadline: Deadline, report: TablesReport) -> BackupsResult:
        if self.deferrable:
            if report.failed or report.skipped:
                # Nothing else tells of them if the trigger fails.
                push(self, context, XCOM_REPORT, report.as_dict())
            kept = report.as_carried()
            if self.do_xcom_push:
                # There may be thousands, and the XCom has them.
                del kept["backups"]
            trigger = partial(DynamoDBBackupsTrigger, backup_arns=[arn.text for arn in report.done.values()])
            self.defer_wait(context, trigger, interval, deadline, region_name=str(report.region), carry=kept)
        waits = [BackupWait(arn, deadline, one_of_many=True) for arn in report.done.values()]
        try:
            return BackupsResult.of(wait_on_worker(self.hook, waits, interval, self.log))
        except BaseException as error:
            # Airflow's, for the task's execution_timeout: none that may still be CREATING passes for done.
            waited, report.done = report.done, {}
            report.fail_others(waited, error)
            raise

    def _add(self, report: TablesReport, result: BackupsResult) -> None:
        # The wait has logged each already.
        for arn, error in result.errors(self.timeout_error).items():
            report.failed[BackupArn.from_response(arn).table_name] = error

    def _known(self, context: Context, failure: BaseException) -> dict[str, Any]:
        """Return the report of a wait whose end is not known, from what was known before it."""
        known = _mapping(self._pushed(context, XCOM_REPORT))
        skipped, failed = _mapping(known.get("skipped")), _mapping(known.get("failed"))
        report = TablesReport(skipped={table: str(reason) for table, reason in skipped.items()})
        report.failed = {table: BackupError(str(message)) for table, message in failed.items()}
        report.region = self.region_name
        for table, arn in self._pushed_arns(context).items():
            report.account, report.region = arn.account, arn.region
            detail = "The wait for all backups of the task has failed."
            kind = type(failure) if isinstance(failure, BackupError) else BackupError
            report.failed[table] = kind.about(arn.context, detail)
        return report.as_dict(failure)

    def _finish(self, context: Context, report: TablesReport) -> dict[str, Any]:
        report.conclude(self.log, _AGAIN_HINT if self.if_exists == IfExists.CREATE else None)
        told = report.as_dict()
        self._hand_to_outlets(context, told)
        return told
