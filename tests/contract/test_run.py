"""A run: it asks, touches nothing but its own, keeps to the rates, and leaves nothing behind, however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.__main__ import main
from tests.contract.account import ANCHOR, LONGEST, PREFIX, TAG
from tests.contract.run import DONE, FAILED, REFUSED, redacted
from tests.contract.support import (
    CHANGES,
    CHANGING,
    RUN,
    SHORT,
    Terminal,
    documented_policy,
    hurry,
    new_run,
    served,
    state,
)
from tests.contract.world import plain_table
from tests.simulator.control_plane import ACCOUNT, REGION
from tests.simulator.faults import DROPPED_AFTER_COMMIT, INTERNAL_ERROR, Fault, after_call
from tests.simulator.rules import RATES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.contract.conftest import Seen
    from tests.simulator.control_plane import ControlPlane

pytestmark = pytest.mark.xdist_group("contract")

OLD = "20240101t120000-0123abcd"
#: rules that make a table and some backups
FEW = [rule for rule in SHORT if rule.name in {"names_are_not_unique", "backups_outlive_their_table"}]


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    """Serve an account."""
    with served() as plane:
        hurry(plane)
        yield plane


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the file for the result."""
    return tmp_path / "aws-test" / "result.json"


def result(path: Path) -> dict[str, Any]:
    """Return the result."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def leave(plane: ControlPlane, run: str, *roles: str) -> None:
    """Leave some tables of a run, and a backup of each."""
    client = plane.client()
    for role in (ANCHOR, *roles):
        name = f"{PREFIX}{run}-{role}"
        client.create_table(**plain_table(name), Tags=[{"Key": TAG, "Value": run}] if role == ANCHOR else [])
        plane.add_backups(name, 1, f"{PREFIX}{run}")


class TestAsking:
    """It says what it will do, and does nothing before it is told to."""

    def test_it_says_what_it_makes_and_costs(self, plane: ControlPlane, path: Path) -> None:
        """Account, region, names, time, cost, and what it leaves out."""
        terminal = Terminal(typed="")
        assert new_run(path, terminal, also=()).run() == REFUSED
        for told in (ACCOUNT, REGION, PREFIX, "minutes", "cents", "Not throttling", "Not system-backup", str(path)):
            assert told in terminal.text

    @pytest.mark.parametrize("typed", ["", "yes", ACCOUNT[:-1], f"{ACCOUNT} yes"])
    def test_anything_but_the_account_s_id_does_nothing(self, plane: ControlPlane, path: Path, typed: str) -> None:
        """And writes no file."""
        terminal = Terminal(typed)
        assert new_run(path, terminal).run() == REFUSED
        assert terminal.lines[-1] == "Nothing was done."
        assert not any(re.match(CHANGES, operation) for operation in plane.calls)
        assert not path.exists()

    def test_a_command_line_takes_the_confirmation(
        self, plane: ControlPlane, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """For automation; one of another account does nothing."""
        assert main(["--region", REGION, "--clean", "--confirm", "111122223333"]) == REFUSED
        assert main(["--region", REGION, "--clean", "--confirm", ACCOUNT]) == DONE
        assert "Nothing else is left behind." in capsys.readouterr().out

    def test_without_credentials_nothing_is_done(self, plane: ControlPlane, capsys: pytest.CaptureFixture[str]) -> None:
        """It says why."""
        plane.expired_keys.add("test")
        assert main(["--region", REGION, "--confirm", ACCOUNT]) == REFUSED
        assert "ExpiredToken" in capsys.readouterr().out

    def test_a_region_is_needed(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Make passes none if none was given."""
        with pytest.raises(SystemExit):
            main(["--region", ""])
        assert "REGION=" in capsys.readouterr().err


