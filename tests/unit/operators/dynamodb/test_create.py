"""The operator that backs a table up."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException, TaskDeferred

from airflow_ddb_backup.creation.names import derived_prefix
from airflow_ddb_backup.exceptions import (
    BackupError,
    BackupNotReusedTimeoutError,
    BackupTimeoutError,
    ConfigurationError,
    InvalidValueError,
    OtherRegionError,
    TableNotFoundError,
    TableNotReadyError,
    TableUnavailableError,
)
from airflow_ddb_backup.limits import CALL_SECONDS
from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator
from tests.simulator.faults import HANGING_AFTER_COMMIT, HTML_OF_A_PROXY, INTERNAL_ERROR, THROTTLED, Fault
from tests.unit.conftest import SETTINGS, context_of
from tests.unit.creation.support import begun, execute, retry, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane
    from tests.unit.conftest import FakeTaskInstance


ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/01795422913684-770da1ee"


def operator(**kwargs: Any) -> DynamoDBCreateBackupOperator:
    """Return an operator that backs ``orders`` up."""
    return DynamoDBCreateBackupOperator(**{"task_id": "back_up", "table_name": "orders"} | kwargs)


def defer(task: DynamoDBCreateBackupOperator, context: Context) -> TaskDeferred:
    """Execute a task that should defer."""
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    return deferred.value


@pytest.mark.parametrize("namespace", ["blue", " blue\n"])
def test_two_airflows_on_one_account_make_a_backup_each(
    control_plane: ControlPlane, ti: FakeTaskInstance, monkeypatch: pytest.MonkeyPatch, namespace: str
) -> None:
    """The namespace, read when the task runs, tells them apart, though DAG, task and run are the same."""
    task = operator()
    first = task.execute(context_of(ti))
    monkeypatch.setenv("AIRFLOW__DYNAMODB_BACKUP__NAMESPACE", namespace)
    second = [execute(task, each) for each in (retry(ti), retry(ti))]
    assert second == [control_plane.backup_arns()[1]] * 2 != [first] * 2
    listed = control_plane.client().list_backups(TableName="orders")["BackupSummaries"]
    assert min(each["BackupName"] for each in listed).startswith("blue.shop.back_up.")


def test_an_illegal_namespace_is_refused(
    control_plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is made."""
    monkeypatch.setenv("AIRFLOW__DYNAMODB_BACKUP__NAMESPACE", "blue/green")
    with pytest.raises(InvalidValueError, match="dynamodb_backup"):
        operator().execute(context)
    assert not control_plane.backup_arns()


def test_the_aws_settings_default_to_the_connection_s() -> None:
    """A bare operator asks what ``aws_default`` says."""
    hook = operator().hook
    assert (hook.aws_conn_id, hook.region_name, hook.verify) == ("aws_default", None, None)


def test_the_aws_settings_reach_the_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """All four can be set on the task."""
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", "aws://")
    hook = operator(**SETTINGS).hook
    assert (hook.aws_conn_id, hook.region_name, hook.verify) == ("other", "eu-west-1", False)
    assert hook.config.read_timeout == 9


def test_template_fields_are_attributes() -> None:
    """Airflow renders them on the instance."""
    task = operator()
    expected = {"table_name", "backup_name", "account_id", "aws_conn_id", "region_name", "verify"}
    assert set(task.template_fields) == expected
    assert all(hasattr(task, name) for name in task.template_fields)


def test_defaults_are_those_of_the_contract() -> None:
    """Users rely on them."""
    task = operator()
    assert (task.backup_name, task.wait_for_completion, task.deferrable) == (None, True, False)
    assert (task.poll_interval, task.timeout) == (5, 1800)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"table_name": "a b"}, "table_name must be a table's name"),
        ({"table_name": None}, "table_name must be a table's name"),
        ({"backup_name": "ab"}, "backup_name must be 3 to 255"),
        ({"backup_name": ""}, "backup_name must be 3 to 255"),
        ({"timeout": 30}, "timeout must be 60 to 7200 seconds"),
        ({"timeout": timedelta(hours=3)}, "timeout must be 60 to 7200 seconds"),
        ({"poll_interval": 0}, "poll_interval must be more than 0 seconds"),
    ],
)
def test_wrong_literals_are_refused_when_the_dag_is_parsed(wrong: dict[str, Any], rule: str) -> None:
    """The DAG shows as broken, with the value and the rule."""
    with pytest.raises(InvalidValueError, match=rule) as refusal:
        operator(**wrong)
    assert repr(next(iter(wrong.values()))) in str(refusal.value)


def test_unknown_parameters_are_refused_when_the_dag_is_parsed() -> None:
    """A typo does not go unnoticed."""
    with pytest.raises((TypeError, AirflowException), match="tabel_name"):
        operator(tabel_name="orders")


