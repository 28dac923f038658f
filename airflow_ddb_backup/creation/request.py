"""The backup that a task asks for: its parameters, which check themselves. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_ddb_backup import parameters
from airflow_ddb_backup.exceptions import InvalidValueError
from airflow_ddb_backup.models import TABLE_ARN

if TYPE_CHECKING:
    from datetime import timedelta


class IfExists(StrEnum):
    """The choices for a run that has its backup already."""

    REUSE = "reuse"
    FAIL = "fail"
    CREATE = "create"


@dataclass(frozen=True, slots=True)
class BackupRequest:
    """The backup that a task asks for, as its parameters say.

    :param table_name: name or ARN
    :param backup_name: the backup's name; ``None``: derived from the run
    :param if_exists: what to do when the run has its backup already
    :param reuse_within: how old, when the run started, any other backup may be that does as well; ``None``: no other
    :param require_point_in_time_recovery: refuse a table whose point-in-time recovery is not ENABLED
    :param poll_interval: seconds, or a ``timedelta``, between polls
    :param timeout: seconds, or a ``timedelta``, from the start of ``execute``
    :raises InvalidValueError: a value is wrong
    """

    table_name: str
    backup_name: str | None = None
    if_exists: IfExists = IfExists.REUSE
    reuse_within: timedelta | None = None
    require_point_in_time_recovery: bool = False
    poll_interval: float = 5.0
    timeout: float = 1800.0

    def __post_init__(self) -> None:
        """Check the values; numbers and choices become what they stand for."""
        parameters.check_table("table_name", self.table_name)
        if self.backup_name is not None:
            parameters.check_name("backup_name", self.backup_name)
        required = parameters.check_flag("require_point_in_time_recovery", self.require_point_in_time_recovery)
        parameters.set_checked(
            self,
            if_exists=parameters.check_choice("if_exists", self.if_exists, IfExists),
            require_point_in_time_recovery=required,
            reuse_within=parameters.check_span("reuse_within", self.reuse_within),
            poll_interval=parameters.check_interval("poll_interval", self.poll_interval),
            timeout=parameters.check_timeout(self.timeout),
        )
        if self.reuse_within and self.if_exists is not IfExists.REUSE:
            rule = f"None with if_exists={self.if_exists.value!r}, which reuses no backup"
            raise InvalidValueError.of("reuse_within", self.reuse_within, rule)

    @property
    def is_derived(self) -> bool:
        """Whether the backup's name is its run's alone; otherwise every run may have it."""
        return self.backup_name is None

    @property
    def table_arn(self) -> str | None:
        """The table's ARN; ``None``: the task names the table by its name."""
        return self.table_name if TABLE_ARN.fullmatch(self.table_name) else None
