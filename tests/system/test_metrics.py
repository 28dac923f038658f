"""The metrics of a real Airflow: its workers' and its triggerer's, each set up by Airflow alone."""

from __future__ import annotations

import pytest

from tests.simulator.control_plane import REGION, ControlPlane
from tests.statsd import Listener
from tests.system.processes import wait_until
from tests.system.standalone import SYSTEM_DAGS, airflow


@pytest.mark.cluster
def test_a_task_s_process_and_a_triggerer_send_metrics() -> None:
    """Every call that AWS has got is counted, in whichever process, and the duration by the triggerer."""
    listener = Listener()
    with ControlPlane(creating_for=15).serve() as plane:
        plane.create_table("orders")
        plane.calls.clear()
        environment = {
            "AIRFLOW_CONN_AWS_DEFAULT": plane.connection(),
            **listener.environment,
            # Airflow's own would fill the socket.
            "AIRFLOW__METRICS__METRICS_ALLOW_LIST": "dynamodb_backup",
        }
        with airflow(environment, print, [SYSTEM_DAGS]) as running:
            good, bad = (running.api.start_run("one_table_unretried", {"table": table}) for table in ("orders", "gone"))
            assert (good.end(), bad.end()) == ("success", "failed")
            # The triggerer's last come by a thread.
            wait_until("the triggerer's last metrics", lambda: listener.values("waits")[-1:] == [0])
    counts = listener.counts("operation")
    assert {one[1]: number for one, number in counts.items() if one[0] == "calls"} == plane.calls
    assert plane.calls["DescribeBackup"] > 1
    counts = listener.counts("region")
    assert (counts["backups_created", REGION], counts["backups_failed", REGION]) == (1, 1)
    (milliseconds,) = listener.values("backup_duration")
    assert 14_000 <= milliseconds < 60_000
    listener.close()