def test_mapped_parameters_are_refused_when_the_dag_is_parsed() -> None:
    """A typo in ``partial`` or ``expand`` does not go unnoticed either."""
    with pytest.raises(TypeError, match="backup_nam"):
        DynamoDBCreateBackupOperator.partial(task_id="t", backup_nam="x").expand(table_name=["orders"])


def test_templates_are_accepted_when_the_dag_is_parsed() -> None:
    """They are checked when they have a value."""
    task = operator(table_name="{{ params.table }}", backup_name="{{ params.name }}")
    assert task.table_name == "{{ params.table }}"


@pytest.mark.parametrize(
    ("field", "rendered"),
    [
        ("table_name", None),
        ("table_name", ""),
        ("table_name", "a b"),
        ("table_name", 123),
        ("backup_name", None),
        ("backup_name", ""),
        ("backup_name", "x/y"),
    ],
)
def test_rendered_values_are_checked_before_anything_is_created(
    control_plane: ControlPlane, context: Context, field: str, rendered: object
) -> None:
    """A template that renders to nothing, or to nonsense, leaves no backup behind."""
    task = operator(**{field: "{{ x }}"})
    setattr(task, field, rendered)
    with pytest.raises(InvalidValueError, match=f"{field} must be"):
        task.execute(context)
    assert control_plane.backup_arns() == []


def test_a_table_arn_of_another_region_is_refused(control_plane: ControlPlane, context: Context) -> None:
    """AWS would look for it in its own region."""
    arn = control_plane.create_table("orders", region="eu-west-1")
    with pytest.raises(OtherRegionError, match="region 'us-east-1'. The ARN is of 'eu-west-1'"):
        operator(table_name=arn).execute(context)
    assert control_plane.backup_arns("eu-west-1") == control_plane.backup_arns() == []


def test_a_missing_table_is_refused(control_plane: ControlPlane, context: Context) -> None:
    """No backup is tried."""
    with pytest.raises(TableNotFoundError, match="table 'nowhere', backup 'nightly', region 'us-east-1'"):
        operator(table_name="nowhere", backup_name="nightly").execute(context)
    assert control_plane.calls["CreateBackup"] == 0


def test_a_table_that_is_being_deleted_is_refused(control_plane: ControlPlane, context: Context) -> None:
    """No retry helps; CreateBackup would succeed for a second or two."""
    control_plane.statuses["orders"] = "DELETING"
    refused = "table 'orders', backup 'nightly', region 'us-east-1'. It is DELETING"
    with pytest.raises(TableUnavailableError, match=refused):
        operator(backup_name="nightly").execute(context)
    assert control_plane.calls["CreateBackup"] == 0


@pytest.mark.parametrize("status", ["UPDATING", "ARCHIVED", "INACCESSIBLE_ENCRYPTION_CREDENTIALS", "NEW_IN_AWS"])
def test_in_any_other_status_aws_decides(control_plane: ControlPlane, context: Context, status: str) -> None:
    """CreateBackup is asked: nobody but AWS knows which of them it takes."""
    control_plane.statuses["orders"] = status
    assert [operator().execute(context)] == control_plane.backup_arns()


def test_a_table_that_is_being_created_is_waited_for_until_the_timeout(
    control_plane: ControlPlane, context: Context, clock: Clock
) -> None:
    """It becomes ACTIVE by itself; the task fails with the status, and Airflow may retry it."""
    control_plane.statuses["orders"] = "CREATING"
    start = clock.time()
    with pytest.raises(TableNotReadyError, match="It is CREATING"):
        operator(timeout=60).execute(context)
    assert clock.time() - start == 60
    assert control_plane.calls["CreateBackup"] == 0


def test_it_waits_until_the_backup_is_available(control_plane: ControlPlane, context: Context, clock: Clock) -> None:
    """The ARN comes back after the backup's time, at the next poll."""
    control_plane.creating_for = 98
    start = clock.time()
    assert [operator().execute(context)] == control_plane.backup_arns()
    assert clock.time() - start == 100


def test_the_log_tells_start_progress_and_end(
    control_plane: ControlPlane, context: Context, log: Callable[[], str]
) -> None:
    """Every 30 s there is a line with status and whole seconds."""
    control_plane.creating_for = 62
    arn = operator(backup_name="nightly").execute(context)
    text = log()
    assert "Starting backup creation: table orders, backup name nightly" in text
    assert [f"Status CREATING, {elapsed} s after" in text for elapsed in (25, 30, 60)] == [False, True, True]
    assert re.search(rf"Backup completed successfully: {arn}, created at \S+, 123 bytes", text)


