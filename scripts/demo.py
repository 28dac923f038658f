"""``make demo``: backups, a plan of a prune, a restore, a drill and the page "DynamoDB backups", on real Airflow.

Without arguments against a simulated AWS account (:mod:`scripts.demo_account`). With ``--table`` and ``--region`` it
backs one table up in the caller's own account, and does nothing else there. ``--keep`` leaves Airflow up until Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from textwrap import indent
from typing import TYPE_CHECKING, Any

from scripts.demo_account import BROKEN, NIGHTLY, TAGGED, broken_since, count_items, environment, served_account
from tests.simulator.faults import Fault
from tests.system.mail import mail_server
from tests.system.standalone import Airflow, airflow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage

    from tests.simulator.control_plane import ControlPlane
    from tests.system.rest_api import Run

DAG_ID = "example_dynamodb_backup_before_rewrite"
COVERAGE = "example_dynamodb_backup_coverage"
DRILL = "example_dynamodb_backup_restore_drill"
RESTORE = "example_dynamodb_backup_restore"
PAGE = "/dynamodb-backups/"
#: the new table; not the form's default, which is free for whoever tries the form
RESTORED = f"{BROKEN}-before-the-damage"
# Seconds without a line after which there is one.
_SILENCE = 8.0
_ENDS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class Teller:
    """Prints lines, each with the seconds since the start."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()
        self._ended = threading.Event()
        #: whether silence is all right: nothing is waited for but the user
        self.is_idle = False

    def __call__(self, lines: str) -> None:
        """Print some lines."""
        self._last = time.monotonic()
        for line in lines.splitlines():
            print(f"[{self._last - self._start:4.0f} s] {line}", flush=True)  # noqa: T201  # a command line talks

    @contextmanager
    def never_silent(self) -> Iterator[None]:
        """Print a line whenever there was none for some seconds, until the block ends."""
        ticking = threading.Thread(target=self._tick, daemon=True)
        ticking.start()
        try:
            yield
        finally:
            self._ended.set()
            ticking.join()

    def _tick(self) -> None:
        while not self._ended.wait(0.5):
            if not self.is_idle and time.monotonic() - self._last > _SILENCE:
                self("  … still waiting")


