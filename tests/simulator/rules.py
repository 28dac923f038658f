"""Rules of DynamoDB's backup control plane that moto lacks. No I/O; each rule names its place in AWS.md."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import sha256
from math import ceil, floor
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from moto.dynamodb.models.table import Backup, Table

# "Calls": documented rates, per second. What may come at once is observed: "the 14th back-to-back call throttles".
RATES = {
    "CreateBackup": (50.0, 50.0),
    "DescribeBackup": (10.0, 13.0),
    "ListBackups": (5.0, 5.0),
    "DeleteBackup": (10.0, 10.0),
    "DescribeContinuousBackups": (10.0, 10.0),
    "RestoreTableFromBackup": (10.0, 10.0),
    "RestoreTableToPointInTime": (10.0, 10.0),
    # "Restoring".
    "TagResource": (5.0, 5.0),
    "ListTagsOfResource": (10.0, 10.0),
    # Documented by the service's quotas.
    "GetResources": (15.0, 15.0),
}
# "Calls": at most 100 summaries a page.
PAGE = 100
# "Errors", bad backup name; the lengths and characters are the API reference's.
BACKUP_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
# "Calls", the form of an ARN; the ID in it is not documented.
BACKUP_ARN = re.compile(r"arn:aws[a-z-]*:dynamodb:[a-z0-9-]+:\d{12}:table/[a-zA-Z0-9_.-]+/backup/[^/]+")


# Its multiples are spread evenly over an interval, and in no step with anything.
_GOLDEN = (5**0.5 - 1) / 2


@dataclass
class Bucket:
    """How many calls of one kind may come now ("Calls": documented rate).

    :param rate: calls a second
    :param size: calls at once
    :param now: the time
    """

    rate: float
    size: float
    now: Callable[[], float]
    #: calls a second of another client ("Errors": a neighbour can use up the whole rate)
    neighbour: float = field(init=False, default=0.0)
    _neighbour_calls: int = field(init=False, default=0)
    _level: float = field(init=False)
    _seen: float = field(init=False)

    def __post_init__(self) -> None:
        """Start full."""
        self._level, self._seen = self.size, self.now()

    def take(self) -> bool:
        """Take one call, if there is one."""
        self._settle()
        return self._take_one()

    def set_neighbour(self, per_second: float) -> None:
        """Change the neighbour's rate from now on."""
        self._settle()
        self.neighbour = per_second

    def neighbour_calls(self) -> int:
        """Return how many calls the neighbour has made until now, throttled or not."""
        self._settle()
        return self._neighbour_calls

    def _settle(self) -> None:
        """Make the neighbour's calls that were due since the last time, in their order."""
        now = self.now()
        if self.neighbour:
            first, last = self._turns(self._seen), self._turns(now)
            self._neighbour_calls += max(0, last - first)
            # The bucket does not remember more than a minute.
            for turn in range(max(first, last - ceil(60 * self.neighbour)), last):
                self._refill(self._turn(turn))
                self._take_one()
        self._refill(now)

    def _turn(self, turn: int) -> float:
        """Return when the neighbour makes a call: one in each interval, somewhere in it, or it would be in step."""
        return (turn + turn * _GOLDEN % 1) / self.neighbour

    def _turns(self, until: float) -> int:
        """Return how many calls the neighbour has made at a time, of all times."""
        turn = floor(until * self.neighbour)
        return turn + (self._turn(turn) <= until)

    def _refill(self, until: float) -> None:
        self._level = min(self.size, self._level + max(0.0, until - self._seen) * self.rate)
        self._seen = max(self._seen, until)

    def _take_one(self) -> bool:
        taken = self._level >= 1
        self._level -= taken
        return taken


def page_of_backups(
    summaries: Iterable[dict[str, Any]], request: dict[str, Any]
) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of ListBackups, and the cursor to the next ("Calls").

    The bounds are on the request time, the lower inclusive and the upper not; the type defaults to USER. The order is
    not promised, and a page may be empty and yet not the last: what is of another type still takes its place.

    :param summaries: all backups, or all of the table
    :param request: the body of the call
    """
    lower, upper = request.get("TimeRangeLowerBound", 0), request.get("TimeRangeUpperBound", float("inf"))
    shown = sorted((one for one in summaries if lower <= one["BackupCreationDateTime"] < upper), key=_any_order)
    cursor = request.get("ExclusiveStartBackupArn")
    # Assumed: if the cursor's backup has been deleted, the list goes on after its place.
    start = sum(_any_order(one) <= _any_order({"BackupArn": cursor}) for one in shown) if cursor else 0
    end = start + min(PAGE, request.get("Limit", PAGE))
    wanted = request.get("BackupType", "USER")
    page = [one for one in shown[start:end] if wanted in {"ALL", one["BackupType"]}]
    return page, shown[end - 1]["BackupArn"] if end < len(shown) else None


def page_of_tagged(
    tagged: Mapping[str, Mapping[str, str]], request: dict[str, Any]
) -> tuple[list[dict[str, Any]], str]:
    """Return a page of GetResources, and the token of the next ("Tags"); on the last page it is empty.

    :param tagged: the tags of each table that was ever tagged, by ARN, also of some that are gone
    :param request: the body of the call
    """
    filters = [(one["Key"], one.get("Values", [])) for one in request.get("TagFilters", [])]
    found = sorted(
        arn
        for arn, tags in tagged.items()
        if all(key in tags and (not values or tags[key] in values) for key, values in filters)
    )
    start = int(request.get("PaginationToken") or 0)
    end = start + min(PAGE, request.get("ResourcesPerPage", PAGE))
    page = [
        {"ResourceARN": arn, "Tags": [{"Key": key, "Value": value} for key, value in tagged[arn].items()]}
        for arn in found[start:end]
    ]
    return page, str(end) if end < len(found) else ""


def _any_order(summary: dict[str, Any]) -> str:
    return sha256(summary["BackupArn"].encode()).hexdigest()


def mark(made: Table | Backup, at: float) -> None:
    """Note on a table or backup when it was made, and give it an ID. moto copies a table with both into its backups."""
    vars(made)["simulated"] = (at, str(uuid4()))


def made_at(made: Table | Backup) -> float:
    """Return when a table or backup was made: Unix seconds by the tests' clock."""
    return float(vars(made)["simulated"][0])


def table_id(table: Table) -> str:
    """Return a table's ID: one that is dropped and made again has a new one ("Calls"). moto has none."""
    return str(vars(table)["simulated"][1])


def is_allowed(policy: dict[str, Any], operation: str, resource: str) -> bool:
    """Say whether an IAM policy allows a call ("Least privilege").

    :param policy: the policy document
    :param operation: such as ``CreateBackup``
    :param resource: the ARN that the call is about, or ``*``
    """
    return any(
        action_of(operation) in _several(statement["Action"])
        and any(fnmatchcase(resource, pattern) for pattern in _several(statement["Resource"]))
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow"
    )


def action_of(operation: str) -> str:
    """Return the IAM action of an operation: not all are DynamoDB's."""
    if "Alarm" in operation:
        return f"cloudwatch:{operation}"
    scaling = any(word in operation for word in ("Scaling", "Scalable", "Scheduled"))
    service = "tag" if operation == "GetResources" else "application-autoscaling" if scaling else "dynamodb"
    return f"{service}:{operation}"


def _several(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
