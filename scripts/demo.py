"""``make demo``: run the before-rewrite example on real Airflow, and show what comes of it.

Without arguments against the simulated control plane, with ``--table`` and ``--region`` against the caller's own AWS
account. ``--keep`` leaves Airflow up until Ctrl-C, in the simulation with a dozen tables on its page "DynamoDB
backups".
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from contextlib import ExitStack
from threading import Event
from typing import TYPE_CHECKING

from tests.simulator.control_plane import ControlPlane
from tests.simulator.faults import Fault
from tests.system.standalone import Airflow, airflow

if TYPE_CHECKING:
    from collections.abc import Callable

DAG_ID = "example_dynamodb_backup_before_rewrite"
CHECK_ID = "example_dynamodb_backup_coverage"
# Hours since the last backups of the tables on the page; none: the table has no backup.
_AGES: dict[str, tuple[int, ...]] = {
    "carts": (3, 27, 51),
    "customers": (4, 28),
    "invoices": (4, 28, 52, 76),
    "ledger": (20,),
    "mailings": (),
    "payments": (4, 28),
    "prices": (50, 74),
    "returns": (29,),
    "sessions": (),
    "stock": (2, 14, 26),
    "vouchers": (5, 29),
}
# Long enough that the task is deferred and the triggerer takes over.
_CREATING_FOR = 15.0


def main(arguments: list[str] | None = None) -> int:
    """Run the demo and return the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--table", default="", help="a table in your own account; empty: the simulated control plane")
    parser.add_argument("--region", default="", help="the region of that table")
    parser.add_argument("--keep", action="store_true", help="leave Airflow up until Ctrl-C")
    options = parser.parse_args(arguments)
    if bool(options.table) != bool(options.region):
        parser.error("TABLE and REGION go together")
    say = _teller()
    # Whoever ends the demo ends its processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    plane: ControlPlane | None = None
    with ExitStack() as stack:
        if options.table:
            connection = json.dumps({"conn_type": "aws", "extra": {"region_name": options.region}})
        else:
            say("starting the simulated DynamoDB control plane")
            plane = stack.enter_context(ControlPlane(_CREATING_FOR).serve())
            plane.create_table("orders")
            connection = plane.connection()
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                del os.environ[name]
        running = stack.enter_context(airflow({"AIRFLOW_CONN_AWS_DEFAULT": connection}, say))
        succeeded = _show(running, options.table or "orders")
        if options.keep and plane:
            _fill(plane)
            running.api.start_run(CHECK_ID, {}).end()
            running.say("the page 'DynamoDB backups' shows which tables have a fresh backup")
        if options.keep:
            _keep(running)
    return 0 if succeeded else 1


def _teller() -> Callable[[str], None]:
    start = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - start:4.0f} s] {line}", flush=True)  # noqa: T201  # a command line talks

    return say


def _show(running: Airflow, table: str) -> bool:
    run = running.api.start_run(DAG_ID, {"table_name": table})
    state = run.end()
    arn = run.xcom("back_up", "return_value")
    running.say(f"the run ended in state {state}")
    for task, task_state in sorted(run.task_states().items()):
        running.say(f"  task {task}: {task_state}")
    running.say(f"  ARN: {arn}")
    running.say(f"  console: {run.links('back_up').get('DynamoDB backup')}")
    return state == "success" and bool(arn)


def _fill(plane: ControlPlane) -> None:
    for table, ages in _AGES.items():
        plane.create_table(table)
        for hours in ages:
            plane.add_backups(table, 1, "nightly", age=hours * 3600)
    # Nobody may look at this one.
    plane.fail_next("DescribeTable", Fault(code="AccessDeniedException", table="payments"), times=len(_AGES))


def _keep(running: Airflow) -> None:
    running.say(f"Airflow is up at {running.url}; press Ctrl-C to stop it")
    try:
        Event().wait()
    except KeyboardInterrupt:
        running.say("Ctrl-C")


if __name__ == "__main__":
    sys.exit(main())