def main(arguments: list[str] | None = None) -> int:
    """Run the demo and return the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--table", default="", help="a table in your own account; empty: the simulated account")
    parser.add_argument("--region", default="", help="the region of that table")
    parser.add_argument("--keep", action="store_true", help="leave Airflow up until Ctrl-C")
    options = parser.parse_args(arguments)
    if bool(options.table) != bool(options.region):
        parser.error("TABLE and REGION go together")
    say = Teller()
    # Whoever ends the demo, or closes its terminal, ends its processes; nohup keeps both.
    for number in _ENDS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    # What it calls here needs no proxy.
    bypass = [value for name in ("no_proxy", "NO_PROXY") if (value := os.environ.get(name))]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join([*bypass, "127.0.0.1"])
    mails: list[EmailMessage] = []
    with ExitStack() as stack:
        stack.enter_context(say.never_silent())
        if options.table:
            connection = json.dumps({"conn_type": "aws", "extra": {"region_name": options.region}})
            running = stack.enter_context(airflow({"AIRFLOW_CONN_AWS_DEFAULT": connection}, say))
            succeeded = _back_up_one(running, options.table)
        else:
            # Neither the account nor Airflow knows the caller's own, nor stumbles over a profile that is not there.
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                del os.environ[name]
            plane = stack.enter_context(served_account())
            say(f"a simulated AWS account: {len(TAGGED)} tables with the tag backup=nightly, and 5 weeks of backups")
            mails, smtp = stack.enter_context(mail_server())
            running = stack.enter_context(airflow(environment(plane) | {"AIRFLOW_CONN_SMTP_DEFAULT": smtp}, say))
            succeeded = _Circle(running, plane).show(keep=options.keep)
        if options.keep:
            _keep(say, running.url, mails)
    return 0 if succeeded else 1


def _end(number: int, _frame: object) -> None:
    """End the demo. Its processes take some seconds to stop, and a second signal does not keep them from it."""
    for one in _ENDS:
        signal.signal(one, signal.SIG_IGN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _back_up_one(running: Airflow, table: str) -> bool:
    run = running.api.start_run(DAG_ID, {"table_name": table})
    state = run.end()
    arn = run.xcom("back_up", "return_value")
    running.say(f"the run ended in state {state}")
    for task, task_state in sorted(run.task_states().items()):
        running.say(f"  task {task}: {task_state}")
    running.say(f"  ARN: {arn}")
    running.say(f"  console: {run.links('back_up').get('DynamoDB backup')}")
    return state == "success" and bool(arn)


class _Circle:
    """Everything that happens to a backup, by the example DAGs.

    :param running: the Airflow
    :param plane: the simulated account
    """

    def __init__(self, running: Airflow, plane: ControlPlane) -> None:
        self._running, self._api, self._say = running, running.api, running.say
        self._plane = plane
        self._failed: list[str] = []

    def show(self, *, keep: bool) -> bool:
        """Show each step; return whether all have succeeded.

        :param keep: Airflow stays up
        """
        since = broken_since()
        # The prune only plans: whoever deletes the variable has it delete.
        self._api.set_variable("keep_all_backups", "true")
        self._say(f"unpausing the nightly DAG and the monthly drill, and restoring {BROKEN}, broken since {since}")
        nightly, drill = self._api.start_due_run(NIGHTLY), self._api.start_due_run(DRILL)
        names = {"table_name": BROKEN, "restored_table_name": RESTORED}
        restore = self._api.start_run(RESTORE, {**names, "before": since})
        self._show_nightly(nightly)
        self._show_restore(restore)
        self._show_drill(drill)
        self._show_coverage()
        self._say_what_next(since, keep=keep)
        return not self._failed

    def _show_nightly(self, run: Run) -> None:
        self._step("1. The nightly backup: one task for all tables that have the tag.", run)
        self._tell(self._text(run, "back_up"), f"In the console: {run.links('back_up').get('DynamoDB backups')}")
        self._step("2. The prune behind it. It only plans, since Airflow's variable keep_all_backups is true.", run)
        self._tell(self._text(run, "prune"))

    def _show_restore(self, run: Run) -> None:
        self._step(f"3. The restore: the last backup of {BROKEN} from before the damage, as table {RESTORED}.", run)
        settings = run.xcom("restore", "settings") or {}
        outcomes = ", ".join(f"{name} {outcome}" for name, outcome in settings.items())
        items = f"{count_items(self._plane, BROKEN)} items, {RESTORED} has {self._items()}"
        self._tell(f"{BROKEN} has {items}.", f"The settings that a restore drops, put back: {outcomes}.")

    def _show_drill(self, run: Run) -> None:
        self._step("4. The drill: a random backup is restored, checked, and its table dropped.", run)
        self._tell(self._text(run, "drill"))

    def _show_coverage(self) -> None:
        # So that the page has one of each status.
        self._plane.fail_next("DescribeTable", Fault(code="AccessDeniedException", table="payments"))
        run = self._api.start_due_run(COVERAGE)
        self._step("5. The daily check: which tables have a fresh backup. The page 'DynamoDB backups' shows it.", run)
        self._tell(self._text(run, "check"))
        if "payments" not in self._api.http.get(PAGE).text:
            self._failed.append(PAGE)
            self._tell("The page does not show it.")

    def _step(self, title: str, run: Run) -> None:
        self._say(title)
        if (state := run.end()) != "success":
            self._failed.append(run.dag_id)
            self._tell(f"The run ended in state {state}: {run.task_states()}")

    def _tell(self, *lines: str) -> None:
        for line in lines:
            self._say(indent(line, "   "))

    def _text(self, run: Run, task: str) -> str:
        report: Any = run.xcom(task, "return_value") or run.xcom(task, "report") or {}
        return str(report.get("text", "no report"))

    def _items(self) -> str:
        try:
            return str(count_items(self._plane, RESTORED))
        except self._plane.client().exceptions.ResourceNotFoundException:
            return "none"

    def _say_what_next(self, since: str, *, keep: bool) -> None:
        url = self._running.url
        if keep:
            self._say("What to open (there is no password; every example can be triggered):")
            self._tell(f"the page 'DynamoDB backups': {url}{PAGE}", f"the nightly DAG: {url}/dags/{NIGHTLY}")
            self._tell(f"the form of a restore: {url}/dags/{RESTORE}, for example with 'Broken since' {since}")
        else:
            self._say("What to open: make demo KEEP=1 leaves Airflow up, with the page and with the form of a restore.")
        self._say("What to read: docs/getting_started.rst, and docs/restore.rst for the night that a table breaks.")


def _keep(say: Teller, url: str, mails: list[EmailMessage]) -> None:
    """Leave Airflow up, and tell of the mails that its DAGs send."""
    say(f"Airflow is up at {url}; press Ctrl-C to stop it")
    say.is_idle = True
    try:
        while not threading.Event().wait(1):
            while mails:
                mail = mails.pop(0)
                say(f"a mail to {mail['To']}: {mail['Subject']}")
    except KeyboardInterrupt:
        say("Ctrl-C")
    say.is_idle = False


if __name__ == "__main__":
    sys.exit(main())