class TestOthers:
    """What a run has not made it does not touch."""

    def test_it_changes_nothing_but_its_own(self, seen: Seen) -> None:
        """Whatever tables, tags and backups there are; and all that it made is gone."""
        assert (seen.code, seen.before) == (DONE, seen.after)
        assert seen.before[0] == ["orders"]
        for operation, body in seen.requests:
            if re.match(CHANGES, operation):
                named = [str(value) for key, value in body.items() if re.search("Table(Name|Arn)$|Arn$", key)]
                assert named
                assert all(PREFIX in name for name in named)

    @pytest.mark.parametrize("name", [f"{PREFIX}mine", f"{PREFIX}{OLD}-mine", f"{PREFIX}{OLD}-orders"])
    def test_tables_of_its_prefix_that_no_run_has_made(self, plane: ControlPlane, path: Path, name: str) -> None:
        """It refuses, and names them: of another form, of another role, without the run's tag."""
        plane.create_table(name)
        terminal = Terminal()
        assert new_run(path, terminal).run() == REFUSED
        assert name in terminal.lines[-2]
        assert state(plane)[0] == [name]

    def test_a_backup_that_another_has_made_of_its_table(self, plane: ControlPlane, path: Path) -> None:
        """It stays."""
        leave(plane, OLD, "young")
        kept = plane.add_backups(f"{PREFIX}{OLD}-young", 1, "by hand")
        assert new_run(path, rules=()).run() == DONE
        assert state(plane) == ([], kept)

    def test_it_keeps_to_half_of_the_rates(self, seen: Seen) -> None:
        """In any second, and nothing is throttled."""
        assert seen.throttled == 0
        for operation, times in seen.times.items():
            per_second = RATES.get(operation, (20.0, 0.0))[0] / 2
            most = max(bisect_left(times, begin + 1) - number for number, begin in enumerate(times))
            assert most <= per_second + 1, operation


class TestLeft:
    """What an earlier run has left is deleted first."""

    def test_it_is_named_and_deleted(self, plane: ControlPlane, path: Path) -> None:
        """Tables and backups, by their names."""
        leave(plane, OLD, "young", "again")
        terminal = Terminal(ACCOUNT)
        assert new_run(path, terminal, rules=()).run() == DONE
        assert f"Run {OLD} has left" in terminal.text
        assert state(plane) == ([], [])

    def test_a_run_that_was_killed_just_after_it_began(self, plane: ControlPlane, path: Path) -> None:
        """Its first table is CREATING, which need not have its tags yet."""
        leave(plane, OLD)
        arn = plane.client().describe_table(TableName=f"{PREFIX}{OLD}-{ANCHOR}")["Table"]["TableArn"]
        tags = [{"Key": TAG, "Value": OLD}]
        plane.client().untag_resource(ResourceArn=arn, TagKeys=[TAG])
        plane.statuses[f"{PREFIX}{OLD}-{ANCHOR}"] = "CREATING"

        def become_active() -> None:
            del plane.statuses[f"{PREFIX}{OLD}-{ANCHOR}"]
            plane.client().tag_resource(ResourceArn=arn, Tags=tags)

        plane.after = after_call(2, become_active, "DescribeTable")
        assert new_run(path, rules=()).run() == DONE
        assert state(plane) == ([], [])

    def test_a_run_that_may_still_be_going_on(self, plane: ControlPlane, path: Path) -> None:
        """Its ID is asked for too."""
        first = new_run(path)
        leave(plane, first.account.run, "young")
        before = state(plane)
        assert new_run(path, Terminal(ACCOUNT), rules=()).run() == REFUSED
        assert state(plane) == before
        plane.clock.sleep(LONGEST.total_seconds())
        assert new_run(path, Terminal(ACCOUNT), rules=()).run() == DONE
        assert state(plane) == ([], [])

    def test_what_can_t_be_deleted_is_told(self, plane: ControlPlane, path: Path) -> None:
        """Why, in the file too, and the exit code says so."""
        document = documented_policy()
        document["Statement"][1]["Action"].remove("dynamodb:DeleteBackup")
        plane.policy = document
        terminal = Terminal()
        run = new_run(path, terminal, rules=FEW)
        assert run.run() == FAILED
        assert run.account.name(ANCHOR) in terminal.text
        assert "dynamodb:DeleteBackup" in terminal.text
        assert "What is left, the next run deletes." in terminal.text
        assert result(path)["left_behind"]
        plane.policy = None
        assert new_run(path, rules=()).run() == DONE
        assert state(plane) == ([], [])


