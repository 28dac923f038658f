"""The account that the rules are checked in: calls within AWS's rates, the names of a run, and what a run has left.

A run names all that it makes by its own ID, before it makes it. Its first table, the *anchor*, carries the ID as a tag
and is deleted last, once nothing else is left. So whenever a run was killed, listing the tables finds it.
"""

from __future__ import annotations

import re
import secrets
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from airflow_ddb_backup.clock import Clock, Deadline
from airflow_ddb_backup.rates import RateLimit
from tests.contract.rule import LostError, NotSeenError, WrongError
from tests.simulator.rules import RATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import boto3

#: begins the name of every table and backup of a run, and of no other
PREFIX = "airflow-ddb-contract-"
#: the tag of a run's first table: the run's ID
TAG = "airflow-ddb-contract"
#: what the tables of a run are for, the anchor first
ROLES = (
    "orders",
    "source",
    "restored",
    "overridden",
    "startled",
    "moment",
    "young",
    "younger",
    "again",
    "dropped",
    "system",
    # Restores that must be refused are asked for under these names, so that they are deleted if they are not.
    "refused-backup",
    "refused-time",
    "refused-recovery",
    "refused-source",
    "refused-times",
    "refused-anew",
)
ANCHOR = ROLES[0]
#: a run and its cleaning take no longer (chosen)
LONGEST = timedelta(hours=3)
_RUN = r"\d{8}t\d{6}-[0-9a-f]{8}"
_OWN = re.compile(rf"{PREFIX}({_RUN})-({'|'.join(ROLES)})")
# Calls a second where no rate is documented (chosen), and what no rate is documented for.
_UNDOCUMENTED = 10.0
# Reads are tried so often if they fail on their way, and throttled calls for so many seconds (chosen).
_READS = 4
_PATIENCE = 120.0
_THROTTLED = {"ThrottlingException", "RequestLimitExceeded"}
# No rule is about these: credentials that have ended meanwhile, a clock that was set.
_UNSIGNED = {"ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException"}
# AWS.md, "Calls": a listing may be behind by so many seconds.
LAG = 10.0
_CLEANING, _INTERVAL = 2700.0, 3.0


@dataclass(frozen=True)
class Refusal:
    """An error response.

    :param code: its code
    :param text: its message
    :param status: its HTTP status
    """

    code: str
    text: str
    status: int

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


class ForeignTablesError(Exception):
    """Tables have the prefix and were made by nobody that is known."""


@dataclass(frozen=True)
class Left:
    """What an earlier run has left.

    :param run: the run's ID
    :param tables: the names of its tables
    """

    run: str
    tables: tuple[str, ...]

    def may_go_on(self, now: datetime) -> bool:
        """Return whether that run may still be going on."""
        return now - datetime.strptime(self.run[:15], "%Y%m%dt%H%M%S").replace(tzinfo=UTC) < LONGEST


def new_run(clock: Clock) -> str:
    """Return the ID of a new run: when it begins, and a number that no other has."""
    return f"{datetime.fromtimestamp(clock.time(), tz=UTC):%Y%m%dt%H%M%S}-{secrets.token_hex(4)}"


