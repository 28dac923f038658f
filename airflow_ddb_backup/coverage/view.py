"""A coverage report as the page shows it: read, put in order, rendered. No I/O, but for the template.

A report is a JSON value that a task has left in the metadata database. Whoever may write DAGs can forge one, another
version of the package may have other members, and some may be missing. So nothing is taken for granted: the page says
what can't be read, and shows the rest. A table whose status can't be read is ``unknown``, never ``fresh``, and a report
that does not say how old it is counts as stale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from airflow_ddb_backup.coverage.status import Status
from airflow_ddb_backup.exceptions import printable
from airflow_ddb_backup.limits import LARGEST_CLOCK_ERROR, LARGEST_NUMBER, LONGEST_TEXT, PAGE_TABLES, REPORT_VERSION
from airflow_ddb_backup.report import age_of, size_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a report; ``None``: the report does not say.

    :param name: the table's name
    :param status: its status
    :param newest: when its newest backup was created
    :param backups: the number of its backups
    :param size: their bytes
    :param recovery: its point-in-time recovery, in a word
    """

    name: str
    status: Status
    newest: datetime | None
    backups: int | None
    size: int | None
    recovery: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """A report, as far as it can be read; ``None``: it does not say.

    :param account: the AWS account
    :param region: the region
    :param checked_at: when it was made
    :param max_age: seconds that the newest backup of a fresh table is old at most
    :param stale: whether the report itself is older than that
    :param failed_at: when its task has failed since, without a report; ``None``: it has not
    :param counts: the number of tables of each status
    :param backups: the number of all backups
    :param size: their bytes
    :param tables: the tables that it lists, those that need attention first
    :param error: why its task has failed
    :param problems: what can't be read, in full sentences
    """

    account: str | None
    region: str | None
    checked_at: datetime | None
    max_age: int | None
    stale: bool
    failed_at: datetime | None
    counts: Mapping[Status, int]
    backups: int | None
    size: int | None
    tables: Sequence[Table]
    error: str | None
    problems: Sequence[str]

    @property
    def total(self) -> int:
        """The number of all tables."""
        return sum(self.counts.values())

    @property
    def shows_recovery(self) -> bool:
        """Whether point-in-time recovery was read."""
        return any(table.recovery for table in self.tables)

    def of(self, status: Status | None) -> list[Table]:
        """Return the listed tables of a status.

        :param status: the status; ``None``: any
        """
        return [table for table in self.tables if status in {None, table.status}]

    def bar(self) -> list[tuple[Status, float, float]]:
        """Return each status with the start and the length of its part of a bar, in percent."""
        parts, start = [], 0.0
        for status in Status:
            length = 100 * self.counts[status] / max(self.total, 1)
            parts.append((status, start, length))
            start += length
        return parts


def read_report(extra: object, now: datetime, failed_at: datetime | None = None) -> Report:
    """Read a report, whatever it holds.

    :param extra: the extra of an asset event, a JSON value
    :param now: the present time
    :param failed_at: when its task has failed since; ``None``: it has not
    """
    found = extra if isinstance(extra, Mapping) else {}
    listed = found.get("tables")
    entries = listed if isinstance(listed, list) else []
    tables = sorted(filter(None, map(_table, entries)), key=_needs_attention)
    counts = _counts(found.get("counts"), tables)
    checked_at, max_age = _time(found.get("checked_at")), _number(found.get("max_age_seconds"))
    if checked_at is not None and (checked_at - now).total_seconds() > LARGEST_CLOCK_ERROR:
        checked_at = None
    stale = checked_at is None or max_age is None or (now - checked_at).total_seconds() > max_age

    problems = []
    if found.get("version") != REPORT_VERSION:
        problems.append(
            f"It is not of version {REPORT_VERSION}, which this page knows: some of it may be missing or wrong here. "
            "Install one version of airflow-ddb-backup on workers and API servers."
        )
    if checked_at is None or max_age is None:
        problems.append("It does not say when it was made, or how old a fresh backup may be.")
    if len(tables) < len(entries):
        problems.append(f"{len(entries) - len(tables):,} of its tables can't be read.")
    if any(isinstance(entry, Mapping) and _status(entry.get("status")) is None for entry in entries):
        problems.append("It has statuses that this page does not know. Their tables are shown as unknown.")
    if len(tables) < (total := sum(counts.values())):
        problems.append(f"It lists {len(tables):,} of {total:,} tables.")
    return Report(
        account=_text(found.get("account")),
        region=_text(found.get("region")),
        checked_at=checked_at,
        max_age=max_age,
        stale=stale,
        failed_at=failed_at,
        counts=counts,
        backups=_number(found.get("backups")),
        size=_number(found.get("bytes")),
        tables=tables,
        error=_text(found.get("error")),
        problems=problems,
    )


