"""The operator that deletes what a policy does not keep."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.exceptions import (
    EmptySelectionError,
    InvalidValueError,
)
from airflow_ddb_backup.retention.policy import RetentionPolicy
from airflow_ddb_backup.retention.prune import Prune, PruneRequest
from airflow_ddb_backup.selection import IfEmpty
from airflow_ddb_backup.validation import (
    check_backup_name_prefix,
    check_bool,
    check_count,
    check_flag,
    check_literal,
    check_patterns,
    check_span,
    check_timeout,
    check_timezone,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context, XComArg


from airflow_ddb_backup.operators.dynamodb.base import _KEEP_COUNTS, XCOM_REPORT, push_before_failing
from airflow_ddb_backup.operators.dynamodb.selecting import TablesOperator


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
        deadline = Deadline.after(check_timeout(self.timeout))
        began_at = deadline.clock.monotonic()
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