class Account:
    """The account of some credentials, in one region.

    :param session: its credentials
    :param region: the region
    :param run: the run's ID
    """

    def __init__(self, session: boto3.Session, region: str, run: str = "") -> None:
        self.clock = Clock()
        self.region = region
        self.run = run or new_run(self.clock)
        # A second try of botocore's own could make a second backup.
        settings = {"retries": {"total_max_attempts": 1}, "account_id_endpoint_mode": "disabled"}
        client = partial(session.client, region_name=region, config=Config(**settings, max_pool_connections=10))
        self.client = client("dynamodb")
        self._tagging = client("resourcegroupstaggingapi")
        self.id = str(client("sts").get_caller_identity()["Account"])
        self._limits: defaultdict[str, RateLimit] = defaultdict(lambda: RateLimit(_UNDOCUMENTED))
        self._limits |= {operation: RateLimit(per_second) for operation, (per_second, _) in RATES.items()}

    def name(self, role: str) -> str:
        """Return the name of one of the run's tables."""
        return f"{PREFIX}{self.run}-{role}"

    @property
    def backup_name(self) -> str:
        """The name of all of the run's backups."""
        return f"{PREFIX}{self.run}"

    def now(self) -> datetime:
        """Return the time of this machine."""
        return datetime.fromtimestamp(self.clock.time(), tz=UTC)

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Make a call that the rule needs, and return the response.

        :param operation: as boto3 spells it
        :raises WrongError: it was refused
        """
        answer = self.ask(operation, **request)
        if isinstance(answer, Refusal):
            message = f"{operation} was refused: {answer}"
            # A quota of the account says nothing of a rule.
            raise (NotSeenError if answer.code == "LimitExceededException" else WrongError)(message)
        return answer

    def refusal(self, operation: str, **request: Any) -> Refusal:
        """Make a call that AWS must refuse, and return the error.

        :raises WrongError: it was not refused, or not by the HTTP status 400
        """
        answer = self.ask(operation, **request)
        if not isinstance(answer, Refusal):
            message = f"{operation} was not refused"
            raise WrongError(message)
        if answer.status != 400:
            message = f"{operation} was refused with the HTTP status {answer.status}: {answer}"
            raise WrongError(message)
        return answer

    def ask(self, operation: str, **request: Any) -> dict[str, Any] | Refusal:
        """Make a call within AWS's rates, and return the response or the error.

        :raises LostError: it has failed on its way
        :raises NotSeenError: the credentials may not make it
        """
        client = self._tagging if operation == "get_resources" else self.client
        limit = self._limits[client.meta.method_to_api_mapping[operation]]
        reads = operation.startswith(("describe", "list", "get"))
        deadline = Deadline.after(_PATIENCE, self.clock)
        for attempt in range(1, 1000):
            limit.acquire()
            answer = send(getattr(client, operation), **request)
            if isinstance(answer, Refusal):
                if answer.code in _THROTTLED and not deadline.passed:
                    limit.throttled()
                    self.clock.sleep(1)
                    continue
                if answer.code == "AccessDeniedException" and "not authorized" in answer.text:
                    message = f"the credentials may not call it: {answer.text}"
                    raise NotSeenError(message)
                if answer.code in _UNSIGNED:
                    raise NotSeenError(str(answer))
                if answer.status < 500:
                    return answer
            elif isinstance(answer, dict):
                return answer
            if not reads or attempt == _READS:
                message = f"{operation} has failed on its way: {answer}"
                raise LostError(message)
            self.clock.sleep(1)
        raise AssertionError

    def pages(self, operation: str, items: str, cursors: tuple[str, str], **request: Any) -> Iterator[list[Any]]:
        """Yield the pages of a listing.

        :param operation: as boto3 spells it
        :param items: the member that has a page's items
        :param cursors: the members that have the cursor, in the response and in the request
        """
        told, asked = cursors
        while True:
            page = self.call(operation, **request)
            yield page[items]
            if not page.get(told):
                return
            request[asked] = page[told]

    def listed(self, **request: Any) -> list[dict[str, Any]]:
        """Return what ListBackups lists, all pages."""
        cursors = ("LastEvaluatedBackupArn", "ExclusiveStartBackupArn")
        return [one for page in self.pages("list_backups", "BackupSummaries", cursors, **request) for one in page]

    def table_names(self) -> list[str]:
        """Return the names of all tables of the account and region."""
        cursors = ("LastEvaluatedTableName", "ExclusiveStartTableName")
        return [one for page in self.pages("list_tables", "TableNames", cursors) for one in page]

    def describe(self, role: str) -> dict[str, Any] | None:
        """Return the description of one of the run's tables; ``None``: there is none."""
        answer = self.ask("describe_table", TableName=self.name(role))
        if isinstance(answer, Refusal):
            if answer.code == "ResourceNotFoundException":
                return None
            raise NotSeenError(str(answer))
        table: dict[str, Any] = answer["Table"]
        return table

    def left(self) -> list[Left]:
        """Return what earlier runs have left.

        :raises ForeignTablesError: a table has the prefix, and no run is known to have made it
        """
        runs: defaultdict[str, list[str]] = defaultdict(list)
        foreign = []
        for name in self.table_names():
            if own := _OWN.fullmatch(name):
                runs[own[1]].append(name)
            elif name.startswith(PREFIX):
                foreign.append(name)
        for run, names in runs.items():
            if not self._has_anchor(run):
                foreign += names
        if foreign:
            raise ForeignTablesError(", ".join(sorted(foreign)))
        return [Left(run, tuple(names)) for run, names in sorted(runs.items()) if run != self.run]

    def _has_anchor(self, run: str) -> bool:
        """Return whether the run's first table is there, with its tag."""
        deadline = Deadline.after(_PATIENCE, self.clock)
        while not isinstance(answer := self.ask("describe_table", TableName=f"{PREFIX}{run}-{ANCHOR}"), Refusal):
            # A table that is CREATING need not have its tags yet.
            if answer["Table"]["TableStatus"] != "CREATING" or deadline.passed:
                break
            deadline.sleep(_INTERVAL)
        else:
            return False
        table = answer["Table"]
        if table["TableStatus"] == "DELETING":
            # It has no tags any more, and nothing else of its run is left.
            return True
        tags = self.ask("list_tags_of_resource", ResourceArn=table["TableArn"])
        return not isinstance(tags, Refusal) and {"Key": TAG, "Value": run} in tags["Tags"]

    def at_once(self, count: int, make: Callable[[], Any]) -> list[Any]:
        """Return the results of calls that are made at the same time."""
        with ThreadPoolExecutor(count) as pool:
            return [made.result() for made in [pool.submit(make) for _ in range(count)]]


