"""Deleting what a policy does not keep, and nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.clock import Clock as PackageClock
from airflow_ddb_backup.exceptions import (
    AmbiguousOutcomeError,
    BackupError,
    DeletionsFailedError,
    DeletionsFailedForGoodError,
    EmptySelectionError,
    InvalidValueError,
    ListBackupsDeniedError,
    OtherRegionError,
    PermanentError,
    TooManyDeletionsError,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from tests.simulator import rules
from tests.simulator.control_plane import ControlPlane
from tests.simulator.faults import (
    BAD_GATEWAY,
    DROPPED_AFTER_COMMIT,
    DROPPED_BEFORE_COMMIT,
    EMPTY_RESPONSE,
    EMPTY_RESPONSE_AFTER_COMMIT,
    HTML_OF_A_PROXY,
    INTERNAL_ERROR,
    INTERNAL_ERROR_AFTER_COMMIT,
    THROTTLED,
    Answer,
    Fault,
)
from tests.unit.conftest import TaskTimeout
from tests.unit.retention.support import DAY, DELETING, FOR_EVER, SIZE, created, nightly, operator, prune

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.clock import Clock
    from tests.unit.conftest import FakeTaskInstance


class TestWhatIsDeleted:
    """By policy, prefix, type and selection."""

    def test_what_the_policy_does_not_keep_is_deleted_the_oldest_first(
        self, control_plane: ControlPlane, context: Context, log: Callable[[], str]
    ) -> None:
        """The report has every ARN, and how many bytes they are."""
        made = nightly(control_plane, 5)
        report = prune(context, keep_last=2)
        place = {"account": "123456789012", "region": "us-east-1", "error": None}
        counts = {"plan_only": False, "kept": 2, "deleted": made[:3], "in_use": [], "failed": {}}
        text = report.pop("text")
        assert report == counts | place | {"kept_bytes": 2 * SIZE, "deleted_bytes": 3 * SIZE}
        assert text.startswith(
            f"3 backups were deleted ({3 * SIZE} bytes), 2 are kept ({2 * SIZE} bytes), 0 are in use"
        )
        assert text.endswith("AWS account 123456789012, region us-east-1.")
        begun = (
            f"Plan: 3 to delete ({3 * SIZE} bytes), 2 kept ({2 * SIZE} bytes); account 123456789012, region us-east-1"
        )
        (plan,) = [line for line in log().splitlines() if begun in line]
        assert re.search("by keep_last=2, .*, of 1 table.s., backups named nightly-[*]", plan)
        assert control_plane.backup_arns() == made[3:]

    def test_a_second_prune_has_nothing_to_do(self, control_plane: ControlPlane, context: Context) -> None:
        """The plan does not depend on what it deletes."""
        nightly(control_plane, 5)
        prune(context, keep_last=2)
        assert prune(context, keep_last=2)["deleted"] == []

    @pytest.mark.parametrize("flag", [True, "true", "True"])
    def test_a_plan_only_prune_plans_as_a_real_one_and_deletes_nothing(
        self, control_plane: ControlPlane, context: Context, flag: object
    ) -> None:
        """``deleted`` is what a real run would delete."""
        made = nightly(control_plane, 5)
        rehearsal = prune(context, keep_last=2, plan_only=flag)
        assert control_plane.backup_arns() == made
        assert control_plane.calls["DeleteBackup"] == 0
        text = rehearsal["text"].replace("would be", "were")
        assert prune(context, keep_last=2) == rehearsal | {"plan_only": False, "text": text}

    def test_other_names_types_and_tables_are_not_touched(self, control_plane: ControlPlane, context: Context) -> None:
        """Nor do they count."""
        made = nightly(control_plane, 2)
        control_plane.create_table("customers")
        others = [
            *nightly(control_plane, 3, name="weekly-1"),
            *nightly(control_plane, 3, table="customers"),
            *control_plane.add_backups("orders", 2, "nightly-9", kind="SYSTEM", age=DAY * 3),
            *control_plane.add_backups("orders", 2, "nightly-9", kind="AWS_BACKUP", age=DAY * 3),
        ]
        assert prune(context, keep_last=1)["deleted"] == made[:1]
        assert set(control_plane.backup_arns()) == {*made[1:], *others}

    def test_a_backup_of_no_stated_type_is_kept(self, control_plane: ControlPlane, context: Context) -> None:
        """When in doubt, nothing is deleted."""
        made = nightly(control_plane, 3)
        control_plane.fail_next("ListBackups", Fault(Answer.ALTERED, drop_members=["BackupType"]))
        assert prune(context, keep_last=1)["deleted"] == []
        assert control_plane.backup_arns() == made

    @pytest.mark.parametrize("status", ["CREATING", "DELETED"])
    def test_the_last_good_one_stays_while_new_ones_fail(
        self, control_plane: ControlPlane, context: Context, status: str
    ) -> None:
        """A month of failed backups neither counts nor is deleted."""
        made = nightly(control_plane, 30)
        control_plane.statuses |= dict.fromkeys(made[2:], status)
        assert prune(context, older_than=timedelta(days=1))["deleted"] == made[:1]
        assert set(control_plane.backup_arns()) == set(made[1:])

    def test_nothing_made_since_the_task_began_is_deleted(
        self, control_plane: ControlPlane, context: Context, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By AWS's clock: the worker's is an hour ahead here."""
        control_plane.clock_offset = -3600
        old = control_plane.add_backups("orders", 1, "nightly-1", age=10)
        list_backups = DynamoDBBackupHook.list_backups

        def back_up_first(*args: Any, **kwargs: Any) -> Any:
            for _ in range(2):
                clock.sleep(5)
                control_plane.add_backups("orders", 1, "nightly-1")
            return list_backups(*args, **kwargs)

        monkeypatch.setattr(DynamoDBBackupHook, "list_backups", back_up_first)
        report = prune(context, keep_last=1)
        assert (report["kept"], report["deleted"]) == (2, old)

    def test_kept_names_are_neither_deleted_nor_counted(self, control_plane: ControlPlane, context: Context) -> None:
        """Two DAGs' prefixes overlap: the seven newest of the one are not taken for the other's."""
        own = nightly(control_plane, 4)
        others = nightly(control_plane, 3, name="nightly-eu-1")
        report = prune(context, keep_last=2, keep_names=["nightly-eu-*"])
        assert report["deleted"] == own[:2]
        assert set(control_plane.backup_arns()) == {*own[2:], *others}

    def test_the_plan_shows_another_task_s_backups(
        self, control_plane: ControlPlane, context: Context, log: Callable[[], str]
    ) -> None:
        """A reader of the table sees that the prefixes overlap."""
        nightly(control_plane, 2)
        nightly(control_plane, 2, name="nightly-eu-1")
        prune(context, keep_last=1, plan_only=True)
        assert re.search(r"delete .* no rule keeps it +orders .* nightly-eu-1", log())

    @pytest.mark.load
    def test_a_large_plan_is_a_line_for_each_table(
        self, control_plane: ControlPlane, context: Context, log: Callable[[], str]
    ) -> None:
        """And nobody reads 600 rows; each deletion has its line, and every 30 s there is one on the progress."""
        control_plane.create_table("customers")
        nightly(control_plane, 2, table="customers")
        control_plane.add_backups("orders", 600, "nightly-1", age=DAY)
        prune(context, table_names=["orders", "customers"], keep_last=1, max_deletions=600)
        written = log()
        assert f"1 to delete ({SIZE} bytes), 1 kept ({SIZE} bytes): customers\n599 to delete (" in written
        assert "no rule keeps it" not in written
        assert "151 of 600 deleted so far" in written


