"""The troubleshooting page: every error class, every wrong use, every message, as they really are."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

from airflow_ddb_backup import exceptions
from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.exceptions import BackupError, PermanentError, SomeFailedError, TransientError
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.models import BackupArn, RestoreSource
from airflow_ddb_backup.operators.dynamodb import (
    DynamoDBBackupCoverageOperator,
    DynamoDBBackupTablesOperator,
    DynamoDBCreateBackupOperator,
    DynamoDBDeleteBackupOperator,
    DynamoDBPruneBackupsOperator,
    DynamoDBRestoreDrillOperator,
    DynamoDBRestoreTableFromBackupOperator,
    DynamoDBRestoreTableToPointInTimeOperator,
)
from airflow_ddb_backup.report import Report
from airflow_ddb_backup.restoring.put_back import put_back
from airflow_ddb_backup.restoring.request import SettingsRequest
from airflow_ddb_backup.restoring.settings import SettingsOf
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupSensor, DynamoDBFreshBackupSensor
from tests.simulator.control_plane import REGION
from tests.simulator.faults import INTERNAL_ERROR, THROTTLED, Fault
from tests.unit.conftest import FakeTaskInstance, context_of
from tests.unit.restoring.support import Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.control_plane import ControlPlane

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.rst"
PACKAGE = Path(exceptions.__file__).parent
# They only group the others.
GROUPS = {exceptions.AccountError, PermanentError, SomeFailedError, TransientError}
# What nobody knows when an error comes about.
UNKNOWN = {
    "InvalidValueError": {"table", "backup", "region"},
    "NoRegionSetError": {"region"},
    "ConnectionNotFoundError": {"region"},
    "RecoveryPointError": {"table", "region"},
    # They are about several tables.
    "EmptySelectionError": {"table", "backup"},
    "TooManyTablesError": {"table", "backup"},
    "TooManyDeletionsError": {"table", "backup"},
    "DeletionsFailedForGoodError": {"backup"},
    "CoverageTimeoutError": {"table", "backup"},
    "DeletionTimeoutError": {"table", "backup"},
    "FreshBackupTimeoutError": {"backup"},
    "TablesNotFreshError": {"table", "backup"},
    "TablesNotFreshForGoodError": {"backup"},
    "LeftOverError": {"backup"},
    "SettingsDeniedError": {"backup"},
    "BackupNotPickedError": {"backup"},
    # They are about a point in time.
    "PointInTimeRecoveryUnavailableError": {"backup"},
    "RestoreTimeError": {"backup"},
    "RestoreTimeNotReachedError": {"backup"},
    "SourceTableGoneError": {"backup"},
}
WITHOUT_RETRY = "Fails at once."
WITH_RETRIES = "Is retried."
WHOLE_DAY = 86_400
# Nothing is wrong with it.
RIGHT = 'DynamoDBCreateBackupOperator(task_id="back_up", table_name="orders", timeout=60)'
# What is new each time, and what AWS would say.
VOLATILE = [
    (r"\d{14}-[0-9a-f]{8}", "01795422913684-770da1ee"),
    (r"' of [\d:T.+-]+\d", "' of 2026-11-23T02:00:13.684000+00:00"),
    (r"created at [\d:T.+-]+\d", "created at 2026-11-23T02:00:13.684000+00:00"),
    ("airflow-drill-[0-9a-f]{10}-[0-9a-f]{16}", "airflow-drill-0123456789-0123456789abcdef"),
    (r"duration of [\d.e-]+", "duration of 1800.2"),
    (r"timeout of 0\.0", "timeout of 1800.0"),
    (r"orders at [\d:T.+-]+\d", "orders at 2026-11-28T01:14:00+00:00"),
    (r"time from \S+ to [\d:T.+-]+\d", "time from 2026-11-01T08:00:00+00:00 to 2026-11-28T01:12:00+00:00"),
    (r"state, of [\d:T.+-]+\d", "state, of 2026-11-23T02:00:13.684000+00:00"),
    ("The simulation refuses this call", "(AWS's own text)"),
    # Both are, since the control plane's times have whole milliseconds.
    (r"\b(?:299|300) s after", "300 s after"),
]


@dataclass
class Section:
    """The page's section on one error.

    :param title: the class
    :param text: the prose
    :param uses: code that is wrong
    :param messages: what it leads to, one for each use; without uses the one message
    """

    title: str
    text: str = ""
    uses: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


def sections() -> Iterator[Section]:
    """Read the page."""
    _, *parts = re.split(r"^(\w+Error)\n~+\n", PAGE.read_text(), flags=re.MULTILINE)
    for title, body in zip(parts[::2], parts[1::2], strict=True):
        section = Section(title)
        # A group's heading, and what follows it, is none of the last section's.
        own, *_ = re.split(r"^.+\n-+\n", body, flags=re.MULTILINE)
        prose, *blocks = re.split(r"^\.\. code-block:: ", own, flags=re.MULTILINE)
        for block in blocks:
            kind, _, rest = block.partition("\n\n")
            code = re.match(r"(?:    .*\n)+", rest)
            assert code is not None
            found = {"python": section.uses, "text": section.messages}[kind]
            found.append(" ".join(code.group().split()))
            prose += rest[code.end() :]
        section.text = " ".join(prose.split())
        yield section


SECTIONS = {section.title: section for section in sections()}
USES = [
    pytest.param(title, use, message, id=f"{title}-{number}")
    for title, section in SECTIONS.items()
    for number, (use, message) in enumerate(zip(section.uses, section.messages, strict=False))
]


def classes(kind: type[BackupError] = BackupError) -> Iterator[type[BackupError]]:
    """Walk the exception tree."""
    yield kind
    for child in kind.__subclasses__():
        yield from classes(child)


def message_of(error: BackupError) -> str:
    """Return an error's message without what is new each time."""
    message = str(error)
    for volatile, fixed in VOLATILE:
        message = re.sub(volatile, fixed, message)
    return " ".join(message.split())


