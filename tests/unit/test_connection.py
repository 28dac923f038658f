"""Which account and region a task calls."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from airflow.providers.common.compat.sdk import DAG, TaskDeferred
from airflow.providers.common.compat.sdk import task as task_decorator
from airflow.secrets.environment_variables import EnvironmentVariablesBackend

from airflow_ddb_backup.exceptions import (
    AccountNotCertainError,
    AccountNotConfirmedError,
    BackupError,
    ConnectionNotFoundError,
    CredentialsError,
    ErrorContext,
    InvalidValueError,
    OtherAccountError,
    PermanentError,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.operators.dynamodb import (
    DynamoDBBackupCoverageOperator,
    DynamoDBBackupTablesOperator,
    DynamoDBCreateBackupOperator,
    DynamoDBDeleteBackupOperator,
    DynamoDBPruneBackupsOperator,
    DynamoDBRestoreTableFromBackupOperator,
)
from airflow_ddb_backup.rates import RateLimit
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupSensor, DynamoDBBackupsSensor, DynamoDBFreshBackupSensor
from tests.simulator.control_plane import REGION
from tests.simulator.faults import INTERNAL_ERROR, Fault, after_call
from tests.unit.conftest import FakeTaskInstance, context_of
from tests.unit.restoring.drills import back_up_items, drill, scratch_tables
from tests.unit.restoring.support import enable_recovery, give, make_source, now, run
from tests.unit.restoring.support import operator as restore_operator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

ACCOUNT, OTHER = "123456789012", "210987654321"
CHANGES = {"CreateBackup", "DeleteBackup", "RestoreTableFromBackup", "TagResource"}


def create(plane: ControlPlane, **settings: Any) -> Any:
    """Return a task that creates a backup."""
    return DynamoDBCreateBackupOperator(task_id="back_up", table_name="orders", **settings)


def create_many(plane: ControlPlane, **settings: Any) -> Any:
    """Return a task that creates backups."""
    return DynamoDBBackupTablesOperator(task_id="back_up", table_names=["*"], **settings)


def delete(plane: ControlPlane, **settings: Any) -> Any:
    """Return a task that deletes a backup."""
    return DynamoDBDeleteBackupOperator(task_id="delete", backup_arn=plane.backup_arns()[0], **settings)


def prune(plane: ControlPlane, **settings: Any) -> Any:
    """Return a task that deletes all but the newest backup."""
    return DynamoDBPruneBackupsOperator(
        task_id="prune", table_names=["*"], backup_name_prefix="nightly", keep_last=1, **settings
    )


def restore(plane: ControlPlane, **settings: Any) -> Any:
    """Return a task that restores a backup."""
    return DynamoDBRestoreTableFromBackupOperator(
        task_id="restore", backup_arn=plane.backup_arns()[0], target_table_name="restored", **settings
    )


def wait(plane: ControlPlane, **settings: Any) -> Any:
    """Return a sensor of a backup."""
    return DynamoDBBackupSensor(task_id="wait", backup_arn=plane.backup_arns()[0], **settings)


def wait_for_many(plane: ControlPlane, **settings: Any) -> Any:
    """Return a sensor of backups."""
    return DynamoDBBackupsSensor(task_id="wait", backup_arns=plane.backup_arns(), **settings)


def check(plane: ControlPlane, **settings: Any) -> Any:
    """Return a task that tells which tables have a fresh backup."""
    return DynamoDBBackupCoverageOperator(task_id="check", **settings)


def wait_for_fresh(plane: ControlPlane, **settings: Any) -> Any:
    """Return a sensor of a table's fresh backup."""
    return DynamoDBFreshBackupSensor(task_id="wait", table_name="orders", max_age=timedelta(days=2), **settings)


TASKS: list[Callable[..., Any]] = [
    create,
    create_many,
    delete,
    prune,
    restore,
    check,
    wait,
    wait_for_many,
    wait_for_fresh,
]


@pytest.fixture
def plane(control_plane: ControlPlane) -> ControlPlane:
    """Return a control plane with some backups."""
    for day in range(3, 0, -1):
        control_plane.add_backups("orders", 1, "nightly-1", age=86_400 * day)
    control_plane.calls.clear()
    return control_plane


def is_down(*_: object, **__: object) -> None:
    """Answer as a secrets backend that is down."""
    raise ConnectionError