class TestDroppedTables:
    """A backup outlives its table."""

    def test_an_earlier_table_s_backups_are_not_touched(
        self, control_plane: ControlPlane, context: Context, log: Callable[[], str]
    ) -> None:
        """They are all that is left of it."""
        earlier = nightly(control_plane, 3)
        control_plane.drop_table("orders")
        control_plane.create_table("orders")
        made = nightly(control_plane, 2)
        assert prune(context, keep_last=1)["deleted"] == made[:1]
        assert set(control_plane.backup_arns()) == {*earlier, made[1]}
        assert "1 kept (123 bytes), 3 of other tables of these names not touched; account" in log()

    def test_with_dropped_tables_each_is_a_group_of_its_own(
        self, control_plane: ControlPlane, context: Context
    ) -> None:
        """Each keeps its own newest."""
        earlier = nightly(control_plane, 3)
        control_plane.drop_table("orders")
        control_plane.create_table("orders")
        made = nightly(control_plane, 2)
        report = prune(context, keep_last=1, dropped_tables=True)
        assert set(report["deleted"]) == {*earlier[:2], made[0]}
        assert set(control_plane.backup_arns()) == {earlier[2], made[1]}

    def test_a_sweep_finds_tables_that_are_gone(self, control_plane: ControlPlane, context: Context) -> None:
        """Only their backups tell of them."""
        control_plane.create_table("test-1")
        gone = nightly(control_plane, 3, table="test-1")
        control_plane.drop_table("test-1")
        made = nightly(control_plane, 1)
        sweep: dict[str, Any] = {
            "older_than": timedelta(hours=20),
            "minimum_redundancy": 0,
            "dropped_tables": True,
            "table_names": ["*"],
            "exclude": ["orders"],
        }
        assert prune(context, **sweep)["deleted"] == gone
        assert control_plane.backup_arns() == made

    def test_a_wrong_name_fails_here_too(self, control_plane: ControlPlane, context: Context) -> None:
        """It has no backup at all; one of a dropped table has."""
        control_plane.create_table("dropped")
        gone = nightly(control_plane, 2, table="dropped")
        control_plane.drop_table("dropped")
        with pytest.raises(DeletionsFailedForGoodError, match="1 failed.*ordres: The table does not exist"):
            prune(context, table_names=["ordres", "dropped"], keep_last=1, dropped_tables=True)
        assert control_plane.backup_arns() == gone[1:]

    def test_one_name_is_listed_by_itself(self, control_plane: ControlPlane, context: Context) -> None:
        """Only patterns need the listing of the account to find tables that are gone."""
        control_plane.create_table("customers")
        control_plane.add_backups("customers", 500)
        made = nightly(control_plane, 2)
        assert prune(context, keep_last=1, dropped_tables=True)["deleted"] == made[:1]
        assert control_plane.calls["ListBackups"] == 1

    def test_a_table_that_is_gone_has_no_tags(self, control_plane: ControlPlane, context: Context) -> None:
        """Its backups are not touched, with any tags that it had, and the task says so."""
        made = nightly(control_plane, 3)
        control_plane.tag_table("orders", env="prod")
        control_plane.drop_table("orders")
        sweep: dict[str, Any] = {"older_than": timedelta(hours=1), "minimum_redundancy": 0}
        with pytest.raises(DeletionsFailedForGoodError, match="orders: The table does not exist"):
            prune(context, table_tags={"env": "test"}, **sweep)
        assert control_plane.backup_arns() == made

    def test_tags_of_an_earlier_table_do_not_select_its_successor(
        self, control_plane: ControlPlane, context: Context, log: Callable[[], str]
    ) -> None:
        """AWS lists them for hours, under the same ARN."""
        control_plane.tag_table("orders", env="test")
        control_plane.drop_table("orders")
        control_plane.create_table("orders")
        made = nightly(control_plane, 3)
        assert prune(context, table_names=["*"], table_tags={"env": "test"}, keep_last=1)["deleted"] == []
        assert "Nothing is deleted, since it lacks the tags: table orders" in log()
        control_plane.tag_table("orders", env="test")
        assert prune(context, table_names=["*"], table_tags={"env": "test"}, keep_last=1)["deleted"] == made[:-1]

    def test_a_table_that_has_lost_its_tags_loses_no_backup(
        self, control_plane: ControlPlane, context: Context, log: Callable[[], str]
    ) -> None:
        """GetResources still lists them; the table is asked itself, and the plan keeps all of it."""
        created(control_plane, "customers")
        control_plane.tag_table("customers", backup="nightly")
        others, made = nightly(control_plane, 3, "customers"), nightly(control_plane, 3)
        control_plane.ghosts["arn:aws:dynamodb:us-east-1:123456789012:table/orders"] = {"backup": "nightly"}
        for plan_only in (True, False):
            report = prune(
                context, table_names=["*"], table_tags={"backup": "nightly"}, keep_last=1, plan_only=plan_only
            )
            assert (report["deleted"], report["kept"], report["failed"]) == (others[:-1], 1 + 3, {})
        assert set(made) < set(control_plane.backup_arns())
        assert log().count("Nothing is deleted, since it lacks the tags: table orders") >= 2

    @pytest.mark.parametrize("names", [["orders", "ordinary"], ["ord*"]], ids=repr)
    def test_a_table_whose_tag_has_changed_loses_no_backup(
        self, control_plane: ControlPlane, context: Context, names: list[str]
    ) -> None:
        """Somebody has put a legal hold on it, just before it is asked."""
        created(control_plane, "ordinary")
        for name in ("orders", "ordinary"):
            control_plane.tag_table(name, backup="nightly")
        made, client = nightly(control_plane, 3), control_plane.client()
        hold = {
            "ResourceArn": client.describe_table(TableName="orders")["Table"]["TableArn"],
            "Tags": [{"Key": "backup", "Value": "legal-hold"}],
        }
        control_plane.before("ListTagsOfResource", lambda: client.tag_resource(**hold))
        report = prune(context, table_names=names, table_tags={"backup": "nightly"}, keep_last=1)
        assert report["deleted"] == []
        assert control_plane.backup_arns() == made

    def test_a_named_table_that_lacks_the_tags_is_left_out(
        self, control_plane: ControlPlane, context: Context, log: Callable[[], str]
    ) -> None:
        """With a warning, and not counted as selected."""
        created(control_plane, "customers")
        control_plane.tag_table("orders", backup="nightly")
        others, made = nightly(control_plane, 3, "customers"), nightly(control_plane, 3)
        tags = {"backup": "nightly"}
        report = prune(context, table_names=["customers", "orders"], table_tags=tags, max_tables=1, keep_last=1)
        assert (report["deleted"], report["kept"]) == (made[:-1], 1)
        assert "Skipped, since it lacks the tags: table customers" in log()
        with pytest.raises(EmptySelectionError):
            prune(context, table_names=["customers"], table_tags=tags, keep_last=1)
        assert set(others) < set(control_plane.backup_arns())

    def test_without_table_ids_the_creation_time_tells_the_table(
        self, control_plane: ControlPlane, context: Context, clock: Clock
    ) -> None:
        """A backup from before the table is not its own."""
        earlier = nightly(control_plane, 3)
        clock.sleep(100)
        control_plane.drop_table("orders")
        control_plane.create_table("orders")
        clock.sleep(3 * DAY)
        made = control_plane.add_backups("orders", 3, age=DAY, name="nightly-1")
        control_plane.fail_next("ListBackups", Fault(Answer.ALTERED, drop_members=["TableId"]))
        assert set(prune(context, keep_last=1)["deleted"]) < set(made)
        assert set(earlier) < set(control_plane.backup_arns())

    def test_a_table_that_is_being_deleted_counts_as_gone(self, control_plane: ControlPlane, context: Context) -> None:
        """Its backups may soon be all that is left of it."""
        made = nightly(control_plane, 3)
        control_plane.statuses["orders"] = "DELETING"
        with pytest.raises(DeletionsFailedForGoodError, match="orders: The table does not exist.*It is DELETING"):
            prune(context, keep_last=1)
        assert control_plane.backup_arns() == made

    def test_another_account_s_table_is_not_this_one(self, control_plane: ControlPlane, context: Context) -> None:
        """Its ARN says so, whatever its name."""
        made = nightly(control_plane, 3)
        arn = "arn:aws:dynamodb:us-east-1:999999999999:table/other"
        with pytest.raises(DeletionsFailedForGoodError, match="other: The table does not exist"):
            prune(context, table_names=[arn], keep_last=1, dropped_tables=True)
        assert control_plane.backup_arns() == made