def whether_retried(error: BackupError) -> str:
    """Return what the page says: Airflow goes by the class of what is raised."""
    return WITHOUT_RETRY if isinstance(error, AirflowFailException | AirflowSensorTimeout) else WITH_RETRIES


def the_same_every_time(operation: str, fault: Fault) -> Callable[[ControlPlane], None]:
    """Let every call of an operation go wrong."""
    return lambda plane: plane.fail_next(operation, fault, times=WHOLE_DAY)


def denied(action: str) -> Callable[[ControlPlane], None]:
    """Allow everything but one action."""
    allowed = ["DescribeTable", "CreateBackup", "ListBackups", "DescribeBackup", "ListTagsOfResource"]
    actions = [f"dynamodb:{each}" for each in allowed if each != action]
    return lambda plane: setattr(
        plane, "policy", {"Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    )


def takes_forever(plane: ControlPlane) -> None:
    """Let backups never end."""
    plane.creating_for = 99_999


def old_backups(plane: ControlPlane, count: int, fault: Fault | None = None) -> None:
    """Have some nightly backups, and let their deletion go wrong."""
    for day in range(count):
        plane.add_backups("orders", 1, "nightly-1", age=WHOLE_DAY * (day + 1))
    if fault:
        plane.fail_next("DeleteBackup", fault, times=WHOLE_DAY)


def undo_restores(plane: ControlPlane) -> None:
    """Let restores fail soon after they began."""
    plane.restoring_for = 60
    plane.on_restore = lambda *_: plane.drop_table("orders-restored")


#: what the control plane does, by the error that comes of it
ARRANGEMENTS: dict[str, Callable[[ControlPlane], object]] = {
    "TableNotReadyError": lambda plane: plane.statuses.update(orders="CREATING"),
    "TableUnavailableError": lambda plane: plane.statuses.update(orders="DELETING"),
    "AccessDeniedError": denied("CreateBackup"),
    "ListBackupsDeniedError": denied("ListBackups"),
    "BackupExistsError": lambda plane: plane.add_backups("orders", 1, "orders-nightly"),
    "InvalidRequestError": the_same_every_time("CreateBackup", Fault(code="ValidationException")),
    "TableInUseError": the_same_every_time("CreateBackup", Fault(code="TableInUseException")),
    "BackupInUseError": the_same_every_time("CreateBackup", Fault(code="BackupInUseException")),
    "LimitExceededError": the_same_every_time("CreateBackup", Fault(code="LimitExceededException")),
    "QuotaExceededError": the_same_every_time(
        "CreateBackup",
        Fault(
            code="LimitExceededException",
            text="Subscriber limit exceeded: There is a limit of 2500 tables per subscriber",
        ),
    ),
    "ContinuousBackupsUnavailableError": lambda plane: setattr(plane, "backups_enabled_after", WHOLE_DAY),
    "ThrottledError": the_same_every_time("CreateBackup", THROTTLED),
    "CredentialsError": lambda plane: plane.expired_keys.add("simulated"),
    "AmbiguousOutcomeError": the_same_every_time("CreateBackup", INTERNAL_ERROR),
    "BackupTimeoutError": takes_forever,
    "BackupNotReusedTimeoutError": takes_forever,
    "BackupSensorTimeoutError": takes_forever,
    "TooManyTablesError": lambda plane: plane.create_table("customers"),
    "TablesFailedError": the_same_every_time("CreateBackup", Fault(code="SomethingNewException")),
    "TooManyDeletionsError": lambda plane: old_backups(plane, 4),
    "DeletionsFailedError": lambda plane: old_backups(plane, 2, INTERNAL_ERROR),
    "DeletionsFailedForGoodError": lambda plane: old_backups(plane, 2),
    "DeletionTimeoutError": lambda plane: plane.delays.update(ListBackups=61),
    "FreshBackupTimeoutError": lambda plane: plane.statuses.update({plane.add_backups("orders", 1)[0]: "CREATING"}),
    "CoverageTimeoutError": lambda plane: (plane.create_table("customers"), plane.delays.update(ListTables=61)),
    "BackupNotReadyError": lambda plane: setattr(plane, "creating_for", WHOLE_DAY),
    "TargetTableExistsError": lambda plane: plane.create_table("orders-restored"),
    "TargetTableDeletingError": lambda plane: plane.statuses.update({"orders-restored": "DELETING"}),
    "RestoreLostError": undo_restores,
    "RestoreTimeoutError": lambda plane: setattr(plane, "restoring_for", WHOLE_DAY),
    "SettingsDeniedError": denied("DescribeContinuousBackups"),
    "SettingsFailedError": the_same_every_time("TagResource", THROTTLED),
    "SettingsFailedForGoodError": the_same_every_time("TagResource", Fault(code="AccessDeniedException")),
    "BackupError": the_same_every_time("CreateBackup", Fault(code="SomethingNewException")),
}
#: other Airflow connections; empty: none
CONNECTIONS: dict[str, Callable[[ControlPlane], str]] = {
    "NoRegionSetError": lambda plane: plane.connection(region=None),
    "UnreachableError": lambda plane: plane.connection().replace(plane.url, "http://127.0.0.1:1"),
    "ConfigurationError": lambda plane: plane.connection().replace(plane.url, "127.0.0.1"),
    "AccountNotCertainError": lambda _: "",
}


def sensor(plane: ControlPlane, **settings: Any) -> DynamoDBBackupSensor:
    """Return a sensor for a backup."""
    created = plane.client().create_backup(TableName="orders", BackupName="nightly")
    return DynamoDBBackupSensor(task_id="wait", backup_arn=created["BackupDetails"]["BackupArn"], **settings)


def not_found(plane: ControlPlane, context: Context) -> object:
    """Wait for a backup that is no more."""
    task = sensor(plane, poke_interval=0.01)
    plane.client().delete_backup(BackupArn=task.backup_arn)
    return task.execute(context)


def lost(plane: ControlPlane, context: Context) -> object:
    """Wait for a backup that is deleted meanwhile."""
    task = sensor(plane)
    plane.statuses[str(task.backup_arn)] = "DELETED"
    return task.execute(context)


def out_of_time(plane: ControlPlane, context: Context) -> object:
    """Wait too long, in a sensor."""
    return sensor(plane, timeout=0).execute(context)


def retried(plane: ControlPlane, context: Context) -> object:
    """Execute a later try."""
    context["ti"].try_number = 2
    return execute(RIGHT, plane, context)


def too_slow(plane: ControlPlane, context: Context) -> object:
    """Execute a later try, whose first call takes all of its time."""
    plane.delays["DescribeTable"] = 61
    return retried(plane, context)


def keys_renewed(plane: ControlPlane, context: Context) -> object:
    """Back up a table that is dropped while the connection's keys are renewed."""
    with pytest.MonkeyPatch.context() as patch:

        def renew(_: str) -> None:
            patch.setenv("AIRFLOW_CONN_AWS_DEFAULT", plane.connection(access_key="renewed"))
            plane.drop_table("orders")

        plane.after, plane.on_refusal = lambda _: plane.expired_keys.add("simulated"), renew
        return execute(RIGHT, plane, context)


def trigger_failed(plane: ControlPlane, context: Context) -> object:
    """Resume after a trigger has raised."""
    failure = {"error": "Trigger failure", "traceback": ["ImportError"]}
    task = DynamoDBCreateBackupOperator(task_id="back_up", table_name="orders")
    return task.resume_execution("__fail__", failure, context)


def system_backup(plane: ControlPlane, context: Context) -> object:
    """Delete one of AWS's own."""
    (arn,) = plane.add_backups("orders", 1, "orders$DeletedTableBackup", kind="SYSTEM")
    return DynamoDBDeleteBackupOperator(task_id="delete", backup_arn=arn).execute(context)


def restore(plane: ControlPlane, context: Context) -> object:
    """Restore a table that has tags."""
    (arn,) = plane.add_backups("orders", 1)
    plane.tag_table("orders", team="shop")
    task = DynamoDBRestoreTableFromBackupOperator(
        task_id="restore", backup_arn=arn, target_table_name="orders-restored", timeout=300
    )
    return task.execute(context)


def restore_of_none(plane: ControlPlane, context: Context) -> object:
    """Restore a backup that is gone."""
    plane.statuses[plane.add_backups("orders", 1)[0]] = "DELETED"
    (arn,) = plane.statuses
    task = DynamoDBRestoreTableFromBackupOperator(
        task_id="restore", backup_arn=arn, target_table_name="orders-restored"
    )
    return task.execute(context)


def restore_of_one_that_goes(plane: ControlPlane, context: Context) -> object:
    """Pick a backup that is deleted meanwhile."""
    (arn,) = plane.add_backups("orders", 1, age=60)
    plane.clock.sleep(60)
    context["dag_run"].start_date = datetime.fromtimestamp(plane.clock.time(), tz=UTC)
    plane.before("DescribeBackup", lambda: plane.statuses.update({arn: "DELETED"}))
    task = DynamoDBRestoreTableFromBackupOperator(
        task_id="restore", table_name="orders", target_table_name="orders-restored"
    )
    return task.execute(context)


def restore_of_an_earlier_table(plane: ControlPlane, context: Context) -> object:
    """Restore a table that was made again, and has no backup since."""
    plane.add_backups("orders", 1, "nightly-1", age=60)
    plane.add_backups("orders", 1, "orders$DeletedTableBackup", kind="SYSTEM")
    plane.drop_table("orders")
    plane.create_table("orders")
    # So that the run has not made it.
    plane.clock.sleep(60)
    context["dag_run"].start_date = datetime.fromtimestamp(plane.clock.time(), tz=UTC)
    task = DynamoDBRestoreTableFromBackupOperator(
        task_id="restore", table_name="orders", target_table_name="orders-restored"
    )
    return task.execute(context)


def restore_onto_one_that_goes(plane: ControlPlane, context: Context) -> object:
    """Restore while the table of that name is being deleted."""
    plane.create_table("orders-restored")
    return restore(plane, context)


def drill(plane: ControlPlane, context: Context, **settings: Any) -> object:
    """Drill a backup of an empty table."""
    (arn,) = plane.add_backups("orders", 1)
    task = DynamoDBRestoreDrillOperator(task_id="drill", backup_arn=arn, timeout=300, **settings)
    return task.execute(context)


def drilled_without(plane: ControlPlane, context: Context, operation: str, fault: Fault) -> object:
    """Drill, with a call that goes wrong every time."""
    plane.client().put_item(TableName="orders", Item={"id": {"S": "1"}})
    plane.fail_next(operation, fault, times=WHOLE_DAY)
    return drill(plane, context)


def failed_check(plane: ControlPlane, context: Context) -> object:
    """Check a table that has no items."""
    return one_of(drill, plane, context, exceptions.CheckFailedError)


def one_of(run: Callable[..., object], plane: ControlPlane, context: Context, kind: type[BackupError]) -> object:
    """Raise one of the failures that a drill reports."""
    raised: list[BackupError] = []
    report = Report.fail

    def fail(self: Report[Any], name: str, error: BackupError, log: Any) -> None:
        raised.append(error)
        report(self, name, error, log)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Report, "fail", fail)
        with pytest.raises(BackupError):
            run(plane, context)
    raise next(error for error in raised if type(error) is kind)


def not_dropped(plane: ControlPlane, context: Context) -> object:
    """Drill, and have the table dropped for too long."""
    plane.client().put_item(TableName="orders", Item={"id": {"S": "1"}})
    plane.dropping_for = WHOLE_DAY
    return one_of(drill, plane, context, exceptions.TableNotDroppedError)


def left_over(plane: ControlPlane, context: Context) -> object:
    """Drill while the table of an earlier drill can't be dropped."""
    with pytest.raises(BackupError):
        drilled_without(plane, context, "DeleteTable", THROTTLED)
    plane.clear_faults()
    plane.clock.sleep(WHOLE_DAY)
    later = context_of(FakeTaskInstance(run_id="next"))
    plane.fail_next("DeleteTable", Fault(code="AccessDeniedException"))
    arn = next(iter(plane.backup_arns()))
    task = DynamoDBRestoreDrillOperator(task_id="drill", backup_arn=arn)
    return one_of(lambda *_: task.execute(later), plane, later, exceptions.LeftOverError)


def foreign_table(plane: ControlPlane, context: Context) -> object:
    """Drill while another table takes the name."""

    def replace(arn: str, _: int) -> None:
        plane.drop_table(arn.rpartition("/")[2])
        plane.create_table(arn.rpartition("/")[2])

    plane.on_restore = replace
    return drill(plane, context)


def slow_drill(plane: ControlPlane, context: Context) -> object:
    """Drill a backup that takes longer than the timeout."""
    plane.restoring_for = WHOLE_DAY
    return drill(plane, context)


def setting_not_taken(plane: ControlPlane, _: Context) -> object:
    """Put tags back on a table that does not take them."""
    plane.fail_next("TagResource", Fault(committed=False, code="", status=200))
    return put_one_back(plane, "tags", {"team": "shop"})


def restore_to_a_time(plane: ControlPlane, context: Context, age: timedelta = timedelta(hours=1)) -> object:
    """Restore a table to a time some time ago."""
    moment = datetime.fromtimestamp(plane.now(), tz=UTC) - age
    task = DynamoDBRestoreTableToPointInTimeOperator(
        task_id="restore",
        source_table_name="orders",
        restore_date_time=moment,
        target_table_name="orders-restored",
        timeout=60,
    )
    return task.execute(context)


def enable_recovery(plane: ControlPlane) -> None:
    """Enable point-in-time recovery, an hour ago."""
    plane.switch_recovery("orders")
    plane.clock.sleep(3600)


def restore_to_a_time_long_ago(plane: ControlPlane, context: Context) -> object:
    """Restore a table to a time from before its point-in-time recovery."""
    enable_recovery(plane)
    return restore_to_a_time(plane, context, timedelta(days=40))


def restore_to_the_present(plane: ControlPlane, context: Context) -> object:
    """Restore a table to a time that AWS can't restore yet."""
    enable_recovery(plane)
    return restore_to_a_time(plane, context, timedelta(0))


def restore_one_that_is_gone(plane: ControlPlane, context: Context) -> object:
    """Restore a table that was dropped."""
    enable_recovery(plane)
    plane.drop_table("orders")
    return restore_to_a_time(plane, context)


def put_one_back(plane: ControlPlane, name: str, value: object) -> object:
    """Put a setting back that fails."""
    if "orders-restored" not in plane.client().list_tables()["TableNames"]:
        plane.create_table("orders-restored")
    (arn,) = plane.add_backups("orders", 1)
    source = RestoreSource.of_backup(BackupArn.parse(arn))
    about = source.context("orders-restored")
    deadline, report = Deadline.after(600), Report[str]()
    target = SettingsOf(DynamoDBBackupHook(), about, "orders-restored", deadline, 60, Silent())
    put_back(SettingsRequest(source, "orders-restored", {name: value}), target, report)
    raise report.failed[name]


def kinesis_stream_missing(plane: ControlPlane, _: Context) -> object:
    """Put a destination back whose stream is gone."""
    plane.fail_next("EnableKinesisStreamingDestination", Fault(code="ResourceNotFoundException"))
    stream = f"arn:aws:kinesis:{REGION}:123456789012:stream/changes"
    return put_one_back(plane, "kinesis", {stream: None})


def ttl_changed(plane: ControlPlane, _: Context) -> object:
    """Put time to live back where AWS has just changed it."""
    plane.create_table("orders-restored")
    specification = {"Enabled": True, "AttributeName": "another"}
    plane.client().update_time_to_live(TableName="orders-restored", TimeToLiveSpecification=specification)
    return put_one_back(plane, "ttl", "ends")


#: errors that need more than the operator's ``execute``
SPECIAL: dict[str, Callable[[ControlPlane, Context], object]] = {
    "ListBackupsDeniedError": retried,
    "AccountNotConfirmedError": keys_renewed,
    "CreationTimeoutError": too_slow,
    "BackupNotFoundError": not_found,
    "BackupLostError": lost,
    "BackupSensorTimeoutError": out_of_time,
    "TriggerFailedError": trigger_failed,
    "SystemBackupError": system_backup,
    "BackupNotRestorableError": restore_of_none,
    "PickedBackupGoneError": restore_of_one_that_goes,
    "BackupNotPickedError": restore_of_an_earlier_table,
    "BackupNotReadyError": restore,
    "PointInTimeRecoveryUnavailableError": restore_to_a_time,
    "RestoreTimeError": restore_to_a_time_long_ago,
    "RestoreTimeNotReachedError": restore_to_the_present,
    "SourceTableGoneError": restore_one_that_is_gone,
    "TargetTableExistsError": restore,
    "TargetTableDeletingError": restore_onto_one_that_goes,
    "RestoreLostError": restore,
    "RestoreTimeoutError": restore,
    "KinesisStreamNotFoundError": kinesis_stream_missing,
    "TimeToLiveChangedError": ttl_changed,
    "CheckFailedError": failed_check,
    "DrillFailedError": lambda plane, context: drilled_without(plane, context, "DeleteTable", THROTTLED),
    "DrillFailedForGoodError": drill,
    "DrillTimeoutError": slow_drill,
    "ForeignTableError": foreign_table,
    "LeftOverError": left_over,
    "TableNotDroppedError": not_dropped,
    "SettingNotTakenError": setting_not_taken,
    "SettingsDeniedError": restore,
    "SettingsFailedError": restore,
    "SettingsFailedForGoodError": restore,
}


def execute(code: str, plane: ControlPlane, context: Context) -> object:
    """Execute the operator or sensor that a piece of code makes."""
    names = {
        "DynamoDBBackupCoverageOperator": DynamoDBBackupCoverageOperator,
        "DynamoDBBackupTablesOperator": DynamoDBBackupTablesOperator,
        "DynamoDBCreateBackupOperator": DynamoDBCreateBackupOperator,
        "DynamoDBDeleteBackupOperator": DynamoDBDeleteBackupOperator,
        "DynamoDBPruneBackupsOperator": DynamoDBPruneBackupsOperator,
        "DynamoDBBackupSensor": DynamoDBBackupSensor,
        "DynamoDBFreshBackupSensor": DynamoDBFreshBackupSensor,
        "timedelta": timedelta,
    }
    return eval(code, names).execute(context)  # noqa: S307  # our own page


@pytest.fixture
def provoke(
    control_plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], BackupError]:
    """Return what makes an error come about."""

    def provoke(title: str, code: str) -> BackupError:
        if title in CONNECTIONS:
            monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", CONNECTIONS[title](control_plane))
            if not CONNECTIONS[title](control_plane):
                monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
        if title in ARRANGEMENTS:
            ARRANGEMENTS[title](control_plane)
        run = SPECIAL.get(title, partial(execute, code))
        with pytest.raises(BackupError) as raised:
            run(control_plane, context)
        return raised.value

    return provoke


