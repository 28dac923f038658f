"""What the rules are about: tables, backups and restores that are made when a rule first needs them.

What passes is a *moment*, such as a table while it is being deleted: all calls that rules want to see then are made at
once, and their answers kept.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_ddb_backup.clock import Deadline
from tests.contract.account import ANCHOR, TAG, Account, Refusal, switch_recovery
from tests.contract.rule import LostError, NotSeenError, WrongError

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")
# Seconds (chosen): for a table to become ACTIVE, and be gone; for a backup; for a restore, which takes up to 20 minutes
# (documented); and between two polls, of what passes quickly and of what does not.
_TABLE, _BACKUP, _RESTORE = 600.0, 300.0, 2700.0
_OFTEN, _INTERVAL = 0.5, 5.0
#: an override
ON_DEMAND = {"MaxReadRequestUnits": 7, "MaxWriteRequestUnits": 8}
# Something that is there, for a moment.
Answer = dict[str, Any] | Refusal


def arranged(make: Callable[[World], _T]) -> cached_property[_T]:
    """Return a property that is made when it is first needed; if that fails, no rule that needs it can be seen."""

    @wraps(make)
    def attempt(world: World) -> _T:
        if why := world.failures.get(make.__name__):
            raise NotSeenError(why)
        try:
            return make(world)
        except (NotSeenError, WrongError) as error:
            why = f"what it needs could not be made ({make.__name__.replace('_', ' ')}): {error}"
            world.failures[make.__name__] = why
            raise NotSeenError(why) from error

    return cached_property(attempt)


@dataclass
class World:
    """All that a run has made.

    :param account: where
    """

    account: Account
    failures: dict[str, str] = field(default_factory=dict)
    #: how long something took, in seconds
    took: dict[str, float] = field(default_factory=dict)

    @arranged
    def orders(self) -> str:
        """A plain table; the run's anchor."""
        # Everything rests on it, so a lost response must not end it.
        with suppress(LostError):
            self.create(ANCHOR, Tags=[{"Key": TAG, "Value": self.account.run}, {"Key": "kind", "Value": "plain"}])
        self.until_active(ANCHOR)
        # Backups are being enabled at first.
        with suppress(LostError):
            self.back_up(self.account.name(ANCHOR))
        return self.account.name(ANCHOR)

    @arranged
    def backup(self) -> dict[str, Any]:
        """A backup of it that is AVAILABLE, as CreateBackup has returned it."""
        return self.back_up(self.orders)

    @arranged
    def source(self) -> str:
        """A table with indexes and all settings that cost nothing, and three items."""
        name = self.account.name("source")
        self.need_anchor()
        self.create(
            "source",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S"} for one in ("id", "at", "by")],
            GlobalSecondaryIndexes=[index("by-one", "by"), index("by-two", "by")],
            LocalSecondaryIndexes=[index("own", "id", "by")],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
            Tags=[{"Key": TAG, "Value": self.account.run}, {"Key": "kind", "Value": "rich"}],
        )
        self.until_active("source")
        for number in range(3):
            item = {"id": {"S": str(number)}, "at": {"S": "now"}, "by": {"S": "them"}}
            self.account.call("put_item", TableName=name, Item=item)
        time_to_live = {"Enabled": True, "AttributeName": "ends"}
        self.account.call("update_time_to_live", TableName=name, TimeToLiveSpecification=time_to_live)
        self.account.call("update_table", TableName=name, TableClass="STANDARD_INFREQUENT_ACCESS")
        self.until_active("source")
        self.account.call("update_table", TableName=name, DeletionProtectionEnabled=True)
        arn = self.until_active("source")["TableArn"]
        self.account.call("put_resource_policy", ResourceArn=arn, Policy=json.dumps(harmless_policy(arn)))
        return name

    @arranged
    def recoverable(self) -> str:
        """The same table, once its point-in-time recovery is on."""
        switch_recovery(self.account, self.source, on=True)
        return self.source

    @arranged
    def source_backup(self) -> dict[str, Any]:
        """A backup of the table with all settings, PITR among them."""
        return self.back_up(self.recoverable)

    @arranged
    def restoring(self) -> dict[str, Answer]:
        """The moment when a restore has begun: what is answered to each call."""
        arn = self.source_backup["BackupArn"]
        target = self.account.name("restored")
        request = {"TargetTableName": target, "BackupArn": arn}
        began = self.account.clock.monotonic()
        answers: dict[str, Answer] = {"begin": self.account.call("restore_table_from_backup", **request)}
        answers["describe"] = self.account.ask("describe_table", TableName=target)
        if self.status(answers["describe"]) == "CREATING":
            answers["again"] = self.account.ask("restore_table_from_backup", **request)
            answers["create"] = self.account.ask("create_backup", TableName=target, BackupName=self.account.backup_name)
            answers["drop"] = self.account.ask("delete_table", TableName=target)
            answers["delete"] = self.account.ask("delete_backup", BackupArn=arn)
        answers["after"] = self.account.ask("describe_table", TableName=target)
        self.took["restore"] = -began
        return answers

    @arranged
    def overriding(self) -> dict[str, Any]:
        """A restore with overrides that has begun."""
        return self.account.call(
            "restore_table_from_backup",
            TargetTableName=self.account.name("overridden"),
            BackupArn=self.source_backup["BackupArn"],
            BillingModeOverride="PROVISIONED",
            ProvisionedThroughputOverride={"ReadCapacityUnits": 1, "WriteCapacityUnits": 2},
            GlobalSecondaryIndexOverride=[
                index("by-two", "by") | {"ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 2}}
            ],
            LocalSecondaryIndexOverride=[],
        )

    @arranged
    def startled(self) -> Answer:
        """What is answered to a restore with an empty override."""
        return self.account.ask(
            "restore_table_from_backup",
            TargetTableName=self.account.name("startled"),
            BackupArn=self.source_backup["BackupArn"],
            OnDemandThroughputOverride={},
        )

    @arranged
    def restored(self) -> dict[str, Any]:
        """The restored table, once it is ACTIVE."""
        assert self.restoring
        table = self.until_active("restored", _RESTORE, _INTERVAL)
        self.took["restore"] += self.account.clock.monotonic()
        return table

    @arranged
    def overridden(self) -> dict[str, Any]:
        """The table that was restored with overrides, once it is ACTIVE."""
        assert self.overriding
        return self.until_active("overridden", _RESTORE, _INTERVAL)

    @arranged
    def changing(self) -> dict[str, Answer]:
        """The moment when a table is UPDATING: what is answered to each call."""
        name = self.young
        stream = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
        answers: dict[str, Answer] = {
            "begin": self.account.call("update_table", TableName=name, StreamSpecification=stream)
        }
        answers["create"] = self.account.ask("create_backup", TableName=name, BackupName=self.account.backup_name)
        answers["change"] = self.account.ask("update_table", TableName=name, DeletionProtectionEnabled=True)
        answers["describe"] = self.account.ask("describe_table", TableName=name)
        if self.status(answers["describe"]) == "UPDATING":
            answers["drop"] = self.account.ask("delete_table", TableName=name)
            answers["describe"] = self.account.ask("describe_table", TableName=name)
        return answers

    @arranged
    def creating(self) -> dict[str, Answer]:
        """The moments when a table is CREATING, and just ACTIVE: what is answered to each call."""
        self.need_anchor()
        name, name_it = self.account.name("young"), {"BackupName": self.account.backup_name}
        answers: dict[str, Answer] = {"begin": self.create("young")}
        answers["create"] = self.account.ask("create_backup", TableName=name, **name_it)
        answers["describe"] = self.account.ask("describe_table", TableName=name)
        self.create("younger")
        answers["drop"] = self.account.ask("delete_table", TableName=self.account.name("younger"))
        self.until_active("young", interval=_OFTEN)
        answers["first"] = self.account.ask("create_backup", TableName=name, **name_it)
        specification = {"PointInTimeRecoveryEnabled": True}
        answers["recovery"] = self.account.ask(
            "update_continuous_backups", TableName=name, PointInTimeRecoverySpecification=specification
        )
        if not isinstance(answers["recovery"], Refusal):
            switch_recovery(self.account, name, on=False)
        return answers

    @arranged
    def young(self) -> str:
        """A table without tags, that can be backed up."""
        assert self.creating
        self.back_up(self.account.name("young"))
        return self.account.name("young")

    @arranged
    def dropping(self) -> dict[str, Answer]:
        """The moment when a table is DELETING, and when it is gone: what is answered to each call."""
        self.need_anchor()
        name, name_it = self.account.name("dropped"), {"BackupName": self.account.backup_name}
        self.create("dropped", Tags=[{"Key": TAG, "Value": self.account.run}, {"Key": "kind", "Value": "gone"}])
        self.until_active("dropped")
        self.back_up(name)
        answers: dict[str, Answer] = {"before": self.account.call("describe_table", TableName=name)}
        answers["begin"] = self.account.call("delete_table", TableName=name)
        answers["create"] = self.account.ask("create_backup", TableName=name, **name_it)
        answers["describe"] = self.account.ask("describe_table", TableName=name)
        if self.status(answers["describe"]) == "DELETING":
            answers["again"] = self.account.ask("delete_table", TableName=name)
            answers["name"] = self.account.ask("create_table", **plain_table(name))
            answers["list"] = {"TableNames": self.account.table_names()}
        self.until_gone("dropped")
        answers["gone"] = self.account.ask("delete_table", TableName=name)
        answers["describe gone"] = self.account.ask("describe_table", TableName=name)
        answers["create gone"] = self.account.ask("create_backup", TableName=name, **name_it)
        return answers

    @arranged
    def made_again(self) -> list[dict[str, Any]]:
        """Two tables of one name, one after the other, a backup of each: descriptions of the tables."""
        self.need_anchor()
        tables = []
        for number in range(2):
            self.create("again", Tags=[{"Key": TAG, "Value": self.account.run}])
            tables.append(self.until_active("again"))
            self.back_up(self.account.name("again"))
            if not number:
                self.account.call("delete_table", TableName=self.account.name("again"))
                self.until_gone("again")
        return tables

    @arranged
    def recovering(self) -> dict[str, Answer]:
        """The moment when a restore to a point in time has begun: what is answered to each call."""
        target = self.account.name("moment")
        request = {
            "SourceTableName": self.recoverable,
            "TargetTableName": target,
            "UseLatestRestorableTime": True,
            "OnDemandThroughputOverride": ON_DEMAND,
        }
        answers: dict[str, Answer] = {"begin": self.account.call("restore_table_to_point_in_time", **request)}
        answers["describe"] = self.account.ask("describe_table", TableName=target)
        if self.status(answers["describe"]) == "CREATING":
            answers["again"] = self.account.ask("restore_table_to_point_in_time", **request)
        return answers

    @arranged
    def recovered(self) -> dict[str, Any]:
        """The table that was restored to a point in time, once it is ACTIVE."""
        assert self.recovering
        return self.until_active("moment", _RESTORE, _INTERVAL)

    @arranged
    def system_backup(self) -> dict[str, Any]:
        """The backup that a table with point-in-time recovery leaves, as ListBackups shows it."""
        self.need_anchor()
        name = self.account.name("system")
        self.create("system")
        self.until_active("system")
        self.back_up(name)
        switch_recovery(self.account, name, on=True)
        self.account.call("delete_table", TableName=name)
        self.until_gone("system")
        found = self.until(lambda: self.account.listed(TableName=name, BackupType="SYSTEM"), _TABLE, _INTERVAL)
        if not found:
            message = f"no system backup was listed within {_TABLE:.0f} s"
            raise WrongError(message)
        return dict(found[0])

    def need_anchor(self) -> None:
        """Make nothing before the anchor, which tells the next run of all else."""
        assert self.orders

    def create(self, role: str, **settings: Any) -> dict[str, Any]:
        """Begin to create one of the run's tables."""
        return self.account.call("create_table", **plain_table(self.account.name(role)) | settings)

    def back_up(self, table: str) -> dict[str, Any]:
        """Return a new backup of a table, once it is AVAILABLE."""
        deadline = Deadline.after(_BACKUP, self.account.clock)
        request = {"TableName": table, "BackupName": self.account.backup_name}
        while isinstance(answer := self.account.ask("create_backup", **request), Refusal):
            if answer.code != "ContinuousBackupsUnavailableException" or deadline.passed:
                raise WrongError(str(answer))
            deadline.sleep(_OFTEN)
        details: dict[str, Any] = answer["BackupDetails"]
        self.until(lambda: self.backup_status(details["BackupArn"]) == "AVAILABLE" or None, _BACKUP, _OFTEN)
        return details

    def backup_status(self, arn: str) -> str:
        """Return the status of a backup by DescribeBackup."""
        return str(
            self.account.call("describe_backup", BackupArn=arn)["BackupDescription"]["BackupDetails"]["BackupStatus"]
        )

    def until_active(self, role: str, seconds: float = _TABLE, interval: float = _OFTEN) -> dict[str, Any]:
        """Wait until one of the run's tables is ACTIVE, and return its description."""

        def look() -> dict[str, Any] | None:
            table = self.account.describe(role)
            return table if table and table["TableStatus"] == "ACTIVE" else None

        if table := self.until(look, seconds, interval):
            return table
        message = f"table {role} was not ACTIVE within {seconds:.0f} s"
        raise NotSeenError(message)

    def until_gone(self, role: str) -> None:
        """Wait until one of the run's tables is gone."""
        if not self.until(lambda: self.account.describe(role) is None or None, _TABLE, _OFTEN):
            message = f"table {role} was not gone within {_TABLE:.0f} s"
            raise NotSeenError(message)

    def until(self, look: Callable[[], _T | None], seconds: float, interval: float) -> _T | None:
        """Poll until there is an answer, or the time is up."""
        deadline = Deadline.after(seconds, self.account.clock)
        while not (seen := look()) and not deadline.passed:
            deadline.sleep(interval)
        return seen

    @staticmethod
    def status(answer: Answer) -> str:
        """Return the table's status in a response; empty: there is none."""
        if isinstance(answer, Refusal):
            return ""
        return str((answer.get("Table") or answer.get("TableDescription") or {}).get("TableStatus", ""))


def plain_table(name: str) -> dict[str, Any]:
    """Return the request for a table on demand."""
    return {
        "TableName": name,
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }


def index(name: str, *keys: str) -> dict[str, Any]:
    """Return an index by one key, or by two."""
    schema = [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)]
    return {"IndexName": name, "KeySchema": schema, "Projection": {"ProjectionType": "ALL"}}


def harmless_policy(arn: str) -> dict[str, Any]:
    """Return a resource policy that allows the table's account what it may do anyway."""
    partition, account = arn.split(":")[1], arn.split(":")[4]
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:{partition}:iam::{account}:root"},
        "Action": "dynamodb:DescribeTable",
        "Resource": arn,
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