# A signal may come where Python ignores exceptions, such as in a finalizer: the work then ends by the next rule.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestInterrupted:
    """A signal ends the rules, and not the cleaning."""

    @pytest.mark.parametrize(("number", "call"), [(signal.SIGINT, 1), (signal.SIGHUP, 5), (signal.SIGTERM, 25)])
    def test_nothing_is_left(self, plane: ControlPlane, path: Path, number: signal.Signals, call: int) -> None:
        """Whenever it comes."""
        plane.after = after_call(call, lambda: os.kill(os.getpid(), number), CHANGES)
        terminal = Terminal()
        run = new_run(path, terminal, rules=SHORT)
        assert run.run() == FAILED
        assert state(plane) == ([], [])
        assert result(path)["stopped_by"] == number.name
        assert result(path)["left_behind"] == {}
        assert {"the run did not come so far"} <= {one["told"] for one in result(path)["rules"]}

    def test_a_second_signal_ends_the_cleaning(self, plane: ControlPlane, path: Path) -> None:
        """It says what it leaves, and the next run deletes that."""
        plane.after = after_call(25, lambda: os.kill(os.getpid(), signal.SIGINT), CHANGES)
        plane.on_deletion = lambda *_: os.kill(os.getpid(), signal.SIGINT)
        terminal = Terminal()
        run = new_run(path, terminal, rules=SHORT)
        assert run.run() == FAILED
        assert f"Left behind: {PREFIX}{run.account.run}-…" in terminal.text
        assert result(path)["left_behind"]
        plane.on_deletion = lambda *_: None
        assert state(plane) != ([], [])
        assert new_run(path, rules=()).run() == DONE
        assert state(plane) == ([], [])

    def test_the_first_signal_does_not_end_the_cleaning(self, plane: ControlPlane, path: Path) -> None:
        """That comes once all rules are checked."""
        sent = threading.Event()

        def send(*_: object) -> None:
            if not sent.is_set():
                sent.set()
                os.kill(os.getpid(), signal.SIGINT)

        plane.on_drop = send
        assert new_run(path, rules=FEW[:1]).run() == FAILED
        assert sent.is_set()
        assert state(plane) == ([], [])

    def test_a_terminal_that_is_gone_ends_nothing(self, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody reads what is said, and all is deleted."""
        leave(plane, OLD, "young")
        reads, writes = os.pipe()
        os.close(reads)
        with os.fdopen(writes, "w", closefd=False) as gone:
            monkeypatch.setattr("sys.stdout", gone)
            assert main(["--region", REGION, "--clean", "--confirm", ACCOUNT]) == DONE
            monkeypatch.undo()
            # What was not written is not to be written now.
            os.dup2(os.open(os.devnull, os.O_WRONLY), writes)
        os.close(writes)
        assert state(plane) == ([], [])

    def test_the_terminal_is_as_before(self, plane: ControlPlane, path: Path) -> None:
        """Its signals end the process again."""
        before = signal.getsignal(signal.SIGTERM)
        new_run(path, rules=FEW).run()
        assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    "operation", ["CreateTable", "CreateBackup", "DeleteTable", "DeleteBackup", "RestoreTableFromBackup"]
)
def test_a_lost_response_leaves_nothing(plane: ControlPlane, path: Path, operation: str) -> None:
    """What the call has made is found by its name."""
    plane.fail_next(operation, DROPPED_AFTER_COMMIT)
    assert new_run(path, rules=CHANGING).run() == DONE
    assert plane.calls[operation] > 1
    assert sum(one["verdict"] == "confirmed" for one in result(path)["rules"]) >= len(CHANGING) // 2
    assert state(plane) == ([], [])


class TestResult:
    """The file is one to send."""

    def test_it_has_a_verdict_for_each_rule(self, plane: ControlPlane, path: Path) -> None:
        """The versions, and no account ID, no ARN and no credentials."""
        assert new_run(path, rules=FEW).run() == DONE
        written = path.read_text(encoding="utf-8")
        assert {one["rule"]: one["verdict"] for one in result(path)["rules"]} == dict.fromkeys(
            [rule.name for rule in FEW], "confirmed"
        )
        assert set(result(path)["versions"]) == {"airflow-ddb-backup", "botocore", "python"}
        assert ACCOUNT not in written
        assert "arn:" not in written

    def test_a_rule_that_does_not_hold_is_wrong(self, plane: ControlPlane, path: Path) -> None:
        """With what was seen instead; the exit code says so, and nothing is left."""
        plane.make_backup_id = lambda: "b1"
        rules = [rule for rule in SHORT if rule.name == "an_arn_has_this_form"]
        assert new_run(path, rules=rules).run() == FAILED
        (one,) = result(path)["rules"]
        assert (one["verdict"], one["told"]) == ("wrong", "the ARN ends in 'b1'")
        assert state(plane) == ([], [])

    @pytest.mark.parametrize("code", ["ExpiredTokenException", "LimitExceededException"])
    def test_what_is_the_account_s_matter_is_not_seen(self, plane: ControlPlane, path: Path, code: str) -> None:
        """Credentials that have ended, and a quota, say nothing of AWS."""
        plane.fail_next("ListBackups", Fault(code=code))
        rules = [rule for rule in SHORT if rule.name == "a_missing_table_has_an_empty_list"]
        assert new_run(path, rules=rules).run() == DONE
        (one,) = result(path)["rules"]
        assert (one["verdict"], code in one["told"]) == ("not seen", True)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("Backup not found: arn:aws:dynamodb:us-east-1:123456789012:table/x/backup/01-a", "Backup not found: ARN"),
            ("User: arn:aws-cn:iam::123456789012:user/Ann.B@c is not", "User: ARN is not"),
            ("User: arn:aws:sts::123456789012:assumed-role/ops/ann is not", "User: ARN is not"),
            ("the account 123456789012.", "the account ACCOUNT."),
            ("the key AKIAIOSFODNN7EXAMPLE", "the key KEY"),
            (f"table {PREFIX}{RUN}-orders", f"table {PREFIX}{RUN}-orders"),
        ],
    )
    def test_what_aws_says_is_redacted(self, text: str, expected: str) -> None:
        """ARNs, account IDs and access keys; a run's own names stay."""
        assert redacted(text) == expected

    def test_a_rule_whose_call_is_denied_is_not_seen(self, plane: ControlPlane, path: Path) -> None:
        """With the action, and without who was denied."""
        document = documented_policy()
        document["Statement"][2]["Action"].remove("tag:GetResources")
        plane.policy = document
        rules = [rule for rule in SHORT if rule.section == "Tags" and "not_listed" in rule.name]
        assert new_run(path, rules=rules).run() == DONE
        (one,) = result(path)["rules"]
        assert one["verdict"] == "not seen"
        assert "tag:GetResources" in one["told"]
        assert "arn:" not in one["told"]

    @pytest.mark.parametrize(("fault", "times"), [(INTERNAL_ERROR, 2), (Fault(code="ThrottlingException"), 5)])
    def test_a_read_that_fails_is_made_again(self, plane: ControlPlane, path: Path, fault: Fault, times: int) -> None:
        """And a throttled call, whatever it is."""
        plane.fail_next("ListBackups", fault, times)
        assert new_run(path, rules=FEW).run() == DONE
        assert {one["verdict"] for one in result(path)["rules"]} == {"confirmed"}

    def test_a_creation_that_fails_on_its_way_is_not_made_again(self, plane: ControlPlane, path: Path) -> None:
        """The rule is not seen: it may have made a backup."""
        plane.backups_enabled_after = 0
        plane.fail_next("CreateBackup", INTERNAL_ERROR, times=2)
        assert new_run(path, rules=FEW[:1]).run() == DONE
        (one,) = result(path)["rules"]
        assert (one["verdict"], "failed on its way" in one["told"]) == ("not seen", True)
        # The first is that of every run.
        assert plane.calls["CreateBackup"] == 2


def test_it_runs_under_its_policy(seen: Seen) -> None:
    """Every rule is seen but the one whose denial may be IAM's; every action is used, or one of a restore."""
    denied = {name for name, (_, told) in seen.verdicts.items() if "credentials may" in told}
    assert denied == {"another_account_s_backup_is_denied"}
    restores = {"UpdateItem", "DeleteItem", "GetItem", "Query", "Scan", "BatchWriteItem"}
    called = {operation for operation, _ in seen.requests} - {"GetCallerIdentity"}
    allowed = {action for statement in documented_policy()["Statement"] for action in statement["Action"]}
    assert {action.partition(":")[2] for action in allowed} == called | restores
