"""The name of a run's backup: ``[NAMESPACE.]DAG.TASK.DIGEST.RUN[.TABLE].DIGEST``. No I/O."""

from __future__ import annotations

import re
from hashlib import sha256
from json import dumps

from airflow_ddb_backup.limits import DIGEST_LENGTH, LONGEST_NAME, LONGEST_PARTS, TASK_DIGEST_LENGTH

# A word between dots that has the shape of a task's digest.
_DIGEST_ALIKE = re.compile(rf"(?<![^.])[0-9a-f]{{{TASK_DIGEST_LENGTH}}}(?![^.])")


def derived_prefix(namespace: str, dag_id: str, task_id: str) -> str:
    """Return what the derived names of one task begin with, and no other task's: it ends with the dot after a digest.

    :param namespace: tells Airflows apart that share an account; empty: none
    :param dag_id: the DAG's ID
    :param task_id: the task's ID
    """
    ids = namespace, dag_id, task_id
    parts = [_legal(each)[:longest] for each, longest in zip(ids, LONGEST_PARTS, strict=True) if each]
    # The first word between dots that reads as a digest is the task's: no ID can lengthen another task's prefix.
    parts = [_DIGEST_ALIKE.sub(lambda word: f"-{word[0][1:]}", part) for part in parts]
    return ".".join([*parts, task_digest(*ids), ""])


def derive_backup_name(namespace: str, dag_id: str, task_id: str, run_id: str, *table: str) -> str:
    """Return the name of one task's backup in one run: the same on every try, different for every other run.

    The readable part, made legal and cut to length, comes first; a digest of the exact values ends it. ``map_index`` is
    not in it: backups are looked up table by table, and the positions of a mapped list move.

    :param namespace: tells Airflows apart that share an account; empty: none
    :param dag_id: the DAG's ID
    :param task_id: the task's ID
    :param run_id: the run's ID
    :param table: the table's name, for a task that has many
    """
    digest = run_digest(namespace, dag_id, task_id, run_id, *table)
    readable = derived_prefix(namespace, dag_id, task_id) + _legal(".".join([run_id, *table]))
    return f"{readable[: LONGEST_NAME - DIGEST_LENGTH - 1]}.{digest}"


def task_digest(namespace: str, dag_id: str, task_id: str) -> str:
    """Return what tells one task from every other.

    :param namespace: tells Airflows apart that share an account; empty: none
    :param dag_id: the DAG's ID
    :param task_id: the task's ID
    """
    return _digest(namespace, dag_id, task_id)[:TASK_DIGEST_LENGTH]


def run_digest(*values: str) -> str:
    """Return what tells one task's work in one run from all other.

    :param values: namespace, the IDs of DAG, task and run, and what the work is about
    """
    return _digest(*values)[:DIGEST_LENGTH]


def _legal(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_.-]", "-", text)


def _digest(*values: str) -> str:
    return sha256(dumps(values).encode()).hexdigest()
