"""What the operators share: their base, the request of a backup, and the names of their XComs."""

from __future__ import annotations

import re
from contextlib import nullcontext, suppress
from dataclasses import fields
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, TypeVar, cast

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.common.compat.sdk import Asset, conf

from airflow_ddb_backup import exceptions, metrics
from airflow_ddb_backup.connection import ConnectionMixin
from airflow_ddb_backup.creation.matching import Run, TableBackup
from airflow_ddb_backup.creation.names import derive_backup_name
from airflow_ddb_backup.creation.request import BackupRequest, IfExists
from airflow_ddb_backup.exceptions import (
    BackupNotReusedTimeoutError,
    BackupTimeoutError,
    ErrorContext,
    InvalidValueError,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.parameters import check_connection_setting
from airflow_ddb_backup.waiting.deferral import DeferredWaitMixin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from _typeshed import DataclassInstance
    from airflow.providers.common.compat.sdk import Context, XComArg

    from airflow_ddb_backup.clock import Deadline

try:
    # Asset.ref(…), a legal outlet since Airflow 3.
    from airflow.sdk.definitions.asset import AssetRef
except ImportError:
    _ASSETS: tuple[type, ...] = (Asset,)
else:
    _ASSETS = (Asset, AssetRef)


_P = ParamSpec("_P")
_T = TypeVar("_T")
_Operator = TypeVar("_Operator", bound="DynamoDBOperator")
_Request = TypeVar("_Request", bound="DataclassInstance")
#: the templated parameters that select tables
SELECTION_FIELDS = ("table_names", "exclude", "table_tags", "max_tables")
XCOM_BACKUP_ARN = "backup_arn"
XCOM_BACKUP_ARNS = "backup_arns"
XCOM_REPORT = "report"
XCOM_SETTINGS = "settings"
XCOM_TABLE_ARN = "table_arn"


def namespace() -> str:
    """Return Airflow's option ``[dynamodb_backup] namespace``, which tells Airflows apart that share an account.

    :raises InvalidValueError: it has characters that a backup's name can't have
    """
    value: str = conf.get("dynamodb_backup", "namespace", fallback="").strip()
    if not re.fullmatch(r"[a-zA-Z0-9_.-]*", value):
        option = "[dynamodb_backup] namespace"
        raise exceptions.InvalidValueError.of(option, value, "made of [a-zA-Z0-9_.-]")
    return value


class DynamoDBOperator(ConnectionMixin, AwsBaseOperator[DynamoDBBackupHook]):
    """Base of all operators."""

    #: the metrics of how a try ends; ``None``: it has none
    outcomes: ClassVar[metrics.Outcomes | None] = None

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Come back from the triggerer, and count how the try ends."""
        # A try that runs from the top counts its end there.
        with nullcontext() if next_method == "execute" else self.counting_its_end():
            return super().resume_execution(next_method, next_kwargs, context)

    def counting_its_end(self) -> AbstractContextManager[None]:
        """Return what counts how a try ends."""
        return metrics.ending(self.outcomes, self._known_region)

    def _known_region(self) -> str | None:
        """Return the region as far as it is known: a metric makes no hook, and looks no connection up."""
        region = getattr(vars(self).get("hook"), "resolved_region", None) or self.region_name
        with suppress(InvalidValueError):
            check_connection_setting("region_name", region)
            return region
        return None

    def _make(self, kind: type[_Request], of: Callable[[Any], Any], **others: Any) -> _Request:
        """Return what the parameters ask for, a value that checks itself. Its fields have the parameters' names.

        :param kind: the value's class
        :param of: :func:`~.parameters.literal`, when the task is made, or :func:`~.parameters.rendered`
        :param others: the fields that are no parameters
        :raises InvalidValueError: a parameter is wrong
        """
        self.check_connection(of)
        given = {one.name: getattr(self, one.name) for one in fields(kind) if one.name not in others}
        values = {name: of(value) if name in self.template_fields else value for name, value in given.items()}
        return kind(**values, **others)

    @staticmethod
    def _pushed(context: Context, key: str) -> Any:
        """Return an XCom that this task has pushed in this try; ``None``: it has not."""
        ti = context["ti"]
        return ti.xcom_pull(task_ids=ti.task_id, key=key, map_indexes=ti.map_index)

    def _hand_to_outlets(self, context: Context, extra: Mapping[str, Any]) -> None:
        """Put something into each outlet asset's event, in the process that ends the task."""
        for outlet in self.outlets:
            if isinstance(outlet, _ASSETS):
                context["outlet_events"][cast("Asset", outlet)].extra.update(extra)


def counted(execute: Callable[Concatenate[_Operator, _P], _T]) -> Callable[Concatenate[_Operator, _P], _T]:
    """Count how a try ends.

    :param execute: an operator's method
    """

    @wraps(execute)
    def run(self: _Operator, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        with self.counting_its_end():
            return execute(self, *args, **kwargs)

    return run


class BackupCreator(DeferredWaitMixin, DynamoDBOperator):
    """Base of the operators that create backups. Each names its parameters itself, for editors and type checkers."""

    ui_color = "#d9e6f7"
    outcomes = None, metrics.BACKUPS_FAILED

    backup_name: str | XComArg | None
    if_exists: str

    @property
    def timeout_error(self) -> type[BackupTimeoutError]:
        """The exception for a wait whose time was up: what a retry does depends on ``if_exists``."""
        return BackupTimeoutError if self.if_exists != IfExists.CREATE else BackupNotReusedTimeoutError

    def _name(self, context: Context, *table: str) -> str:
        """Return the backup's name: the given one, or one derived from the run and, of many, the table."""
        ti = context["ti"]
        return str(self.backup_name or derive_backup_name(namespace(), ti.dag_id, ti.task_id, ti.run_id, *table))

    def _wanted(
        self, context: Context, request: BackupRequest, region: str | None, deadline: Deadline, *table: str
    ) -> TableBackup:
        name = self._name(context, *table)
        run = Run.from_context(context["dag_run"], context["ti"].try_number)
        # Of many tables each failure is told with the name, which is long, at its end.
        about = ErrorContext(request.table_name, None if table else name, region)
        return TableBackup(request, name, run, about, deadline)
