"""An account to run in: the simulated control plane, where everything takes its time."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from airflow_ddb_backup.clock import Clock as PackageClock
from tests.contract.account import PREFIX, Account
from tests.contract.rules import ALSO, RULES
from tests.contract.run import Run
from tests.simulator.clock import Clock, StillClock
from tests.simulator.control_plane import REGION, ControlPlane

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from tests.contract.rule import Rule

RUN = "20261128t120000-0123abcd"
#: all rules but the one that makes a hundred backups
SHORT = [rule for rule in RULES if rule.name != "a_page_has_at_most_a_hundred"]
POLICY = Path(__file__).parents[2] / "docs" / "iam" / "aws_test.json"
#: begins the operations that change something
CHANGES = "Create|Delete|Put|Restore|Tag|Update"
_LEFT = re.compile(rf"{PREFIX}[^/]+-system/backup/[^/]+-00000000$")
#: all that a run makes, changes and deletes is there for these rules
CHANGING = [
    rule
    for rule in SHORT
    if rule.name
    in {
        "a_restored_table_is_creating",
        "an_empty_override_starts_the_restore",
        "overrides_are_taken",
        "concurrent_creations_all_succeed",
        "a_backup_that_is_gone_is_not_restored",
        "a_table_that_is_updating_can_be_backed_up",
        "a_dropped_table_is_deleting_for_a_while",
        "backups_outlive_their_table",
        "a_restore_to_a_time_names_no_backup",
        "enabling_again_begins_anew",
        "a_dropped_table_leaves_a_system_backup",
    }
]
_TYPE = re.compile(r"type (.+): ")


@contextmanager
def served(clock: Clock | None = None) -> Iterator[ControlPlane]:
    """Serve an account to boto3's default session."""
    clock = clock or StillClock()
    with pytest.MonkeyPatch.context() as patch, ControlPlane(clock=clock).serve() as plane:
        plane.creating_for, plane.listing_lag, plane.updating_for = 0.8, 1.5, 6.0
        plane.tables_creating_for, plane.backups_enabled_after = 8.0, 12.0
        plane.restoring_for, plane.dropping_for = 60.0, 20.0
        plane.sizes[f"{PREFIX}{RUN}-source"], plane.sized_after = 1024, 6 * 3600.0
        patch.setattr(PackageClock, "source", clock)
        reach(plane.url, patch)
        yield plane


def hurry(plane: ControlPlane) -> None:
    """Let everything take so little time that little is polled."""
    plane.creating_for, plane.listing_lag, plane.updating_for = 0.1, 0.5, 0.5
    plane.tables_creating_for, plane.backups_enabled_after = 0.4, 0.6
    plane.restoring_for, plane.dropping_for = 4.0, 0.5


def reach(url: str, patch: pytest.MonkeyPatch) -> None:
    """Let boto3's default session reach an address."""
    for name, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test"), ("ENDPOINT_URL", url)):
        patch.setenv(f"AWS_{name}", value)


def documented_policy() -> dict[str, Any]:
    """Return the policy that the documentation has for a run."""
    document: dict[str, Any] = json.loads(POLICY.read_text(encoding="utf-8"))
    return document


class Terminal:
    """Types what it is asked to type, and keeps what is said.

    :param typed: what it types in place of that
    """

    def __init__(self, typed: str | None = None) -> None:
        self.lines: list[str] = []
        self._typed = typed

    @property
    def text(self) -> str:
        """All that was said."""
        return "\n".join(self.lines)

    def say(self, line: str) -> None:
        """Take a line."""
        self.lines.append(line)

    def ask(self, prompt: str) -> str:
        """Type what is asked for."""
        self.say(prompt)
        wanted = _TYPE.search(prompt)
        assert wanted
        return wanted[1] if self._typed is None else self._typed


def new_run(
    path: Path,
    terminal: Terminal | None = None,
    rules: Iterable[Rule] = RULES,
    also: Collection[str] = tuple(ALSO),
    run: str = "",
) -> Run:
    """Return a run in the account that is served."""
    terminal = terminal or Terminal()
    account = Account(boto3.Session(), REGION, run)
    return Run(account, path, terminal.say, terminal.ask, also, rules)


def state(plane: ControlPlane) -> tuple[list[str], list[str]]:
    """Return all tables and backups of the account, but for the system backup that a run leaves if it is asked to."""
    tables = plane.client().list_tables()["TableNames"]
    return tables, [arn for arn in plane.backup_arns() if not _LEFT.search(arn)]
