"""Which account and region a task calls: its connection settings, checked, and its hook, opened for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import AwsBaseHookMixin

from airflow_ddb_backup.exceptions import BackupError, InvalidValueError, OtherAccountError
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.models import TABLE_ARN
from airflow_ddb_backup.parameters import (
    CONNECTION_SETTINGS,
    check_botocore_config,
    check_connection_setting,
    literal,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from airflow.providers.common.compat.sdk import XComArg

    from airflow_ddb_backup.exceptions import ErrorContext

# The parameters that may be left out: what a template renders to None, or a mapped task gets, must not pass for that.
_OPTIONAL = (
    "aws_conn_id",
    "region_name",
    "verify",
    "account_id",
    "backup_arn",
    "before",
    "backup_name",
    "backup_name_prefix",
    "table_name",
    "table_tags",
    "max_deletions",
    "settings_from",
    "restore_date_time",
)


def _has_none(value: object) -> bool:
    return value is None or (isinstance(value, list | tuple) and None in value)


class ConnectionMixin(AwsBaseHookMixin[DynamoDBBackupHook]):
    """A task that calls AWS. Comes before the Airflow base class.

    The amazon provider takes the worker's own credentials for a connection that is not found, or empty: perhaps another
    account's. So only a literal ``None`` means them, and ``account_id`` pins the account.

    :param account_id: the account, 12 digits, that this must be; ``None``: any
    """

    aws_hook_class = DynamoDBBackupHook
    _named: set[str]

    def __new__(cls, *_args: Any, **kwargs: Any) -> Self:
        """Note which parameters are given: in ``__init__`` a default looks the same."""
        task = super().__new__(cls)
        if kwargs:
            # A copy is made without any, and gets the original's attributes.
            vars(task)["_named"] = kwargs.keys() & set(_OPTIONAL)
        return task

    def __init__(self, *, account_id: str | XComArg | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.account_id = account_id
        # Airflow 2.11 copies the attributes in their order, and its own must be the first.
        self._named = vars(self).pop("_named", set())

    def check_connection(self, of: Callable[[Any], Any]) -> None:
        """Check the connection settings, and that no parameter that was given has become ``None``.

        A template may render one to that, or another task's output be that, which a mapped task gets.

        :param of: :func:`~.parameters.literal`, when the task is made, or :func:`~.parameters.rendered`
        :raises InvalidValueError: one is wrong
        """
        if of is literal:
            self._given = [name for name in _OPTIONAL if getattr(self, name, None) is not None]
        for name in [*self._given, *(() if of is literal else self._mapped())]:
            # A subclass may have a parameter of that name, and no attribute.
            if getattr(self, name, name) is None:
                raise InvalidValueError.of(name, None, "not None once it is rendered or mapped")
        check_botocore_config(self.botocore_config)
        for name in CONNECTION_SETTINGS:
            check_connection_setting(name, of(getattr(self, name)))

    def _mapped(self: Any) -> list[str]:
        """Return the parameters that a mapped task gets of each value that it is mapped over.

        A ``None`` that the DAG's author has written, in ``partial()`` or among the values, is meant.
        """
        dag = self.get_dag()
        task: Any = dag.get_task(self.task_id) if dag else None
        if not hasattr(task, "partial_kwargs"):
            return []
        values = task.expand_input.value
        # Of expand(), or each of expand_kwargs(); what another task returns is neither.
        rows = values if isinstance(values, list | tuple) else [values]
        written = [task.partial_kwargs, *(rows if all(isinstance(row, Mapping) for row in rows) else ())]

        def is_meant(name: str) -> bool:
            given = [row.get(name, name) for row in written]
            return any(map(_has_none, given)) and not any(hasattr(one, "resolve") for one in given)

        return sorted(name for name in self._named if not is_meant(name))

    def open_hook(
        self, context: ErrorContext, arn: str | None = None, *, begun: bool = False, deletes: bool = False
    ) -> ErrorContext:
        """Open the hook for this execution; return the context with the region of the calls.

        :param context: the table and backup of the task
        :param arn: the ARN that the task names; ``None``: it names none
        :param begun: the task comes back to go on in the ARN's account, where it has begun, and in no other
        :param deletes: the task deletes something, so that its account must be certain
        :raises OtherAccountError: the ARN is of another account than ``account_id``
        :raises BackupError: the connection is not found, or the region is not known or another
        """
        region, account = arn.split(":")[3:5] if arn else (None, None)
        # An ARN that is wrong is named, also where the task is about many tables.
        named = replace(context, table=context.table or arn)
        expected = None if self.account_id is None else str(self.account_id)
        begun_in = account if begun else None
        opened = self.hook.open_for(named, region, account_id=expected, begun_in=begun_in, deletes=deletes)
        if account and expected not in {None, account}:
            raise OtherAccountError.about(opened, f"The ARN is of account {account!r}, account_id is {expected!r}.")
        return replace(opened, table=context.table)

    def resolved(self, known: ErrorContext, named: object = None) -> ErrorContext:
        """Return an error context with the region of the calls, if it can be told.

        :param known: the table and backup
        :param named: the ARN that the task may name
        """
        if arn := TABLE_ARN.match(str(named)):
            return replace(known, region=arn["region"])
        if isinstance(self.region_name, str):
            # Also that of the wait that a task comes back from: then the connection is not read for a message's sake.
            return replace(known, region=self.region_name)
        try:
            return replace(known, region=self.hook.resolve_region(known))
        except BackupError:
            return known
