"""The operator that restores a table to a point in time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import conf

from airflow_ddb_backup.exceptions import ErrorContext
from airflow_ddb_backup.models import point_in_time
from airflow_ddb_backup.operators.dynamodb.restore import TableRestorer
from airflow_ddb_backup.parameters import literal, rendered
from airflow_ddb_backup.restoring.origin import find_table_arn
from airflow_ddb_backup.restoring.request import DEFAULT_SETTINGS, MomentRequest, RestoreRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context, XComArg

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.creation.matching import Run
    from airflow_ddb_backup.models import RestoreSource


class DynamoDBRestoreTableToPointInTimeOperator(TableRestorer):
    """Restore a table, as it was at a point in time, as a new table, with the settings that a restore drops.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`howto/operator:DynamoDBRestoreTableToPointInTimeOperator`

    Returns the new table's ARN. It needs point-in-time recovery (PITR) on the source table, which must still be there;
    the time is checked against the window that can be restored before anything is made. Everything else is as in
    :class:`~.restore.DynamoDBRestoreTableFromBackupOperator`.

    :param source_table_name: name or ARN of the table (templated)
    :param restore_date_time: the time to restore to, to the second: a ``datetime`` with a timezone, or ISO 8601 text
        with its offset from UTC, such as ``"2026-11-28T02:14:00+01:00"`` (templated)
    :param use_latest_restorable_time: restore to the latest time that there is, some five minutes ago, in place of it
    :param target_table_name: the name of the new table, 3 to 255 characters (templated)
    :param if_exists: what to do with a table of that name which is this restore, of the same table and the same second,
        or to the latest time and created since the run started: ``"reuse"`` it, or ``"fail"``, also if an earlier try
        of this run has made it. Any other table fails the task
    :param billing_mode: ``"PROVISIONED"`` or ``"PAY_PER_REQUEST"``; ``None``: the source's
    :param provisioned_throughput: ``{"ReadCapacityUnits": n, "WriteCapacityUnits": n}``; ``None``: the source's
    :param on_demand_throughput: ``MaxReadRequestUnits``, ``MaxWriteRequestUnits``, or both; ``None``: the source's
    :param kms_key_id: the KMS key that encrypts the new table; ``"alias/aws/dynamodb"``: AWS's managed key;
        ``"AWS_OWNED_KMS_KEY"``: the one that AWS owns; ``None``: what AWS chooses, see the table's ``SSEDescription``
    :param exclude_indexes: names of global, local or vector indexes that are not restored, or ``"all"``
    :param settings: the settings to put back (templated): of ``"tags"``, ``"table_class"``,
        ``"point_in_time_recovery"``, ``"deletion_protection"``, ``"ttl"``, ``"stream"``, ``"kinesis"``,
        ``"contributor_insights"``, ``"auto_scaling"`` and ``"resource_policy"``; or ``"all"``, which is all but
        ``"ttl"``: that deletes data
    :param settings_from: the name of the table to read them from (templated); ``None``: the source, as it is now
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
        "source_table_name", "restore_date_time", "target_table_name", "settings", "settings_from", "account_id"
    )

    def __init__(
        self,
        *,
        source_table_name: str | XComArg,
        restore_date_time: datetime | str | XComArg | None = None,
        use_latest_restorable_time: bool = False,
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
        self.source_table_name = source_table_name
        self.restore_date_time = restore_date_time
        self.use_latest_restorable_time = use_latest_restorable_time
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

    def awaited(self, context: Context) -> ErrorContext:
        """Return the table, the point in time and region that this task waits for, as far as templates render to it."""
        del context
        moment = point_in_time(self.source_table_name, self.restore_date_time)
        known = ErrorContext(str(self.target_table_name), point_in_time=moment)
        return self.resolved(known, self.source_table_name)

    def _request(self, of: Callable[[Any], Any] = rendered) -> RestoreRequest:
        self._make(MomentRequest, of)
        return super()._request(of)

    def _find_source(self, request: RestoreRequest, run: Run, deadline: Deadline) -> RestoreSource:
        moment = self._make(MomentRequest, rendered)
        context = self.open_hook(moment.context(request.target_table_name), moment.arn)
        arn = moment.arn or find_table_arn(self.hook, context, moment.table_name, deadline, self.log)
        return moment.source(arn, run.started)
