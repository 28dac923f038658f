"""The name of a run's backup. No I/O."""

from __future__ import annotations

import re
from hashlib import sha256
from json import dumps

from airflow_ddb_backup.limits import DIGEST_LENGTH, LONGEST_NAME


def derive_backup_name(dag_id: str, task_id: str, run_id: str, *table: str) -> str:
    """Return the name of one task's backup in one run: the same on every try, different for every other run.

    The readable part, made legal and cut to length, comes first; a digest of the exact values ends it. ``map_index`` is
    not in it: backups are looked up table by table, and the positions of a mapped list move.

    :param dag_id: the DAG's ID
    :param task_id: the task's ID
    :param run_id: the run's ID
    :param table: the table's name, for a task that has many
    """
    digest = sha256(dumps([dag_id, task_id, run_id, *table]).encode()).hexdigest()[:DIGEST_LENGTH]
    readable = re.sub(r"[^a-zA-Z0-9_.-]", "-", ".".join([dag_id, task_id, run_id, *table]))
    return f"{readable[: LONGEST_NAME - DIGEST_LENGTH - 1]}.{digest}"