def render(reports: Iterable[Report], status: str, now: datetime, nonce: str, left_out: int = 0) -> bytes:
    """Return the page.

    :param reports: the newest report of each account and region
    :param status: the status whose tables are shown; what is none means all tables
    :param now: the present time
    :param nonce: by which the Content-Security-Policy allows the page's own style
    :param left_out: how many reports there are beside these
    """
    ordered = sorted(reports, key=lambda report: (report.account or "", report.region or ""))
    counts = Counter({one: sum(report.counts[one] for report in ordered) for one in Status})
    known = {"reports": ordered, "left_out": left_out, "counts": counts, "shown": _status(status), "now": now}
    return _render(**known, nonce=nonce, refusal=None)


def render_refusal(refusal: str, nonce: str) -> bytes:
    """Return the page for somebody who may not see it.

    :param refusal: why not, in a full sentence
    :param nonce: by which the Content-Security-Policy allows the page's own style
    """
    return _render(refusal=refusal, nonce=nonce)


def _render(**values: object) -> bytes:
    # JSON has characters that UTF-8 has not: halves of surrogate pairs.
    return _TEMPLATE.render(statuses=list(Status), most=PAGE_TABLES, **values).encode(errors="replace")


def _table(entry: object) -> Table | None:
    if not isinstance(entry, Mapping) or (name := _text(entry.get("table_name"))) is None:
        return None
    recovery = entry.get("point_in_time_recovery")
    return Table(
        name=name,
        status=_status(entry.get("status")) or Status.UNKNOWN,
        newest=_time(entry.get("newest_backup_at")),
        backups=_number(entry.get("backups")),
        size=_number(entry.get("bytes")),
        recovery=("on" if recovery else "off") if isinstance(recovery, bool) else _text(recovery),
    )


def _needs_attention(table: Table) -> tuple[int, datetime, str]:
    """Order tables by status, then those first whose newest backup is the oldest."""
    return list(Status).index(table.status), table.newest or datetime.min.replace(tzinfo=UTC), table.name


def _counts(told: object, tables: Sequence[Table]) -> dict[Status, int]:
    """Return the number of tables of each status: what is listed, unless the report tells of more than it lists."""
    listed = Counter(table.status for table in tables)
    counts = {status: (_number(told.get(status)) or 0) if isinstance(told, Mapping) else 0 for status in Status}
    return counts if sum(counts.values()) > len(tables) else {status: listed[status] for status in Status}


def _status(value: object) -> Status | None:
    return next((status for status in Status if status == value), None)


def _text(value: object) -> str | None:
    return printable(value[:LONGEST_TEXT]) if isinstance(value, str) and value else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_NUMBER else None


def _time(value: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
        return time and (time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC))
    except (OverflowError, ValueError):
        return None


_ENVIRONMENT = Environment(
    autoescape=True,
    loader=FileSystemLoader(Path(__file__).parent),
    lstrip_blocks=True,
    trim_blocks=True,
    undefined=StrictUndefined,
)
_ENVIRONMENT.filters |= {"age": age_of, "size": size_of}
_TEMPLATE = _ENVIRONMENT.get_template("page.html")
