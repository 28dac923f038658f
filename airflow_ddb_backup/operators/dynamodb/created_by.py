"""Whose backups a task means by ``created_by``: the prefixes of the names that those tasks derive."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.creation.names import derived_prefix
from airflow_ddb_backup.exceptions import InvalidValueError
from airflow_ddb_backup.operators.dynamodb.base import BackupCreator, namespace
from airflow_ddb_backup.parameters import LATER, literal

if TYPE_CHECKING:
    from collections.abc import Callable

# Airflow's rule for the IDs of DAGs and tasks.
_ID = re.compile(r"[\w.-]+")


def check_created_by(value: Any, dag_id: str) -> list[tuple[str, str]]:
    """Return dag_id and task_id of each of some tasks.

    :param value: a task_id of this DAG, a tuple of dag_id and task_id, or a list of them; no template
    :param dag_id: this DAG's ID
    :raises InvalidValueError: it is something else
    """
    tasks = [(dag_id, one) if isinstance(one, str) else one for one in (value if isinstance(value, list) else [value])]
    for ids in tasks or [None]:
        legal = isinstance(ids, tuple) and all(isinstance(one, str) and _ID.fullmatch(one) for one in ids)
        if not legal or len(ids) != len(("dag_id", "task_id")):
            rule = "a task_id of this DAG, a tuple (dag_id, task_id), or a list of them; it is not templated"
            raise InvalidValueError.of("created_by", value, rule)
    return tasks


def narrowed_to(task: Any, of: Callable[[Any], Any]) -> tuple[str, ...]:
    """Return what the names of the backups begin with that a task means; empty: it means any.

    :param task: the task, with ``created_by`` and ``backup_name_prefix``; only of the tasks of its DAG it is known what
        they do
    :param of: :func:`~.parameters.literal` or :func:`~.parameters.rendered`
    :raises InvalidValueError: it has both, or ``created_by`` is wrong, or names a task of this DAG that does not derive
        the names of its backups
    """
    if task.created_by is None:
        return () if task.backup_name_prefix is None else (of(task.backup_name_prefix),)
    tasks = check_created_by(task.created_by, task.dag_id)
    if task.backup_name_prefix is not None:
        raise InvalidValueError.of("created_by", task.created_by, "None with backup_name_prefix: one says whose")
    if of is literal:
        # The other tasks of the DAG may not be known while it is parsed.
        return (LATER,)
    dag = task.get_dag()
    deriving = sorted(one.task_id for one in dag.tasks if _derives_names(one)) if dag else []
    for dag_id, task_id in tasks:
        if dag_id == task.dag_id and task_id not in deriving:
            rule = f"tasks that create backups and have no backup_name; this DAG's are {deriving}"
            raise InvalidValueError.of("created_by", task_id, rule)
    return tuple(derived_prefix(namespace(), *ids) for ids in tasks)


def _derives_names(task: Any) -> bool:
    partial = getattr(task, "partial_kwargs", None)
    if partial is None:
        return isinstance(task, BackupCreator) and task.backup_name is None
    # It is mapped; what expand_kwargs gives is not known.
    mapped = task.expand_input.value
    given = partial.get("backup_name") is not None or (isinstance(mapped, dict) and "backup_name" in mapped)
    return issubclass(task.operator_class, BackupCreator) and not given