@pytest.mark.parametrize("why", ["mistyped or removed", "malformed", "its secrets backend is down"])
@pytest.mark.parametrize("task", TASKS)
def test_a_connection_that_is_not_found_sends_nothing(
    plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch, task: Any, why: str
) -> None:
    """Airflow retries the task; the worker's own credentials may be another account's."""
    made = task(plane, aws_conn_id="shop")
    with pytest.MonkeyPatch.context() as broken:
        if why == "malformed":
            broken.setenv("AIRFLOW_CONN_SHOP", "{")
        elif why == "its secrets backend is down":
            broken.setenv("AIRFLOW_CONN_SHOP", plane.connection())
            broken.setattr(EnvironmentVariablesBackend, "get_connection", is_down)
        with pytest.raises(ConnectionNotFoundError, match="aws_conn_id is 'shop'"):
            made.execute(context)
    assert not plane.calls
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", plane.connection())
    made.execute(context)


@pytest.mark.parametrize("task", [create, create_many, restore, wait, wait_for_many, wait_for_fresh])
@pytest.mark.parametrize("found", [True, False])
def test_the_trigger_knows_whether_the_connection_was_found(
    plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch, task: Any, found: bool
) -> None:
    """One that was there is there again once its secrets backend is."""
    made = task(plane, deferrable=True)
    if not found:
        monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
        environment = {"AWS_ENDPOINT_URL": plane.url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        for name, value in (environment | {"AWS_DEFAULT_REGION": "us-east-1"}).items():
            monkeypatch.setenv(name, value)
    # None of them ends before it defers.
    plane.creating_for = plane.restoring_for = 600
    plane.statuses |= dict.fromkeys(plane.backup_arns(), "CREATING") if task is not restore else {}
    with pytest.raises(TaskDeferred) as deferred:
        made.execute(context)
    assert deferred.value.trigger.serialize()[1]["connection_found"] is found


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("rendered", ["", " ", None], ids=repr)
def test_a_connection_that_renders_to_nothing_is_refused(
    plane: ControlPlane, context: Context, task: Any, rendered: str | None
) -> None:
    """Only a literal None means the worker's own credentials."""
    made = task(plane, aws_conn_id="{{ params.connection }}")
    made.aws_conn_id = rendered
    told = "not None once it is rendered or mapped; got None" if rendered is None else "the ID of an Airflow connection"
    with pytest.raises(InvalidValueError, match=f"aws_conn_id must be.*{told}"):
        made.execute(context)
    assert not plane.calls


@pytest.mark.parametrize("task", TASKS)
def test_another_account_than_the_expected_one_is_refused(plane: ControlPlane, context: Context, task: Any) -> None:
    """As soon as any ARN tells, and before anything is made or deleted."""
    with pytest.raises(BackupError, match=f"'{ACCOUNT}'.*account_id is '{OTHER}'") as raised:
        task(plane, account_id=OTHER).execute(context)
    assert OtherAccountError.summary in str(raised.value)
    assert not CHANGES & set(plane.calls)
    assert len(plane.backup_arns()) == 3


def mapped(context: Context, how: str, name: str, value: object) -> Any:
    """Return a task of those that are mapped over some values in the DAG's file."""
    with DAG("shop", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        if how == "expand":
            part: Any = DynamoDBCreateBackupOperator.partial(task_id="back_up", table_name="orders")
            return part.expand(**{name: ["other", value]}).unmap({name: value})
        row = {"table_name": "orders", name: value}
        return DynamoDBCreateBackupOperator.partial(task_id="back_up").expand_kwargs([row]).unmap(row)


@pytest.mark.parametrize("how", ["expand", "expand_kwargs"])
@pytest.mark.parametrize("name", ["region_name", "account_id", "backup_name", "verify"])
def test_a_none_among_the_values_of_the_dag_s_file_is_meant(
    plane: ControlPlane, context: Context, how: str, name: str
) -> None:
    """As it is in ``partial()``; another task's is refused (tests/system/test_mapped.py)."""
    assert mapped(context, how, name, None).execute(context)


class BackUpWithArchive(DynamoDBBackupTablesOperator):
    """A team's own task, with a parameter that its base class does not have."""

    def __init__(self, *, table_name: str, **kwargs: Any) -> None:
        super().__init__(table_names=[table_name, f"{table_name}-archive"], **kwargs)


@pytest.mark.parametrize("where", ["expand", "partial"])
def test_a_subclass_may_have_a_parameter_of_its_own(plane: ControlPlane, context: Context, where: str) -> None:
    """Which is no attribute, though other operators have one of that name."""
    plane.create_table("orders-archive")
    own, rest = {"table_name": "orders"}, {"backup_name": "nightly"}
    over, same = (own, rest) if where == "expand" else (rest, own)
    with DAG("shop", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        part: Any = BackUpWithArchive.partial(task_id="back_up", **same)
        task = part.expand(**{name: [value] for name, value in over.items()}).unmap(over)
    assert len(task.execute(context)["backups"]) == 2


def test_a_none_of_another_task_is_refused_beside_rows_of_the_file(plane: ControlPlane, context: Context) -> None:
    """``expand_kwargs`` takes a list of rows and of tasks that return rows."""
    row = {"table_name": "orders", "region_name": None}

    def find() -> dict[str, Any]:
        return row

    with DAG("shop", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        rows: Any = [row, task_decorator(find)()]
        made: Any = DynamoDBCreateBackupOperator.partial(task_id="back_up").expand_kwargs(rows)
    with pytest.raises(InvalidValueError, match="region_name must be not None"):
        made.unmap(row).execute(context)


class BackUpOrders(DynamoDBCreateBackupOperator):
    """A team's own task, whose parameters are all fixed."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(task_id="back_up_orders", table_name="orders", **kwargs)


def test_a_subclass_needs_no_arguments(plane: ControlPlane, context: Context) -> None:
    """It may fix even its task_id."""
    assert BackUpOrders().execute(context)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_can_be_copied(plane: ControlPlane, task: Any) -> None:
    """Airflow 2.11 makes a part of a DAG of copies, and copies those: for "airflow tasks clear --task-regex"."""
    with DAG("shop", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        made = task(plane)
    part = dag.partial_subset(made.task_id).partial_subset(made.task_id)
    assert part.task_ids == [made.task_id]
    assert deepcopy(deepcopy(made)).aws_conn_id == "aws_default"


def test_a_connection_that_leads_elsewhere_meanwhile_ends_many_tables(
    plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: not even one table's backup more is made in another account."""
    names = ("alpha", "beta", "gamma")
    for name in names:
        plane.create_table(name)
        plane.create_table(name, account=OTHER)
    monkeypatch.setenv("AIRFLOW_CONN_OURS", plane.connection())
    role = plane.connection(role_arn=f"arn:aws:iam::{OTHER}:role/backup")
    # AWS finds the session expired, and the connection that is read again is another account's.
    plane.before("DescribeTable", lambda: monkeypatch.setenv("AIRFLOW_CONN_OURS", role))
    plane.fail_next("CreateBackup", Fault(code="ExpiredTokenException"))
    with pytest.raises(OtherAccountError, match=f"go to account '{OTHER}', and went to '{ACCOUNT}' before"):
        DynamoDBBackupTablesOperator(task_id="back_up", table_names=names, aws_conn_id="ours").execute(context)
    assert plane.backup_arns(account=OTHER) == []


def test_a_connection_that_leads_elsewhere_meanwhile_ends_a_prune(
    plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no failure of the one table that was asked about, and nothing is deleted anywhere."""
    plane.create_table("orders", account=OTHER)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", plane.connection())
    role = plane.connection(role_arn=f"arn:aws:iam::{OTHER}:role/backup")
    plane.before("ListBackups", lambda: monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", role))
    plane.fail_next("DescribeTable", Fault(code="ExpiredTokenException"))
    with pytest.raises(AccountNotConfirmedError, match=f"ListBackups tells no account, which must be '{ACCOUNT}'"):
        prune(plane).execute(context)
    assert len(plane.backup_arns()) == 3


@pytest.mark.parametrize("task", TASKS)
def test_the_expected_account_passes(plane: ControlPlane, context: Context, task: Any) -> None:
    """It may be a template."""
    made = task(plane, account_id="{{ var.value.account }}")
    made.account_id = ACCOUNT
    made.execute(context)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("wrong", ["12345678901", 123456789012, "arn:aws", ""], ids=repr)
def test_an_account_has_twelve_digits(plane: ControlPlane, task: Any, wrong: object) -> None:
    """A number would have lost its zeros."""
    with pytest.raises(InvalidValueError, match="account_id must be an account, 12 digits"):
        task(plane, account_id=wrong)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("wrong", [5, "", [], {}], ids=repr)
def test_verify_is_a_switch_or_a_path(plane: ControlPlane, task: Any, wrong: object) -> None:
    """Anything else would only be found out at a call."""
    with pytest.raises(InvalidValueError, match="verify must be True, False, the path of a CA bundle, or None"):
        task(plane, verify=wrong)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("wrong", ["", "  ", "eu-west-1\n", 5], ids=repr)
def test_a_region_is_one(plane: ControlPlane, task: Any, wrong: object) -> None:
    """Empty it would be the connection's, which may be another."""
    with pytest.raises(InvalidValueError, match="region_name must be a region"):
        task(plane, region_name=wrong)


@pytest.mark.parametrize("task", [delete, prune])
def test_what_deletes_needs_a_certain_account(
    plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch, task: Any
) -> None:
    """Without the connection aws_default the worker's own credentials must be meant, or the account be named."""
    monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
    for name, value in {"ENDPOINT_URL": plane.url, "ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with pytest.raises(
        AccountNotCertainError, match="create the connection 'aws_default'.*aws_conn_id=None.*account_id"
    ):
        task(plane, region_name="us-east-1").execute(context)
    assert not plane.calls
    task(plane, region_name="us-east-1", aws_conn_id=None).execute(context)
    task(plane, region_name="us-east-1", account_id=ACCOUNT).execute(context)
    assert len(plane.backup_arns()) < 3


@pytest.mark.parametrize("task", [create, prune])
def test_two_accounts_are_told_apart(
    plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch, task: Any
) -> None:
    """A connection's role in another account changes nothing in this one, and nothing there."""
    plane.create_table("orders", account=OTHER)
    plane.client("us-east-1", OTHER).create_backup(TableName="orders", BackupName="nightly-9")
    role = plane.connection(role_arn=f"arn:aws:iam::{OTHER}:role/backup")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", role)
    with pytest.raises(BackupError, match=f"'{OTHER}'.*account_id is '{ACCOUNT}'"):
        task(plane, account_id=ACCOUNT).execute(context)
    assert (len(plane.backup_arns()), len(plane.backup_arns(account=OTHER))) == (3, 1)


class TestOpenedAgain:
    """Credentials that expire while a task runs have the connection read again: it may be another by then."""

    @pytest.fixture
    def other(self, plane: ControlPlane) -> dict[str, str]:
        """Have backups in another account, and return the keys of a role there."""
        plane.create_table("orders", account=OTHER)
        for _ in range(3):
            plane.client(account=OTHER).create_backup(TableName="orders", BackupName="nightly-1")
        plane.clock.sleep(10)
        return plane.role_keys(OTHER)

    @staticmethod
    def state(plane: ControlPlane) -> list[list[str]]:
        """Return the backups of both accounts."""
        return [plane.backup_arns(account=account) for account in (ACCOUNT, OTHER)]

    @pytest.mark.parametrize("task", [create, create_many, delete, prune, check])
    def test_it_falls_back_to_no_other_credentials(
        self, plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch, other: dict[str, str], task: Any
    ) -> None:
        """The secrets backend is down when aws_default is read again, and the worker's own account is another."""
        made = task(plane, region_name="us-east-1")
        for name, value in other.items():
            monkeypatch.setenv(name.upper(), value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", plane.url)
        before = self.state(plane)
        plane.expired_keys.add("simulated")
        plane.on_refusal = lambda _: monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT", raising=False)
        with pytest.raises(BackupError, match=ConnectionNotFoundError.summary):
            made.execute(context)
        assert self.state(plane) == before

    @pytest.mark.parametrize("task", [create, create_many, prune])
    def test_one_that_is_another_account_s_by_then_changes_nothing(
        self, plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch, other: dict[str, str], task: Any
    ) -> None:
        """A named connection is found in a lower secrets backend."""
        monkeypatch.setenv("AIRFLOW_CONN_SHOP", plane.connection())
        lower = plane.connection(
            access_key=other["aws_access_key_id"],
            password=other["aws_secret_access_key"],
            aws_session_token=other["aws_session_token"],
        )

        def change() -> None:
            plane.expired_keys.add("simulated")
            monkeypatch.setenv("AIRFLOW_CONN_SHOP", lower)

        plane.before("DescribeTable", change)
        before = self.state(plane)
        with pytest.raises(OtherAccountError, match=f"to account '{OTHER}', and went to '{ACCOUNT}' before"):
            task(plane, aws_conn_id="shop").execute(context)
        assert self.state(plane) == before

    def test_a_call_that_waits_for_its_rate_goes_to_no_other_account(
        self, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another thread has the connection read again meanwhile."""
        plane.create_table("orders", account=OTHER)
        monkeypatch.setenv("AIRFLOW_CONN_SHOP", plane.connection())
        hook, about = DynamoDBBackupHook("shop"), ErrorContext("orders")
        hook.open_for(about, account_id=ACCOUNT)
        hook.describe_table(about, "orders")

        def wait(_: object, __: float) -> bool:
            role = plane.connection(role_arn=f"arn:aws:iam::{OTHER}:role/backup")
            monkeypatch.setenv("AIRFLOW_CONN_SHOP", role)
            waiting.undo()
            plane.fail_next("DescribeTable", Fault(code="ExpiredTokenException"))
            with pytest.raises(CredentialsError):
                hook.describe_table(about, "orders")
            return True

        with monkeypatch.context() as waiting:
            waiting.setattr(RateLimit, "acquire", wait)
            with pytest.raises(OtherAccountError):
                hook.create_backup(about, "orders", "nightly")
        assert plane.backup_arns(account=OTHER) == []


def expire_after(plane: ControlPlane, operation: str, then: Callable[[], object] = lambda: None) -> None:
    """Have the session end once, after the first call of an operation, and something else happen too."""
    ended: list[str] = []

    def after(called: str) -> None:
        if called == operation and not ended:
            ended.append(called)
            then()
            plane.expired_keys.add("simulated")

    plane.after = after
    plane.on_refusal = lambda _: plane.expired_keys.clear()


@pytest.mark.usefixtures("fast_loop")
class TestOpenedAgainTheSame:
    """A connection that gives the same as before leads to the same account: nothing needs to tell it again."""

    def test_nothing_is_asked_for_its_sake(self, plane: ControlPlane, context: Context) -> None:
        """Each page of the listing and each table is read once."""
        for number in range(20):
            plane.create_table(f"table-{number}")
            plane.add_backups(f"table-{number}", 1, "nightly-1", age=60)
        plane.calls.clear()
        expire_after(plane, "DescribeTable")
        report = check(plane, table_names=["table-*"]).execute(context)
        assert report["counts"]["fresh"] == 20
        refused = plane.calls["DescribeTable"] - 20
        assert (refused > 0, plane.calls["ListBackups"]) == (True, 1)

    def test_a_table_that_is_gone_by_then_stops_no_other(self, plane: ControlPlane, context: Context) -> None:
        """It was the first to tell the account."""
        names = [f"shop-{number}" for number in range(6)]
        for name in names:
            plane.create_table(name)
        expire_after(plane, "DescribeTable", lambda: plane.drop_table(names[0]))
        made = DynamoDBBackupTablesOperator(task_id="back_up", table_names=["shop-*"], wait_for_completion=False)
        assert sorted(made.execute(context)["backups"]) == names[1:]

    def test_a_left_over_that_a_drill_has_dropped_stops_it_not(self, control_plane: ControlPlane, clock: Clock) -> None:
        """That table was the first to tell the account."""
        plane = control_plane
        make_source(plane)
        back_up_items(plane)
        plane.restoring_for = 3600
        with pytest.raises(TaskDeferred):
            drill(ti=FakeTaskInstance(task_id="drill", run_id="killed"), deferrable=True)
        clock.sleep(86_400)
        expire_after(plane, "RestoreTableFromBackup")
        report = drill(ti=FakeTaskInstance(task_id="drill", run_id="next"))
        assert (report["verdict"], scratch_tables(plane)) == ("passed", [])

    def test_the_damaged_table_may_be_dropped_while_its_restore_goes_on(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """It was the first to tell the account."""
        plane = control_plane
        make_source(plane)
        enable_recovery(plane, clock)
        plane.restoring_for = 3600
        moment = now(clock).replace(microsecond=0).isoformat()
        clock.sleep(900)
        expire_after(plane, "RestoreTableToPointInTime", lambda: plane.drop_table("source"))
        assert run(moment).endswith("table/target")


class TestRenewed:
    """New keys in the connection may be another account's, until a response tells."""

    @pytest.fixture
    def renew_after(self, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Return what has new keys of the same account in the connection, once the old are refused."""
        new = plane.connection(access_key="renewed")

        def renew_after(operation: str, then: Callable[[], object] = lambda: None) -> None:
            def renew(_: str) -> None:
                monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", new)
                then()

            expire_after(plane, operation)
            plane.on_refusal = renew

        return renew_after

    @pytest.mark.parametrize("operation", ["GetResources", "DescribeTable"])
    def test_tables_that_tags_select_go_on(
        self, plane: ControlPlane, context: Context, renew_after: Callable[..., None], operation: str
    ) -> None:
        """The account is asked by the call that had told it last, of whatever service."""
        for name in ("shop-1", "shop-2"):
            plane.create_table(name)
            plane.tag_table(name, backup="nightly")
        renew_after(operation)
        tags = {"backup": "nightly"}
        made = DynamoDBBackupTablesOperator(task_id="back_up", table_names=["shop-*"], table_tags=tags)
        assert sorted(made.execute(context)["backups"]) == ["shop-1", "shop-2"]
        assert (plane.calls["GetResources"] > 1) is (operation == "GetResources")

    def test_errors_while_the_account_is_asked_are_not_those_of_a_creation(
        self, plane: ControlPlane, context: Context, renew_after: Callable[..., None]
    ) -> None:
        """Nothing was made, so that nothing is looked for."""
        renew_after("DescribeTable", lambda: plane.fail_next("DescribeTable", INTERNAL_ERROR, 6))
        assert create(plane).execute(context)
        assert plane.calls["DescribeTable"] > 6
        assert plane.calls["ListBackups"] == 0

    @pytest.mark.parametrize("why", ["dropped", "denied", "refused"])
    def test_what_no_longer_tells_the_account_is_left_to_a_retry(
        self, plane: ControlPlane, context: Context, renew_after: Callable[..., None], why: str
    ) -> None:
        """The table was dropped, or it is another account's connection: nobody knows."""
        code = {"denied": "AccessDeniedException", "refused": "ValidationException"}.get(why)
        renew_after(
            "DescribeTable",
            lambda: plane.fail_next("DescribeTable", Fault(code=code)) if code else plane.drop_table("orders"),
        )
        with pytest.raises(AccountNotConfirmedError, match="A retry begins with the connection as it is now") as raised:
            create_many(plane).execute(context)
        assert not isinstance(raised.value, PermanentError)


@pytest.mark.parametrize("conn_id", ["shop", None])
def test_a_profile_that_is_another_account_s_by_then_gets_no_backup(
    plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, conn_id: str | None
) -> None:
    """A tool for signing in writes the keys of each login into one profile, and the connection stays as it is."""
    file, other = tmp_path / "credentials", plane.role_keys(OTHER)
    plane.create_table("orders", account=OTHER)

    def sign_in(**keys: str) -> None:
        lines = "\n".join(f"{name} = {value}" for name, value in keys.items())
        file.write_text(f"[default]\n{lines}\n[saml]\n{lines}\n")

    sign_in(aws_access_key_id="simulated", aws_secret_access_key="simulated")
    settings = {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_ENDPOINT_URL": plane.url}
    settings["AIRFLOW_CONN_SHOP"] = '{"conn_type": "aws", "extra": {"profile_name": "saml"}}'
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    expire_after(plane, "DescribeTable")
    plane.on_refusal = lambda _: sign_in(**other)
    with pytest.raises(OtherAccountError, match=f"go to account '{OTHER}', and went to '{ACCOUNT}' before"):
        create(plane, aws_conn_id=conn_id, region_name=REGION).execute(context)
    assert plane.backup_arns(account=OTHER) == []


def create_truly(plane: ControlPlane, **settings: Any) -> None:
    """Back a table up, and hold that the backup is there."""
    arn = DynamoDBCreateBackupOperator(task_id="back_up", table_name="shop-1", **settings).execute(
        context_of(FakeTaskInstance())
    )
    assert arn in plane.backup_arns()


def create_many_truly(plane: ControlPlane, **settings: Any) -> None:
    """Back tables up, and hold that none is taken for gone."""
    made = DynamoDBBackupTablesOperator(task_id="back_up", table_names=["shop-*"], **settings)
    report = made.execute(context_of(FakeTaskInstance()))
    assert (len(report["backups"]), report["skipped"]) == (6, {})


def delete_truly(plane: ControlPlane, **settings: Any) -> None:
    """Delete a backup, and hold that it is gone."""
    made = delete(plane, **settings)
    made.execute(context_of(FakeTaskInstance()))
    assert made.backup_arn not in plane.backup_arns()


def prune_truly(plane: ControlPlane, **settings: Any) -> None:
    """Prune, and hold that what is told as deleted is gone."""
    report = prune(plane, **settings).execute(context_of(FakeTaskInstance()))
    assert len(report["deleted"]) == 4
    assert not set(report["deleted"]) & set(plane.backup_arns())


def restore_truly(plane: ControlPlane, **settings: Any) -> None:
    """Restore a table with its auto scaling."""
    give(plane, "auto_scaling")
    ti = FakeTaskInstance()
    restore_operator(plane.backup_arns()[-1], settings=["auto_scaling"], **settings).execute(context_of(ti))
    assert ti.xcoms["settings"] == {"auto_scaling": "applied"}


def drill_truly(plane: ControlPlane, **settings: Any) -> None:
    """Drill, and hold that the scratch table is gone, and that one's own check is given no client of another place."""
    seen: list[str] = []

    def validate(client: Any, _: str) -> None:
        seen.extend(client.list_tables()["TableNames"])

    try:
        assert drill(validate=validate, **settings)["verdict"] == "passed"
        assert scratch_tables(plane) == []
    finally:
        assert not seen or "source" in seen


def check_truly(plane: ControlPlane, **settings: Any) -> None:
    """Tell which tables have a fresh backup, and hold that all are told."""
    made = DynamoDBBackupCoverageOperator(task_id="check", table_names=["shop-*"], **settings)
    assert len(made.execute(context_of(FakeTaskInstance()))["tables"]) == 6


@pytest.mark.load
@pytest.mark.usefixtures("fast_loop")
@pytest.mark.parametrize("place", ["account", "region"])
@pytest.mark.parametrize(
    "run_truly",
    [create_truly, create_many_truly, delete_truly, prune_truly, restore_truly, drill_truly, check_truly],
)
def test_a_connection_that_is_read_again_leads_nowhere_else(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, place: str, run_truly: Callable[..., None]
) -> None:
    """After any call: nothing is made or changed in the other place, and what it does not have is not told as gone.

    A task may fail, and say why.
    """
    plane = control_plane
    # The first two responses of the others tell no account yet.
    first = 3 if place == "account" and run_truly not in {create_truly, delete_truly} else 1
    for number in [*range(first, 20), *range(20, 90, 5)]:
        plane.reset()
        keys = plane.role_keys(OTHER)
        secret = {"password": keys["aws_secret_access_key"], "aws_session_token": keys["aws_session_token"]}
        lower = {
            "account": plane.connection(access_key=keys["aws_access_key_id"], **secret),
            "region": plane.connection(region="eu-west-1", access_key="renewed"),
        }[place]
        make_source(plane)
        for table in range(1, 7):
            plane.create_table(f"shop-{table}")
        plane.add_backups("shop-1", 5, "nightly-1", age=86_400)
        back_up_items(plane)
        for there in ({"account": OTHER}, {"region": "eu-west-1"}):
            plane.create_table("target", **there)
            plane.create_table("shop-1", **there)
        monkeypatch.setenv("AIRFLOW_CONN_SHOP", plane.connection())
        changed: list[int] = []

        def change(lower: str = lower, changed: list[int] = changed) -> None:
            plane.expired_keys.add("simulated")
            monkeypatch.setenv("AIRFLOW_CONN_SHOP", lower)
            changed.append(1)

        plane.after = after_call(number, change)
        try:
            run_truly(plane, aws_conn_id="shop")
        except BackupError:
            assert changed, "undisturbed, it fails"
        plane.after = lambda _: None
        for there in ({"account": OTHER}, {"region": "eu-west-1"}):
            assert plane.backup_arns(**there) == []
            assert sorted(plane.tables(**there)) == ["shop-1", "target"]
        plane.expired_keys.clear()
        client = boto3.client("application-autoscaling", region_name=REGION, endpoint_url=plane.url, **keys)
        assert client.describe_scalable_targets(ServiceNamespace="dynamodb")["ScalableTargets"] == []
        if not changed:
            assert number > first, "never disturbed"
            return
    pytest.fail("it makes too many calls")