class Cleaning:
    """Deletes all that a run has made.

    Passes over all of its names, until for some seconds nothing was found: a listing may be behind.

    :param account: the account
    :param run: the run's ID
    :param say: is told what it waits for
    """

    def __init__(self, account: Account, run: str, say: Callable[[str], object]) -> None:
        self._account = account
        self._prefix = f"{PREFIX}{run}"
        self._say = say
        #: what is left, and why
        self.left: dict[str, str] = {}

    def clean(self) -> dict[str, str]:
        """Delete everything, the anchor last, and return what is left, with the reason."""
        clock = self._account.clock
        deadline = Deadline.after(_CLEANING, clock)
        if self._repeat(ROLES[1:], deadline, quiet=LAG) and self._repeat(ROLES[:1], deadline, quiet=0):
            return {}
        # It tells the next run of all else.
        self.left.setdefault(f"{self._prefix}-{ANCHOR}", "is deleted last")
        return self.left

    def _repeat(self, roles: tuple[str, ...], deadline: Deadline, quiet: float) -> bool:
        """Pass over some names until nothing was found for some seconds; return whether nothing is left."""
        clock = self._account.clock
        found_at, told, looked_for = clock.monotonic(), "", roles
        while True:
            self.left = {}
            with_some = tuple(role for role in looked_for if self._pass(f"{self._prefix}-{role}"))
            if with_some:
                found_at = clock.monotonic()
            elif looked_for == roles and clock.monotonic() - found_at >= quiet:
                return True
            denied = self.left and all("not authorized" in why for why in self.left.values())
            if denied or deadline.passed:
                return False
            first = next(iter(self.left.items()), ())
            line = f"  {len(self.left)} left, such as {': '.join(first)}" if first else ""
            if line not in {"", told}:
                self._say(line)
            told, looked_for = line, with_some or roles
            deadline.sleep(_INTERVAL)

    def _pass(self, table: str) -> bool:
        """Delete what there is under a name; return whether there was something."""
        before = len(self.left)
        for delete in (self._backups, self._table):
            try:
                delete(table)
            except (NotSeenError, WrongError, KeyError) as error:
                self.left[table] = str(error)
        return len(self.left) > before

    def _backups(self, table: str) -> None:
        for summary in self._account.listed(TableName=table):
            # Whoever made another backup of the table keeps it.
            if summary["BackupName"] == self._prefix:
                answer = self._account.ask("delete_backup", BackupArn=summary["BackupArn"])
                self.left[f"a backup of {table}"] = str(answer) if isinstance(answer, Refusal) else "is being deleted"

    def _table(self, name: str) -> None:
        described = self._account.ask("describe_table", TableName=name)
        if isinstance(described, Refusal):
            if described.code != "ResourceNotFoundException":
                self.left[name] = str(described)
            return
        table = described["Table"]
        self.left[name] = table["TableStatus"]
        if table["TableStatus"] != "ACTIVE":
            return
        if table.get("DeletionProtectionEnabled"):
            self._account.call("update_table", TableName=name, DeletionProtectionEnabled=False)
            return
        recovery = self._account.call("describe_continuous_backups", TableName=name)["ContinuousBackupsDescription"]
        if recovery.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus") == "ENABLED":
            # With it on, the table would leave a system backup for 35 days.
            switch_recovery(self._account, name, on=False)
            return
        answer = self._account.ask("delete_table", TableName=name)
        if isinstance(answer, Refusal):
            self.left[name] = str(answer)


def switch_recovery(account: Account, name: str, *, on: bool) -> None:
    """Turn a table's point-in-time recovery on or off."""
    deadline = Deadline.after(_PATIENCE, account.clock)
    request = {"TableName": name, "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": on}}
    while isinstance(answer := account.ask("update_continuous_backups", **request), Refusal):
        # AWS.md, "Restoring": a young table takes a while.
        if answer.code != "ContinuousBackupsUnavailableException" or deadline.passed:
            message = f"point-in-time recovery could not be switched: {answer}"
            raise NotSeenError(message)
        deadline.sleep(_INTERVAL)


def send(call: Callable[..., Any], **request: Any) -> dict[str, Any] | Refusal | str:
    """Make a call once, and return the response, the error, or the name of what went wrong on its way."""
    try:
        response: dict[str, Any] = call(**request)
    except ClientError as error:
        told = error.response
        status = told.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return Refusal(told["Error"].get("Code", ""), told["Error"].get("Message", ""), status)
    except (BotoCoreError, HTTPClientError) as error:
        return type(error).__name__
    return response
