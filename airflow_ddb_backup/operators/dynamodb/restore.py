"""The operator that restores a backup."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import conf

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.creation.matching import Run
from airflow_ddb_backup.exceptions import (
    BackupError,
    ErrorContext,
    InvalidValueError,
    RestoreTimeoutError,
    TriggerFailedError,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.limits import LARGEST_CLOCK_ERROR
from airflow_ddb_backup.links.dynamodb import DynamoDBTableLink
from airflow_ddb_backup.models import BackupArn
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
from airflow_ddb_backup.triggers.dynamodb import (
    DynamoDBRestoreTrigger,
)
from airflow_ddb_backup.validation import (
    check_botocore_config,
    check_choice,
    check_interval,
    check_key_id,
    check_literal,
    check_names,
    check_new_tags,
    check_plain_table_name,
    check_region,
    check_region_name,
    check_structure,
    check_timeout,
)
from airflow_ddb_backup.waiting.awaiting import wait_on_worker
from airflow_ddb_backup.waiting.deferral import DeferredWaitMixin
from airflow_ddb_backup.waiting.restore_state import RestoreResult, RestoreWait

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context, XComArg


from airflow_ddb_backup.operators.dynamodb.base import (
    _CAPACITY_UNITS,
    _LONGEST_RESTORE,
    _REQUEST_UNITS,
    XCOM_SETTINGS,
    XCOM_TABLE_ARN,
    push_before_failing,
)


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
        deadline = Deadline.after(self._check_literals())
        request = self._request(context, deadline)
        table, settings = begin_restore(self.hook, request, self.log)
        self._publish(context, request, table.arn)
        if not self.wait_for_completion:
            return table.arn
        wait = RestoreWait(request.arn, request.target, deadline)
        result = wait.observe(table)
        interval = check_interval("poll_interval", self.poll_interval)
        if result is None and self.deferrable:
            trigger = DynamoDBRestoreTrigger(
                backup_arn=request.arn.text,
                table_name=request.target,
                carry={"backup_arn": request.arn.text, "settings": settings.as_dict()},
                poll_interval=interval,
                deadline=deadline.at,
                **self.triggerer_settings(request.arn.region),
            )
            self.defer_wait(trigger, deadline)
        result = result or wait_on_worker(self.hook, [wait], interval, self.log, first_delay=interval)[0]
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
            carried = (event or {})["carry"]
            settings = SourceSettings.from_dict(carried["settings"])
            # Templates are rendered anew, perhaps to something else.
            arn = BackupArn.from_response(carried["backup_arn"])
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

    def _request(self, context: Context, deadline: Deadline) -> RestoreRequest:
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