def test_arn_and_link_are_kept_before_any_waiting(
    control_plane: ControlPlane, context: Context, ti: FakeTaskInstance
) -> None:
    """A task that is killed while it waits has told them already."""
    control_plane.creating_for = 9999
    with pytest.raises(BackupTimeoutError):
        operator().execute(context)
    assert [ti.xcoms["backup_arn"]] == control_plane.backup_arns()
    assert ti.xcoms["dynamodb_backup"]["table_name"] == "orders"


def test_a_task_that_pushes_no_xcom_pushes_none(
    control_plane: ControlPlane, context: Context, ti: FakeTaskInstance
) -> None:
    """``do_xcom_push=False`` is honoured."""
    assert [operator(do_xcom_push=False).execute(context)] == control_plane.backup_arns()
    assert ti.xcoms == {}


def test_a_timeout_names_arn_and_last_status(control_plane: ControlPlane, context: Context, clock: Clock) -> None:
    """Time counts from the start of ``execute``; the backup goes on."""
    control_plane.creating_for = 9999
    start = clock.time()
    with pytest.raises(BackupTimeoutError, match="region 'us-east-1'. Last status CREATING, 90 s") as timeout:
        operator(timeout=90, poll_interval=40).execute(context)
    assert clock.time() - start == 90
    assert control_plane.backup_arns()[0] in str(timeout.value)


@pytest.mark.parametrize("deferrable", [True, False])
def test_without_waiting_it_neither_waits_nor_defers(
    control_plane: ControlPlane, context: Context, *, deferrable: bool
) -> None:
    """``deferrable`` does not imply ``wait_for_completion``."""
    control_plane.creating_for = 9999
    task = operator(wait_for_completion=False, deferrable=deferrable)
    assert [task.execute(context)] == control_plane.backup_arns()
    assert control_plane.calls["DescribeBackup"] == 0


def test_a_backup_that_is_available_at_once_does_not_defer(control_plane: ControlPlane, context: Context) -> None:
    """There is nothing to wait for."""
    assert [operator(deferrable=True).execute(context)] == control_plane.backup_arns()


def test_arn_and_link_are_kept_before_the_deferral(
    control_plane: ControlPlane, context: Context, ti: FakeTaskInstance
) -> None:
    """The ARN is known even if the trigger fails."""
    control_plane.creating_for = 9999
    defer(operator(deferrable=True), context)
    assert [ti.xcoms["backup_arn"]] == control_plane.backup_arns()
    assert "dynamodb_backup" in ti.xcoms


def test_a_given_name_is_the_backup_s(control_plane: ControlPlane, context: Context) -> None:
    """``backup_name`` is used as it is."""
    arn = operator(backup_name="before-rewrite").execute(context)
    details = control_plane.client().describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]
    assert details["BackupName"] == "before-rewrite"


def test_without_a_name_it_is_derived_from_the_run(
    control_plane: ControlPlane, context: Context, ti: FakeTaskInstance
) -> None:
    """DAG, task and run make the name; positions of a mapped list move."""
    ti.map_index = 3
    arn = operator().execute(context)
    details = control_plane.client().describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]
    assert details["BackupName"].startswith(derived_prefix("", "shop", "back_up") + "manual__2026-11-23.")


