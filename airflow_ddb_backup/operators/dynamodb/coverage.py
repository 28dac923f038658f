"""The operator that tells which tables have a fresh backup."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_ddb_backup.clock import Clock, Deadline
from airflow_ddb_backup.coverage.check import CoverageCheck, CoverageReport, CoverageRequest
from airflow_ddb_backup.exceptions import ErrorContext
from airflow_ddb_backup.links.dynamodb import DynamoDBBackupsLink
from airflow_ddb_backup.operators.dynamodb.base import SELECTION_FIELDS, XCOM_REPORT, DynamoDBOperator
from airflow_ddb_backup.parameters import literal, rendered
from airflow_ddb_backup.report import reporting
from airflow_ddb_backup.selection import TableSelection

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context, XComArg


class DynamoDBBackupCoverageOperator(DynamoDBOperator):
    """Tell which DynamoDB tables have a fresh backup, whoever has made it. Returns a report.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`howto/operator:DynamoDBBackupCoverageOperator`

    It only reads. Each table is ``fresh``, ``late`` (its newest backup is older than ``max_age``), ``none`` (it has no
    AVAILABLE backup) or ``unknown`` (a call about it has failed). On-demand backups of users and of AWS Backup count,
    as far as DynamoDB lists them, and those of this very table only: not of an earlier one of its name, nor AWS's own.

    The report is ``{"kind", "version", "checked_at", "account", "region", "max_age_seconds", "counts": {status: int},
    "backups": int, "bytes": int, "tables": [{"table_name", "status", "newest_backup_arn", "newest_backup_at",
    "backups", "bytes", "point_in_time_recovery"}], "error", "text"}``; ``text`` is a message for people, ready to be
    sent. A report of more than 500 KB leaves out the ARNs. The events of the task's outlet assets carry it. A task that
    fails pushes it as XCom ``report``, whatever made it fail: ``error`` is the reason.

    :param table_names: names, ARNs, and shell patterns such as ``orders-*``; ``None`` and ``[]`` are an empty selection
        (templated)
    :param exclude: names and patterns of tables that are left out (templated); no ARNs, which may be of other tables
    :param table_tags: a value, or a list of values, for each key; a table must match every key. ``None``: any tags
        (templated)
    :param max_tables: a larger selection is refused, 1 or more (templated)
    :param if_empty: what to do when no table is selected: ``"fail"``, or ``"skip"`` the task
    :param max_age: how old the newest backup of a fresh table is at most, a ``timedelta`` above 0
    :param fail_on: the statuses that fail the task once all tables are known: any of ``"late"``, ``"none"`` and
        ``"unknown"``
    :param point_in_time_recovery: read each table's point-in-time recovery too, which takes 0.2 s a table
    :param timeout: seconds, or a ``timedelta``, from the start of ``execute``; 60 to 7200
    :param account_id: the account, 12 digits, that this must be (templated); ``None``: any
    :param aws_conn_id: the Airflow connection for AWS; ``None``: the worker's own credentials
    :param region_name: the region; ``None``: the connection's, or boto3's default
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    template_fields: Sequence[str] = aws_template_fields(*SELECTION_FIELDS, "account_id")
    operator_extra_links = (DynamoDBBackupsLink(),)
    ui_color = "#d9f7e0"

    def __init__(
        self,
        *,
        table_names: Sequence[str | XComArg] | XComArg | str | None = ("*",),
        exclude: Collection[str | XComArg] | XComArg | str = (),
        table_tags: Mapping[str, str | int | XComArg | Collection[str | int]] | XComArg | str | None = None,
        max_tables: int | str | XComArg = 2500,
        if_empty: Literal["fail", "skip"] = "fail",
        max_age: timedelta = timedelta(hours=26),
        fail_on: Collection[Literal["late", "none", "unknown"]] = (),
        point_in_time_recovery: bool = False,
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
        self.max_age = max_age
        self.fail_on = fail_on
        self.point_in_time_recovery = point_in_time_recovery
        self.timeout = timeout
        self._request(literal)

    def execute(self, context: Context) -> dict[str, Any]:
        """Look at every table, report, and judge."""
        report = CoverageReport(checked_at=datetime.fromtimestamp(Clock().time(), tz=UTC), region=self.region_name)
        with reporting(self, context, XCOM_REPORT, report.as_dict):
            request = self._request(rendered)
            report.max_age = request.max_age
            deadline = Deadline.after(request.timeout)
            about = self.open_hook(ErrorContext(), request.selection.arn)
            report.region = about.region
            DynamoDBBackupsLink.persist_region(context, self, str(about.region))
            try:
                CoverageCheck(self.hook, request, about, deadline, report, self.log).run()
            finally:
                report.account = self.hook.account
        told = report.as_dict()
        self._hand_to_outlets(context, told)
        return told

    def _request(self, of: Callable[[Any], Any]) -> CoverageRequest:
        """Return the check that the parameters ask for.

        :param of: :func:`~.parameters.literal` or :func:`~.parameters.rendered`
        :raises InvalidValueError: a value is wrong
        """
        return self._make(CoverageRequest, of, selection=self._make(TableSelection, of))
