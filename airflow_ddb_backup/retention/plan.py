"""The whole plan of a prune: whose backups they are, what becomes of each, and a table for people. No I/O."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_ddb_backup.limits import NAMED
from airflow_ddb_backup.models import BackupStatus
from airflow_ddb_backup.report import age_of, size_of, total_of
from airflow_ddb_backup.retention.policy import MINIMUM_REDUNDANCY, Decision

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from airflow_ddb_backup.models import Backup, Table
    from airflow_ddb_backup.retention.policy import RetentionPolicy

_USER = "USER"
_PREFIX = re.compile(r".+?\.[0-9a-f]{10}\.|[^0-9]+|.+")


@dataclass(frozen=True, slots=True)
class Group:
    """The backups of one very table, and what becomes of each.

    :param table_name: the table's name
    :param table_id: tells it from others of its name; ``None``: it is the present one
    :param decisions: what becomes of each AVAILABLE backup, the newest first
    """

    table_name: str
    table_id: str | None
    decisions: tuple[Decision, ...]

    @property
    def kept(self) -> list[Backup]:
        """The backups that stay, the newest first."""
        return [decision.backup for decision in self.decisions if decision.kept]

    @property
    def deleted(self) -> list[Backup]:
        """The backups that are to be deleted, the oldest first."""
        return [decision.backup for decision in reversed(self.decisions) if not decision.kept]

    @property
    def redundant(self) -> list[Backup]:
        """The backups that the minimum redundancy relies on."""
        return [decision.backup for decision in self.decisions if MINIMUM_REDUNDANCY in decision.reasons]

    def __str__(self) -> str:
        return f"{self.table_name} ({self.table_id})" if self.table_id else self.table_name


@dataclass(frozen=True, slots=True)
class Plan:
    """The decisions on all backups that a task is about.

    :param groups: the groups, by the table's name
    :param untouched: how many backups are of other tables of these names, and are not this task's
    """

    groups: tuple[Group, ...]
    untouched: int = 0

    @property
    def kept(self) -> list[Backup]:
        """The backups that stay."""
        return [backup for group in self.groups for backup in group.kept]

    @property
    def deletions(self) -> list[Backup]:
        """The backups that are to be deleted, table by table, the oldest first."""
        return [backup for group in self.groups for backup in group.deleted]

    def rows(self, now: datetime) -> list[str]:
        """Return a line for each backup, for the log: the reason first, and the long name last.

        :param now: when the task began
        """
        lines = [("", "age", "because", "table", "size", "created at", "backup")]
        for group in self.groups:
            for decision in group.decisions:
                backup = decision.backup
                lines.append(
                    (
                        "keep" if decision.kept else "delete",
                        age_of(now - backup.created_at),
                        ", ".join(decision.reasons) or "no rule keeps it",
                        str(group),
                        size_of(backup.size_bytes),
                        backup.created_at.isoformat(timespec="seconds"),
                        backup.name,
                    )
                )
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]

    def summary(self) -> list[str]:
        """Return a line for each table, for the log."""
        return [
            f"{len(group.deleted)} to delete ({total_of(sizes_of(group.deleted))}), "
            f"{len(group.kept)} kept ({total_of(sizes_of(group.kept))}): {group}"
            for group in self.groups
        ]


def make_plan(
    policy: RetentionPolicy,
    backups: Iterable[Backup],
    tables: Mapping[str, Table],
    now: datetime,
    *,
    dropped_tables: bool,
) -> Plan:
    """Decide on every backup.

    :param policy: what to keep
    :param backups: those that the task is about, by prefix and selection
    :param tables: the tables that exist, by name; not in it: it does not, or its ID does not matter
    :param now: when the task began, by AWS's clock
    :param dropped_tables: also decide on backups of tables that do not exist any more, each a group of its own
    """
    grouped: defaultdict[tuple[str, str | None], list[Backup]] = defaultdict(list)
    untouched = 0
    for backup in backups:
        name = backup.arn.table_name
        table = tables.get(name)
        if table is not None and backup.is_of(table):
            grouped[name, None].append(backup)
        elif dropped_tables and backup.table_id:
            # Without an ID nothing tells whether it is some table's last.
            grouped[name, backup.table_id].append(backup)
        else:
            untouched += 1
    groups = [
        Group(name, table_id, tuple(policy.decide(members, now)))
        for (name, table_id), members in sorted(grouped.items(), key=lambda item: (item[0][0], item[0][1] or ""))
    ]
    return Plan(tuple(groups), untouched)


def is_candidate(backup: Backup, prefixes: tuple[str, ...]) -> bool:
    """Return whether a backup may be counted or deleted at all: of a user, AVAILABLE, and named with a prefix.

    :param backup: the backup
    :param prefixes: what its name begins with, one of them
    """
    return backup.kind == _USER and backup.status == BackupStatus.AVAILABLE and backup.name.startswith(prefixes)


def prefixes_of(backups: Iterable[Backup]) -> str:
    """Return the prefixes of users' backups, for people: a task's in a derived name, or all before the first digit."""
    seen = Counter(match[0] for one in backups if one.kind == _USER and (match := _PREFIX.match(one.name)))
    told = ", ".join(f"{prefix!r} ({count})" for prefix, count in seen.most_common(NAMED))
    return f"there are {told}" if told else "there is none at all"


def sizes_of(backups: Iterable[Backup]) -> list[int]:
    """Return the bytes of each of some backups; 0: AWS has not told them yet."""
    return [backup.size_bytes for backup in backups]
