"""The operator that deletes what a policy does not keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.exceptions import ErrorContext
from airflow_ddb_backup.links.dynamodb import DynamoDBBackupsLink
from airflow_ddb_backup.operators.dynamodb.base import SELECTION_FIELDS, XCOM_REPORT, DynamoDBOperator
from airflow_ddb_backup.operators.dynamodb.created_by import narrowed_to
from airflow_ddb_backup.parameters import literal, rendered
from airflow_ddb_backup.report import reporting
from airflow_ddb_backup.retention.policy import RetentionPolicy
from airflow_ddb_backup.retention.prune import Prune, PruneReport, PruneRequest
from airflow_ddb_backup.selection import TableSelection

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context, XComArg


class DynamoDBPruneBackupsOperator(DynamoDBOperator):
    """Delete the on-demand backups that a policy does not keep, and nothing else. Returns a report.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`howto/operator:DynamoDBPruneBackupsOperator`

    Counts and deletes only AVAILABLE on-demand backups whose names start with the prefix, table by table. The plan is
    made from every page of every listing before the first deletion; just before a table's deletions its tags and its
    ``minimum_redundancy`` newest backups are read again.

    The report is ``{"plan_only": bool, "kept": int, "deleted": [arn], "in_use": [arn], "failed": {arn: message},
    "kept_bytes": int, "deleted_bytes": int, "account", "region", "error", "text"}``. ``kept`` counts those
    of the plan. With ``plan_only``, ``deleted`` is what a real run would delete. A task that fails pushes it as XCom
    ``report``, whatever made it fail: ``error`` is the reason, and ``text`` a message for people, ready to be sent.

    :param table_names: names, ARNs, and shell patterns such as ``orders-*``; all tables is ``["*"]``, ``None`` and
        ``[]`` are an empty selection (templated)
    :param exclude: names and patterns of tables that are left out (templated); no ARNs, which may be of other tables
    :param table_tags: a value, or a list of values, for each key; a table must match every key. ``None``: any tags
        (templated)
    :param max_tables: a larger selection is refused, 1 or more (templated)
    :param if_empty: what to do when no table is selected: ``"fail"``, or ``"skip"`` the task
    :param created_by: only backups that these tasks have created count or are deleted: a task_id of this DAG, a tuple
        of dag_id and task_id, or a list of them. They derive the names of their backups
    :param backup_name_prefix: only backups whose names begin so count or are deleted, 3 to 255 characters (templated).
        Exactly one of the two is required
    :param keep_last: how many of the newest to keep, 0 or more
    :param keep_hourly: keep the newest of each of this many last hours that have a backup, 0 or more
    :param keep_daily: the same for days
    :param keep_weekly: the same for ISO weeks
    :param keep_monthly: the same for months
    :param keep_yearly: the same for years
    :param keep_within: keep those made at most this long before the newest backup, above 0
    :param keep_names: names and patterns that are never deleted, and never counted
    :param older_than: delete only what is older than this, above 0
    :param minimum_redundancy: how many of the newest of each table to keep, whatever the rules say, 0 or more
    :param dropped_tables: also prune backups of tables that no longer exist, or of an earlier table of the same name,
        each a group of its own; not with ``table_tags``, since a deleted table's tags can't be read
    :param max_deletions: a plan that would delete more deletes nothing and fails, 0 or more (templated). ``None``: 10
        for each very table whose backups it is about, and at least 100
    :param timezone: whose hours, days, weeks, months and years
    :param plan_only: plan and log only (templated); a string must be ``"true"`` or ``"false"``
    :param timeout: seconds, or a ``timedelta``, from the start of ``execute``; 60 to 7200
    :param account_id: the account, 12 digits, that this must be (templated); ``None``: any
    :param aws_conn_id: the Airflow connection for AWS; ``None``: the worker's own credentials
    :param region_name: the region; ``None``: the connection's, or boto3's default
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    template_fields: Sequence[str] = aws_template_fields(
        *SELECTION_FIELDS, "backup_name_prefix", "max_deletions", "plan_only", "account_id"
    )
    operator_extra_links = (DynamoDBBackupsLink(),)
    ui_color = "#f7d9d9"

    def __init__(
        self,
        *,
        table_names: Sequence[str | XComArg] | XComArg | str | None,
        created_by: str | tuple[str, str] | list[str | tuple[str, str]] | None = None,
        backup_name_prefix: str | XComArg | None = None,
        exclude: Collection[str | XComArg] | XComArg | str = (),
        table_tags: Mapping[str, str | int | XComArg | Collection[str | int]] | XComArg | str | None = None,
        max_tables: int | str | XComArg = 100,
        if_empty: Literal["fail", "skip"] = "fail",
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
        max_deletions: int | str | XComArg | None = None,
        timezone: str = "UTC",
        plan_only: bool | str | XComArg = False,
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
        self.created_by = created_by
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
        self.plan_only = plan_only
        self.timeout = timeout
        self._request(literal)

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan, check the rails, delete, and report."""
        report = PruneReport()
        with reporting(self, context, XCOM_REPORT, report.as_dict):
            request = self._request(rendered)
            deadline = Deadline.after(request.timeout)
            report.plan_only = request.plan_only
            about = self.open_hook(ErrorContext(), request.selection.arn, deletes=not request.plan_only)
            report.region = about.region
            DynamoDBBackupsLink.persist_region(context, self, str(about.region))
            try:
                Prune(self.hook, request, about, deadline, report, self.log).run()
            finally:
                report.account = self.hook.account
        return report.as_dict()

    def _request(self, of: Callable[[Any], Any]) -> PruneRequest:
        """Return the prune that the parameters ask for.

        :param of: :func:`~.parameters.literal` or :func:`~.parameters.rendered`
        :raises InvalidValueError: a value is wrong
        """
        return self._make(
            PruneRequest,
            of,
            selection=self._make(TableSelection, of),
            policy=self._make(RetentionPolicy, of),
            prefixes=narrowed_to(self, of) or (self.backup_name_prefix,),
        )