def test_it_can_be_mapped(control_plane: ControlPlane, context: Context) -> None:
    """``partial`` and ``expand`` take every parameter."""
    control_plane.create_table("customers")
    with DAG("shop", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        mapped = DynamoDBCreateBackupOperator.partial(task_id="back_up", timeout=90, **SETTINGS).expand(
            table_name=["orders", "customers"]
        )
    task = cast("DynamoDBCreateBackupOperator", mapped.unmap({"table_name": "customers"}))
    assert (task.table_name, task.timeout, task.aws_conn_id) == ("customers", 90, "other")


def test_the_link_is_the_operator_s() -> None:
    """The UI finds it by its name."""
    assert [link.name for link in operator().operator_extra_links] == ["DynamoDB backup"]


def test_a_table_s_arn_names_the_region_where_nothing_else_does(
    control_plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be in no other."""
    arn = control_plane.create_table("orders", region="eu-west-1")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(region=None))
    assert [operator(table_name=arn).execute(context)] == control_plane.backup_arns("eu-west-1")


@pytest.mark.parametrize("operation", ["DescribeTable", "CreateBackup", "DescribeBackup"])
def test_the_timeout_holds_while_a_call_hangs(
    control_plane: ControlPlane, context: Context, clock: Clock, operation: str
) -> None:
    """It holds for every call and everything that the server may do."""
    control_plane.creating_for = 9999
    control_plane.fail_next(operation, HANGING_AFTER_COMMIT, times=999)
    start = clock.time()
    with pytest.raises(BackupError):
        operator(timeout=60).execute(context)
    assert clock.time() - start <= 60 + CALL_SECONDS
    assert len(control_plane.backup_arns()) == (operation != "DescribeTable")


@pytest.mark.parametrize("operation", ["DescribeTable", "DescribeContinuousBackups", "CreateBackup", "DescribeBackup"])
@pytest.mark.parametrize("fault", [THROTTLED, INTERNAL_ERROR, HTML_OF_A_PROXY])
def test_all_calls_are_retried_alike(
    control_plane: ControlPlane, context: Context, operation: str, fault: Fault
) -> None:
    """A bad quarter of an hour ends no task that has half an hour."""
    control_plane.switch_recovery("orders")
    # Not more than three ambiguous outcomes of a creation.
    control_plane.fail_next(operation, fault, times=3 if operation == "CreateBackup" else 25)
    arn = operator(require_point_in_time_recovery=True).execute(context)
    assert [arn] == control_plane.backup_arns()


def test_a_token_that_is_replaced_while_the_worker_waits_is_picked_up(
    control_plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch, log: Callable[[], str]
) -> None:
    """As on the triggerer: refused credentials open the client anew."""
    control_plane.creating_for = 60
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(access_key="old"))

    def expire(*_: object) -> None:
        control_plane.expired_keys.add("old")
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(access_key="new"))

    control_plane.on_commit = expire
    assert [operator().execute(context)] == control_plane.backup_arns()
    # Airflow 2 prints what it also hands on.
    lines = {
        line[line.index("DescribeBackup in us-east-1 fails") :]
        for line in log().splitlines()
        if "DescribeBackup in us-east-1 fails" in line
    }
    assert len(lines) == 1


def test_reuse_beside_another_choice_is_refused_when_the_dag_is_parsed() -> None:
    """It would be ignored."""
    for choice in ("fail", "create"):
        with pytest.raises(InvalidValueError, match=f"reuse_within must be None with if_exists='{choice}'"):
            operator(if_exists=choice, reuse_within=timedelta(hours=1))


def test_a_timeout_with_create_does_not_promise_that_a_retry_waits(
    control_plane: ControlPlane, context: Context
) -> None:
    """It makes another backup."""
    control_plane.creating_for = 9999
    with pytest.raises(BackupNotReusedTimeoutError, match="a retry makes another, since if_exists is 'create'"):
        operator(if_exists="create", timeout=60).execute(context)


def test_values_that_were_set_since_are_checked_when_it_runs(control_plane: ControlPlane, context: Context) -> None:
    """By ``pre_execute``, a subclass or a cluster policy."""
    task = operator()
    task.timeout = timedelta(minutes=2)
    task.if_exists = "replace"
    with pytest.raises(InvalidValueError, match="if_exists must be one of"):
        task.execute(context)
    assert control_plane.backup_arns() == []


def test_a_name_that_was_set_after_the_constructor(control_plane: ControlPlane, clock: Clock) -> None:
    """By ``pre_execute``, a subclass or a cluster policy."""
    task = DynamoDBCreateBackupOperator(task_id="back_up", table_name="orders")
    task.backup_name = "of-the-policy"
    arn = execute(task, begun(clock))
    details = control_plane.client().describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]
    assert details["BackupName"] == "of-the-policy"


def test_an_object_that_is_executed_twice_keeps_nothing(
    control_plane: ControlPlane, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the connection nor a derived name."""
    task = DynamoDBCreateBackupOperator(task_id="back_up", table_name="orders")
    execute(task, begun(clock, "one"))
    control_plane.expired_keys.add("simulated")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(access_key="new"))
    execute(task, begun(clock, "two"))
    summaries = control_plane.client().list_backups(TableName="orders")["BackupSummaries"]
    assert len({summary["BackupName"] for summary in summaries}) == 2


def test_intervals_may_be_timedeltas(control_plane: ControlPlane, clock: Clock) -> None:
    """As timeouts may."""
    control_plane.creating_for = 20
    assert [run(begun(clock), poll_interval=timedelta(seconds=5))] == control_plane.backup_arns()


def test_a_task_that_pushes_no_xcom_names_the_region_all_the_same(
    control_plane: ControlPlane, context: Context
) -> None:
    """It is the connection's."""
    control_plane.creating_for = 99
    task = DynamoDBCreateBackupOperator(task_id="back_up", table_name="orders", deferrable=True, do_xcom_push=False)
    with pytest.raises(TaskDeferred):
        task.execute(context)
    with pytest.raises(BackupTimeoutError, match="region 'us-east-1'"):
        task.resume_execution("__fail__", {"error": "Trigger timeout"}, context)


def test_a_typo_in_the_connection(control_plane: ControlPlane, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(config_kwargs={"read_timeot": 9}))
    with pytest.raises(ConfigurationError, match="table 'orders'.*read_timeot"):
        run(begun(clock))
