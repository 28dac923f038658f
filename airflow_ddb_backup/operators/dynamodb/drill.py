"""The operator that proves that a backup restores."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import conf

from airflow_ddb_backup import metrics
from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.creation.matching import Run
from airflow_ddb_backup.creation.names import run_digest, task_digest
from airflow_ddb_backup.exceptions import (
    DrillTimeoutError,
    ErrorContext,
    InvalidValueError,
    RestoreLostError,
    TriggerFailedError,
)
from airflow_ddb_backup.limits import LARGEST_DRILL, LONGEST_RESTORE_TIMEOUT
from airflow_ddb_backup.models import BackupArn, RestoreSource
from airflow_ddb_backup.operators.dynamodb.base import XCOM_REPORT, counted, namespace
from airflow_ddb_backup.operators.dynamodb.created_by import narrowed_to
from airflow_ddb_backup.operators.dynamodb.restore import RestoreWaiter
from airflow_ddb_backup.parameters import check_seconds, literal, rendered
from airflow_ddb_backup.report import reporting
from airflow_ddb_backup.restoring.checks import DrillChecks
from airflow_ddb_backup.restoring.drill import RESTORE, SCRATCH, Drill, DrillReport, DrillRequest
from airflow_ddb_backup.restoring.pick import PickRequest, picked
from airflow_ddb_backup.restoring.request import RestoreRequest
from airflow_ddb_backup.waiting.restore_state import RestoreResult

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context, XComArg

    from airflow_ddb_backup.waiting.state import WaitResult


class DynamoDBRestoreDrillOperator(RestoreWaiter):
    """Prove that a backup restores: restore it as a scratch table, check that, and drop it. Returns a report.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`howto/operator:DynamoDBRestoreDrillOperator`

    The scratch table is on demand, and its name begins ``airflow-drill-``. It is dropped whether the checks pass or
    not, unless ``keep_on_failure`` says otherwise, and no other table ever is. A later try goes on with the table of an
    earlier one. A larger backup than ``max_size_bytes`` skips the task.

    The report is ``{"backup_arn", "table_name", "backup_created_at", "backup_age_seconds", "backup_bytes",
    "backup_items", "restored_table_name", "restore_seconds", "items", "checks": {name: "passed" or the reason},
    "verdict": "passed" or "failed", "checked_at", "left_overs": {table: what became of it}, "account", "region",
    "dag_id", "run_id", "error", "text"}``. A task that fails pushes it as XCom ``report``, whatever made it fail, and
    the events of the task's outlets carry it.

    :param table_name: name or ARN of the table, one of whose backups is picked (templated)
    :param backup_arn: the ARN of the backup, in place of ``table_name`` (templated)
    :param pick: which of the table's AVAILABLE backups: the ``"latest"``, or one at ``"random"``
    :param within: how old the backup that is picked may be, above 0
    :param created_by: pick only backups that these tasks have created: a task_id of this DAG, a tuple of dag_id and
        task_id, or a list of them. They derive the names of their backups
    :param backup_name_prefix: pick only backups whose names begin so, 3 to 255 characters (templated); ``None``: any
    :param checks: what is compared with the backup: ``"schema"``, the primary key, and ``"indexes"``
    :param min_items: how many items the restored table must have, 0 or more; they are counted by a Scan
    :param validate: a callable that is given a boto3 client and the restored table's name, and raises where that won't
        do; ``None``: there is none
    :param max_size_bytes: a larger backup is not restored, and the task skipped, 1 or more
    :param keep_on_failure: keep the restored table if a check has failed
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

    template_fields: Sequence[str] = aws_template_fields("table_name", "backup_arn", "backup_name_prefix", "account_id")
    timeout_error = DrillTimeoutError
    outcomes = metrics.DRILLS_PASSED, metrics.DRILLS_FAILED

    def __init__(
        self,
        *,
        table_name: str | XComArg | None = None,
        backup_arn: str | XComArg | None = None,
        pick: Literal["latest", "random"] = "latest",
        within: timedelta = timedelta(days=30),
        created_by: str | tuple[str, str] | list[str | tuple[str, str]] | None = None,
        backup_name_prefix: str | XComArg | None = None,
        checks: Collection[Literal["schema", "indexes"]] = ("schema", "indexes"),
        min_items: int = 1,
        validate: Callable[[Any, str], object] | None = None,
        max_size_bytes: int = LARGEST_DRILL,
        keep_on_failure: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta = 30,
        timeout: float | timedelta = timedelta(hours=6),
        account_id: str | XComArg | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(account_id=account_id, **kwargs)
        self.table_name = table_name
        self.backup_arn = backup_arn
        self.pick: str = pick
        self.within = within
        self.created_by = created_by
        self.backup_name_prefix = backup_name_prefix
        self.checks = checks
        self.min_items = min_items
        self.validate = validate
        self.max_size_bytes = max_size_bytes
        self.keep_on_failure = keep_on_failure
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self._make(DrillChecks, literal)
        self._request(literal)

    @counted
    def execute(self, context: Context) -> dict[str, Any]:
        """Pick a backup, restore it, wait, check, drop, report, and judge."""
        report = self._report(context)
        with reporting(self, context, XCOM_REPORT, report.as_dict):
            checks, request = self._make(DrillChecks, rendered), self._request(rendered)
            deadline = Deadline.after(request.restore.timeout, self.hook.clock)
            about = self.open_hook(ErrorContext(report.restored_table_name), request.about.arn, deletes=True)
            report.region = about.region
            drill = Drill(self.hook, checks, report, about, deadline, self.log)
            try:
                run = Run.from_context(context["dag_run"], context["ti"].try_number)
                with picked(request.about):
                    table = drill.begin(request, run.earliest)
            finally:
                report.account = self.hook.account
            source = RestoreSource.of_backup(BackupArn.parse(drill.context.backup))
            carry = {"report": report.as_carried(), "table_id": table.table_id, "deadline": deadline.at}
            result = self._wait(context, source, table, request.restore.poll_interval, deadline, carry=carry)
            return self._finish(context, drill, result, table.table_id)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Take the trigger's event, check, drop, report, and judge.

        What was decided before comes with it: templates may render to something else by now.

        :param event: the trigger's payload
        :raises DrillTimeoutError: the time was up
        :raises DrillFailedError: a check has failed, or a table could not be dropped
        :raises TriggerFailedError: the event is not one that this package sends
        """
        try:
            result = RestoreResult.from_event(event, self.awaited(context))
            carry = (event or {})["carry"]
            ti = context["ti"]
            report = DrillReport.carried(carry["report"], task_digest(*self._task(context)), ti.dag_id, ti.run_id)
            arn, table_id = BackupArn.parse(report.backup["backup_arn"]), carry["table_id"]
            latest = Deadline.latest(LONGEST_RESTORE_TIMEOUT)
            deadline = Deadline.at_time(check_seconds("deadline", carry["deadline"], 0, latest))
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError, TriggerFailedError) as error:
            with reporting(self, context, XCOM_REPORT, self._report(context).as_dict):
                raise TriggerFailedError.of_event(self.awaited(context), event) from error
        with reporting(self, context, XCOM_REPORT, report.as_dict):
            about = ErrorContext(report.restored_table_name, arn.text)
            # A restore stays in the account of its backup.
            about = self.open_hook(about, arn.text, begun=True, deletes=True)
            checks = DrillChecks(self.checks, self.min_items, self.validate, self.keep_on_failure)
            return self._finish(context, Drill(self.hook, checks, report, about, deadline, self.log), result, table_id)

    def wait_failed(self, context: Context, error: object = None, traceback: Sequence[str] | None = None) -> NoReturn:
        """Raise this package's exception for what Airflow calls a trigger's failure, and push a report first.

        :param error: Airflow's reason
        :param traceback: the trigger's, if it raised
        :raises DrillTimeoutError: no triggerer has answered until after the deadline
        :raises TriggerFailedError: the trigger has raised
        """
        with reporting(self, context, XCOM_REPORT, self._report(context).as_dict):
            super().wait_failed(context, error, traceback)

    def awaited(self, context: Context) -> ErrorContext:
        """Return the scratch table, and the backup if the task names it, as far as their templates still render."""
        backup = None if self.backup_arn is None else str(self.backup_arn)
        known = ErrorContext(self._report(context).restored_table_name or None, backup)
        return self.resolved(known, backup or self.table_name)

    def _report(self, context: Context) -> DrillReport:
        """Return a report that has the names of the tables, as far as the templates render to them."""
        ti = context["ti"]
        report = DrillReport(region=self.region_name, dag_id=ti.dag_id, run_id=ti.run_id)
        with suppress(InvalidValueError):
            request = self._request(rendered)
            report.table_name, report.restored_table_name = request.about.table, self._scratch_name(context, request)
        return report

    def _request(self, of: Callable[[Any], Any]) -> DrillRequest:
        """Return what the task asks for, checked: when the DAG is parsed, and again when it runs.

        :param of: returns a templated field as far as it is known
        """
        about = self._make(PickRequest, of, before=None, prefixes=narrowed_to(self, of))
        return self._make(DrillRequest, of, about=about, restore=self._make(RestoreRequest, of, **RESTORE))

    def _scratch_name(self, context: Context, request: DrillRequest) -> str:
        """Return the name of the table that this task restores in this run, the same on every try."""
        task, given = self._task(context), request.about.backup_arn
        # Of a task that is mapped over names of backups, each has a table of its own.
        about = request.about.table, *([given.text] if given else request.about.prefixes)
        digest = run_digest(*task, context["ti"].run_id, *about)
        return f"{SCRATCH}{task_digest(*task)}-{digest}"

    @staticmethod
    def _task(context: Context) -> tuple[str, str, str]:
        """Return namespace, dag_id and task_id."""
        ti = context["ti"]
        return namespace(), ti.dag_id, ti.task_id

    def _finish(self, context: Context, drill: Drill, result: WaitResult, table_id: str | None) -> dict[str, Any]:
        lost = None
        try:
            result.unwrap(DrillTimeoutError)
        except RestoreLostError as error:
            lost = error
        drill.conclude(table_id, lost)
        told = drill.report.as_dict()
        self.log.info("%s", told["text"])
        self._hand_to_outlets(context, told)
        return told