def test_every_error_has_its_section() -> None:
    """A search for a class finds it."""
    assert set(SECTIONS) == {kind.__name__ for kind in classes() if kind not in GROUPS}


@pytest.mark.parametrize(("title", "code", "message"), USES)
def test_a_wrong_use_gives_the_message(
    provoke: Callable[[str, str], BackupError], title: str, code: str, message: str
) -> None:
    """As the page shows it, which also says whether the task is retried."""
    error = provoke(title, code)
    assert type(error).__name__ == title
    assert message_of(error) == message
    assert SECTIONS[title].text.endswith(whether_retried(error))


@pytest.mark.parametrize("title", [section.title for section in SECTIONS.values() if not section.uses])
def test_an_error_has_the_message(provoke: Callable[[str, str], BackupError], title: str) -> None:
    """As the page shows it, with the class's own words, and the page says whether the task is retried."""
    error = provoke(title, RIGHT)
    message = message_of(error)
    assert [message] == SECTIONS[title].messages
    assert getattr(exceptions, title).summary in message
    assert SECTIONS[title].text.endswith(whether_retried(error))


@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
def test_a_message_names_table_backup_and_region(section: Section) -> None:
    """As far as they are known: a wrong value is told before any is."""
    known = {"table", "backup", "region"} - UNKNOWN.get(section.title, set())
    for message in section.messages:
        assert {name for name in ("table", "backup", "region") if f"{name} '" in message} == known


@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
def test_a_section_names_cause_and_cure(section: Section) -> None:
    """And shows a message for each use."""
    assert "**Cause:** " in section.text
    assert "**Cure:** " in section.text
    assert len(section.messages) == max(1, len(section.uses))


def test_a_symptom_quotes_what_the_log_says() -> None:
    """What a reader searches for is in the code, or in a message of the page."""
    _, symptoms, messages = re.split(r"^(?:By symptom|Tables)\n-+\n", PAGE.read_text(), flags=re.MULTILINE)
    said = " ".join([messages, *(path.read_text() for path in PACKAGE.rglob("*.py"))])
    quoted = [text for text in re.findall(r"``([^`]+)``", symptoms) if re.match(r"[A-Z][\w']*,? [a-z]", text)]
    assert len(quoted) > 10
    assert [text for text in quoted if " ".join(text.split()) not in " ".join(said.split())] == []