class TestRails:
    """Nothing is deleted while anything is in doubt."""

    @pytest.mark.parametrize(
        "fault",
        [THROTTLED, INTERNAL_ERROR, HTML_OF_A_PROXY, EMPTY_RESPONSE, DROPPED_BEFORE_COMMIT, BAD_GATEWAY],
        ids=lambda fault: f"{fault.answer.name}-{fault.code}",
    )
    @pytest.mark.parametrize("page", [0, 1, 2])
    def test_a_listing_that_stays_broken_deletes_nothing(
        self, control_plane: ControlPlane, context: Context, fault: Fault, page: int
    ) -> None:
        """Whichever page it is."""
        control_plane.add_backups("orders", 250, "nightly-1", age=DAY)
        # As many pages are good, and then none.
        good = Fault(Answer.ALTERED)
        control_plane.fail_next("ListBackups", good, times=page)
        control_plane.fail_next("ListBackups", fault, times=FOR_EVER)
        with pytest.raises(BackupError):
            prune(context, keep_last=1, timeout=60)
        assert control_plane.calls["DeleteBackup"] == 0

    def test_a_backup_that_two_pages_list_counts_once(
        self, control_plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Counted twice, it would cost a good one."""
        made = nightly(control_plane, 120)
        page_of_backups = rules.page_of_backups

        def repeat_the_newest(summaries: Any, request: Any) -> Any:
            page, cursor = page_of_backups(summaries, request)
            others = [one for one in page if one["BackupArn"] != made[-1]]
            return [*others, *(one for one in summaries if one["BackupArn"] == made[-1])], cursor

        monkeypatch.setattr("tests.simulator.control_plane.page_of_backups", repeat_the_newest)
        report = prune(context, keep_last=2, minimum_redundancy=2, max_deletions=118)
        assert (report["kept"], set(report["deleted"])) == (2, set(made[:-2]))
        assert control_plane.calls["DeleteBackup"] == 118

    @pytest.mark.parametrize(
        ("operation", "members"),
        [
            ("ListBackups", {"LastEvaluatedBackupArn": "arn:aws:dynamodb:us-east-1:1:table/t/backup/1"}),
            ("ListTables", {"LastEvaluatedTableName": "orders"}),
        ],
    )
    def test_a_listing_whose_cursor_comes_back_ends(
        self,
        control_plane: ControlPlane,
        context: Context,
        monkeypatch: pytest.MonkeyPatch,
        operation: str,
        members: dict[str, str],
    ) -> None:
        """Nothing is deleted, and a retry begins a new listing."""
        nightly(control_plane, 3)
        correct = ControlPlane._correct  # noqa: SLF001  # moto has no such answer

        def go_round(self: ControlPlane, call: Any, content: dict[str, Any]) -> None:
            correct(self, call, content)
            if call.operation == operation:
                content.update(members)

        monkeypatch.setattr(ControlPlane, "_correct", go_round)
        with pytest.raises(AmbiguousOutcomeError, match="AWS returned the cursor"):
            prune(context, table_names=["*"], keep_last=1, dropped_tables=True)
        assert control_plane.calls[operation] == 2
        assert control_plane.calls["DeleteBackup"] == 0

    def test_a_report_that_can_t_be_pushed_does_not_hide_the_failure(
        self, control_plane: ControlPlane, context: Context, ti: FakeTaskInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whether to retry depends on it."""
        nightly(control_plane, 3)

        def fail(**_: object) -> None:
            raise RuntimeError

        monkeypatch.setattr(type(ti), "xcom_push", fail)
        with pytest.raises(TooManyDeletionsError):
            prune(context, keep_last=1, max_deletions=1)

    def test_without_aws_s_clock_the_worker_s_beginning_counts(
        self, control_plane: ControlPlane, context: Context, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the most that clocks differ: a slow listing makes nothing older."""
        monkeypatch.setattr(PackageClock, "observe_response", lambda *_: None)
        old = nightly(control_plane, 1)
        list_backups = DynamoDBBackupHook.list_backups

        def back_up_first(*args: Any, **kwargs: Any) -> Any:
            for _ in range(2):
                control_plane.add_backups("orders", 1, "nightly-1")
                clock.sleep(600)
            return list_backups(*args, **kwargs)

        monkeypatch.setattr(DynamoDBBackupHook, "list_backups", back_up_first)
        report = prune(context, keep_last=1)
        assert (report["kept"], report["deleted"]) == (2, old)

    def test_two_arns_of_one_name_are_refused(self, control_plane: ControlPlane, context: Context) -> None:
        """The second would be forgotten."""
        made = nightly(control_plane, 3)
        arns = [f"arn:aws:dynamodb:us-east-1:{account}:table/orders" for account in ("123456789012", "210987654321")]
        with pytest.raises(InvalidValueError, match="of one account"):
            prune(context, table_names=arns, keep_last=1)
        assert control_plane.backup_arns() == made

    @pytest.mark.parametrize("rendered", ["", " ", 1])
    def test_a_region_that_renders_to_nothing_is_refused(
        self, control_plane: ControlPlane, context: Context, rendered: object
    ) -> None:
        """The connection's might be another."""
        made = nightly(control_plane, 3)
        task = operator(keep_last=1, region_name="{{ x }}")
        task.region_name = rendered  # type: ignore[assignment]
        with pytest.raises(InvalidValueError, match="region_name must be a region"):
            task.execute(context)
        assert control_plane.backup_arns() == made

    def test_a_cursor_whose_backup_was_deleted_begins_the_listing_again(
        self, control_plane: ControlPlane, context: Context
    ) -> None:
        """As another prune deletes them all the time."""
        control_plane.add_backups("orders", 250, "nightly-1", age=DAY)
        control_plane.fail_next("ListBackups", Fault(Answer.ALTERED))
        control_plane.fail_next("ListBackups", Fault(code="ValidationException"))
        assert len(prune(context, keep_last=1, max_deletions=249)["deleted"]) == 249
        assert control_plane.calls["ListBackups"] == 1 + 1 + 3

    def test_all_that_are_gone_are_left_out_of_what_is_kept(
        self, control_plane: ControlPlane, context: Context
    ) -> None:
        """As far as they were described."""
        made = nightly(control_plane, 5)
        control_plane.listing_lag = 10
        for arn in made[-2:]:
            control_plane.client().delete_backup(BackupArn=arn)
        report = prune(context, keep_last=2, minimum_redundancy=2)
        assert (report["kept"], report["deleted"]) == (3, [])

    def test_a_backup_made_while_the_connection_is_read_is_new(
        self, control_plane: ControlPlane, context: Context, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The task has begun by then."""
        old = nightly(control_plane, 1)
        resolve_region = DynamoDBBackupHook.resolve_region

        def slowly(*args: Any, **kwargs: Any) -> Any:
            for _ in range(2):
                clock.sleep(60)
                control_plane.add_backups("orders", 1, "nightly-1")
            clock.sleep(60)
            return resolve_region(*args, **kwargs)

        monkeypatch.setattr(DynamoDBBackupHook, "resolve_region", slowly)
        report = prune(context, keep_last=1)
        assert (report["kept"], report["deleted"]) == (2, old)

    def test_a_listing_that_recovers_is_read_on(self, control_plane: ControlPlane, context: Context) -> None:
        """From the same page."""
        control_plane.add_backups("orders", 250, "nightly-1", age=DAY)
        control_plane.fail_next("ListBackups", Fault(Answer.ALTERED))
        control_plane.fail_next("ListBackups", INTERNAL_ERROR, times=3)
        assert len(prune(context, keep_last=1, max_deletions=249)["deleted"]) == 249

    def test_a_summary_that_can_t_be_read_deletes_nothing(self, control_plane: ControlPlane, context: Context) -> None:
        """It might be the newest good one."""
        nightly(control_plane, 3)
        fault = Fault(Answer.ALTERED, drop_members=["BackupCreationDateTime"])
        control_plane.fail_next("ListBackups", fault, times=FOR_EVER)
        with pytest.raises(BackupError, match="region 'us-east-1'"):
            prune(context, keep_last=1, timeout=60)
        assert control_plane.calls["DeleteBackup"] == 0

    def test_a_plan_above_max_deletions_deletes_nothing(
        self, control_plane: ControlPlane, context: Context, ti: FakeTaskInstance
    ) -> None:
        """The message says the numbers, and plan_only fails alike."""
        made = nightly(control_plane, 12)
        for plan_only in (False, True):
            with pytest.raises(TooManyDeletionsError, match="would delete 11 and keep 1, and max_deletions is 10"):
                prune(context, keep_last=1, max_deletions=10, plan_only=plan_only)
        assert control_plane.backup_arns() == made
        report = ti.xcoms["report"]
        assert (report["plan_only"], report["kept"], report["deleted"], report["failed"]) == (True, 1, [], {})
        assert report["error"].startswith("The plan would delete more backups than max_deletions allows")
        assert report["text"].startswith(report["error"])

    def test_unasked_a_prune_deletes_ten_for_each_table_and_at_least_a_hundred(
        self, control_plane: ControlPlane, context: Context
    ) -> None:
        """However many tables there are, the nights after an outage pass."""
        control_plane.add_backups("orders", 102, "nightly-1", age=DAY)
        with pytest.raises(TooManyDeletionsError, match="would delete 101 and keep 1, and max_deletions is 100"):
            prune(context, keep_last=1)
        for number in range(10):
            name = created(control_plane, f"shop-{number}")[0]
            nightly(control_plane, 1, name)
        assert len(prune(context, table_names=["*"], keep_last=1, plan_only=True)["deleted"]) == 101

    def test_a_prefix_that_no_backup_has_is_told_with_those_that_there_are(
        self, control_plane: ControlPlane, context: Context, log: Callable[[], str]
    ) -> None:
        """Of the selected tables: a misspelt one would be found out by its bill."""
        created(control_plane, "customers")
        nightly(control_plane, 2, name="nihgtly-2026")
        nightly(control_plane, 2, "customers", "weekly-1")
        prune(context, keep_last=1)
        assert "No backup's name begins with 'nightly-'; there are 'nihgtly-' (2)." in log()
        assert "weekly" not in log()

    def test_a_listing_that_is_behind_does_not_cost_the_last_good_one(
        self, control_plane: ControlPlane, context: Context, log: Callable[[], str]
    ) -> None:
        """The newest is listed, and yet gone: nothing of the table is deleted."""
        made = nightly(control_plane, 3)
        control_plane.listing_lag = 10
        control_plane.client().delete_backup(BackupArn=made[-1])
        report = prune(context, keep_last=1)
        assert (report["deleted"], report["kept"]) == ([], 2)
        assert control_plane.backup_arns() == made[:-1]
        told = (
            "Nothing is deleted of a table whose backup is listed, but is DELETED. The next prune tries again: table "
        )
        assert f"{told}orders, backup {made[-1]}" in log()

    @pytest.mark.parametrize(
        ("rendered", "message"),
        [
            (None, "selects 0 tables"),
            ([], "selects 0 tables"),
            ("", "table_names must be a list"),
            ("['orders']", "render_template_as_native_obj"),
            ([""], "table_names must be a list"),
            ([None], "table_names must be a list"),
        ],
    )
    def test_tables_that_render_to_nothing_never_mean_all(
        self, control_plane: ControlPlane, context: Context, rendered: object, message: str
    ) -> None:
        """With tags beside them too."""
        made = nightly(control_plane, 3)
        control_plane.tag_table("orders", backup="nightly")
        task = operator(table_names="{{ x }}", table_tags={"backup": "nightly"}, keep_last=1)
        task.table_names = rendered  # type: ignore[assignment]
        with pytest.raises(PermanentError, match=message):
            task.execute(context)
        assert control_plane.backup_arns() == made

    @pytest.mark.parametrize("rendered", [None, "", "ni", 123, "night ly"])
    def test_a_prefix_that_renders_to_nothing_deletes_nothing(
        self, control_plane: ControlPlane, context: Context, rendered: object
    ) -> None:
        """It would fit every backup."""
        made = nightly(control_plane, 3)
        task = operator(backup_name_prefix="{{ x }}", keep_last=1)
        task.backup_name_prefix = rendered  # type: ignore[assignment]
        with pytest.raises(InvalidValueError, match="backup_name_prefix must be (3 to 255|not None)"):
            task.execute(context)
        assert control_plane.backup_arns() == made

    @pytest.mark.parametrize("rendered", ["no", "0", "", "None", None, 0, 1, "yes", " true"])
    def test_a_plan_only_that_renders_to_anything_else_is_refused(
        self, control_plane: ControlPlane, context: Context, rendered: object
    ) -> None:
        """The word "no" must not mean "delete"."""
        made = nightly(control_plane, 3)
        task = operator(plan_only="{{ x }}", keep_last=1)
        task.plan_only = rendered  # type: ignore[assignment]
        with pytest.raises(InvalidValueError, match="plan_only must be True or False"):
            task.execute(context)
        assert control_plane.backup_arns() == made

    def test_an_arn_of_another_region_is_refused(self, control_plane: ControlPlane, context: Context) -> None:
        """AWS would look in its own region."""
        made = nightly(control_plane, 3)
        arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
        with pytest.raises(OtherRegionError, match="The ARN is of 'eu-west-1'"):
            prune(context, table_names=["orders", arn], keep_last=1)
        assert control_plane.backup_arns() == made


class TestTrouble:
    """While it deletes."""

    @pytest.mark.parametrize(
        "fault",
        [
            THROTTLED,
            INTERNAL_ERROR,
            INTERNAL_ERROR_AFTER_COMMIT,
            DROPPED_AFTER_COMMIT,
            DROPPED_BEFORE_COMMIT,
            EMPTY_RESPONSE_AFTER_COMMIT,
            HTML_OF_A_PROXY,
            Fault(code="LimitExceededException"),
        ],
        ids=lambda fault: f"{fault.answer.name}-{fault.code}-{fault.committed}",
    )
    def test_a_deletion_is_tried_until_it_is_done(
        self, control_plane: ControlPlane, context: Context, fault: Fault
    ) -> None:
        """Gone already is done: to delete twice is harmless."""
        made = nightly(control_plane, 4)
        control_plane.fail_next("DeleteBackup", fault, times=2)
        assert set(prune(context, keep_last=1)["deleted"]) == set(made[:-1])
        assert control_plane.backup_arns() == made[-1:]

    def test_one_that_is_being_restored_is_left_to_the_next_prune(
        self, control_plane: ControlPlane, context: Context, clock: Clock
    ) -> None:
        """A restore may take hours: it is tried for a minute, and the task succeeds."""
        made = nightly(control_plane, 4)
        control_plane.restoring.add(made[0])
        begun = clock.time()
        report = prune(context, keep_last=1)
        assert (report["in_use"], report["deleted"]) == (made[:1], made[1:3])
        assert 60 <= clock.time() - begun < 100
        control_plane.restoring.clear()
        assert prune(context, keep_last=1)["deleted"] == made[:1]

    def test_one_in_use_when_the_time_is_up_is_no_failure(self, control_plane: ControlPlane, context: Context) -> None:
        """The timeout may be as short as its minute."""
        made = nightly(control_plane, 3)
        control_plane.restoring.add(made[0])
        report = prune(context, keep_last=1, timeout=60)
        assert (report["in_use"], report["failed"]) == (made[:1], {})

    def test_many_in_use_take_no_longer_than_one(
        self, control_plane: ControlPlane, context: Context, clock: Clock
    ) -> None:
        """They wait side by side."""
        made = nightly(control_plane, 30)
        control_plane.restoring |= set(made)
        begun = clock.time()
        assert len(prune(context, keep_last=1)["in_use"]) == 29
        assert clock.time() - begun < 130

    def test_one_of_fifty_that_can_t_be_deleted_holds_up_no_other(
        self, control_plane: ControlPlane, context: Context, ti: FakeTaskInstance
    ) -> None:
        """The others are deleted, the task fails and names it, and XCom ``report`` has all."""
        made = nightly(control_plane, 51)
        control_plane.fail_next("DeleteBackup", Fault(code="ValidationException"))
        with pytest.raises(DeletionsFailedForGoodError, match="1 failed, 49 backups were deleted.*ValidationException"):
            prune(context, keep_last=1)
        assert control_plane.backup_arns() == [made[0], made[-1]]
        report = ti.xcoms["report"]
        assert (report["kept"], set(report["deleted"])) == (1, set(made[1:-1]))
        assert list(report["failed"]) == made[:1]
        assert "ValidationException" in report["failed"][made[0]]

    def test_what_may_yet_pass_is_retried_by_airflow(
        self, control_plane: ControlPlane, context: Context, clock: Clock
    ) -> None:
        """One that was throttled until the time was up fails the try, not the task for good."""
        nightly(control_plane, 3)
        control_plane.fail_next("DeleteBackup", THROTTLED, times=FOR_EVER)
        begun = clock.time()
        with pytest.raises(DeletionsFailedError, match="2 failed, 0 backups were deleted") as failure:
            prune(context, keep_last=1, timeout=60)
        assert not isinstance(failure.value, PermanentError)
        assert clock.time() - begun < 60 + 10

    def test_a_denied_deletion_fails_its_table_s_others(
        self, control_plane: ControlPlane, context: Context, ti: FakeTaskInstance
    ) -> None:
        """They would be denied too."""
        made = nightly(control_plane, 4)
        control_plane.policy = {
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": ["dynamodb:ListBackups", "dynamodb:DescribeTable", "dynamodb:DescribeBackup"],
                    "Resource": "*",
                }
            ]
        }
        with pytest.raises(DeletionsFailedForGoodError, match="dynamodb:DeleteBackup"):
            prune(context, keep_last=1)
        assert control_plane.calls["DeleteBackup"] == 1
        assert list(ti.xcoms["report"]["failed"]) == made[:-1]

    def test_a_denied_deletion_stops_no_other_table(
        self, control_plane: ControlPlane, context: Context, ti: FakeTaskInstance
    ) -> None:
        """It is reported, and they are pruned."""
        tables = {name: nightly(control_plane, 3, name) for name in created(control_plane, "accounts", "customers")}
        tables["orders"] = nightly(control_plane, 3)
        everything = {"Effect": "Allow", "Action": DELETING, "Resource": "*"}
        allowed = [f"*table/{name}/backup/*" for name in ("accounts", "orders")]
        delete = {"Effect": "Allow", "Action": "dynamodb:DeleteBackup", "Resource": allowed}
        control_plane.policy = {"Statement": [everything, delete]}
        with pytest.raises(DeletionsFailedForGoodError, match="2 failed, 4 backups were deleted"):
            prune(context, table_names=list(tables), keep_last=1)
        assert list(ti.xcoms["report"]["failed"]) == tables["customers"][:-1]
        assert control_plane.calls["DeleteBackup"] == 2 + 1 + 2

    def test_the_backup_that_must_stay_is_described_just_before_its_table_s_deletions(
        self, control_plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody deletes the last good one of a table while another table is pruned."""
        created(control_plane, "customers")
        nightly(control_plane, 60, "customers")
        made = nightly(control_plane, 3)
        delete_backup = DynamoDBBackupHook.delete_backup

        def lose_the_newest(*args: Any) -> Any:
            if made[-1] in control_plane.backup_arns():
                control_plane.lose_backup(made[-1])
            return delete_backup(*args)

        monkeypatch.setattr(DynamoDBBackupHook, "delete_backup", lose_the_newest)
        report = prune(context, table_names=["customers", "orders"], keep_last=1)
        assert (len(report["deleted"]), report["kept"]) == (59, 3)
        assert set(made[:-1]) < set(control_plane.backup_arns())

    @pytest.mark.parametrize("action", ["dynamodb:DescribeBackup", "dynamodb:ListTagsOfResource"])
    def test_a_table_that_can_t_be_confirmed_loses_nothing_and_stops_no_other(
        self, control_plane: ControlPlane, context: Context, ti: FakeTaskInstance, action: str
    ) -> None:
        """It is reported, with the reason."""
        created(control_plane, "customers")
        others, made = nightly(control_plane, 3, "customers"), nightly(control_plane, 3)
        for name in ("customers", "orders"):
            control_plane.tag_table(name, backup="nightly")
        actions = [*DELETING, "dynamodb:DeleteBackup"]
        everything = {"Effect": "Allow", "Action": [one for one in actions if one != action], "Resource": "*"}
        some = {"Effect": "Allow", "Action": action, "Resource": "*table/orders*"}
        control_plane.policy = {"Statement": [everything, some]}
        with pytest.raises(DeletionsFailedForGoodError, match=f"2 failed, 2 backups were deleted.*{action}"):
            prune(context, table_names=["*"], table_tags={"backup": "nightly"}, keep_last=1)
        assert list(ti.xcoms["report"]["failed"]) == others[:-1]
        assert set(control_plane.backup_arns()) == {*others, made[-1]}

    @pytest.mark.parametrize("fault", [INTERNAL_ERROR, Fault(code="AccessDeniedException")], ids=lambda one: one.code)
    @pytest.mark.parametrize(
        ("operation", "selected"),
        [("DescribeTable", {}), ("ListTagsOfResource", {"table_tags": {"backup": "nightly"}})],
    )
    def test_a_table_that_can_t_be_described_loses_nothing_and_stops_no_other(
        self,
        control_plane: ControlPlane,
        context: Context,
        ti: FakeTaskInstance,
        clock: Clock,
        operation: str,
        selected: dict[str, Any],
        fault: Fault,
    ) -> None:
        """It is tried for a minute, and reported."""
        tables = [*created(control_plane, "addresses", "customers"), "orders"]
        made = {}
        for table in tables:
            control_plane.tag_table(table, backup="nightly")
            made[table] = nightly(control_plane, 3, table)
        control_plane.fail_next(operation, replace(fault, table="customers"), times=FOR_EVER)
        begun = clock.time()
        with pytest.raises(DeletionsFailedError, match=f"1 failed, 4 backups were deleted.*{fault.code}"):
            prune(context, table_names=tables, keep_last=1, **selected)
        assert clock.time() - begun < 120
        assert list(ti.xcoms["report"]["failed"]) == ["customers"]
        assert set(control_plane.backup_arns()) == {*made["customers"], made["addresses"][-1], made["orders"][-1]}

    def test_a_confirmation_that_fails_for_a_while_is_made_again(
        self, control_plane: ControlPlane, context: Context, log: Callable[[], str]
    ) -> None:
        """In the next round, once for all backups of the table."""
        made = nightly(control_plane, 30)
        control_plane.fail_next("DescribeBackup", THROTTLED, times=2)
        assert prune(context, keep_last=1)["deleted"] == made[:-1]
        assert control_plane.calls["DescribeBackup"] == 3
        told = [line for line in log().splitlines() if "Trying again." in line and "warning" in line.lower()]
        assert len(told) == 1

    def test_a_denial_leaves_what_is_known_of_the_others(
        self, control_plane: ControlPlane, context: Context, ti: FakeTaskInstance
    ) -> None:
        """One in use is tried again, and stays in use."""
        made = nightly(control_plane, 4)
        control_plane.restoring.add(made[0])
        control_plane.fail_next("DeleteBackup", Fault(Answer.ALTERED))
        control_plane.fail_next("DeleteBackup", Fault(code="AccessDeniedException"))
        with pytest.raises(DeletionsFailedForGoodError):
            prune(context, keep_last=1)
        report = ti.xcoms["report"]
        assert (report["in_use"], list(report["failed"])) == (made[:1], made[1:3])

    def test_the_last_good_one_stays_if_another_goes_meanwhile(
        self, control_plane: ControlPlane, context: Context, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody deletes the newest while the prune is throttled."""
        made = nightly(control_plane, 3)
        control_plane.fail_next("DeleteBackup", THROTTLED, times=2)
        sleep = clock.sleep

        def lose_the_newest(seconds: float, *args: Any) -> None:
            if control_plane.calls["DeleteBackup"] == 2 and made[-1] in control_plane.backup_arns():
                control_plane.lose_backup(made[-1])
            sleep(seconds, *args)

        monkeypatch.setattr(clock, "sleep", lose_the_newest)
        report = prune(context, keep_last=1)
        assert (report["deleted"], report["kept"]) == ([], 2)
        assert control_plane.backup_arns() == made[:-1]

    def test_two_prunes_at_once_delete_nothing_too_many(
        self, control_plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One deletes what the other has planned: no error."""
        made = nightly(control_plane, 6)
        delete_backup, second = DynamoDBBackupHook.delete_backup, list[Any]()

        def prune_too(*args: Any) -> Any:
            deleted = delete_backup(*args)
            if not second:
                second.append(None)
                second[0] = prune(context, keep_last=2)
            return deleted

        monkeypatch.setattr(DynamoDBBackupHook, "delete_backup", prune_too)
        assert set(prune(context, keep_last=2)["deleted"]) == set(made[:4])
        assert set(second[0]["deleted"]) == set(made[1:4])
        assert control_plane.backup_arns() == made[4:]

    def test_at_most_half_of_aws_s_rates_are_used(
        self, control_plane: ControlPlane, context: Context, clock: Clock
    ) -> None:
        """Five deletions and 2.5 pages a second, and nothing is throttled beside a neighbour that takes the rest."""
        control_plane.add_backups("orders", 151, "nightly-1", age=DAY)
        with control_plane.neighbour("DeleteBackup", 4.9), control_plane.neighbour("ListBackups", 2.4):
            begun = clock.time()
            prune(context, keep_last=1, max_deletions=150)
        assert 30 <= clock.time() - begun < 40
        assert not control_plane.throttled

    def test_beside_a_neighbour_that_takes_all_it_slows_down_and_ends(
        self, control_plane: ControlPlane, context: Context
    ) -> None:
        """Nothing is lost, and no storm of calls."""
        made = control_plane.add_backups("orders", 51, "nightly-1", age=DAY)
        with control_plane.neighbour("DeleteBackup", 20):
            assert len(prune(context, keep_last=1)["deleted"]) == 50
        assert len(made) - len(control_plane.backup_arns()) == 50
        assert control_plane.calls["DeleteBackup"] < 400


def test_without_list_backups_nothing_is_deleted(
    control_plane: ControlPlane, context: Context, ti: FakeTaskInstance
) -> None:
    """The message names the permission, in the report too."""
    made = nightly(control_plane, 3)
    allowed = ["dynamodb:DescribeTable", "dynamodb:DescribeBackup", "dynamodb:DeleteBackup"]
    control_plane.policy = {"Statement": [{"Effect": "Allow", "Action": allowed, "Resource": "*"}]}
    with pytest.raises(ListBackupsDeniedError, match="Grant dynamodb:ListBackups on '\\*'"):
        prune(context, keep_last=1)
    assert control_plane.backup_arns() == made
    report = ti.xcoms["report"]
    assert (report["deleted"], report["region"]) == ([], "us-east-1")
    assert "Grant dynamodb:ListBackups" in report["text"]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("max_tables", 0, "max_tables must be"),
        ("table_names", [], "selects 0 tables"),
        ("region_name", 1, "region_name"),
    ],
)
def test_whatever_makes_it_fail_it_leaves_a_report(
    control_plane: ControlPlane, context: Context, ti: FakeTaskInstance, name: str, value: object, reason: str
) -> None:
    """A refused value or selection too."""
    nightly(control_plane, 2)
    task = operator(keep_last=1)
    setattr(task, name, value)
    with pytest.raises(PermanentError, match=reason) as raised:
        task.execute(context)
    report = ti.xcoms["report"]
    assert (report["kept"], report["deleted"], report["error"]) == (0, [], str(raised.value))


def test_the_report_of_a_task_that_is_ended_leaves_no_backup_out(
    control_plane: ControlPlane,
    context: Context,
    ti: FakeTaskInstance,
    execution_timeout: Callable[[], None],
) -> None:
    """Those that were not deleted by then have failed."""
    first, second, third, _ = nightly(control_plane, 4)
    control_plane.on_deletion = lambda arn, _: execution_timeout() if arn == second else None
    with pytest.raises(TaskTimeout):
        prune(context, keep_last=1)
    report = ti.xcoms["report"]
    assert (report["kept"], report["deleted"]) == (1, [first])
    assert report["failed"] == dict.fromkeys(sorted((second, third)), "The task ended before it: TaskTimeout().")
